import Machine
import Testing

@Suite("Linux kernel")
struct LinuxKernelTests {
  /// A header that is right in all but one field, and what is found.
  struct Fault: Sendable, CustomTestStringConvertible {
    let name: String
    let expected: LinuxKernelError?
    let change: @Sendable (inout SyntheticKernel) -> Void

    init(_ name: String, _ expected: LinuxKernelError?, _ change: @escaping @Sendable (inout SyntheticKernel) -> Void) {
      self.name = name
      self.expected = expected
      self.change = change
    }

    var testDescription: String { name }
  }

  static let wholeByteCount = UInt64(SyntheticKernel.setupByteCount + SyntheticKernel.codeByteCount)

  static let faults = [
    Fault("a right header", nil) { _ in },
    Fault("setup_sects 0 means 4", .truncated(expected: wholeByteCount + 512, found: wholeByteCount)) {
      $0[.setupSects] = 0
    },
    Fault("setup_sects too great", .truncated(expected: wholeByteCount + 252 * 512, found: wholeByteCount)) {
      $0[.setupSects] = 255
    },
    Fault("boot_flag", .wrongBootFlag(0x55AA)) { $0[.bootFlag] = 0x55AA },
    Fault("header", .notABzImage(.unknown)) { $0[.header] = 0 },
    Fault("header, and no EFI stub", .notABzImage(.bootSector)) {
      $0[.header] = 0
      $0.bytes[0] = 0xFA
    },
    Fault("version 2.11", .protocolTooOld(0x020B)) { $0[.version] = 0x020B },
    Fault("version 2.12", nil) { $0[.version] = 0x020C },
    Fault("version 0", .protocolTooOld(0)) { $0[.version] = 0 },
    Fault("an unknown newer version", nil) { $0[.version] = 0x03FF },
    Fault("syssize one too great", .truncated(expected: wholeByteCount + 16, found: wholeByteCount)) {
      $0[.syssize] += 1
    },
    Fault("greatest syssize", .truncated(expected: 2048 + UInt64(UInt32.max) * 16, found: wholeByteCount)) {
      $0[.syssize] = .max
    },
    Fault("syssize 0", .noEntryCode(byteCount: 0)) { $0[.syssize] = 0 },
    Fault("syssize up to the entry point", .noEntryCode(byteCount: 0x200)) { $0[.syssize] = 0x20 },
    Fault("jump opcode", .wrongJump(opcode: 0xE9)) { $0[.jumpOpcode] = 0xE9 },
    Fault("header without handover_offset", .headerTooShort(end: 0x267)) { $0[.jumpDisplacement] = 0x65 },
    Fault("shortest header", nil) { $0[.jumpDisplacement] = 0x66 },
    Fault("longest header", nil) { $0[.jumpDisplacement] = 0xFF },
    Fault("loadflags", .loadedLow) { $0[.loadflags] = 0xFE },
    Fault("xloadflags", .no64BitEntry) { $0[.xloadflags] = 0xFFFE },
    Fault("kernel_alignment 0", .wrongAlignment(0)) { $0[.kernelAlignment] = 0 },
    Fault("kernel_alignment not a power of 2", .wrongAlignment(0x30_0000)) { $0[.kernelAlignment] = 0x30_0000 },
    Fault("kernel_alignment 0 of a kernel that stays", nil) {
      $0[.kernelAlignment] = 0
      $0[.relocatableKernel] = 0
    },
    Fault("init_size one too small", .initSizeTooSmall(initSize: 4095, byteCount: 4096)) { $0[.initSize] = 4095 },
    Fault("least init_size", nil) { $0[.initSize] = 4096 },
    Fault("pref_address 0 of a kernel that moves", nil) { $0[.prefAddress] = 0 },
    Fault("pref_address below 1 MiB of a kernel that stays", .preferredAddressTooLow(0xF_FFFF)) {
      $0[.prefAddress] = 0xF_FFFF
      $0[.relocatableKernel] = 0
    },
    Fault("payload up to the end", nil) { $0[.payloadLength] = 4096 - 0x2CC },
    Fault("payload beyond the end", .payloadOutsideCode(offset: 0x2CC, length: 4096 - 0x2CB)) {
      $0[.payloadLength] = 4096 - 0x2CB
    },
    Fault("payload wraps", .payloadOutsideCode(offset: 0x2CC, length: .max)) { $0[.payloadLength] = .max },
  ]

  @Test("Each field of the setup header is checked", arguments: faults)
  func fields(fault: Fault) {
    var kernel = SyntheticKernel()
    fault.change(&kernel)
    #expect(kernel.fault == fault.expected)
  }

  @Test("A kernel is truncated at every length but its own")
  func truncation() {
    let bytes = SyntheticKernel().bytes
    #expect(SyntheticKernel.fault(of: []) == .empty)
    for length in 1..<bytes.count {
      let fault = SyntheticKernel.fault(of: Array(bytes[..<length]))
      let expected = length < 0x208 ? 0x268 : UInt64(bytes.count)
      #expect(fault == .truncated(expected: expected, found: UInt64(length)), "\(length)")
    }
    #expect(SyntheticKernel.fault(of: bytes + [1, 2, 3]) == nil, "a signature may follow")
  }

  @Test("Random changes of the header never trap, and leave every view inside the file", arguments: 0..<4)
  func fuzz(seed: UInt64) {
    var generator = RandomNumbers(seed: seed)
    let original = SyntheticKernel().bytes
    for _ in 0..<20_000 {
      var bytes = original
      for _ in 0..<Int.random(in: 1...6, using: &generator) {
        let offset =
          Bool.random(using: &generator)
          ? Int.random(in: 0x1F1..<0x270, using: &generator) : Int.random(in: 0..<bytes.count, using: &generator)
        bytes[offset] =
          [0, 1, 0x7F, 0x80, 0xFF, UInt8.random(in: 0...255, using: &generator)]
          .randomElement(using: &generator) ?? 0
      }
      if Int.random(in: 0..<4, using: &generator) == 0 {
        bytes.removeLast(Int.random(in: 0..<bytes.count, using: &generator))
      }
      bytes.withUnsafeBytes { file in
        do throws(LinuxKernelError) {
          let kernel = try LinuxKernel(file)
          #expect(kernel.code.count > 0x200 && kernel.code.count <= file.count)
          #expect(kernel.setupHeader.count >= 0x77 && kernel.setupHeader.count <= 0x290 - 0x1F1)
          #expect(kernel.release.count < file.count)
        } catch {
          #expect(!error.message.description.isEmpty)
        }
      }
    }
  }

  @Test("Random bytes are never a kernel, and never trap", arguments: 0..<4)
  func noise(seed: UInt64) {
    var generator = RandomNumbers(seed: seed)
    for _ in 0..<2_000 {
      let count = Int.random(in: 0..<1200, using: &generator)
      let bytes = (0..<count).map { _ in UInt8.random(in: 0...255, using: &generator) }
      #expect(SyntheticKernel.fault(of: bytes) != nil)
    }
  }

  @Test("The parts of a kernel are where its header says")
  func parts() throws {
    let synthetic = SyntheticKernel()
    try synthetic.bytes.withUnsafeBytes { file in
      let kernel = try LinuxKernel(file)
      #expect(Array(kernel.code) == Array(synthetic.bytes[SyntheticKernel.setupByteCount...]))
      #expect(Array(kernel.setupHeader) == Array(synthetic.bytes[0x1F1..<0x26C]))
      #expect(String(decoding: kernel.release, as: UTF8.self) == "9.9-x")
      #expect(kernel.isRelocatable)
    }
  }

  @Test(
    "A message has its numbers and names in place",
    arguments: [
      (
        .truncated(expected: 14_184_960, found: 0),
        "The kernel is truncated: it has 0 bytes and should have at least 14184960. Copy or download it again."
      ),
      (
        .protocolTooOld(0x020A),
        "The kernel has version 2.10 of the boot protocol; 2.12 or newer is needed. Give a 64-bit kernel, 3.8 or newer."
      ),
      (
        .wrongBootFlag(0), "The kernel is damaged: boot_flag is 0x0, not 0xaa55. Copy or download it again."
      ),
      (
        .notABzImage(.elf(machine: 183)),
        """
        The kernel is not a bzImage but an ELF file for AArch64. Give a bzImage for x86-64, for example /boot/vmlinuz-* \
        of a Debian amd64 system.
        """
      ),
      (
        .notABzImage(.cpio),
        """
        The kernel is not a bzImage but a cpio archive. It looks like an initramfs: give it with --initrd, and a bzImage \
        with --kernel.
        """
      ),
    ] as [(LinuxKernelError, String)])
  func messages(fault: LinuxKernelError, text: String) {
    #expect(fault.message.description == text)
  }
}
