import Foundation

/// Makes the generated files of the package at `root`, and compares them with what is there.
struct Generator {
  var root: URL

  /// Reads the specification and makes every file.
  func files() throws -> [GeneratedFile] {
    let words = try wordSpecifications(of: text("Words.txt"), file: "Specification/Words.txt")
    let fields = try fieldSpecifications(of: text("Fields.txt"), file: "Specification/Fields.txt", words: words)
    let msrs = try msrSpecifications(of: text("MSRs.txt"), file: "Specification/MSRs.txt")
    return fieldFiles(fields) + wordFiles(words) + [msrFile(msrs), testFile(fields, words)]
  }

  private func text(_ name: String) throws -> String {
    try String(contentsOf: root.appendingPathComponent("Specification/\(name)"), encoding: .utf8)
  }

  /// The paths of files that differ from what they should be, or should not be there.
  func stalePaths(_ files: [GeneratedFile]) -> [String] {
    let differing = files.filter { file in
      (try? String(contentsOf: root.appendingPathComponent(file.path), encoding: .utf8)) != file.text
    }
    let paths = Set(files.map(\.path))
    let present = FileManager.default.subpaths(atPath: root.appendingPathComponent(generatedDirectory).path) ?? []
    let superfluous = present.filter { $0.hasSuffix(".swift") }.map { generatedDirectory + $0 }
      .filter { !paths.contains($0) }
    return differing.map(\.path) + superfluous
  }

  /// Writes the files that differ, removes those that should not be there, and returns the paths of both.
  func write(_ files: [GeneratedFile]) throws -> [String] {
    let stale = stalePaths(files)
    for path in stale {
      let url = root.appendingPathComponent(path)
      guard let file = files.first(where: { $0.path == path }) else {
        try FileManager.default.removeItem(at: url)
        continue
      }
      try FileManager.default.createDirectory(at: url.deletingLastPathComponent(), withIntermediateDirectories: true)
      try file.text.write(to: url, atomically: true, encoding: .utf8)
    }
    return stale
  }
}
