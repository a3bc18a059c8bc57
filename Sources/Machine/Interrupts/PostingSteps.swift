import Synchronization

// The protocol of a posted-interrupt descriptor, one atomic access a step. `post` and `drain` go through the steps
// without a stop; the tests let several of them take turns in every order there is.

/// Posts an interrupt with a vector.
@frozen
public struct PostingSteps: Hashable, Sendable {
  @usableFromInline let vector: UInt8
  @usableFromInline let isLevelTriggered: Bool
  @usableFromInline var hasRequested = false

  /// The steps for `vector`.
  @inlinable
  public init(vector: UInt8, isLevelTriggered: Bool) {
    self.vector = vector
    self.isLevelTriggered = isLevelTriggered
  }

  /// Does the next step.
  ///
  /// - Returns: after the last one, whether the owner has to be kicked.
  @inlinable @inline(__always)
  public mutating func step(_ descriptor: PostedInterruptDescriptor) -> Bool? {
    typealias Word = PostedInterruptDescriptor.Word
    let words = descriptor.words
    guard hasRequested else {
      let first = isLevelTriggered ? Word.levelRequests : Word.requests
      let bit: UInt64 = 1 &<< UInt64(vector & 63)
      _ = words[first &+ Int(vector &>> 6)].bitwiseOr(bit, ordering: .sequentiallyConsistent)
      hasRequested = true
      return nil
    }
    if isLevelTriggered {
      let bit = PostedEvents.levelRequestsBit
      return words[Word.events].bitwiseOr(bit, ordering: .sequentiallyConsistent).oldValue == 0
    }
    let bit = PostedInterruptDescriptor.outstandingNotification
    let old = words[Word.control].bitwiseOr(bit, ordering: .sequentiallyConsistent).oldValue
    return old & (bit | PostedInterruptDescriptor.suppressNotification) == 0
  }
}

/// Posts an event.
public struct EventPostingSteps: Hashable, Sendable {
  let event: PostedEvents.Event
  private var found: UInt64?

  /// The steps for `event`.
  public init(_ event: PostedEvents.Event) { self.event = event }

  /// Does the next step.
  ///
  /// - Returns: after the last one, whether the owner has to be kicked.
  public mutating func step(_ descriptor: PostedInterruptDescriptor) -> Bool? {
    let words = descriptor.words
    guard let expected = found else {
      found = words[PostedInterruptDescriptor.Word.events].load(ordering: .sequentiallyConsistent)
      return nil
    }
    let new = PostedEvents(rawValue: expected).adding(event).rawValue
    let (exchanged, original) = words[PostedInterruptDescriptor.Word.events].compareExchange(
      expected: expected, desired: new, ordering: .sequentiallyConsistent)
    found = original
    return exchanged ? expected == 0 : nil
  }
}

/// Drains a descriptor.
public struct DrainingSteps: Hashable, Sendable {
  /// What a step has taken.
  public enum Taken: Equatable, Sendable {
    /// Nothing, and there are more steps.
    case nothing
    /// The interrupts with the vectors from `first` on, one a bit.
    case requests(UInt64, first: UInt8, isLevelTriggered: Bool)
    /// Events for the processor.
    case events(PostedEvents)
    /// Nothing, and that was all.
    case done
  }

  private var position = 0

  /// The steps from the first one.
  public init() {}

  /// Does the next step.
  public mutating func step(_ descriptor: PostedInterruptDescriptor) -> Taken {
    typealias Word = PostedInterruptDescriptor.Word
    let words = descriptor.words
    let current = position
    position += 1
    switch current {
    case 0:
      let control = words[Word.control].bitwiseAnd(
        ~PostedInterruptDescriptor.outstandingNotification, ordering: .sequentiallyConsistent)
      if control.oldValue & PostedInterruptDescriptor.outstandingNotification == 0 { position = 5 }
      return .nothing
    case 1...4: return take(descriptor, current - 1, isLevelTriggered: false)
    case 5:
      let events = PostedEvents(rawValue: words[Word.events].exchange(0, ordering: .sequentiallyConsistent))
      if !events.hasLevelRequests { position = 10 }
      return .events(events)
    case 6...9: return take(descriptor, current - 6, isLevelTriggered: true)
    default: return .done
    }
  }

  private func take(_ descriptor: PostedInterruptDescriptor, _ index: Int, isLevelTriggered: Bool) -> Taken {
    typealias Word = PostedInterruptDescriptor.Word
    let word = (isLevelTriggered ? Word.levelRequests : Word.requests) &+ index
    let requests = descriptor.words[word].exchange(0, ordering: .sequentiallyConsistent)
    guard requests != 0 else { return .nothing }
    return .requests(requests, first: UInt8(truncatingIfNeeded: index &* 64), isLevelTriggered: isLevelTriggered)
  }
}
