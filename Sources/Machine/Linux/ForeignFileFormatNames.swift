extension ForeignFileFormat {
  /// What the file is, with an article where English wants one.
  public var name: StaticString {
    switch self {
    case .elf: "an ELF file"
    case .pe: "a PE (EFI or Windows) program"
    case .efiZboot: "an EFI zboot image, made for other processors than x86"
    case .arm64Image: "a Linux Image"
    case .riscvImage: "a Linux Image"
    case .armZImage: "a Linux zImage"
    case .uImage: "a U-Boot image"
    case .deviceTree: "a device tree or U-Boot FIT image"
    case .androidBootImage: "an Android boot image"
    case .gzip: "gzip-compressed data"
    case .bzip2: "bzip2-compressed data"
    case .xz: "xz-compressed data"
    case .zstd: "Zstandard-compressed data"
    case .lz4: "LZ4-compressed data"
    case .cpio: "a cpio archive"
    case .tar: "a tar archive"
    case .zip: "a ZIP archive"
    case .ar: "an ar archive or Debian package"
    case .rpm: "an RPM package"
    case .qcow2: "a QEMU disk image"
    case .iso9660: "an ISO 9660 image"
    case .bootSector: "a boot sector or disk image"
    case .script: "a script"
    case .text: "a text file"
    case .zeros: "a file that starts with nothing but zeros"
    case .unknown: "a file of unknown format"
    }
  }

  /// The processor that the file is for, or nil if its format does not say.
  public var machine: StaticString? {
    switch self {
    case .elf(let machine): Self.elfMachine(machine)
    case .pe(let machine): Self.peMachine(machine)
    case .arm64Image: "AArch64"
    case .riscvImage: "RISC-V"
    case .armZImage: "32-bit Arm"
    default: nil
    }
  }

  /// What the user can do to get a bzImage.
  public var remedy: StaticString {
    switch self {
    case .elf(machine: 3): "It has no Multiboot header; for Linux, give a bzImage for x86-64."
    case .elf(machine: 62):
      """
      It has no Multiboot header. If it is a vmlinux, give the bzImage of the same build: arch/x86/boot/bzImage, or \
      /boot/vmlinuz-* as installed.
      """
    case .gzip, .bzip2, .xz, .zstd, .lz4:
      "Decompress it first, and give it as the kernel if a bzImage comes out; an initramfs goes to --initrd."
    case .cpio: "It looks like an initramfs: give it with --initrd, and a bzImage with --kernel."
    case .tar, .zip, .ar, .rpm:
      "Unpack it first (dpkg-deb -x for a Debian package); the kernel is in its boot directory."
    case .qcow2, .iso9660, .bootSector: "Give the kernel that is in it, by itself."
    case .zeros: "Get it again: a download or copy of it failed."
    default: "Give a bzImage for x86-64, for example /boot/vmlinuz-* of a Debian amd64 system."
    }
  }

  /// The name of an ELF `e_machine`, as the ELF specifications number them.
  private static func elfMachine(_ machine: UInt16) -> StaticString {
    switch machine {
    case 2, 18, 43: "SPARC"
    case 3: "32-bit x86"
    case 4: "Motorola 68000"
    case 8: "MIPS"
    case 15: "PA-RISC"
    case 20: "PowerPC"
    case 21: "64-bit PowerPC"
    case 22: "IBM Z"
    case 40: "32-bit Arm"
    case 42: "SuperH"
    case 50: "Itanium"
    case 62: "x86-64"
    case 183: "AArch64"
    case 243: "RISC-V"
    case 247: "BPF"
    case 258: "LoongArch"
    default: "another processor"
    }
  }

  /// The name of a COFF machine, as the PE format numbers them.
  private static func peMachine(_ machine: UInt16) -> StaticString {
    switch machine {
    case 0x014C: "32-bit x86"
    case 0x01C0, 0x01C2, 0x01C4: "32-bit Arm"
    case 0x0200: "Itanium"
    case 0x0EBC: "EFI byte code"
    case 0x5032, 0x5064, 0x5128: "RISC-V"
    case 0x6232, 0x6264: "LoongArch"
    case 0x8664: "x86-64"
    case 0xAA64: "AArch64"
    default: "another processor"
    }
  }
}
