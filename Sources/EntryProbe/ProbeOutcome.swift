import VMCS
import VMEntryChecks

/// What a VM entry did, as 14 bits: a kind in bits 13:11, a number in bits 10:0.
@frozen
public struct ProbeOutcome: RawRepresentable, Hashable, Sendable {
  /// The 14 bits.
  public var rawValue: UInt16

  /// Makes an outcome from its 14 bits.
  @inlinable public init(rawValue: UInt16) { self.rawValue = rawValue }

  /// The kinds of outcomes, and two more that are none and say where a run is.
  @frozen
  public enum Kind: UInt16, Sendable {
    /// The guest was entered; the number is the basic exit reason of what ended its stay.
    case entered
    /// VMfailInvalid.
    case failInvalid
    /// VMfailValid; the number is the VM-instruction error.
    case failValid
    /// Exit reason 33; the number is the exit qualification.
    case invalidGuestState
    /// Exit reason 34; the number is the exit qualification.
    case msrLoading
    /// Any other exit reason with bit 31 set; the number is the basic exit reason.
    case otherEntryFailure
    /// All states have been run.
    case end
    /// The number is that of states run so far, divided by `markInterval`.
    case mark
  }

  /// How many states lie between two marks.
  public static var markInterval: Int { 256 }

  /// Makes an outcome; a number that has no room becomes the largest.
  @inlinable
  public init(_ kind: Kind, _ number: UInt64 = 0) {
    rawValue = kind.rawValue << 11 | UInt16(min(number, 0x7FF))
  }

  /// The kind.
  @inlinable public var kind: Kind { Kind(rawValue: rawValue >> 11 & 7) ?? .end }
  /// The number.
  @inlinable public var number: UInt16 { rawValue & 0x7FF }

  /// What `prediction` says.
  public init(_ prediction: EntryPrediction) {
    self.init(prediction.outcome, msrLoadEntry: prediction.msrLoadEntry)
  }

  /// An outcome from what the processor is required to do, nil for an entry; the exit reason of an entry is not predicted.
  public init(_ outcome: EntryOutcome?, msrLoadEntry: UInt32) {
    switch outcome {
    case nil: self.init(.entered)
    case .vmFailInvalid, .invalidOpcode, .generalProtection: self.init(.failInvalid)
    case .vmFailValid(let error): self.init(.failValid, UInt64(error.rawValue))
    case .invalidGuestState(let qualification): self.init(.invalidGuestState, qualification.rawValue)
    case .msrLoading: self.init(.msrLoading, UInt64(msrLoadEntry))
    }
  }

  /// Whether two outcomes are the same, apart from what ended the guest's stay.
  public func matches(_ other: Self) -> Bool {
    kind == .entered ? other.kind == .entered : self == other
  }
}
