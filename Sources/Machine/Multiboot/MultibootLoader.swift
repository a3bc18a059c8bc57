/// Puts a Multiboot kernel into a guest's memory, as its specification demands.
public enum MultibootLoader {
  /// Loads a kernel, its modules and its command line, and writes what it is told of them.
  ///
  /// - Parameters:
  ///   - kernel: The kernel. Its bytes must not be in `memory`.
  ///   - modules: Its modules; not in `memory`.
  ///   - commandLine: Its command line without a zero byte; not in `memory`. May be empty.
  ///   - memory: The guest's memory, with the firmware's tables.
  /// - Returns: The state in which the guest's processor has to start.
  /// - Throws: What does not fit. Nothing has been written then.
  public static func load(
    _ kernel: MultibootKernel, modules: BootModules, commandLine: UnsafeRawBufferPointer, into memory: GuestMemory
  ) throws(MultibootError) -> MultibootEntry {
    try check(commandLine)
    for index in 0..<modules.count { try check(modules[index].commandLine) }
    let placement = try MultibootPlacement(
      kernel: kernel, modules: modules.sizes, commandLineByteCount: commandLine.count, layout: memory.layout)
    let information = MultibootInformation(
      kernel: kernel, placement: placement, modules: modules, commandLine: commandLine, memory: memory)

    // The placement lies in RAM as a whole: no access from here on can fail.
    for index in 0..<kernel.segmentCount {
      if let segment = kernel.segment(index) { load(segment, of: kernel, at: placement, into: memory) }
    }
    information.forEachModule { module, address in _ = memory.copy(module.contents, to: UInt64(address)) }
    if let elf = kernel.elf {
      information.forEachLooseSection(of: elf) { _, section, address in _ = memory.copy(section, to: address) }
    }
    information.write()
    return MultibootEntry(
      magic: kernel.version.loaderMagic, rip: kernel.entry &+ placement.displacement,
      information: placement.informationAddress + UInt64(MultibootInformation.offset),
      gdtBase: placement.informationAddress)
  }

  private static func check(_ text: UnsafeRawBufferPointer) throws(MultibootError) {
    if let offset = text.firstIndex(of: 0) { throw .zeroByteInCommandLine(offset: offset) }
  }

  private static func load(
    _ segment: KernelSegment, of kernel: MultibootKernel, at placement: MultibootPlacement, into memory: GuestMemory
  ) {
    guard let place = memory.bytes(at: segment.address &+ placement.displacement, count: segment.byteCount) else {
      return
    }
    let count = Int(segment.fileByteCount)
    if count > 0 {
      let start = Int(segment.fileOffset)
      place.copyMemory(from: UnsafeRawBufferPointer(rebasing: kernel.bytes[start..<start + count]))
    }
    UnsafeMutableRawBufferPointer(rebasing: place[count...]).initializeMemory(as: UInt8.self, repeating: 0)
  }
}

/// The state of the processor when a Multiboot kernel is entered ("I386 machine state", "Machine state").
///
/// It is in 32-bit protected mode without paging, interrupts are off, A20 is open, and the segments are flat.
public struct MultibootEntry: Equatable, Sendable {
  /// EAX: which of the specifications the boot loader follows.
  public let magic: UInt32
  /// EIP: the entry point.
  public let rip: UInt64
  /// EBX: the address of what the kernel is told.
  public let information: UInt64
  /// The GDTR's base.
  public let gdtBase: UInt64

  /// The GDTR's limit, in bytes.
  public var gdtLimit: UInt32 { UInt32(MultibootInformation.gdt.count * 8 - 1) }
}
