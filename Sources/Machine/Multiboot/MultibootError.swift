/// Why a kernel with a Multiboot header cannot be booted.
public enum MultibootError: Error, Equatable, Sendable {
  /// The file ends early. `expected` is the least number of bytes that it should have.
  case truncated(expected: UInt64, found: UInt64)
  /// The Multiboot header at this offset, or a tag of it, does not end within the bytes that it may be in.
  case damagedHeader(offset: Int)
  /// The header has flags that are required and not known.
  case unknownFlags(UInt16)
  /// The header requires a console that a boot loader can describe: a display.
  case displayRequired
  /// The Multiboot2 header is for another architecture.
  case wrongArchitecture(UInt32)
  /// The header requires what its tag of this type asks for.
  case unsupportedTag(UInt16)
  /// The header requires information of this type, which the specification does not have.
  case unsupportedInformation(UInt32)
  /// The address fields of the header contradict each other or the file.
  case wrongAddresses
  /// The header has address fields or an address tag, but does not say where the kernel is entered.
  case noEntry
  /// The header has no address fields, and the file is not an ELF file for x86.
  case notLoadable(ForeignFileFormat)
  /// The file has no segment to load.
  case noSegments
  /// The file has more program headers than are taken.
  case tooManySegments(UInt64, limit: UInt64)
  /// The segment with this index has more bytes in the file than in memory, or ends beyond the address space.
  case damagedSegment(Int)
  /// The section with this index, or the table of sections, is not in the file.
  case damagedSection(Int)
  /// The kernel has to be where the guest has no RAM that is free.
  case missingMemory(start: UInt64, end: UInt64)
  /// A relocatable kernel of this size fits nowhere in the range that it allows.
  case noPlace(byteCount: UInt64)
  /// The kernel's entry point is in none of its segments.
  case entryOutsideSegments(UInt64)
  /// The modules, in whole pages, fit nowhere.
  case modulesDoNotFit(byteCount: UInt64)
  /// What the kernel is to be told, or the sections that are not part of it, fits nowhere.
  case informationDoesNotFit(byteCount: UInt64)
  /// A command line has a zero byte at this offset, where the kernel would take it to end.
  case zeroByteInCommandLine(offset: Int)
}

extension MultibootError {
  /// What is wrong, and what to do.
  public var message: ErrorMessage { headerMessage ?? fileMessage ?? placeMessage }

  /// What is wrong with what the header asks for.
  private var headerMessage: ErrorMessage? {
    switch self {
    case .damagedHeader(let offset):
      ErrorMessage(
        "The kernel is damaged: its Multiboot header at offset %x does not end in time. Build or copy it again.",
        (UInt64(offset), 0))
    case .unknownFlags(let flags):
      ErrorMessage(
        "The kernel's Multiboot header requires flags that are not known: %x. Clear them, or use bits 16 and up.",
        (UInt64(flags), 0))
    case .displayRequired:
      ErrorMessage(
        "The kernel's Multiboot2 header requires a display, and Skep has none. Make its console flags tag optional.")
    case .wrongArchitecture(let architecture):
      ErrorMessage(
        "The kernel's Multiboot2 header is for architecture %d; 0, 32-bit protected mode of x86, is needed.",
        (UInt64(architecture), 0))
    case .unsupportedTag(let type):
      ErrorMessage(
        "The kernel's Multiboot2 header has a tag of type %d, which Skep does not know. Remove it, or make it optional.",
        (UInt64(type), 0))
    case .unsupportedInformation(let type):
      ErrorMessage(
        """
        The kernel's Multiboot2 header requires information of type %d, which Skep does not know. Make its information \
        request tag optional.
        """, (UInt64(type), 0))
    default: nil
    }
  }

  /// What is wrong with the file.
  private var fileMessage: ErrorMessage? {
    switch self {
    case .truncated(let expected, let found):
      ErrorMessage(
        "The kernel is truncated: it has %d bytes and should have at least %d. Copy or build it again.",
        (found, expected))
    case .wrongAddresses:
      ErrorMessage(
        "The address fields of the kernel's Multiboot header contradict each other or the file. Correct them.")
    case .noEntry:
      ErrorMessage("The kernel's Multiboot2 header has an address tag but no entry address tag. Add one.")
    case .notLoadable(let format): Self.message(for: format)
    case .noSegments: ErrorMessage("The kernel is an ELF file without a segment to load. Link it as an executable.")
    case .tooManySegments(let count, let limit):
      ErrorMessage("The kernel has %d program headers; Skep takes at most %d. Link it with fewer.", (count, limit))
    case .damagedSegment(let index):
      ErrorMessage(
        "The kernel is damaged: the sizes in its program header %d are impossible. Build it again.",
        (UInt64(index), 0))
    case .damagedSection(let index):
      ErrorMessage(
        "The kernel is damaged: its section header %d leads out of the file. Build it again, or strip it.",
        (UInt64(index), 0))
    default: nil
    }
  }

  /// What is wrong with the places in memory.
  private var placeMessage: ErrorMessage {
    switch self {
    case .missingMemory(let start, let end):
      ErrorMessage(
        """
        The kernel has to be at %x to %x, where the guest has no RAM. Give it more with --memory, or link the kernel at \
        1 MiB or above.
        """, (start, end))
    case .noPlace(let count):
      ErrorMessage(
        "The kernel can be moved, but its %d bytes fit nowhere in the range that it allows. Give it more --memory.",
        (count, 0))
    case .entryOutsideSegments(let address):
      ErrorMessage("The kernel's entry point %x is in none of its segments. Correct how it is linked.", (address, 0))
    case .modulesDoNotFit(let count):
      ErrorMessage(
        "The modules do not fit: they have %d bytes in whole pages. Give more memory with --memory.", (count, 0))
    case .informationDoesNotFit(let count):
      ErrorMessage(
        "What the kernel is to be told does not fit: %d bytes. Give more memory with --memory, or strip the kernel.",
        (count, 0))
    case .zeroByteInCommandLine(let offset):
      ErrorMessage("A command line has a zero byte at offset %d. Remove it.", (UInt64(offset), 0))
    default: ErrorMessage("The kernel cannot be booted.")
    }
  }

  private static func message(for format: ForeignFileFormat) -> ErrorMessage {
    guard let machine = format.machine else {
      return ErrorMessage(
        "The kernel has a Multiboot header without address fields, but is %s. Give an ELF file for x86.",
        names: (format.name, "", ""))
    }
    return ErrorMessage(
      "The kernel has a Multiboot header without address fields, but is %s for %s. Give an ELF file for x86.",
      names: (format.name, machine, ""))
  }
}
