/// Why a file cannot be booted as a Linux kernel: the first fault that its setup header shows.
public enum LinuxKernelError: Error, Equatable, Sendable {
  /// The file has no bytes.
  case empty
  /// The file ends early. `expected` is the least number of bytes that it should have.
  case truncated(expected: UInt64, found: UInt64)
  /// The file is not a bzImage but something else.
  case notABzImage(ForeignFileFormat)
  /// `header` is right, but `boot_flag` is not 0xAA55.
  case wrongBootFlag(UInt16)
  /// The protocol version is older than 2.12, the first that tells of the 64-bit entry point.
  case protocolTooOld(UInt16)
  /// The instruction over the setup header is not JMP rel8, but has this opcode.
  case wrongJump(opcode: UInt8)
  /// The setup header ends before the fields that its version has: at this offset.
  case headerTooShort(end: Int)
  /// LOADED_HIGH is clear in `loadflags`: a zImage, which belongs below 1 MiB.
  case loadedLow
  /// XLF_KERNEL_64 is clear in `xloadflags`: a kernel without the 64-bit entry point.
  case no64BitEntry
  /// `syssize` leaves no room for the 64-bit entry point: the protected-mode code has this many bytes.
  case noEntryCode(byteCount: UInt64)
  /// `kernel_alignment` of a relocatable kernel is not a power of 2.
  case wrongAlignment(UInt32)
  /// `init_size` is smaller than the protected-mode code.
  case initSizeTooSmall(initSize: UInt32, byteCount: UInt64)
  /// `pref_address` of a kernel that is not relocatable is below 1 MiB.
  case preferredAddressTooLow(UInt64)
  /// `payload_offset` and `payload_length` lead outside the protected-mode code.
  case payloadOutsideCode(offset: UInt32, length: UInt32)

  /// What is wrong, and what to do.
  public var message: ErrorMessage {
    switch self {
    case .empty: ErrorMessage("The kernel is an empty file. Give a bzImage for x86-64.")
    case .truncated(let expected, let found):
      ErrorMessage(
        "The kernel is truncated: it has %d bytes and should have at least %d. Copy or download it again.",
        (found, expected))
    case .notABzImage(let format): Self.message(for: format)
    case .wrongBootFlag(let flag):
      ErrorMessage(
        "The kernel is damaged: boot_flag is %x, not 0xaa55. Copy or download it again.",
        (UInt64(flag), 0))
    case .protocolTooOld(let version):
      ErrorMessage(
        "The kernel has version %d.%d of the boot protocol; 2.12 or newer is needed. Give a 64-bit kernel, 3.8 or newer.",
        (UInt64(version >> 8), UInt64(version & 0xFF)))
    case .wrongJump(let opcode):
      ErrorMessage(
        "The kernel is damaged: the code at 0x200 starts with %x, not 0xeb. Copy or download it again.",
        (UInt64(opcode), 0))
    case .headerTooShort(let end):
      ErrorMessage(
        "The kernel is damaged: its setup header ends at offset %x, before all its fields. Copy or download it again.",
        (UInt64(end), 0))
    case .loadedLow:
      ErrorMessage("The kernel is a zImage, which is loaded below 1 MiB. Give a bzImage for x86-64.")
    case .no64BitEntry:
      ErrorMessage(
        "The kernel has no 64-bit entry point (XLF_KERNEL_64 is clear): it is for 32-bit x86. Give one for x86-64.")
    case .noEntryCode(let count):
      ErrorMessage(
        "The kernel is damaged: its protected-mode code has only %d bytes. Copy or download it again.",
        (count, 0))
    case .wrongAlignment(let alignment):
      ErrorMessage(
        "The kernel is damaged: kernel_alignment is %x, not a power of 2. Copy or download it again.",
        (UInt64(alignment), 0))
    case .initSizeTooSmall(let size, let count):
      ErrorMessage(
        "The kernel is damaged: init_size is %d, less than its %d bytes of code. Copy or download it again.",
        (UInt64(size), count))
    case .preferredAddressTooLow(let address):
      ErrorMessage(
        "The kernel is damaged: it is not relocatable and pref_address is %x, below 1 MiB. Copy or download it again.",
        (address, 0))
    case .payloadOutsideCode(let offset, let length):
      ErrorMessage(
        "The kernel is damaged: the payload at %x, %d bytes, is not within its code. Copy or download it again.",
        (UInt64(offset), UInt64(length)))
    }
  }

  private static func message(for format: ForeignFileFormat) -> ErrorMessage {
    guard let machine = format.machine else {
      return ErrorMessage("The kernel is not a bzImage but %s. %s", names: (format.name, format.remedy, ""))
    }
    return ErrorMessage(
      "The kernel is not a bzImage but %s for %s. %s", names: (format.name, machine, format.remedy))
  }
}
