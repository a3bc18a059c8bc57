/// Why a kernel, with its initrd and command line, cannot be put into a guest's memory.
public enum LinuxLoaderError: Error, Equatable, Sendable {
  /// The kernel needs RAM up to the address `needed`; RAM, as far as it lies below 4 GiB, ends at `available`.
  case tooLittleMemory(needed: UInt64, available: UInt64)
  /// The initrd has no bytes.
  case emptyInitrd
  /// The initrd is longer than the range above the kernel that it may use.
  case initrdDoesNotFit(byteCount: UInt64, available: UInt64)
  /// The command line is longer than the kernel's `cmdline_size`, or than the place for it. Bytes without a zero byte.
  case commandLineTooLong(byteCount: UInt64, limit: UInt64)
  /// The command line has a zero byte at this offset, where the kernel would take it to end.
  case zeroByteInCommandLine(offset: Int)

  /// What is wrong, and what to do.
  public var message: ErrorMessage {
    switch self {
    case .tooLittleMemory(let needed, let available):
      ErrorMessage(
        "The guest has too little memory: the kernel needs %d bytes, of which %d are there. Give it more with --memory.",
        (needed, available))
    case .emptyInitrd: ErrorMessage("The initrd is an empty file. Give an initramfs, or none.")
    case .initrdDoesNotFit(let count, let available):
      ErrorMessage(
        """
        The initrd does not fit: it has %d bytes, and %d are free above the kernel. Give the guest more memory with \
        --memory, or a smaller initrd.
        """, (count, available))
    case .commandLineTooLong(let count, let limit):
      ErrorMessage(
        "The command line is too long: it has %d bytes, and the kernel takes at most %d. Shorten --append.",
        (count, limit))
    case .zeroByteInCommandLine(let offset):
      ErrorMessage("The command line has a zero byte at offset %d. Remove it from --append.", (UInt64(offset), 0))
    }
  }
}
