import VMCS

/// A guest that executes instructions, one at a time: for what happens between them, which a ``ScriptedExit`` leaves out.
///
/// It is for a VMCS with "virtual-interrupt delivery".
public struct GuestProgram: Hashable, Sendable {
  /// What the guest can execute.
  public enum Instruction: Hashable, Sendable {
    /// The SDM's instructions of these names; HLT and CPUID exit.
    case nop, cli, sti, hlt, cpuid, iret
    /// A write to EOI that "virtual-interrupt delivery" virtualizes.
    case endOfInterrupt
    /// A write to TPR that "virtual-interrupt delivery" virtualizes.
    case writeTaskPriority(UInt8)
    /// Loops until this many interrupts have been delivered.
    case awaitInterrupts(Int)
  }

  /// An interrupt that was delivered, and the state that it came into.
  public struct Delivery: Hashable, Sendable {
    /// Its vector.
    public var vector: UInt8
    /// RFLAGS.IF, and no blocking by STI or MOV SS.
    public var isInterruptible: Bool
    /// VTPR.
    public var taskPriority: UInt8
    /// The highest vector in VISR, 0 for none.
    public var inService: UInt8
  }

  /// A place in the program, or in the handler.
  private struct Place: Hashable, Sendable {
    var isInHandler = false
    var position = 0
  }

  /// What the guest executes, and what it executes for each interrupt; with its last instruction the program has ended.
  public let instructions, handler: [Instruction]
  /// What has been delivered, oldest first.
  public internal(set) var deliveries: [Delivery] = []
  /// Whether the processor has recognized a pending virtual interrupt.
  var isVirtualInterruptRecognized = false
  /// The processing of posted interrupts that is under way.
  var processing: PostedInterruptProcessing?
  private var place = Place()
  private var interrupted: [Place] = []

  /// A program at its beginning.
  public init(_ instructions: [Instruction], handler: [Instruction] = [.endOfInterrupt, .iret]) {
    self.instructions = instructions
    self.handler = handler
  }

  /// Whether the guest has executed its last instruction and is in no handler.
  public var isAtEnd: Bool { !place.isInHandler && place.position == instructions.count }

  /// The next instruction; an end is for ever HLT.
  var next: Instruction {
    let code = place.isInHandler ? handler : instructions
    return place.position < code.count ? code[place.position] : .hlt
  }

  mutating func advance() {
    if place.position < (place.isInHandler ? handler : instructions).count { place.position += 1 }
  }

  mutating func enterHandler() {
    interrupted.append(place)
    place = Place(isInHandler: true)
  }

  mutating func leaveHandler() {
    if let last = interrupted.popLast() { place = last }
  }
}

extension ProcessorModel {
  /// Executes the program from the VM entry to a VM exit.
  func runProgram(_ vmcs: VMCSStorage) -> ScriptedExit {
    nonMaskableInterrupts.isInGuest = true
    defer { nonMaskableInterrupts.isInGuest = false }
    enterProgram(vmcs)
    while true {
      onStep?()
      if let exit = stepProgram(vmcs) { return exit }
    }
  }

  /// What a VM entry does besides its checks: it delivers the event, and evaluates the virtual interrupts.
  public func enterProgram() { if let current { enterProgram(current) } }

  private func enterProgram(_ vmcs: VMCSStorage) {
    guard deliversVirtualInterrupts(vmcs) else {
      fault(.undefinedBehavior("a guest program without “virtual-interrupt delivery”"))
      return
    }
    let event = vmcs[.vmEntryInterruptionInformation]
    if event.valid && event.type == .externalInterrupt { interrupt(delivery(of: event.vector, vmcs), vmcs) }
    deliverEvent(vmcs, isInterrupted: false)
    virtualizePPR(vmcs)
    evaluateVirtualInterrupts(vmcs)
  }

  /// Does the next step of the program, or of what comes between its instructions; the VM exit that it ends with.
  public func stepProgram() -> ScriptedExit? { current.flatMap(stepProgram) }

  private func stepProgram(_ vmcs: VMCSStorage) -> ScriptedExit? {
    if var processing = program?.processing {
      step(&processing, vmcs)
      program?.processing = processing.position < postedInterruptSteps.count ? processing : nil
      return nil
    }
    if let exit = exitBeforeInterrupts(vmcs) { return exit }
    let isInterruptible = isInterruptible(vmcs)
    let primary = vmcs[.primaryProcessorBasedVMExecutionControls]
    if isInterruptible && primary.contains(.interruptWindowExiting) { return ScriptedExit(.interruptWindow) }
    if let vector = externalInterrupts.acknowledge() { return handleExternalInterrupt(vector, vmcs) }
    if program?.isVirtualInterruptRecognized == true && isInterruptible {
      var delivery = delivery(of: 0, vmcs)
      delivery.vector = deliverVirtualInterrupt(vmcs)
      interrupt(delivery, vmcs)
      return nil
    }
    return execute(program?.next ?? .hlt, vmcs)
  }

  private func delivery(of vector: UInt8, _ vmcs: VMCSStorage) -> GuestProgram.Delivery {
    let page = virtualAPIC(vmcs)
    return .init(
      vector: vector, isInterruptible: isInterruptible(vmcs), taskPriority: page.taskPriority,
      inService: page.highest(.inService))
  }

  private func interrupt(_ delivery: GuestProgram.Delivery, _ vmcs: VMCSStorage) {
    program?.deliveries.append(delivery)
    program?.enterHandler()
    setInterruptFlag(false, vmcs)
  }

  /// SDM, "Posted-Interrupt Processing": what becomes of an external interrupt that has been acknowledged.
  private func handleExternalInterrupt(_ vector: UInt8, _ vmcs: VMCSStorage) -> ScriptedExit? {
    let isPosted = vmcs[.pinBasedVMExecutionControls].contains(.processPostedInterrupts)
    if isPosted && UInt16(vector) == vmcs[.postedInterruptNotificationVector] {
      program?.processing = PostedInterruptProcessing()
      return nil
    }
    var exit = ScriptedExit(.externalInterrupt)
    exit.interruptionInformation = VMExitInterruptionInformation(rawValue: 1 << 31 | UInt32(vector))
    return exit
  }

  private func execute(_ instruction: GuestProgram.Instruction, _ vmcs: VMCSStorage) -> ScriptedExit? {
    if case .awaitInterrupts(let count) = instruction, program.map({ $0.deliveries.count < count }) ?? false {
      return nil
    }
    let wasInterruptible = isInterruptible(vmcs)
    var interruptibility = vmcs[.guestInterruptibilityState]
    interruptibility.blockingBySTI = false
    interruptibility.blockingByMOVSS = false
    vmcs[.guestInterruptibilityState] = interruptibility
    program?.advance()
    switch instruction {
    case .nop, .awaitInterrupts: return nil
    case .cli: setInterruptFlag(false, vmcs)
    case .sti:
      interruptibility.blockingBySTI = !wasInterruptible
      vmcs[.guestInterruptibilityState] = interruptibility
      setInterruptFlag(true, vmcs)
    case .hlt: return ScriptedExit(.hlt, instructionLength: 1)
    case .cpuid: return ScriptedExit(.cpuid, instructionLength: 2)
    case .iret:
      program?.leaveHandler()
      setInterruptFlag(true, vmcs)
    case .endOfInterrupt:
      if let vector = virtualizeEOI(vmcs) { return ScriptedExit(.virtualizedEOI, qualification: UInt64(vector)) }
    case .writeTaskPriority(let value): virtualizeTPR(value, vmcs)
    }
    return nil
  }

  private func isInterruptible(_ vmcs: VMCSStorage) -> Bool {
    let interruptibility = vmcs[.guestInterruptibilityState]
    return vmcs[.guestRFLAGS].if && !interruptibility.blockingBySTI && !interruptibility.blockingByMOVSS
  }

  private func setInterruptFlag(_ isSet: Bool, _ vmcs: VMCSStorage) {
    var flags = vmcs[.guestRFLAGS]
    flags.if = isSet
    vmcs[.guestRFLAGS] = flags
  }
}
