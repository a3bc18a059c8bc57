import VMX

/// A MOV of a doubleword or quadword in 64-bit code, the way in which systems nearly always access devices: between a
/// register and memory, or of an immediate to memory, with an address that is a base, a displacement, or both.
///
/// What it is not, `Instruction` is; what it is, `Instruction` is, too, at a greater cost.
struct PlainMove {
  /// The base register, not RSP; nil if there is none.
  let base: UInt8?
  /// The displacement, sign-extended.
  let displacement: UInt64
  /// The register that is loaded or stored; not RSP.
  let register: UInt8
  /// What is stored instead of the register, sign-extended.
  let immediate: UInt64?
  let isStore: Bool
  /// 4 or 8.
  let byteCount: Int
  /// How many bytes the instruction has.
  let length: Int

  /// Decodes the instruction that `bytes` begin with; nil if it is another one.
  @inline(__always)
  init?(_ bytes: InstructionBytes) {
    // All but the immediate is in the first eight bytes; what has been looked at is shifted out.
    var code = bytes.quadword(at: 0)
    var position = 2
    var rex: UInt8 = 0
    if code & 0xF0 == 0x40 {
      rex = UInt8(truncatingIfNeeded: code & 15)
      code >>= 8
      position = 3
    }
    let opcode = UInt8(truncatingIfNeeded: code)
    let modRM = UInt8(truncatingIfNeeded: code >> 8)
    code >>= 16
    var low = modRM & 7
    if low == 4 {
      // A SIB byte without an index.
      guard code & 0x38 == 0x20, rex & 2 == 0 else { return nil }
      low = UInt8(truncatingIfNeeded: code & 7)
      code >>= 8
      position &+= 1
    } else if modRM & 0xC7 == 0x05 {
      // Relative to RIP.
      return nil
    }
    let number = low | rex << 3 & 8
    guard number != RegisterFile.rsp else { return nil }
    switch modRM >> 6 {
    case 0 where low != 5:
      displacement = 0
      base = number
    case 1:
      displacement = signExtended(code, fromSize: 1)
      base = number
      position &+= 1
    case 3: return nil
    case let mod:
      displacement = signExtended(code, fromSize: 4)
      base = mod == 0 ? nil : number
      position &+= 4
    }
    register = modRM >> 3 & 7 | rex << 1 & 8
    byteCount = rex & 8 == 0 ? 4 : 8
    isStore = opcode != 0x8B
    if opcode & 0xFD == 0x89 {
      guard register != RegisterFile.rsp else { return nil }
      immediate = nil
    } else {
      guard opcode == 0xC7, modRM & 0x38 == 0 else { return nil }
      immediate = signExtended(bytes.quadword(at: position), fromSize: 4)
      position &+= 4
    }
    guard position <= bytes.count else { return nil }
    length = position
  }

  /// The effective address.
  @inline(__always)
  func effectiveAddress(_ registers: RegisterFile) -> UInt64 {
    guard let base else { return displacement }
    return registers[base] &+ displacement
  }

  /// Does the move, on an operand of a device's at guest-physical `address`.
  @inline(__always)
  func execute<Device: MMIODevice & ~Copyable>(
    on device: inout Device, at address: UInt64, _ registers: RegisterFile
  ) {
    let mask = mask(ofSize: byteCount)
    if isStore {
      device.store((immediate ?? registers[register]) & mask, at: address, byteCount: byteCount)
    } else {
      registers[register] = device.load(address, byteCount: byteCount) & mask
    }
  }
}
