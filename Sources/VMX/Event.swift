import VMCS

/// An interrupt or exception on its way into the guest: the three VM-entry fields that inject it.
@frozen
public struct Event: Equatable, Sendable {
  /// Vector, type, and whether an error code goes with it; the valid bit is 1.
  public var information: VMEntryInterruptionInformation
  /// The error code, if `information.deliverErrorCode`.
  public var errorCode: UInt32
  /// The length of the instruction, in bytes, that caused a software interrupt or software exception; otherwise unused.
  public var instructionLength: UInt32

  /// Makes an event.
  @inlinable
  public init(
    vector: UInt8, type: InterruptionType, errorCode: UInt32? = nil, instructionLength: UInt32 = 0
  ) {
    information = VMEntryInterruptionInformation(
      rawValue: 1 << 31 | (errorCode == nil ? 0 : 1 << 11) | UInt32(type.rawValue) << 8 | UInt32(vector))
    self.errorCode = errorCode ?? 0
    self.instructionLength = instructionLength
  }

  /// An external interrupt.
  @inlinable
  public static func externalInterrupt(_ vector: UInt8) -> Self { Self(vector: vector, type: .externalInterrupt) }

  /// A non-maskable interrupt.
  @inlinable
  public static var nmi: Self { Self(vector: 2, type: .nmi) }

  /// A hardware exception; #BP and #OF are software exceptions and have their own type.
  @inlinable
  public static func exception(_ vector: ExceptionVector, errorCode: UInt32? = nil) -> Self {
    Self(vector: vector.rawValue, type: .hardwareException, errorCode: errorCode)
  }

  /// #UD.
  @inlinable
  public static var invalidOpcode: Self { exception(.invalidOpcode) }

  /// #GP(0).
  @inlinable
  public static var generalProtection: Self { exception(.generalProtection, errorCode: 0) }

  /// The vector.
  @inlinable
  public var vector: UInt8 { UInt8(truncatingIfNeeded: information.rawValue) }

  /// The interruption type.
  @inlinable
  public var type: InterruptionType {
    InterruptionType(rawValue: UInt8(truncatingIfNeeded: information.rawValue >> 8 & 7))
  }

  /// Whether the event is an exception, of hardware or software.
  public var isException: Bool {
    type == .hardwareException || type == .softwareException || type == .privilegedSoftwareException
  }

  /// Whether VM entry uses the instruction length: software interrupts and exceptions.
  public var hasInstructionLength: Bool {
    type == .softwareInterrupt || type == .softwareException || type == .privilegedSoftwareException
  }
}
