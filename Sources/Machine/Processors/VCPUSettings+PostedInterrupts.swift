import VMX

extension VCPUSettings {
  /// With "process posted interrupts", has the processor take edge-triggered interrupts for virtual processor `index`
  /// out of its mailbox by itself; without the control nothing changes.
  ///
  /// Before the vCPU is made. From then on other processors send `vector` in place of a kick.
  ///
  /// - Parameters:
  ///   - vector: the posted-interrupt notification vector, 16 to 255: one of the host's that it uses for nothing else.
  ///   - destination: the APIC ID of the processor that runs the vCPU, in the form that the SDM's NDST has.
  public mutating func takePostedInterrupts(
    from mailboxes: ProcessorMailboxes, of index: Int, notifiedBy vector: UInt8, at destination: UInt32
  ) {
    guard options.contains(.processPostedInterrupts) else { return }
    postedInterruptDescriptorAddress = mailboxes.address(of: index)
    postedInterruptNotificationVector = vector
    mailboxes[index].setNotification(vector: vector, destination: destination)
  }
}
