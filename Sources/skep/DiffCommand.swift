import ArgumentParser
import Explanation
import Launcher
import VMCSDump

/// `skep diff`: what is different in two dumps.
struct DiffCommand: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "diff",
    abstract: "Compare two VMCS dumps, bit by bit.",
    discussion: """
      The first dump in each file is compared. With one file, its first two dumps are.

      EXAMPLES:
        skep diff working.txt failing.txt
        skep diff --format json before.txt after.txt

      EXIT STATUS:
        0	they are the same
        1	they are different
        2	there are no two dumps to compare
      """)

  @Argument(help: ArgumentHelp("The text with the first dump, or with both.", valueName: "file"))
  var first: String

  @Argument(help: ArgumentHelp("The text with the second dump.", valueName: "file"))
  var second: String?

  @OptionGroup var output: OutputOptions

  func run() throws {
    let difference = try difference()
    switch output.format {
    case .text: print(difference.text(style: output.style), terminator: "")
    case .json: print(difference.json.text)
    }
    if !difference.changes.isEmpty { throw ExitCode(1) }
  }

  private func difference() throws -> DumpDifference {
    if let second {
      return DumpDifference(try InputText(path: first).firstDump(), try InputText(path: second).firstDump())
    }
    var dumps: [Dump] = []
    try InputText(path: first).readDumps { if dumps.count < 2, $0.valueCount > 0 { dumps.append($0) } }
    guard dumps.count == 2 else { throw LaunchProblem("there are no two VMCS dumps in \(first)") }
    return DumpDifference(dumps[0], dumps[1])
  }
}
