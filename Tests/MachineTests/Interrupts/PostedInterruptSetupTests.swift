import ProcessorModel
import Testing
import VMCS
import VMX

@testable import Machine

@Suite struct PostedInterruptSetupTests {
  @Test("The VMCS has vector and descriptor if the control is used, and nobody notifies if it is not")
  func setup() throws {
    for options in [OptionalControls.all, .all.subtracting(.processPostedInterrupts), []] {
      let guest = try GuestOnModel(options: options)
      let isUsed = options.contains(.processPostedInterrupts)
      let written = Set(guest.processor.trace.vmwrites.map(\.field))
      #expect(written.contains(VMCSField.postedInterruptNotificationVector.encoding) == isUsed)
      #expect(written.contains(VMCSField.postedInterruptDescriptorAddress.encoding) == isUsed)
      #expect(guest.machine.mailboxes[0].hasNotificationVector == isUsed)
      #expect(guest.contents(.pinBasedVMExecutionControls).contains(.processPostedInterrupts) == isUsed)
      guard isUsed else { continue }
      #expect(guest.contents(.postedInterruptNotificationVector) == UInt16(GuestOnModel.notificationVector))
      #expect(guest.contents(.postedInterruptDescriptorAddress) == guest.machine.mailboxes.address(of: 0))
      let request = guest.run([])
      #expect(request.isEnd && guest.processor.failedCheck == nil)
    }
    let guest = try GuestOnModel(processorCount: 8)
    #expect((0..<8).allSatisfy { guest.machine.mailboxes.address(of: $0).rawValue % 64 == 0 })
  }

  @Test("What the SDM asks for with the control is looked at by the entry")
  func checks() throws {
    typealias Row = (check: String, change: (ProcessorModel) -> Void)
    let rows: [Row] = [
      (
        "virtual-interrupt-delivery",
        { processor in
          let field = VMCSField.secondaryProcessorBasedVMExecutionControls
          let controls = processor.contents(of: field) ?? []
          processor.setContents(of: field, to: controls.subtracting(.virtualInterruptDelivery))
        }
      ),
      (
        "acknowledge-interrupt-on-exit",
        { processor in
          let controls = processor.contents(of: .primaryVMExitControls) ?? []
          processor.setContents(of: .primaryVMExitControls, to: controls.subtracting(.acknowledgeInterruptOnExit))
        }
      ),
      ("notification-vector", { $0.setContents(of: .postedInterruptNotificationVector, to: 0x100) }),
      (
        "descriptor-alignment",
        { $0.setContents(of: .postedInterruptDescriptorAddress, to: PhysicalAddress(0x10_0020)) }
      ),
      ("descriptor-width", { $0.setContents(of: .postedInterruptDescriptorAddress, to: PhysicalAddress(1 << 60)) }),
    ]
    for row in rows {
      let guest = try GuestOnModel(options: .all)
      row.change(guest.processor)
      let request = guest.run([])
      guard case .stopped(.entryInstructionFailed) = request else {
        Issue.record("\(row.check): \(request)")
        continue
      }
      #expect(guest.processor.failedCheck.map { "\($0.id)" } == "control.posted-interrupts.\(row.check)")
    }
  }

  @Test("An edge needs the notification vector only, all else a kick", arguments: [true, false])
  func kicks(isNotified: Bool) {
    let memory = UnsafeMutableRawPointer.allocate(
      byteCount: PostedInterruptDescriptor.byteCount, alignment: PostedInterruptDescriptor.byteCount)
    defer { memory.deallocate() }
    for mode in InterruptMessage.DeliveryMode.allCases {
      for vector in UInt8.min...255 {
        for isLevelTriggered in [false, true] {
          let mailboxes = ProcessorMailboxes(in: memory, at: PhysicalAddress(0), count: 1)
          if isNotified { mailboxes[0].setNotification(vector: 0x44, destination: 0) }
          let message = InterruptMessage(
            destination: 0, vector: vector, deliveryMode: mode, isLevelTriggered: isLevelTriggered)
          let kicks = mailboxes.post(message, to: mailboxes.all)
          let isFixed = mode == .fixed || mode == .lowestPriority
          let isEdge = isFixed && !isLevelTriggered && vector >= 16
          #expect(kicks.notifications == (isEdge && isNotified ? ProcessorSet(0) : []))
          #expect(kicks.exits == (mode == .smi || isEdge && isNotified ? [] : ProcessorSet(0)))
          #expect(mailboxes[0].hasPosted == (mode != .smi))
          #expect(mailboxes.post(message, to: mailboxes.all).isEmpty == true, "who comes second does not kick")
        }
      }
    }
  }

  /// Commands of the ICR to all but the sender, and how the three others are told: the second has no notification vector.
  @Test(
    "An IPI tells the others by what they take",
    arguments: [(0xC_4091, 0b1010, 0b0100), (0xC_4400, 0, 0b1110), (0xC_4500, 0, 0b1110)]
      as [(UInt32, UInt64, UInt64)])
  func interprocessorInterrupt(command: UInt32, notifications: UInt64, exits: UInt64) throws {
    let guest = try GuestOnModel(options: .all, processorCount: 4)
    for index in 1..<4 {
      withLocalAPIC(id: UInt32(index)) { apic, _ in
        apic.enable()
        guest.machine.mailboxes[index].publish(apic.identity)
      }
      if index != 2 { guest.machine.mailboxes[index].setNotification(vector: 0x44, destination: 0) }
    }
    guest.vcpu.virtualAPICPage.storeBytes(of: command, toByteOffset: 0x300, as: UInt32.self)
    let request = guest.run([ScriptedExit(.apicWrite, qualification: 0x300)])
    guard case .kick = request else {
      Issue.record("\(request)")
      return
    }
    let kicks = guest.virtualProcessor.takeKicks()
    #expect(kicks.notifications.rawValue == notifications)
    #expect(kicks.exits.rawValue == exits)
    let rest = guest.virtualProcessor.takeKicks()
    #expect(rest.isEmpty == true)
  }

  @Test("Of a processor's external interrupts, only the notification vector makes no exit, with the control only")
  func externalInterrupts() throws {
    for options in [OptionalControls.all, .all.subtracting(.processPostedInterrupts)] {
      for vector in UInt8(0x20)...255 {
        let guest = try GuestOnModel(options: options)
        guest.processor.program = GuestProgram([.nop, .nop, .cpuid])
        guest.processor.externalInterrupts.request(vector)
        let request = guest.virtualProcessor.run(&guest.vcpu)
        let isPosted = vector == GuestOnModel.notificationVector && options.contains(.processPostedInterrupts)
        if case .interrupt(vector) = request {
          #expect(!isPosted && guest.processor.externalInterrupts.inService == [vector], "the host ends it")
        } else {
          // The program has come to its HLT.
          #expect(isPosted && guest.processor.externalInterrupts == ExternalInterrupts())
        }
      }
    }
  }
}
