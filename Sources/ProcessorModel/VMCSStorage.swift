import VMCS

/// What a processor keeps of one VMCS, wherever hardware keeps it.
final class VMCSStorage {
  /// SDM, "Managing VMCS Regions and Pointers".
  enum LaunchState { case clear, launched }

  let address: PhysicalAddress
  var launchState = LaunchState.clear
  /// The logical processor on which the VMCS is active.
  weak var activeProcessor: ProcessorModel?
  /// Whether its processor executed VMXOFF while the VMCS was active, which may have corrupted it.
  var wasActiveAtVMXOFF = false

  private var values: [VMCSFieldEncoding: UInt64] = [:]
  private let poisons: Bool

  init(address: PhysicalAddress, poisons: Bool) {
    self.address = address
    self.poisons = poisons
  }

  /// The contents of the field with the full-access encoding `encoding`.
  ///
  /// A field that was never written holds something arbitrary, as on hardware; or zero, by configuration, or if only the
  /// processor can write it.
  subscript(encoding: VMCSFieldEncoding) -> UInt64 {
    get {
      if let value = values[encoding] { return value }
      return poisons && encoding.type != .vmExitInformation ? poison(encoding) : 0
    }
    set { values[encoding] = newValue & encoding.widthMask }
  }

  /// Makes the contents of a field arbitrary.
  func invalidate(_ encoding: VMCSFieldEncoding) {
    values[encoding] = poisons ? poison(encoding) : 0
  }

  /// Different for each VMCS and field, and always the same.
  private func poison(_ encoding: VMCSFieldEncoding) -> UInt64 {
    var bits = address.rawValue &+ UInt64(encoding.rawValue) &* 0x9E37_79B9_7F4A_7C15
    bits = (bits ^ bits >> 30) &* 0xBF58_476D_1CE4_E5B9
    bits = (bits ^ bits >> 27) &* 0x94D0_49BB_1331_11EB
    return (bits ^ bits >> 31) & encoding.widthMask
  }
}

extension VMCSFieldEncoding {
  /// Ones in the bits that the field has.
  var widthMask: UInt64 { ~0 >> UInt64(64 - width.bitWidth) }
  /// The encoding for full access, of a high half too.
  var fullAccess: Self { Self(rawValue: rawValue & ~1) }
}
