/// A Linux kernel in the bzImage format: a view of the file's bytes whose setup header has been checked.
///
/// It owns nothing. The fields and their rules are those of the kernel's document "The Linux/x86 Boot Protocol".
public struct LinuxKernel {
  /// The file.
  public let bytes: UnsafeRawBufferPointer

  /// Checks the setup header of a file, field by field, and makes a view of it.
  ///
  /// - Parameter bytes: The whole file, which must stay valid for as long as the view is used. Any bytes are allowed.
  /// - Throws: The first fault that is found.
  public init(_ bytes: UnsafeRawBufferPointer) throws(LinuxKernelError) {
    self.bytes = bytes
    try checkFormat()
    try checkSetup()
    try checkCode()
  }

  /// The value of a field of the setup header.
  ///
  /// The field must be one of the setup header: the bytes of a file before that are not `boot_params`.
  public subscript<Value>(field: LinuxBootField<Value>) -> Value {
    Value(littleEndian: bytes.loadUnaligned(fromByteOffset: field.offset, as: Value.self))
  }

  /// The setup header: the part of the file that a boot loader copies into `boot_params`, at the same offset.
  public var setupHeader: UnsafeRawBufferPointer {
    UnsafeRawBufferPointer(
      rebasing: bytes[LinuxBootProtocol.setupHeaderStart..<min(headerEnd, LinuxBootProtocol.setupHeaderLimit)])
  }

  /// The protected-mode code: what is loaded.
  public var code: UnsafeRawBufferPointer {
    UnsafeRawBufferPointer(rebasing: bytes[setupByteCount..<setupByteCount + Int(codeByteCount)])
  }

  /// Whether the kernel may be loaded elsewhere than at `pref_address`.
  public var isRelocatable: Bool { self[.relocatableKernel] != 0 }

  /// The release as text, for example "6.1.0-56-cloud-amd64 (…) #1 SMP …"; empty if the kernel does not tell.
  public var release: UnsafeRawBufferPointer {
    let start = 0x200 + Int(self[.kernelVersion])
    guard start > 0x200, start < setupByteCount else { return UnsafeRawBufferPointer(start: nil, count: 0) }
    return UnsafeRawBufferPointer(rebasing: bytes[start..<setupByteCount].prefix { $0 != 0 })
  }

  /// The length of the boot sector and the real-mode code, in bytes.
  private var setupByteCount: Int { (1 + (self[.setupSects] == 0 ? 4 : Int(self[.setupSects]))) * 512 }

  /// The length of the protected-mode code in bytes.
  private var codeByteCount: UInt64 { UInt64(self[.syssize]) * 16 }

  /// The offset of the first byte after the setup header.
  private var headerEnd: Int { LinuxBootField<UInt32>.header.offset + Int(self[.jumpDisplacement]) }

  /// Checks that the file is a bzImage of a version that has all the fields.
  private func checkFormat() throws(LinuxKernelError) {
    if bytes.isEmpty { throw .empty }
    guard bytes.count >= LinuxBootField<UInt16>.version.end, self[.header] == LinuxBootProtocol.headerMagic else {
      throw formatFault()
    }
    if self[.bootFlag] != LinuxBootProtocol.bootFlag { throw .wrongBootFlag(self[.bootFlag]) }
    if self[.version] < LinuxBootProtocol.oldestVersion { throw .protocolTooOld(self[.version]) }
    let expected = max(UInt64(setupByteCount) + codeByteCount, UInt64(LinuxBootField<UInt32>.handoverOffset.end))
    if UInt64(bytes.count) < expected { throw .truncated(expected: expected, found: UInt64(bytes.count)) }
  }

  /// What is wrong with a file that does not have "HdrS" in its place.
  private func formatFault() -> LinuxKernelError {
    let format = ForeignFileFormat(bytes)
    let fieldsEnd = LinuxBootField<UInt32>.handoverOffset.end
    switch format {
    // A bzImage with an EFI stub starts as a PE file does; a PE file of this length is no program.
    case .unknown where bytes.count < fieldsEnd, .pe where bytes.count < fieldsEnd:
      return .truncated(expected: UInt64(fieldsEnd), found: UInt64(bytes.count))
    default: return .notABzImage(format)
    }
  }

  /// Checks the fields that say how the kernel is entered.
  private func checkSetup() throws(LinuxKernelError) {
    if self[.jumpOpcode] != LinuxBootProtocol.jumpOpcode { throw .wrongJump(opcode: self[.jumpOpcode]) }
    if headerEnd < LinuxBootField<UInt32>.handoverOffset.end || headerEnd > setupByteCount {
      throw .headerTooShort(end: headerEnd)
    }
    if self[.loadflags] & LinuxBootProtocol.loadedHigh == 0 { throw .loadedLow }
    if self[.xloadflags] & LinuxBootProtocol.kernel64 == 0 { throw .no64BitEntry }
  }

  /// Checks the fields that say where the kernel is loaded and what is in it.
  private func checkCode() throws(LinuxKernelError) {
    if codeByteCount <= LinuxBootProtocol.entryOffset { throw .noEntryCode(byteCount: codeByteCount) }
    let alignment = self[.kernelAlignment]
    if isRelocatable, alignment.nonzeroBitCount != 1 { throw .wrongAlignment(alignment) }
    if UInt64(self[.initSize]) < codeByteCount {
      throw .initSizeTooSmall(initSize: self[.initSize], byteCount: codeByteCount)
    }
    if !isRelocatable, self[.prefAddress] < E820Map.extendedMemoryStart {
      throw .preferredAddressTooLow(self[.prefAddress])
    }
    if UInt64(self[.payloadOffset]) + UInt64(self[.payloadLength]) > codeByteCount {
      throw .payloadOutsideCode(offset: self[.payloadOffset], length: self[.payloadLength])
    }
  }
}
