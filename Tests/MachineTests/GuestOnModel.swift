import ProcessorModel
import Testing
import VMCS
import VMX

@testable import Machine

/// A virtual machine on `ProcessorModel`: what its guest does is a script.
final class GuestOnModel {
  struct OutOfPages: Error {}

  let processor: ProcessorModel
  let memory: GuestMemory
  /// Where the guest's memory is.
  let backing: PhysicalAddress
  let support: VMXSupport
  let machinePointer: UnsafeMutablePointer<VirtualMachine>
  var virtualProcessor: VirtualProcessor
  var vcpu: LoadedVCPU<ProcessorModel>
  /// What the guest was entered with, each time.
  private(set) var entries: [Entry] = []

  /// The state of the vCPU at a VM entry.
  struct Entry: Equatable, Sendable {
    var event: UInt32
    var errorCode: UInt32
    var instructionLength: UInt32
    var rip: UInt64
    var waitsForInterruptWindow: Bool
    var waitsForNMIWindow: Bool
    var waitsForNextInstruction: Bool
    var isBlockedByNMI: Bool
  }

  static let memorySize = 1 << 20
  /// The vector that ends a script: an interrupt of the host's.
  static let endVector: UInt8 = 0xEF
  /// The host's vector that notifies of posted interrupts.
  static let notificationVector: UInt8 = 0xE3

  /// Makes a guest after power-up; its extended page tables are empty, in `pages` pages.
  ///
  /// It is the first processor of its machine; of the others there are the mailboxes alone.
  init(
    _ configuration: ProcessorModel.Configuration = .skylakeX, pages: Int = 16, options: OptionalControls = [],
    processorCount: Int = 1
  ) throws {
    processor = ProcessorModel(configuration)
    processor.cr4 |= configuration.cr4Fixed1 & 1 << 18
    support = try VMXSupport(of: processor, wanting: options)
    let (pointer, address) = processor.memory.allocatePages(pages + 7)
    var pool = PagePool(pointer, at: address, count: pages + 7)
    guard let region = pool.allocate(), let cpuidPage = pool.allocate(), let vcpuMemory = VCPUMemory(from: &pool),
      let shared = pool.allocate()
    else {
      throw OutOfPages()
    }
    _ = VMXOperation(on: processor, support: support, region: region)
    let ram = processor.memory.allocatePages(Self.memorySize / 4096)
    memory = GuestMemory(base: ram.pointer, byteCount: UInt64(Self.memorySize))
    backing = ram.address
    let cpuid = CPUIDTable(
      in: cpuidPage.pointer, policy: CPUIDPolicy(support: support, tscFrequency: 0, hasLocalAPIC: true),
      on: processor)
    guard let tables = ExtendedPageTables(in: pool.takeRest(), capabilities: support.capabilities.eptAndVPID) else {
      throw OutOfPages()
    }
    var settings = VCPUSettings(
      capabilities: support.capabilities, controls: support.controls, options: support.options,
      supportedCR4: cpuid.supportedCR4,
      eptPointer: tables.pointer, vpid: 1, tscOffset: 0)
    let mailboxes = ProcessorMailboxes(in: shared.pointer, at: shared.address, count: processorCount)
    settings.takePostedInterrupts(from: mailboxes, of: 0, notifiedBy: Self.notificationVector, at: 0)
    let queue = processor.memory.allocatePages()
    machinePointer = .allocate(capacity: 1)
    machinePointer.initialize(
      to: VirtualMachine(
        memory: memory, backing: ram.address, tables: tables,
        bus: IOBus(
          transmitStorage: UnsafeMutableBufferPointer(
            start: queue.pointer.bindMemory(to: UInt8.self, capacity: 4096), count: 4096),
          startingAt: CalendarTime(year: 2026, month: 1, day: 1, hour: 0, minute: 0, second: 0),
          memorySize: UInt64(Self.memorySize)),
        clock: MachineClock(start: 0, frequency: 1_000_000_000),
        mailboxes: mailboxes, apicAccessPage: shared.address))
    machinePointer.pointee.armedDeadline = machinePointer.pointee.bus.nextDeadline
    machinePointer.pointee.isOutputDraining = true
    let host = HostState(
      of: processor, cs: SegmentSelector(rawValue: 0x08), ds: SegmentSelector(rawValue: 0x10),
      tr: SegmentSelector(rawValue: 0x18), gdtrBase: 0x1_1000, idtrBase: 0x1_2000, trBase: 0x1_3000, rip: 0x1_4000)
    vcpu = VCPU(memory: vcpuMemory, settings: settings, host: host, on: processor).load()
    virtualProcessor = VirtualProcessor(
      0, of: machinePointer, on: &vcpu, cpuid: cpuid,
      msrs: MSRPolicy(physicalAddressWidth: cpuid.physicalAddressWidth, tscFrequency: 0, hasLocalAPIC: true),
      xcr0: XCR0Policy(supported: cpuid.supportedXCR0))
  }

  deinit {
    machinePointer.deinitialize(count: 1)
    machinePointer.deallocate()
  }

  /// What the processors of the guest share.
  var machine: VirtualMachine {
    _read { yield machinePointer.pointee }
    _modify { yield &machinePointer.pointee }
  }

  /// Runs the guest until the host has something to do, which is after `exits` at the latest.
  func run(_ exits: [ScriptedExit]) -> HostRequest {
    entries = []
    var end = ScriptedExit(.externalInterrupt)
    end.interruptionInformation = VMExitInterruptionInformation(rawValue: 1 << 31 | UInt32(Self.endVector))
    processor.script = (exits + [end]).map { exit in
      var exit = exit
      let guest = exit.guest
      exit.guest = { [unowned self] registers, processor in
        note()
        guest?(&registers, processor)
      }
      return exit
    }
    processor.clearTrace()
    // The host passes on what has come up in the devices before it runs the guest.
    virtualProcessor.withDevices { _ in }
    return virtualProcessor.run(&vcpu)
  }

  /// The same for one exit.
  func run(_ exit: ScriptedExit) -> HostRequest { run([exit]) }

  /// Notes what the guest has been entered with.
  ///
  /// An event that has been delivered is still in its field.
  private func note() {
    let event = contents(.vmEntryInterruptionInformation)
    let primary = contents(.primaryProcessorBasedVMExecutionControls)
    entries.append(
      Entry(
        event: event.valid ? event.rawValue : 0,
        errorCode: event.valid && event.deliverErrorCode ? contents(.vmEntryExceptionErrorCode) : 0,
        instructionLength: event.valid ? contents(.vmEntryInstructionLength) : 0, rip: contents(.guestRIP),
        waitsForInterruptWindow: primary.contains(.interruptWindowExiting),
        waitsForNMIWindow: primary.contains(.nmiWindowExiting),
        waitsForNextInstruction: primary.contains(.monitorTrapFlag),
        isBlockedByNMI: contents(.guestInterruptibilityState).blockingByNMI))
  }

  /// The contents of a field of the vCPU's VMCS.
  func contents<Value, Access>(_ field: VMCSField<Value, Access>) -> Value {
    processor.contents(of: field) ?? Value(bits: 0)
  }

  /// Gives the 8259As vectors from 0x30 on and lets IRQ 5, 6 and 7 through.
  func programInterruptControllers() {
    for (port, value) in [
      (0x20, 0x11), (0x21, 0x30), (0x21, 0x04), (0x21, 0x01), (0xA0, 0x11), (0xA1, 0x38), (0xA1, 0x02), (0xA1, 0x01),
      (0x21, 0x1F), (0xA1, 0xFF),
    ] as [(UInt16, UInt32)] {
      machine.bus.write(port: port, size: .byte, value: value, at: 0)
    }
    machine.armedDeadline = machine.bus.nextDeadline
  }

  /// Puts the guest into protected mode, where exceptions have error codes.
  func enterProtectedMode() {
    try? vcpu.setRegister(.cr0, to: 0x31)
  }
}

extension ScriptedExit {
  /// An instruction of `length` bytes that exits after `guest` has set its operands.
  static func instruction(
    _ reason: BasicExitReason, qualification: UInt64 = 0, length: UInt32 = 2,
    guest: ((inout GuestRegisters, ProcessorModel) -> Void)? = nil
  ) -> Self {
    var exit = Self(reason, qualification: qualification, instructionLength: length)
    exit.guest = guest
    return exit
  }

  /// IN or OUT of `count` bytes, with RAX.
  static func io(port: UInt16, count: UInt64, isIn: Bool, rax: UInt64 = 0) -> Self {
    .instruction(
      .ioInstruction, qualification: UInt64(port) << 16 | (isIn ? 1 << 3 : 0) | (count - 1), length: 1
    ) { registers, _ in
      registers.rax = rax
    }
  }

  /// The same exit with other flags: RFLAGS.IF as given.
  func with(interruptsEnabled: Bool) -> Self {
    var exit = self
    exit[.guestRFLAGS] = RFLAGS(rawValue: interruptsEnabled ? 0x202 : 2)
    return exit
  }

  /// The same exit with blocking by STI, MOV SS or NMI: the bits of the interruptibility state.
  func with(interruptibility: UInt32) -> Self {
    var exit = self
    exit[.guestInterruptibilityState] = GuestInterruptibilityState(rawValue: interruptibility)
    return exit
  }
}

extension HostRequest {
  /// Whether the script has come to its end.
  var isEnd: Bool {
    if case .interrupt(GuestOnModel.endVector) = self { true } else { false }
  }

  /// What stopped the guest, in the words of its report; nil if nothing did.
  var stopText: String? {
    guard case .stopped(let stop) = self else { return nil }
    var output = GuestText()
    stop.write(to: &output)
    return String(decoding: output.bytes, as: UTF8.self)
  }
}

/// Text that collects what is written to it.
struct GuestText: ByteOutput {
  var bytes: [UInt8] = []
  mutating func write(_ byte: UInt8) { bytes.append(byte) }
}
