import VMX

/// A MOV of a doubleword in 64-bit code, the way in which systems nearly always access devices: between a register and
/// memory, or of an immediate to memory, with an address that is a base, a displacement, or both.
///
/// What it is not, `Instruction` is; what it is, `Instruction` is, too, at a greater cost.
struct DoublewordMove {
  /// The base register; nil if there is none.
  let base: UInt8?
  /// The displacement, sign-extended.
  let displacement: UInt64
  /// The register that is loaded or stored; not RSP.
  let register: UInt8
  /// What is stored instead of the register.
  let immediate: UInt64?
  let isStore: Bool
  /// How many bytes the instruction has.
  let length: Int

  /// Decodes the instruction that `bytes` begin with; nil if it is another one.
  init?(_ bytes: InstructionBytes) {
    let (load, store, storeImmediate): (UInt8, UInt8, UInt8) = (0x8B, 0x89, 0xC7)
    var code = bytes.quadword(at: 0)
    var position = 2
    var rex: UInt8 = 0
    if code & 0xF8 == 0x40 {
      rex = UInt8(truncatingIfNeeded: code & 7)
      code >>= 8
      position = 3
    }
    let opcode = UInt8(truncatingIfNeeded: code)
    let modRM = UInt8(truncatingIfNeeded: code >> 8)
    guard opcode == load || opcode == store || opcode == storeImmediate else { return nil }
    let hasByte = modRM & 0xC0 == 0x40
    // In the SIB byte 25H there is no base and, without REX.X, no index.
    let isAbsolute = modRM & 0xC7 == 0x04 && code >> 16 & 0xFF == 0x25 && rex & 2 == 0
    if isAbsolute {
      position &+= 1
    } else if modRM >= 0xC0 || modRM & 7 == 4 || modRM & 0xC7 == 0x05 {
      return nil
    }
    let hasDoubleword = isAbsolute || modRM & 0xC0 == 0x80
    let rest = bytes.quadword(at: position)
    displacement = hasByte ? signExtended(rest, fromSize: 1) : hasDoubleword ? signExtended(rest, fromSize: 4) : 0
    position &+= hasByte ? 1 : hasDoubleword ? 4 : 0
    base = isAbsolute ? nil : modRM & 7 | rex << 3 & 8
    register = modRM >> 3 & 7 | rex << 1 & 8
    isStore = opcode != load
    if opcode == storeImmediate {
      guard modRM & 0x38 == 0 else { return nil }
      immediate = bytes.quadword(at: position) & 0xFFFF_FFFF
      position &+= 4
    } else {
      guard register != RegisterFile.rsp else { return nil }
      immediate = nil
    }
    guard position <= bytes.count else { return nil }
    length = position
  }

  /// The effective address.
  func effectiveAddress(_ registers: RegisterFile) -> UInt64 {
    guard let base else { return displacement }
    return registers[base] &+ displacement
  }

  /// Does the move, on an operand of a device's at guest-physical `address`.
  func execute<Device: MMIODevice & ~Copyable>(
    on device: inout Device, at address: UInt64, _ registers: RegisterFile
  ) {
    let byteCount = 4
    if isStore {
      device.store((immediate ?? registers[register]) & 0xFFFF_FFFF, at: address, byteCount: byteCount)
    } else {
      registers[register] = device.load(address, byteCount: byteCount) & 0xFFFF_FFFF
    }
  }
}
