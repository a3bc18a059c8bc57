import CVMX

/// The host's local APIC, in xAPIC mode at its usual address (SDM, "Local APIC").
package struct LocalAPIC {
  private static var base: UInt { 0xFEE0_0000 }

  private static func register(_ offset: UInt) -> UnsafeMutableRawPointer {
    UnsafeMutableRawPointer(bitPattern: base + offset).unsafelyUnwrapped
  }

  /// Turns the local APIC on with the spurious vector, the timer masked.
  package static func enable() {
    cvmx_store32(register(0xF0), 0x100 | UInt32(HostVector.spurious))
    cvmx_store32(register(0x80), 0)
    cvmx_store32(register(0x3E0), 0b1011)  // the timer's divisor is 1
    cvmx_store32(register(0x320), 1 << 16 | UInt32(HostVector.timer))
  }

  /// This processor's APIC ID.
  package static var identifier: UInt8 { UInt8(cvmx_load32(register(0x20)) >> 24) }

  /// What a processor can send to another (SDM, "Interrupt Command Register (ICR)").
  package enum Message {
    case fixed(vector: UInt8)
    case nmi
    case initialize
    /// Starts a processor at this page of the first megabyte.
    case startUp(page: UInt8)

    /// Bits 10:0, vector and delivery mode, are the same in an I/O APIC's redirection table.
    fileprivate var command: UInt32 {
      switch self {
      case .fixed(let vector): 0x4000 | UInt32(vector)
      case .nmi: 0x4400
      case .initialize: 0x4500
      case .startUp(let page): 0x4600 | UInt32(page)
      }
    }
  }

  /// Sends `message` to the processor with APIC ID `destination`, after the message before it has gone.
  package static func send(_ message: Message, to destination: UInt8) {
    while cvmx_load32(register(0x300)) & 1 << 12 != 0 { cvmx_pause() }
    cvmx_store32(register(0x310), UInt32(destination) << 24)
    cvmx_store32(register(0x300), message.command)
  }

  /// Ends the interrupt in service.
  package static func endOfInterrupt() { cvmx_store32(register(0xB0), 0) }

  /// Arms the timer for one interrupt after `ticks` of its clock; 0 disarms it.
  package static func setTimer(_ ticks: UInt32) { cvmx_store32(register(0x380), ticks) }

  /// Lets the timer interrupt, or count without.
  package static func setTimerMask(_ masked: Bool) {
    cvmx_store32(register(0x320), (masked ? 1 << 16 : 0) | UInt32(HostVector.timer))
  }

  /// Whether the timer has TSC-deadline mode (SDM, "TSC-Deadline Mode").
  package static var hasTSCDeadlineMode: Bool { cvmx_cpuid(1, 0).ecx & 1 << 24 != 0 }

  /// Puts the timer into TSC-deadline mode.
  package static func enterTSCDeadlineMode() { cvmx_store32(register(0x320), 2 << 17 | UInt32(HostVector.timer)) }

  /// Arms the timer, in TSC-deadline mode, for one interrupt when the time-stamp counter reaches `deadline`; 0 disarms it.
  package static func setDeadline(_ deadline: UInt64) { cvmx_wrmsr(0x6E0, deadline) }

  /// What is left of the timer's count.
  package static var timerCount: UInt32 { cvmx_load32(register(0x390)) }
}

/// Ends an interrupt of the host's.
///
/// What it was about is looked at by the run loop.
package func acknowledgeHostInterrupt(_ vector: UInt8) {
  if vector != HostVector.spurious { LocalAPIC.endOfInterrupt() }
}

/// The host's first I/O APIC, at its usual address.
package struct IOAPIC {
  private static var base: UInt { 0xFEC0_0000 }

  private static func write(_ index: UInt32, _ value: UInt32) {
    cvmx_store32(UnsafeMutableRawPointer(bitPattern: base).unsafelyUnwrapped, index)
    cvmx_store32(UnsafeMutableRawPointer(bitPattern: base + 0x10).unsafelyUnwrapped, value)
  }

  /// Sends interrupts of input `input`, edge-triggered, as `message` to the processor with APIC ID `destination`.
  package static func route(input: UInt32, as message: LocalAPIC.Message, destination: UInt8) {
    write(0x11 + 2 * input, UInt32(destination) << 24)
    write(0x10 + 2 * input, message.command & 0x7FF)
  }
}

/// Masks every line of the host's 8259As, after moving their vectors away from the exceptions.
package func silenceHost8259() {
  initialize(command: 0x20, vectors: 0xF0, cascade: 4)
  initialize(command: 0xA0, vectors: 0xF8, cascade: 2)

  func initialize(command: UInt16, vectors: UInt8, cascade: UInt8) {
    cvmx_out8(command, 0x11)
    cvmx_out8(command + 1, vectors)
    cvmx_out8(command + 1, cascade)
    cvmx_out8(command + 1, 0x01)
    cvmx_out8(command + 1, 0xFF)
  }
}
