import VMCS

extension Dump {
  /// How many entries of MSR areas are kept: more than any processor recommends for an area (512), three times.
  static var msrEntryLimit: Int { 1536 }

  mutating func add(_ entry: DumpMSREntry) {
    if msrEntries.count < Self.msrEntryLimit { msrEntries.append(entry) }
  }

  mutating func add(_ failure: DumpInstructionFailure) {
    guard failures.count < Self.failureLimit, !failures.contains(where: { $0.isRepeated(by: failure) }) else { return }
    failures.append(failure)
  }

  mutating func add(_ lines: [UnreadLine], of count: Int) {
    let room = Self.unreadLimit - unread.count
    if room > 0 { unread += lines.prefix(room) }
    unreadCount += count
  }

  /// Sets a field, of which a high half may have been printed alone.
  mutating func set(_ field: VMCSFieldEncoding, _ value: DumpValue) {
    guard !isInterleaved else { return }
    guard field.isHighAccess else {
      self[field] = value
      return
    }
    let full = VMCSFieldEncoding(rawValue: field.rawValue & ~1)
    guard var low = self[full], low.bits >> 32 == 0 else { return }
    low.bits |= value.bits << 32
    self[full] = low
  }

  /// Drops all values: nothing tells which dump they are from.
  mutating func becomeInterleaved() {
    isInterleaved = true
    for index in 0..<VMCSFieldDescription.count { self[at: index] = nil }
    msrEntries.removeAll()
  }

  /// Marks the values that are known not to be the fields' contents in this format.
  mutating func applyQuirks() {
    if isBeforeXen46 {
      // These print the VM-entry instruction length under "VMExit", and 32 bits of the exit qualification.
      mark(VMCSField.vmExitInstructionLength.encoding, .view)
      mark(VMCSField.exitQualification.encoding, .truncated)
    }
    if format == .qemu, !isInProtectedMode {
      // Without "unrestricted guest", KVM runs real mode as virtual-8086 mode, and QEMU is told the guest's view of it.
      for index in 0..<VMCSFieldDescription.count where self[at: index]?.quality == .exact {
        self[at: index]?.quality = .view
      }
    }
  }

  private var isInProtectedMode: Bool { (self[VMCSField.guestCR0.encoding]?.bits ?? 0) & 1 == 1 }

  private mutating func mark(_ field: VMCSFieldEncoding, _ quality: DumpValue.Quality) {
    if var value = self[field] {
      value.quality = quality
      self[field] = value
    }
  }
}
