import Boot
import CVMX
import Host
import Machine
import Synchronization
import VMCS
import VMX

guard let multiboot = Multiboot2(magic: boot_magic, information: boot_information) else {
  fail("the drill was not started by a multiboot2 loader")
}
run(multiboot)

/// Starts the processors and tries them; the command line's `append=` names an accident.
private func run(_ multiboot: Multiboot2) -> Never {
  _ = SerialPort(base: SerialPort.com2)
  silenceHost8259()
  let options = HypervisorOptions(parsing: multiboot.commandLine)
  let count = Int(options.processorCount)
  var pool = memory(multiboot)
  guard let idt = pool.allocate(), let shared = pool.allocate(), let cr3 = HostPaging.build(from: &pool) else {
    fail("there is no memory")
  }
  cvmx_write_cr3(cr3)
  loadInterruptDescriptorTable(idt.pointer)
  LocalAPIC.enable()
  let clock = HostClock.measure()
  do throws(HostProcessorProblem) {
    try HostProcessors.start(count: count, multiboot, timestampFrequency: clock.timestampFrequency)
  } catch {
    var output = ReportPort(lineStart: "skep: error ")
    error.write(to: &output)
    endRun("error")
  }
  guard let support = try? VMXSupport(of: BareMetalProcessor()) else { fail("this processor has no VMX") }
  let drill = shared.pointer.bindMemory(to: Drill.self, capacity: 1)
  drill.initialize(to: Drill(support: support, pages: pool))
  let accident = Accident(options.append)
  if case .none = accident {
    direct(drill, count, clock)
  } else {
    for index in 1..<count { HostProcessors.run(on: index, nil, accident.work) }
    accident.work(0, nil)
  }
  endRun("power-off")
}

private func memory(_ multiboot: Multiboot2) -> PagePool {
  let range = HostMemory(multiboot).largestFreeRange()
  guard let start = UnsafeMutableRawPointer(bitPattern: UInt(range.lowerBound)), range.count >= 1 << 20 else {
    fail("there is no memory")
  }
  return PagePool(start, at: PhysicalAddress(range.lowerBound), count: 256)
}

/// What the first processor does: kicks the others and looks at their answers.
private func direct(_ drill: UnsafeMutablePointer<Drill>, _ count: Int, _ clock: HostClock) {
  for index in 1..<count { HostProcessors.run(on: index, drill, join) }
  drill.pointee.hasBegun.store(true, ordering: .releasing)
  for index in 1..<count where !wait(clock, until: { drill.pointee.answers.count(index) > 0 }) {
    return drill.pointee.fail(index, "does not begin its work")
  }
  for number in 1...Drill.kicks {
    for index in 1..<count {
      let start = cvmx_rdtsc()
      HostProcessor(index: index).kick()
      guard wait(clock, until: { drill.pointee.answers.count(index) > number }) else {
        return drill.pointee.fail(index, "does not answer kick", number)
      }
      let time = drill.pointee.answers.time(index)
      if time < start || time > cvmx_rdtsc() { drill.pointee.fail(index, "has another time-stamp counter") }
    }
  }
  for index in 1..<count {
    guard wait(clock, until: { HostProcessors.isIdle(index) }) else {
      return drill.pointee.fail(index, "does not become idle")
    }
    writeLine(index, "kicks answered:", drill.pointee.answers.count(index) - 1)
  }
  if drill.pointee.sum != UInt64(count - 1) * Drill.additions { drill.pointee.fail(0, "the lock does not lock") }
  if !drill.pointee.hasFailed.load(ordering: .relaxed) { writeLine(0, "all processors work") }
}

/// Waits until `condition` holds, but not longer than a second; whether it holds.
private func wait(_ clock: HostClock, until condition: () -> Bool) -> Bool {
  let start = cvmx_rdtsc()
  while !condition() {
    if cvmx_rdtsc() &- start > clock.timestampFrequency { return false }
    cvmx_pause()
  }
  return true
}

/// Says what is wrong, and ends the run.
func fail(_ message: StaticString) -> Never {
  var output = ReportPort(lineStart: "skep: error ")
  output.write(message)
  output.write("\n")
  endRun("error")
}
