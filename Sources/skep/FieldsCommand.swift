import ArgumentParser
import Explanation
import Launcher

/// `skep fields`: the fields of the VMCS.
struct FieldsCommand: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "fields",
    abstract: "List the fields of the VMCS, or those with a name or encoding.",
    discussion: """
      EXAMPLES:
        skep fields
        skep fields guestRIP
        skep fields 0x4402
        skep fields "interruption information"
      """)

  @Argument(help: ArgumentHelp("A name, a part of one, or an encoding with 0x.", valueName: "name"))
  var name: String?

  @OptionGroup var output: OutputOptions

  func run() throws {
    let fields = FieldReference.fields(name)
    if fields.isEmpty {
      throw LaunchProblem("no field of the VMCS is called \(name ?? "so")", remedy: "List all with: skep fields")
    }
    if output.format == .json {
      for field in fields { print(field.json.text) }
    } else if fields.count == 1 {
      print(fields[0].details)
    } else {
      for field in fields { print(field.line) }
    }
  }
}
