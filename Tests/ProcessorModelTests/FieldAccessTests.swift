import ProcessorModel
import Testing
import VMCS

@Suite("VMREAD and VMWRITE")
struct FieldAccessTests {
  /// A VMWRITE as the SDM describes it, by width only.
  private func expected(_ field: VMCSFieldDescription, _ value: UInt64) -> UInt64 {
    switch field.width {
    case .bits16: UInt64(UInt16(truncatingIfNeeded: value))
    case .bits32: UInt64(UInt32(truncatingIfNeeded: value))
    case .bits64, .natural: value
    }
  }

  @Test("Every field reads back what was written, in its width", arguments: ProcessorModel.Configuration.presets)
  func roundTrip(_ configuration: ProcessorModel.Configuration) {
    var configuration = configuration
    configuration.misc |= 1 << 29
    let model = ProcessorModel.withCurrentVMCS(configuration)
    var generator = SeededGenerator(state: 1)
    var written: [UInt32: UInt64] = [:]
    for _ in 0..<4 {
      for field in VMCSFieldDescription.all where model.hasField(field.encoding) {
        let value = generator.next()
        #expect(!model.vmwrite(field.encoding.rawValue, value))
        written[field.encoding.rawValue] = expected(field, value)
      }
      for (encoding, value) in written { #expect(model.vmread(encoding).value == value) }
    }
    #expect(model.faults.isEmpty)
  }

  @Test("The halves of a 64-bit field are the field")
  func highHalf() {
    let model = ProcessorModel.withCurrentVMCS(.everything)
    for field in VMCSFieldDescription.all where field.width == .bits64 && !field.isReadOnly {
      let encoding = field.encoding.rawValue
      _ = model.vmwrite(encoding, 0x1122_3344_5566_7788)
      #expect(model.vmread(encoding | 1).value == 0x1122_3344)
      _ = model.vmwrite(encoding | 1, 0xFFFF_FFFF_AABB_CCDD)
      #expect(model.vmread(encoding).value == 0xAABB_CCDD_5566_7788)
    }
  }

  @Test("A field exists if and only if the processor has a control for it")
  func existence() {
    // Independent of the vocabulary: the field's encoding, and the presets that have it, oldest first.
    let table: [(UInt32, [String])] = [
      (0x681E, ["minimal", "Penryn", "Nehalem", "Sandy Bridge", "Haswell", "Skylake-X", "everything"]),
      (0x401C, ["Penryn", "Nehalem", "Sandy Bridge", "Haswell", "Skylake-X", "everything"]),
      (0x401E, ["Penryn", "Nehalem", "Sandy Bridge", "Haswell", "Skylake-X", "everything"]),
      (0x2014, ["Penryn", "Nehalem", "Sandy Bridge", "Haswell", "Skylake-X", "everything"]),
      (0x2C04, ["Penryn", "Nehalem", "Sandy Bridge", "Haswell", "Skylake-X", "everything"]),
      (0x0000, ["Nehalem", "Sandy Bridge", "Haswell", "Skylake-X", "everything"]),
      (0x201A, ["Nehalem", "Sandy Bridge", "Haswell", "Skylake-X", "everything"]),
      (0x2806, ["Nehalem", "Sandy Bridge", "Haswell", "Skylake-X", "everything"]),
      (0x482E, ["Nehalem", "Sandy Bridge", "Haswell", "Skylake-X", "everything"]),
      (0x4020, ["Sandy Bridge", "Haswell", "Skylake-X", "everything"]),
      (0x2016, ["Haswell", "Skylake-X", "everything"]),
      (0x201C, ["Haswell", "Skylake-X", "everything"]),
      (0x2026, ["Haswell", "everything"]),
      (0x2032, ["Skylake-X", "everything"]),
      (0x2812, ["Skylake-X", "everything"]),
      (0x2034, ["everything"]),
      (0x6828, ["everything"]),
    ]
    for (encoding, names) in table {
      let having = ProcessorModel.Configuration.presets.filter {
        !ProcessorModel.withCurrentVMCS($0).vmread(encoding).failed
      }
      #expect(having.map(\.name) == names, "field \(String(encoding, radix: 16))")
    }
  }

  @Test("No encoding but those of fields and their high halves is supported")
  func unsupported() {
    let model = ProcessorModel.withCurrentVMCS(.everything)
    var supported: Set<UInt32> = []
    for field in VMCSFieldDescription.all {
      supported.insert(field.encoding.rawValue)
      if field.width == .bits64 { supported.insert(field.encoding.rawValue | 1) }
    }
    for encoding in UInt32(0)...0x8000 {
      #expect(model.vmread(encoding).failed != supported.contains(encoding))
    }
  }

  @Test("A field that was never written is arbitrary, but the same each time")
  func poison() {
    let model = ProcessorModel.withCurrentVMCS()
    let encodings = VMCSFieldDescription.all.filter { model.hasField($0.encoding) && !$0.isReadOnly }
      .map(\.encoding.rawValue)
    let first = encodings.map { model.vmread($0).value }
    #expect(first == encodings.map { model.vmread($0).value })
    #expect(first.count { $0 != 0 } == first.count)
    var configuration = ProcessorModel.Configuration.skylakeX
    configuration.poisonsUninitializedFields = false
    let zeroed = ProcessorModel.withCurrentVMCS(configuration)
    #expect(encodings.allSatisfy { zeroed.vmread($0).value == 0 })
  }
}
