/// The processors of the machine, as its firmware's ACPI tables name them.
///
/// Facts: ACPI Specification, "Root System Description Pointer", "System Description Table Header",
/// "Multiple APIC Description Table".
public enum FirmwareProcessors {
  /// Gives the bytes of a range of physical memory, or nil if they cannot be read.
  public typealias Memory = (_ address: UInt64, _ byteCount: Int) -> UnsafeRawBufferPointer?

  /// Calls `body` with the APIC ID of each enabled processor that has one below 255, in the table's order.
  ///
  /// - Parameters:
  ///   - rsdp: the bytes of the Root System Description Pointer.
  ///   - memory: where the tables that it points to are.
  /// - Returns: whether there is a Multiple APIC Description Table.
  public static func forEachAPICID(rsdp: UnsafeRawBufferPointer, memory: Memory, _ body: (UInt8) -> Void) -> Bool {
    guard let root = rootTable(rsdp, memory), let madt = table("APIC", in: root, memory) else { return false }
    // After the header: the local APICs' address, flags, and the interrupt controller structures.
    var offset = headerSize + 8
    while offset + 2 <= madt.count {
      let size = Int(madt[offset + 1])
      guard size >= 2, offset + size <= madt.count else { break }
      // Processor Local APIC: type 0, a UID, the APIC ID, and flags whose bit 0 says "Enabled".
      if madt[offset] == 0, size >= 8, madt[offset + 4] & 1 != 0 { body(madt[offset + 3]) }
      offset += size
    }
    return true
  }

  private static var headerSize: Int { 36 }

  /// The RSDT or XSDT, and the size of its entries.
  private static func rootTable(
    _ rsdp: UnsafeRawBufferPointer, _ memory: Memory
  ) -> (table: UnsafeRawBufferPointer, entrySize: Int)? {
    guard rsdp.count >= 20 else { return nil }
    // The revision says whether there is an XSDT, whose address is 0 if it is not to be used.
    if rsdp[15] >= 2, rsdp.count >= 36 {
      let address = rsdp.loadUnaligned(fromByteOffset: 24, as: UInt64.self)
      if address != 0 { return table(at: address, memory).map { ($0, 8) } }
    }
    let address = rsdp.loadUnaligned(fromByteOffset: 16, as: UInt32.self)
    return table(at: UInt64(address), memory).map { ($0, 4) }
  }

  private static func table(
    _ signature: StaticString, in root: (table: UnsafeRawBufferPointer, entrySize: Int), _ memory: Memory
  ) -> UnsafeRawBufferPointer? {
    let signature = UnsafeBufferPointer(start: signature.utf8Start, count: signature.utf8CodeUnitCount)
    var offset = headerSize
    while offset + root.entrySize <= root.table.count {
      let address =
        root.entrySize == 8
        ? root.table.loadUnaligned(fromByteOffset: offset, as: UInt64.self)
        : UInt64(root.table.loadUnaligned(fromByteOffset: offset, as: UInt32.self))
      if let table = table(at: address, memory), table.starts(with: signature) { return table }
      offset += root.entrySize
    }
    return nil
  }

  /// The table at `address`, as long as its header says; nil if it is shorter than the header.
  private static func table(at address: UInt64, _ memory: Memory) -> UnsafeRawBufferPointer? {
    guard let header = memory(address, headerSize) else { return nil }
    let size = Int(header.loadUnaligned(fromByteOffset: 4, as: UInt32.self))
    return size >= headerSize ? memory(address, size) : nil
  }
}
