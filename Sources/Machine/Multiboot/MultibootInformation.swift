/// What a Multiboot kernel is told, as bytes in the guest's memory: the GDT that it is entered with, and behind that the
/// structure to which EBX points.
struct MultibootInformation {
  let kernel: MultibootKernel
  let placement: MultibootPlacement
  let modules: BootModules
  let commandLine: UnsafeRawBufferPointer
  let memory: GuestMemory

  /// The selectors of ``gdt``.
  static var codeSelector: UInt16 { 0x08 }
  static var dataSelector: UInt16 { 0x10 }
  /// A null descriptor, a 32-bit code segment and a data segment, both flat and accessed.
  static var gdt: InlineArray<3, UInt64> { [0, 0x00CF_9B00_0000_FFFF, 0x00CF_9300_0000_FFFF] }
  /// How far behind the GDT's start the structure is.
  static var offset: Int { 32 }
  static var bootLoaderName: StaticString { "Skep" }

  /// A bound of the room that is needed, in bytes.
  static func byteCount(
    of kernel: MultibootKernel, modules: BootModuleSizes, commandLineByteCount: Int, rangeCount: Int
  ) -> UInt64 {
    let sections = kernel.elf?.sectionHeaders.count ?? 0
    // No range, module or tag takes more than 32 bytes beside its text, and SMBIOS has 16 KiB at most.
    return UInt64(0x5000 + sections + commandLineByteCount + 32 * (rangeCount + modules.count)) + modules.textByteCount
  }

  /// Writes the GDT and the structure.
  func write() {
    guard let place = memory.bytes(at: placement.informationAddress, count: placement.informationByteCount) else {
      return
    }
    var writer = ByteWriter(place)
    let descriptors = Self.gdt
    for index in descriptors.indices { writer.append(descriptors[index]) }
    writer.pad(to: Self.offset)
    switch kernel.version {
    case .one: appendVersion1(to: &writer)
    case .two: appendVersion2(to: &writer)
    }
  }

  /// KiB of RAM from 0 on, and from 1 MiB on.
  var basicMemory: (lower: UInt32, upper: UInt32) {
    let end = memory.layout.lowByteCount
    return (
      UInt32(truncatingIfNeeded: E820Map.conventionalMemoryEnd >> 10),
      UInt32(truncatingIfNeeded: (max(end, E820Map.extendedMemoryStart) - E820Map.extendedMemoryStart) >> 10)
    )
  }

  /// Calls `body` with each module and the physical address where it starts.
  func forEachModule(_ body: (BootModule, UInt32) -> Void) {
    var address = placement.modulesAddress
    for index in 0..<modules.count {
      body(modules[index], UInt32(truncatingIfNeeded: address))
      address += (UInt64(modules[index].contents.count) + 0xFFF) & ~0xFFF
    }
  }

  /// Appends the section headers; those of sections that are no part of the program get the address where they have been
  /// loaded.
  func appendSectionHeaders(of elf: ELFFile, to writer: inout ByteWriter) {
    let start = writer.count
    writer.append(elf.sectionHeaders)
    forEachLooseSection(of: elf) { index, _, address in
      let field = start + index * elf.sectionHeaderSize + elf.sectionAddressOffset
      if elf.is64Bit {
        writer.replace(at: field, with: address)
      } else {
        writer.replace(at: field, with: UInt32(truncatingIfNeeded: address))
      }
    }
  }

  /// Calls `body` with the index, the bytes and the physical address of each section that is no part of the program.
  func forEachLooseSection(of elf: ELFFile, _ body: (Int, UnsafeRawBufferPointer, UInt64) -> Void) {
    var address = placement.sectionsAddress
    for index in 0..<elf.sectionCount {
      guard let section = try? elf.looseSection(index) else { continue }
      body(index, section, address)
      address += (UInt64(section.count) + 0xFFF) & ~0xFFF
    }
  }
}
