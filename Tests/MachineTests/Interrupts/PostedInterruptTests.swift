import ProcessorModel
import Testing

@testable import Machine

/// What a guest does while interrupts are posted for it.
private struct Scenario: CustomTestStringConvertible {
  let name: String
  let program: GuestProgram
  let posts: [[PostingSender.Post]]
  /// How many orders of the steps there are.
  let interleavings: UInt64
  /// The same for a `VirtualProcessor`; nil if it is not tried, because that takes long.
  let interleavingsOfVirtualProcessor: UInt64?

  var testDescription: String { name }

  init(
    _ name: String, _ instructions: [GuestProgram.Instruction],
    handler: [GuestProgram.Instruction] = [.endOfInterrupt, .iret], posts: [[PostingSender.Post]],
    interleavings: UInt64,
    ofVirtualProcessor: UInt64? = nil
  ) {
    self.name = name
    program = GuestProgram(instructions, handler: handler)
    self.posts = posts
    self.interleavings = interleavings
    interleavingsOfVirtualProcessor = ofVirtualProcessor
  }

  var hasEdgesOnly: Bool { posts.joined().allSatisfy { !$0.isLevelTriggered } }

  /// Whether a state in which nobody can do anything is one in which nothing is left to do: each vector has been
  /// delivered, no more often than it was posted, and edges have made no VM exit.
  func isRight(_ end: PostingState) -> Bool {
    guard let program = end.program, program.isAtEnd, end.phase == .halted else { return false }
    let isQuiet =
      end.senders.allSatisfy { $0.posts.isEmpty && $0.step == .idle }
      && end.externalInterrupts == ExternalInterrupts()
      && (0..<13).allSatisfy { end.descriptor[$0] == 0 || $0 == 4 && end.descriptor[4] & 3 == 0 }
      && end.registers[1...8].allSatisfy { $0 == 0 } && end.registers[17...].allSatisfy { $0 == 0 }
    let posted = Dictionary(grouping: posts.joined().map(\.vector)) { $0 }
    let delivered = Dictionary(grouping: program.deliveries.map(\.vector)) { $0 }
    return isQuiet && Set(posted.keys) == Set(delivered.keys)
      && delivered.allSatisfy { $1.count <= posted[$0, default: []].count } && (end.exits == 0 || !hasEdgesOnly)
  }

  func isRight(_ exploration: PostedInterruptExploration) -> Bool {
    exploration.wrongDeliveries.isEmpty && !exploration.isEndless && exploration.ends.allSatisfy(isRight)
  }
}

private func edge(_ vector: UInt8) -> PostingSender.Post { .init(vector: vector) }
private func level(_ vector: UInt8) -> PostingSender.Post { .init(vector: vector, isLevelTriggered: true) }

private let scenarios: [Scenario] = [
  Scenario(
    "one edge, running", [.sti, .nop, .awaitInterrupts(1)], posts: [[edge(0x91)]], interleavings: 20,
    ofVirtualProcessor: 20),
  Scenario(
    "one edge, exiting", [.sti, .cpuid, .cpuid, .awaitInterrupts(1)], posts: [[edge(0x91)]], interleavings: 84,
    ofVirtualProcessor: 165),
  Scenario(
    "one edge, IF = 0", [.nop, .cpuid, .nop, .sti, .nop], posts: [[edge(0x91)]], interleavings: 994,
    ofVirtualProcessor: 616),
  Scenario("one edge, halting", [.sti, .hlt], posts: [[edge(0x91)]], interleavings: 224, ofVirtualProcessor: 95),
  Scenario(
    "two edges of one sender, halting", [.sti, .hlt], posts: [[edge(0x91), edge(0xA2)]], interleavings: 671_648,
    ofVirtualProcessor: 85_319),
  Scenario(
    "two senders, running", [.sti, .nop, .awaitInterrupts(2)], posts: [[edge(0x91)], [edge(0xA2)]],
    interleavings: 136_264, ofVirtualProcessor: 75_732),
  Scenario(
    "two senders, exiting", [.sti, .cpuid, .awaitInterrupts(2)], posts: [[edge(0x91)], [edge(0x92)]],
    interleavings: 259_438, ofVirtualProcessor: 248_588),
  Scenario(
    "two senders, halting", [.sti, .hlt], posts: [[edge(0x91)], [edge(0x22)]], interleavings: 5_401_196,
    ofVirtualProcessor: 630_510),
  Scenario(
    "two senders of one vector, halting", [.sti, .hlt], posts: [[edge(0x91)], [edge(0x91)]], interleavings: 4_243_280),
  Scenario(
    "two senders, handlers nest", [.sti, .nop, .awaitInterrupts(2)],
    handler: [.sti, .nop, .cli, .endOfInterrupt, .iret], posts: [[edge(0x91)], [edge(0xA2)]], interleavings: 220_172,
    ofVirtualProcessor: 137_944),
  Scenario(
    "two senders, below TPR for a while",
    [.writeTaskPriority(0x95), .sti, .nop, .cpuid, .writeTaskPriority(0), .awaitInterrupts(2)],
    posts: [[edge(0x91)], [edge(0xA2)]], interleavings: 1_129_820, ofVirtualProcessor: 945_066),
  Scenario(
    "two senders of three edges, exiting and halting", [.sti, .cpuid, .hlt],
    posts: [[edge(0x91), edge(0xA2)], [edge(0x22)]], interleavings: 117_996_760_690),
  Scenario(
    "a level, running", [.sti, .nop, .awaitInterrupts(1)], posts: [[level(0x91)]], interleavings: 20,
    ofVirtualProcessor: 35),
  Scenario(
    "two levels of one sender, running", [.sti, .nop, .awaitInterrupts(2)], posts: [[level(0x91), level(0xA2)]],
    interleavings: 59_055, ofVirtualProcessor: 144_390),
  Scenario(
    "a level and an edge, exiting", [.sti, .cpuid, .awaitInterrupts(2)], posts: [[level(0x91)], [edge(0xA2)]],
    interleavings: 153_591, ofVirtualProcessor: 3_813_179),
  Scenario(
    "a level and an edge, halting", [.sti, .hlt], posts: [[level(0x91)], [edge(0x92)]], interleavings: 8_539_899,
    ofVirtualProcessor: 104_691_724),
]

@Suite struct PostedInterruptTests {
  @Test(
    "F10 in every interleaving each posted interrupt is delivered once, allowed, and without a VM exit if it is an edge",
    arguments: scenarios)
  private func everyInterleaving(scenario: Scenario) throws {
    let exploration = try PostedInterruptExploration(scenario.program, scenario.posts)
    #expect(exploration.wrongDeliveries.isEmpty)
    #expect(exploration.isEndless == false)
    #expect(exploration.ends.isEmpty == false)
    for end in exploration.ends { #expect(scenario.isRight(end)) }
    #expect(exploration.interleavings == scenario.interleavings)
  }

  @Test(
    "F10 the same holds for a running virtual processor",
    arguments: scenarios.filter { $0.interleavingsOfVirtualProcessor != nil })
  private func virtualProcessor(scenario: Scenario) throws {
    let exploration = try VirtualProcessorPostingExploration(scenario.program, scenario.posts)
    #expect(exploration.wrongDeliveries.isEmpty)
    #expect(exploration.stops.isEmpty)
    #expect(exploration.ends.isEmpty == false)
    for end in exploration.ends { #expect(scenario.isRight(end)) }
    #expect(exploration.interleavings == scenario.interleavingsOfVirtualProcessor)
  }

  @Test(arguments: PostingMistake.allCases)
  private func `each mistake is found out`(mistake: PostingMistake) throws {
    let found = try scenarios.first { scenario in
      let exploration = try PostedInterruptExploration(scenario.program, scenario.posts, mistake: mistake)
      return !scenario.isRight(exploration)
    }
    #expect(found != nil)
  }
}
