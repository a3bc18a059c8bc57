/// The virtual processors that have something to look at, by what tells them of it.
@frozen
public struct ProcessorKicks: Equatable, Sendable {
  /// Those that have to leave their guest, or their halt.
  public var exits: ProcessorSet = []
  /// Those to which the posted-interrupt notification vector is sent.
  ///
  /// A processor that runs its guest takes what was posted without a VM exit; one that does not finds the vector as an
  /// interrupt like others, which ends its halt, or as soon as it has entered its guest.
  public var notifications: ProcessorSet = []

  /// None.
  @inlinable
  public init() {}

  /// Whether there is none.
  @inlinable
  public var isEmpty: Bool { (exits.rawValue | notifications.rawValue) == 0 }

  /// Adds those of `other`.
  mutating func formUnion(_ other: ProcessorKicks) {
    exits.formUnion(other.exits)
    notifications.formUnion(other.notifications)
  }

  /// Takes `processors` out.
  mutating func subtract(_ processors: ProcessorSet) {
    exits.subtract(processors)
    notifications.subtract(processors)
  }
}
