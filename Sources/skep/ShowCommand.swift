import ArgumentParser
import Explanation
import Launcher

/// `skep show`: dumps as tables.
struct ShowCommand: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "show",
    abstract: "Print the VMCS dumps in a text as tables, in the SDM's order.",
    discussion: """
      EXAMPLES:
        skep show dump.txt
        dmesg | skep show --format json
      """)

  @Argument(help: ArgumentHelp("The texts to read; standard input if none or -.", valueName: "file"))
  var files: [String] = []

  @OptionGroup var output: OutputOptions

  func run() throws {
    var count = 0
    for input in InputText.all(files) {
      try input.readDumps { dump in
        if dump.valueCount == 0 { return }
        if count > 0, output.format == .text { print("") }
        count += 1
        let conversion = DumpConversion(dump)
        switch output.format {
        case .text: print(conversion.table(file: input.path, style: output.style), terminator: "")
        case .json: print(conversion.json(file: input.path).text)
        }
      }
    }
    if count == 0 { throw LaunchProblem("no VMCS dump found") }
  }
}
