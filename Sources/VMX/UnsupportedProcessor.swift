import VMCS

/// Why Skep cannot run guests on a processor.
public enum UnsupportedProcessor: Error, Equatable, Sendable {
  /// CPUID.01H:ECX.VMX is 0. `vendor` is what CPUID returned for leaf 0.
  case noVMX(vendor: CPUIDResult)
  /// IA32_FEATURE_CONTROL is locked and does not enable VMX outside SMX operation.
  case disabledByFirmware
  /// VMX regions are larger than 4,096 bytes.
  case regionSize(Int)
  /// VMX regions are not accessed with memory type write-back.
  case memoryType(MemoryType)
  /// A control word cannot be what Skep needs.
  case controls(ControlWord, ControlConflict<UInt32>)
  /// IA32_VMX_EPT_VPID_CAP lacks these bits.
  case extendedPageTables(missing: IA32VMXEPTVPIDCAP)

  /// Writes one line that says what is missing and what to do about it.
  public func write<Output: ByteOutput & ~Copyable>(to output: inout Output) {
    switch self {
    case .noVMX(let vendor):
      output.write("this processor (")
      Self.write(vendor: vendor, to: &output)
      output.write(") does not have VMX")
      output.write(Self.otherProcessor)
    case .disabledByFirmware:
      output.write("the firmware has locked IA32_FEATURE_CONTROL with VMX disabled: enable VT-x in its setup")
    case .regionSize(let size):
      output.write("this processor's VMX regions have ")
      output.write(decimal: UInt64(size))
      output.write(" bytes, and Skep gives them 4096")
      output.write(Self.otherProcessor)
    case .memoryType(let type):
      output.write("this processor accesses VMX regions with memory type ")
      output.write(decimal: UInt64(type.rawValue))
      output.write(", and Skep needs 6 (write-back)")
      output.write(Self.otherProcessor)
    case .controls(let word, let conflict):
      Self.write(word, conflict, to: &output)
    case .extendedPageTables(let missing):
      output.write("this processor's EPT and VPID capabilities lack ")
      Self.write(missing.rawValue, of: .ia32vmxeptvpidcap, to: &output)
      output.write(Self.otherProcessor)
    }
    output.write("\n")
  }

  private static var otherProcessor: StaticString {
    ": use an Intel processor with VT-x, EPT and unrestricted guest; in Bochs, the model corei7_skylake_x"
  }

  /// Writes the twelve characters of the vendor identification string, those that are printable.
  private static func write<Output: ByteOutput & ~Copyable>(vendor: CPUIDResult, to output: inout Output) {
    for index in 0..<12 {
      let register = index < 4 ? vendor.ebx : index < 8 ? vendor.edx : vendor.ecx
      let byte = UInt8(truncatingIfNeeded: register >> UInt32(index % 4 * 8))
      output.write(byte >= 0x20 && byte < 0x7F ? byte : 0x2E)
    }
  }

  private static func write<Output: ByteOutput & ~Copyable>(
    _ word: ControlWord, _ conflict: ControlConflict<UInt32>, to output: inout Output
  ) {
    if conflict.contradictory != 0 {
      output.write("Skep both requires and forbids ")
      write(UInt64(conflict.contradictory), of: word.valueType, to: &output)
      output.write(" (")
      output.write(title(of: word))
      output.write("): this is a bug of Skep's")
      return
    }
    output.write(conflict.missing != 0 ? "this processor does not have " : "this processor cannot do without ")
    write(
      UInt64(conflict.missing != 0 ? conflict.missing : conflict.unavoidable), of: word.valueType, to: &output)
    output.write(" (")
    output.write(title(of: word))
    output.write(")")
    output.write(otherProcessor)
  }

  /// Writes the SDM's names of `bits`, and the number of each bit that has none.
  private static func write<Output: ByteOutput & ~Copyable>(
    _ bits: UInt64, of type: ValueType, to output: inout Output
  ) {
    let fields = type.bitFields
    var rest = bits
    var separator: StaticString = "\""
    for index in 0..<fields.endIndex where rest & fields[index].mask != 0 {
      output.write(separator)
      output.write(fields[index].title)
      output.write("\"")
      rest &= ~fields[index].mask
      separator = ", \""
    }
    if rest != 0 {
      output.write(rest == bits ? "bits " : " and bits ")
      output.write(hexadecimal: rest)
    }
  }

  private static func title(of word: ControlWord) -> StaticString {
    switch word {
    case .pin: "pin-based VM-execution controls"
    case .primary: "primary processor-based VM-execution controls"
    case .secondary: "secondary processor-based VM-execution controls"
    case .tertiary: "tertiary processor-based VM-execution controls"
    case .exit: "primary VM-exit controls"
    case .secondaryExit: "secondary VM-exit controls"
    case .entry: "VM-entry controls"
    case .functions: "VM-function controls"
    }
  }
}
