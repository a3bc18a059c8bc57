/// Something that no correct hypervisor does to its processor, or that no correct test asks of the model.
///
/// On hardware the first two are exceptions in the host and the third can be anything. `ProcessorModel` records each and
/// hands it to its fault handler, which by default ends the process with a message.
public enum ModelFault: Error, Hashable, Sendable, CustomStringConvertible {
  /// The instruction causes #UD.
  case invalidOpcode(String)
  /// The instruction causes #GP(0).
  case generalProtection(String)
  /// The SDM says that the behaviour is undefined, or that software must not do it.
  case undefinedBehavior(String)
  /// The guest was entered and no scripted exit is left.
  case scriptExhausted
  /// The model does not know something that a check of a VM entry reads.
  case undecidableCheck(String)
  /// A scripted exit is not one that the processor could make with the controls as they are.
  case impossibleExit(String)

  /// One line that names the fault.
  public var description: String {
    switch self {
    case .invalidOpcode(let reason): "#UD: \(reason)"
    case .generalProtection(let reason): "#GP(0): \(reason)"
    case .undefinedBehavior(let reason): "undefined behavior: \(reason)"
    case .scriptExhausted: "the guest was entered, but no scripted exit is left"
    case .undecidableCheck(let check): "undecidable check: \(check)"
    case .impossibleExit(let reason): "impossible exit: \(reason)"
    }
  }
}
