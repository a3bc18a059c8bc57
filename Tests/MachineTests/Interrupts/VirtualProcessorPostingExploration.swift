import ProcessorModel
import VMCS
import VMX

@testable import Machine

extension ProcessorAccess {
  /// Whether it is the same in each run, whatever the time.
  fileprivate var isTimeless: Bool {
    switch self {
    case .read(.timestampCounter, _): false
    case .vmwrite(let field, _): field != VMCSField.vmxPreemptionTimerValue.encoding
    default: true
    }
  }
}

/// A running `VirtualProcessor` that interrupts are posted to, in every order of their steps and its own.
///
/// The same guest is run again and again, each time with another choice of whose step is next. Others have their turn
/// before a VM entry, before each step of the guest's processor, after a VM exit, and where the host waits. A kick is an
/// NMI; where there is one, they have their turn before each VMREAD and VMWRITE as well, as the NMI comes anywhere.
final class VirtualProcessorPostingExploration {
  /// How many orders of the steps there are from the beginning to an end.
  private(set) var interleavings: UInt64 = 0
  /// The states in which nobody can do anything any more.
  private(set) var ends: [PostingState] = []
  /// Deliveries that the SDM does not allow.
  private(set) var wrongDeliveries: Set<GuestProgram.Delivery> = []
  /// Why guests have been stopped.
  private(set) var stops: [String] = []

  /// What the virtual processor was when it was last told to run.
  private struct Software: Hashable {
    var activity = ProcessorActivity.active
    var sleep: Sleep?
    var isAttentive = false
    var isTimed = false
    var virtualStateChanged = true
    var triggerModeChanged = true
    var needsEventPreparation = false
  }

  /// Where a choice is made: all that decides what happens from there on.
  private struct Place: Hashable {
    var software: Software
    /// What has been done to the processor since then.
    var accesses: [ProcessorAccess]
    var accessCount: Int
    var isHalted: Bool
    var nonMaskableInterrupts: NonMaskableInterrupts
    var hasHostNMI: Bool
    /// Whether the VMX-preemption timer begins with 0.
    var isExpired: Bool
    var state: PostingState
  }

  private let program: GuestProgram
  private let posts: [[PostingSender.Post]]
  /// The places that follow a place, one for each choice.
  private var successors: [Place: [Int: Place]] = [:]
  /// Choices that have not been made, each with those before it.
  private var waiting: [[Int]] = [[]]

  init(_ program: GuestProgram, _ posts: [[PostingSender.Post]]) throws {
    self.program = program
    self.posts = posts
    while let choices = waiting.popLast() {
      try Run(self, choices).finish()
    }
    var known: [Place: UInt64] = [:]
    if let first { interleavings = orders(from: first, &known) }
  }

  private var first: Place?

  private func orders(from place: Place, _ known: inout [Place: UInt64]) -> UInt64 {
    if let count = known[place] { return count }
    let next = successors[place, default: [:]].values.filter { $0 != place }
    var count: UInt64 = next.isEmpty ? 1 : 0
    for successor in next { count += orders(from: successor, &known) }
    known[place] = count
    return count
  }

  /// One run of the guest.
  private final class Run {
    private let exploration: VirtualProcessorPostingExploration
    private let guest: GuestOnModel
    private var processor: ProcessorModel { guest.processor }
    private let descriptor: PostedInterruptDescriptor
    private let words: UnsafeMutablePointer<UInt64>
    private let page: UnsafeMutableRawPointer
    private var state: PostingState
    private let given: [Int]
    private var made: [Int] = []
    private var last: Place?
    /// Whether the rest of the run has been explored before.
    private var isKnown = false
    private var isStuck = false
    private var software = Software()
    private let hostNMI: HostNMIFlag
    /// Whether the NMI's handler runs, or this is no place where it matters whether an NMI comes.
    private var isBusy = false

    init(_ exploration: VirtualProcessorPostingExploration, _ choices: [Int]) throws {
      self.exploration = exploration
      given = choices
      guest = try GuestOnModel(options: .all)
      descriptor = guest.machine.mailboxes[0]
      page = guest.vcpu.virtualAPICPage
      words = guest.processor.memory.pointer(
        to: guest.machine.mailboxes.address(of: 0), byteCount: PostedInterruptDescriptor.byteCount)!
        .assumingMemoryBound(to: UInt64.self)
      hostNMI = guest.vcpu.hostNMI
      state = PostingState(senders: exploration.posts.map { PostingSender(posts: $0) })
      guest.processor.program = exploration.program
      // The first run has had its entries checked.
      guest.processor.checksFields = choices.isEmpty
      guest.processor.clearTrace()
      guest.processor.onStep = { [unowned self] in if !isBusy { decide(isHalted: false) } }
      if exploration.posts.joined().contains(where: \.isLevelTriggered) {
        guest.processor.onAccess = guest.processor.onStep
      }
      guest.processor.onNMI = { [unowned self] in hostNMI.note(on: processor) }
    }

    /// Runs the guest as a host does, until nothing happens any more.
    func finish() {
      while true {
        note()
        let request = guest.virtualProcessor.run(&guest.vcpu)
        switch request {
        case .interrupt:
          if isStuck { return end() }
          state.exits += 1
          processor.externalInterrupts.endOfInterrupt()
        case .nmi:
          state.exits += 1
          processor.unblockNMIs()
        case .preemptionTimer: state.exits += 1
        case .kick: continue
        case .halted: if !halt() { return end() }
        case .stopped:
          exploration.stops.append(request.stopText ?? "")
          return
        default: break
        }
        guest.vcpu.beginAfterHostNMI()
        guest.virtualProcessor.advance(to: 0)
        guest.virtualProcessor.withDevices { _ in }
      }
    }

    private func note() {
      software = Software(
        activity: guest.virtualProcessor.activity, sleep: guest.virtualProcessor.sleep,
        isAttentive: guest.virtualProcessor.isAttentive, isTimed: guest.virtualProcessor.isTimed,
        virtualStateChanged: guest.virtualProcessor.localAPIC.virtualStateChanged,
        triggerModeChanged: guest.virtualProcessor.localAPIC.triggerModeChanged,
        needsEventPreparation: guest.vcpu.needsEventPreparation)
      processor.clearTrace()
    }

    /// HLT with interrupts enabled; false if none comes.
    private func halt() -> Bool {
      while true {
        decide(isHalted: true)
        if hostNMI.hasCome { return true }
        if processor.externalInterrupts.acknowledge() != nil {
          processor.externalInterrupts.endOfInterrupt()
          return true
        }
        if state.senders.allSatisfy({ !$0.canAdvance }) { return false }
      }
    }

    private func end() {
      if isKnown { return }
      state.save(guest, words, page)
      state.phase = isStuck ? .guest : .halted
      exploration.ends.append(state)
    }

    /// Lets senders do steps until it is the processor's turn.
    private func decide(isHalted: Bool) {
      isBusy = true
      defer { isBusy = false }
      state.save(guest, words, page)
      for delivery in state.program?.deliveries ?? [] where !delivery.isAllowed {
        exploration.wrongDeliveries.insert(delivery)
      }
      while true {
        let place = Place(
          software: software, accesses: processor.trace.accesses.filter(\.isTimeless),
          accessCount: processor.trace.entries.count, isHalted: isHalted,
          nonMaskableInterrupts: processor.nonMaskableInterrupts, hasHostNMI: hostNMI.hasCome,
          isExpired: guest.contents(.vmxPreemptionTimerValue) == 0, state: state)
        let choice = choose(at: place)
        if choice == 0 { return }
        switch state.senders[choice - 1].advance(descriptor) {
        case nil: break
        case PostingSender.kickVector: processor.requestNMI()
        case let vector?: processor.externalInterrupts.request(vector)
        }
        state.save(guest, words, page)
      }
    }

    /// Who is next: 0 is the processor, other numbers are senders.
    private func choose(at place: Place) -> Int {
      let senders = state.senders.indices.filter { state.senders[$0].canAdvance }.map { $0 + 1 }
      defer { last = place }
      if place == last && senders.isEmpty && place.nonMaskableInterrupts.isInGuest {
        // Nobody can do anything that would end the guest's loop.
        isStuck = true
        processor.externalInterrupts.request(GuestOnModel.endVector)
      }
      if isKnown { return senders.first ?? 0 }
      if let last { exploration.successors[last, default: [:]][made[made.count - 1]] = place }
      if exploration.first == nil { exploration.first = place }
      if made.count < given.count { return make(given[made.count]) }
      if place == last {
        // The guest waits in a loop, or the host has nothing to wake for.
        let waits = place.isHalted || place.nonMaskableInterrupts.isInGuest
        if waits, let sender = senders.first {
          isKnown = true
          return sender
        }
        return make(0)
      }
      if exploration.successors[place] != nil {
        isKnown = true
        return senders.first ?? 0
      }
      exploration.successors[place] = [:]
      for sender in senders { exploration.waiting.append(made + [sender]) }
      return make(0)
    }

    private func make(_ choice: Int) -> Int {
      made.append(choice)
      return choice
    }
  }
}
