import ProcessorModel
import Testing
import VMCS
import VMX

@testable import Machine

/// What becomes of an exit.
enum Disposition: Equatable, Sendable {
  /// RIP moves past the instruction, and the guest goes on.
  case advances
  /// The guest goes on where it was, with this event.
  case raises(UInt32)
  /// The guest goes on where it was.
  case resumes
  /// The guest stops, with a report that has these words.
  case stops(String)
  /// The host is asked to deal with an interrupt.
  case asks
  /// The host is asked to look at the deadlines.
  case asksForTimer
  /// The host is asked to end the blocking of NMIs.
  case asksForNMI

  /// By basic exit reason, with operands for which an instruction of the list is legal.
  init(_ number: UInt16) {
    switch number {
    case 1: self = .asks
    case 7, 8, 37: self = .resumes
    case 10, 13, 31, 32, 54: self = .advances
    case 12: self = .stops("halted its processor with RFLAGS.IF = 0")
    case 28, 30, 55: self = .advances
    case 15: self = .raises(0x8000_0B0D)
    case 11, 17...27, 36, 39, 50, 53, 59, 60, 65, 67...70, 72, 73, 76...81, 84, 85: self = .raises(0x8000_0306)
    case 48: self = .resumes
    case 0: self = .asksForNMI
    case 2: self = .stops("shut down after a triple fault")
    case 3: self = .stops("INIT signal")
    // A null selector for the TSS.
    case 9: self = .raises(0x8000_0B0D)
    case 49: self = .stops("entry that no processor accepts")
    case 43, 45, 56: self = .resumes
    // Its code is where there is no memory.
    case 44: self = .stops("where it has no memory")
    case 52: self = .asksForTimer
    default:
      self = .stops("a reason that Skep does not handle: 0x\(String(Int(number) | 1 << 32, radix: 16).dropFirst())")
    }
  }
}

@Suite("Exits of a virtual machine") struct VirtualMachineExitTests {
  /// An exit with operands that are legal for it.
  private func exit(_ number: UInt16) -> ScriptedExit {
    var qualification: UInt64 = 0
    switch number {
    case 28: qualification = 0x300  // MOV CR0, RBX
    case 30: qualification = 0x80 << 16  // OUT 0x80, AL
    case 48: qualification = 0x82
    default: break
    }
    var exit = ScriptedExit.instruction(BasicExitReason(rawValue: number), qualification: qualification, length: 3) {
      registers, _ in
      registers.rcx = number == 55 ? 0 : 0x277  // XCR0 or IA32_PAT
      registers.rax = number == 55 ? 1 : 0x0007_0406
      registers.rdx = number == 55 ? 0 : 0x0007_0406
      registers.rbx = 0x31
    }
    exit[.guestCR0] = CR0(rawValue: 0x31)
    exit.guestPhysicalAddress = 0x5000
    exit.interruptionInformation = VMExitInterruptionInformation(rawValue: 0x8000_0202)
    return exit
  }

  @Test("What all processors share fits the page that the hypervisor has for it")
  func sizes() {
    #expect(MemoryLayout<VirtualMachine>.size <= PagePool.pageSize)
  }

  @Test("F4 every exit is either handled whole or handed on whole", arguments: 0..<96 as Range<UInt16>)
  func everyReason(_ number: UInt16) throws {
    let guest = try GuestOnModel()
    guest.processor.onFault = { _ in }
    let request = guest.run(exit(number))
    let entered = guest.entries.count
    switch Disposition(number) {
    case .advances: #expect(request.isEnd && guest.entries.last?.rip == 0xFFF3 && guest.entries.last?.event == 0)
    case .raises(let event):
      #expect(request.isEnd && guest.entries.last?.rip == 0xFFF0)
      #expect(guest.entries.last?.event == event)
    case .resumes: #expect(request.isEnd && guest.entries.last?.rip == 0xFFF0 && guest.entries.last?.event == 0)
    case .stops(let words):
      #expect(request.stopText?.contains(words) == true, "\(request)")
      #expect(entered == 1 && guest.processor.script.count == 1, "the guest has not been entered again")
    case .asksForTimer:
      guard case .preemptionTimer = request else {
        Issue.record("\(request)")
        return
      }
    case .asksForNMI:
      guard case .nmi = request else {
        Issue.record("\(request)")
        return
      }
    case .asks:
      guard case .interrupt(vector: 2) = request else {
        Issue.record("\(request)")
        return
      }
    }
    if case .stops = Disposition(number) { return }
    let endsRun = [.asks, .asksForTimer, .asksForNMI].contains(Disposition(number))
    #expect(entered == (endsRun ? 1 : 2))
  }

  /// Of the instructions that are no guest's, those that are #UD, and RDPMC, which is #GP(0).
  static let missingInstructions: [UInt16] =
    [11, 15] + Array(17...27) + [36, 39, 50, 53, 59, 60, 65] + Array(67...70) + [72, 73] + Array(76...81) + [84, 85]

  @Test(
    "F17 VMX instructions, and others that no guest has, are the same exception at every privilege level",
    arguments: missingInstructions, 0..<4 as Range<UInt16>)
  func privilegeLevels(_ number: UInt16, _ level: UInt16) throws {
    let guest = try GuestOnModel()
    guest.processor.onFault = { _ in }
    guest.enterProtectedMode()
    var exit = exit(number)
    exit[.guestCSSelector] = SegmentSelector(rawValue: 0x08 | level)
    exit[.guestCSAccessRights] = SegmentAccessRights(rawValue: 0xC09B | UInt32(level) << 5)
    exit[.guestSSSelector] = SegmentSelector(rawValue: 0x10 | level)
    exit[.guestSSAccessRights] = SegmentAccessRights(rawValue: 0xC093 | UInt32(level) << 5)
    let request = guest.run(exit)
    #expect(request.isEnd, "\(request)")
    #expect(guest.vcpu.privilegeLevel == UInt8(level))
    #expect(guest.entries.last?.rip == 0xFFF0)
    #expect(guest.entries.last?.event == (number == 15 ? 0x8000_0B0D : 0x8000_0306))
  }

  @Test("F17 ENCLS and ENCLV exit where the processor has them", arguments: [.encls, .enclv] as [BasicExitReason])
  func enclaves(_ reason: BasicExitReason) throws {
    for configuration in [.everything, .skylakeX] as [ProcessorModel.Configuration] {
      let guest = try GuestOnModel(configuration)
      guest.processor.onFault = { _ in }
      let request = guest.run(.instruction(reason, length: 3))
      #expect(request.isEnd && guest.entries.map(\.event) == [0, 0x8000_0306])
      let hasControls = configuration.name == "everything"
      #expect(guest.processor.faults.isEmpty == hasControls, "the model makes the exit")
      let bitmaps = [VMCSField.enclsExitingBitmap, .enclvExitingBitmap].map { guest.processor.contents(of: $0) }
      if hasControls { #expect(bitmaps == [.max, .max]) }
    }
  }

  @Test("C4 no exit is handled by unloading the VMCS", arguments: 0..<96 as Range<UInt16>)
  func staysLoaded(_ number: UInt16) throws {
    let guest = try GuestOnModel()
    guest.processor.onFault = { _ in }
    _ = guest.run(exit(number))
    let trace = guest.processor.trace
    #expect(trace.loads.isEmpty && trace.clears.isEmpty)
    #expect(trace.count { $0 == .enterCritical || $0 == .exitCritical } == 0)
  }

  @Test("F3 a failed VM entry stops the guest with the whole reason", arguments: [33, 34, 41] as [UInt16])
  func entryFailure(_ number: UInt16) throws {
    let guest = try GuestOnModel()
    guest.processor.inject(.entryFailure(BasicExitReason(rawValue: number), qualification: 3), into: .vmlaunch)
    let request = guest.run([])
    #expect(request.stopText?.hasPrefix("VM entry failed: exit reason \(number), ") == true, "\(request)")
    #expect(request.stopText?.hasSuffix("exit qualification 0x0000000000000003") == true, "\(request)")
  }

  /// Access rights of a data segment, and those with which the guest goes on; `nil` if it stops.
  @Test(
    "A usable segment that Bochs leaves without a type gets one; any other that is not accessed stops the guest",
    arguments: [(0x90, 0x93), (0xC090, 0xC093), (0x91, 0x91), (0x93, 0x93), (0x92, nil), (0x94, nil)]
      as [(UInt32, UInt32?)], [false, true])
  func segmentWithoutType(_ rights: (before: UInt32, after: UInt32?), isProtected: Bool) throws {
    for field in [VMCSField.guestESAccessRights, .guestDSAccessRights, .guestFSAccessRights, .guestGSAccessRights] {
      let guest = try GuestOnModel()
      if isProtected { guest.enterProtectedMode() }
      var exit = ScriptedExit.instruction(.cpuid)
      exit[field] = SegmentAccessRights(rawValue: rights.before)
      let request = guest.run(exit)
      #expect(request.isEnd == (rights.after != nil), "\(request)")
      #expect(guest.contents(field).rawValue == rights.after ?? rights.before)
      #expect((request.stopText?.hasPrefix("VM entry failed: exit reason 33, ") == true) == (rights.after == nil))
    }
  }

  @Test("F3 what a failed VM entry was to inject is not lost when the entry is tried again")
  func eventOfFailedEntry() throws {
    let guest = try GuestOnModel()
    guest.programInterruptControllers()
    guest.vcpu.flags = RFLAGS(rawValue: 0x202)
    var data = guest.vcpu.descriptor(.ds)
    data.accessRights = SegmentAccessRights(rawValue: 0x90)
    guest.vcpu.setDescriptor(.ds, to: data)
    guest.vcpu.requestNMI()
    guest.machine.bus.setLine(7, true)
    let next = ScriptedExit.instruction(.cpuid).with(interruptsEnabled: true)
    _ = guest.run([next, next, next])
    let events = guest.entries.map(\.event).filter { $0 != 0 }
    #expect(events == [0x8000_0202, 0x8000_0037], "\(guest.entries)")
  }

  @Test("B5 an entry instruction that fails stops the guest with its error")
  func instructionFailure() throws {
    for (failure, words) in [
      (.failValid(VMInstructionError(rawValue: 7)), "VM-instruction error 7, "), (.failInvalid, "VMfailInvalid"),
    ] as [(InjectedFailure, String)] {
      let guest = try GuestOnModel()
      guest.processor.inject(failure, into: .vmlaunch)
      let request = guest.run([])
      #expect(request.stopText?.contains(words) == true, "\(request)")
    }
  }

  @Test(
    "F14 an NMI of the host is the host's, and a machine check ends the run, before anything else is done",
    arguments: [0x8000_0202, 0x8000_0312] as [UInt32])
  func hostEvents(_ information: UInt32) throws {
    let guest = try GuestOnModel()
    var exit = ScriptedExit(.exceptionOrNMI)
    exit.interruptionInformation = VMExitInterruptionInformation(rawValue: information)
    let request = guest.run(exit)
    if case .nmi = request {
      #expect(information == 0x8000_0202)
    } else {
      #expect(information == 0x8000_0312 && request.stopText?.contains("the host had a machine check") == true)
    }
    let fields = [VMCSField.exitReason.encoding, VMCSField.vmExitInterruptionInformation.encoding]
    #expect(guest.processor.trace.vmreads == fields && guest.processor.trace.vmwrites.isEmpty)
  }

  @Test("F16 a triple fault stops the virtual machine, and Skep goes on")
  func tripleFault() throws {
    let guest = try GuestOnModel()
    guard case .stopped(.tripleFault) = guest.run(ScriptedExit(.tripleFault)) else {
      Issue.record("not stopped")
      return
    }
    let other = try GuestOnModel()
    let request = other.run([])
    #expect(request.isEnd)
  }

  @Test("F17 INVD and WBINVD are ignored", arguments: [.invd, .wbinvdOrWBNOINVD] as [BasicExitReason])
  func caches(_ reason: BasicExitReason) throws {
    let guest = try GuestOnModel()
    let request = guest.run(.instruction(reason))
    #expect(request.isEnd && guest.entries.last?.rip == 0xFFF2)
    #expect(guest.processor.trace.count { $0 == .wbinvd } == 0, "the host's caches stay")
  }

  @Test(
    "F3 CPUID makes four VMREADs and one VMWRITE",
    arguments: [0, 2, 4, 6, 0xA, 0xB, 0xD, 0x4000_0000, 0x8000_0000, 0x8000_0008, ~0] as [UInt64])
  func cpuidCost(_ leaf: UInt64) throws {
    func accesses(_ count: Int) throws -> (reads: Int, writes: Int) {
      let guest = try GuestOnModel()
      let exit = ScriptedExit.instruction(.cpuid) { registers, _ in
        registers.rax = leaf
        registers.rcx = 0
      }
      let request = guest.run(Array(repeating: exit, count: count))
      #expect(request.isEnd)
      return (guest.processor.trace.vmreads.count, guest.processor.trace.vmwrites.count)
    }
    let (one, three) = (try accesses(1), try accesses(3))
    #expect(three.reads - one.reads == 2 * 4 && three.writes - one.writes == 2 * 1)
  }

  @Test("F3 the exits that guests make often read only these fields")
  func costs() throws {
    let end = 2
    for (exit, reads, writes) in [
      (.instruction(.rdmsr) { registers, _ in registers.rcx = 0x277 }, 5, 1),
      (.instruction(.wrmsr) { registers, _ in registers.rcx = 0x8B }, 5, 1),
      (.io(port: 0x80, count: 1, isIn: false), 7, 1), (.io(port: 0x3FD, count: 1, isIn: true), 7, 1),
    ] as [(ScriptedExit, Int, Int)] {
      let guest = try GuestOnModel()
      let request = guest.run(exit)
      #expect(request.isEnd)
      #expect(guest.processor.trace.vmreads.count == reads + end, "\(exit.reason)")
      #expect(guest.processor.trace.vmwrites.count == writes, "\(exit.reason)")
    }
  }

  @Test(
    "F3 RDMSR and WRMSR of an MSR that the guest does not have are #GP(0)",
    arguments: [0x3A5, 0x480, 0x1_0000, 0xC000_0103, 0xFFFF_FFFF] as [UInt64])
  func missingMSR(_ index: UInt64) throws {
    for reason in [.rdmsr, .wrmsr] as [BasicExitReason] {
      let guest = try GuestOnModel()
      guest.enterProtectedMode()
      let request = guest.run(
        .instruction(reason) { registers, _ in
          registers.rcx = index
          registers.rax = 0x1111_2222_3333_4444
        })
      #expect(request.isEnd && guest.entries.last?.event == 0x8000_0B0D && guest.entries.last?.rip == 0xFFF0)
      #expect(guest.vcpu.register(.rax) == 0x1111_2222_3333_4444)
    }
  }

  @Test("F13 WRMSR to the time-stamp counter moves it by the TSC offset alone")
  func timestampCounter() throws {
    let guest = try GuestOnModel()
    let request = guest.run(
      .instruction(.wrmsr) { registers, _ in
        (registers.rcx, registers.rax, registers.rdx) = (0x10, 0x1000, 0x20)
      })
    #expect(request.isEnd)
    let now = guest.processor.timestampCounter &+ guest.contents(.tscOffset)
    #expect((0x20_0000_1000...0x20_0000_1000 + 10_000).contains(now))
    #expect(guest.processor.trace.count { if case .wrmsr = $0 { true } else { false } } == 0)
  }

  @Test("F3 IN and OUT move as many bits as the operand has, and leave those of RAX that it has not")
  func ports() throws {
    let guest = try GuestOnModel()
    let rax: UInt64 = 0x1122_3344_5566_7788
    let scratch: UInt16 = 0x3FF
    for (count, read) in [(1, 0x1122_3344_5566_775A), (2, 0x1122_3344_5566_FF5A), (4, 0xFFFF_FF5A)]
      as [(UInt64, UInt64)]
    {
      let request = guest.run([
        .io(port: scratch, count: 1, isIn: false, rax: 0xABCD_EF5A),
        .io(port: scratch, count: count, isIn: true, rax: rax),
      ])
      #expect(request.isEnd && guest.vcpu.register(.rax) == read)
    }
    // OUT does not change RAX, and all bytes arrive.
    let request = guest.run([
      .io(port: 0xCF8, count: 4, isIn: false, rax: 0xFFFF_FFFF_8000_12FC), .io(port: 0xCF8, count: 4, isIn: true),
    ])
    #expect(request.isEnd && guest.vcpu.register(.rax) == 0x8000_12FC)
  }

  @Test("The host is told of power-off and reset before all else, so the guest is not entered again")
  func requests() throws {
    for (port, value, words) in [
      (0xCF9, 0x06, "port 0xcf9"), (0x92, 0x01, "port 0x92"), (0x64, 0xFE, "keyboard controller"),
    ] as [(UInt16, UInt64, String)] {
      let guest = try GuestOnModel()
      // The host's timer and the guest's output would be due, too.
      guest.machine.armedDeadline = 1
      guest.machine.isOutputDraining = false
      let request = guest.run(.io(port: port, count: 1, isIn: false, rax: value))
      #expect(request.stopText?.contains(words) == true, "\(request)")
      #expect(guest.entries.count == 1)
    }
  }

  @Test("The host is told of a deadline that has changed and of output, once the instruction is done")
  func hostRequests() throws {
    let guest = try GuestOnModel()
    guest.machine.isOutputDraining = false
    guard case .output = guest.run(.io(port: 0x3F8, count: 1, isIn: false, rax: 0x41)) else {
      Issue.record("no output")
      return
    }
    #expect(guest.vcpu.register(.rip) == 0xFFF1)
    guest.machine.armedDeadline = 1
    guard case .deviceDeadlineChanged = guest.run(.io(port: 0x80, count: 1, isIn: false)) else {
      Issue.record("no deadline")
      return
    }
    #expect(guest.vcpu.register(.rip) == 0xFFF2)
  }

  @Test(
    "The host is told when the serial port has room for bytes that it keeps, and only then", arguments: [true, false])
  func inputRequests(isWaiting: Bool) throws {
    let guest = try GuestOnModel()
    while guest.machine.bus.receive(0x41, at: 0) {}
    guest.machine.bus.isInputWaiting = isWaiting
    let line = guest.run(.io(port: 0x3FD, count: 1, isIn: true))
    #expect(line.isEnd)
    let request = guest.run(.io(port: 0x3F8, count: 1, isIn: true))
    let isInput = if case .input = request { true } else { false }
    #expect(isInput == isWaiting)
    #expect(guest.vcpu.register(.rax) & 0xFF == 0x41 && guest.vcpu.register(.rip) == 0xFFF2)
  }

  @Test(
    "The start state of Linux passes every check of a VM entry",
    arguments: ["Sandy Bridge", "Haswell", "Skylake-X", "everything"])
  func linuxEntry(_ name: String) throws {
    let configurations: [ProcessorModel.Configuration] = [.sandyBridge, .haswell, .skylakeX, .everything]
    let configuration = try #require(configurations.first { $0.name == name })
    let guest = try GuestOnModel(configuration)
    guest.vcpu.start(
      LinuxEntry(rip: 0x10_0200, rsi: 0x1_0000, rsp: 0x2_0000, cr3: 0x3_0000, gdtBase: 0x4_0000, gdtLimit: 31))
    let request = guest.run(.instruction(.cpuid))
    #expect(request.isEnd && guest.processor.failedCheck == nil, "\(request)")
    #expect(guest.entries.map(\.rip) == [0x10_0200, 0x10_0202])
    #expect(guest.vcpu.register(.rsi) == 0x1_0000 && guest.vcpu.register(.cr0) == 0x8000_0031)
    #expect(guest.vcpu.register(.cr4) == 0x20 && guest.vcpu.register(.efer) == 0x500)
    #expect(guest.contents(.vmEntryControls).contains(.ia32eModeGuest))
  }

  @Test("The report of a stopped guest shows its registers as the guest sees them")
  func report() throws {
    let guest = try GuestOnModel()
    _ = guest.run(.instruction(.cpuid) { registers, _ in registers.r15 = 0xFEED })
    var output = GuestText()
    GuestReport.write(&guest.vcpu, to: &output)
    let text = String(decoding: output.bytes, as: UTF8.self)
    #expect(text.contains("RIP 0x000000000000fff2"))
    #expect(text.contains("R15 0x000000000000feed"))
    #expect(text.contains("CR0 0x0000000060000010") && text.contains("CR4 0x0000000000000000"), "\(text)")
    #expect(text.contains("CS    0xf000    0x00000000ffff0000  0x0000ffff  0x0009b"))
  }
}
