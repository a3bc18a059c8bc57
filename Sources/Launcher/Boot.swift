import Machine
import VMX
import SystemPackage

/// What is booted: the files, the command lines and the amount of memory.
public struct Boot: Sendable {
  /// How the kernel is started.
  public enum Method: Sendable {
    /// As a guest of the hypervisor in the given multiboot2 file.
    case hypervisor(InputFile)
    /// By GRUB on the processor itself, for comparison.
    case native
  }

  /// The guest command line if the user gives none: the console is the first serial port.
  public static let defaultCommandLine = "console=ttyS0"
  /// The amounts of guest memory that the emulator has room for beside Skep itself.
  public static let memoryBounds = MemorySize.mebibytes(16)...MemorySize.mebibytes(1920)

  /// What the amount of guest memory is a multiple of: the hypervisor maps large pages.
  public static let memoryGranularity = MemorySize.mebibytes(2)

  /// The most memory that the emulated machine can have.
  static let mostMachineMemory = MemorySize.mebibytes(2048)

  /// The numbers of processors that a guest can have.
  public static let processorBounds = 1...8

  /// How the kernel is started.
  public var method: Method
  /// The kernel, a bzImage or a Multiboot kernel.
  public var kernel: InputFile
  /// The initial RAM disk, if there is one.
  public var initrd: InputFile?
  /// The modules of a Multiboot kernel, behind the initial RAM disk.
  public var modules: [ModuleFile]
  /// The kernel's command line.
  public var commandLine: String
  /// The guest's memory.
  public var memory: MemorySize
  /// How many processors the guest has, and the machine too, since each of the guest's has one to itself.
  public var processorCount: Int
  /// Whether the guest's local APICs have x2APIC mode.
  public var hasX2APIC = true
  /// The optional controls that Skep uses where the processor has them.
  public var optionalControls = OptionalControls.all
  /// Whether Skep counts exits, VMREADs, VMWRITEs and instructions.
  public var isMetered: Bool
  /// Whether Skep maps guest memory page by page when it is first touched, instead of all at the start.
  public var mapsOnDemand: Bool

  /// Whether Skep looks at the end whether memory outside the guest has changed.
  public var checksMemory = false

  /// How long the guest may run, by its own clock; nil for as long as it wants.
  public var timeLimit: TimeLimit?

  /// The command line with which the kernel is started once more when the guest has ended; nil if it is not.
  public private(set) var restart: String?

  /// The identifier of the check of VM entries that Skep is to make fail, to show its report; nil for none.
  public var drill: String?

  /// Checks all that can be checked before anything is started.
  public init(
    method: Method, kernel: InputFile, initrd: InputFile? = nil, modules: [ModuleFile] = [],
    commandLine: String = defaultCommandLine, memory: MemorySize = .mebibytes(256), processorCount: Int = 1,
    isMetered: Bool = true, mapsOnDemand: Bool = false,
    drill: String? = nil
  ) throws(LaunchProblem) {
    try Self.checkText(commandLine, of: "--append")
    for module in modules { try Self.checkText(module.commandLine, of: "--module") }
    guard Self.memoryBounds.contains(memory) else {
      throw LaunchProblem(
        "--memory \(memory) is out of range",
        remedy: "Give between \(Self.memoryBounds.lowerBound) and \(Self.memoryBounds.upperBound).")
    }
    guard Self.processorBounds.contains(processorCount) else {
      throw LaunchProblem(
        "--cpus \(processorCount) is out of range",
        remedy: "Give between \(Self.processorBounds.lowerBound) and \(Self.processorBounds.upperBound).")
    }
    guard memory.bytes % Self.memoryGranularity.bytes == 0 else {
      let less = memory.bytes - memory.bytes % Self.memoryGranularity.bytes
      let more = less + Self.memoryGranularity.bytes
      throw LaunchProblem(
        "--memory \(memory) (\(memory.bytes) bytes) is no multiple of \(Self.memoryGranularity)",
        remedy: "Give \(MemorySize(bytes: less)) or \(MemorySize(bytes: more)).")
    }
    self.method = method
    self.kernel = kernel
    self.initrd = initrd
    self.modules = modules
    self.commandLine = commandLine
    self.memory = memory
    self.processorCount = processorCount
    self.isMetered = isMetered
    self.mapsOnDemand = mapsOnDemand
    self.drill = drill
    try checkPlacement()
    try checkMachineMemory()
  }

  /// Has the kernel started once more, with this command line; throws if that cannot be.
  public mutating func setRestart(_ commandLine: String?) throws(LaunchProblem) {
    restart = commandLine
    guard let commandLine else { return }
    try Self.checkText(commandLine, of: "--restart")
    if processorCount != 1 || !modules.isEmpty {
      throw LaunchProblem("--restart is for guests with one processor and without --module")
    }
  }

  /// The guest command line of `kernel` if the user gives none: only Linux has to be told of its console.
  public static func defaultCommandLine(of kernel: InputFile) throws(LaunchProblem) -> String {
    try kernel.contents().withUnsafeBytes { KernelKind($0) } == .linux ? defaultCommandLine : ""
  }

  private static func checkText(_ text: String, of option: String) throws(LaunchProblem) {
    guard let control = text.unicodeScalars.first(where: { $0.value < 0x20 || $0.value == 0x7f }) else { return }
    let number = String(0x100 + control.value, radix: 16, uppercase: true).dropFirst()
    throw LaunchProblem(
      "\(option) contains the control character U+00\(number)",
      remedy: "A command line is a single line of text.")
  }

  /// Checks the kernel's headers, and that kernel, modules and command line go into the guest's memory: the same checks by
  /// the same code as in the hypervisor.
  private func checkPlacement() throws(LaunchProblem) {
    let bytes = try kernel.contents()
    var sizes = BootModuleSizes()
    for module in modules {
      sizes.add(byteCount: module.file.size.bytes, commandLineByteCount: module.commandLine.utf8.count)
    }
    // A closure that throws cannot be typed through withUnsafeBytes, so the message is passed out.
    let message: ErrorMessage? = bytes.withUnsafeBytes { bytes in
      do throws(KernelLoaderError) {
        try KernelLoader.check(
          bytes, initrdByteCount: initrd?.size.bytes, modules: sizes, commandLineByteCount: commandLine.utf8.count,
          layout: GuestMemoryLayout(byteCount: memory.bytes))
        return nil
      } catch { return error.message }
    }
    if let message { throw LaunchProblem("\(kernel.path): \(message)") }
  }

  private func checkMachineMemory() throws(LaunchProblem) {
    guard machineMemory > Self.mostMachineMemory else { return }
    throw LaunchProblem(
      "--memory \(memory), the files (\(MemorySize(bytes: loadedBytes))) and Skep itself (\(Self.ownMemory)) "
        + "do not fit into the emulator's \(Self.mostMachineMemory)",
      remedy: "Give the guest less memory, or smaller files.")
  }

  /// What Skep itself takes of the machine's memory.
  private static let ownMemory = MemorySize.mebibytes(64)

  /// What the files take of it as GRUB loads them.
  private var loadedBytes: UInt64 {
    modules.reduce(kernel.size.bytes + (initrd?.size.bytes ?? 0)) { $0 + $1.file.size.bytes }
  }

  /// The memory of the emulated machine: the guest's, the modules as GRUB loads them, and Skep itself.
  var machineMemory: MemorySize {
    guard case .hypervisor = method else { return .mebibytes(memory.roundedUpMebibytes) }
    return .mebibytes(MemorySize(bytes: memory.bytes + loadedBytes + Self.ownMemory.bytes).roundedUpMebibytes)
  }

  /// The files of the boot image, by their paths in it.
  var files: [(path: String, file: InputFile)] {
    var files = [("/kernel", kernel)]
    if let initrd { files.append(("/initrd", initrd)) }
    for (index, module) in modules.enumerated() { files.append(("/module\(index)", module.file)) }
    if case .hypervisor(let image) = method { files.append(("/skep.elf", image)) }
    return files
  }

  /// GRUB's configuration: it boots at once, without a menu.
  var configuration: String {
    var lines: [String]
    switch method {
    case .hypervisor:
      // GRUB writes a word with a space in it as "append=…", with \ before each ", ' and \: HypervisorOptions knows.
      let words =
        [
          "memory=\(memory.bytes)", "cpus=\(processorCount)", "x2apic=\(hasX2APIC ? 1 : 0)",
          "controls=\(optionalControls.rawValue)", "console=com1", "report=com2",
          "metered=\(isMetered ? 1 : 0)",
          "on-demand=\(mapsOnDemand ? 1 : 0)",
        ] + (checksMemory ? ["hash=1"] : []) + (timeLimit.map { ["limit=\($0.seconds)"] } ?? [])
        + (drill.map { ["drill=" + $0] } ?? []) + (restart.map { ["restart=" + $0] } ?? []) + ["append=" + commandLine]
      lines = [
        "multiboot2 /skep.elf " + words.map(quoted).joined(separator: " "),
        "module2 /kernel kernel",
      ]
      if initrd != nil { lines.append("module2 /initrd initrd") }
      for (index, module) in modules.enumerated() {
        lines.append("module2 /module\(index) " + quoted("module=" + module.commandLine))
      }
    case .native:
      lines = nativeConfiguration
    }
    return (lines + ["boot", ""]).joined(separator: "\n")
  }

  /// GRUB's commands for the kernel itself.
  private var nativeConfiguration: [String] {
    let (kernelCommand, moduleCommand) =
      switch try? kernel.contents().withUnsafeBytes({ KernelKind($0) }) {
      case .multiboot(.one): ("multiboot", "module")
      case .multiboot(.two): ("multiboot2", "module2")
      case .linux, nil: ("linux", "initrd")
      }
    var lines = ["\(kernelCommand) /kernel " + words(of: commandLine)]
    if initrd != nil { lines.append("\(moduleCommand) /initrd") }
    for (index, module) in modules.enumerated() {
      lines.append("\(moduleCommand) /module\(index) " + words(of: module.commandLine))
    }
    return lines
  }

  /// The words of a command line; an empty one stands for a second space.
  private func words(of line: String) -> String {
    line.split(separator: " ", omittingEmptySubsequences: false).map { quoted(String($0)) }.joined(separator: " ")
  }

  /// `word` as GRUB's script language takes it unchanged.
  private func quoted(_ word: String) -> String {
    "'" + word.split(separator: "'", omittingEmptySubsequences: false).joined(separator: "'\\''") + "'"
  }
}
