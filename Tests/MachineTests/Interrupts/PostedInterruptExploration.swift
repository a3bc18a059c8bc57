import ProcessorModel
import VMCS

@testable import Machine
@testable import VMX

/// A guest's processor with "process posted interrupts" in one of its states, together with those that post to it.
struct PostingState: Hashable {
  /// What the software of the guest's processor does; each is one access to what others see.
  enum Phase: Hashable {
    /// The guest runs.
    case guest
    /// In VMX root operation: looks at ON, then at the events' word, before an entry or before it halts.
    case looking(halts: Bool), lookingAtEvents(halts: Bool)
    case draining(DrainingSteps, halts: Bool)
    /// The guest has executed HLT: is there an interrupt to wake for?
    case deciding
    /// Tells the processor of IRR and enters the guest.
    case entering
    /// The host's HLT, with interrupts enabled.
    case halted
  }

  var phase = Phase.entering
  var senders: [PostingSender]
  /// VM exits for external interrupts.
  var exits = 0
  // The rest is in the processor and in memory while a step is done.
  var descriptor: [UInt64] = []
  var registers: [UInt32] = []
  var status: UInt16 = 0
  var flags: UInt64 = 0
  var interruptibility: UInt32 = 0
  var bitmap: [UInt64] = []
  var externalInterrupts = ExternalInterrupts()
  var program: GuestProgram?

  init(senders: [PostingSender]) { self.senders = senders }

  static let bitmaps = [VMCSField.eoiExitBitmap0, .eoiExitBitmap1, .eoiExitBitmap2, .eoiExitBitmap3]
  /// TPR, ISR, TMR and IRR in the virtual-APIC page.
  static let offsets = [0x80] + (0..<24).map { 0x100 + $0 * 16 }

  /// Takes what is in the processor and in memory.
  mutating func save(_ guest: GuestOnModel, _ words: UnsafeMutablePointer<UInt64>, _ page: UnsafeMutableRawPointer) {
    descriptor = (0..<13).map { words[$0] }
    registers = Self.offsets.map { page.load(fromByteOffset: $0, as: UInt32.self) }
    status = guest.contents(.guestInterruptStatus).rawValue
    flags = guest.contents(.guestRFLAGS).rawValue
    interruptibility = guest.contents(.guestInterruptibilityState).rawValue
    bitmap = Self.bitmaps.map(guest.contents)
    externalInterrupts = guest.processor.externalInterrupts
    program = guest.processor.program
  }
}

/// Every state that senders and the guest's processor can get to, each step of one at a time, depth first.
final class PostedInterruptExploration {
  /// How many orders of the steps there are from the beginning to an end.
  private(set) var interleavings: UInt64 = 0
  /// The states in which nobody can do anything any more.
  private(set) var ends: Set<PostingState> = []
  /// Deliveries that the SDM does not allow.
  private(set) var wrongDeliveries: Set<GuestProgram.Delivery> = []
  /// Whether there is an order of the steps that never comes to an end.
  private(set) var isEndless = false

  private let mistake: PostingMistake?
  private let guest: GuestOnModel
  private var processor: ProcessorModel { guest.processor }
  private let descriptor: PostedInterruptDescriptor
  private let words: UnsafeMutablePointer<UInt64>
  private let page: UnsafeMutableRawPointer
  /// How many interleavings there are from a state on.
  private var orders: [PostingState: UInt64] = [:]
  /// The states between the beginning and the one that is explored.
  private var path: Set<PostingState> = []

  init(_ program: GuestProgram, _ posts: [[PostingSender.Post]], mistake: PostingMistake? = nil) throws {
    self.mistake = mistake
    guest = try GuestOnModel(options: .all)
    descriptor = guest.machine.mailboxes[0]
    page = guest.vcpu.virtualAPICPage
    words = guest.processor.memory.pointer(
      to: guest.machine.mailboxes.address(of: 0), byteCount: PostedInterruptDescriptor.byteCount)!
      .assumingMemoryBound(to: UInt64.self)
    processor.program = program
    processor.postedInterruptSteps = Self.steps(of: mistake)
    var state = PostingState(senders: posts.map { .init(posts: $0) })
    state.save(guest, words, page)
    interleavings = explore(state)
  }

  /// The processor's steps.
  private static func steps(of mistake: PostingMistake?) -> [PostedInterruptProcessing.Step] {
    let steps = PostedInterruptProcessing.steps
    switch mistake {
    case .clearsNotificationLast: return Array(steps[1...]) + [steps[0]]
    // After the part of PIR where the vectors of the tests are.
    case .clearsNotificationBetween: return Array(steps[1...3]) + [steps[0]] + Array(steps[4...])
    case .evaluatesNothing: return steps.filter { $0 != .evaluate }
    case .keepsRVI: return steps.filter { $0 != .updateRVI }
    case .endsNoInterrupt: return steps.filter { $0 != .endOfInterrupt }
    default: return steps
    }
  }

  private func explore(_ state: PostingState) -> UInt64 {
    if let known = orders[state] { return known }
    guard path.insert(state).inserted else {
      isEndless = true
      return 0
    }
    let next = successors(of: state)
    if next.isEmpty { ends.insert(state) }
    let count = next.isEmpty ? 1 : next.reduce(0) { $0 + explore($1) }
    path.remove(state)
    orders[state] = count
    return count
  }

  /// The states that each who can do something gets to; a guest that waits in a loop can do nothing.
  private func successors(of state: PostingState) -> [PostingState] {
    var result: [PostingState] = []
    for index in -1..<state.senders.count {
      var next = state
      restore(state)
      guard index < 0 ? advanceProcessor(&next) : advanceSender(index, &next) else { continue }
      next.save(guest, words, page)
      if next != state { result.append(next) }
    }
    return result
  }

  private func advanceSender(_ index: Int, _ state: inout PostingState) -> Bool {
    guard state.senders[index].canAdvance else { return false }
    if let vector = state.senders[index].advance(descriptor, mistake: mistake),
      mistake != .sendsNothingToARunningGuest || state.phase != .guest
    {
      processor.externalInterrupts.request(vector)
    }
    return true
  }

  // MARK: The processor that is posted to

  private func advanceProcessor(_ state: inout PostingState) -> Bool {
    switch state.phase {
    case .guest:
      let count = processor.program?.deliveries.count
      let exit = processor.stepProgram()
      if let delivery = processor.program?.deliveries.last, processor.program?.deliveries.count != count {
        if !delivery.isAllowed { wrongDeliveries.insert(delivery) }
      }
      if let exit { state.phase = phase(after: exit, &state) }
    case .looking(let halts):
      let isEmpty = words[4] & 1 == 0
      state.phase = isEmpty ? .lookingAtEvents(halts: halts) : .draining(DrainingSteps(), halts: halts)
    case .lookingAtEvents(let halts):
      state.phase = words[12] != 0 ? .draining(DrainingSteps(), halts: halts) : halts ? .deciding : .entering
    case .draining(var steps, let halts):
      let taken = steps.step(descriptor)
      state.phase = .draining(steps, halts: halts)
      take(taken, &state, halts)
    case .deciding:
      if mistake == .haltsWithoutLook, processor.externalInterrupts.acknowledge() != nil {
        processor.externalInterrupts.endOfInterrupt()
      }
      let wakes = guest.vcpu.interruptsEnabled && guest.virtualProcessor.localAPIC.hasRecognizableVirtualInterrupt()
      state.phase = wakes ? .entering : .halted
    case .entering:
      enter()
      state.phase = .guest
    case .halted:
      // Delivered by the host's IDT.
      guard processor.externalInterrupts.acknowledge() != nil else { return false }
      processor.externalInterrupts.endOfInterrupt()
      state.phase = mistake == .haltsWithoutLookAfterWaking ? .deciding : .looking(halts: true)
    }
    return true
  }

  /// What the software does after a VM exit.
  private func phase(after exit: ScriptedExit, _ state: inout PostingState) -> PostingState.Phase {
    switch exit.reason.basicReason {
    case .externalInterrupt:
      state.exits += 1
      processor.externalInterrupts.endOfInterrupt()
      return mistake == .entersWithoutDraining ? .entering : .looking(halts: false)
    case .hlt: return mistake == .haltsWithoutLook ? .deciding : .looking(halts: true)
    default: return .entering
    }
  }

  private func take(_ taken: DrainingSteps.Taken, _ state: inout PostingState, _ halts: Bool) {
    switch taken {
    case .nothing, .events: break
    case .requests(let requests, let first, let isLevelTriggered):
      for bit in UInt8(0)..<64 where requests >> UInt64(bit) & 1 != 0 {
        guest.virtualProcessor.localAPIC.accept(vector: first + bit, isLevelTriggered: isLevelTriggered)
      }
      if mistake == .leavesRequests && !isLevelTriggered { words[Int(first) / 64] |= requests }
    case .done: state.phase = halts ? .deciding : .entering
    }
  }

  private func enter() {
    if mistake == .dropsNotificationInRoot, processor.externalInterrupts.acknowledge() != nil {
      processor.externalInterrupts.endOfInterrupt()
    }
    let (rvi, svi) = (
      guest.virtualProcessor.localAPIC.requestingVirtualInterrupt,
      guest.virtualProcessor.localAPIC.servicingVirtualInterrupt
    )
    if mistake == .entersWithInjection, rvi != 0 {
      processor.setContents(of: .vmEntryInterruptionInformation, to: Event.externalInterrupt(rvi).information)
      // In service from now on.
      page.storeBytes(of: 0, toByteOffset: 0x200 + Int(rvi / 32) * 16, as: UInt32.self)
      page.storeBytes(of: 1 << UInt32(rvi % 32), toByteOffset: 0x100 + Int(rvi / 32) * 16, as: UInt32.self)
      guest.vcpu.setGuestInterruptStatus(rvi: 0, svi: rvi)
    } else if mistake != .entersWithoutRVI {
      guest.vcpu.setGuestInterruptStatus(rvi: rvi, svi: svi)
    }
    for index in 0..<4 {
      processor.setContents(
        of: PostingState.bitmaps[index], to: guest.virtualProcessor.localAPIC.endOfInterruptExitBitmap(index))
    }
    let count = processor.program?.deliveries.count
    processor.enterProgram()
    processor.setContents(of: .vmEntryInterruptionInformation, to: VMEntryInterruptionInformation(rawValue: 0))
    if let delivery = processor.program?.deliveries.last, processor.program?.deliveries.count != count {
      if !delivery.isAllowed { wrongDeliveries.insert(delivery) }
    }
  }

  // MARK: States

  private func restore(_ state: PostingState) {
    for (index, word) in state.descriptor.enumerated() { words[index] = word }
    for (offset, value) in zip(PostingState.offsets, state.registers) {
      page.storeBytes(of: value, toByteOffset: offset, as: UInt32.self)
    }
    processor.setContents(of: .guestInterruptStatus, to: GuestInterruptStatus(rawValue: state.status))
    processor.setContents(of: .guestRFLAGS, to: RFLAGS(rawValue: state.flags))
    processor.setContents(
      of: .guestInterruptibilityState, to: GuestInterruptibilityState(rawValue: state.interruptibility))
    for (field, value) in zip(PostingState.bitmaps, state.bitmap) { processor.setContents(of: field, to: value) }
    processor.externalInterrupts = state.externalInterrupts
    processor.program = state.program
    guest.virtualProcessor.localAPIC.setVirtualInterruptDelivery(true)
    processor.clearTrace()
  }
}

extension GuestProgram.Delivery {
  /// Whether the guest could take it: RFLAGS.IF was 1, and it was above PPR.
  var isAllowed: Bool { isInterruptible && vector >> 4 > max(taskPriority >> 4, inService >> 4) }
}
