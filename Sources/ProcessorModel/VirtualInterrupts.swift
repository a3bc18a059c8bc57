import VMCS

/// The virtual-APIC page of a VMCS (SDM, "Virtual APIC State").
struct VirtualAPICPage {
  /// The registers of 256 bits, by the offset of the first of eight.
  enum Vectors: Int {
    case inService = 0x100
    case request = 0x200
  }

  let pointer: UnsafeMutableRawPointer

  var taskPriority: UInt8 {
    get { pointer.load(fromByteOffset: 0x80, as: UInt8.self) }
    nonmutating set { pointer.storeBytes(of: newValue, toByteOffset: 0x80, as: UInt8.self) }
  }

  var processorPriority: UInt8 {
    get { pointer.load(fromByteOffset: 0xA0, as: UInt8.self) }
    nonmutating set { pointer.storeBytes(of: UInt32(newValue), toByteOffset: 0xA0, as: UInt32.self) }
  }

  func set(_ vectors: Vectors, _ vector: UInt8) { self[vectors, vector] |= 1 << UInt32(vector % 32) }

  func clear(_ vectors: Vectors, _ vector: UInt8) { self[vectors, vector] &= ~(1 << UInt32(vector % 32)) }

  /// The highest vector whose bit is set; 0 for none.
  func highest(_ vectors: Vectors) -> UInt8 {
    (UInt8.min...255).last { self[vectors, $0] >> UInt32($0 % 32) & 1 != 0 } ?? 0
  }

  private subscript(vectors: Vectors, vector: UInt8) -> UInt32 {
    get { pointer.load(fromByteOffset: vectors.rawValue + Int(vector / 32) * 16, as: UInt32.self) }
    nonmutating set {
      pointer.storeBytes(of: newValue, toByteOffset: vectors.rawValue + Int(vector / 32) * 16, as: UInt32.self)
    }
  }
}

/// SDM, "Evaluation and Delivery of Virtual Interrupts" and "Virtualizing Writes to the … Register".
extension ProcessorModel {
  func virtualAPIC(_ vmcs: VMCSStorage) -> VirtualAPICPage {
    guard let page = memory.pointer(to: vmcs[.virtualAPICAddress], byteCount: ModelMemory.pageSize) else {
      endProcess("ProcessorModel \(configuration.name): the virtual-APIC page has no memory\n")
    }
    return VirtualAPICPage(pointer: page)
  }

  func deliversVirtualInterrupts(_ vmcs: VMCSStorage) -> Bool {
    vmcs[.primaryProcessorBasedVMExecutionControls].contains(.activateSecondaryControls)
      && vmcs[.secondaryProcessorBasedVMExecutionControls].contains(.virtualInterruptDelivery)
  }

  /// "PPR Virtualization".
  func virtualizePPR(_ vmcs: VMCSStorage) {
    let page = virtualAPIC(vmcs)
    let service = vmcs[.guestInterruptStatus].svi & 0xF0
    page.processorPriority = page.taskPriority & 0xF0 >= service ? page.taskPriority : service
  }

  /// "Evaluation of Pending Virtual Interrupts".
  func evaluateVirtualInterrupts(_ vmcs: VMCSStorage) {
    let waits = vmcs[.primaryProcessorBasedVMExecutionControls].contains(.interruptWindowExiting)
    let isAbove = vmcs[.guestInterruptStatus].rvi >> 4 > virtualAPIC(vmcs).processorPriority >> 4
    program?.isVirtualInterruptRecognized = isAbove && !waits
  }

  /// "Virtual-Interrupt Delivery"; the vector that is in service then.
  func deliverVirtualInterrupt(_ vmcs: VMCSStorage) -> UInt8 {
    let page = virtualAPIC(vmcs)
    var status = vmcs[.guestInterruptStatus]
    let vector = status.rvi
    page.set(.inService, vector)
    status.svi = vector
    page.processorPriority = vector & 0xF0
    page.clear(.request, vector)
    status.rvi = page.highest(.request)
    vmcs[.guestInterruptStatus] = status
    program?.isVirtualInterruptRecognized = false
    return vector
  }

  /// "EOI Virtualization"; the vector if it exits.
  func virtualizeEOI(_ vmcs: VMCSStorage) -> UInt8? {
    let page = virtualAPIC(vmcs)
    var status = vmcs[.guestInterruptStatus]
    let vector = status.svi
    page.clear(.inService, vector)
    status.svi = page.highest(.inService)
    vmcs[.guestInterruptStatus] = status
    virtualizePPR(vmcs)
    let bitmaps = [VMCSField.eoiExitBitmap0, .eoiExitBitmap1, .eoiExitBitmap2, .eoiExitBitmap3]
    if vmcs[bitmaps[Int(vector / 64)]] >> UInt64(vector % 64) & 1 != 0 { return vector }
    evaluateVirtualInterrupts(vmcs)
    return nil
  }

  /// "TPR Virtualization", with "virtual-interrupt delivery".
  func virtualizeTPR(_ value: UInt8, _ vmcs: VMCSStorage) {
    virtualAPIC(vmcs).taskPriority = value
    virtualizePPR(vmcs)
    evaluateVirtualInterrupts(vmcs)
  }
}
