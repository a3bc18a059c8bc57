import Machine

// A target for libFuzzer: any accesses of two processors to their local APICs, to the I/O APIC, the HPET and the ports,
// at any times, wired as in a machine; after each, what must always hold is checked. `make fuzz-devices` builds and runs
// it.

/// Does what one input says, 16 bytes an action; what libFuzzer calls.
@_cdecl("LLVMFuzzerTestOneInput")
public func fuzz(_ start: UnsafePointer<UInt8>, _ count: Int) -> CInt {
  let input = UnsafeRawPointer(start)
  let transmitted = UnsafeMutableBufferPointer<UInt8>.allocate(capacity: 32)
  let memory = UnsafeMutableRawPointer.allocate(byteCount: 2 * 4096 + 2 * 128, alignment: 4096)
  defer {
    transmitted.deallocate()
    memory.deallocate()
  }
  var board = Board(memory: memory, transmitted: transmitted)
  for offset in stride(from: 0, to: count & ~15, by: 16) {
    board.act(
      input.loadUnaligned(fromByteOffset: offset, as: UInt64.self),
      value: input.loadUnaligned(fromByteOffset: offset + 8, as: UInt64.self))
    board.check()
  }
  return 0
}

/// The interrupt devices of a machine with two processors, and its bus.
private struct Board: ~Copyable {
  var apics: InlineArray<2, Processor>
  var ioapic = IOAPIC(id: 2)
  var hpet = HPET()
  var bus: IOBus
  var known = Known()
  var now: UInt64 = 0

  init(memory: UnsafeMutableRawPointer, transmitted: UnsafeMutableBufferPointer<UInt8>) {
    apics = InlineArray { Processor(index: $0, memory: memory) }
    bus = IOBus(
      transmitStorage: transmitted,
      startingAt: CalendarTime(year: 2026, month: 12, day: 31, hour: 23, minute: 59, second: 0), memorySize: 128 << 20)
  }

  /// One action: its bits 3:0 say what, the processor is bit 4, the width bits 7:5, bits 15:8 are how much time passes
  /// and bits 20:16 its scale, bit 24 is whether it is done to the bus's I/O APIC and HPET, and what it is about begins at
  /// bit 32.
  mutating func act(_ word: UInt64, value: UInt64) {
    now &+= (word >> 8 & 0xFF) << (word >> 16 & 0x1F)
    let who = Int(word >> 4 & 1)
    let byteCount = Int(word >> 5 & 7) + 1
    let place = Int(truncatingIfNeeded: word >> 32)
    let port = UInt16(truncatingIfNeeded: place)
    let size = IOSize(rawValue: UInt8(byteCount)) ?? .byte
    if word >> 24 & 1 != 0, actOnBus(word & 0xF, place, byteCount, value) { return pass() }
    switch word & 0xF {
    case 0: _ = apics[who].apic.read(offset: place, byteCount: byteCount, at: now)
    case 1: perform(apics[who].apic.write(offset: place, byteCount: byteCount, value, at: now), by: who)
    case 2: _ = apics[who].apic.readMSR(Self.msr(place), at: now)
    case 3: perform(apics[who].apic.writeMSR(Self.msr(place), value, at: now), by: who)
    case 4:
      perform(apics[who].completeWrite(offset: place & 0xFF0, UInt32(truncatingIfNeeded: value), at: now), by: who)
    case 5:
      if apics[who].apic.hasDeliverableInterrupt {
        precondition(apics[who].apic.acknowledge() >= 16, "an illegal vector is delivered")
      }
    case 6: if let vector = apics[who].apic.endOfInterrupt() { endOfInterrupt(vector) }
    case 7: apics[who].change(place, value, at: now)
    case 8:
      ioapic.write(offset: place & 0xFF, byteCount: byteCount, value)
      _ = ioapic.read(offset: place & 0xFFF, byteCount: byteCount)
    case 9: ioapic.setLine(place & 0x1F, value & 1 != 0)
    case 10: loadHPET(place & 0x3FF, byteCount)
    case 11: storeHPET(place & 0x3FF, byteCount, value)
    case 12:
      if let message = InterruptMessage(
        messageAddress: 0xFEE0_0000 | UInt64(place & 0xF_FFFF), data: UInt32(truncatingIfNeeded: value))
      {
        send(message, from: nil)
      }
    case 13: _ = bus.read(port: port, size: size, at: now)
    case 14: bus.write(port: port, size: size, value: UInt32(truncatingIfNeeded: value), at: now)
    default:
      if bus.interruptPending { _ = bus.acknowledgeInterrupt() }
      _ = bus.receive(UInt8(truncatingIfNeeded: value), at: now)
      _ = bus.takeTransmitted(at: now)
      bus.isInputWaiting = value & 0x100 != 0
      // The host knows what it has done itself.
      known = Known(bus)
    }
    pass()
  }

  /// Accesses to memory, lines and interrupts' ends, through the bus; false for the actions that are no others there.
  private mutating func actOnBus(_ action: UInt64, _ place: Int, _ byteCount: Int, _ value: UInt64) -> Bool {
    let page =
      switch place >> 16 & 7 {
      case 0...2: IOAPIC.address
      case 3...6: HPET.address
      default: UInt64(truncatingIfNeeded: place >> 20) << 12
      }
    // Half are anywhere, but do not cross the page's end; half are what the registers are made for.
    var offset = min(place & 0xFFF, 4096 - byteCount)
    var byteCount = byteCount
    var value = value
    if place >> 15 & 1 == 0 {
      byteCount = page == IOAPIC.address || byteCount <= 4 ? 4 : 8
      let timer = 0x100 | place & (byteCount == 4 ? 0xFC : 0xF8)
      offset = page == IOAPIC.address ? place & 0x10 : place & 0x300 == 0 ? 0x10 : timer
      // A comparator that is small is soon reached.
      if page == HPET.address { value >>= UInt64(place >> 10 & 0x1F) * 2 }
    }
    switch (action, page) {
    case (8, HPET.address), (11, HPET.address): storeHPET(offset, byteCount, value)
    case (8, _), (11, _): bus.store(value, at: page + UInt64(offset), byteCount: byteCount, at: now)
    case (10, HPET.address): loadHPET(offset, byteCount)
    case (10, _): _ = bus.load(page + UInt64(offset), byteCount: byteCount, at: now)
    case (9, _):
      // Those that no device of the bus drives.
      let lines: InlineArray<11, UInt8> = [1, 3, 5, 6, 7, 10, 11, 12, 13, 14, 15]
      bus.setLine(lines[(place & 0xFF) % 11], value & 1 != 0)
    case (6, _): bus.endOfInterrupt(vector: UInt8(truncatingIfNeeded: place))
    default: return false
    }
    return true
  }

  /// The bus's HPET is as the one by itself, of which all is known.
  private mutating func loadHPET(_ offset: Int, _ byteCount: Int) {
    let value = bus.load(HPET.address + UInt64(offset), byteCount: byteCount, at: now)
    precondition(value == hpet.read(offset: offset, byteCount: byteCount, at: now), "the bus reads another value")
  }

  private mutating func storeHPET(_ offset: Int, _ byteCount: Int, _ value: UInt64) {
    bus.store(value, at: HPET.address + UInt64(offset), byteCount: byteCount, at: now)
    hpet.write(offset: offset, byteCount: byteCount, value, at: now)
  }

  private mutating func endOfInterrupt(_ vector: UInt8) {
    ioapic.endOfInterrupt(vector: vector)
    bus.endOfInterrupt(vector: vector)
  }

  /// Half of the MSRs are those of x2APIC mode.
  private static func msr(_ place: Int) -> UInt32 {
    switch place & 7 {
    case 0: 0x1B
    case 1: 0x6E0
    case 2...6: 0x800 | UInt32(place >> 3 & 0xFF)
    default: UInt32(truncatingIfNeeded: place >> 3)
    }
  }

  private mutating func perform(_ effect: LocalAPICEffect, by who: Int) {
    switch effect {
    case .send(let message): send(message, from: who)
    case .endOfInterrupt(let vector): endOfInterrupt(vector)
    case .identityChanged, .baseChanged: apics[who].publish()
    case .none, .deadlineChanged, .generalProtection: break
    }
  }

  private mutating func send(_ message: InterruptMessage, from sender: Int?) {
    for who in 0..<2 where message.matches(apics[who].mailbox.identity, isSender: sender == who) {
      let isQuiet = !apics[who].mailbox.hasPosted
      let needsKick = apics[who].mailbox.post(message)
      precondition(needsKick || !isQuiet || message.deliveryMode == .smi, "a post without a kick")
    }
  }

  /// Lets time and messages do what they do.
  private mutating func pass() {
    bus.advance(to: now)
    hpet.advance(to: now)
    let pulses = hpet.takePulses()
    for pin in 16..<24 {
      let level = hpet.lines >> UInt32(pin) & 1 != 0
      if pulses >> UInt32(pin) & 1 != 0 { ioapic.setLine(pin, !level) }
      ioapic.setLine(pin, level)
    }
    var messages = 0
    while ioapic.hasMessages {
      if let message = ioapic.takeMessage() { send(message, from: nil) }
      messages += 1
      precondition(messages <= IOAPIC.pinCount, "more messages than pins")
    }
    messages = 0
    while hpet.hasMessages {
      if let message = hpet.takeMessage() { send(message, from: nil) }
      messages += 1
      precondition(messages <= HPET.timerCount, "more messages than timers")
    }
    precondition(bus.hasNews || !bus.hasMessages && !known.hasNews(Known(bus)), "news that nobody is told of")
    messages = 0
    while bus.hasMessages {
      if let message = bus.takeMessage() { send(message, from: nil) }
      messages += 1
      precondition(messages <= IOAPIC.pinCount + HPET.timerCount, "the bus has more messages than pins and timers")
    }
    bus.hasNews = false
    known = Known(bus)
    for who in 0..<2 { apics[who].pass(now) }
  }

  mutating func check() {
    precondition(bus.nextDeadline > now && hpet.nextDeadline > now, "a deadline has passed and nothing was done")
    precondition(bus.nextDeadline <= hpet.nextDeadline, "the bus forgets its HPET's deadline")
    precondition(hpet.lines & ~0x00F0_0101 == 0, "a line that does not exist")
    for who in 0..<2 { apics[who].check(now) }
  }
}

/// What the host, or a local APIC, knows of the bus.
private struct Known {
  private var isRequested = false
  private var deadline = MachineTime.max
  private var hasTransmitted = false
  private var canTakeInput = false
  private var isPending = false

  init() {}

  init(_ bus: borrowing IOBus) {
    isRequested = bus.request != nil
    deadline = bus.nextDeadline
    hasTransmitted = bus.hasTransmitted
    canTakeInput = bus.isInputWaiting && bus.hasRoomForInput
    isPending = bus.interruptPending
  }

  /// Whether it has to be told of what is so now: that a byte can be taken or given, and any change of the others.
  func hasNews(_ now: Known) -> Bool {
    now.isRequested != isRequested || now.deadline != deadline || now.isPending != isPending
      || now.hasTransmitted && !hasTransmitted || now.canTakeInput && !canTakeInput
  }
}

/// A local APIC, its page and its mailbox.
private struct Processor: ~Copyable {
  let page: UnsafeMutableRawPointer
  let mailbox: PostedInterruptDescriptor
  var apic: LocalAPIC
  var usesVirtualInterruptDelivery = false

  init(index: Int, memory: UnsafeMutableRawPointer) {
    page = memory + 4096 * index
    mailbox = PostedInterruptDescriptor(at: memory + 8192 + 128 * index)
    mailbox.clear()
    apic = LocalAPIC(page: page, id: UInt32(index), isBootstrapProcessor: index == 0, physicalAddressWidth: 39)
    apic.enterVirtualWireMode()
    publish()
  }

  mutating func publish() { mailbox.publish(apic.identity) }

  /// A write that the processor makes to the page before it exits; only to registers that it would virtualize.
  mutating func completeWrite(offset: Int, _ value: UInt32, at now: UInt64) -> LocalAPICEffect {
    let isVirtualized =
      switch offset {
      case 0x020, 0x080, 0x0B0, 0x0D0, 0x0E0, 0x0F0, 0x280, 0x300, 0x310, 0x320...0x380, 0x3E0: apic.mode == .xAPIC
      case 0x3F0: apic.mode == .x2APIC
      default: false
      }
    guard isVirtualized else { return .none }
    page.storeBytes(of: value, toByteOffset: offset, as: UInt32.self)
    return apic.completeWrite(offset: offset, at: now)
  }

  /// What is done to a local APIC other than by its registers.
  mutating func change(_ place: Int, _ value: UInt64, at now: UInt64) {
    switch place & 7 {
    case 0:
      apic.initialize()
      publish()
    case 1: apic.setTimestampCounterOffset(value, at: now)
    case 2: _ = apic.setPin(.lint0, value & 1 != 0)
    case 3: _ = apic.setPin(.lint1, value & 1 != 0)
    case 4:
      usesVirtualInterruptDelivery = value & 1 != 0
      apic.setVirtualInterruptDelivery(usesVirtualInterruptDelivery)
    case 5, 6:
      page.storeBytes(of: UInt32(value & 0xFF), toByteOffset: LocalAPICRegister.taskPriority, as: UInt32.self)
      apic.synchronizeTaskPriority()
    default: apic.accept(vector: UInt8(truncatingIfNeeded: value), isLevelTriggered: value & 0x100 != 0)
    }
  }

  mutating func pass(_ now: UInt64) {
    if mailbox.hasPosted {
      let events = mailbox.drain(into: &apic)
      if events.initialize {
        apic.initialize()
        publish()
      }
    }
    precondition(!mailbox.hasPosted, "what is drained is not empty")
    apic.advance(to: now)
  }

  mutating func check(_ now: UInt64) {
    precondition(apic.nextDeadline > now, "the timer is late")
    let request = highest(LocalAPICRegister.interruptRequest)
    let service = highest(LocalAPICRegister.inService)
    let task = Int(load(LocalAPICRegister.taskPriority))
    precondition(task < 256 && (request == 0 || request >= 16) && (service == 0 || service >= 16), "impossible bits")
    precondition(apic.requestingVirtualInterrupt == request && apic.servicingVirtualInterrupt == service, "RVI, SVI")
    let priority = max(task >> 4, service >> 4)
    if usesVirtualInterruptDelivery {
      precondition(!apic.hasDeliverableInterrupt)
      precondition(apic.hasRecognizableVirtualInterrupt() == (request >> 4 > priority))
    } else {
      precondition(Int(load(LocalAPICRegister.processorPriority)) >> 4 == priority, "PPR")
      precondition(apic.hasDeliverableInterrupt == (request >> 4 > priority), "an interrupt is forgotten or invented")
    }
    precondition(apic.isSoftwareEnabled == (load(LocalAPICRegister.spuriousInterruptVector) & 0x100 != 0), "SVR")
    precondition(mailbox.identity == apic.identity, "a changed identity was not reported")
    let lint0 = load(LocalAPICRegister.lint0)
    precondition(apic.acceptsExtINT == (apic.mode == .disabled || lint0 & 0x1_0700 == 0x700), "ExtINT")
  }

  private func load(_ offset: Int) -> UInt32 { page.load(fromByteOffset: offset, as: UInt32.self) }

  private func highest(_ first: Int) -> Int {
    for vector in stride(from: 255, through: 0, by: -1)
    where load(first + vector / 32 * 16) >> UInt32(vector % 32) & 1 != 0 { return vector }
    return 0
  }
}
