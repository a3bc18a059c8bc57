import Synchronization

/// Where other processors leave interrupts for a virtual processor: a posted-interrupt descriptor (SDM, "Posted-Interrupt
/// Processing"), and behind it what the processor's posted interrupts have no place for.
///
/// It is a reference to 128 bytes of shared memory. Any processor may post at any time; only the owner may drain. There
/// are two channels. Edge-triggered interrupts set a bit of PIR, and then ON. All else exits: level-triggered
/// interrupts, whose EOI has to be noticed, set a bit of a second PIR, and then a bit of the events' word; NMI, INIT,
/// SIPI and ExtINT are bits of that word themselves. Who sets ON, or the first of the events, kicks the owner. The owner
/// takes ON, or the events, before the requests, so none is left behind without a kick. It may find ON with an empty
/// PIR: that the requests were taken before.
///
/// With "process posted interrupts" there is an NV, and who sets ON sends that vector in place of a kick. The processor
/// that runs the guest then takes ON and PIR itself, in the same order; the owner does only before it enters the guest.
///
/// To halt, the owner disables its interrupts, drains, and if there is nothing to do halts in the instruction that
/// enables them: a kick that comes between ends the halt.
@frozen
public struct PostedInterruptDescriptor: @unchecked Sendable {
  @usableFromInline let words: UnsafeMutablePointer<Atomic<UInt64>>

  /// The bytes of memory that it needs, aligned to 64; the first 64 are the SDM's.
  public static var byteCount: Int { 128 }

  /// Refers to `memory`, which is a descriptor already or ``clear()`` makes one.
  public init(at memory: UnsafeMutableRawPointer) {
    words = memory.assumingMemoryBound(to: Atomic<UInt64>.self)
  }

  /// The 64-bit words.
  @usableFromInline
  enum Word {
    /// PIR, the first of four words.
    @inlinable static var requests: Int { 0 }
    /// ON, SN, NV and NDST.
    @inlinable static var control: Int { 4 }
    /// A second PIR for level-triggered interrupts: the first of four words.
    @inlinable static var levelRequests: Int { 8 }
    @inlinable static var events: Int { 12 }
    @inlinable static var identity: Int { 13 }
  }

  /// Outstanding notification, ON.
  @inlinable static var outstandingNotification: UInt64 { 1 << 0 }
  /// Suppress notification, SN.
  @inlinable static var suppressNotification: UInt64 { 1 << 1 }

  // MARK: The owner's

  /// Makes it empty: before anybody posts.
  public func clear() {
    for index in 0..<Self.byteCount / 8 { words[index].store(0, ordering: .sequentiallyConsistent) }
  }

  /// Says how the processor that the owner runs on is notified: NV and NDST.
  ///
  /// - Parameter destination: its APIC ID, in the form that the SDM's NDST has.
  public func setNotification(vector: UInt8, destination: UInt32) {
    _ = words[Word.control].bitwiseAnd(0xFFFF, ordering: .sequentiallyConsistent)
    let fields = UInt64(vector) << 16 | UInt64(destination) << 32
    _ = words[Word.control].bitwiseOr(fields, ordering: .sequentiallyConsistent)
  }

  /// Whether the processor takes edge-triggered interrupts by itself when it is notified: there is an NV.
  var hasNotificationVector: Bool { words[Word.control].load(ordering: .relaxed) & 0xFF_0000 != 0 }

  /// Says whether edge-triggered interrupts are posted without a kick: SN.
  ///
  /// After it has been, the owner has to drain.
  public func setSuppressesNotification(_ suppresses: Bool) {
    if suppresses {
      _ = words[Word.control].bitwiseOr(Self.suppressNotification, ordering: .sequentiallyConsistent)
    } else {
      _ = words[Word.control].bitwiseAnd(~Self.suppressNotification, ordering: .sequentiallyConsistent)
    }
  }

  /// What others have to know of the owner's local APIC to choose the targets of a message.
  @inlinable
  public var identity: LocalAPICIdentity {
    LocalAPICIdentity(rawValue: words[Word.identity].load(ordering: .sequentiallyConsistent))
  }

  /// Tells others of a changed identity.
  public func publish(_ identity: LocalAPICIdentity) {
    words[Word.identity].store(identity.rawValue, ordering: .sequentiallyConsistent)
  }

  /// Whether ``drain(into:)`` has something to do.
  @inlinable
  public var hasPosted: Bool {
    let control = words[Word.control].load(ordering: .acquiring)
    return control & Self.outstandingNotification != 0 || words[Word.events].load(ordering: .acquiring) != 0
  }

  /// Moves what was posted into the owner's local APIC.
  ///
  /// - Returns: what is for the processor itself.
  public func drain(into apic: inout LocalAPIC) -> PostedEvents {
    var events = PostedEvents()
    var steps = DrainingSteps()
    while true {
      switch steps.step(self) {
      case .nothing: break
      case .requests(let requests, let first, let isLevelTriggered):
        var rest = requests
        while rest != 0 {
          let vector = first &+ UInt8(truncatingIfNeeded: rest.trailingZeroBitCount)
          apic.accept(vector: vector, isLevelTriggered: isLevelTriggered)
          rest &= rest &- 1
        }
      case .events(let taken): events = taken
      case .done: return events
      }
    }
  }

  // MARK: Everybody's

  /// Posts an interrupt with a vector.
  ///
  /// - Returns: whether the caller has to kick the owner.
  @inlinable
  public func post(vector: UInt8, isLevelTriggered: Bool) -> Bool {
    var steps = PostingSteps(vector: vector, isLevelTriggered: isLevelTriggered)
    while true {
      if let needsKick = steps.step(self) { return needsKick }
    }
  }

  /// Posts an event for the processor itself.
  ///
  /// - Returns: whether the caller has to kick the owner.
  public func post(_ event: PostedEvents.Event) -> Bool {
    var steps = EventPostingSteps(event)
    while true {
      if let needsKick = steps.step(self) { return needsKick }
    }
  }

  /// Posts a message, whatever its delivery mode; an SMI is ignored.
  ///
  /// The vector of a fixed interrupt may be illegal; the receiver finds that out.
  ///
  /// - Returns: whether the caller has to kick the owner.
  public func post(_ message: InterruptMessage) -> Bool {
    switch message.deliveryMode {
    case .fixed, .lowestPriority: post(vector: message.vector, isLevelTriggered: !message.isForPIR)
    case .smi: false
    case .nmi: post(.nmi)
    case .initialize: post(.initialize)
    case .startUp: post(.startUp(vector: message.vector))
    case .extINT: post(.extINT)
    }
  }
}
