import ArgumentParser
import Launcher
import VMCSDump

extension InputText {
  /// Calls `body` with each dump of the text.
  func readDumps(_ body: (Dump) -> Void) throws {
    var reader = DumpReader()
    try read { reader.read($0, body) }
    reader.finish(body)
  }

  /// The first dump of the text that has values.
  func firstDump() throws -> Dump {
    var first: Dump?
    try readDumps { if first == nil, $0.valueCount > 0 { first = $0 } }
    guard let first else { throw LaunchProblem("there is no VMCS dump in \(path ?? "standard input")") }
    return first
  }
}
