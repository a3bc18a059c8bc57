/// Puts a Linux kernel into a guest's memory, as the 64-bit boot protocol demands.
public enum LinuxLoader {
  /// The GDT: two null descriptors, a 64-bit code segment and a flat data segment, both accessed (SDM, "Segment
  /// Descriptors").
  private static var gdt: [4 of UInt64] { [0, 0, 0x00AF_9B00_0000_FFFF, 0x00CF_9300_0000_FFFF] }

  /// Loads a kernel, its initrd and its command line, and all that the kernel expects around them.
  ///
  /// - Parameters:
  ///   - kernel: The kernel. Its bytes must not be in `memory`.
  ///   - initrd: The initrd's bytes, or nil if there is none; not in `memory`.
  ///   - commandLine: The command line without a zero byte; not in `memory`. May be empty.
  ///   - rsdp: The guest-physical address of ACPI's RSDP, or 0 if there is none.
  ///   - memory: The guest's memory.
  /// - Returns: The state in which the guest's processor has to start.
  /// - Throws: What does not fit. Nothing has been written then.
  public static func load(
    _ kernel: LinuxKernel, initrd: UnsafeRawBufferPointer?, commandLine: UnsafeRawBufferPointer, rsdp: UInt64,
    into memory: GuestMemory
  ) throws(LinuxLoaderError) -> LinuxEntry {
    if let offset = commandLine.firstIndex(of: 0) { throw .zeroByteInCommandLine(offset: offset) }
    let placement = try LinuxPlacement(
      kernel: kernel, initrdByteCount: initrd.map { UInt64($0.count) },
      commandLineByteCount: UInt64(commandLine.count), layout: memory.layout)

    // The placement lies in RAM as a whole, and so does all below 1 MiB: no access from here on can fail.
    _ = memory.copy(kernel.code, to: placement.kernelAddress)
    if let initrd { _ = memory.copy(initrd, to: placement.initrdAddress) }
    _ = memory.copy(commandLine, to: LinuxPlacement.commandLineAddress)
    _ = memory.store(0 as UInt8, at: LinuxPlacement.commandLineAddress + UInt64(commandLine.count))
    _ = IdentityPageTables.write(to: memory, at: LinuxPlacement.pageTablesAddress)
    let descriptors = gdt
    for index in descriptors.indices {
      _ = memory.store(descriptors[index], at: LinuxPlacement.gdtAddress + UInt64(index) * 8)
    }
    if let page = memory.bytes(
      at: LinuxPlacement.bootParamsAddress, count: UInt64(LinuxBootProtocol.bootParamsSize))
    {
      let parameters = LinuxBootParameters(page: page)
      parameters.fill(
        for: kernel, at: placement, initrdByteCount: initrd?.count ?? 0, rsdp: rsdp, map: E820Map(memory.layout))
    }
    return LinuxEntry(
      rip: placement.kernelAddress + LinuxBootProtocol.entryOffset, rsi: LinuxPlacement.bootParamsAddress,
      rsp: LinuxPlacement.stackTop, cr3: LinuxPlacement.pageTablesAddress, gdtBase: LinuxPlacement.gdtAddress,
      gdtLimit: UInt32(descriptors.count * 8 - 1))
  }
}
