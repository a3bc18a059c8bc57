import ArgumentParser
import Explanation
import Launcher
import VMCSDump
import VMEntryChecks

/// `skep explain`: says what is wrong with the VMCS dumps in a text.
struct ExplainCommand: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "explain",
    abstract: "Say what is wrong with a VMCS that a hypervisor printed.",
    discussion: """
      Reads kernel logs, mails or anything else with dumps of KVM, Xen, QEMU, bhyve, HAXM or Skep inside, and makes \
      every check on them that the SDM says a VM entry makes.

      EXAMPLES:
        skep explain dump.txt
        dmesg | skep explain
        skep explain --format json /var/log/kern.log | jq .headline
        skep explain --capabilities /proc/cpuinfo dump.txt

      EXIT STATUS:
        0	every dump is healthy, or nothing that can be decided is wrong with it
        1	a check fails, or a VM entry failed
        2	there is no VMCS in the input, or it cannot be read
      """)

  @Argument(help: ArgumentHelp("The texts to read; standard input if none or -.", valueName: "file"))
  var files: [String] = []

  @Option(
    help: ArgumentHelp(
      "What the processor can do: a file that skep capabilities printed, /proc/cpuinfo, or a model's name.",
      valueName: "source"))
  var capabilities: String?

  @OptionGroup var output: OutputOptions

  func run() throws {
    let known = try capabilities.map { try CapabilitySource.named($0) } ?? KnownCapabilities()
    var explained = 0
    var hasFailed = false
    for input in InputText.all(files) {
      let style = output.style
      let explain: (Dump) -> Void = { dump in
        let explanation = Explanation(dump, known: known)
        if explained > 0, output.format == .text { print("") }
        switch output.format {
        case .text: print(explanation.text(file: input.path, style: style), terminator: "")
        case .json: print(explanation.json(file: input.path).text)
        }
        if explanation.verdict != .unusable { explained += 1 }
        if explanation.verdict == .failed { hasFailed = true }
      }
      try input.readDumps(explain)
    }
    if explained == 0 {
      printError("skep: no VMCS dump found; load kvm_intel with dump_invalid_vmcs=1 to have KVM print one")
      throw ExitCode(2)
    }
    if hasFailed { throw ExitCode(1) }
  }
}
