import Boot
import CVMX
import Host
import Machine
import VMCS
import VMX

/// Runs a processor of the guest, and does what the host has to do in between, until the guest stops.
///
/// The host's interrupts are off except where it waits for one. With the VMX-preemption timer they are NMIs, so that no
/// RFLAGS.IF of the guest's and no interrupt of its keeps them out; the handler changes nothing but `hostNMI`.
func run<P: VMXProcessor>(
  _ processor: inout VirtualProcessor, _ vcpu: inout LoadedVCPU<P>, _ guest: UnsafeMutablePointer<GuestRun>,
  _ meter: UnsafeMutablePointer<Meter>?
) -> GuestStop {
  var timer = HostTimer(guest.pointee.hostClock)
  let takesNMIs = vcpu.options.contains(.activateVMXPreemptionTimer)
  if takesNMIs { HostProcessor.current.takeNMIs(vcpu.hostNMI) }
  if processor.index == 0 { routeDevices(asNMIs: takesNMIs) }
  serveDevices(&processor, guest)
  while true {
    let request = processor.run(&vcpu)
    switch request {
    case .deadlineChanged:
      if !takesNMIs { timer.arm(for: processor.nextDeadline) }
      continue
    case .kick:
      kick(processor.takeKicks())
      continue
    case .interrupt(let vector):
      acknowledgeHostInterrupt(vector)
      if vector == HostVector.timer { timer.hasFired() }
    case .nmi:
      cvmx_unblock_nmis()
      EndOfRun.standStillIfOver()
    case .halted:
      timer.arm(for: processor.nextDeadline)
      let start = cvmx_rdtsc()
      halt_unless(UnsafeRawPointer(bitPattern: vcpu.hostNMI.address))
      meter?.pointee.idleTicks &+= cvmx_rdtsc() &- start
      timer.arm(for: .max)
      // It may have fired before that.
      cvmx_sti_nop_cli()
    case .preemptionTimer, .deviceDeadlineChanged, .output, .input, .stopped: break
    }
    // What comes after this ends the next stay in the guest, or halt, at once: nothing that it was for is overlooked.
    vcpu.beginAfterHostNMI()
    if guest.pointee.isStopped {
      leave(&processor, &vcpu, guest)
      standStill()
    }
    let now = serveDevices(&processor, guest)
    if case .stopped(let stop) = request { return stop }
    if now >= guest.pointee.timeLimit { return .timeLimit }
    if !takesNMIs { timer.arm(for: processor.nextDeadline) }
  }
}

/// Has the devices that the host uses while the guest runs interrupt this processor, the first.
private func routeDevices(asNMIs: Bool) {
  let own = Host.LocalAPIC.identifier
  Host.IOAPIC.route(
    input: SerialPort.com1Input, as: asNMIs ? .nmi : .fixed(vector: HostVector.com1), destination: own)
  Host.IOAPIC.route(
    input: IntervalTimer.input, as: asNMIs ? .nmi : .fixed(vector: HostVector.intervalTimer), destination: own)
}

/// Brings the processor's local APIC and the devices to the present, which it gives by the time-stamp counter.
@discardableResult
private func serveDevices(_ processor: inout VirtualProcessor, _ guest: UnsafeMutablePointer<GuestRun>) -> UInt64 {
  let ticks = cvmx_rdtsc()
  processor.advance(to: ticks)
  processor.withDevices { machine in
    let now = machine.pointee.clock.time(at: ticks)
    machine.pointee.bus.advance(to: now)
    guest.pointee.console.pump(&machine.pointee, at: now)
    guest.pointee.deviceTimer.keepDeadline(of: machine, at: ticks)
  }
  kick(processor.takeKicks())
  return ticks
}

/// Interrupts the host processors of `kicks`.
private func kick(_ kicks: ProcessorKicks) {
  var kicks = kicks
  while let index = kicks.exits.popFirst() { HostProcessor(index: index).kick() }
  while let index = kicks.notifications.popFirst() { HostProcessor(index: index).notifyOfPostedInterrupts() }
}

/// Another processor has stopped the guest: this one reports its state, if that is wanted.
private func leave<P: VMXProcessor>(
  _ processor: inout VirtualProcessor, _ vcpu: inout LoadedVCPU<P>, _ guest: UnsafeMutablePointer<GuestRun>
) {
  guest.pointee.leave()
  if guest.pointee.waitForReport(of: processor.index) {
    writeState(&processor, &vcpu)
    guest.pointee.endReport(of: processor.index)
  }
}

private func standStill() -> Never {
  cvmx_cli()
  while true { cvmx_hlt() }
}

/// Says how the guest ended and what it cost, and ends the run unless the guest is to be started once more.
func finish<P: VMXProcessor>(
  _ stop: GuestStop, _ processor: inout VirtualProcessor, _ vcpu: inout LoadedVCPU<P>,
  _ guest: UnsafeMutablePointer<GuestRun>
) {
  let isTimeLimit = if case .timeLimit = stop { true } else { false }
  guard guest.pointee.stop(wantsReports: isTimeLimit) else {
    leave(&processor, &vcpu, guest)
    standStill()
  }
  let machine = guest.pointee.machine
  let time = machine.pointee.clock.time(at: cvmx_rdtsc())
  let others = (0..<guest.pointee.processorCount).lazy.filter { [index = processor.index] in $0 != index }
  for index in others { HostProcessor(index: index).kick() }
  let haveOthersLeft = guest.pointee.waitForOthers()
  machine.pointee.lock.acquire()
  guest.pointee.console.flush(&machine.pointee, at: machine.pointee.clock.time(at: cvmx_rdtsc()))
  machine.pointee.lock.release()
  guest.pointee.writeCosts()
  switch stop {
  case .powerOff: break
  case .reset:
    // What says that the guest is started once more says by what, too.
    if guest.pointee.isLastStart {
      var output = ReportPort(lineStart: "skep: guest ")
      stop.write(to: &output)
      output.write("\n")
    }
  case .exit(let status):
    var output = ReportPort(lineStart: "skep: status ")
    output.write(decimal: UInt64(status))
    output.write("\n")
  default:
    var output = ReportPort(lineStart: "skep: guest ")
    stop.write(to: &output)
    output.write("\n")
    switch stop {
    case .entryFailure, .entryInstructionFailed: writeFailedChecks(to: &output)
    default: break
    }
    writeState(&processor, &vcpu)
    if isTimeLimit { for index in others { guest.pointee.letReport(index) } }
  }
  if !haveOthersLeft {
    var output = ReportPort(lineStart: "skep: note ")
    output.write("a processor has not left the guest within 100 ms\n")
  }
  checkMemory(guest, at: time)
  if guest.pointee.isLastStart { endRun(stop.kind) }
  var output = ReportPort(lineStart: "skep: note ")
  output.write("the guest is started once more: ")
  stop.write(to: &output)
  output.write("\n")
}

/// Writes what a processor of the guest does, and its registers.
private func writeState<P: VMXProcessor>(_ processor: inout VirtualProcessor, _ vcpu: inout LoadedVCPU<P>) {
  var output = ReportPort(lineStart: "skep: guest ")
  GuestReport.writeActivity(of: &processor, &vcpu, to: &output)
  GuestReport.write(&vcpu, to: &output)
}

/// Ends the run as after a panic if memory has changed that the guest's run, which ended at `time`, does not change.
private func checkMemory(_ guest: UnsafeMutablePointer<GuestRun>, at time: MachineTime) {
  guard let sum = guest.pointee.memorySum else { return }
  let machine = guest.pointee.machine
  machine.pointee.lock.acquire()
  var isUnchanged = sum.isUnchanged(machine.pointee.tables)
  machine.pointee.lock.release()
  for index in 0..<guest.pointee.processorCount where !guest.pointee.processors[index].hasSameTables {
    isUnchanged = false
  }
  if isUnchanged {
    var output = ReportPort(lineStart: "skep: note ")
    output.write("memory outside the guest is unchanged\n")
    output.write("the guest's time was ")
    output.write(decimal: time / 1_000_000)
    output.write(" ms\n")
  } else {
    var output = ReportPort(lineStart: "skep: panic ")
    output.write("memory outside the guest has changed while the guest ran\n")
    endRun("panic")
  }
}

/// The table of what the run cost.
func writeCosts(_ meter: Meter) {
  var output = ReportPort(lineStart: "skep: table ")
  write("VM exits", meter.exitCount, to: &output)
  for reason in meter.exits.indices where meter.exits[reason] > 0 {
    output.write("  ")
    write(
      BasicExitReason(rawValue: UInt16(reason)).title ?? "unknown", meter.exits[reason], width: 44, to: &output)
  }
  write("VMREADs", meter.vmreads, to: &output)
  write("VMWRITEs", meter.vmwrites, to: &output)
  write("Instructions in the guest", meter.guestTicks, to: &output)
  write("Instructions in Skep", meter.hostTicks &- meter.idleTicks, to: &output)
  write("Time-stamp counter ticks halted", meter.idleTicks, to: &output)
}

private func write(_ name: StaticString, _ value: UInt64, width: Int = 46, to output: inout ReportPort) {
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
