/// What a control word may look like on a processor: the two halves of a capability MSR.
///
/// SDM, "VMX Capability Reporting Facility": bits that are 1 in `allowed0` must be 1, bits that are 0 in `allowed1` must be 0.
@frozen
public struct AllowedSettings<Word: FixedWidthInteger & UnsignedInteger & Sendable>: Equatable, Sendable {
  /// Bits that must be 1 (those whose 0-setting is not allowed).
  public var allowed0: Word
  /// Bits that may be 1.
  public var allowed1: Word

  /// Makes settings from both halves.
  public init(allowed0: Word, allowed1: Word) {
    self.allowed0 = allowed0
    self.allowed1 = allowed1
  }
}

extension AllowedSettings where Word == UInt32 {
  /// The settings that a 64-bit capability MSR reports: allowed 0-settings in bits 31:0, allowed 1-settings in bits 63:32.
  public init(msr: UInt64) {
    self.init(allowed0: UInt32(truncatingIfNeeded: msr), allowed1: UInt32(truncatingIfNeeded: msr >> 32))
  }
}

/// What software wants of a control word.
@frozen
public struct ControlWish<Word: FixedWidthInteger & UnsignedInteger & Sendable>: Equatable, Sendable {
  /// Bits that must be 1, or the hypervisor cannot run.
  public var required: Word
  /// Bits that must be 0, or the hypervisor cannot run.
  public var forbidden: Word
  /// Bits that are set where the processor allows it.
  public var optional: Word

  /// Makes a wish.
  public init(required: Word, forbidden: Word = 0, optional: Word = 0) {
    self.required = required
    self.forbidden = forbidden
    self.optional = optional
  }
}

/// Why a wish cannot be fulfilled, by bits.
@frozen
public struct ControlConflict<Word: FixedWidthInteger & UnsignedInteger & Sendable>: Error, Equatable, Sendable {
  /// Required bits that the processor does not allow to be 1.
  public var missing: Word
  /// Forbidden bits that the processor does not allow to be 0.
  public var unavoidable: Word
  /// Bits that the wish both requires and forbids.
  public var contradictory: Word
}

/// Finds the value of a control word that fulfils `wish`, as the SDM's algorithms of "Algorithms for Determining VMX
/// Capabilities" do: bits about which the wish says nothing keep their default setting.
///
/// - Parameters:
///   - settings: the TRUE capability MSR's where IA32_VMX_BASIC bit 55 is 1, otherwise the original one's.
///   - defaults: the original MSR's settings. A bit without a wish is 0 if these allow it to be 0, and 1 otherwise, since
///     software that does not know a bit of the default1 class has to leave it 1.
public func negotiate<Word>(
  _ wish: ControlWish<Word>, settings: AllowedSettings<Word>, defaults: AllowedSettings<Word>
) throws(ControlConflict<Word>) -> Word {
  let conflict = ControlConflict(
    missing: wish.required & ~settings.allowed1, unavoidable: wish.forbidden & settings.allowed0,
    contradictory: wish.required & wish.forbidden)
  guard conflict.missing | conflict.unavoidable | conflict.contradictory == 0 else { throw conflict }
  let wanted = wish.required | (wish.optional & ~wish.forbidden & settings.allowed1)
  let unmentioned = ~(wish.required | wish.forbidden | wish.optional)
  return wanted | (defaults.allowed0 & unmentioned) | settings.allowed0
}
