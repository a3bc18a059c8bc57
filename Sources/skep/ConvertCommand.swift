import ArgumentParser
import Explanation
import Launcher

/// `skep convert`: a dump as something that reproduces it.
struct ConvertCommand: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "convert",
    abstract: "Turn a VMCS dump into VMWRITEs, Swift or JSON.",
    discussion: """
      Fields that VMWRITE cannot write, and values that are not the whole field, are left out but in JSON.

      EXAMPLES:
        skep convert --to vmwrite dump.txt
        skep convert --to swift dump.txt > State.swift
        skep convert --to json dump.txt | jq .fields.guestRIP
      """)

  /// The forms.
  enum Form: String, ExpressibleByArgument, CaseIterable {
    /// Calls of a function in C.
    case vmwrite
    /// Assignments for Skep's library.
    case swift
    /// One object a line.
    case json
  }

  @Option(help: ArgumentHelp("vmwrite, swift or json.", valueName: "form"))
  var to: Form

  @Argument(help: ArgumentHelp("The text with the dump; standard input if none or -.", valueName: "file"))
  var file: String?

  func run() throws {
    let input = InputText.all(file.map { [$0] } ?? [])[0]
    let conversion = DumpConversion(try input.firstDump())
    switch to {
    case .vmwrite: print(conversion.vmwrites, terminator: "")
    case .swift: print(conversion.swift, terminator: "")
    case .json: print(conversion.json(file: input.path).text)
    }
  }
}
