import Boot
import CVMX
import Machine
import Synchronization
import VMCS
import VMX

/// What the processors other than the first are to do: code, and where its data is.
///
/// It runs with interrupts disabled, on the processor's own stack.
package typealias ProcessorWork = @convention(c) (_ index: Int, _ argument: UnsafeMutableRawPointer?) -> Void

/// What is known of one processor, in a cache line of its own.
struct ProcessorSlot: ~Copyable {
  enum State {
    static var absent: UInt32 { 0 }
    static var idle: UInt32 { 1 }
    static var busy: UInt32 { 2 }
  }

  /// The other properties are the processor's while it is busy, and the first processor's otherwise.
  let state: Atomic<UInt32>
  var apicID: UInt8
  var work: ProcessorWork?
  var argument: UnsafeMutableRawPointer?
  /// What its NMIs are noted in; nil while it does not take them.
  var hostNMI: HostNMIFlag?
  /// Its time-stamp counter when it had been started.
  var startTime: UInt64
}

/// The processors that have been started.
package enum HostProcessors {
  /// Starts processors 1 up to `count`, which then wait for work.
  ///
  /// They get the first processor's CR0, CR3, CR4, PAT and IDT. The machine's processors are those that the firmware's
  /// ACPI tables name.
  ///
  /// - Parameters:
  ///   - count: 1 to ``HostProcessor/maximumCount``; with 1, nothing is done.
  ///   - multiboot: has the ACPI tables and the memory map.
  ///   - timestampFrequency: ticks of the time-stamp counter a second.
  package static func start(
    count: Int, _ multiboot: Multiboot2, timestampFrequency: UInt64
  ) throws(HostProcessorProblem) {
    let own = HostProcessor.current
    slot(own).pointee.apicID = LocalAPIC.identifier
    slot(own).pointee.state.store(ProcessorSlot.State.busy, ordering: .releasing)
    if count <= 1 { return }
    let found = try findProcessors(count, multiboot)
    guard found >= count else { throw .tooFew(found: found, wanted: count) }
    guard let page = multiboot.freeLowPage() else { throw .noLowMemory }
    pointer(UInt64(page) << 12).copyMemory(
      from: pointer(address_of_trampoline()), byteCount: Int(address_of_trampoline_end() - address_of_trampoline()))
    var environment = ProcessorEnvironment(timestampFrequency: timestampFrequency)
    for index in 1..<count { try start(HostProcessor(index: index), page, &environment) }
  }

  /// Has processor `index` call `work`, and returns at once.
  ///
  /// The processor has been started and is idle; anything else is Skep's own bug and panics.
  package static func run(on index: Int, _ argument: UnsafeMutableRawPointer?, _ work: ProcessorWork) {
    guard isIdle(index) else {
      BareMetalProcessor().stop(PanicReport("work for a processor that is not idle", value: UInt64(index)))
    }
    let processor = HostProcessor(index: index)
    let slot = slot(processor)
    slot.pointee.work = work
    slot.pointee.argument = argument
    slot.pointee.state.store(ProcessorSlot.State.busy, ordering: .releasing)
    processor.kick()
  }

  /// Whether processor `index` has been started and waits for work.
  package static func isIdle(_ index: Int) -> Bool {
    slot(HostProcessor(index: index)).pointee.state.load(ordering: .acquiring) == ProcessorSlot.State.idle
  }

  /// Stops the other processors for good: by an NMI, which they take even in their guests, and leave them for.
  static func stopOthers() {
    for index in 0..<HostProcessor.maximumCount where index != HostProcessor.current.index {
      let slot = slot(HostProcessor(index: index))
      if slot.pointee.state.load(ordering: .relaxed) != ProcessorSlot.State.absent {
        LocalAPIC.send(.nmi, to: slot.pointee.apicID)
      }
    }
  }

  static func slot(_ processor: HostProcessor) -> UnsafeMutablePointer<ProcessorSlot> {
    pointer(address_of_processor_slots() + UInt64(processor.index) * UInt64(PROCESSOR_SLOT_STRIDE))
      .assumingMemoryBound(to: ProcessorSlot.self)
  }

  /// Gives the slots of processors 1 up to `count` their APIC IDs; how many processors there are.
  private static func findProcessors(_ count: Int, _ multiboot: Multiboot2) throws(HostProcessorProblem) -> Int {
    guard let rsdp = multiboot.rsdp else { throw .noTable }
    let own = LocalAPIC.identifier
    var found = 1
    let hasTable = FirmwareProcessors.forEachAPICID(rsdp: rsdp, memory: physicalMemory) { apicID in
      if apicID == own { return }
      if found < count { slot(HostProcessor(index: found)).pointee.apicID = apicID }
      found += 1
    }
    guard hasTable else { throw .noTable }
    return found
  }

  private static func physicalMemory(_ address: UInt64, _ byteCount: Int) -> UnsafeRawBufferPointer? {
    guard address > 0, address < 1 << 32, UInt64(byteCount) <= 1 << 32 - address else { return nil }
    return UnsafeRawBufferPointer(start: pointer(address), count: byteCount)
  }

  /// INIT, SIPI, and a second SIPI if the first was not heard (SDM, "Typical BSP Initialization Sequence").
  private static func start(
    _ processor: HostProcessor, _ page: UInt8, _ environment: inout ProcessorEnvironment
  ) throws(HostProcessorProblem) {
    pointer(address_of_starting_processor()).storeBytes(of: UInt32(processor.index), as: UInt32.self)
    let slot = slot(processor)
    // The pointer is for the processor that starts, too.
    try withUnsafeMutablePointer(to: &environment) { (environment) throws(HostProcessorProblem) in
      slot.pointee.argument = UnsafeMutableRawPointer(environment)
      LocalAPIC.send(.initialize, to: slot.pointee.apicID)
      _ = environment.pointee.wait(microseconds: 10_000) { false }
      let earliest = cvmx_rdtsc()
      for microseconds: UInt64 in [200, 1_000_000] {
        LocalAPIC.send(.startUp(page: page), to: slot.pointee.apicID)
        guard environment.pointee.wait(microseconds: microseconds, until: { isIdle(processor.index) }) else { continue }
        // A guest is given one offset for all its processors.
        if (earliest...cvmx_rdtsc()).contains(slot.pointee.startTime) { return }
        throw .timestampCounter(apicID: slot.pointee.apicID)
      }
      throw .silent(apicID: slot.pointee.apicID)
    }
  }
}

/// Where a started processor comes to from the assembly, on its own stack.
@c(processor_main)
func runStartedProcessor(_ index: UInt32) -> Never {
  let processor = HostProcessor(index: Int(index))
  let slot = HostProcessors.slot(processor)
  if let environment = slot.pointee.argument { environment.load(as: ProcessorEnvironment.self).apply() }
  LocalAPIC.enable()
  slot.pointee.startTime = cvmx_rdtsc()
  slot.pointee.state.store(ProcessorSlot.State.idle, ordering: .releasing)
  while true {
    // Interrupts are disabled here, so a kick after the look at the state still ends the HLT.
    while slot.pointee.state.load(ordering: .acquiring) != ProcessorSlot.State.busy { cvmx_sti_hlt_cli() }
    slot.pointee.work?(processor.index, slot.pointee.argument)
    slot.pointee.state.store(ProcessorSlot.State.idle, ordering: .releasing)
  }
}

private func pointer(_ address: UInt64) -> UnsafeMutableRawPointer {
  UnsafeMutableRawPointer(bitPattern: UInt(address)).unsafelyUnwrapped
}
