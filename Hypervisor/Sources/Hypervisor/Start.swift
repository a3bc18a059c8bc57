import Boot
import CVMX
import Host
import Machine
import VMCS
import VMX

/// Brings up the host, puts the guest together, and runs it to its end; and once more, if that is asked for.
func startHypervisor(_ multiboot: Multiboot2) {
  _ = SerialPort(base: SerialPort.com2)
  silenceHost8259()
  let options = HypervisorOptions(parsing: multiboot.commandLine)
  let free = HostMemory(multiboot).largestFreeRange()
  var memory = HostAllocation(free, guestMemory: options.memory)
  setUpHostProcessor(&memory.pool)

  let support = requireSupport(BareMetalProcessor(), options)
  let hostClock = HostClock.measure()
  startProcessors(options.processorCount, multiboot, hostClock)
  let used = memory.pool.used
  var memorySum: MemorySum?
  let guest = GuestStart(commandLine: options.append, isLast: options.restart == nil)
  runGuest(guest, multiboot, options, support, hostClock, &memory, &memorySum)
  guard let commandLine = options.restart else { return }
  memory.reset(keeping: used)
  let secondGuest = GuestStart(commandLine: commandLine, isLast: true)
  runGuest(secondGuest, multiboot, options, support, hostClock, &memory, &memorySum)
}

/// One start of the guest.
private struct GuestStart {
  let commandLine: UnsafeRawBufferPointer
  /// Whether the machine is turned off when the guest has ended.
  let isLast: Bool
}

/// How the largest free range is divided: pages for tables first, then the guest's memory, on a 2 MiB border.
struct HostAllocation: ~Copyable {
  var pool: PagePool
  let guest: Range<UInt64>
  /// All pages that were in the pool at the start.
  let tables: Range<UInt64>

  private static var largePage: UInt64 { 0x20_0000 }
  /// Host page tables, descriptor tables, up to eight vCPUs, the serial port's queue: 192 pages are plenty.
  private static var fixedPages: UInt64 { 192 }
  private static var leastGuestMemory: UInt64 { 32 << 20 }
  /// Below the guest's memory, and never used: `MemorySum` looks whether it stays as it is.
  private static var guardPages: UInt64 { 16 }

  init(_ free: Range<UInt64>, guestMemory wanted: UInt64?) {
    // One page of tables for each 2 MiB of the guest, in case all is mapped by small pages, and a few above them.
    let size = free.upperBound - free.lowerBound
    let pages = Self.fixedPages + size / Self.largePage + 8 + Self.guardPages
    let poolBytes = (pages * 4096 + Self.largePage - 1) & ~(Self.largePage - 1)
    let available = size > poolBytes ? size - poolBytes : 0
    let guestBytes = (wanted ?? available) & ~(Self.largePage - 1)
    guard available >= Self.leastGuestMemory, guestBytes <= available else { failForMemory(free) }
    let start = free.lowerBound + poolBytes
    guest = start..<start + guestBytes
    tables = free.lowerBound..<start - Self.guardPages * 4096
    pool = PagePool(
      pointer(to: tables.lowerBound), at: PhysicalAddress(tables.lowerBound), count: tables.count / 4096)
  }

  /// As it was when the first `used` pages of the pool had been handed out; the guest's memory is cleared.
  mutating func reset(keeping used: Int) {
    let start = tables.lowerBound + UInt64(used) << 12
    pool = PagePool(pointer(to: start), at: PhysicalAddress(start), count: Int(tables.upperBound - start) / 4096)
    pointer(to: guest.lowerBound).initializeMemory(as: UInt64.self, repeating: 0, count: guest.count / 8)
  }
}

/// A pointer to physical memory: the host's page tables map it to itself.
func pointer(to address: UInt64) -> UnsafeMutableRawPointer {
  UnsafeMutableRawPointer(bitPattern: UInt(address)).unsafelyUnwrapped
}

func failForMemory(_ free: Range<UInt64>) -> Never {
  var output = ReportPort(lineStart: "skep: error ")
  output.write("there is too little memory for the guest: the machine has ")
  output.write(decimal: (free.upperBound - free.lowerBound) >> 20)
  output.write(" MiB in one piece, of which Skep itself needs a few; ask for less with --memory\n")
  endRun("error")
}

/// Page tables, IDT and local APIC of the host.
private func setUpHostProcessor(_ pool: inout PagePool) {
  guard let idt = pool.allocate(), let cr3 = HostPaging.build(from: &pool) else {
    fail("there is no memory for the host's page tables")
  }
  cvmx_write_cr3(cr3)
  // XMM registers and XCR0 are the guest's; the host needs the right to access them: OSFXSR and OSXSAVE.
  let hasXSAVE = cvmx_cpuid(1, 0).ecx & 1 << 26 != 0
  cvmx_write_cr4(cvmx_read_cr4() | 1 << 9 | (hasXSAVE ? 1 << 18 : 0))
  loadInterruptDescriptorTable(idt.pointer)
  LocalAPIC.enable()
}

/// Returns when the guest has ended, unless it is started for the last time.
private func runGuest(
  _ guestStart: GuestStart, _ multiboot: Multiboot2, _ options: HypervisorOptions, _ support: VMXSupport,
  _ hostClock: HostClock, _ allocation: inout HostAllocation, _ memorySum: inout MemorySum?
) {
  let guest = allocation.guest
  var use = PoolUse(allocation.pool, of: allocation.tables)
  let memory = GuestMemory(base: pointer(to: guest.lowerBound), byteCount: guest.upperBound - guest.lowerBound)
  let entry = loadKernel(guestStart.commandLine, multiboot, options, support, into: memory)

  let count = Int(options.processorCount)
  guard let processors = processorMemory(count, options, &allocation.pool),
    let output = transmitStorage(&allocation.pool),
    let machinePage = allocation.pool.allocate(), let mailboxes = allocation.pool.allocate(),
    let apicAccessPage = allocation.pool.allocate(), let runPages = allocation.pool.allocate(),
    allocation.pool.allocate() != nil
  else { fail("there is no memory for the guest's processors") }
  let tables = mapGuest(memory, at: guest, options, support, allocation.pool.takeRest())
  let eptPointer = tables.pointer
  if !options.mapsOnDemand { use.leaveUnused(pagesOf: tables) }
  // The sum of the first start is that of the second, too: what lies between changes nothing either.
  if options.checksMemory && memorySum == nil {
    use.apicAccessPage = apicAccessPage.address.rawValue..<apicAccessPage.address.rawValue + 0x1000
    memorySum = MemorySum(multiboot, guest: guest, pool: use, tables: tables, processorCount: count)
  }
  // The guest's time begins, when all is done that takes long.
  let start = cvmx_rdtsc()
  let clock = MachineClock(start: start, frequency: hostClock.timestampFrequency)
  let machine = machinePage.pointer.bindMemory(to: VirtualMachine.self, capacity: 1)
  machine.initialize(
    to: VirtualMachine(
      memory: memory, backing: PhysicalAddress(guest.lowerBound), tables: tables,
      bus: IOBus(
        transmitStorage: output, startingAt: calendarTime(), memorySize: memory.layout.lowByteCount,
        highMemorySize: memory.layout.highByteCount, processorCount: UInt16(count)),
      clock: clock,
      mailboxes: ProcessorMailboxes(in: mailboxes.pointer, at: mailboxes.address, count: count),
      apicAccessPage: apicAccessPage.address))
  // Two pages: the console's buffer alone is one.
  let run = runPages.pointer.bindMemory(to: GuestRun.self, capacity: 1)
  run.initialize(
    to: GuestRun(
      machine: machine, support: support, hostClock: hostClock, eptPointer: eptPointer, tscOffset: 0 &- start,
      apicAccessPage: apicAccessPage.address, processors: processors, processorCount: count, entry: entry,
      drill: options.drill, hasX2APIC: options.hasX2APIC,
      timeLimit: options.timeLimit.map { clock.ticks(at: $0) } ?? .max, isLastStart: guestStart.isLast))
  run.pointee.memorySum = memorySum
  for index in 1..<count {
    HostProcessors.run(on: index, run) { index, argument in
      runProcessor(index, argument.unsafelyUnwrapped.assumingMemoryBound(to: GuestRun.self))
    }
  }
  runProcessor(0, run)
}

/// The pages of `count` processors, or nil if there are too few.
private func processorMemory(
  _ count: Int, _ options: HypervisorOptions, _ pool: inout PagePool
) -> UnsafeMutablePointer<ProcessorMemory>? {
  guard let page = pool.allocate() else { return nil }
  let processors = page.pointer.bindMemory(to: ProcessorMemory.self, capacity: count)
  for index in 0..<count {
    guard let memory = ProcessorMemory(from: &pool, isMetered: options.isMetered) else { return nil }
    (processors + index).initialize(to: memory)
  }
  return processors
}

private func calendarTime() -> CalendarTime {
  let calendar = HostCalendar()
  return CalendarTime(
    year: calendar.year, month: calendar.month, day: calendar.day, hour: calendar.hour, minute: calendar.minute,
    second: calendar.second)
}

/// What the processor can do, or the end of the run with what it lacks.
private func requireSupport<P: VMXProcessor>(_ processor: P, _ options: HypervisorOptions) -> VMXSupport {
  do throws(UnsupportedProcessor) {
    return try VMXSupport(of: processor, wanting: options.optionalControls)
  } catch {
    var output = ReportPort(lineStart: "skep: error ")
    error.write(to: &output)
    endRun("error")
  }
}

/// Puts the kernel of the boot modules into the guest's memory, or ends the run with what is wrong.
private func loadKernel(
  _ commandLine: UnsafeRawBufferPointer, _ multiboot: Multiboot2, _ options: HypervisorOptions, _ support: VMXSupport,
  into memory: GuestMemory
) -> GuestEntry {
  guard let kernel = multiboot.module(named: "kernel") else {
    fail("the boot loader gave no module named \"kernel\"; name it in GRUB's \"module2\" command")
  }
  var files = BootFiles(kernel: kernel, initrd: multiboot.module(named: "initrd"), commandLine: commandLine)
  multiboot.forEachModule { contents, string in
    guard let commandLine = HypervisorOptions.moduleCommandLine(string) else { return }
    if !files.modules.append(BootModule(contents: contents, commandLine: commandLine)) {
      fail(KernelLoaderError.tooManyModules.message)
    }
  }
  do throws(KernelLoaderError) {
    return try KernelLoader.load(files, on: platform(options, support, memory), into: memory)
  } catch { fail(error.message) }
}

/// What the firmware's tables say.
private func platform(
  _ options: HypervisorOptions, _ support: VMXSupport, _ memory: GuestMemory
) -> GuestPlatform {
  var platform = GuestPlatform(layout: memory.layout, processorCount: Int(options.processorCount))
  let leaf1 = cvmx_cpuid(1, 0)
  let policy = CPUIDPolicy(
    support: support, tscFrequency: 0, hasLocalAPIC: true,
    logicalProcessorCount: UInt32(options.processorCount))
  platform.processorSignature = leaf1.eax
  platform.processorFeatures = policy.processorFeatures(of: leaf1.edx)
  platform.hasAPICs = true
  platform.hasHPET = true
  platform.hasPowerManagementTimer = true
  return platform
}

private func fail(_ message: ErrorMessage) -> Never {
  var output = ReportPort(lineStart: "skep: error ")
  message.write(to: &output)
  output.write("\n")
  endRun("error")
}

/// 64 KiB for what the guest has sent and COM1 has not taken yet.
private func transmitStorage(_ pool: inout PagePool) -> UnsafeMutableBufferPointer<UInt8>? {
  let pages = 16
  guard let first = pool.allocate() else { return nil }
  for _ in 1..<pages { guard pool.allocate() != nil else { return nil } }
  let count = pages * PagePool.pageSize
  return UnsafeMutableBufferPointer(start: first.pointer.bindMemory(to: UInt8.self, capacity: count), count: count)
}

/// The guest's extended page tables, with all its memory in them unless it is to be mapped when it is touched.
private func mapGuest(
  _ memory: GuestMemory, at range: Range<UInt64>, _ options: HypervisorOptions, _ support: VMXSupport,
  _ pool: consuming PagePool
) -> ExtendedPageTables {
  guard var tables = ExtendedPageTables(in: pool, capabilities: support.capabilities.eptAndVPID) else {
    fail("there is no memory for the extended page tables")
  }
  if options.mapsOnDemand { return tables }
  let layout = memory.layout
  do throws(EPTError) {
    try tables.map(0..<layout.lowByteCount, to: PhysicalAddress(range.lowerBound))
    if layout.highByteCount > 0 {
      try tables.map(
        GuestMemoryLayout.holeEnd..<GuestMemoryLayout.holeEnd + layout.highByteCount,
        to: PhysicalAddress(range.lowerBound + layout.lowByteCount))
    }
  } catch { fail("there is no memory for the extended page tables") }
  return tables
}
