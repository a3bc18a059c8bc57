import Foundation

// Writes Sources/VMCS/Generated from Specification/*.txt.
//   swift run generate [--check] [PACKAGE-ROOT]
// With --check it writes nothing, names the files that are not up to date, and ends with status 1 if there are any.

var arguments = Array(CommandLine.arguments.dropFirst())
let isCheck = arguments.contains("--check")
arguments.removeAll { $0 == "--check" }
guard arguments.count <= 1, arguments.first?.hasPrefix("-") != true else {
  fail("usage: generate [--check] [PACKAGE-ROOT]", status: 64)
}
let root = URL(fileURLWithPath: arguments.first ?? FileManager.default.currentDirectoryPath, isDirectory: true)

do {
  let files = try generatedFiles()
  let directory = root.appendingPathComponent("Sources/VMCS/Generated", isDirectory: true)
  let stale = try isCheck ? staleFiles(files, directory) : write(files, directory)
  for path in stale { print("\(isCheck ? "stale: " : "wrote ")Sources/VMCS/Generated/\(path)") }
  exit(isCheck && !stale.isEmpty ? 1 : 0)
} catch let error as SpecificationError {
  fail("\(error)", status: 1)
} catch {
  fail("error: \(error.localizedDescription)", status: 1)
}

/// Reads the specification and makes every file.
func generatedFiles() throws -> [GeneratedFile] {
  func text(_ name: String) throws -> String {
    try String(contentsOf: root.appendingPathComponent("Specification/\(name)"), encoding: .utf8)
  }
  let words = try wordSpecifications(of: text("Words.txt"), file: "Specification/Words.txt")
  let fields = try fieldSpecifications(of: text("Fields.txt"), file: "Specification/Fields.txt", words: words)
  let msrs = try msrSpecifications(of: text("MSRs.txt"), file: "Specification/MSRs.txt")
  return fieldFiles(fields) + wordFiles(words) + [msrFile(msrs)]
}

/// The paths of files that differ from what they should be, or should not be there.
func staleFiles(_ files: [GeneratedFile], _ directory: URL) throws -> [String] {
  let differing = files.filter { file in
    (try? String(contentsOf: directory.appendingPathComponent(file.path), encoding: .utf8)) != file.text
  }
  let paths = Set(files.map(\.path))
  let present = FileManager.default.subpaths(atPath: directory.path) ?? []
  return differing.map(\.path) + present.filter { $0.hasSuffix(".swift") && !paths.contains($0) }
}

/// Writes the files that differ, removes those that should not be there, and returns the paths of both.
func write(_ files: [GeneratedFile], _ directory: URL) throws -> [String] {
  let stale = try staleFiles(files, directory)
  for path in stale {
    let url = directory.appendingPathComponent(path)
    guard let file = files.first(where: { $0.path == path }) else {
      try FileManager.default.removeItem(at: url)
      continue
    }
    try FileManager.default.createDirectory(at: url.deletingLastPathComponent(), withIntermediateDirectories: true)
    try file.text.write(to: url, atomically: true, encoding: .utf8)
  }
  return stale
}

/// Prints `message` to standard error and ends.
func fail(_ message: String, status: Int32) -> Never {
  FileHandle.standardError.write(Data((message + "\n").utf8))
  exit(status)
}
