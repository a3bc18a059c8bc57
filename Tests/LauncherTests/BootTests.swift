import Glibc
import Machine
import Testing

@testable import Launcher

/// What is checked before anything is started, and what GRUB is told.
@Suite("Boot")
struct BootTests {
  let scratch: Scratch
  let kernel: InputFile

  init() throws {
    scratch = try Scratch()
    kernel = try InputFile(scratch.kernel(), role: "kernel")
  }

  private func problem(_ body: () throws -> Void) -> LaunchProblem? {
    do {
      try body()
      return nil
    } catch {
      return error as? LaunchProblem
    }
  }

  @Test(
    "Files that cannot be used are named, with the reason",
    arguments: ["missing", "empty", "directory", "fifo", "large"])
  func files(kind: String) throws {
    let path = "\(scratch.path)/\(kind)"
    switch kind {
    case "empty": _ = try scratch.write([], to: kind)
    case "directory": #expect(mkdir(path, 0o700) == 0)
    case "fifo": #expect(mkfifo(path, 0o600) == 0)
    case "large":
      _ = try scratch.write([], to: kind)
      try #require(truncate(path, Int(Boot.mostMachineMemory.bytes)) == 0)
      #expect(try InputFile(path, role: "initrd").size == Boot.mostMachineMemory)
      try #require(truncate(path, Int(Boot.mostMachineMemory.bytes) + 1) == 0)
    default: break
    }
    let problem = try #require(problem { _ = try InputFile(path, role: "initrd") })
    let reasons = [
      "missing": "cannot be read: No such file or directory", "empty": "is empty", "directory": "is not a regular file",
      "fifo": "is not a regular file", "large": "is larger than the emulator's 2 GiB",
    ]
    #expect(problem.problem == "the initrd \(path) \(reasons[kind]!)")
    #expect(problem.status == .badInput)
  }

  @Test(
    "A boot that cannot be is refused",
    arguments: [
      ("a\nb", 256, "--append contains the control character U+000A"),
      ("a\u{7f}", 256, "--append contains the control character U+007F"),
      ("", 15, "--memory 15 MiB is out of range"), ("", 1921, "--memory 1921 MiB is out of range"),
      ("", 16, "too little memory"), (String(repeating: "x", count: 2048), 256, "command line is too long"),
    ] as [(String, UInt64, String)])
  func refused(commandLine: String, mebibytes: UInt64, text: String) throws {
    let problem = try #require(
      problem {
        _ = try Boot(method: .native, kernel: kernel, commandLine: commandLine, memory: .mebibytes(mebibytes))
      })
    #expect(problem.problem.contains(text))
    #expect(problem.status == .badInput)
  }

  @Test(
    "Memory that is no multiple of 2 MiB is refused, with the two nearest amounts",
    arguments: [
      ("255M", "254 MiB or 256 MiB"), ("16385K", "16 MiB or 18 MiB"), ("268435457", "256 MiB or 258 MiB"),
      ("1919M", "1918 MiB or 1920 MiB"),
    ])
  func granularity(memory: String, amounts: String) throws {
    let memory = try #require(MemorySize(memory))
    for method in [.native, .hypervisor(kernel)] as [Boot.Method] {
      let problem = try #require(problem { _ = try Boot(method: method, kernel: kernel, memory: memory) })
      #expect(problem.problem == "--memory \(memory) (\(memory.bytes) bytes) is no multiple of 2 MiB")
      #expect(problem.remedy == "Give \(amounts).")
      #expect(problem.status == .badInput)
    }
  }

  @Test(
    "The machine has at most the 2048 MiB that the emulator can have",
    arguments: [
      (1920, 1, true), (1920, 63, true), (1920, 64, false), (1918, 64, true), (1900, 100, false), (1900, 83, true),
      (1024, 900, true),
    ])
  func machineMemory(mebibytes: UInt64, initrdMebibytes: Int, isAccepted: Bool) throws {
    let path = try scratch.write([0], to: "initrd")
    try #require(truncate(path, initrdMebibytes << 20) == 0)
    let initrd = try InputFile(path, role: "initrd")
    let refused = problem {
      let boot = try Boot(
        method: .hypervisor(kernel), kernel: kernel, initrd: initrd, memory: .mebibytes(mebibytes))
      #expect(boot.machineMemory <= .mebibytes(2048))
    }
    #expect((refused == nil) == isAccepted)
    if let refused {
      #expect(refused.problem.hasSuffix("and Skep itself (64 MiB) do not fit into the emulator's 2 GiB"))
      #expect(refused.status == .badInput)
    }
    let native = try Boot(method: .native, kernel: kernel, initrd: initrd, memory: .mebibytes(mebibytes))
    #expect(native.machineMemory == .mebibytes(mebibytes))
  }

  @Test("A number of processors that no guest can have is refused", arguments: [-1, 0, 9, Int.max])
  func processorsRefused(count: Int) throws {
    let problem = try #require(problem { _ = try Boot(method: .native, kernel: kernel, processorCount: count) })
    #expect(problem.problem == "--cpus \(count) is out of range")
    #expect(problem.remedy == "Give between 1 and 8.")
    #expect(problem.status == .badInput)
  }

  @Test("The machine has the guest's number of processors, and Skep is told it", arguments: 1...8)
  func processors(count: Int) throws {
    let boot = try Boot(method: .hypervisor(kernel), kernel: kernel, processorCount: count)
    #expect(boot.configuration.contains(" 'cpus=\(count)' "))
    let configuration = Emulator().configuration(
      memory: .mebibytes(64), processorCount: boot.processorCount, console: "a", report: "b")
    #expect(configuration.contains(", count=\(count), "))
  }

  @Test(
    "The guest's command line comes through GRUB unchanged",
    arguments: [
      "console=ttyS0", "", "a b", "a  b", " a ", "it's", "''", "a'b'c", #"dyndbg="file foo.c +p" x"#, #"a\b\\c \x41"#,
      "$x ${y} ; | & < > { } # *", "é",
    ])
  func commandLine(text: String) throws {
    let boot = try Boot(method: .hypervisor(kernel), kernel: kernel, commandLine: text)
    let line = try #require(boot.configuration.split(separator: "\n").first)
    let words = grubWords(String(line))
    #expect(words.first == "multiboot2")
    var received = Array(words.dropFirst(2).map(grubArgument).joined(separator: " ").utf8)
    received.withUnsafeMutableBytes {
      let options = HypervisorOptions(parsing: $0)
      #expect(String(decoding: options.append, as: UTF8.self) == text)
      #expect(options.memory == 256 << 20)
      #expect(options.isMetered)
      #expect(!options.mapsOnDemand)
    }
  }

  @Test("Only Linux is told of its console if the user says nothing")
  func defaultCommandLine() throws {
    #expect(try Boot.defaultCommandLine(of: kernel) == "console=ttyS0")
    var header: [UInt8] = []
    for word in [0x1BAD_B002, 0, 0 &- 0x1BAD_B002] as [UInt32] {
      header += (0..<4).map { UInt8(truncatingIfNeeded: word >> ($0 * 8)) }
    }
    let multiboot = try InputFile(scratch.write(header, to: "multiboot"), role: "kernel")
    #expect(try Boot.defaultCommandLine(of: multiboot) == "")
  }

  @Test("Skep is told the time that the guest may take", arguments: [nil, TimeLimit("7"), TimeLimit("2m")])
  func timeLimit(limit: TimeLimit?) throws {
    var boot = try Boot(method: .hypervisor(kernel), kernel: kernel)
    boot.timeLimit = limit
    #expect(boot.configuration.contains("limit=") == (limit != nil))
    if let limit { #expect(boot.configuration.contains(" 'limit=\(limit.seconds)' ")) }
  }

  @Test("A second start's command line comes through GRUB unchanged", arguments: ["", "a  b", #"it's "x" \y"#])
  func restart(text: String) throws {
    var boot = try Boot(method: .hypervisor(kernel), kernel: kernel, commandLine: "first")
    try boot.setRestart(text)
    let line = try #require(boot.configuration.split(separator: "\n").first)
    var received = Array(grubWords(String(line)).dropFirst(2).map(grubArgument).joined(separator: " ").utf8)
    received.withUnsafeMutableBytes {
      let options = HypervisorOptions(parsing: $0)
      #expect(options.restart.map { String(decoding: $0, as: UTF8.self) } == text)
      #expect(String(decoding: options.append, as: UTF8.self) == "first")
    }
    var several = try Boot(method: .hypervisor(kernel), kernel: kernel, processorCount: 2)
    let refused = problem { try several.setRestart(text) }
    #expect(refused?.problem == "--restart is for guests with one processor and without --module")
  }

  @Test("A module's command line comes through GRUB unchanged", arguments: ["", "a", "a  b", #"it's "x" \y"#])
  func module(text: String) throws {
    // Where it goes is not checked for Linux, which takes none; so the line is made by hand of a boot without modules.
    var boot = try Boot(method: .hypervisor(kernel), kernel: kernel, commandLine: "")
    boot.modules = [ModuleFile(kernel, commandLine: text), ModuleFile(kernel, commandLine: "second")]
    let lines = boot.configuration.split(separator: "\n").filter { $0.hasPrefix("module2 /module") }
    #expect(lines.count == 2 && lines[0].hasPrefix("module2 /module0 ") && lines[1].hasPrefix("module2 /module1 "))
    let words = grubWords(String(lines[0]))
    var received = Array(words.dropFirst(2).map(grubArgument).joined(separator: " ").utf8)
    let commandLine = received.withUnsafeMutableBytes {
      HypervisorOptions.moduleCommandLine($0).map { String(decoding: $0, as: UTF8.self) }
    }
    #expect(commandLine == text)
  }

  /// What GRUB's `multiboot2` makes of a word.
  private func grubArgument(_ word: String) -> String {
    let escaped = word.reduce(into: "") { $0 += "\\'\"".contains($1) ? "\\\($1)" : String($1) }
    return word.contains(" ") ? "\"\(escaped)\"" : escaped
  }

  /// The words of a line of GRUB's script language that uses single quotation marks only.
  private func grubWords(_ line: String) -> [String] {
    var words: [String] = []
    var word: String?
    var isQuoted = false
    var isEscaped = false
    for character in line {
      switch character {
      case _ where isEscaped:
        word = (word ?? "") + String(character)
        isEscaped = false
      case "'":
        isQuoted.toggle()
        word = word ?? ""
      case "\\" where !isQuoted: isEscaped = true
      case " " where !isQuoted:
        if let word { words.append(word) }
        word = nil
      default: word = (word ?? "") + String(character)
      }
    }
    return words + (word.map { [$0] } ?? [])
  }
}
