import VMCS

/// What a check reads its inputs from.
///
/// A read of something unknown gives 0 and is noted, and then the check is undecidable whatever it made of the 0.
struct EntryInputs<State: VMCSState> {
  let state: State
  let capabilities: EntryCapabilities
  let facts: EntryFacts
  /// The first input that was read and is not known.
  private(set) var unknown: EntryInput?

  init(state: State, capabilities: EntryCapabilities, facts: EntryFacts) {
    (self.state, self.capabilities, self.facts) = (state, capabilities, facts)
  }

  private mutating func known(_ value: UInt64?, _ input: @autoclosure () -> EntryInput) -> UInt64 {
    if let value { return value }
    if unknown == nil { unknown = input() }
    return 0
  }

  /// The bits of the field with `encoding`.
  mutating func bits(_ encoding: VMCSFieldEncoding) -> UInt64 { known(state.value(of: encoding), .field(encoding)) }

  /// The bits of a field, zero-extended to 64.
  mutating func bits<Value>(_ field: VMCSField<Value, ReadWrite>) -> UInt64 { bits(field.encoding) }

  /// The value of a field.
  subscript<Value>(_ field: VMCSField<Value, ReadWrite>) -> Value {
    mutating get { Value(bits: Value.Bits(truncatingIfNeeded: bits(field.encoding))) }
  }

  /// A capability of the processor.
  mutating func capability(_ capability: EntryCapability) -> UInt64 {
    known(capabilities[capability], .capability(capability))
  }

  /// A fact about the logical processor, as a number.
  mutating func fact(_ fact: EntryFact) -> UInt64 { known(facts[fact], .fact(fact)) }

  /// Whether a fact is so.
  mutating func isSo(_ fact: EntryFact) -> Bool { self.fact(fact) != 0 }

  /// The quadword in memory at `address`, whose bits 2:0 are ignored.
  mutating func quadword(at address: UInt64) -> UInt64 {
    let address = PhysicalAddress(address & ~7)
    return known(state.quadword(at: address), .memory(address))
  }
}

// MARK: Controls

extension EntryInputs {
  /// Whether any of `controls` is 1 in a control word that is in use only if `isActive`.
  private mutating func contains<Word: OptionSet & BitWord>(
    _ field: VMCSField<Word, ReadWrite>, _ controls: Word, isActive: (inout Self) -> Bool
  ) -> Bool {
    // A control that is 0 has no effect, known to be in use or not.
    if let value = state.value(of: field.encoding),
      Word(bits: Word.RawValue(truncatingIfNeeded: value)).isDisjoint(with: controls)
    {
      return false
    }
    return isActive(&self) && !self[field].isDisjoint(with: controls)
  }

  mutating func pin(_ controls: PinBasedVMExecutionControls) -> Bool {
    !self[.pinBasedVMExecutionControls].isDisjoint(with: controls)
  }

  mutating func primary(_ controls: PrimaryProcessorBasedVMExecutionControls) -> Bool {
    !self[.primaryProcessorBasedVMExecutionControls].isDisjoint(with: controls)
  }

  mutating func secondary(_ controls: SecondaryProcessorBasedVMExecutionControls) -> Bool {
    contains(.secondaryProcessorBasedVMExecutionControls, controls) { $0.primary(.activateSecondaryControls) }
  }

  mutating func tertiary(_ controls: TertiaryProcessorBasedVMExecutionControls) -> Bool {
    contains(.tertiaryProcessorBasedVMExecutionControls, controls) { $0.primary(.activateTertiaryControls) }
  }

  mutating func functions(_ controls: VMFunctionControls) -> Bool {
    contains(.vmFunctionControls, controls) { $0.secondary(.enableVMFunctions) }
  }

  mutating func exit(_ controls: PrimaryVMExitControls) -> Bool {
    !self[.primaryVMExitControls].isDisjoint(with: controls)
  }

  mutating func secondaryExit(_ controls: SecondaryVMExitControls) -> Bool {
    contains(.secondaryVMExitControls, controls) { $0.exit(.activateSecondaryControls) }
  }

  mutating func entry(_ controls: VMEntryControls) -> Bool { !self[.vmEntryControls].isDisjoint(with: controls) }
}

// MARK: Requirements

extension EntryInputs {
  /// A finding in a field: the bits of `mask` have to become those of `required`.
  mutating func finding<Value>(
    _ field: VMCSField<Value, ReadWrite>, _ mask: UInt64, required: UInt64
  ) -> EntryFinding {
    let found = bits(field)
    return EntryFinding(
      subject: .field(field.encoding), mask: mask, found: found, required: found & ~mask | required & mask)
  }

  /// Requires the bits of `mask` to be those of `required`.
  mutating func require<Value>(
    _ field: VMCSField<Value, ReadWrite>, _ mask: UInt64, _ required: UInt64
  ) -> EntryFinding? {
    (bits(field) ^ required) & mask == 0 ? nil : finding(field, mask, required: required)
  }

  /// Requires the bits of `mask` to be 0.
  mutating func requireClear<Value>(_ field: VMCSField<Value, ReadWrite>, _ mask: UInt64) -> EntryFinding? {
    require(field, mask, 0)
  }

  /// Requires controls to be 0.
  mutating func requireClear<Word: OptionSet & BitWord>(
    _ field: VMCSField<Word, ReadWrite>, _ controls: Word
  ) -> EntryFinding? { require(field, UInt64(truncatingIfNeeded: controls.rawValue), 0) }

  /// Requires controls to be 1.
  mutating func requireSet<Word: OptionSet & BitWord>(
    _ field: VMCSField<Word, ReadWrite>, _ controls: Word
  ) -> EntryFinding? { require(field, UInt64(truncatingIfNeeded: controls.rawValue), ~0) }

  /// Requires the field's value to be in a range.
  mutating func require<Value>(
    _ field: VMCSField<Value, ReadWrite>, in range: ClosedRange<UInt64>
  ) -> EntryFinding? {
    let value = bits(field)
    if range.contains(value) { return nil }
    return EntryFinding(
      subject: .field(field.encoding), mask: ~0 >> UInt64(64 - Value.Bits.bitWidth), found: value,
      required: value < range.lowerBound ? range.lowerBound : range.upperBound)
  }

  /// The number of bits of a physical address, from 32 to 52, if it matters for the bits that are set in `bits`.
  mutating func physicalAddressWidth(for bits: UInt64) -> UInt64 {
    if bits < 1 << 32 { return 32 }
    // No processor has more than 52, so these bits are too many even where the width is not known.
    if bits >= 1 << 52, capabilities[.cpuid80000008EAX] == nil { return 52 }
    return max(32, min(52, capability(.cpuid80000008EAX) & 0xFF))
  }

  /// Requires that no bits beyond the physical-address width are set.
  ///
  /// IA32_VMX_BASIC bit 48, which would limit
  /// addresses to 32 bits, is 0 on every processor that supports Intel 64 architecture.
  mutating func requirePhysicalAddress<Value>(_ field: VMCSField<Value, ReadWrite>) -> EntryFinding? {
    requireClear(field, ~0 << physicalAddressWidth(for: bits(field)))
  }

  /// The number of bits of a linear address, 48 or 57.
  ///
  /// Where it is not known, and `isValid` says that an address is valid with 48 bits or is not even with 57, it is 48.
  private mutating func linearAddressWidth(where isValid: (UInt64) -> Bool) -> UInt64 {
    if capabilities[.cpuid80000008EAX] == nil, isValid(48) || !isValid(57) { return 48 }
    return max(48, min(57, capability(.cpuid80000008EAX) >> 8 & 0xFF))
  }

  /// The number of bits of a linear address, if it matters for whether `address` is canonical.
  mutating func linearAddressWidth(for address: UInt64) -> UInt64 {
    linearAddressWidth { address.isCanonical(width: $0) }
  }

  /// Requires a canonical address, relative to the processor's linear-address width.
  ///
  /// Bits 46:0 do not matter to that, so that a field may have others than an address's in bits 11:0.
  mutating func requireCanonical<Value>(_ field: VMCSField<Value, ReadWrite>) -> EntryFinding? {
    let value = bits(field)
    let width = linearAddressWidth(for: value)
    if value.isCanonical(width: width) { return nil }
    return finding(field, ~0 << (width - 1), required: value.signExtended(from: width))
  }

  /// Requires bits 63:N to be identical, where N is the processor's linear-address width (bit N - 1 may differ).
  mutating func requireIdenticalHighBits<Value>(_ field: VMCSField<Value, ReadWrite>) -> EntryFinding? {
    let value = bits(field)
    func areIdentical(_ width: UInt64) -> Bool { value >> width == 0 || value >> width == ~0 >> width }
    let width = linearAddressWidth(where: areIdentical)
    if areIdentical(width) { return nil }
    return finding(field, ~0 << width, required: value >> 63 == 0 ? 0 : ~0)
  }

  /// Requires the bits of `reserved` to be 0, and those of `optional` too unless `supported` says that they exist.
  mutating func requireReservedClear<Value>(
    _ field: VMCSField<Value, ReadWrite>, reserved: UInt64, optional: UInt64, supported: (inout Self) -> UInt64
  ) -> EntryFinding? {
    let allowed = bits(field) & optional == 0 ? optional : supported(&self)
    return requireClear(field, reserved | optional & ~allowed)
  }
}

extension UInt64 {
  /// Whether a linear address is canonical where linear addresses have `width` bits.
  func isCanonical(width: UInt64) -> Bool { signExtended(from: width) == self }

  /// The low `width` bits, and the highest of them in all bits above.
  func signExtended(from width: UInt64) -> UInt64 {
    UInt64(bitPattern: Int64(bitPattern: self << (64 - width)) >> Int64(64 - width))
  }
}
