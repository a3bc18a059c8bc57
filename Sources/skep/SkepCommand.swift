import ArgumentParser
import Glibc
import Launcher

/// The `skep` command.
@main
struct SkepCommand: AsyncParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "skep",
    abstract: "A VMX hypervisor in Swift that boots Linux in the Bochs emulator, and tools for dumps of VMCSs.",
    subcommands: [
      RunCommand.self, ImageCommand.self, ExplainCommand.self, ShowCommand.self, DiffCommand.self, ConvertCommand.self,
      DecodeCommand.self, FieldsCommand.self, CapabilitiesCommand.self, ChecksCommand.self,
    ])

  static func main() async {
    do {
      var command = try parseAsRoot()
      if var asynchronous = command as? any AsyncParsableCommand {
        try await asynchronous.run()
      } else {
        try command.run()
      }
    } catch let problem as LaunchProblem {
      printError("skep: \(problem)", patience: problem.isUrgent ? .seconds(1) : nil)
      Glibc.exit(problem.status.rawValue)
    } catch {
      // Help is an error of the parser, with status 0; any other of its errors is bad input.
      let text = fullMessage(for: error)
      guard exitCode(for: error).rawValue != 0 else {
        print(text)
        return
      }
      if let code = error as? ExitCode { Glibc.exit(code.rawValue) }
      printError(text)
      Glibc.exit(ExitStatus.badInput.rawValue)
    }
  }
}
