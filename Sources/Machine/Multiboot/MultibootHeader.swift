/// What a kernel's Multiboot header asks for, as far as it changes what the boot loader does.
struct MultibootHeader: Equatable {
  /// Where the kernel is in its file and in memory, if that is not for an ELF header to say.
  ///
  /// "The address fields of Multiboot header", "The address tag of Multiboot2 header".
  struct Addresses: Equatable {
    /// Where the header goes in memory.
    var header: UInt32
    /// Where the kernel goes in memory.
    var load: UInt32
    /// The end of what is loaded; 0 for all the file.
    var loadEnd: UInt32
    /// The end of the zeros behind it; 0 for none.
    var bssEnd: UInt32
  }

  /// Where a relocatable kernel may go ("Relocatable header tag").
  struct Relocation: Equatable {
    /// The lowest address.
    var lowest: UInt32
    /// The highest address of any byte.
    var highest: UInt32
    /// What the address is a multiple of.
    var alignment: UInt32
    /// 1 for the lowest address that is free, 2 for the highest; anything else leaves the choice to the boot loader.
    var preference: UInt32
  }

  let version: MultibootVersion
  /// The header's offset in the file.
  let offset: Int
  var addresses: Addresses?
  /// The physical address of the entry point, if that is not for an ELF header to say.
  var entry: UInt32?
  var relocation: Relocation?

  /// Reads the header of a file, in which it is at `offset`.
  ///
  /// - Throws: What the header requires and Skep does not have, or what is wrong with it.
  init(_ version: MultibootVersion, in file: UnsafeRawBufferPointer, at offset: Int) throws(MultibootError) {
    self.version = version
    self.offset = offset
    switch version {
    case .one: try readFlags(file)
    case .two: try readTags(file)
    }
  }

  /// "The layout of Multiboot header" of version 1.
  private mutating func readFlags(_ file: UnsafeRawBufferPointer) throws(MultibootError) {
    let flags = file.field(at: offset + 4)
    // Bits 0 and 1, page alignment and memory information, are always heeded. Bit 2 recommends a video mode: there need not
    // be a display for it, and the kernel is told of none.
    if flags & 0xFFF8 != 0 { throw .unknownFlags(UInt16(truncatingIfNeeded: flags & 0xFFF8)) }
    if flags & 1 << 16 != 0 {
      guard offset + 32 <= min(file.count, version.searchLimit) else { throw .damagedHeader(offset: offset) }
      addresses = Addresses(
        header: file.field(at: offset + 12), load: file.field(at: offset + 16), loadEnd: file.field(at: offset + 20),
        bssEnd: file.field(at: offset + 24))
      entry = file.field(at: offset + 28)
    }
  }

  /// "The layout of Multiboot2 header".
  private mutating func readTags(_ file: UnsafeRawBufferPointer) throws(MultibootError) {
    let architecture = file.field(at: offset + 4)
    if architecture != 0 { throw .wrongArchitecture(architecture) }
    let length = Int(file.field(at: offset + 8))
    guard length >= 16, offset + length <= min(file.count, version.searchLimit) else {
      throw .damagedHeader(offset: offset)
    }
    let header = UnsafeRawBufferPointer(rebasing: file[offset..<offset + length])
    var position = 16
    while position + 8 <= length {
      let size = Int(header.field(at: position + 4))
      guard size >= 8, size <= length - position else { throw .damagedHeader(offset: offset) }
      let tag = UnsafeRawBufferPointer(rebasing: header[position..<position + size])
      if tag.shortField(at: 0) == 0 { break }
      try read(tag)
      position += (size + 7) & ~7
    }
    if addresses != nil, entry == nil { throw .noEntry }
  }

  private mutating func read(_ tag: UnsafeRawBufferPointer) throws(MultibootError) {
    let isOptional = tag.shortField(at: 2) & 1 != 0
    let type = tag.shortField(at: 0)
    switch type {
    case 1 where !isOptional: try checkRequests(tag)
    case 2:
      try require(24, tag)
      addresses = Addresses(
        header: tag.field(at: 8), load: tag.field(at: 12), loadEnd: tag.field(at: 16), bssEnd: tag.field(at: 20))
    case 3:
      try require(12, tag)
      entry = tag.field(at: 8)
    case 4:
      try require(12, tag)
      if !isOptional, tag.field(at: 8) & 1 != 0 { throw .displayRequired }
    case 10:
      try require(24, tag)
      relocation = Relocation(
        lowest: tag.field(at: 8), highest: tag.field(at: 12), alignment: tag.field(at: 16),
        preference: tag.field(at: 20))
    // A video mode is a recommendation, modules are always aligned to pages, and what is said of EFI is for machines with it.
    case 5...9: break
    default: if !isOptional, type > 10 { throw .unsupportedTag(type) }
    }
  }

  private func require(_ size: Int, _ tag: UnsafeRawBufferPointer) throws(MultibootError) {
    if tag.count < size { throw .damagedHeader(offset: offset) }
  }

  /// "Information request header tag": the types that are asked for have to be known, though there may be nothing to tell.
  private func checkRequests(_ tag: UnsafeRawBufferPointer) throws(MultibootError) {
    for position in stride(from: 8, through: tag.count - 4, by: 4) {
      let type = tag.field(at: position)
      if type > Multiboot2Tag.loadBase { throw .unsupportedInformation(type) }
    }
  }
}

/// The types of the tags of which a Multiboot2 kernel's boot information is made ("Boot information format").
enum Multiboot2Tag {
  static var end: UInt32 { 0 }
  static var commandLine: UInt32 { 1 }
  static var bootLoaderName: UInt32 { 2 }
  static var module: UInt32 { 3 }
  static var basicMemory: UInt32 { 4 }
  static var memoryMap: UInt32 { 6 }
  static var elfSections: UInt32 { 9 }
  static var smbios: UInt32 { 13 }
  static var oldRSDP: UInt32 { 14 }
  static var newRSDP: UInt32 { 15 }
  /// The highest type there is.
  static var loadBase: UInt32 { 21 }
}
