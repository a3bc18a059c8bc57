import ProcessorModel
import Testing
import VMCS

@testable import VMX

extension GuestRegister {
  /// The registers that no VMCS field holds.
  static let outsideVMCS: [GuestRegister] = [
    .rax, .rcx, .rdx, .rbx, .rbp, .rsi, .rdi, .r8, .r9, .r10, .r11, .r12, .r13, .r14, .r15, .cr2, .dr0, .dr1, .dr2,
    .dr3, .dr6,
  ]
  static let inVMCS = allCases.filter { !outsideVMCS.contains($0) }
  /// Those that hold what they are given, whatever it is.
  static let plain = allCases.filter { $0 != .interruptShadow }

  /// What the register can hold of `value`.
  func truncated(_ value: UInt64) -> UInt64 {
    switch field {
    case .bits16: value & 0xFFFF
    case .bits32: value & 0xFFFF_FFFF
    default: value
    }
  }
}

extension ProcessorAccess {
  /// Whether it is a VMX instruction on a VMCS.
  var isVMCSAccess: Bool {
    switch self {
    case .vmread, .vmwrite, .vmptrld, .vmclear, .vmptrst: true
    default: false
    }
  }
}

@Suite("Registers and descriptors of a vCPU") struct VCPURegisterTests {
  private static let values: [UInt64] = [0, 1, 0x8005_003F, 0x1234_5678_9ABC_DEF0, 0xFFFF_0000_0000_0001, ~0]

  @Test(
    "C3 a register in the VMCS of a vCPU that is not loaded costs one load and one clear",
    arguments: GuestRegister.inVMCS)
  func oneLoadOneClear(_ register: GuestRegister) throws {
    let fixture = try VCPUFixture()
    var vcpu = fixture.makeVCPU()
    fixture.processor.clearTrace()
    _ = vcpu.register(register)
    #expect(fixture.processor.trace.loads == [VCPUFixture.vmcs] && fixture.processor.trace.clears == [VCPUFixture.vmcs])
    fixture.processor.clearTrace()
    try vcpu.setRegister(register, to: 0)
    #expect(fixture.processor.trace.loads == [VCPUFixture.vmcs] && fixture.processor.trace.clears == [VCPUFixture.vmcs])
    #expect(fixture.processor.criticalNesting == 0)
  }

  @Test("C3 a register outside the VMCS costs neither, loaded or not", arguments: GuestRegister.outsideVMCS)
  func noVMCSAccess(_ register: GuestRegister) throws {
    let fixture = try VCPUFixture()
    var vcpu = fixture.makeVCPU()
    fixture.processor.clearTrace()
    try vcpu.setRegister(register, to: 0x55)
    #expect(vcpu.register(register) == 0x55)
    #expect(fixture.processor.trace.count(where: \.isVMCSAccess) == 0)
    var loaded = vcpu.load()
    fixture.processor.clearTrace()
    try loaded.setRegister(register, to: 0xAA)
    #expect(loaded.register(register) == 0xAA)
    #expect(fixture.processor.trace.count(where: \.isVMCSAccess) == 0)
  }

  @Test("C3 no register or descriptor of a loaded vCPU costs a load or a clear")
  func loaded() throws {
    let fixture = try VCPUFixture()
    var vcpu = fixture.makeLoadedVCPU()
    for register in GuestRegister.allCases {
      let value = vcpu.register(register)
      try vcpu.setRegister(register, to: value)
    }
    for segment in GuestSegment.allCases {
      let descriptor = vcpu.descriptor(segment)
      vcpu.setDescriptor(segment, to: descriptor)
    }
    #expect(fixture.processor.trace.loads.isEmpty && fixture.processor.trace.clears.isEmpty)
  }

  @Test("C3 a descriptor of a vCPU that is not loaded costs one load and one clear", arguments: GuestSegment.allCases)
  func descriptorLoads(_ segment: GuestSegment) throws {
    let fixture = try VCPUFixture()
    var vcpu = fixture.makeVCPU()
    fixture.processor.clearTrace()
    let descriptor = vcpu.descriptor(segment)
    #expect(fixture.processor.trace.loads.count == 1 && fixture.processor.trace.clears.count == 1)
    vcpu.setDescriptor(segment, to: descriptor)
    #expect(fixture.processor.trace.loads.count == 2 && fixture.processor.trace.clears.count == 2)
  }

  @Test("D3 every register reads as it was written, loaded or not", arguments: GuestRegister.plain, values)
  func roundTrip(_ register: GuestRegister, _ value: UInt64) throws {
    let fixture = try VCPUFixture()
    var vcpu = fixture.makeVCPU()
    try vcpu.setRegister(register, to: value)
    #expect(vcpu.register(register) == register.truncated(value))
    var loaded = vcpu.load()
    #expect(loaded.register(register) == register.truncated(value))
    try loaded.setRegister(register, to: ~value)
    #expect(loaded.register(register) == register.truncated(~value))
    vcpu = loaded.unload()
    #expect(vcpu.register(register) == register.truncated(~value))
  }

  @Test("D3 writing one register changes no other", arguments: GuestRegister.plain)
  func independent(_ register: GuestRegister) throws {
    let fixture = try VCPUFixture()
    var vcpu = fixture.makeLoadedVCPU()
    for (index, other) in GuestRegister.plain.enumerated() { try vcpu.setRegister(other, to: UInt64(index)) }
    try vcpu.setRegister(register, to: ~0)
    for (index, other) in GuestRegister.plain.enumerated() where other != register {
      let value = vcpu.register(other)
      #expect(value == UInt64(index), "\(other)")
    }
  }

  @Test(
    "C3 writing a register leaves alone what the guest has changed in the processor", arguments: GuestRegister.plain)
  func processorRegisters(_ register: GuestRegister) throws {
    let fixture = try VCPUFixture()
    var exit = ScriptedExit.cpuid
    let guestValues: [GuestRegister: UInt64] = [.cr2: 0xC2, .dr0: 0xD0, .dr1: 0xD1, .dr2: 0xD2, .dr3: 0xD3, .dr6: 0xD6]
    exit.guest = { _, processor in
      processor.cr2 = 0xC2
      for number in [0, 1, 2, 3, 6] { processor.setDebugRegister(number, to: UInt64(0xD0 + number)) }
    }
    var vcpu = fixture.makeLoadedVCPU(after: exit)
    try vcpu.setRegister(register, to: 0x11)
    for (other, value) in guestValues where other != register {
      let found = vcpu.register(other)
      #expect(found == value, "\(other)")
    }
    var unloaded = vcpu.unload()
    for (other, value) in guestValues where other != register { #expect(unloaded.register(other) == value, "\(other)") }
  }

  @Test("CR2, the debug registers and XCR0 follow the vCPU from load to load")
  func processorRegistersAcrossLoads() throws {
    let fixture = try VCPUFixture()
    let registers: [GuestRegister] = [.cr2, .dr0, .dr1, .dr2, .dr3, .dr6]
    var vcpu = fixture.makeVCPU()
    for (index, register) in registers.enumerated() { try vcpu.setRegister(register, to: UInt64(index + 1)) }
    vcpu = vcpu.load().unload()
    fixture.processor.cr2 = 99
    fixture.processor.xcr0 = 7
    for number in [0, 1, 2, 3, 6] { fixture.processor.setDebugRegister(number, to: 99) }
    let loaded = vcpu.load()
    #expect(fixture.processor.cr2 == 1 && fixture.processor.xcr0 == 1)
    #expect([0, 1, 2, 3, 6].map { fixture.processor.debugRegister($0) } == [2, 3, 4, 5, 6])
    _ = loaded.unload()
  }

  @Test("D2 CR0 and CR4 are written as read shadow and live value, in one load and clear", arguments: values)
  func controlRegisters(_ value: UInt64) throws {
    let fixture = try VCPUFixture()
    let capabilities = fixture.support.capabilities
    // In CR0, unrestricted guest frees PE and PG, and CD and NW are kept from the guest.
    let cr0Ones: UInt64 = 0x20
    let cr0Zeros: UInt64 = 0xFFFF_FFFF_7FFA_FFC0
    var vcpu = fixture.makeVCPU()
    fixture.processor.clearTrace()
    try vcpu.setRegister(.cr0, to: value)
    #expect(
      fixture.processor.trace.vmwrites.map { FieldWrite($0) } == [
        .init(.cr0ReadShadow, value), .init(.guestCR0, (value | cr0Ones) & ~cr0Zeros),
      ])
    try vcpu.setRegister(.cr4, to: value)
    let live = fixture.contents(.guestCR4).rawValue
    #expect(fixture.contents(.cr4ReadShadow).rawValue == value)
    #expect(live & 0x2000 == 0x2000, "VMXE")
    #expect(live & ~capabilities.cr4.allowed1 == 0)
    #expect((live ^ value) & ~fixture.settings.cr4.owned == 0, "the guest's own bits are as it has written them")
    #expect(live & fixture.settings.cr4.fixed == 0x2000, "the host's bits are not")
    #expect(fixture.processor.trace.loads.count == 2 && fixture.processor.trace.clears.count == 2)
  }

  @Test("D3 bits that the guest owns are read from the live register, the others from the read shadow")
  func visibleControlRegisters() throws {
    let fixture = try VCPUFixture()
    var vcpu = fixture.makeVCPU()
    try vcpu.setRegister(.cr0, to: 0x6000_0010)
    fixture.set(.guestCR0, CR0(rawValue: 0x8000_0033))
    #expect(vcpu.register(.cr0) == 0xE000_0013, "PG, PE, MP from the guest; NE hidden; CD and NW shown")
    fixture.set(.guestCR4, CR4(rawValue: 0x2020))
    #expect(vcpu.register(.cr4) == 0x20, "VMXE hidden")
  }

  @Test("D4 IA-32e mode guest follows IA32_EFER.LMA", arguments: [0x500, 0x100, 0xD01, 0, 0x400, ~0] as [UInt64])
  func efer(_ value: UInt64) throws {
    let fixture = try VCPUFixture()
    var vcpu = fixture.makeVCPU()
    for value in [value, 0, value, 0x500, value] {
      try vcpu.setRegister(.efer, to: value)
      #expect(fixture.contents(.guestIA32EFER).rawValue == value)
      #expect(fixture.contents(.vmEntryControls).ia32eModeGuestIsSet == (value & 0x400 != 0))
      #expect(fixture.contents(.vmEntryControls).rawValue & ~0x200 == fixture.support.controls.entry.rawValue)
    }
  }

  @Test(
    "D5 a new CR3 flushes the VPID before the next entry, and so does what else decides about paging",
    arguments: [.cr3, .cr0, .cr4, .efer] as [GuestRegister], [true, false])
  func flush(_ register: GuestRegister, isLoaded: Bool) throws {
    let fixture = try VCPUFixture()
    var loaded = fixture.makeLoadedVCPU()
    let value: UInt64 = register == .cr3 ? 0x5000 : register == .cr0 ? 0x11 : 0
    if isLoaded {
      try loaded.setRegister(register, to: value)
    } else {
      var vcpu = loaded.unload()
      try vcpu.setRegister(register, to: value)
      loaded = vcpu.load()
    }
    fixture.processor.clearTrace()
    fixture.processor.script = [.cpuid, .cpuid]
    _ = loaded.run(eptGeneration: 1)
    let accesses = fixture.processor.trace.accesses
    let flush = accesses.firstIndex(of: .invvpid(type: 1, vpid: VCPUFixture.vpid, linearAddress: 0))
    let entry = accesses.firstIndex { $0 == .vmlaunch || $0 == .vmresume }
    #expect(try #require(flush) < #require(entry))
    fixture.processor.clearTrace()
    _ = loaded.run(eptGeneration: 1)
    #expect(fixture.processor.trace.count { if case .invvpid = $0 { true } else { false } } == 0, "once is enough")
  }

  @Test(
    "D6 the interrupt shadow is blocking by STI or MOV SS, and 0 ends both and nothing else",
    arguments: 0..<32 as Range<UInt32>)
  func interruptShadow(_ state: UInt32) throws {
    let fixture = try VCPUFixture()
    var vcpu = fixture.makeVCPU()
    fixture.set(.guestInterruptibilityState, GuestInterruptibilityState(rawValue: state))
    #expect(vcpu.register(.interruptShadow) == (state & 3 == 0 ? 0 : 1))
    try vcpu.setRegister(.interruptShadow, to: 0)
    #expect(fixture.contents(.guestInterruptibilityState).rawValue == state & ~3)
    #expect(vcpu.register(.interruptShadow) == 0)
  }

  @Test(
    "B5 the interrupt shadow cannot begin; the error leaves everything balanced", arguments: [1, 2, ~0] as [UInt64])
  func interruptShadowCannotBegin(_ value: UInt64) throws {
    let fixture = try VCPUFixture()
    var vcpu = fixture.makeVCPU()
    fixture.processor.clearTrace()
    var error: RegisterError?
    do { try vcpu.setRegister(.interruptShadow, to: value) } catch let thrown { error = thrown }
    #expect(error == .interruptShadowCannotBegin)
    #expect(fixture.processor.trace.vmwrites.isEmpty)
    #expect(fixture.processor.trace.loads.count == fixture.processor.trace.clears.count)
    #expect(fixture.processor.criticalNesting == 0 && fixture.processor.currentVMCS == nil)
  }

  @Test(
    "D7 each descriptor reads as it was written; GDTR and IDTR have no access rights", arguments: GuestSegment.allCases
  )
  func descriptors(_ segment: GuestSegment) throws {
    let fixture = try VCPUFixture()
    var vcpu = fixture.makeVCPU()
    var others: [GuestSegment: GuestDescriptor] = [:]
    for other in GuestSegment.allCases where other != segment { others[other] = vcpu.descriptor(other) }
    let isTable = segment == .gdtr || segment == .idtr
    fixture.processor.clearTrace()
    let written = GuestDescriptor(
      base: 0xFFFF_8000_1234_5678, limit: 0xABCD_EFFF, accessRights: SegmentAccessRights(rawValue: 0x1_C09B))
    vcpu.setDescriptor(segment, to: written)
    #expect(fixture.processor.trace.vmwrites.count == (isTable ? 2 : 3))
    let read = vcpu.descriptor(segment)
    #expect(read.base == written.base && read.limit == written.limit)
    #expect(read.accessRights.rawValue == (isTable ? 0 : 0x1_C09B))
    for (other, descriptor) in others { #expect(vcpu.descriptor(other) == descriptor, "\(other)") }
  }

  @Test("A5 no number beside those of the list names a register, so none reaches the VMCS")
  func numbers() throws {
    var numbers = SeededNumbers(state: 5)
    let known = Set(GuestRegister.allCases.map(\.rawValue))
    let encodings = VMCSFieldDescription.all.map { Int32(bitPattern: $0.encoding.rawValue) }
    let marked = encodings.map { $0 | .min }
    let random = (0..<10_000).map { _ in Int32(truncatingIfNeeded: numbers.word()) }
    for number in encodings + marked + random + [.min, -1, .max, Int32(known.count)] where !known.contains(number) {
      #expect(GuestRegister(rawValue: number) == nil, "\(number)")
    }
    // A number that is in the list means the register, never the field with that encoding.
    let fixture = try VCPUFixture()
    var vcpu = fixture.makeVCPU()
    for register in GuestRegister.allCases {
      fixture.processor.clearTrace()
      _ = vcpu.register(register)
      for field in fixture.processor.trace.vmreads { #expect(field.rawValue >= 0x0800, "\(register)") }
    }
  }

  @Test("B7 no number beside those of the list names a segment, and each that does has a descriptor")
  func segments() throws {
    let fixture = try VCPUFixture()
    var vcpu = fixture.makeVCPU()
    var numbers = SeededNumbers(state: 7)
    for number in (-20...20) + (0..<2000).map({ _ in Int32(truncatingIfNeeded: numbers.word()) }) {
      guard let segment = GuestSegment(rawValue: number) else {
        #expect(!(0..<Int32(GuestSegment.allCases.count)).contains(number))
        continue
      }
      vcpu.setDescriptor(segment, to: vcpu.descriptor(segment))
    }
    #expect(fixture.processor.faults.isEmpty)
  }

  @Test("C1 whatever is done to a vCPU, in whatever order, loads and clears, critical sections and accesses balance")
  func balance() throws {
    var numbers = SeededNumbers(state: 1)
    for _ in 0..<40 {
      let fixture = try VCPUFixture()
      var vcpu = fixture.makeVCPU()
      fixture.processor.clearTrace()
      for _ in 0..<20 {
        let register = GuestRegister.allCases.randomElement(using: &numbers) ?? .rax
        let segment = GuestSegment.allCases.randomElement(using: &numbers) ?? .cs
        switch numbers.next() % 6 {
        case 0: _ = vcpu.register(register)
        case 1: try? vcpu.setRegister(register, to: numbers.word())
        case 2: _ = vcpu.descriptor(segment)
        case 3: vcpu.setDescriptor(segment, to: vcpu.descriptor(segment))
        case 4: vcpu.whileLoaded { _ = $0.register(register) }
        default: vcpu = vcpu.load().unload()
        }
        #expect(fixture.processor.criticalNesting == 0 && fixture.processor.currentVMCS == nil)
      }
      for entry in fixture.processor.trace.entries where entry.access.isVMCSAccess {
        let isLoaded = entry.currentVMCS == VCPUFixture.vmcs
        if case .vmclear = entry.access { #expect(!isLoaded) } else { #expect(isLoaded) }
        #expect(entry.criticalNesting == 1 && entry.outcome == .succeed)
      }
      #expect(fixture.processor.trace.loads.count == fixture.processor.trace.clears.count)
    }
  }

  @Test("C2 between load and clear there is nothing but VMREADs, VMWRITEs and the guest's own registers")
  func nothingBetweenLoadAndClear() throws {
    let fixture = try VCPUFixture()
    fixture.processor.clearTrace()
    var vcpu = fixture.makeVCPU()
    for register in GuestRegister.allCases { try vcpu.setRegister(register, to: vcpu.register(register)) }
    for segment in GuestSegment.allCases { vcpu.setDescriptor(segment, to: vcpu.descriptor(segment)) }
    for entry in fixture.processor.trace.entries where entry.currentVMCS == VCPUFixture.vmcs {
      switch entry.access {
      case .vmptrld, .vmread, .vmwrite, .read, .write: break
      default: Issue.record("\(entry.access)")
      }
    }
  }

  /// Optional controls, and those of the secondary ones that change with the local APIC's mode.
  static let modeControls: [(OptionalControls, SecondaryProcessorBasedVMExecutionControls)] = [
    ([], []), (.all, [.virtualizeAPICAccesses, .virtualizeX2APICMode]),
    ([.useTPRShadow, .virtualizeX2APICMode], .virtualizeX2APICMode), (.virtualizeAPICAccesses, .virtualizeAPICAccesses),
  ]

  @Test(
    "C6 after its making, of all controls these change: windows, IA-32e mode guest, and what virtualizes the local APIC",
    arguments: modeControls)
  func changingControls(options: OptionalControls, modes: SecondaryProcessorBasedVMExecutionControls) throws {
    let fixture = try VCPUFixture(.everything, wanting: options)
    let controls = fixture.support.controls
    var changed = ControlWords(pinBased: [], primary: [], secondary: [], exit: [], entry: [])
    func note() {
      changed.pinBased.formUnion(
        fixture.contents(.pinBasedVMExecutionControls).symmetricDifference(controls.pinBased))
      changed.primary.formUnion(
        fixture.contents(.primaryProcessorBasedVMExecutionControls).symmetricDifference(controls.primary))
      changed.secondary.formUnion(
        fixture.contents(.secondaryProcessorBasedVMExecutionControls).symmetricDifference(controls.secondary))
      changed.exit.formUnion(fixture.contents(.primaryVMExitControls).symmetricDifference(controls.exit))
      changed.entry.formUnion(fixture.contents(.vmEntryControls).symmetricDifference(controls.entry))
    }
    var vcpu = fixture.makeLoadedVCPU()
    for register in GuestRegister.plain {
      try vcpu.setRegister(register, to: ~0)
      note()
    }
    for request in [true, false] {
      // The second waits for the first.
      for _ in 0..<2 { vcpu.requestNMI() }
      _ = vcpu.prepareEvents(externalInterruptRequested: request)
      note()
    }
    vcpu.requestInterruptWindow()
    note()
    for mode in LocalAPICMode.allCases {
      vcpu.setLocalAPICMode(mode)
      note()
    }
    let expected = ControlWords(
      pinBased: [], primary: [.interruptWindowExiting, .nmiWindowExiting], secondary: modes, exit: [],
      entry: .ia32eModeGuest)
    #expect(changed == expected)
    for field in [
      VMCSField.exceptionBitmap.encoding, VMCSField.eptPointer.encoding, VMCSField.msrBitmapsAddress.encoding,
    ] {
      #expect(!fixture.processor.trace.vmwrites.contains { $0.field == field })
    }
  }

  @Test("C7 the VMCS of a vCPU that is unloaded is active on no processor, and can be loaded on another")
  func migration() throws {
    let fixture = try VCPUFixture()
    let other = ProcessorModel(memory: fixture.processor.memory)
    let vcpu = fixture.makeLoadedVCPU().unload()
    #expect(fixture.processor.activeVMCSs.isEmpty && fixture.processor.currentVMCS == nil)
    #expect(fixture.processor.isLaunched(VCPUFixture.vmcs) == false)
    _ = VMXOperation(on: other, support: fixture.support, region: other.poolPage())
    #expect(other.vmptrld(VCPUFixture.vmcs) == .succeed && other.faults.isEmpty)
    _ = vcpu
  }
}

extension VMEntryControls {
  fileprivate var ia32eModeGuestIsSet: Bool { contains(.ia32eModeGuest) }
}
