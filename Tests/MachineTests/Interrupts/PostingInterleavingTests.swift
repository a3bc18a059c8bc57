import Machine
import Testing

/// One thing that a sender posts.
private enum Post: Hashable {
  case vector(UInt8, isLevelTriggered: Bool)
  case event(PostedEvents.Event)
}

/// The protocol, and ways to get it wrong, each of which must be found out.
private enum Variant: CaseIterable {
  case asBuilt
  /// The owner takes PIR and then ON.
  case clearsNotificationLast
  /// A sender sets ON and then PIR.
  case notifiesFirst
  /// The owner halts without looking at a kick that came while it drained.
  case dropsKick
}

/// The posts of one sender, and where in them it is.
private struct Sender: Hashable {
  enum Step: Hashable {
    case idle
    case posting(PostingSteps)
    case postingEvent(EventPostingSteps)
    /// ON is set, PIR is not yet.
    case requesting(UInt8, needsKick: Bool)
    case kicking
  }

  var posts: [Post]
  var step = Step.idle
}

private struct State: Hashable {
  var memory: [UInt64]
  var senders: [Sender]
  var drain: DrainingSteps? = DrainingSteps()
  /// The place in the drain that `Variant.clearsNotificationLast` goes through.
  var position = 0
  var isKicked = false
  var edges: Set<UInt8> = []
  var levels: Set<UInt8> = []
  var gotNMI = false
  var isWaitingForSIPI = false
  var startedAt: UInt8?
}

/// All the states that senders and the owner can get to, each step of one at a time.
private final class Exploration {
  let variant: Variant
  private let memory = UnsafeMutableRawPointer.allocate(
    byteCount: PostedInterruptDescriptor.byteCount, alignment: 64)
  private let descriptor: PostedInterruptDescriptor
  private var words: UnsafeMutablePointer<UInt64> { memory.assumingMemoryBound(to: UInt64.self) }
  private(set) var visited: Set<State> = []
  /// The states in which nobody can do anything any more.
  private(set) var ends: Set<State> = []
  /// States with ON set and PIR empty, while nobody is in the midst of a post of an edge.
  private(set) var emptyNotifications = 0

  init(_ variant: Variant, _ posts: [[Post]]) {
    self.variant = variant
    descriptor = PostedInterruptDescriptor(at: memory)
    descriptor.clear()
    var waiting = [State(memory: snapshot(), senders: posts.map { Sender(posts: $0) })]
    while let state = waiting.popLast() {
      guard visited.insert(state).inserted else { continue }
      if state.memory[4] & 1 != 0 && state.memory[0..<4].allSatisfy({ $0 == 0 }) { emptyNotifications += 1 }
      let next = successors(of: state)
      if next.isEmpty { ends.insert(state) }
      waiting += next
    }
  }

  deinit { memory.deallocate() }

  private func snapshot() -> [UInt64] { (0..<13).map { words[$0] } }

  private func successors(of state: State) -> [State] {
    var result: [State] = []
    for index in state.senders.indices {
      var next = state
      restore(state)
      if advanceSender(index, &next) {
        next.memory = snapshot()
        result.append(next)
      }
    }
    var next = state
    restore(state)
    if advanceOwner(&next) {
      next.memory = snapshot()
      result.append(next)
    }
    return result
  }

  private func restore(_ state: State) {
    for (index, word) in state.memory.enumerated() { words[index] = word }
  }

  /// Does a step of a sender; false if it has nothing to do.
  private func advanceSender(_ index: Int, _ state: inout State) -> Bool {
    var sender = state.senders[index]
    defer { state.senders[index] = sender }
    switch sender.step {
    case .idle:
      guard !sender.posts.isEmpty else { return false }
      switch sender.posts.removeFirst() {
      case .vector(let vector, isLevelTriggered: false) where variant == .notifiesFirst:
        sender.step = .requesting(vector, needsKick: words[4] & 1 == 0)
        words[4] |= 1
        return true
      case .vector(let vector, let isLevelTriggered):
        sender.step = .posting(PostingSteps(vector: vector, isLevelTriggered: isLevelTriggered))
      case .event(let event): sender.step = .postingEvent(EventPostingSteps(event))
      }
      return advance(&sender)
    case .kicking:
      state.isKicked = true
      sender.step = .idle
      return true
    default: return advance(&sender)
    }
  }

  private func advance(_ sender: inout Sender) -> Bool {
    switch sender.step {
    case .posting(var steps):
      let needsKick = steps.step(descriptor)
      sender.step = needsKick.map { $0 ? .kicking : .idle } ?? .posting(steps)
    case .postingEvent(var steps):
      let needsKick = steps.step(descriptor)
      sender.step = needsKick.map { $0 ? .kicking : .idle } ?? .postingEvent(steps)
    case .requesting(let vector, let needsKick):
      words[Int(vector / 64)] |= 1 << UInt64(vector % 64)
      sender.step = needsKick ? .kicking : .idle
    case .idle, .kicking: return false
    }
    return true
  }

  /// Does a step of the owner, which halts when it has drained; false while it is halted without a kick.
  private func advanceOwner(_ state: inout State) -> Bool {
    guard var steps = state.drain else {
      guard state.isKicked else { return false }
      state.isKicked = false
      state.drain = DrainingSteps()
      return true
    }
    if variant == .clearsNotificationLast && state.position < 5 {
      if state.position < 4 {
        take(.requests(words[state.position], first: UInt8(64 * state.position), isLevelTriggered: false), &state)
        words[state.position] = 0
      } else {
        words[4] &= ~1
      }
      state.position += 1
      return true
    }
    let taken = steps.step(descriptor)
    state.drain = steps
    take(taken, &state)
    return true
  }

  private func take(_ taken: DrainingSteps.Taken, _ state: inout State) {
    switch taken {
    case .nothing: break
    case .requests(let bits, let first, let isLevelTriggered):
      let vectors = (UInt8(0)..<64).filter { bits >> UInt64($0) & 1 != 0 }.map { first + $0 }
      if isLevelTriggered { state.levels.formUnion(vectors) } else { state.edges.formUnion(vectors) }
    case .events(let events):
      if events.nmi { state.gotNMI = true }
      if events.initialize { (state.isWaitingForSIPI, state.startedAt) = (true, nil) }
      if let vector = events.startUp, state.isWaitingForSIPI {
        (state.isWaitingForSIPI, state.startedAt) = (false, vector)
      }
    case .done:
      state.drain = nil
      state.position = 0
      if variant == .dropsKick { state.isKicked = false }
    }
  }
}

/// What is posted, sender by sender, and where the processor starts then, if it does.
private struct Scenario: CustomTestStringConvertible {
  let posts: [[Post]]
  var startsAt: UInt8?

  var testDescription: String { "\(posts)" }

  func vectors(isLevelTriggered: Bool) -> Set<UInt8> {
    Set(
      posts.joined().compactMap {
        if case .vector(let vector, isLevelTriggered) = $0 { vector } else { nil }
      })
  }
}

private func edge(_ vector: UInt8) -> Post { .vector(vector, isLevelTriggered: false) }
private func level(_ vector: UInt8) -> Post { .vector(vector, isLevelTriggered: true) }

private let scenarios: [Scenario] = [
  Scenario(posts: [[edge(0x31)]]),
  Scenario(posts: [[edge(0x31), edge(0x31), edge(0xF2)]]),
  Scenario(posts: [[edge(0x31)], [edge(0x31)]]),
  Scenario(posts: [[edge(0x31), edge(0xF2)], [edge(0x85), edge(0x32)]]),
  Scenario(posts: [[edge(0x31)], [edge(0x32)], [edge(0xC1)]]),
  Scenario(posts: [[level(0x31)], [level(0x31)]]),
  Scenario(posts: [[edge(0x31)], [level(0x31)]]),
  Scenario(posts: [[level(0x31), edge(0x32)], [edge(0x32), level(0xF3)]]),
  Scenario(posts: [[.event(.nmi)], [edge(0x31)], [level(0x41)]]),
  Scenario(
    posts: [[.event(.initialize), .event(.startUp(vector: 9)), .event(.startUp(vector: 9))], [.event(.nmi)]],
    startsAt: 9),
  Scenario(
    posts: [[.event(.startUp(vector: 1)), .event(.initialize), .event(.startUp(vector: 2))], [level(0x55)]], startsAt: 2
  ),
]

@Suite struct PostingInterleavingTests {
  private func isRight(_ end: State, _ scenario: Scenario) -> Bool {
    end.drain == nil && end.memory.allSatisfy { $0 == 0 }
      && end.edges == scenario.vectors(isLevelTriggered: false)
      && end.levels == scenario.vectors(isLevelTriggered: true)
      && end.gotNMI == scenario.posts.joined().contains(.event(.nmi))
      && end.startedAt == scenario.startsAt
  }

  @Test("F10 every interleaving of senders and owner delivers everything and no wake-up is lost", arguments: scenarios)
  private func everyInterleaving(scenario: Scenario) {
    let exploration = Exploration(.asBuilt, scenario.posts)
    #expect(exploration.ends.isEmpty == false)
    for end in exploration.ends { #expect(isRight(end, scenario)) }
  }

  @Test("F10 ON may be set while PIR is empty, and nothing comes of it")
  func emptyNotification() {
    let scenario = scenarios[2]
    let exploration = Exploration(.asBuilt, scenario.posts)
    #expect(exploration.emptyNotifications > 0)
    #expect(exploration.ends.allSatisfy { isRight($0, scenario) } == true)
  }

  @Test(arguments: Variant.allCases)
  private func `each way to get the protocol wrong is found out`(variant: Variant) {
    let finds = scenarios.contains { scenario in
      !Exploration(variant, scenario.posts).ends.allSatisfy { isRight($0, scenario) }
    }
    #expect(finds == (variant != .asBuilt))
  }
}
