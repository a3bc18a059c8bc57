/// A VMCS that is not loaded: one page of memory, and its physical address, which is kept outside the page.
///
/// SDM, "Format of the VMCS Region". The page belongs to the processor; software writes the first word once.
public struct VMCSRegion<P: VMXProcessor>: ~Copyable {
  /// The size and the alignment of a region, in bytes.
  ///
  /// IA32_VMX_BASIC may ask for less, never for more.
  @inlinable
  public static var byteCount: Int { 4096 }

  @usableFromInline let page: UnsafeMutableRawPointer
  @usableFromInline let processor: P

  /// The region's physical address.
  public let address: PhysicalAddress

  /// Makes the page at `page` a region: writes `revisionIdentifier` into its first word, bit 31 zero, and the
  /// VMX-abort indicator, then executes VMCLEAR.
  ///
  /// - Parameters:
  ///   - page: one page of memory, aligned to 4,096 bytes, for as long as the region lives.
  ///   - address: the page's physical address.
  ///   - revisionIdentifier: bits 30:0 of IA32_VMX_BASIC.
  ///
  /// Panics if VMCLEAR fails.
  public init(
    initializing page: UnsafeMutableRawPointer, at address: PhysicalAddress, revisionIdentifier: UInt32,
    on processor: P
  ) {
    self.page = page
    self.address = address
    self.processor = processor
    page.storeBytes(of: revisionIdentifier & 0x7FFF_FFFF, as: UInt32.self)
    page.storeBytes(of: 0, toByteOffset: 4, as: UInt32.self)
    processor.requireSuccess(processor.vmclear(address), of: "VMCLEAR", address)
  }

  @inlinable
  init(cleared page: UnsafeMutableRawPointer, at address: PhysicalAddress, on processor: P) {
    self.page = page
    self.address = address
    self.processor = processor
  }

  /// Makes the VMCS the current one of this logical processor: enters the critical section, then executes VMPTRLD.
  ///
  /// Panics if VMPTRLD fails.
  @inlinable
  public consuming func load() -> CurrentVMCS<P> {
    processor.enterCritical()
    processor.requireSuccess(processor.vmptrld(address), of: "VMPTRLD", address)
    return CurrentVMCS(loaded: page, at: address, on: processor)
  }
}

extension VMXProcessor {
  /// Panics unless `outcome` is `.succeed`.
  @inlinable
  func requireSuccess(_ outcome: VMXOutcome, of instruction: StaticString, _ address: PhysicalAddress) {
    if outcome != .succeed { instructionFailed(instruction, outcome, address) }
  }

  @inline(never) @usableFromInline
  func instructionFailed(_ instruction: StaticString, _ outcome: VMXOutcome, _ address: PhysicalAddress) -> Never {
    stop(
      PanicReport(
        "a VMX instruction failed",
        VMXInstructionFailure(of: instruction, on: self, outcome: outcome, operand: address.rawValue)))
  }
}
