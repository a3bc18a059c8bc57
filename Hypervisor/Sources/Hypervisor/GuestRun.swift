import Boot
import CVMX
import Host
import Machine
import Synchronization
import VMCS
import VMX

/// The pages of one of the guest's processors.
struct ProcessorMemory {
  let vmxon: PagePool.Page
  let cpuid: PagePool.Page
  let vcpu: VCPUMemory
  let meter: UnsafeMutablePointer<Meter>?
  /// `tableSum` when the tables had been made; nil before.
  private var firstTableSum: PageSum?

  /// Takes the pages from `pool`; nil if it has too few.
  init?(from pool: inout PagePool, isMetered: Bool) {
    guard let vmxon = pool.allocate(), let cpuid = pool.allocate(), let vcpu = VCPUMemory(from: &pool) else {
      return nil
    }
    (self.vmxon, self.cpuid, self.vcpu) = (vmxon, cpuid, vcpu)
    guard isMetered else {
      meter = nil
      return
    }
    guard let page = pool.allocate() else { return nil }
    let meter = page.pointer.bindMemory(to: Meter.self, capacity: 1)
    meter.initialize(to: Meter())
    self.meter = meter
  }

  /// Takes the sum that the tables have to have at the end.
  mutating func keepTableSum() { firstTableSum = tableSum }

  /// Whether CPUID and the MSRs are for the guest what they were when the sum was taken.
  var hasSameTables: Bool { firstTableSum == nil || firstTableSum == tableSum }

  /// Of the CPUID table and the MSR bitmaps, but for what the mode of the local APIC changes: CPUID.01H:EDX.APIC, and the
  /// bits of the MSRs 800H to 8FFH.
  private var tableSum: PageSum {
    var sum = PageSum()
    for offset in stride(from: 0, to: PagePool.pageSize, by: 8) {
      sum.add(cpuid.pointer.load(fromByteOffset: offset, as: UInt64.self) & ~(offset == 24 ? 1 << 41 : 0))
      if offset & 0x7E0 == 0x100 { continue }
      sum.add(vcpu.msrBitmaps.pointer.load(fromByteOffset: offset, as: UInt64.self))
    }
    return sum
  }
}

/// What the host's processors that run one guest have in common.
struct GuestRun: ~Copyable {
  let machine: UnsafeMutablePointer<VirtualMachine>
  let support: VMXSupport
  let hostClock: HostClock
  let eptPointer: EPTPointer
  let tscOffset: UInt64
  let apicAccessPage: PhysicalAddress
  let processors: UnsafeMutablePointer<ProcessorMemory>
  let processorCount: Int
  let entry: GuestEntry
  /// The check that is to fail on the first processor; empty for none.
  let drill: UnsafeRawBufferPointer
  /// Whether the guest's local APICs have x2APIC mode.
  let hasX2APIC: Bool
  /// The time-stamp counter when the guest is to be stopped; `UInt64.max` for never.
  let timeLimit: UInt64
  /// Whether the machine is turned off when the guest has ended.
  let isLastStart: Bool
  /// The sum over the memory that the guest's run does not change; nil if it is not asked for.
  var memorySum: MemorySum?
  /// Used with the machine's lock held, as is the timer.
  var console = Console()
  var deviceTimer: DeviceTimer
  private let end = Atomic<End>(.none)
  private let left = Atomic<Int>(0)
  /// The processor that is to write its report; -1 for none.
  private let reporter = Atomic<Int>(-1)

  init(
    machine: UnsafeMutablePointer<VirtualMachine>, support: VMXSupport, hostClock: HostClock, eptPointer: EPTPointer,
    tscOffset: UInt64, apicAccessPage: PhysicalAddress, processors: UnsafeMutablePointer<ProcessorMemory>,
    processorCount: Int, entry: GuestEntry, drill: UnsafeRawBufferPointer, hasX2APIC: Bool, timeLimit: UInt64,
    isLastStart: Bool
  ) {
    self.machine = machine
    self.support = support
    self.hostClock = hostClock
    deviceTimer = DeviceTimer(hostClock, limit: timeLimit)
    self.eptPointer = eptPointer
    self.tscOffset = tscOffset
    self.apicAccessPage = apicAccessPage
    self.processors = processors
    self.processorCount = processorCount
    self.entry = entry
    self.drill = drill
    self.hasX2APIC = hasX2APIC
    self.timeLimit = timeLimit
    self.isLastStart = isLastStart
  }

  /// The frequency of the guest's time-stamp counter, in kHz.
  var tscFrequency: UInt32 { UInt32(clamping: hostClock.timestampFrequency / 1000) }

  private enum End: UInt8, AtomicRepresentable {
    case none
    case quiet
    /// Each processor writes a report when it is asked.
    case reported
  }

  /// Whether a processor has stopped the guest.
  var isStopped: Bool { end.load(ordering: .relaxed) != .none }

  /// Stops the guest; false if another processor has done so already.
  ///
  /// - Parameter wantsReports: whether the others wait until they are asked for a report.
  func stop(wantsReports: Bool) -> Bool {
    end.compareExchange(
      expected: .none, desired: wantsReports ? .reported : .quiet, ordering: .sequentiallyConsistent
    ).exchanged
  }

  /// This processor does not run its guest any more.
  func leave() { left.add(1, ordering: .sequentiallyConsistent) }

  /// Waits until the other processors have left the guest, but not longer than 100 ms; false if they have not.
  func waitForOthers() -> Bool {
    let start = cvmx_rdtsc()
    while left.load(ordering: .acquiring) < processorCount - 1 {
      guard cvmx_rdtsc() &- start < hostClock.timestampFrequency / 10 else { return false }
      cvmx_pause()
    }
    return true
  }

  /// Has processor `index`, which has left the guest, write its report; waits for it, but not longer than 3 s.
  func letReport(_ index: Int) {
    let start = cvmx_rdtsc()
    reporter.store(index, ordering: .sequentiallyConsistent)
    while reporter.load(ordering: .acquiring) == index, cvmx_rdtsc() &- start < 3 &* hostClock.timestampFrequency {
      cvmx_pause()
    }
  }

  /// Waits until processor `index`, which has left the guest, is to write its report; false if it is not.
  func waitForReport(of index: Int) -> Bool {
    guard end.load(ordering: .acquiring) == .reported else { return false }
    while reporter.load(ordering: .acquiring) != index { cvmx_pause() }
    return true
  }

  /// Processor `index` has written the report that was waited for; late, it is another's turn, which goes on.
  func endReport(of index: Int) {
    _ = reporter.compareExchange(expected: index, desired: -1, ordering: .releasing)
  }

  /// The table of costs, if they were counted, of all processors together.
  func writeCosts() {
    guard processors.pointee.meter != nil else { return }
    var sum = Meter()
    for index in 0..<processorCount { if let meter = processors[index].meter { sum.add(meter.pointee) } }
    Hypervisor.writeCosts(sum)
  }
}

/// What each of the host's processors does for the guest.
///
/// It returns when the guest is to be started once more: then nothing of it is left in the processor.
func runProcessor(_ index: Int, _ guest: UnsafeMutablePointer<GuestRun>) {
  if let meter = guest.pointee.processors[index].meter {
    runProcessor(index, MeteredProcessor(BareMetalProcessor(), meter: meter), guest, meter)
  } else {
    runProcessor(index, BareMetalProcessor(), guest, nil)
  }
}

private func runProcessor<P: VMXProcessor>(
  _ index: Int, _ processor: P, _ guest: UnsafeMutablePointer<GuestRun>, _ meter: UnsafeMutablePointer<Meter>?
) {
  let memory = guest.pointee.processors[index]
  let support = guest.pointee.support
  let operation = VMXOperation(on: processor, support: support, region: memory.vmxon)
  var policy = CPUIDPolicy(
    support: support, tscFrequency: guest.pointee.tscFrequency, hasLocalAPIC: true, apicID: UInt32(index),
    logicalProcessorCount: UInt32(guest.pointee.processorCount))
  policy.hasX2APIC = guest.pointee.hasX2APIC
  let cpuid = CPUIDTable(in: memory.cpuid.pointer, policy: policy, on: processor)
  var settings = VCPUSettings(
    capabilities: support.capabilities, controls: support.controls, options: support.options,
    supportedCR4: cpuid.supportedCR4, eptPointer: guest.pointee.eptPointer, vpid: UInt16(index + 1),
    tscOffset: guest.pointee.tscOffset)
  settings.apicAccessAddress = guest.pointee.apicAccessPage
  // NDST has the APIC ID of xAPIC mode in bits 15:8.
  settings.takePostedInterrupts(
    from: guest.pointee.machine.pointee.mailboxes, of: index, notifiedBy: HostVector.postedInterrupts,
    at: UInt32(Host.LocalAPIC.identifier) << 8)
  MSRBitmap(in: memory.vcpu.msrBitmaps).allowPassThrough(with: support.controls)
  let hostProcessor = HostProcessor.current
  let host = HostState(
    of: processor, cs: SegmentSelector(rawValue: 0x08), ds: SegmentSelector(rawValue: 0x10),
    tr: SegmentSelector(rawValue: hostProcessor.taskSelector), gdtrBase: address_of_gdt(), idtrBase: cvmx_idtr_base(),
    trBase: hostProcessor.taskState, rip: address_of_vmexit())
  var vcpu = VCPU(memory: memory.vcpu, settings: settings, host: host, on: processor).load()
  var virtualProcessor = VirtualProcessor(
    index, of: guest.pointee.machine, on: &vcpu, cpuid: cpuid,
    msrs: MSRPolicy(
      physicalAddressWidth: cpuid.physicalAddressWidth, tscFrequency: guest.pointee.tscFrequency, hasLocalAPIC: true),
    xcr0: XCR0Policy(supported: cpuid.supportedXCR0))
  if guest.pointee.memorySum != nil { guest.pointee.processors[index].keepTableSum() }
  if index == 0 {
    vcpu.start(guest.pointee.entry)
    if !guest.pointee.drill.isEmpty { prepareDrill(guest.pointee.drill) }
  }
  let stop = run(&virtualProcessor, &vcpu, guest, meter)
  finish(stop, &virtualProcessor, &vcpu, guest)
  HostProcessor.current.leaveNMIs()
  _ = vcpu.unload()
  operation.leave()
  clearSharedMSRs(support.controls, on: processor)
}

/// Gives the MSRs that the guest has for itself, and no VM entry loads, the values that they have after power-up.
private func clearSharedMSRs<P: VMXProcessor>(_ controls: ControlWords, on processor: P) {
  let msrs: InlineArray<_, MSR> = [.ia32STAR, .ia32LSTAR, .ia32CSTAR, .ia32FMASK, .ia32KERNELGSBASE]
  for index in msrs.indices { processor.wrmsr(msrs[index].rawValue, 0) }
  if controls.secondary.contains(.enableRDTSCP) { processor.wrmsr(MSR.ia32TSCAUX.rawValue, 0) }
}
