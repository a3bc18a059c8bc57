import Glibc
import Testing

@testable import Launcher

/// A guest of Tests/Guests that Skep stops, or that restarts its machine.
struct GuestEnd: Sendable, CustomTestStringConvertible {
  var testDescription: String
  var status: Int32
  /// What the report, or the last line, says.
  var text: String
  /// Lines of the report that tell where the guest was, or how it restarted.
  var state: [String]

  init(_ guest: String, _ status: Int32, _ text: String, _ state: [String] = []) {
    testDescription = guest
    self.status = status
    self.text = text
    self.state = state
  }

  static let all: [GuestEnd] = [
    .init(
      "triple-fault", 1, "the guest's processor shut down after a triple fault", ["IDTR            0x0000000000000000"]),
    .init(
      "halt", 1, "the guest halted its processor with RFLAGS.IF = 0; nothing can wake it", ["RIP 0x000000000020020e"]),
    .init(
      "halt-pending", 1, "the guest halted its processor with RFLAGS.IF = 0; nothing can wake it",
      ["RFL 0x0000000000000"]),
    .init(
      "missing-string", 1, "the guest wrote to 0x0000000080000123, where it has no memory", ["RDI 0x0000000080000123"]),
    .init(
      "reset-keyboard", 0, "The guest reset itself", ["the guest restarted its machine by the keyboard controller\n"]),
    .init("reset-port-92", 0, "The guest reset itself", ["the guest restarted its machine by port 0x92\n"]),
    .init("reset-port-cf9", 0, "The guest reset itself", ["the guest restarted its machine by port 0xcf9\n"]),
  ]
}

/// A control that is taken away, and how many thousand exits the guest `local-apic` then has, by their reasons.
struct ControlUse: Sendable, CustomTestStringConvertible {
  /// The name that `--without` knows; empty for none.
  var control: String
  var thousands: [String: Int]

  var testDescription: String { control.isEmpty ? "all controls" : "without \(control)" }

  static let all: [ControlUse] = [
    .init(control: "", thousands: ["WRMSR": 1, "VMX-preemption timer expired": 1]),
    .init(
      control: "use-tpr-shadow",
      thousands: [
        "Control-register accesses": 1, "APIC access": 2, "RDMSR": 1, "WRMSR": 3, "VMX-preemption timer expired": 1,
      ]),
    .init(
      control: "virtualize-apic-accesses",
      thousands: ["EPT violation": 2, "WRMSR": 1, "VMX-preemption timer expired": 1]),
    .init(
      control: "virtualize-x2apic-mode", thousands: ["RDMSR": 1, "WRMSR": 3, "VMX-preemption timer expired": 1]),
    .init(
      control: "apic-register-virtualization",
      thousands: ["APIC access": 1, "WRMSR": 1, "VMX-preemption timer expired": 1]),
    .init(control: "virtual-interrupt-delivery", thousands: ["WRMSR": 3, "VMX-preemption timer expired": 1]),
    .init(control: "activate-vmx-preemption-timer", thousands: ["WRMSR": 3, "External interrupt": 1]),
  ]
}

/// Small guests that do what no sound guest does, or that look closely at what instructions do under Skep.
///
/// Needs what `make image test-guests` makes. These start the emulator, so `make test` asks for them by
/// SKEP_BOCHS_TESTS=1.
@Suite("Guests in Bochs", .enabled(if: getenv("SKEP_BOCHS_TESTS") != nil, "SKEP_BOCHS_TESTS is not set"), .serialized)
struct GuestTests {
  let scratch: Scratch
  private let package: String

  init() throws {
    scratch = try Scratch()
    package = try Scratch.package()
  }

  private func command(_ guest: String, _ options: String = "") -> String {
    "\(RunTests.skep) run --hypervisor \(package)/build/skep.elf --kernel \(package)/build/test-guests/\(guest) "
      + "--memory 64M --timeout 2m \(options)"
  }

  @Test("How a guest ends, and the report of its state", arguments: GuestEnd.all)
  func ends(end: GuestEnd) throws {
    let (status, output) = try scratch.shell(command(end.testDescription))
    #expect(status == end.status, "\(output)")
    for text in [end.text] + end.state { #expect(output.contains(text), "\(output)") }
    #expect(output.contains("\nRIP 0x") == (end.status != 0))
    #expect(!output.contains("panic"))
  }

  @Test(
    "Instructions do what the SDM says",
    arguments: [
      "breakpoints", "control-registers", "cpuid", "msrs", "ports", "privileged", "string-io", "unclaimed-memory",
      "vmx-instructions", "xmm", "xsave",
    ], ["corei7_skylake_x", "corei7_sandy_bridge_2600k"])
  func passes(guest: String, model: String) throws {
    let (status, output) = try scratch.shell(command(guest, "--cpu-model \(model)"))
    #expect(status == 0, "\(output)")
    #expect(output.contains("PASS\n"), "\(output)")
    #expect(!output.contains("FAIL"), "\(output)")
  }

  @Test(
    "No interrupt of the host's brings the guest one of its own that RFLAGS.IF keeps out",
    arguments: ["", "--without virtual-interrupt-delivery", "--without activate-vmx-preemption-timer"])
  func masked(options: String) throws {
    let (status, output) = try scratch.shell(
      command("masked-interrupt", "--cpu-model corei7_skylake_x \(options)"))
    #expect(status == 0 && output.contains("PASS\n"), "\(output)")
  }

  @Test("Nothing that the host is busy with keeps an interrupt of the 8254's from the guest", arguments: [1, 2])
  func timer(processors: Int) throws {
    let (status, output) = try scratch.shell(
      command("timer-while-busy", "--cpu-model corei7_skylake_x --cpus \(processors)"))
    #expect(status == 0 && output.contains("PASS\n"), "\(output)")
  }

  @Test("What is typed while the host is busy with output reaches a guest that only COM1 interrupts, all of it")
  func input() throws {
    let typed = String(repeating: "x", count: 3000)
    let (status, output) = try scratch.shell(
      command("input-while-output", "--expect 'a while' --send \(typed) --expect PASS"))
    #expect(status == 0, "\(output)")
  }

  @Test(
    "Whatever a guest does, --time-limit stops it: with a report of each processor, and memory as it was",
    arguments: [
      ("loop", 1, ["0, which executes instructions"]),
      ("loop", 2, ["0, which executes instructions", "1, which waits for a SIPI"]),
      ("halt-enabled", 1, ["0, which is halted"]),
      ("halt-enabled", 2, ["0, which is halted", "1, which waits for a SIPI"]),
      ("nmi-loop", 1, ["0, which executes instructions; NMIs are blocked; an NMI waits"]),
      ("debug-loop", 1, ["0, which executes instructions"]),
    ])
  func timeLimit(guest: String, processors: Int, states: [String]) throws {
    let (status, output) = try scratch.shell(
      command(guest, "--time-limit 1 --check-memory --cpus \(processors)"))
    #expect(status == 6, "\(output)")
    #expect(output.contains("\n    memory outside the guest is unchanged\n"), "\(output)")
    #expect(output.contains("\n==> The guest was stopped: its time was over "), "\(output)")
    let lines = output.split(separator: "\n")
    #expect(
      lines.filter { $0.hasPrefix("on processor ") }.map { $0.dropFirst(13) } == states.map { $0[...] }, "\(output)")
    #expect(lines.count { $0.hasPrefix("RIP 0x") } == processors)
  }

  @Test(
    "However a guest has ended, --restart starts it once more, and it does the same",
    arguments: [
      ("string-io", 0, "the guest turned its machine off", "PASS\n"),
      ("timer-while-busy", 0, "the guest turned its machine off", "PASS\n"),
      ("reset-port-cf9", 0, "the guest restarted its machine by port 0xcf9", ""),
      ("triple-fault", 1, "the guest's processor shut down after a triple fault", "\nRIP 0x"),
      ("missing-string", 1, "the guest wrote to 0x0000000080000123, where it has no memory", "\nRIP 0x"),
      ("nmi-loop", 6, "the guest has not ended in the time that it was given", "; NMIs are blocked; an NMI waits\n"),
    ])
  func restart(guest: String, status: Int32, end: String, text: String) throws {
    let result = try scratch.shell(command(guest, "--restart again --time-limit 2 --check-memory"))
    #expect(result.status == status, "\(result.output)")
    #expect(result.output.contains("\n    the guest is started once more: \(end)\n"), "\(result.output)")
    for (text, count) in [("memory outside the guest is unchanged\n", 2), (text, 2)] where !text.isEmpty {
      #expect(result.output.ranges(of: text).count == count, "\(result.output)")
    }
  }

  @Test("The second start has the command line that --restart gives")
  func restartLine() throws {
    let guest = "\(package)/build/test-guests/hostile"
    let (status, output) = try scratch.shell(
      "\(RunTests.skep) run --hypervisor \(package)/build/skep.elf --kernel \(guest) --memory 32M --timeout 2m "
        + "--append 'seed=5 rounds=0' --restart 'seed=6 rounds=0'")
    #expect([0, 1].contains(status), "\(output)")
    #expect(output.contains("seed 5\n\nover 0\n") && output.contains("seed 6\n\nover 0\n"), "\(output)")
  }

  @Test("The time is that of the emulated processor's clock")
  func timeOfTheClock() throws {
    let (status, output) = try scratch.shell(command("loop", "--time-limit 3 --timeout 2m"))
    #expect(status == 6, "\(output)")
    // Only Skep's table of costs knows, and what it counts in are the clock's ticks, 50,000,000 a second.
    let ticks = output.split(separator: "\n").filter { $0.hasPrefix("Instructions in ") }.compactMap {
      Int($0.split(separator: " ").last ?? "")
    }.reduce(0, +)
    #expect((149_000_000...152_000_000).contains(ticks), "\(output)")
  }

  @Test("Memory that is mapped when it is touched: INS and OUTS, page faults and missing memory are the same")
  func onDemand() throws {
    let (status, output) = try scratch.shell(command("string-io", "--on-demand"))
    #expect(status == 0 && output.contains("PASS\n"), "\(output)")
    let missing = try scratch.shell(command("missing-string", "--on-demand"))
    #expect(
      missing.status == 1 && missing.output.contains("wrote to 0x0000000080000123"), "\(missing.output)")
  }

  @Test("Each control spares the guest exits, which --without brings", arguments: ControlUse.all)
  func controls(use: ControlUse) throws {
    let (status, output) = try scratch.shell(
      command("local-apic", use.control.isEmpty ? "" : "--without \(use.control)"))
    #expect(status == 0 && output.contains("PASS\n"), "\(output)")
    // Of the table the rows of the reasons, which alone stand in; a few exits are those of the host's own NMIs and timer.
    let rows = output.split(separator: "\n").filter { $0.hasPrefix("  ") }.map { $0.split(separator: " ") }
    var thousands: [String: Int] = [:]
    for row in rows {
      if let count = row.last.flatMap({ Int($0) }), count >= 500 {
        thousands[row.dropLast().joined(separator: " ")] = (count + 500) / 1000
      }
    }
    #expect(thousands == use.thousands, "\(output)")
  }

  @Test("A guest that never exits and takes no interrupt is ended by --timeout")
  func timeout() throws {
    let (status, output) = try scratch.shell(command("loop", "--timeout 20"))
    #expect(status == 4, "\(output)")
    #expect(output.contains("looping\n") && output.contains("ended after 20 s"), "\(output)")
  }

  @Test("Bochs writes nothing to its screen, which nobody reads: after some minutes it would wait there for ever")
  func screen() throws {
    let (_, output) = try scratch.shell(
      """
      : >out
      \(command("loop")) >out 2>&1 &
      skep=$!
      for i in $(seq 600); do grep -q '^looping' out && break; sleep 0.1; done
      for process in /proc/[0-9]*; do
        [ "$(cut -d ' ' -f 4 $process/stat 2>/dev/null)" = $skep ] && emulator=$process
      done
      written() { grep wchar $emulator/io; }
      sleep 1
      before=$(written)
      sleep 4
      after=$(written)
      kill $skep
      wait $skep
      [ -n "$before" ] && [ "$before" = "$after" ] && echo nothing || echo "$before, $after"
      """)
    #expect(output == "nothing\n")
  }

  @Test("And by Ctrl-C and SIGTERM", arguments: ["INT", "TERM"])
  func signal(name: String) throws {
    let (_, output) = try scratch.shell(
      """
      : >out
      env --default-signal=INT,HUP,TERM \(command("loop")) >out 2>&1 &
      for i in $(seq 600); do grep -qs looping out && echo looping && break; sleep 0.1; done
      kill -\(name) $!
      wait $!
      echo "status $?"
      """)
    #expect(output == "looping\nstatus 130\n")
  }

  @Test(
    "What does not fit is said in one message",
    arguments: [
      ("--initrd missing", "the initrd missing cannot be read: No such file or directory"),
      ("--initrd big", "The initrd does not fit: it has 83886080 bytes"),
      ("--memory 8M", "--memory 8 MiB is out of range"), ("--memory 4G", "--memory 4 GiB is out of range"),
      ("--append LONG", "The command line is too long: it has 300 bytes"),
    ])
  func doesNotFit(options: String, text: String) throws {
    _ = try scratch.write([UInt8](repeating: 0, count: 80 << 20), to: "big")
    let options = options == "--append LONG" ? "--append " + String(repeating: "x", count: 300) : options
    let (status, output) = try scratch.shell(command("halt", options))
    #expect(status == 2, "\(output)")
    let messages = output.split(separator: "\n").filter { $0.hasPrefix("skep: ") }
    #expect(messages.count == 1 && messages[0].contains(text), "\(output)")
  }
}
