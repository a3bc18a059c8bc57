import Testing

@testable import VMCS

/// The words: what their tables say about bits, and that properties touch those bits and no others.
@Suite struct VocabularyWordTests {
  /// Words to start from: none, all, and two patterns that differ in neighbouring bits.
  static let patterns: [UInt64] = [0, ~0, 0x5A5A_5A5A_5A5A_5A5A, 0x0123_4567_89AB_CDEF]

  @Test(arguments: ValueType.allCases)
  func bitFieldsAreOrderedFitAndDoNotOverlap(type: ValueType) {
    var next = 0
    for field in type.bitFields {
      #expect(Int(field.low) >= next)
      #expect(field.high >= field.low && Int(field.high) < type.width)
      #expect(field.title.utf8CodeUnitCount > 0)
      if let contents = field.valueType {
        #expect(contents.isEnumeration)
        #expect(contents.width > Int(field.high - field.low))
      }
      next = Int(field.high) + 1
    }
    #expect(Set(type.bitFields.map { $0.name.description }).count == type.bitFieldCount)
    #expect(type.bitFields.mask.nonzeroBitCount == type.bitFields.reduce(0) { $0 + $1.mask.nonzeroBitCount })
    #expect(!type.isEnumeration || type.bitFieldCount == 0)
  }

  @Test(arguments: ValueType.allCases)
  func everyBitFieldHasAPropertyOfItsName(type: ValueType) {
    #expect(wordProperties(type).map(\.name) == type.bitFields.map { $0.name.description })
  }

  @Test(arguments: ValueType.allCases)
  func propertiesReadTheirBits(type: ValueType) {
    let all: UInt64 = ~0 >> UInt64(64 - type.width)
    for (property, field) in zip(wordProperties(type), type.bitFields) {
      for pattern in Self.patterns { #expect(property.get(pattern & all) == field.value(in: pattern & all)) }
    }
  }

  @Test(arguments: ValueType.allCases)
  func settingAPropertyStoresItsBitsAndTouchesNoOthers(type: ValueType) {
    let all: UInt64 = ~0 >> UInt64(64 - type.width)
    for (property, field) in zip(wordProperties(type), type.bitFields) {
      let largest = field.value(in: ~0)
      for word in Self.patterns.map({ $0 & all }) {
        for value in [0, 1, largest, largest & 0x5555_5555_5555_5555] {
          let result = property.set(word, value)
          #expect(result == word & ~field.mask | value << UInt64(field.low))
          #expect(property.get(result) == value)
        }
      }
    }
  }

  /// A value that is too wide for its bits loses the bits that do not fit, and changes none beside them.
  @Test(arguments: ValueType.allCases)
  func aValueThatIsTooWideDoesNotSpill(type: ValueType) {
    for (property, field) in zip(wordProperties(type), type.bitFields) {
      for word in [0, ~0 >> UInt64(64 - type.width)] as [UInt64] {
        #expect(property.set(word, ~0) & ~field.mask == word & ~field.mask)
      }
    }
  }

  @Test(arguments: ValueType.allCases.filter(\.isEnumeration))
  func enumerationsNameTheirValuesOnly(type: ValueType) {
    let named = (0..<256 as Range<UInt64>).compactMap { type.title(of: $0)?.description }
    #expect(!named.isEmpty)
    #expect(Set(named).count == named.count)
    #expect(type.title(of: 255) == nil)
  }

  @Test func everyControlWordHasSingleBits() {
    for word in ControlWord.allCases {
      #expect(word.valueType.bitFieldCount > 0)
      for field in word.valueType.bitFields {
        #expect(field.high == field.low)
        #expect(ControlBit(word, field.low).name?.description == field.name.description)
      }
      #expect(ControlBit(word, 63).name == nil)
    }
  }

  /// What reading gives and writing stores are all bits, also those without a name.
  @Test(arguments: patterns)
  func bitsWithoutANameAreKept(pattern: UInt64) {
    let low = UInt32(truncatingIfNeeded: pattern)
    #expect(ExitReason(rawValue: low).bits == low)
    #expect(SegmentAccessRights(bits: low).rawValue == low)
    #expect(PinBasedVMExecutionControls(bits: low).bits == low)
    #expect(CR4(bits: pattern).bits == pattern)
    #expect(IA32PAT(bits: pattern).bits == pattern)
  }

  /// Values that the SDM's formats give, taken apart.
  @Test func formatsOfTheSDM() {
    var reason = ExitReason(rawValue: 0x8000_0021)
    #expect(reason.vmEntryFailure)
    #expect(reason.basicReason == .vmEntryFailureInvalidGuestState)
    reason.basicReason = .hlt
    #expect(reason.rawValue == 0x8000_000C)

    let rights = SegmentAccessRights(rawValue: 0xA09B)
    #expect(rights.type == 11 && rights.s && rights.dpl == 0 && rights.p && rights.l && !rights.db && rights.g)
    #expect(!rights.unusable)

    let fault = VMEntryInterruptionInformation(rawValue: 0x8000_0B0E)
    #expect(fault.vector == 14 && fault.type == .hardwareException && fault.deliverErrorCode && fault.valid)

    // OUT of a byte to port 0x80, immediate operand; then MOV from R9 to CR4.
    let io = IOInstructionQualification(rawValue: 0x0080_0040)
    #expect(io.size == .byte && io.direction == .out && io.immediateOperand && io.port == 0x80 && !io.rep)
    let access = ControlRegisterAccessQualification(rawValue: 0x904)
    #expect(access.controlRegister == 4 && access.accessType == .movToCR && access.register == .r9)
  }

  @Test(arguments: [
    (MSR.ia32VMXBASIC, "IA32_VMX_BASIC"), (MSR(rawValue: 0x3A), "IA32_FEATURE_CONTROL"),
    (MSR(rawValue: 0x209), "IA32_MTRR_PHYSMASKn"), (MSR.ia32MTRRPHYSBASE(9), "IA32_MTRR_PHYSBASEn"),
    (MSR(rawValue: 0x47F), "IA32_MCn_MISC"), (MSR.ia32MCSTATUS(1), "IA32_MCn_STATUS"),
    (MSR(rawValue: 0xC000_0080), "IA32_EFER"), (MSR(rawValue: 0x8B), "IA32_BIOS_SIGN_ID"),
    (MSR.ia32X2APICISR(7), "IA32_X2APIC_ISRn"), (MSR(rawValue: 0xC000_0102), "IA32_KERNEL_GS_BASE"),
  ])
  func msrNames(msr: MSR, name: String) {
    #expect(msr.name?.description == name)
  }

  @Test(arguments: [2, 0x214, 0x17D, 0x494, 0xC000_0104, 0xFFFF_FFFF] as [UInt32])
  func otherMSRsHaveNoName(index: UInt32) {
    #expect(MSR(rawValue: index).name == nil)
  }
}
