/// An event of a guest whose cost is measured, and what there is to compare it with.
struct Event {
  /// Its name in the benchmark's guest.
  var name: String
  /// Its name in the table.
  var title: String
  /// The same event under KVM on the same emulated processor.
  var kvm: Cost?
  /// The most instructions that Skep may need.
  var limit: Int?
  /// The most VMREADs and VMWRITEs that Skep may need.
  var accessLimit: Accesses?
  /// The event of the guest that does what has to be done before each measurement, and nothing else.
  var preparation: String?
  /// Whether the guest's memory is mapped when it is first touched.
  var mapsOnDemand = false
  /// How many processors the guest has.
  var processorCount = 1

  /// Whether it is measured in a run of its own.
  var hasMachineOfItsOwn: Bool { mapsOnDemand || processorCount > 1 }

  /// What an event costs.
  struct Cost: Equatable {
    /// From RDTSC to RDTSC in the guest; two RDTSC with nothing between them are 4.
    var instructions: Int
    var accesses: Accesses
  }
}

/// How often a VMCS is accessed.
struct Accesses: Equatable, CustomStringConvertible {
  var vmreads: Double
  var vmwrites: Double

  var description: String { "\(Self.text(vmreads)) / \(Self.text(vmwrites))" }

  /// Whether these are no more than `limit`, to the hundredth: of two runs of which one has a thousand events more, that
  /// may have an interrupt of the host's more, too.
  func isWithin(_ limit: Accesses) -> Bool {
    Self.hundredths(vmreads) <= Self.hundredths(limit.vmreads)
      && Self.hundredths(vmwrites) <= Self.hundredths(limit.vmwrites)
  }

  private static func hundredths(_ value: Double) -> Int { Int((value * 100).rounded()) }

  /// As a whole number where it is one, and else to the hundredth.
  private static func text(_ value: Double) -> String {
    let hundredths = hundredths(value)
    let rest = hundredths % 100
    return "\(hundredths / 100)" + (rest == 0 ? "" : rest < 10 ? ".0\(rest)" : ".\(rest)")
  }
}

extension Event {
  /// The events in the order of the table.
  ///
  /// KVM's figures: Linux 6.1 with mitigations off on Bochs' `corei7_skylake_x`, one vCPU, in-kernel interrupt controller,
  /// most frequent value; VMREADs and VMWRITEs counted in instruction traces. KVM has the 16550 and unclaimed ports
  /// handled by user space, and raises the interrupt by an interprocessor interrupt of the x2APIC, where Skep's guest
  /// unmasks it in the 8259A.
  static let all = [
    Event(name: "cpuid-0", title: "CPUID leaf 0", kvm: kvm(974, 7, 1), limit: 150, accessLimit: cpuidAccesses),
    Event(name: "cpuid-1", title: "CPUID leaf 1", limit: 150, accessLimit: cpuidAccesses),
    Event(name: "rdmsr-apic-base", title: "RDMSR IA32_APIC_BASE", kvm: kvm(1089, 7, 1), limit: 150),
    Event(name: "wrmsr-apic-base", title: "WRMSR IA32_APIC_BASE", kvm: kvm(1266, 7, 1)),
    Event(name: "in-8259", title: "IN from the 8259A, port 0x21", kvm: kvm(1233, 8, 1), limit: 250),
    Event(name: "out-8259", title: "OUT to the 8259A, port 0x21", limit: 250),
    Event(name: "in-16550-lsr", title: "IN from the 16550, LSR", limit: 250),
    Event(name: "in-16550-scr", title: "IN from the 16550, SCR", limit: 250),
    Event(name: "out-16550-scr", title: "OUT to the 16550, SCR", kvm: kvm(2990, 9, 2), limit: 250),
    Event(name: "in-8254", title: "IN from the 8254, counter 0", limit: 250),
    Event(name: "in-146818", title: "IN from the MC146818", limit: 250),
    Event(name: "in-unclaimed", title: "IN from port 0x80, no device"),
    Event(name: "out-unclaimed", title: "OUT to port 0x80, no device", kvm: kvm(2990, 9, 2)),
    Event(name: "wbinvd", title: "WBINVD", kvm: kvm(867, 7, 1)),
    Event(name: "xsetbv", title: "XSETBV"),
    Event(name: "mov-cr8", title: "MOV to CR8"),
    Event(name: "vmcall", title: "VMCALL: #UD, delivery, IRET"),
    Event(
      name: "interrupt", title: "Interrupt, delivery, EOI", kvm: kvm(4069, 16, 5), preparation: "request-interrupt"),
    Event(
      name: "halt", title: "Interrupt, STI, HLT, delivery, EOI", kvm: kvm(6701, 28, 10),
      preparation: "request-interrupt"),
    Event(
      name: "apic-read", title: "Local APIC read through MMIO", kvm: kvm(7184, 25, 2), limit: 1436,
      accessLimit: withoutExit),
    Event(
      name: "apic-eoi", title: "Local APIC EOI through MMIO", kvm: kvm(3860, 13, 2), limit: 772,
      accessLimit: withoutExit),
    Event(name: "hpet-counter", title: "HPET main counter, MOV", limit: 700),
    Event(name: "io-apic-read", title: "I/O APIC data register, MOV", limit: 700),
    Event(name: "io-apic-select", title: "I/O APIC index register, MOV", limit: 700),
    Event(
      name: "x2apic-eoi", title: "x2APIC EOI by WRMSR", kvm: kvm(1179, 7, 1), limit: 235, accessLimit: withoutExit),
    Event(name: "tsc-deadline", title: "WRMSR IA32_TSC_DEADLINE, arms", kvm: kvm(1298, 6, 1), limit: 259),
    Event(
      name: "self-ipi", title: "x2APIC self-IPI, delivery, EOI", kvm: kvm(4069, 16, 5), limit: 813,
      accessLimit: withoutExit),
    Event(name: "self-ipi-halt", title: "Self-IPI, STI, HLT, delivery, EOI", kvm: kvm(6701, 28, 10), limit: 1340),
    Event(name: "deadline-halt", title: "HLT to wake: TSC deadline, EOI"),
    Event(name: "ipi-halted", title: "HLT to wake: IPI of another vCPU", processorCount: 2),
    Event(name: "ipi-running", title: "IPI to another vCPU's handler", processorCount: 2),
    Event(
      name: "touch", title: "First touch of a 4 KiB page", kvm: kvm(2785, 5, 0), limit: 350, mapsOnDemand: true),
  ]

  /// What two RDTSC with nothing between them have to cost, or else the ticks are not instructions.
  static let emptyPair = (name: "empty", instructions: 4)

  private static let cpuidAccesses = Accesses(vmreads: 4, vmwrites: 1)
  /// What the processor does without an exit: a fifth of KVM's instructions would leave room for one.
  private static let withoutExit = Accesses(vmreads: 0, vmwrites: 0)

  private static func kvm(_ instructions: Int, _ vmreads: Double, _ vmwrites: Double) -> Cost {
    Cost(instructions: instructions, accesses: Accesses(vmreads: vmreads, vmwrites: vmwrites))
  }
}
