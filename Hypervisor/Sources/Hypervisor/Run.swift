import CVMX
import Host
import Machine
import VMCS
import VMX

/// Runs the guest, and does what the host has to do in between, until the guest stops.
///
/// The host's interrupts are off except where it waits for one, so nothing changes behind the code's back.
func run<P: VMXProcessor>(
  _ processor: inout VirtualProcessor, _ vcpu: inout LoadedVCPU<P>,
  _ machine: UnsafeMutablePointer<VirtualMachine>, _ hostClock: HostClock, _ meter: UnsafeMutablePointer<Meter>?
) -> GuestStop {
  var console = Console()
  while true {
    let request = processor.run(&vcpu)
    if case .interrupt(let vector) = request { note(vector, machine) }
    if case .halted = request {
      let start = cvmx_rdtsc()
      cvmx_sti_hlt_cli()
      meter?.pointee.idleTicks &+= cvmx_rdtsc() &- start
      machine.pointee.armedDeadline = .max
    }
    machine.pointee.lock.acquire()
    let now = machine.pointee.clock.time(at: cvmx_rdtsc())
    machine.pointee.bus.advance(to: now)
    console.pump(&machine.pointee, at: now)
    if machine.pointee.bus.nextDeadline != machine.pointee.armedDeadline { arm(&machine.pointee, hostClock, now) }
    if case .stopped(let stop) = request {
      console.flush(&machine.pointee, at: now)
      machine.pointee.lock.release()
      return stop
    }
    machine.pointee.lock.release()
  }
}

/// Ends the interrupt.
///
/// The timer has fired if it was the timer's, so it is set again even for the same deadline.
private func note(_ vector: UInt8, _ machine: UnsafeMutablePointer<VirtualMachine>) {
  acknowledgeHostInterrupt(vector)
  if vector == HostVector.timer { machine.pointee.armedDeadline = .max }
}

/// Sets the timer for the guest's next deadline, but not for sooner than 20 µs: a guest that asks for more interrupts than
/// that would have the host do nothing else.
private func arm(_ machine: inout VirtualMachine, _ hostClock: HostClock, _ now: MachineTime) {
  let deadline = machine.bus.nextDeadline
  machine.armedDeadline = deadline
  if deadline == .max { return LocalAPIC.setTimer(0) }
  let shortest: MachineTime = 20_000
  LocalAPIC.setTimer(hostClock.timerTicks(max(deadline > now ? deadline - now : 0, shortest)))
}

/// Says how the guest ended and what it cost.
func report<P: VMXProcessor>(_ stop: GuestStop, _ vcpu: inout LoadedVCPU<P>, _ meter: UnsafeMutablePointer<Meter>?) {
  if let meter { writeCosts(meter) }
  switch stop {
  case .powerOff, .reset: break
  default:
    var output = ReportPort(lineStart: "skep: guest ")
    stop.write(to: &output)
    output.write("\n")
    switch stop {
    case .entryFailure, .entryInstructionFailed: writeFailedChecks(to: &output)
    default: break
    }
    GuestReport.write(&vcpu, to: &output)
  }
}

/// The table of what the run cost.
private func writeCosts(_ meter: UnsafeMutablePointer<Meter>) {
  var output = ReportPort(lineStart: "skep: table ")
  write("VM exits", meter.pointee.exitCount, to: &output)
  for reason in meter.pointee.exits.indices where meter.pointee.exits[reason] > 0 {
    output.write("  ")
    write(
      BasicExitReason(rawValue: UInt16(reason)).title ?? "unknown", meter.pointee.exits[reason], width: 40, to: &output)
  }
  write("VMREADs", meter.pointee.vmreads, to: &output)
  write("VMWRITEs", meter.pointee.vmwrites, to: &output)
  write("Instructions in the guest", meter.pointee.guestTicks, to: &output)
  write("Instructions in Skep", meter.pointee.hostTicks &- meter.pointee.idleTicks, to: &output)
  write("Time-stamp counter ticks halted", meter.pointee.idleTicks, to: &output)
}

private func write(_ name: StaticString, _ value: UInt64, width: Int = 42, to output: inout ReportPort) {
  output.write(name)
  for _ in 0..<max(1, width - name.utf8CodeUnitCount) { output.write(0x20) }
  var digits = 1
  var rest = value
  while rest >= 10 {
    rest /= 10
    digits += 1
  }
  for _ in 0..<max(0, 14 - digits) { output.write(0x20) }
  output.write(decimal: value)
  output.write("\n")
}
