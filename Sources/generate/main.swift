import Foundation

// Writes the generated files from Specification/*.txt.
//   swift run generate [--check] [PACKAGE-ROOT]
// With --check it writes nothing, names the files that are not up to date, and ends with status 1 if there are any.

var arguments = Array(CommandLine.arguments.dropFirst())
let isCheck = arguments.contains("--check")
arguments.removeAll { $0 == "--check" }
guard arguments.count <= 1, arguments.first?.hasPrefix("-") != true else {
  fail("usage: generate [--check] [PACKAGE-ROOT]", status: 64)
}
let root = URL(fileURLWithPath: arguments.first ?? FileManager.default.currentDirectoryPath, isDirectory: true)
let generator = Generator(root: root)

do {
  let files = try generator.files()
  let stale = try isCheck ? generator.stalePaths(files) : generator.write(files)
  for path in stale { print("\(isCheck ? "stale:" : "wrote") \(path)") }
  exit(isCheck && !stale.isEmpty ? 1 : 0)
} catch let error as SpecificationError {
  fail("\(error)", status: 1)
} catch {
  fail("error: \(error.localizedDescription)", status: 1)
}

/// Prints `message` to standard error and ends.
func fail(_ message: String, status: Int32) -> Never {
  FileHandle.standardError.write(Data((message + "\n").utf8))
  exit(status)
}
