import VMCS

/// What a task switch saves and loads (SDM, "Task-State Segment (TSS)").
struct TaskState {
  /// EIP and EFLAGS.
  var ip: UInt64 = 0
  var flags: UInt64 = 0
  /// EAX, ECX, EDX, EBX, ESP, EBP, ESI and EDI.
  var general: InlineArray<8, UInt64> = InlineArray(repeating: 0)
  /// The selectors of ES, CS, SS, DS, FS and GS.
  var selectors: InlineArray<6, UInt16> = InlineArray(repeating: 0)
  /// The selector of the LDT; loaded only.
  var ldt: UInt16 = 0
  /// CR3; loaded only, and from a 32-bit TSS only.
  var cr3: UInt64 = 0
  /// The T flag: a debug exception comes before the task's first instruction; loaded only.
  var hasDebugTrap = false
}

/// Where a TSS has its fields (SDM, "Task-State Segment (TSS)", "16-Bit Task-State Segment (TSS)").
struct TaskStateSegment {
  /// The base address.
  var base: UInt64
  /// Whether it is a 32-bit TSS.
  var is32Bit: Bool

  /// The least limit of a TSS that is switched to.
  var leastLimit: UInt32 { is32Bit ? 0x67 : 0x2B }
  /// The least limit of a TSS that is switched from.
  var leastSavedLimit: UInt32 { is32Bit ? 0x5F : 0x29 }
  /// Where the fields that are saved begin, and how many bytes they have.
  var saved: (address: UInt64, byteCount: Int) { (base &+ ipOffset, is32Bit ? 0x3E : 0x1C) }

  private var ipOffset: UInt64 { is32Bit ? 0x20 : 0x0E }
  private var flagsOffset: UInt64 { is32Bit ? 0x24 : 0x10 }
  private var generalOffset: UInt64 { is32Bit ? 0x28 : 0x12 }
  private var selectorsOffset: UInt64 { is32Bit ? 0x48 : 0x22 }
  private var ldtOffset: UInt64 { is32Bit ? 0x60 : 0x2A }
  private var selectorCount: Int { is32Bit ? 6 : 4 }
  private var size: Int { is32Bit ? 4 : 2 }

  private func address(_ offset: UInt64, _ index: Int = 0) -> UInt64 { base &+ offset &+ UInt64(index * size) }

  /// Saves `state`.
  func save<Memory>(_ state: TaskState, to memory: SystemMemory<Memory>) throws(MemoryFault) {
    try memory.store(state.ip, byteCount: size, at: address(ipOffset))
    try memory.store(state.flags, byteCount: size, at: address(flagsOffset))
    for index in 0..<8 { try memory.store(state.general[index], byteCount: size, at: address(generalOffset, index)) }
    for index in 0..<selectorCount {
      try memory.store(UInt64(state.selectors[index]), byteCount: 2, at: address(selectorsOffset, index))
    }
  }

  /// Loads the state of a task.
  ///
  /// From a 16-bit TSS the upper halves of the general-purpose registers are ones, as on the processors that have been
  /// looked at (Bochs, `tasking.cc`), and FS and GS are null.
  func load<Memory>(from memory: SystemMemory<Memory>) throws(MemoryFault) -> TaskState {
    var state = TaskState()
    state.ip = try memory.load(address(ipOffset), byteCount: size)
    state.flags = try memory.load(address(flagsOffset), byteCount: size)
    let upper: UInt64 = is32Bit ? 0 : 0xFFFF_0000
    for index in 0..<8 {
      state.general[index] = try memory.load(address(generalOffset, index), byteCount: size) | upper
    }
    for index in 0..<selectorCount {
      state.selectors[index] = try selector(at: address(selectorsOffset, index), memory)
    }
    state.ldt = try selector(at: address(ldtOffset), memory)
    if is32Bit {
      state.cr3 = try memory.load(address(0x1C), byteCount: 4)
      state.hasDebugTrap = try memory.load(address(0x64), byteCount: 1) & 1 != 0
    }
    return state
  }

  private func selector<Memory>(at address: UInt64, _ memory: SystemMemory<Memory>) throws(MemoryFault) -> UInt16 {
    UInt16(truncatingIfNeeded: try memory.load(address, byteCount: 2))
  }
}
