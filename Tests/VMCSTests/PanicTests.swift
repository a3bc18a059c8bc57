import ProcessorModel
import Testing
import VMCS

/// Starts a processor in VMX operation.
///
/// Another VMCS than those under test is current, so that VMfailValid is possible.
func processorWithOtherVMCS() -> (ProcessorModel, other: PhysicalAddress) {
  let model = ProcessorModel()
  model.cr4 |= 1 << 13
  let vmxonRegion = model.memory.allocatePages()
  vmxonRegion.pointer.storeBytes(of: model.configuration.vmcsRevisionIdentifier, as: UInt32.self)
  _ = model.vmxon(vmxonRegion.address)
  let other = model.memory.allocatePages()
  other.pointer.storeBytes(of: model.configuration.vmcsRevisionIdentifier, as: UInt32.self)
  _ = model.vmclear(other.address)
  _ = model.vmptrld(other.address)
  return (model, other.address)
}

/// An operation of `VMCSRegion` or `CurrentVMCS` that fails, and what its report has to say.
struct PanicCase: Codable, Sendable, CustomTestStringConvertible {
  enum Operation: String, Codable, CaseIterable { case initialize, load, clear, read, write }
  var operation: Operation
  var setsCF: Bool

  var testDescription: String { "\(operation.rawValue), \(setsCF ? "CF" : "ZF") = 1" }

  static var all: [PanicCase] {
    Operation.allCases.flatMap { [PanicCase(operation: $0, setsCF: true), PanicCase(operation: $0, setsCF: false)] }
  }

  private var instruction: VMXInstruction {
    switch operation {
    case .initialize, .clear: .vmclear
    case .load: .vmptrld
    case .read: .vmread
    case .write: .vmwrite
    }
  }

  /// Where the region of the VMCS under test is, since the model allocates pages in order.
  private static let region = "0x0000000000102000"
  private static let other = "0x0000000000101000"

  /// Does the operation with the failure in it; it must not return.
  func run() {
    let (model, _) = processorWithOtherVMCS()
    let (pointer, address) = model.memory.allocatePages()
    let failure: InjectedFailure =
      setsCF ? .failInvalid : .failValid(.vmreadOrVMWRITEOfUnsupportedVMCSComponent)
    if operation == .initialize { model.inject(failure, into: instruction) }
    let region = VMCSRegion(initializing: pointer, at: address, revisionIdentifier: 4, on: model)
    model.inject(failure, into: instruction)
    let vmcs = region.load()
    switch operation {
    case .initialize, .load: break
    case .clear: _ = vmcs.clear()
    case .read: _ = vmcs[.guestRIP]
    case .write: vmcs[.guestRIP] = 0xFEDC_BA98_7654_3210
    }
    model.stop(PanicReport("the operation returned"))
  }

  /// The lines of the report.
  var report: [String] {
    let mnemonic = instruction.rawValue
    let hasLoaded = operation == .clear || operation == .read || operation == .write
    return [
      "a VMX instruction failed",
      "\(mnemonic): \(setsCF ? "VMfailInvalid (CF = 1)" : "VMfailValid (ZF = 1)")",
    ]
      + (setsCF ? [] : ["VM-instruction error  12: "])
      + (operation == .read || operation == .write
        ? ["0x681e Guest RIP"] : ["physical address      \(Self.region)"])
      + (operation == .write ? ["value                 0xfedcba9876543210"] : [])
      + ["current VMCS          \(hasLoaded ? Self.region : Self.other)"]
  }
}

@Suite("Failures of the VMCS interface")
struct PanicTests {
  @Test("B2 B3 Each operation panics when its instruction fails, and says everything", arguments: PanicCase.all)
  func panics(_ panicCase: PanicCase) async {
    let result = await #expect(processExitsWith: .failure, observing: [\.standardErrorContent]) { [panicCase] in
      panicCase.run()
    }
    let text = String(decoding: result?.standardErrorContent ?? [], as: UTF8.self)
    for line in panicCase.report { #expect(text.contains(line), "\(line) in:\n\(text)") }
    #expect(!text.contains("the operation returned"))
    #expect(text.contains("VM-instruction error") != panicCase.setsCF)
  }

  @Test("B2 The report says the VM-instruction error in words")
  func errorInWords() async throws {
    let result = await #expect(processExitsWith: .failure, observing: [\.standardErrorContent]) {
      PanicCase(operation: .read, setsCF: false).run()
    }
    let text = String(decoding: result?.standardErrorContent ?? [], as: UTF8.self)
    #expect(text.contains("unsupported VMCS component"), "\(text)")
  }

  @Test("B2 A field that the processor does not have is such a failure, not a value")
  func unsupportedField() async {
    let result = await #expect(processExitsWith: .failure, observing: [\.standardErrorContent]) {
      let (model, _) = processorWithOtherVMCS()
      let (pointer, address) = model.memory.allocatePages()
      let vmcs = VMCSRegion(initializing: pointer, at: address, revisionIdentifier: 4, on: model).load()
      _ = vmcs[.guestUINV]
    }
    let text = String(decoding: result?.standardErrorContent ?? [], as: UTF8.self)
    #expect(text.contains("VMREAD: VMfailValid (ZF = 1)"))
    #expect(text.contains("0x0814 Guest UINV"))
    #expect(text.contains("VM-instruction error  12: "))
  }
}
