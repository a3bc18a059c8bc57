/// A view of `boot_params`, the page in which a boot loader tells Linux what it needs to know.
struct LinuxBootParameters {
  /// The page: ``LinuxBootProtocol/bootParamsSize`` bytes.
  let page: UnsafeMutableRawBufferPointer

  /// The value of a field, little-endian in memory.
  subscript<Value>(field: LinuxBootField<Value>) -> Value {
    get { Value(littleEndian: page.loadUnaligned(fromByteOffset: field.offset, as: Value.self)) }
    nonmutating set { page.storeBytes(of: newValue.littleEndian, toByteOffset: field.offset, as: Value.self) }
  }

  /// Fills in the whole page: the kernel's setup header, what a boot loader has to say, and zeros.
  ///
  /// There is no display adapter: `screen_info` is all zeros. Everything is below 4 GiB: so are the high halves of
  /// addresses, `ext_ramdisk_image` and its like.
  func fill(for kernel: LinuxKernel, at placement: LinuxPlacement, initrdByteCount: Int, rsdp: UInt64, map: E820Map) {
    page.initializeMemory(as: UInt8.self, repeating: 0)
    let header = kernel.setupHeader
    UnsafeMutableRawBufferPointer(rebasing: page[LinuxBootProtocol.setupHeaderStart...]).copyMemory(from: header)
    self[.vidMode] = LinuxBootProtocol.normalVideoMode
    self[.typeOfLoader] = LinuxBootProtocol.undefinedLoader
    self[.code32Start] = UInt32(truncatingIfNeeded: placement.kernelAddress)
    self[.ramdiskImage] = UInt32(truncatingIfNeeded: placement.initrdAddress)
    self[.ramdiskSize] = UInt32(truncatingIfNeeded: initrdByteCount)
    self[.cmdLinePtr] = UInt32(truncatingIfNeeded: LinuxPlacement.commandLineAddress)
    // Pointers and kinds of machine are for the boot loader to set, whatever the file has there.
    self[.hardwareSubarch] = 0
    self[.setupData] = 0
    self[.acpiRSDPAddr] = rsdp
    self[.altMemK] = UInt32(truncatingIfNeeded: (map.layout.lowByteCount - E820Map.extendedMemoryStart) / 1024)
    setMemoryMap(map)
  }

  /// Fills in `e820_table` and the number of its entries.
  func setMemoryMap(_ map: E820Map) {
    var offset = LinuxBootProtocol.e820Table
    for entry in map.prefix(LinuxBootProtocol.e820Limit) {
      page.storeBytes(of: entry.address.littleEndian, toByteOffset: offset, as: UInt64.self)
      page.storeBytes(of: entry.byteCount.littleEndian, toByteOffset: offset + 8, as: UInt64.self)
      page.storeBytes(of: entry.type.rawValue.littleEndian, toByteOffset: offset + 16, as: UInt32.self)
      offset += E820Entry.size
    }
    self[.e820Entries] = UInt8(truncatingIfNeeded: map.count)
  }
}
