import ProcessorModel
import Testing
import VMCS

@testable import VMX

/// A processor that cannot run guests, why, and what the message has to say.
struct UnsupportedCase: Sendable, CustomTestStringConvertible {
  var testDescription: String
  var configuration: ProcessorModel.Configuration
  var error: UnsupportedProcessor
  var text: [String]

  init(
    _ name: String, _ base: ProcessorModel.Configuration, _ error: UnsupportedProcessor, _ text: [String],
    change: (inout ProcessorModel.Configuration) -> Void = { _ in }
  ) {
    testDescription = name
    configuration = base
    change(&configuration)
    self.error = error
    self.text = text
  }

  static func ept(_ bit: UInt64) -> UnsupportedProcessor {
    .extendedPageTables(missing: IA32VMXEPTVPIDCAP(rawValue: 1 << bit))
  }

  static let noEPT = UnsupportedProcessor.controls(
    .secondary, ControlConflict(missing: 0x82, unavoidable: 0, contradictory: 0))

  static let all: [UnsupportedCase] = [
    .init(
      "AMD", .skylakeX, .noVMX(vendor: CPUIDResult(eax: 0x10, ebx: 0x6874_7541, ecx: 0x444D_4163, edx: 0x6974_6E65)),
      ["AuthenticAMD", "does not have VMX", "corei7_skylake_x"]
    ) {
      $0.cpuid[.init(0)] = CPUIDResult(eax: 0x10, ebx: 0x6874_7541, ecx: 0x444D_4163, edx: 0x6974_6E65)
      $0.cpuid[.init(1)]?.ecx &= ~(1 << 5)
    },
    .init(
      "Intel without VMX, unprintable vendor", .skylakeX,
      .noVMX(vendor: CPUIDResult(eax: 1, ebx: 0x0A41_4141, ecx: 0, edx: 0x7F7E_2019)), ["(AAA.. ~.....)"]
    ) {
      $0.cpuid[.init(0)] = CPUIDResult(eax: 1, ebx: 0x0A41_4141, ecx: 0, edx: 0x7F7E_2019)
      $0.cpuid[.init(1)]?.ecx &= ~(1 << 5)
    },
    .init("disabled by firmware", .skylakeX, .disabledByFirmware, ["IA32_FEATURE_CONTROL", "VT-x"]) {
      $0.featureControl = 1
    },
    .init("enabled inside SMX only", .skylakeX, .disabledByFirmware, ["VT-x"]) { $0.featureControl = 0b011 },
    .init("large regions", .skylakeX, .regionSize(4097), ["4097 bytes", "4096"]) {
      $0.basicCapabilities = $0.basicCapabilities & ~(0x1FFF << 32) | 4097 << 32
    },
    .init("uncacheable regions", .skylakeX, .memoryType(.uncacheable), ["memory type 0", "6 (write-back)"]) {
      $0.basicCapabilities &= ~(0xF << 50)
    },
    .init("minimal", .minimal, noEPT, ["\"Enable EPT\", \"Unrestricted guest\" (secondary"]),
    .init("Penryn", .penryn, noEPT, ["\"Enable EPT\", \"Unrestricted guest\" (secondary", "corei7_skylake_x"]),
    .init(
      "Nehalem", .nehalem, .controls(.secondary, ControlConflict(missing: 0x80, unavoidable: 0, contradictory: 0)),
      ["does not have \"Unrestricted guest\" (secondary"]),
    .init("no 4-level EPT", .skylakeX, ept(6), ["lack \"Page-walk length 4\""]) { $0.eptAndVPID &= ~(1 << 6) },
    .init("no write-back EPT", .skylakeX, ept(14), ["lack \"EPT paging-structure memory type WB\""]) {
      $0.eptAndVPID &= ~(1 << 14)
    },
    .init("no INVEPT", .skylakeX, ept(20), ["lack \"INVEPT\""]) { $0.eptAndVPID &= ~(1 << 20) },
    .init("no single-context INVEPT", .skylakeX, ept(25), ["lack \"Single-context INVEPT\""]) {
      $0.eptAndVPID &= ~(1 << 25)
    },
    .init("no INVVPID", .skylakeX, ept(32), ["lack \"INVVPID\""]) { $0.eptAndVPID &= ~(1 << 32) },
    .init("no single-context INVVPID", .skylakeX, ept(41), ["lack \"Single-context INVVPID\""]) {
      $0.eptAndVPID &= ~(1 << 41)
    },
  ]
}

@Suite struct VMXSupportTests {
  @Test("B5 a processor that cannot run guests is an error with a message", arguments: UnsupportedCase.all)
  func unsupported(_ row: UnsupportedCase) {
    let model = ProcessorModel(row.configuration)
    #expect(throws: row.error) { try VMXSupport(of: model) }
    let message = row.error.message
    for text in row.text { #expect(message.contains(text), "\(message)") }
    #expect(message.hasSuffix("\n") && message.dropLast().allSatisfy { $0 != "\n" }, "one line")
  }

  @Test("B6 a processor without VPIDs needs no INVVPID")
  func noVPID() throws {
    var configuration = ProcessorModel.Configuration.skylakeX
    configuration.secondary.remove(.enableVPID)
    configuration.eptAndVPID &= 0xFFFF_FFFF
    let support = try VMXSupport(of: ProcessorModel(configuration))
    #expect(!support.controls.secondary.contains(.enableVPID))
  }

  @Test(
    "Finding out changes nothing",
    arguments: UnsupportedCase.all.map(\.configuration) + ProcessorModel.Configuration.qualifying)
  func noSideEffects(_ configuration: ProcessorModel.Configuration) {
    let model = ProcessorModel(configuration)
    _ = try? VMXSupport(of: model)
    for access in model.trace.accesses {
      switch access {
      case .rdmsr, .cpuid: continue
      default: Issue.record("\(access)")
      }
    }
    #expect(model.faults.isEmpty)
  }
}

@Suite struct VMXOperationTests {
  @Test(
    "VMXON succeeds on every processor that qualifies, and VMXOFF leaves it",
    arguments: ProcessorModel.Configuration.qualifying)
  func enterAndLeave(_ configuration: ProcessorModel.Configuration) throws {
    let model = ProcessorModel(configuration)
    // NE is among the bits that VMX operation fixes, and firmware may leave it 0.
    model.cr0 &= ~(1 << 5)
    let (cr0, cr4) = (model.cr0, model.cr4)
    let support = try VMXSupport(of: model)
    let region = model.poolPage()
    region.pointer.initializeMemory(as: UInt8.self, repeating: 0xA5, count: 4)

    let operation = VMXOperation(on: model, support: support, region: region)
    #expect(model.isInVMXOperation)
    #expect(region.pointer.load(as: UInt32.self) == configuration.vmcsRevisionIdentifier)
    #expect(model.cr0 == cr0 | 1 << 5 && model.cr4 == cr4 | 1 << 13)
    operation.leave()
    #expect(!model.isInVMXOperation)
    #expect(model.cr4 == cr4)
    #expect(model.faults.isEmpty)
  }

  @Test(
    "IA32_FEATURE_CONTROL is locked with VMX enabled if it is not locked, and else not written",
    arguments: [(0, 0b101), (0b010, 0b111), (0b100, 0b101), (0x8_0000, 0x8_0005), (0b101, nil), (0b111, nil)]
      as [(UInt64, UInt64?)])
  func featureControl(before: UInt64, written: UInt64?) throws {
    var configuration = ProcessorModel.Configuration.skylakeX
    configuration.featureControl = before
    let model = ProcessorModel(configuration)
    VMXOperation(on: model, support: try VMXSupport(of: model), region: model.poolPage()).leave()
    let writes = model.trace.accesses.compactMap { access -> UInt64? in
      if case .wrmsr(0x3A, let value) = access { value } else { nil }
    }
    #expect(writes == (written.map { [$0] } ?? []))
  }

  @Test("The order: the MSR, CR0, CR4, VMXON")
  func order() throws {
    var configuration = ProcessorModel.Configuration.skylakeX
    configuration.featureControl = 0
    let model = ProcessorModel(configuration)
    let support = try VMXSupport(of: model)
    let region = model.poolPage()
    model.clearTrace()
    VMXOperation(on: model, support: support, region: region).leave()
    #expect(
      model.trace.accesses.filter { if case .read = $0 { false } else { true } } == [
        .rdmsr(0x3A, 0), .wrmsr(0x3A, 5), .write(.cr0, 0x8000_0031), .write(.cr4, 0x2020), .vmxon(region.address),
        .vmxoff, .write(.cr4, 0x20),
      ])
  }

  @Test("A VMXON or VMXOFF that fails panics, and the report names it")
  func panics() async throws {
    let vmxon = await #expect(processExitsWith: .failure, observing: [\.standardErrorContent]) {
      let model = ProcessorModel()
      model.inject(.failInvalid, into: .vmxon)
      VMXOperation(on: model, support: try VMXSupport(of: model), region: model.poolPage()).leave()
    }
    let vmxonReport = String(decoding: vmxon?.standardErrorContent ?? [], as: UTF8.self)
    #expect(vmxonReport.contains("VMXON: VMfailInvalid (CF = 1), region: 0x0000000000100000"), "\(vmxonReport)")
    let vmxoff = await #expect(processExitsWith: .failure, observing: [\.standardErrorContent]) {
      let model = ProcessorModel()
      model.inject(.failInvalid, into: .vmxoff)
      VMXOperation(on: model, support: try VMXSupport(of: model), region: model.poolPage()).leave()
    }
    let vmxoffReport = String(decoding: vmxoff?.standardErrorContent ?? [], as: UTF8.self)
    #expect(vmxoffReport.contains("VMXOFF: VMfailInvalid"))
  }
}
