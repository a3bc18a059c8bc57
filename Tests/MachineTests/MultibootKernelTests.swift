import Testing

@testable import Machine

@Suite("Multiboot kernels")
struct MultibootKernelTests {
  typealias Synthetic = SyntheticMultiboot

  /// The error of the check for a version, or nil if there is none.
  static func error(of bytes: [UInt8], _ version: MultibootVersion) -> MultibootError? {
    bytes.withUnsafeBytes { bytes in
      do throws(MultibootError) {
        let kernel = try MultibootKernel(version, bytes)
        #expect(kernel != nil)
        return nil
      } catch { return error }
    }
  }

  struct Header: Sendable, CustomTestStringConvertible {
    var words: [UInt32]
    var version: MultibootVersion
    var error: MultibootError?
    var testDescription: String { "\(error.map { "\($0)" } ?? "fine"): \(words.map { String($0, radix: 16) })" }

    init(_ flags: UInt32, _ rest: [UInt32] = [], _ error: MultibootError? = nil) {
      (words, version, self.error) = (Synthetic.version1(flags: flags, rest), .one, error)
    }

    init(tags: [[UInt32]], _ error: MultibootError? = nil, architecture: UInt32 = 0) {
      (words, version, self.error) = (Synthetic.version2(architecture: architecture, tags: tags), .two, error)
    }
  }

  static let damaged = MultibootError.damagedHeader(offset: Synthetic.headerOffset)
  /// Address fields or tag for the code of the file, which makes it 4 KiB at 4 MiB.
  static let addresses: [UInt32] = [0x3F_F800, 0x40_0000 - 0x800, 0, 0]
  static let headers: [Header] = [
    Header(0), Header(1), Header(2), Header(3), Header(0xFFFE_0003), Header(1 << 3, [], .unknownFlags(8)),
    Header(1 << 15 | 3, [], .unknownFlags(0x8000)), Header(0xFFF8, [], .unknownFlags(0xFFF8)),
    Header(1 << 2, [0, 0, 0, 0, 0, 1, 80, 25, 0]), Header(1 << 2, [0, 0, 0, 0, 0, 0, 640, 480, 32]),
    Header(1 << 16, [0x40_0000, 0x40_0000, 0, 0x40_2000, 0x40_0000]),
    Header(1 << 16, [0x40_0000, 0x3F_FF00, 0x40_0100, 0, 0x40_0000]),
    Header(1 << 16, [0x40_0000, 0x40_0001, 0, 0, 0x40_0000], .wrongAddresses),
    Header(1 << 16, [0x40_0000, 0x30_0000, 0, 0, 0x40_0000], .wrongAddresses),
    Header(1 << 16, [0x40_0000, 0x40_0000, 0x3F_0000, 0, 0x40_0000], .wrongAddresses),
    Header(1 << 16, [0x40_0000, 0x40_0000, 0x40_0000, 0, 0x40_0000], .wrongAddresses),
    Header(1 << 16, [0x40_0000, 0x40_0000, 0x40_1000, 0x40_0FFF, 0x40_0000], .wrongAddresses),
    Header(
      1 << 16, [0x40_0000, 0x40_0000, 0x50_0000, 0, 0x40_0000],
      .truncated(expected: 0x10_0800, found: 0x2000)),
    Header(1 << 16, [0x40_0000, 0x40_0000, 0, 0x40_2000, 0x40_2000], .entryOutsideSegments(0x40_2000)),
    Header(1 << 16, [0x40_0000, 0x40_0000, 0, 0x40_2000, 0x3F_FFFF], .entryOutsideSegments(0x3F_FFFF)),

    Header(tags: []), Header(tags: [], .wrongArchitecture(4), architecture: 4),
    Header(tags: [Synthetic.tag(1, [1, 2, 3, 4, 6, 9, 13, 14, 15, 21])]),
    Header(tags: [Synthetic.tag(1, [5, 7, 8, 10, 11, 12, 16, 17, 18, 19, 20])]),
    Header(tags: [Synthetic.tag(1, isOptional: true, [22])]),
    Header(tags: [Synthetic.tag(1, [1, 22])], .unsupportedInformation(22)),
    Header(tags: [Synthetic.tag(2, [0x40_0000, 0x40_0000, 0, 0])], .noEntry),
    Header(tags: [Synthetic.tag(2, [0x40_0000, 0x40_0000, 0, 0]), Synthetic.tag(3, [0x40_0000])]),
    Header(tags: [Synthetic.tag(2, [0x40_0000, .max, 0, 0]), Synthetic.tag(3, [0x40_0000])]),
    Header(tags: [Synthetic.tag(3, [0x40_0020])]),
    Header(tags: [Synthetic.tag(3, [0x20])], .entryOutsideSegments(0x20)),
    Header(tags: [Synthetic.tag(4, [2])]), Header(tags: [Synthetic.tag(4, [1])], .displayRequired),
    Header(tags: [Synthetic.tag(4, isOptional: true, [3])]),
    Header(tags: [Synthetic.tag(5, [1024, 768, 32])]), Header(tags: [Synthetic.tag(6)]),
    Header(tags: [Synthetic.tag(7)]), Header(tags: [Synthetic.tag(8, [1])]), Header(tags: [Synthetic.tag(9, [1])]),
    Header(tags: [Synthetic.tag(10, [0x10_0000, 0x1000_0000, 4096, 0])]),
    Header(tags: [Synthetic.tag(11)], .unsupportedTag(11)), Header(tags: [Synthetic.tag(11, isOptional: true)]),
    Header(tags: [Synthetic.tag(0xFFFF)], .unsupportedTag(0xFFFF)),
    Header(tags: [[1, 7]], damaged), Header(tags: [[1, 0]], damaged), Header(tags: [[6, 100]], damaged),
    Header(tags: [Synthetic.tag(2, [1, 2, 3])], damaged), Header(tags: [Synthetic.tag(3)], damaged),
    Header(tags: [Synthetic.tag(4)], damaged), Header(tags: [Synthetic.tag(10, [1, 2, 3])], damaged),
  ]

  @Test("What a header asks for is there, or is refused", arguments: headers)
  func header(header: Header) {
    for is64Bit in [false, true] {
      var kernel = Synthetic()
      kernel.header = header.words
      kernel.is64Bit = is64Bit
      kernel.machine = is64Bit ? 62 : 3
      #expect(Self.error(of: kernel.bytes, header.version) == header.error)
      #expect(kernel.bytes.withUnsafeBytes { KernelKind($0) } == .multiboot(header.version))
    }
  }

  @Test(
    "A header is found wherever the specification allows it, and nowhere else",
    arguments: [
      (.one, 0, true), (.one, 4, true), (.one, 8192 - 12, true), (.one, 8192 - 8, false), (.one, 2, false),
      (.two, 0, true), (.two, 8, true), (.two, 32768 - 24, true), (.two, 32768 - 8, false), (.two, 4, false),
      (.one, 8192, false), (.two, 32768, false),
    ] as [(MultibootVersion, Int, Bool)])
  func search(version: MultibootVersion, offset: Int, isFound: Bool) {
    var file = FileBytes(count: 40960)
    file.set(offset, fields: version == .one ? Synthetic.version1() : Synthetic.version2())
    #expect(file.bytes.withUnsafeBytes { version.headerOffset(in: $0) } == (isFound ? offset : nil))
    // One bit of the checksum is wrong.
    file.bytes[offset + (version == .one ? 8 : 12)] ^= 1
    #expect(file.bytes.withUnsafeBytes { version.headerOffset(in: $0) } == nil)
  }

  @Test("Both headers: the second specification; HdrS: Linux; none: what Linux's check says")
  func kinds() {
    func kind(_ bytes: [UInt8]) -> KernelKind { bytes.withUnsafeBytes { KernelKind($0) } }
    var both = Synthetic()
    both.header = Synthetic.version1() + [0] + Synthetic.version2()
    #expect(kind(both.bytes) == .multiboot(.two))
    var linux = SyntheticKernel().bytes
    #expect(kind(linux) == .linux)
    var header = FileBytes(count: 16)
    header.set(0, fields: Synthetic.version1())
    linux.replaceSubrange(0x700..<0x710, with: header.bytes)
    #expect(kind(linux) == .linux)
    var none = Synthetic()
    none.header = []
    #expect(kind(none.bytes) == .linux)
    #expect(kind([]) == .linux)
  }

  struct File: Sendable, CustomTestStringConvertible {
    var testDescription: String
    var change: @Sendable (inout Synthetic) -> Void
    var error: MultibootError?

    init(_ description: String, _ error: MultibootError?, _ change: @escaping @Sendable (inout Synthetic) -> Void) {
      (testDescription, self.error, self.change) = (description, error, change)
    }
  }

  static let files: [File] = [
    File("fine", nil) { _ in },
    File("AArch64", .notLoadable(.elf(machine: 183))) { $0.machine = 183 },
    File("no segments", .noSegments) { $0.segments = [] },
    File("no segment to load", .noSegments) { $0.segments[0].type = 2 },
    File("an empty segment", .noSegments) { ($0.segments[0].fileSize, $0.segments[0].size) = (0, 0) },
    File("more in the file than in memory", .damagedSegment(0)) { $0.segments[0].size = 4095 },
    File("segment behind the file", .truncated(expected: 0x2001, found: 0x2000)) { $0.segments[0].offset = 0x1001 },
    File("memory only, at an offset behind the file", nil) {
      $0.segments.append(.init(offset: 0x10_0000, linear: 0x10_0000, physical: 0x10_0000, fileSize: 0, size: 4096))
    },
    File("too many program headers", .tooManySegments(129, limit: 128)) {
      $0.programHeaderCount = 129
    },
    File("many program headers", nil) {
      $0.is64Bit = false
      $0.segments = Array(repeating: $0.segments[0], count: 60)
    },
    File("entry before", .entryOutsideSegments(0x3F_FFFF)) { $0.entry = 0x3F_FFFF },
    File("entry behind", .entryOutsideSegments(0x100_0000)) { $0.entry = 0x100_0000 },
    File("linear entry", nil) {
      $0.segments[0].linear = 0xC040_0000
      $0.entry = 0xC040_0010
    },
    File("physical entry", nil) { $0.segments[0].linear = 0xC040_0000 },
    File("loose sections", nil) { $0.sections = [[1, 2, 3], []] },
  ]

  @Test("What an ELF file may be", arguments: files, [false, true])
  func file(file: File, is64Bit: Bool) {
    for version in [MultibootVersion.one, .two] {
      var kernel = Synthetic()
      kernel.is64Bit = is64Bit
      kernel.header = version == .one ? Synthetic.version1() : Synthetic.version2()
      file.change(&kernel)
      #expect(Self.error(of: kernel.bytes, version) == file.error)
    }
  }

  @Test("Sizes beyond the address space")
  func wraparound() {
    var kernel = Synthetic()
    kernel.is64Bit = true
    kernel.segments[0].physical = .max - 10
    kernel.segments[0].size = 4096
    #expect(Self.error(of: kernel.bytes, .one) == .damagedSegment(0))
    kernel = Synthetic()
    kernel.is64Bit = true
    var bytes = kernel.bytes
    bytes.replaceSubrange(32..<40, with: repeatElement(0xFF, count: 8))
    #expect(Self.error(of: bytes, .one) == .truncated(expected: .max, found: 0x2000))
  }

  @Test("A header without addresses in a file that is no ELF file")
  func noELF() {
    var bytes = Synthetic().bytes
    bytes.replaceSubrange(0..<4, with: [1, 2, 3, 4])
    #expect(Self.error(of: bytes, .one) == .notLoadable(.unknown))
    bytes = Synthetic().bytes
    bytes[5] = 2  // ELFDATA2MSB
    bytes.replaceSubrange(18..<20, with: [0, 3])
    #expect(Self.error(of: bytes, .one) == .notLoadable(.elf(machine: 3)))
  }

  @Test("Every message is a sentence, and another for every error")
  func messages() {
    let errors: [MultibootError] =
      Self.headers.compactMap(\.error) + Self.files.compactMap(\.error) + [
        .damagedSection(3), .missingMemory(start: 1, end: 2), .noPlace(byteCount: 1), .modulesDoNotFit(byteCount: 4096),
        .informationDoesNotFit(byteCount: 1), .zeroByteInCommandLine(offset: 1), .notLoadable(.gzip),
      ]
    for error in errors {
      let text = error.message.description
      #expect(text.hasSuffix(".") && !text.contains("%") && text.contains("  ") == false, "\(text)")
      #expect(text != "The kernel cannot be booted.", "\(error)")
    }
  }
}
