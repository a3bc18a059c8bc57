import Testing

@testable import VMCS

/// The fields of the VMCS: the table against the encodings' own bits, and the typed fields against the table.
@Suite struct VocabularyFieldTests {
  /// Every field of Appendix B (edition of early 2026) without its 73 high halves, and seven of other sources.
  @Test func count() {
    #expect(VMCSFieldDescription.count == 273 - 73 + 7)
  }

  @Test(arguments: 0..<VMCSFieldDescription.count)
  func encodingSaysWhatTheTableDeclares(index: Int) {
    let field = VMCSFieldDescription.all[index]
    #expect(field.encoding.width == field.width)
    #expect(field.encoding.type == field.type)
    #expect(field.isReadOnly == (field.type == .vmExitInformation))
    #expect(!field.encoding.isHighAccess)
    #expect(field.encoding.reservedBitsAreZero)
    #expect(field.valueType.width == field.width.bitWidth)
    #expect(field.title.utf8CodeUnitCount > 0)
  }

  @Test func fieldsAreInTheOrderOfAppendixBAndUnique() {
    let fields = Array(VMCSFieldDescription.all)
    #expect(zip(fields, fields.dropFirst()).allSatisfy { $0.encoding < $1.encoding })
    #expect(Set(fields.map { "\($0.name)" }).count == fields.count)
  }

  @Test(arguments: 0..<VMCSFieldDescription.count)
  func lookUpFindsExactlyTheField(index: Int) throws {
    let field = VMCSFieldDescription(at: index)
    #expect(VMCSFieldDescription.index(of: field.encoding) == index)
    #expect(try #require(VMCSFieldDescription(encoding: field.encoding)).name.description == field.name.description)
    let name = Array(field.name.description.utf8)
    #expect(try #require(VMCSFieldDescription(name: name)).encoding == field.encoding)
    #expect(VMCSFieldDescription(name: name + [0x30]) == nil)
    #expect(VMCSFieldDescription(encoding: VMCSFieldEncoding(rawValue: field.encoding.rawValue | 1)) == nil)
    #expect(VMCSFieldDescription(encoding: VMCSFieldEncoding(rawValue: field.encoding.rawValue | 1 << 16)) == nil)
  }

  @Test func allEncodingsButThoseOfTheTableAreUnknown() {
    let known = Set(VMCSFieldDescription.all.map(\.encoding.rawValue))
    let found = (0...UInt32(UInt16.max)).filter {
      VMCSFieldDescription.index(of: VMCSFieldEncoding(rawValue: $0)) != nil
    }
    #expect(Set(found) == known)
  }

  @Test(arguments: 0..<VMCSFieldDescription.count)
  func conditionRefersToControlsThatExist(index: Int) {
    let condition = VMCSFieldDescription(at: index).condition
    for control in [condition.control, condition.alternative].compactMap({ $0 }) { #expect(control.name != nil) }
    #expect(condition.control != nil || condition.alternative == nil)
    #expect(condition.control == nil || condition.feature == nil)
    #expect(condition.holds { _ in false } == condition.isAlways)
    #expect(condition.holds { _ in true } == (condition.feature == nil))
    if let alternative = condition.alternative { #expect(condition.holds { $0 == alternative }) }
  }

  @Test(arguments: typedFields)
  func typedFieldAgreesWithItsDescription(field: TypedField) throws {
    let description = try #require(VMCSFieldDescription(name: field.name.utf8))
    #expect(description.encoding == field.encoding)
    #expect(description.valueType.name.description == field.valueType)
    #expect(description.width.bitWidth == field.bitWidth)
    #expect(description.isReadOnly == field.isReadOnly)
  }

  @Test func everyFieldIsTyped() {
    #expect(typedFields.map(\.name) == VMCSFieldDescription.all.map { $0.name.description })
  }

  /// The parts of an encoding, each over its whole range, independent of the others (SDM, "VMREAD, VMWRITE, and
  /// Encodings of VMCS Fields").
  @Test func encodingTakesItsPartsFromTheRightBits() {
    for raw in (0...UInt32(UInt16.max)) {
      let encoding = VMCSFieldEncoding(rawValue: raw)
      #expect(encoding.width.rawValue == UInt8(raw >> 13 & 3))
      #expect(encoding.type.rawValue == UInt8(raw >> 10 & 3))
      #expect(encoding.index == Int(raw >> 1 & 511))
      #expect(encoding.isHighAccess == (raw & 1 == 1))
      #expect(encoding.reservedBitsAreZero == (raw & 0x1000 == 0 && raw < 0x8000))
    }
  }
}
