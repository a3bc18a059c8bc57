/// Puts a kernel of any kind, and what firmware and boot loader leave with it, into a guest's memory.
public enum KernelLoader {
  /// Writes the firmware's tables and loads a kernel by the protocol that its file asks for.
  ///
  /// - Parameters:
  ///   - files: The kernel's file and what belongs to it.
  ///   - platform: What the firmware's tables say.
  ///   - memory: The guest's memory.
  /// - Returns: The state in which the guest's first processor has to start.
  /// - Throws: What is wrong with the kernel, or what does not fit.
  public static func load(
    _ files: BootFiles, on platform: GuestPlatform, into memory: GuestMemory
  ) throws(KernelLoaderError) -> GuestEntry {
    guard FirmwareTables.write(platform, to: memory) else { throw .noMemoryForFirmware }
    switch KernelKind(files.kernel) {
    case .linux: return .linux(try loadLinux(files, into: memory))
    case .multiboot(let version): return .multiboot(try loadMultiboot(version, files, into: memory))
    }
  }

  private static func loadLinux(
    _ files: BootFiles, into memory: GuestMemory
  ) throws(KernelLoaderError) -> LinuxEntry {
    let kernel: LinuxKernel
    do throws(LinuxKernelError) {
      kernel = try LinuxKernel(files.kernel)
    } catch { throw .linuxKernel(error) }
    if files.modules.count > 0 { throw .modulesForLinux }
    do throws(LinuxLoaderError) {
      return try LinuxLoader.load(
        kernel, initrd: files.initrd, commandLine: files.commandLine, rsdp: ACPITables.rsdpAddress, into: memory)
    } catch { throw .linux(error) }
  }

  private static func loadMultiboot(
    _ version: MultibootVersion, _ files: BootFiles, into memory: GuestMemory
  ) throws(KernelLoaderError) -> MultibootEntry {
    guard let modules = files.allModules else { throw .tooManyModules }
    do throws(MultibootError) {
      // The kind is known by the header, so there is one.
      guard let kernel = try MultibootKernel(version, files.kernel) else { throw .noSegments }
      return try MultibootLoader.load(kernel, modules: modules, commandLine: files.commandLine, into: memory)
    } catch { throw .multiboot(error) }
  }

  /// Checks what ``load(_:on:into:)`` does before it writes a kernel, from sizes alone, for a launcher.
  ///
  /// - Parameters:
  ///   - kernel: The kernel's file.
  ///   - initrdByteCount: The length of the initial RAM disk in bytes; nil if there is none.
  ///   - modules: The sizes of the modules, without the initial RAM disk.
  ///   - commandLineByteCount: The length of the command line in bytes, without a zero byte.
  ///   - layout: The guest's memory.
  public static func check(
    _ kernel: UnsafeRawBufferPointer, initrdByteCount: UInt64?, modules: BootModuleSizes, commandLineByteCount: Int,
    layout: GuestMemoryLayout
  ) throws(KernelLoaderError) {
    switch KernelKind(kernel) {
    case .linux:
      let linux: LinuxKernel
      do throws(LinuxKernelError) { linux = try LinuxKernel(kernel) } catch { throw .linuxKernel(error) }
      if modules.count > 0 { throw .modulesForLinux }
      do throws(LinuxLoaderError) {
        _ = try LinuxPlacement(
          kernel: linux, initrdByteCount: initrdByteCount, commandLineByteCount: UInt64(commandLineByteCount),
          layout: layout)
      } catch { throw .linux(error) }
    case .multiboot(let version):
      var modules = modules
      if let initrdByteCount { modules.add(byteCount: initrdByteCount, commandLineByteCount: 0) }
      if modules.count > BootModules.limit { throw .tooManyModules }
      do throws(MultibootError) {
        guard let kernel = try MultibootKernel(version, kernel) else { throw .noSegments }
        _ = try MultibootPlacement(
          kernel: kernel, modules: modules, commandLineByteCount: commandLineByteCount, layout: layout)
      } catch { throw .multiboot(error) }
    }
  }
}
