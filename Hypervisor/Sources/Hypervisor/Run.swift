import CVMX
import Host
import Machine
import VMCS
import VMX

/// Runs a processor of the guest, and does what the host has to do in between, until the guest stops.
///
/// The host's interrupts are off except where it waits for one, so nothing changes behind the code's back.
func run<P: VMXProcessor>(
  _ processor: inout VirtualProcessor, _ vcpu: inout LoadedVCPU<P>, _ hostClock: HostClock,
  _ console: inout Console, _ meter: UnsafeMutablePointer<Meter>?
) -> GuestStop {
  var timer = HostTimer(hostClock)
  while true {
    let request = processor.run(&vcpu)
    switch request {
    case .deadlineChanged:
      timer.arm(for: processor.nextDeadline)
      continue
    case .kick:
      kick(processor.takeKicks())
      continue
    case .interrupt(let vector):
      acknowledgeHostInterrupt(vector)
      if vector == HostVector.timer { timer.hasFired() }
    case .halted:
      timer.arm(for: processor.nextDeadline)
      let start = cvmx_rdtsc()
      cvmx_sti_hlt_cli()
      meter?.pointee.idleTicks &+= cvmx_rdtsc() &- start
      // What ended the halt has been acknowledged already.
      timer.hasFired()
    case .preemptionTimer, .deviceDeadlineChanged, .output, .stopped: break
    }
    let ticks = cvmx_rdtsc()
    processor.advance(to: ticks)
    var stop: GuestStop?
    processor.withDevices { machine in
      let now = machine.pointee.clock.time(at: ticks)
      machine.pointee.bus.advance(to: now)
      console.pump(&machine.pointee, at: now)
      timer.armForDevices(machine, now)
      if case .stopped(let reason) = request {
        stop = reason
        console.flush(&machine.pointee, at: now)
      }
    }
    kick(processor.takeKicks())
    if let stop { return stop }
    if !processor.usesPreemptionTimer(&vcpu) { timer.arm(for: processor.nextDeadline) }
  }
}

/// Interrupts the host processors of `processors`.
private func kick(_ processors: ProcessorSet) {
  var rest = processors
  while let index = rest.popFirst() { HostProcessor(index: index).kick() }
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
