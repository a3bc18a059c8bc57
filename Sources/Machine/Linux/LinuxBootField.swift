/// A field of the Linux x86 boot protocol: its place and, by its type, its width.
///
/// Offsets count from the start of `boot_params` (the "zero page"). The setup header is at the same offsets in the
/// first sectors of a bzImage. Names are the kernel's, from its documents "The Linux/x86 Boot Protocol" and
/// "Zero Page".
@frozen
public struct LinuxBootField<Value: FixedWidthInteger & BitwiseCopyable>: Sendable {
  /// The offset in bytes.
  public let offset: Int

  /// The offset of the first byte after the field.
  @inlinable
  public var end: Int { offset + MemoryLayout<Value>.size }

  @inlinable
  init(_ offset: Int) { self.offset = offset }
}

extension LinuxBootField where Value == UInt8 {
  /// The number of entries in `e820_table`.
  public static var e820Entries: Self { Self(0x1E8) }
  /// `setup_sects`: the length of the real-mode code in sectors of 512 bytes, without the first; 0 means 4.
  public static var setupSects: Self { Self(0x1F1) }
  /// The opcode of `jump`, the instruction over the setup header.
  public static var jumpOpcode: Self { Self(0x200) }
  /// The displacement of `jump`, which tells where the setup header ends.
  public static var jumpDisplacement: Self { Self(0x201) }
  /// `type_of_loader`: who loads the kernel.
  public static var typeOfLoader: Self { Self(0x210) }
  /// `loadflags`: bit 0 is LOADED_HIGH.
  public static var loadflags: Self { Self(0x211) }
  /// `relocatable_kernel`: whether the kernel may be loaded elsewhere than at `pref_address`.
  public static var relocatableKernel: Self { Self(0x234) }
}

extension LinuxBootField where Value == UInt16 {
  /// `vid_mode`: the video mode to set.
  public static var vidMode: Self { Self(0x1FA) }
  /// `boot_flag`: 0xAA55.
  public static var bootFlag: Self { Self(0x1FE) }
  /// `version`: the protocol version, major number in the high byte.
  public static var version: Self { Self(0x206) }
  /// `kernel_version`: where the release is as text, as an offset from 0x200; 0 if nowhere.
  public static var kernelVersion: Self { Self(0x20E) }
  /// `xloadflags`: bit 0 is XLF_KERNEL_64.
  public static var xloadflags: Self { Self(0x236) }
}

extension LinuxBootField where Value == UInt32 {
  /// `alt_mem_k`: the RAM from 1 MiB up, in KiB.
  public static var altMemK: Self { Self(0x1E0) }
  /// `syssize`: the length of the protected-mode code in units of 16 bytes.
  public static var syssize: Self { Self(0x1F4) }
  /// `header`: "HdrS".
  public static var header: Self { Self(0x202) }
  /// `code32_start`: where the protected-mode code is.
  public static var code32Start: Self { Self(0x214) }
  /// `ramdisk_image`: the initrd's address.
  public static var ramdiskImage: Self { Self(0x218) }
  /// `ramdisk_size`: the initrd's length in bytes.
  public static var ramdiskSize: Self { Self(0x21C) }
  /// `cmd_line_ptr`: the address of the command line, which ends with a zero byte.
  public static var cmdLinePtr: Self { Self(0x228) }
  /// `initrd_addr_max`: the highest address that the initrd may occupy.
  public static var initrdAddrMax: Self { Self(0x22C) }
  /// `kernel_alignment`: what the address of a relocatable kernel has to be a multiple of, in bytes.
  public static var kernelAlignment: Self { Self(0x230) }
  /// `cmdline_size`: the greatest length of the command line in bytes, without its zero byte.
  public static var cmdlineSize: Self { Self(0x238) }
  /// `hardware_subarch`: 0 is a PC.
  public static var hardwareSubarch: Self { Self(0x23C) }
  /// `payload_offset`: where the compressed kernel is in the protected-mode code, in bytes.
  public static var payloadOffset: Self { Self(0x248) }
  /// `payload_length`: the compressed kernel's length in bytes.
  public static var payloadLength: Self { Self(0x24C) }
  /// `init_size`: the contiguous memory that the kernel needs from where it runs, in bytes.
  public static var initSize: Self { Self(0x260) }
  /// `handover_offset`: the entry for EFI boot loaders; not used here, and the last field of protocol 2.12.
  public static var handoverOffset: Self { Self(0x264) }
}

extension LinuxBootField where Value == UInt64 {
  /// `acpi_rsdp_addr`: the address of ACPI's RSDP.
  public static var acpiRSDPAddr: Self { Self(0x070) }
  /// `setup_data`: a list of further data; 0 if there is none.
  public static var setupData: Self { Self(0x250) }
  /// `pref_address`: where the kernel would like to be loaded.
  public static var prefAddress: Self { Self(0x258) }
}

/// Numbers of the Linux x86 boot protocol that are not fields.
public enum LinuxBootProtocol {
  /// The length of `boot_params` in bytes.
  public static var bootParamsSize: Int { 0x1000 }
  /// The offset of the setup header's first field.
  public static var setupHeaderStart: Int { 0x1F1 }
  /// The offset in `boot_params` of what follows the setup header, however long the kernel's own header is.
  public static var setupHeaderLimit: Int { 0x290 }
  /// The offset of `e820_table`.
  public static var e820Table: Int { 0x2D0 }
  /// The greatest number of entries in `e820_table`.
  public static var e820Limit: Int { 128 }
  /// The value of `boot_flag`.
  public static var bootFlag: UInt16 { 0xAA55 }
  /// The value of `header`, "HdrS".
  public static var headerMagic: UInt32 { 0x5372_6448 }
  /// The opcode that `jump` has to have: JMP rel8.
  public static var jumpOpcode: UInt8 { 0xEB }
  /// The oldest version with `xloadflags`: 2.12, of Linux 3.8.
  public static var oldestVersion: UInt16 { 0x020C }
  /// Bit 0 of `loadflags`: the protected-mode code belongs at 1 MiB or above.
  public static var loadedHigh: UInt8 { 1 << 0 }
  /// Bit 0 of `xloadflags`: the kernel has the 64-bit entry point.
  public static var kernel64: UInt16 { 1 << 0 }
  /// The `type_of_loader` of a boot loader that has no number of its own.
  public static var undefinedLoader: UInt8 { 0xFF }
  /// The `vid_mode` "normal".
  public static var normalVideoMode: UInt16 { 0xFFFF }
  /// The offset of the 64-bit entry point in the protected-mode code.
  public static var entryOffset: UInt64 { 0x200 }
  /// The selector __BOOT_CS that the 64-bit entry point wants in CS.
  public static var codeSelector: UInt16 { 0x10 }
  /// The selector __BOOT_DS that the 64-bit entry point wants in DS, ES and SS.
  public static var dataSelector: UInt16 { 0x18 }
}
