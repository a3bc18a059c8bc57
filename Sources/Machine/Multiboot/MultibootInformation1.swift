/// The structure of version 1 ("Boot information format").
extension MultibootInformation {
  /// Its length in bytes, up to and with the fields of a framebuffer.
  private static var structureSize: Int { 116 }

  private enum Flag {
    static var memory: UInt32 { 1 << 0 }
    static var commandLine: UInt32 { 1 << 2 }
    static var modules: UInt32 { 1 << 3 }
    static var elfSections: UInt32 { 1 << 5 }
    static var memoryMap: UInt32 { 1 << 6 }
    static var bootLoaderName: UInt32 { 1 << 9 }
  }

  func appendVersion1(to writer: inout ByteWriter) {
    let start = writer.count
    writer.pad(to: start + Self.structureSize)
    var flags = Flag.memory | Flag.commandLine | Flag.modules | Flag.memoryMap | Flag.bootLoaderName
    writer.replace(at: start + 4, with: basicMemory.lower)
    writer.replace(at: start + 8, with: basicMemory.upper)
    writer.replace(at: start + 16, with: address(writer.count))
    // The first word is the kernel's file, as older boot loaders and QEMU have it and kernels expect it.
    writer.append(commandLine.isEmpty ? "kernel" : "kernel ")
    _ = appendText(commandLine, to: &writer)
    writer.replace(at: start + 64, with: address(writer.count))
    writer.append(Self.bootLoaderName)
    writer.append(0 as UInt8)
    appendModules(to: &writer, structureAt: start)
    appendMemoryMap(to: &writer, structureAt: start)
    if let elf = kernel.elf, elf.sectionCount > 0 {
      flags |= Flag.elfSections
      writer.align(to: 16)
      writer.replace(at: start + 28, with: UInt32(elf.sectionCount))
      writer.replace(at: start + 32, with: UInt32(elf.sectionHeaderSize))
      writer.replace(at: start + 36, with: address(writer.count))
      writer.replace(at: start + 40, with: UInt32(elf.sectionNameIndex))
      appendSectionHeaders(of: elf, to: &writer)
    }
    writer.replace(at: start, with: flags)
  }

  private func appendModules(to writer: inout ByteWriter, structureAt start: Int) {
    writer.align(to: 16)
    let list = writer.count
    writer.replace(at: start + 20, with: UInt32(modules.count))
    writer.replace(at: start + 24, with: address(list))
    writer.pad(to: list + modules.count * 16)
    var entry = list
    forEachModule { module, first in
      writer.replace(at: entry, with: first)
      writer.replace(at: entry + 4, with: first + UInt32(truncatingIfNeeded: module.contents.count))
      writer.replace(at: entry + 8, with: appendText(module.commandLine, to: &writer))
      entry += 16
    }
  }

  private func appendMemoryMap(to writer: inout ByteWriter, structureAt start: Int) {
    writer.align(to: 8)
    let map = E820Map(memory.layout)
    writer.replace(at: start + 44, with: UInt32(map.count * 24))
    writer.replace(at: start + 48, with: address(writer.count))
    for entry in map {
      writer.append(UInt32(E820Entry.size))  // what follows of this entry
      writer.append(entry.address)
      writer.append(entry.byteCount)
      writer.append(entry.type.rawValue)
    }
  }

  /// Appends a text and its zero byte, and gives its physical address.
  private func appendText(_ text: UnsafeRawBufferPointer, to writer: inout ByteWriter) -> UInt32 {
    let start = address(writer.count)
    writer.append(text)
    writer.append(0 as UInt8)
    return start
  }

  /// The physical address of what is appended at an offset.
  private func address(_ offset: Int) -> UInt32 {
    UInt32(truncatingIfNeeded: placement.informationAddress) + UInt32(offset)
  }
}
