import ProcessorModel
import Testing
import VMCS

@testable import VMX

@Suite struct XSAVEAreaTests {
  /// Every value of XCR0 that XSETBV accepts of a guest with all known components.
  static let legalXCR0: [UInt64] = (0..<0x400).filter { XCR0Policy(supported: 0x2E7).allows(index: 0, value: $0) }

  /// The end of component `index` in the standard format.
  private func end(_ index: UInt64) -> UInt32 {
    ProcessorModel.Configuration.xsaveComponents[UInt32(index)].map { $0.ebx + $0.eax } ?? 576
  }

  @Test("The sizes follow from the components in XCR0", arguments: legalXCR0)
  func sizes(xcr0: UInt64) throws {
    let cpuid = try CPUIDFixture(.allOnes)
    let components = (2..<10).filter { xcr0 >> $0 & 1 != 0 } as [UInt64]
    #expect(cpuid(0xD, 0, xcr0: xcr0).ebx == components.map(end).max() ?? 576)
    // No instruction that a guest finds uses the compacted format.
    #expect(cpuid(0xD, 1, xcr0: xcr0) == CPUIDResult(eax: 5, ebx: 0, ecx: 0, edx: 0))
    #expect(cpuid(0xD, 0, xcr0: xcr0).ebx <= cpuid(0xD, 0).ecx)
    #expect(cpuid(0xD, 0, xcr0: xcr0).ecx == 2696)
  }

  @Test("Wrong sums of the processor's own do not reach the guest")
  func wrongSums() throws {
    var configuration = ProcessorModel.Configuration.allOnes
    configuration.cpuid[.init(0xD, 0)] = CPUIDResult(eax: 0xE7, ebx: 0, ecx: 1, edx: 0)
    configuration.cpuid[.init(0xD, 1)] = CPUIDResult(eax: 0xF, ebx: 17, ecx: 0x100, edx: 0)
    let cpuid = try CPUIDFixture(configuration)
    #expect(cpuid(0xD, 0, xcr0: 7) == CPUIDResult(eax: 0xE7, ebx: 832, ecx: 2688, edx: 0))
    #expect(cpuid(0xD, 1, xcr0: 7) == CPUIDResult(eax: 5, ebx: 0, ecx: 0, edx: 0))
  }

  @Test("XCR0 has the sound components, each with what it depends on")
  func supportedXCR0() throws {
    typealias Change = (inout ProcessorModel.Configuration) -> Void
    let rows: [(String, UInt64, Change)] = [
      ("everything", 0x2E7, { _ in }),
      ("no XSAVE", 0, { $0.cpuid[.init(1)]?.ecx &= ~(1 << 26) }),
      ("no leaf 0DH", 0, { $0.cpuid[.init(0)]?.eax = 0xC }),
      ("no SSE", 0, { $0.cpuid[.init(0xD)]?.eax &= ~2 }),
      ("no CR4.OSXSAVE", 0, { $0.cr4Fixed1 &= ~(1 << 18) }),
      ("no AVX in XCR0", 0x203, { $0.cpuid[.init(0xD)]?.eax &= ~4 }),
      ("no AVX instructions", 0x203, { $0.cpuid[.init(1)]?.ecx &= ~(1 << 28) }),
      ("no opmask", 0x207, { $0.cpuid[.init(0xD)]?.eax &= ~(1 << 5) }),
      ("no AVX512F", 0x207, { $0.cpuid[.init(7)]?.ebx &= ~(1 << 16) }),
      ("no PKU", 0xE7, { $0.cpuid[.init(7)]?.ecx &= ~(1 << 3) }),
      ("no CR4.PKE", 0xE7, { $0.cr4Fixed1 &= ~(1 << 22) }),
      ("AVX without size", 0x203, { $0.cpuid[.init(0xD, 2)]?.eax = 0 }),
      ("AVX in the header", 0x203, { $0.cpuid[.init(0xD, 2)]?.ebx = 512 }),
      ("PKRU as supervisor state", 0xE7, { $0.cpuid[.init(0xD, 9)]?.ecx = 1 }),
      ("ZMM without size", 0x207, { $0.cpuid[.init(0xD, 6)] = .zero }),
    ]
    for (name, expected, change) in rows {
      var configuration = ProcessorModel.Configuration.allOnes
      change(&configuration)
      let cpuid = try CPUIDFixture(configuration)
      #expect(cpuid.table.supportedXCR0 == expected, "\(name)")
      #expect(UInt64(cpuid(0xD).eax) == (cpuid(0).eax < 0xD ? 0 : expected), "\(name)")
      // Instructions go with their state.
      #expect((cpuid(1).ecx >> 26 & 1 != 0) == (expected != 0), "\(name): XSAVE")
      #expect((cpuid(1).ecx & 0x3000_1000 != 0) == (expected & 4 != 0), "\(name): AVX, F16C, FMA")
      #expect((cpuid(7).ebx & 0xDC23_0000 != 0) == (expected & 0xE0 != 0), "\(name): AVX-512")
      #expect((cpuid(7).ecx & 0x08 != 0) == (expected & 0x200 != 0), "\(name): PKU")
      #expect((cpuid.table.supportedCR4 >> 22 & 1 != 0) == (expected & 0x200 != 0), "\(name): CR4.PKE")
    }
  }

  @Test("Without XSAVE leaf 0DH is 0")
  func none() throws {
    var configuration = ProcessorModel.Configuration.allOnes
    configuration.cpuid[.init(1)]?.ecx &= ~(1 << 26)
    let cpuid = try CPUIDFixture(configuration)
    for subleaf in 0...10 as ClosedRange<UInt32> {
      #expect(cpuid(0xD, subleaf, xcr0: 1) == CPUIDResult(eax: 0, ebx: 0, ecx: 0, edx: 0))
    }
  }
}
