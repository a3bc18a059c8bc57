import Host
import Machine
import VMCS

/// Carries bytes between the guest's serial port and the host's COM1.
///
/// Output goes out by the UART's own interrupt, sixteen bytes each, only while there is some; input waits here while the
/// guest's receiver is full.
struct Console: ~Copyable {
  private let port = SerialPort(base: SerialPort.com1, interruptEnable: Self.receiverInterrupt)
  private var waiting: InlineArray<4096, UInt8> = .init(repeating: 0)
  private var first = 0
  private var count = 0

  private static var receiverInterrupt: UInt8 { 1 }
  private static var transmitterInterrupt: UInt8 { 2 }
  private static var transmitterDepth: Int { 16 }

  /// Moves what can be moved now, both ways.
  mutating func pump(_ machine: inout VirtualMachine, at now: MachineTime) {
    // The port interrupts by an edge: unless its line falls, nothing tells of what comes next. Where nothing was to be
    // done, it was low.
    var isBusy = machine.isOutputDraining
    repeat {
      if receive() { isBusy = true }
      while count > 0, machine.bus.receive(waiting[first], at: now) {
        first = (first + 1) % waiting.count
        count -= 1
      }
      transmit(&machine, at: now)
    } while (isBusy || machine.isOutputDraining) && port.hasInterrupt
    machine.bus.isInputWaiting = count > 0
  }

  /// Takes what came in for the guest; whether there was anything.
  ///
  /// What finds no room here is lost, as on a serial line without flow control.
  private mutating func receive() -> Bool {
    var hasReceived = false
    while port.hasInput {
      hasReceived = true
      let byte = port.receive()
      if count == waiting.count { continue }
      waiting[(first + count) % waiting.count] = byte
      count += 1
    }
    return hasReceived
  }

  private mutating func transmit(_ machine: inout VirtualMachine, at now: MachineTime) {
    let wasDraining = machine.isOutputDraining
    if port.canTransmit {
      for _ in 0..<Self.transmitterDepth {
        guard let byte = machine.bus.takeTransmitted(at: now) else { break }
        port.transmit(byte)
      }
    }
    machine.isOutputDraining = machine.bus.hasTransmitted
    if machine.isOutputDraining != wasDraining {
      port.setInterruptEnable(Self.receiverInterrupt | (machine.isOutputDraining ? Self.transmitterInterrupt : 0))
    }
  }

  /// Sends the rest of what the guest has written, waiting for the UART.
  mutating func flush(_ machine: inout VirtualMachine, at now: MachineTime) {
    while machine.bus.hasTransmitted { transmit(&machine, at: now) }
  }
}
