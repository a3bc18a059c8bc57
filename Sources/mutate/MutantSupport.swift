extension ScratchPackage {
  /// What the mutated sources call.
  ///
  /// A change that has no effect of its own, as of a mask that has no bit beside it, is told by a status of the process.
  static let support = """
    import Glibc
    import VMCS

    nonisolated(unsafe) var mutant = getenv("MUTANT").map { Int(atoi($0)) } ?? 0

    nonisolated(unsafe) var mayBeAbsent = false
    nonisolated(unsafe) var hasChanged = false
    nonisolated(unsafe) private var isFirstNote = true

    /// Notes whether a mutant that may be absent changes anything; the process ends with a status of its own if none did.
    private func note(_ isChange: Bool) {
      if isChange { hasChanged = true }
      mayBeAbsent = true
      if !isFirstNote { return }
      isFirstNote = false
      if getenv("MUTANT") != nil { atexit { if !hasChanged { _exit(\(MutantTests.absentStatus)) } } }
    }

    /// Which mutants are reached, by their numbers, while that is noted.
    nonisolated(unsafe) var mutantsReached: [Bool] = []
    nonisolated(unsafe) var isNotingWhatIsReached = false

    private func reach(_ number: Int, _ count: Int) {
      if !isNotingWhatIsReached { return }
      while mutantsReached.count < number + count { mutantsReached.append(false) }
      for number in number..<number + count { mutantsReached[number] = true }
    }

    func mutantNeverFails(_ position: Int) -> Bool {
      reach(2 * position - 1, 1)
      return mutant == 2 * position - 1
    }

    func mutantOtherOutcome(_ position: Int, _ outcome: EntryOutcome) -> EntryOutcome {
      reach(2 * position, 1)
      if mutant != 2 * position { return outcome }
      return outcome == .msrLoading ? .vmFailInvalid : .msrLoading
    }

    func mutantNegated(_ number: Int, _ value: Bool) -> Bool {
      reach(number, 1)
      return value != (mutant == number)
    }

    func mutantCondition(_ number: Int, _ condition: Bool) -> Bool {
      reach(number, 3)
      return switch mutant - number {
      case 0: !condition
      case 1: true
      case 2: false
      default: condition
      }
    }

    func mutantCompared<Value>(
      _ number: Int, _ comparison: (Value, Value) -> Bool, _ other: (Value, Value) -> Bool, _ left: Value, _ right: Value
    ) -> Bool {
      reach(number, 1)
      return mutant == number ? other(left, right) : comparison(left, right)
    }

    func mutantNumber<Value: FixedWidthInteger>(_ number: Int, _ value: Value) -> Value {
      reach(number, 2)
      return switch mutant - number {
      case 0: value &+ 1
      case 1: value &- 1
      default: value
      }
    }

    func mutantNumber64(_ number: Int, _ value: UInt64) -> UInt64 { mutantNumber(number, value) }

    func mutantWidth<Value>(of field: VMCSField<Value, ReadWrite>) -> Int { Value.Bits.bitWidth }

    private func lowest<Mask: FixedWidthInteger>(_ mask: Mask) -> Mask { mask & (~mask &+ 1) }

    private func highest<Mask: FixedWidthInteger>(_ mask: Mask) -> Mask {
      mask == 0 ? 0 : 1 << (Mask.bitWidth - 1 - mask.leadingZeroBitCount)
    }

    func mutantWeakened<Mask: FixedWidthInteger>(_ number: Int, _ mask: Mask, _ width: Int) -> Mask {
      reach(number, 4)
      switch mutant - number {
      case 0: return mask & ~lowest(mask)
      case 1: return mask & ~highest(mask)
      case 2:
        let above = mask.leadingZeroBitCount <= Mask.bitWidth - width ? 0 : highest(mask) << 1
        note(above != 0)
        return mask | above
      case 3:
        let below = mask & 1 == 1 ? 0 : lowest(mask) >> 1
        note(below != 0)
        return mask | below
      default: return mask
      }
    }

    func mutantWeakened<Mask: OptionSet>(_ number: Int, _ mask: Mask, _ width: Int) -> Mask
    where Mask.RawValue: FixedWidthInteger { Mask(rawValue: mutantWeakened(number, mask.rawValue, width)) }

    func mutantChanged(_ number: Int, _ required: UInt64, _ mask: UInt64) -> UInt64 {
      reach(number, 2)
      return switch mutant - number {
      case 0: required ^ lowest(mask)
      case 1: required ^ highest(mask)
      default: required
      }
    }

    func mutantMoved(_ number: Int, _ range: ClosedRange<UInt64>) -> ClosedRange<UInt64> {
      reach(number, 4)
      let (lower, upper) = (range.lowerBound, range.upperBound)
      switch mutant - number {
      case 0:
        note(lower != 0)
        return lower == 0 ? range : lower - 1...upper
      case 1: return lower + 1...upper
      case 2: return lower...upper - 1
      case 3:
        note(upper != ~0)
        return upper == ~0 ? range : lower...upper + 1
      default: return range
      }
    }

    """

  /// A test that goes through mutants one after the other, in one process, with those rows of the tables that reach them:
  /// it writes "N ?" when it starts with a mutant, "N !" when a table notices it, and "N -" if it is reached and
  /// never changed anything.
  ///
  /// A mutant that traps, or that takes more than a minute, ends the process.
  static let sweep = """
    import Glibc
    import Testing

    /// A row of a table, and the mutants that it reaches.
    private struct MutantRow {
      var isNoticing: () -> Bool
      var reached: [Bool]

      init(_ isNoticing: @escaping () -> Bool) {
        self.isNoticing = isNoticing
        (mutantsReached, isNotingWhatIsReached) = ([], true)
        _ = isNoticing()
        isNotingWhatIsReached = false
        reached = mutantsReached
      }

      func reaches(_ number: Int) -> Bool { number < reached.count && reached[number] }
    }

    /// The failing states, first those of the check whose mutant as a whole has this number.
    private func failingStates(of number: Int) -> [FailingState] {
      let position = (number - 1) / 2
      let id = position < CheckList.ids.count ? CheckList.ids[position] : ""
      return FailingState.all.filter { $0.id == id } + FailingState.all.filter { $0.id != id }
    }

    @Suite struct MutantSweep {
      @Test(.enabled(if: getenv("MUTANTS") != nil))
      func noticeMutants() {
        let numbers = String(cString: getenv("MUTANTS")).split(separator: ",").map { Int($0)! }
        let values = FailingValues.all.map { row in MutantRow { !row.disagreements.isEmpty } }
        let states = BaseState.allCases.map { base in MutantRow { !base.state.failures.isEmpty } }
        for number in numbers {
          write("\\(number) ?\\n")
          alarm(60)
          (mayBeAbsent, hasChanged) = (false, false)
          mutant = number
          let isNoticed =
            number <= 2 * CheckList.ids.count && isNoticedByStates(number)
            || values.contains { $0.reaches(number) && $0.isNoticing() }
            || states.contains { $0.reaches(number) && $0.isNoticing() } || isNoticedByStates(number)
          mutant = 0
          if isNoticed {
            write("\\(number) !\\n")
          } else if mayBeAbsent, !hasChanged {
            write("\\(number) -\\n")
          }
        }
        alarm(0)
      }

      private func isNoticedByStates(_ number: Int) -> Bool {
        failingStates(of: number).contains { !$0.disagreements.isEmpty }
      }

      private func write(_ text: String) {
        let bytes = Array(text.utf8)
        _ = Glibc.write(STDOUT_FILENO, bytes, bytes.count)
      }
    }

    """
}
