import Machine
import Testing

@Suite("Foreign file formats")
struct ForeignFileFormatTests {
  /// The start of a file and what it is. (A test's name would show all the bytes of a plain array.)
  struct Sample: Sendable, CustomTestStringConvertible {
    let format: ForeignFileFormat
    let bytes: [UInt8]

    init(_ format: ForeignFileFormat, _ bytes: [UInt8]) {
      self.format = format
      self.bytes = bytes
    }

    var testDescription: String { "\(format)" }
  }

  /// A file that has bytes at offsets, among bytes that mean nothing.
  static func file(_ parts: [Int: [UInt8]], count: Int = 0x9000) -> [UInt8] {
    var bytes = [UInt8](repeating: 0x90, count: count)
    for (offset, part) in parts { bytes.replaceSubrange(offset..<offset + part.count, with: part) }
    return bytes
  }

  static func elf(_ machine: [UInt8], data: UInt8) -> [UInt8] {
    file([0: [0x7F, 0x45, 0x4C, 0x46, 2, data], 18: machine])
  }

  static func pe(_ machine: [UInt8], at header: UInt8 = 0x80) -> [UInt8] {
    file([0: Array("MZ".utf8), 0x3C: [header, 0, 0, 0], Int(header): Array("PE\0\0".utf8) + machine])
  }

  static let samples: [Sample] = [
    Sample(.elf(machine: 62), elf([62, 0], data: 1)), Sample(.elf(machine: 183), elf([183, 0], data: 1)),
    Sample(.elf(machine: 22), elf([0, 22], data: 2)),
    Sample(.pe(machine: 0x8664), pe([0x64, 0x86])), Sample(.pe(machine: 0xAA64), pe([0x64, 0xAA], at: 0x40)),
    Sample(
      .efiZboot,
      file([0: Array("MZ\0\0zimg".utf8), 0x3C: [0x40, 0, 0, 0], 0x40: Array("PE\0\0".utf8) + [0x64, 0xAA]])
    ),
    Sample(.arm64Image, file([0: Array("MZ".utf8), 0x38: Array("ARMd".utf8)])),
    Sample(.riscvImage, file([0: Array("MZ".utf8), 0x30: Array("RISCV\0\0\0RSC".utf8) + [5]])),
    Sample(.armZImage, file([0x24: [0x18, 0x28, 0x6F, 0x01]])),
    Sample(.uImage, file([0: [0x27, 0x05, 0x19, 0x56]])), Sample(.deviceTree, file([0: [0xD0, 0x0D, 0xFE, 0xED]])),
    Sample(.androidBootImage, file([0: Array("ANDROID!".utf8)])),
    Sample(.gzip, file([0: [0x1F, 0x8B, 8]])), Sample(.bzip2, file([0: Array("BZh9".utf8)])),
    Sample(.xz, file([0: [0xFD, 0x37, 0x7A, 0x58, 0x5A, 0]])), Sample(.zstd, file([0: [0x28, 0xB5, 0x2F, 0xFD]])),
    Sample(.lz4, file([0: [0x04, 0x22, 0x4D, 0x18]])), Sample(.lz4, file([0: [0x02, 0x21, 0x4C, 0x18]])),
    Sample(.cpio, file([0: Array("070701".utf8)])), Sample(.cpio, file([0: Array("070702".utf8)])),
    Sample(.cpio, file([0: [0xC7, 0x71]])), Sample(.tar, file([257: Array("ustar\0".utf8)])),
    Sample(.zip, file([0: Array("PK".utf8) + [3, 4]])), Sample(.ar, file([0: Array("!<arch>\ndebian-binary".utf8)])),
    Sample(.rpm, file([0: [0xED, 0xAB, 0xEE, 0xDB]])), Sample(.qcow2, file([0: Array("QFI".utf8) + [0xFB]])),
    Sample(.iso9660, file([0x8001: Array("CD001".utf8)])), Sample(.script, file([0: Array("#!/bin/sh\n".utf8)])),
    Sample(.bootSector, file([0x1FE: [0x55, 0xAA]])), Sample(.text, Array("Not a kernel at all.\n".utf8)),
    Sample(.text, Array("Kein Kern: größer\r\n".utf8)), Sample(.zeros, [UInt8](repeating: 0, count: 4096)),
    Sample(.unknown, file([:])), Sample(.unknown, file([0: Array("MZ".utf8), 0x3C: [0xFF, 0xFF, 0xFF, 0xFF]])),
  ]

  @Test("A file that is no bzImage is called by its name", arguments: samples)
  func recognised(sample: Sample) {
    #expect(sample.bytes.withUnsafeBytes { ForeignFileFormat($0) } == sample.format)
    #expect(SyntheticKernel.fault(of: sample.bytes) == .notABzImage(sample.format))
  }

  @Test("No part of such a file traps", arguments: samples)
  func truncated(sample: Sample) {
    sample.bytes.withUnsafeBytes { bytes in
      for length in 0..<0x400 { _ = ForeignFileFormat(UnsafeRawBufferPointer(rebasing: bytes.prefix(length))) }
    }
  }
}
