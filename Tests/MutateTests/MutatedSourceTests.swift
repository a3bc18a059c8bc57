import Testing

@testable import mutate

@Suite struct MutatedSourceTests {
  /// Sources, how they are rewritten, and what their mutants are.
  private static let sources: [(source: String, text: String, mutants: [String])] = [
    (
      "guard a, let b = c, !d else { return nil }",
      "guard mutantCondition(1, a), let b = c, !mutantCondition(4, d) else { return nil }",
      ["a: negated", "a: always true", "a: always false", "d: negated", "d: always true", "d: always false"]
    ),
    (
      "guard a,\n  b(c, d)\nelse { return }",
      "guard mutantCondition(1, a),\n  mutantCondition(4, b(c, d))\nelse { return }",
      [
        "a: negated", "a: always true", "a: always false", "b(c, d): negated", "b(c, d): always true",
        "b(c, d): always false",
      ]
    ),
    (
      "{ $0.a ? nil : b }", "{ mutantCondition(1, $0.a) ? nil : b }",
      ["$0.a: negated", "$0.a: always true", "$0.a: always false"]
    ),
    (
      "let x = a && b", "let x = mutantCondition(1, a) && mutantCondition(4, b)",
      ["a: negated", "a: always true", "a: always false", "b: negated", "b: always true", "b: always false"]
    ),
    (
      "case .a where b && c: break", "case .a where mutantCondition(1, b) && mutantCondition(4, c): break",
      ["b: negated", "b: always true", "b: always false", "c: negated", "c: always true", "c: always false"]
    ),
    (
      "if a <= b { }", "if mutantCondition(1, mutantCompared(4, <=, <, a, b)) { }",
      ["a <= b: negated", "a <= b: always true", "a <= b: always false", "a <= b: < for <="]
    ),
    (
      "f { $0.primary(.a) }", "f { mutantCondition(1, $0.primary(.a)) }",
      ["$0.primary(.a): negated", "$0.primary(.a): always true", "$0.primary(.a): always false"]
    ),
    ("f { _ in true }", "f { _ in mutantNegated(1, true) }", ["true: negated"]),
    (
      "v.requireClear(.f, 0xFF)", "v.requireClear(.f, mutantWeakened(1, 0xFF, mutantWidth(of: .f)))",
      [
        "0xFF: without its lowest bit", "0xFF: without its highest bit", "0xFF: with the bit above",
        "0xFF: with the bit below",
      ]
    ),
    (
      "v.require(.f, m, r)",
      "v.require(.f, mutantWeakened(1, m, mutantWidth(of: .f)), mutantChanged(5, r, m))",
      [
        "m: without its lowest bit", "m: without its highest bit", "m: with the bit above", "m: with the bit below",
        "r: the lowest bit required otherwise", "r: the highest bit required otherwise",
      ]
    ),
    (
      "v.require(.f, in: 1...15)", "v.require(.f, in: mutantMoved(1, 1...15))",
      ["1...15: begins before", "1...15: begins later", "1...15: ends before", "1...15: ends later"]
    ),
    ("let x = y >> 4", "let x = y >> mutantNumber(1, 4)", ["4: one more", "4: one less"]),
    // Texts, comments, names, declarations, tuples' members, and findings are left alone.
    ("// if 1 < 2 { }", "// if 1 < 2 { }", []),
    ("check(\"if 1 ? 2\")", "check(\"if 1 ? 2\")", []),
    ("let a1 = b.0 // 5", "let a1 = b.0 // 5", []),
    ("func requireClear(_ a: B, _ c: D)", "func requireClear(_ a: B, _ c: D)", []),
    ("v.finding(.f, 3, required: 1)", "v.finding(.f, 3, required: 1)", []),
  ]

  @Test(arguments: sources.indices)
  func rewrites(_ index: Int) {
    let (source, text, mutants) = Self.sources[index]
    let mutated = MutatedSource(source, first: 1)
    #expect(mutated.text == text)
    #expect(mutated.mutants.map(\.what) == mutants)
    #expect(mutated.mutants.map(\.number) == Array(1..<mutants.count + 1))
  }

  @Test func mutantsAreNumberedOnAndKnowTheirLines() {
    let mutated = MutatedSource("if a { }\nif b { }", first: 7)
    #expect(mutated.mutants.map(\.number) == Array(7...12))
    #expect(mutated.mutants.map(\.line) == [1, 1, 1, 2, 2, 2])
  }

  /// A mask that is always the same has a bit beside it always or never.
  @Test(arguments: [
    ("v.requireClear(.f, 0xFF0)", true), ("v.requireClear(.f, ~0 << 32)", true), ("v.requireClear(.f, .a1)", true),
    ("v.require(.f, in: 1...15)", true), ("v.requireClear(.f, mask)", false), ("v.requireClear(.f, ~a.b(1))", false),
  ])
  func knowsConstants(_ source: String, _ isConstant: Bool) {
    let mutants = MutatedSource(source, first: 1).mutants
    #expect(mutants.count == 4)
    #expect(mutants.allSatisfy { $0.isConstant == isConstant })
  }

  @Test func namesAreDistinct() {
    let mutants = Mutant.named(MutatedSource("if a { }\nif a { }", first: 1).mutants, in: "A.swift")
    #expect(mutants[0].name == "A.swift: a: negated")
    #expect(mutants[3].name == "A.swift: a: negated (2)")
    #expect(mutants[3].place == "A.swift:2")
  }

  private static let mutant = Mutant(number: 1, file: "A.swift", line: 3, name: "A.swift: a: negated")
  private static let named = "# because it is\n# the same\nA.swift: a: negated\n"

  /// What the run says and whether it succeeds, by what the tests say of a mutant and whether it is named.
  @Test(arguments: [
    ("", MutantTests.Outcome.noticed, true, "1 mutants: 1 noticed, 0 survived, 0 equivalent"),
    ("", .survived, false, "1 mutants: 0 noticed, 1 survived, 0 equivalent"),
    ("", .absent, true, "0 mutants: 0 noticed, 0 survived, 0 equivalent"),
    (named, .survived, true, "1 mutants: 0 noticed, 0 survived, 1 equivalent"),
    (named, .noticed, false, "1 mutants: 1 noticed, 0 survived, 0 equivalent"),
    (named, .absent, false, "0 mutants: 0 noticed, 0 survived, 0 equivalent"),
  ])
  func summarizes(_ list: String, _ outcome: MutantTests.Outcome, _ isSuccess: Bool, _ last: String) {
    var summary = MutationSummary(equivalents: EquivalentMutants(list), isComplete: true)
    _ = summary.add(Self.mutant, outcome)
    #expect(summary.isSuccess == isSuccess)
    #expect(summary.lines.last == last)
  }

  @Test func equivalentsHaveReasons() {
    #expect(EquivalentMutants(Self.named).reasons == ["A.swift: a: negated": "because it is the same"])
  }

  /// EntryChecks.swift is as the mutants of whole checks need it.
  @Test func aSourceWithoutTheTextIsAnError() {
    #expect(throws: WholeChecks.MissingText.self) { try WholeChecks.rewrite("struct A {}") }
  }
}
