import Explanation
import Glibc
import Launcher
import ProcessorModel
import VMEntryChecks

/// Where capabilities come from: a file, a model of a processor, or this processor.
enum CapabilitySource {
  /// What a file says, or a model with the name.
  static func named(_ name: String) throws -> KnownCapabilities {
    if let model = ProcessorModel.Configuration.presets.first(where: { plain($0.name) == plain(name) }) {
      return KnownCapabilities(capabilities(of: model))
    }
    guard name == "-" || access(name, F_OK) == 0 else {
      let models = ProcessorModel.Configuration.presets.map(\.name).joined(separator: ", ")
      throw LaunchProblem("\(name) is no file and no model of a processor", remedy: "The models are: \(models).")
    }
    let text = CapabilityText(try InputText(path: name == "-" ? nil : name).contents())
    if text.count == 0 {
      throw LaunchProblem(
        "\(name) says nothing about VMX capabilities",
        remedy: "Give what skep capabilities prints, lines like “0x480 0xda040000000004”, or /proc/cpuinfo.")
    }
    return text.known
  }

  /// Those of this processor, from Linux's MSR device.
  static func thisProcessor() throws -> KnownCapabilities {
    let path = "/dev/cpu/0/msr"
    let descriptor = open(path, O_RDONLY | O_CLOEXEC)
    guard descriptor >= 0 else {
      let reason = String(cString: strerror(errno))
      throw LaunchProblem(
        "\(path) cannot be opened: \(reason)",
        remedy: "Load the module with: modprobe msr   and run this as root, or name a file.")
    }
    defer { close(descriptor) }
    var capabilities = EntryCapabilities()
    var count = 0
    for capability in EntryCapability.allCases {
      guard case .msr(let msr) = capability.source else { continue }
      var value: UInt64 = 0
      // An MSR that the processor does not have gives EIO.
      if pread(descriptor, &value, 8, off_t(msr.rawValue)) == 8 {
        capabilities[capability] = value
        count += 1
      }
    }
    if capabilities[.ia32VMXBASIC] == nil {
      throw LaunchProblem("this processor has no IA32_VMX_BASIC: it does not support VMX, or hides it")
    }
    if let text = try? CapabilityText(InputText(path: "/proc/cpuinfo").contents()) {
      capabilities[.cpuid80000008EAX] = text.known.exact[.cpuid80000008EAX]
    }
    return KnownCapabilities(capabilities)
  }

  private static func capabilities(of model: ProcessorModel.Configuration) -> EntryCapabilities {
    var capabilities = EntryCapabilities()
    for capability in EntryCapability.allCases {
      switch capability.source {
      case .msr(let msr): capabilities[capability] = model.capabilityMSR(msr.rawValue)
      case .cpuid(let leaf, let subleaf, let register):
        let result = model.cpuid[.init(leaf, subleaf)] ?? model.cpuid[.init(leaf)]
        guard let result else { continue }
        capabilities[capability] = UInt64([result.eax, result.ebx, result.ecx, result.edx][Int(register & 3)])
      }
    }
    return capabilities
  }

  private static func plain(_ name: String) -> String { name.filter { $0.isLetter || $0.isNumber }.lowercased() }
}
