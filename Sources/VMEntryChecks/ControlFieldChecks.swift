import VMCS

extension EntryInputs {
  /// Requires the bits of a control word to have settings that a capability MSR allows: bit n of its low half is 1 if the
  /// control has to be 1, bit n of its high half is 0 if it has to be 0 (SDM, "VMX Capability Reporting Facility").
  mutating func requireAllowed<Word: BitWord>(
    _ field: VMCSField<Word, ReadWrite>, by capability: EntryCapability
  ) -> EntryFinding? {
    let settings = self.capability(capability)
    let (mustBe1, mayBe1) = (settings & 0xFFFF_FFFF, settings >> 32)
    let found = bits(field)
    let required = (found | mustBe1) & mayBe1
    return require(field, found ^ required, required)
  }

  /// Requires the same, by the MSR that tells the default1 controls exactly where the processor has it.
  mutating func requireAllowed<Word: BitWord>(
    _ field: VMCSField<Word, ReadWrite>, by capability: EntryCapability, exactly exact: EntryCapability
  ) -> EntryFinding? {
    let basic = IA32VMXBASIC(rawValue: self.capability(.ia32VMXBASIC))
    return requireAllowed(field, by: basic.defaultSettingsMayBeCleared ? exact : capability)
  }

  /// Requires bits that a capability MSR, which is the mask of the bits that may be 1, does not have to be 0.
  mutating func requireSupported<Word: BitWord>(
    _ field: VMCSField<Word, ReadWrite>, by capability: EntryCapability
  ) -> EntryFinding? {
    if bits(field) == 0 { return nil }
    return requireClear(field, ~self.capability(capability))
  }
}

extension EntryCheckPass {
  /// The two checks of every physical address in the VM-execution controls, which depend on a control.
  ///
  /// - Parameters:
  ///   - aligned: the identifier and the statement of the check that the bits of `low` are 0.
  ///   - width: those of the check that no bits beyond the physical-address width are set.
  ///   - isUsed: whether the address is in use.
  mutating func address<Value>(
    _ aligned: (id: StaticString, statement: StaticString), _ width: (id: StaticString, statement: StaticString),
    of field: VMCSField<Value, ReadWrite>, low: UInt64 = 0xFFF, reads names: StaticString,
    if isUsed: (inout Inputs) -> Bool
  ) {
    check(aligned.id, aligned.statement, reads: names) { $0.isUsed(isUsed) ? $0.requireClear(field, low) : nil }
    check(width.id, width.statement, reads: names, and: "cpuid80000008EAX") {
      $0.isUsed(isUsed) ? $0.requirePhysicalAddress(field) : nil
    }
  }

  /// The three checks of an MSR area: alignment, the address, and the address of the last byte.
  ///
  /// - Parameters:
  ///   - name: what the SDM calls the area, like "VM-exit MSR-store".
  ///   - names: the address and the count.
  mutating func msrArea(
    _ ids: (alignment: StaticString, width: StaticString, lastByte: StaticString), _ name: StaticString,
    address: VMCSField<PhysicalAddress, ReadWrite>, count: VMCSField<UInt32, ReadWrite>,
    reads names: StaticString
  ) {
    check(
      ids.alignment, "Bits 3:0 of the % address are 0 if the % count is not 0.", reads: names, for: name
    ) { $0.bits(count) == 0 ? nil : $0.requireClear(address, 0xF) }

    check(
      ids.width, "No bits beyond the physical-address width are set in the % address if the % count is not 0.",
      reads: names, and: "cpuid80000008EAX", for: name
    ) { $0.bits(count) == 0 ? nil : $0.requirePhysicalAddress(address) }

    check(
      ids.lastByte,
      """
      The address of the last byte of the area, the % address + 16 * the % count - 1, has no bits beyond the \
      physical-address width.
      """,
      reads: names, and: "cpuid80000008EAX", for: name
    ) { vmcs in
      let size = 16 * vmcs.bits(count)
      return size == 0 ? nil : vmcs.requirePhysicalAddress(address, ofLast: size - 1, alignment: 16)
    }
  }
}

extension EntryInputs {
  /// Requires that the address in a field plus `offset` has no bits beyond the physical-address width.
  ///
  /// The smallest change
  /// moves the address down to a multiple of `alignment`.
  mutating func requirePhysicalAddress(
    _ field: VMCSField<PhysicalAddress, ReadWrite>, ofLast offset: UInt64, alignment: UInt64
  ) -> EntryFinding? {
    let (last, overflow) = bits(field).addingReportingOverflow(offset)
    let limit: UInt64 = 1 << physicalAddressWidth(for: overflow ? ~0 : last)
    if !overflow && last < limit { return nil }
    // An area that is larger than the address space fits nowhere.
    return finding(field, ~0, required: offset < limit ? (limit - 1 - offset) & ~(alignment - 1) : 0)
  }

  fileprivate mutating func isUsed(_ condition: (inout Self) -> Bool) -> Bool { condition(&self) }
}
