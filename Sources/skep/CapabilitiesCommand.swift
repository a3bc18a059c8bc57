import ArgumentParser
import Explanation

/// `skep capabilities`: what a processor's VMX can do.
struct CapabilitiesCommand: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "capabilities",
    abstract: "Print a processor's VMX capabilities by name, and what hypervisors need and it lacks.",
    discussion: """
      Without a source, this processor's are read from Linux's MSR device, as root.

      EXAMPLES:
        sudo skep capabilities
        skep capabilities msrs.txt
        skep capabilities haswell
        for m in $(seq $((0x480)) $((0x493))); do printf '0x%x 0x%s\\n' $m $(rdmsr $m); done | skep capabilities -
      """)

  @Argument(
    help: ArgumentHelp("A file with the values of MSRs, - for standard input, or a model's name.", valueName: "source"))
  var source: String?

  @OptionGroup var output: OutputOptions

  func run() throws {
    let capabilities = try source.map { try CapabilitySource.named($0) } ?? CapabilitySource.thisProcessor()
    let report = CapabilityReport(capabilities)
    switch output.format {
    case .text: print(report.text(style: output.style), terminator: "")
    case .json: print(report.json.text)
    }
  }
}
