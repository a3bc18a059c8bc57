import VMCS

/// Finds fields by what people call them.
public enum FieldReference {
  /// The field with exactly this name or encoding; nil if there is none or several.
  ///
  /// A name is that of the Swift property, the SDM's, or the one that Linux, Xen and bhyve use for it as far as it is made
  /// of the same words, like GUEST_RIP; capitals, spaces, underscores and dashes do not matter. An encoding is a number
  /// with "0x".
  public static func field(_ text: String) -> VMCSFieldDescription? {
    if let encoding = number(text), text.hasPrefix("0x") || text.hasPrefix("0X") {
      return UInt32(exactly: encoding).flatMap { VMCSFieldDescription(encoding: VMCSFieldEncoding(rawValue: $0)) }
    }
    let key = plain(text)
    return VMCSFieldDescription.all.first { names(of: $0).contains(key) }
  }

  /// The fields whose name contains the text, or the one with the encoding; all fields for no text.
  public static func fields(_ text: String?) -> [VMCSFieldDescription] {
    guard let text else { return Array(VMCSFieldDescription.all) }
    if let field = field(text) { return [field] }
    let key = plain(text)
    return VMCSFieldDescription.all.filter { field in names(of: field).contains { contains($0, key) } }
  }

  /// A number in decimal, or in hexadecimal with "0x"; nil if it is none or has more than 64 bits.
  public static func number(_ text: String) -> UInt64? {
    if text.hasPrefix("0x") || text.hasPrefix("0X") { return UInt64(text.dropFirst(2), radix: 16) }
    return UInt64(text)
  }

  private static func names(of field: VMCSFieldDescription) -> [String] {
    let (name, title) = (plain(String(field.name)), plain(String(field.title)))
    // "GUEST_CS_AR_BYTES" and "GUEST_SYSENTER_CS" are Linux's.
    return [name, title, shortened(name)]
  }

  private static func shortened(_ name: String) -> String {
    var name = name
    for (long, short) in [("accessrights", "arbytes"), ("ia32", "")] {
      guard let range = range(of: long, in: name) else { continue }
      name.replaceSubrange(range, with: short)
    }
    return name
  }

  private static func range(of part: String, in text: String) -> Range<String.Index>? {
    var start = text.startIndex
    while start < text.endIndex {
      if text[start...].hasPrefix(part) { return start..<text.index(start, offsetBy: part.count) }
      start = text.index(after: start)
    }
    return nil
  }

  private static func contains(_ text: String, _ part: String) -> Bool {
    part.isEmpty || range(of: part, in: text) != nil
  }

  private static func plain(_ text: String) -> String {
    String(text.filter { $0.isLetter || $0.isNumber }).lowercased()
  }
}
