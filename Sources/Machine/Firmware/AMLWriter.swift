/// Writes the little of the ACPI Machine Language that a DSDT without methods needs (ACPI Specification, "ACPI Machine
/// Language (AML) Specification").
extension ByteWriter {
  /// Appends a Scope with what `body` appends.
  mutating func amlScope(_ name: StaticString, _ body: (inout ByteWriter) -> Void) {
    append(0x10 as UInt8)
    amlPackageLength {
      $0.append(name)
      body(&$0)
    }
  }

  /// Appends a Device with a _HID and a _CRS made of the resource descriptors that `resources` appends.
  ///
  /// - Parameters:
  ///   - name: The name, 4 characters.
  ///   - hardwareID: The _HID: an EISA identifier of 7 characters, for example "PNP0501", or an ACPI identifier of 8.
  ///   - resources: Appends small resource descriptors, without the end tag.
  mutating func amlDevice(_ name: StaticString, _ hardwareID: StaticString, _ resources: (inout ByteWriter) -> Void) {
    append(0x5B as UInt8)
    append(0x82 as UInt8)
    amlPackageLength {
      $0.append(name)
      $0.amlName("_HID")
      if hardwareID.utf8CodeUnitCount == 7 {
        $0.append(0x0C as UInt8)
        $0.append(Self.eisaID(hardwareID))
      } else {
        $0.amlString(hardwareID)
      }
      $0.amlName("_CRS")
      $0.amlBuffer { crs in
        resources(&crs)
        // The end tag, with a checksum of 0: "treat the checksum as correct".
        crs.append(0x79 as UInt8)
        crs.append(0 as UInt8)
      }
    }
  }

  /// Appends a Device for a processor, named C000 and so on, whose _UID is that of the MADT.
  mutating func amlProcessor(_ number: UInt8) {
    append(0x5B as UInt8)
    append(0x82 as UInt8)
    amlPackageLength {
      $0.append("C0")
      $0.append(Self.hexadecimalDigit(number >> 4))
      $0.append(Self.hexadecimalDigit(number & 0xF))
      $0.amlName("_HID")
      $0.amlString("ACPI0007")
      $0.amlName("_UID")
      $0.amlInteger(number)
    }
  }

  /// Appends a Name with a Package of small integers.
  mutating func amlName(_ name: StaticString, package elements: [4 of UInt8]) {
    amlName(name)
    append(0x12 as UInt8)
    amlPackageLength {
      $0.append(UInt8(elements.count))
      for index in elements.indices { $0.amlInteger(elements[index]) }
    }
  }

  /// Appends an I/O port descriptor: a fixed range, decoded with 16 address bits.
  mutating func ioPorts(_ port: UInt16, count: UInt8) {
    append(0x47 as UInt8)
    append(0x01 as UInt8)
    append(port)
    append(port)
    append(1 as UInt8)
    append(count)
  }

  /// Appends an IRQ descriptor: edge triggered, active high, not shared.
  mutating func irq(_ number: UInt8) {
    append(0x22 as UInt8)
    append(UInt16(1) << UInt16(number))
  }

  /// Appends a 32-bit fixed memory range descriptor, for a range that may be written.
  mutating func memory(_ address: UInt32, count: UInt32) {
    append([0x86, 9, 0, 1])
    append(address)
    append(count)
  }

  /// Appends what starts a Name: its value follows.
  private mutating func amlName(_ name: StaticString) {
    append(0x08 as UInt8)
    append(name)
  }

  private mutating func amlString(_ text: StaticString) {
    append(0x0D as UInt8)
    append(text)
    append(0 as UInt8)
  }

  private mutating func amlInteger(_ value: UInt8) {
    if value > 1 { append(0x0A as UInt8) }
    append(value)
  }

  private mutating func amlBuffer(_ body: (inout ByteWriter) -> Void) {
    append(0x11 as UInt8)
    amlPackageLength {
      $0.append(0x0A as UInt8)
      let sizeOffset = $0.count
      $0.append(0 as UInt8)
      body(&$0)
      $0.replace(at: sizeOffset, with: UInt8($0.count - sizeOffset - 1))
    }
  }

  /// Appends a PkgLength in its form of 2 bytes, which reaches to 4095, and what `body` appends.
  private mutating func amlPackageLength(_ body: (inout ByteWriter) -> Void) {
    let start = count
    append(0 as UInt16)
    body(&self)
    let length = UInt16(count - start)
    precondition(length < 0x1000)
    replace(at: start, with: 0x40 | length & 0xF | (length >> 4) << 8)
  }

  private static func hexadecimalDigit(_ value: UInt8) -> UInt8 { value < 10 ? 0x30 + value : 0x37 + value }

  /// An EISA identifier, compressed: three letters of 5 bits and four hexadecimal digits, most significant byte first.
  private static func eisaID(_ text: StaticString) -> UInt32 {
    precondition(text.utf8CodeUnitCount == 7)
    var value: UInt32 = 0
    for index in 0..<3 { value = value << 5 | UInt32(text.utf8Start[index] - 0x40) }
    for index in 3..<7 {
      let digit = text.utf8Start[index]
      value = value << 4 | UInt32(digit < 0x3A ? digit - 0x30 : digit - 0x37)
    }
    return value.byteSwapped
  }
}
