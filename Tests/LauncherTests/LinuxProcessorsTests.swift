import Glibc
import Testing

@testable import Launcher

/// A machine with two processors, how it is left, and what Linux says of its local APICs.
struct GuestMachine: Sendable, CustomTestStringConvertible {
  var testDescription: String
  var options: String
  /// The command that ends the run, and what the last line says then.
  var end: (command: String, text: String)
  /// The local APICs' mode at the end.
  var isX2APIC: Bool

  /// All controls that help with a local APIC and its timer, off.
  private static let withoutHelp = [
    "use-tpr-shadow", "virtualize-apic-accesses", "virtualize-x2apic-mode", "apic-register-virtualization",
    "virtual-interrupt-delivery", "activate-vmx-preemption-timer",
  ].map { " --without \($0)" }.joined()

  static let all: [GuestMachine] = [
    .init(
      testDescription: "x2APIC with all help", options: "--cpu-model corei7_skylake_x",
      end: ("poweroff", "The guest powered off"), isX2APIC: true),
    .init(
      testDescription: "xAPIC without help", options: "--cpu-model corei7_haswell_4770 --no-x2apic" + withoutHelp,
      end: ("reboot", "The guest reset itself"), isX2APIC: false),
  ]
}

/// What `/proc/interrupts` says: counts by the name of the interrupt, one for each processor.
struct InterruptCounts {
  private var lines: [Substring: [Int]] = [:]

  /// Reads the lines that have this form in a console's output.
  init(_ console: String) {
    for line in console.split(separator: "\n") {
      let words = line.split(separator: " ")
      guard let name = words.first, name.hasSuffix(":") else { continue }
      let counts = words.dropFirst().prefix { $0.allSatisfy(\.isNumber) }.compactMap { Int($0) }
      if !counts.isEmpty { lines[name.dropLast()] = counts }
    }
  }

  /// The counts of `name`; empty if there is no such line.
  subscript(name: String) -> [Int] { lines[name[...]] ?? [] }
}

/// Debian's kernel on several processors; `make test-matrix` tries many more of the machines, and for longer.
///
/// Needs what `make image guest` makes. These start the emulator, so `make test` asks for them by SKEP_BOCHS_TESTS=1.
@Suite(
  "Linux on several processors", .enabled(if: getenv("SKEP_BOCHS_TESTS") != nil, "SKEP_BOCHS_TESTS is not set"),
  .serialized)
struct LinuxProcessorsTests {
  let scratch: Scratch
  private let package: String

  init() throws {
    scratch = try Scratch()
    package = try Scratch.package()
  }

  @Test(
    "Both processors work, take timer and interprocessor interrupts, and go off with the machine",
    arguments: GuestMachine.all)
  func boots(machine: GuestMachine) throws {
    // Two seconds for Linux to measure the time-stamp counter before it takes it for its clock.
    let command =
      "sleep 2; echo $(nproc) processors; cat /sys/devices/system/clocksource/*/current_clocksource; "
      + "cat /proc/interrupts; dmesg | grep -e x2apic -e BUG: -e WARNING:; \(machine.end.command)\\n"
    let (status, output) = try scratch.shell(
      "\(RunTests.skep) run --hypervisor \(package)/build/skep.elf --timeout 10m --no-metered --cpus 2 \(machine.options) "
        + "--kernel \(package)/build/guest/vmlinuz --initrd \(package)/build/guest/initrd.img "
        + "--append 'console=ttyS0 cryptomgr.notests' --expect 'skep# ' --send '\(command)'")
    #expect(status == 0, "\(output.suffix(4000))")
    #expect(output.contains("==> \(machine.end.text)"))
    #expect(output.contains("\n2 processors\ntsc\n"), "\(output.suffix(4000))")
    #expect(output.contains("x2apic enabled\n") == machine.isX2APIC)
    #expect(!output.contains("] BUG: ") && !output.contains("] WARNING: "), "\(output.suffix(4000))")

    let counts = InterruptCounts(output)
    #expect(counts["LOC"].count == 2 && counts["LOC"].allSatisfy { $0 > 100 }, "\(counts["LOC"])")
    let interprocessor = zip(counts["RES"], counts["CAL"]).map(+)
    #expect(interprocessor.count == 2 && interprocessor.allSatisfy { $0 > 0 }, "\(interprocessor)")
    #expect(counts["ERR"] == [0])
    #expect(counts["SPU"] == [0, 0])
  }

  /// Without ARAT the timer of the local APIC is Linux' second choice, after an HPET that sends messages.
  @Test("Linux lives by message-signaled interrupts of the HPET")
  func messages() throws {
    let command = "sleep 2; cat /proc/interrupts; dmesg | grep -e BUG: -e WARNING:; poweroff\\n"
    let (status, output) = try scratch.shell(
      "\(RunTests.skep) run --hypervisor \(package)/build/skep.elf --timeout 10m --no-metered --cpus 2 "
        + "--kernel \(package)/build/guest/vmlinuz --initrd \(package)/build/guest/initrd.img "
        + "--append 'console=ttyS0 cryptomgr.notests clearcpuid=arat' --expect 'skep# ' --send '\(command)'")
    #expect(status == 0, "\(output.suffix(4000))")
    #expect(!output.contains("] BUG: ") && !output.contains("] WARNING: "), "\(output.suffix(4000))")
    let lines = output.split(separator: "\n").filter { $0.contains("HPET-MSI") }.joined(separator: "\n")
    let counts = InterruptCounts(lines)
    // Each processor has a comparator of its own.
    let totals = (0..<2).map { processor in
      (16..<64).reduce(0) { $0 + (counts["\($1)"].dropFirst(processor).first ?? 0) }
    }
    #expect(totals.allSatisfy { $0 > 100 }, "\(output.suffix(4000))")
  }
}
