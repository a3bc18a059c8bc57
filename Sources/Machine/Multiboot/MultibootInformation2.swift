/// The tags of version 2 ("Boot information format").
extension MultibootInformation {
  func appendVersion2(to writer: inout ByteWriter) {
    let start = writer.count
    writer.append(0 as UInt64)  // total_size, below; reserved
    appendTag(Multiboot2Tag.commandLine, to: &writer) {
      $0.append(commandLine)
      $0.append(0 as UInt8)
    }
    appendTag(Multiboot2Tag.bootLoaderName, to: &writer) {
      $0.append(Self.bootLoaderName)
      $0.append(0 as UInt8)
    }
    if kernel.header.relocation != nil {
      appendTag(Multiboot2Tag.loadBase, to: &writer) {
        $0.append(UInt32(truncatingIfNeeded: kernel.linkedRange.lowerBound &+ placement.displacement))
      }
    }
    forEachModule { module, first in
      appendTag(Multiboot2Tag.module, to: &writer) {
        $0.append(first)
        $0.append(first + UInt32(truncatingIfNeeded: module.contents.count))
        $0.append(module.commandLine)
        $0.append(0 as UInt8)
      }
    }
    appendMemory(to: &writer)
    if let elf = kernel.elf, elf.sectionCount > 0 {
      appendTag(Multiboot2Tag.elfSections, to: &writer) {
        $0.append(UInt32(elf.sectionCount))
        $0.append(UInt32(elf.sectionHeaderSize))
        $0.append(UInt32(elf.sectionNameIndex))
        appendSectionHeaders(of: elf, to: &$0)
      }
    }
    appendFirmwareTables(to: &writer)
    appendTag(Multiboot2Tag.end, to: &writer) { _ in }
    writer.replace(at: start, with: UInt32(writer.count - start))
  }

  private func appendMemory(to writer: inout ByteWriter) {
    appendTag(Multiboot2Tag.basicMemory, to: &writer) {
      $0.append(basicMemory.lower)
      $0.append(basicMemory.upper)
    }
    appendTag(Multiboot2Tag.memoryMap, to: &writer) {
      $0.append(24 as UInt32)  // entry_size
      $0.append(0 as UInt32)  // entry_version
      for entry in E820Map(memory.layout) {
        $0.append(entry.address)
        $0.append(entry.byteCount)
        $0.append(entry.type.rawValue)
        $0.append(0 as UInt32)
      }
    }
  }

  /// Copies of the RSDP, in its form of ACPI 1.0 and whole, and of the SMBIOS structures, if they are there.
  private func appendFirmwareTables(to writer: inout ByteWriter) {
    if memory.load(ACPITables.rsdpAddress, as: UInt64.self) == 0x2052_5450_2044_5352,  // "RSD PTR "
      let rsdp = memory.bytes(at: ACPITables.rsdpAddress, count: 36)
    {
      appendTag(Multiboot2Tag.oldRSDP, to: &writer) { $0.append(UnsafeRawBufferPointer(rebasing: rsdp[..<20])) }
      appendTag(Multiboot2Tag.newRSDP, to: &writer) { $0.append(UnsafeRawBufferPointer(rsdp)) }
    }
    if let structures = SMBIOSTables.structures(in: memory) {
      appendTag(Multiboot2Tag.smbios, to: &writer) {
        $0.append([SMBIOSTables.version.major, SMBIOSTables.version.minor, 0, 0, 0, 0, 0, 0])
        $0.append(UnsafeRawBufferPointer(structures))
      }
    }
  }

  /// Appends a tag of what `body` appends; the next starts at a multiple of 8 bytes.
  private func appendTag(_ type: UInt32, to writer: inout ByteWriter, _ body: (inout ByteWriter) -> Void) {
    let start = writer.count
    writer.append(type)
    writer.append(0 as UInt32)
    body(&writer)
    writer.replace(at: start + 4, with: UInt32(writer.count - start))
    writer.align(to: 8)
  }
}
