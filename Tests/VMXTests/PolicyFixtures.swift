import ProcessorModel
import VMCS

@testable import VMX

/// Text that collects what is written to it.
struct TextOutput: ByteOutput {
  var bytes: [UInt8] = []
  var text: String { String(decoding: bytes, as: UTF8.self) }
  mutating func write(_ byte: UInt8) { bytes.append(byte) }
}

extension UnsupportedProcessor {
  var message: String {
    var output = TextOutput()
    write(to: &output)
    return output.text
  }
}

extension ProcessorModel {
  /// A page of the model's memory.
  func poolPage() -> PagePool.Page {
    let page = memory.allocatePages()
    return PagePool.Page(pointer: page.pointer, address: page.address)
  }
}

/// A register of CPUID.
enum CPUIDRegister: String, CaseIterable, Sendable { case eax, ebx, ecx, edx }

extension CPUIDResult {
  subscript(register: CPUIDRegister) -> UInt32 {
    get {
      switch register {
      case .eax: eax
      case .ebx: ebx
      case .ecx: ecx
      case .edx: edx
      }
    }
    set {
      switch register {
      case .eax: eax = newValue
      case .ebx: ebx = newValue
      case .ecx: ecx = newValue
      case .edx: edx = newValue
      }
    }
  }
}

extension ProcessorModel.Configuration {
  /// The components of the XSAVE area as every Intel processor lays them out: size, offset in the standard format, and
  /// ECX, with the bits set that mean nothing to a user component.
  static var xsaveComponents: [UInt32: CPUIDResult] {
    let rows: [(UInt32, UInt32, UInt32, UInt32)] = [
      (2, 256, 576, 0), (3, 64, 960, 0), (4, 64, 1024, 0), (5, 64, 1088, 0), (6, 512, 1152, 0), (7, 1024, 1664, 0),
      (9, 8, 2688, 0), (17, 64, 2752, 2), (18, 8192, 2816, 6),
    ]
    return Dictionary(
      uniqueKeysWithValues: rows.map { ($0.0, CPUIDResult(eax: $0.1, ebx: $0.2, ecx: $0.3, edx: 0)) })
  }

  /// A processor whose every CPUID bit is 1, beside leaves 20H and 80000008H as its highest and a sound XSAVE area, and
  /// that has every control.
  static var allOnes: Self {
    var configuration = everything
    configuration.name = "all ones"
    configuration.cpuid = [:]
    for leaf in Array(0...0x20) + Array(0x8000_0000...0x8000_0008) as [UInt32] {
      for subleaf in 0...31 as ClosedRange<UInt32> {
        configuration.cpuid[.init(leaf, subleaf)] = .allOnes
      }
    }
    configuration.cpuid[.init(0)]?.eax = 0x20
    configuration.cpuid[.init(0x8000_0000)]?.eax = 0x8000_0008
    for subleaf in 2...31 as ClosedRange<UInt32> {
      configuration.cpuid[.init(0xD, subleaf)] = xsaveComponents[subleaf] ?? .zero
    }
    return configuration
  }
}

/// A CPUID table and all that it is made from.
struct CPUIDFixture {
  let processor: ProcessorModel
  let table: CPUIDTable

  init(
    _ configuration: ProcessorModel.Configuration, tscFrequency: UInt32 = 0, hasLocalAPIC: Bool = false,
    apicID: UInt32 = 0, count: UInt32 = 1,
    change: (inout CPUIDPolicy) -> Void = { _ in }
  ) throws {
    processor = ProcessorModel(configuration)
    var policy = CPUIDPolicy(
      support: try VMXSupport(of: processor), tscFrequency: tscFrequency, hasLocalAPIC: hasLocalAPIC,
      apicID: apicID, logicalProcessorCount: count)
    change(&policy)
    table = CPUIDTable(in: processor.poolPage().pointer, policy: policy, on: processor)
  }

  /// CPUID of a guest with CR4 = 0 and XCR0 = 1.
  func callAsFunction(
    _ leaf: UInt32, _ subleaf: UInt32 = 0, cr4: UInt64 = 0, xcr0: UInt64 = 1, is64Bit: Bool = true
  ) -> CPUIDResult {
    table.lookup(leaf: leaf, subleaf: subleaf, cr4: CR4(rawValue: cr4), xcr0: xcr0, is64Bit: is64Bit)
  }
}
