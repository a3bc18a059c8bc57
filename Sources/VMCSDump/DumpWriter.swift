import VMCS

/// Prints the values of a dump as a hypervisor does, so that a reader of that hypervisor's dumps can read them.
public struct DumpWriter {
  /// The forms that can be printed.
  @frozen
  public enum Form: UInt8, CaseIterable, Sendable {
    /// KVM's.
    case kvm
    /// Xen's from 4.6.
    case xen
    /// Xen's before 4.6.
    case xenBefore46
    /// Xen's before 4.0.
    case xenRaw
    /// QEMU's registers.
    case qemu
    /// hyperkit's.
    case bhyve
    /// bhyvectl's.
    case bhyvectl
    /// HAXM's.
    case haxm
    /// Skep's table.
    case skep
    /// `vmwrite(encoding, value);` lines.
    case vmwrite
  }

  private let rows = DumpRows()

  /// Makes a writer.
  public init() {}

  /// The fields that a form has a place for.
  public func fields(of form: Form) -> [VMCSFieldEncoding] {
    guard form.format != nil else { return VMCSFieldDescription.all.map { $0.encoding } }
    var fields: [VMCSFieldEncoding] = []
    forEachRow(of: form, isKnown: { _ in true }) { row in
      for target in row.targets { if let field = target.field { fields.append(field) } }
    }
    return fields
  }

  /// The text of `dump` in a form, in UTF-8; values that the form has no place for are left out, and so are lines of which
  /// `dump` does not have all values.
  public func text(of dump: Dump, as form: Form) -> [UInt8] {
    var text = TextBuffer()
    if form.format == nil {
      for field in VMCSFieldDescription.all {
        if let value = dump[field.encoding] { text.write(field, value.bits, as: form) }
      }
      return text.bytes
    }
    forEachRow(of: form, isKnown: { dump[$0] != nil }) { row in
      if !text.bytes.isEmpty { text.write(row.traits.contains(.joins) ? "  " : "\n") }
      text.write(row) { target in
        guard let field = target.field else {
          return target.other == .virtualProcessor ? dump.virtualProcessor ?? 0 : 0
        }
        let bits = dump[field]?.bits ?? 0
        return target.isDescriptorFlags ? bits << 8 : bits
      }
    }
    text.write("\n")
    return text.bytes
  }

  /// Calls `body` with the rows that are printed, each field once.
  private func forEachRow(of form: Form, isKnown: (VMCSFieldEncoding) -> Bool, _ body: (DumpRow) -> Void) {
    var printed: [VMCSFieldEncoding] = []
    for row in rows.all where row.format == form.format && form.prints(row, rows) {
      let fields = row.targets.compactMap { $0.field }
      if fields.isEmpty {
        if row.text.isHeadline { body(row) }
      } else if fields.allSatisfy({ isKnown($0) && !printed.contains($0) }) {
        body(row)
        printed += fields
      }
    }
  }
}

extension StaticString {
  /// Whether a text without numbers is a headline that says what the lines after it are.
  fileprivate var isHeadline: Bool {
    let text = UnsafeBufferPointer(start: utf8Start, count: utf8CodeUnitCount)
    return text.has("*** ", at: 0) || text.has("sel attr", at: 0) || text.has("vm exit", at: 0)
  }
}

extension DumpWriter.Form {
  /// The format of the rows; nil if there is a line for each field instead.
  var format: DumpFormat? {
    switch self {
    case .kvm, .xen, .xenBefore46: .kvm
    case .qemu: .qemu
    case .bhyve: .bhyve
    case .bhyvectl: .bhyvectl
    case .xenRaw, .haxm, .skep, .vmwrite: nil
    }
  }

  /// Whether the form has a row; where rows of several ages have the same fields, only one is printed.
  func prints(_ row: DumpRow, _ rows: DumpRows) -> Bool {
    if row.section == .claim || row.constant != nil { return false }
    if row.targets.contains(where: { $0.quality == .truncated || $0.other == .msrValue || $0.claim != nil }) {
      return false
    }
    switch self {
    case .kvm:
      return !row.traits.contains(.xen) && !row.targets.contains { $0.quality == .view }
        && row.text.utf8Start[0] != 0x73
    case .xen:
      if row.traits.contains(.beforeXen46) || row.targets.contains(where: { $0.quality == .view }) { return false }
      return row.traits.contains(.xen) || !hasOther(rows, for: row) { $0.contains(.xen) && !$0.contains(.beforeXen46) }
    case .xenBefore46:
      if row.text.utf8Start[0] == 0x73 || row.targets.contains(where: { $0.quality == .view }) { return false }
      if row.traits.contains(.beforeXen46) { return true }
      return !row.traits.contains(.xen) && !hasOther(rows, for: row) { $0.contains(.beforeXen46) }
    default: return true
    }
  }

  /// Whether there is another row for the same fields whose traits are such.
  private func hasOther(_ rows: DumpRows, for row: DumpRow, _ isSuch: (DumpRow.Traits) -> Bool) -> Bool {
    guard let first = row.targets.first, first.field != nil else { return false }
    return rows.all.contains { other in
      other.format == row.format && isSuch(other.traits) && other.section != .claim
        && !other.targets.contains { $0.quality == .view } && other.targets.contains(first)
    }
  }
}
