import ArgumentParser
import Glibc
import Launcher

/// The options that say what is booted: the same for `skep run` and `skep image`.
struct GuestOptions: ParsableArguments {
  @Option(
    help: ArgumentHelp("The kernel: a Linux bzImage for x86-64, or an image for Multiboot 1 or 2.", valueName: "file"))
  var kernel: String

  @Option(help: ArgumentHelp("The initial RAM disk; a Multiboot kernel's first module.", valueName: "file"))
  var initrd: String?

  @Option(
    parsing: .unconditionalSingleValue,
    help: ArgumentHelp(
      "A module of a Multiboot kernel, with its command line behind the first space; may be repeated.",
      valueName: "file arguments"))
  var module: [String] = []

  @Option(
    parsing: .unconditional,
    help: ArgumentHelp(
      "The kernel's command line (default for Linux: \(Boot.defaultCommandLine)).", valueName: "text"))
  var append: String?

  @Option(
    help: ArgumentHelp(
      """
      The guest's memory, \(Boot.memoryBounds.lowerBound) to \(Boot.memoryBounds.upperBound), a multiple of \
      \(Boot.memoryGranularity): bytes, or a number with K, M or G.
      """,
      valueName: "size"))
  var memory = MemorySize.mebibytes(256)

  @Option(help: ArgumentHelp("The guest's processors: 1 to 8, each on one of the machine's own.", valueName: "count"))
  var cpus = 1

  @Flag(inversion: .prefixedNo, help: "Give the guest's local APICs x2APIC mode.")
  var x2apic = true

  @Option(
    help: ArgumentHelp(
      "A control that Skep is not to use although the processor has it, or what needs it; may be repeated.",
      valueName: "control"))
  var without: [OptionalControlName] = []

  @Option(help: ArgumentHelp("The hypervisor's image; build/skep.elf if not given.", valueName: "file"))
  var hypervisor: String?

  @Flag(inversion: .prefixedNo, help: "Count what the guest costs: exits, VMREADs, VMWRITEs, instructions.")
  var metered = true

  @Flag(help: "Map the guest's memory page by page when it is first touched, not all at the start.")
  var onDemand = false

  @Flag(help: "Look at the end whether memory outside the guest has changed, and panic if it has.")
  var checkMemory = false

  @Option(
    help: ArgumentHelp(
      """
      Stop the guest after this time by the emulated processor's clock: seconds, or with s, m or h. Without the \
      VMX-preemption timer a guest can prevent it.
      """,
      valueName: "time"))
  var timeLimit: TimeLimit?

  @Option(
    parsing: .unconditional,
    help: ArgumentHelp(
      """
      When the guest has ended, however, start its kernel once more, with this command line; for one processor and \
      without modules.
      """, valueName: "text"))
  var restart: String?

  @Option(
    help: ArgumentHelp("Make this check of the SDM fail at the first VM entry, to see the report.", valueName: "check"))
  var drill: String?

  /// Checks the files and amounts, and puts them together.
  func boot(native: Bool = false) throws -> Boot {
    let kernel = try InputFile(kernel, role: "kernel")
    let initrd = try initrd.map { try InputFile($0, role: "initrd") }
    let modules = try module.map { text in
      let parts = text.split(separator: " ", maxSplits: 1, omittingEmptySubsequences: false).map(String.init)
      return ModuleFile(try InputFile(parts[0], role: "module"), commandLine: parts.count > 1 ? parts[1] : "")
    }
    var boot = try Boot(
      method: native ? .native : .hypervisor(hypervisorImage()), kernel: kernel, initrd: initrd, modules: modules,
      commandLine: append ?? Boot.defaultCommandLine(of: kernel), memory: memory, processorCount: cpus,
      isMetered: metered, mapsOnDemand: onDemand, drill: drill)
    boot.hasX2APIC = x2apic
    boot.checksMemory = checkMemory
    boot.timeLimit = timeLimit
    try boot.setRestart(restart)
    if native, timeLimit != nil || restart != nil {
      throw LaunchProblem("--time-limit and --restart are Skep's, so --native has none", remedy: "Use --timeout.")
    }
    for name in without { boot.optionalControls.remove(name.control) }
    return boot
  }

  /// The image named by the option, or the one built in the package that this program was built in.
  private func hypervisorImage() throws -> InputFile {
    if let hypervisor { return try InputFile(hypervisor, role: "hypervisor image") }
    for directory in [currentDirectory] + ancestorsOfExecutable {
      let candidate = directory + "/build/skep.elf"
      if access(candidate, F_OK) == 0 { return try InputFile(candidate, role: "hypervisor image") }
    }
    throw LaunchProblem(
      "the hypervisor image build/skep.elf is not there",
      remedy: "Build it with: make image   or name one with --hypervisor.")
  }

  private var currentDirectory: String {
    guard let path = getcwd(nil, 0) else { return "." }
    defer { free(path) }
    return String(cString: path)
  }

  private var ancestorsOfExecutable: [String] {
    guard let path = realpath("/proc/self/exe", nil) else { return [] }
    defer { free(path) }
    let components = String(cString: path).split(separator: "/")
    return components.indices.reversed().map { "/" + components[..<$0].joined(separator: "/") }
  }
}

extension MemorySize: ExpressibleByArgument {
  /// Parses what ``MemorySize/init(_:)`` takes.
  public init?(argument: String) { self.init(argument) }
}

extension TimeLimit: ExpressibleByArgument {
  /// Parses what ``TimeLimit/init(_:)`` takes.
  public init?(argument: String) { self.init(argument) }
}
