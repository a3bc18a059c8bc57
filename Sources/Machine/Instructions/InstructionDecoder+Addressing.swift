import VMCS
import VMX

// SDM, "Addressing-Mode Encoding of ModR/M and SIB Bytes".

extension InstructionDecoder {
  /// The memory operand of a ModR/M byte whose mod is not 3, with its SIB byte and displacement.
  mutating func takeMemoryReference(_ modRM: UInt8) -> MemoryReference {
    var reference = addressSize == 2 ? takeReference16(modRM) : takeReference32(modRM)
    // Of the 16-bit bases with BP, too, BP is the base.
    let isOnStack = reference.base == 4 || reference.base == 5
    reference.segment = prefixes.segment ?? (isOnStack ? .ss : .ds)
    return reference
  }

  private mutating func takeDisplacement(_ size: Int) -> UInt64 {
    let displacement = signExtended(bytes.quadword(at: position), fromSize: size)
    position &+= size
    return displacement
  }

  private mutating func takeReference32(_ modRM: UInt8) -> MemoryReference {
    var reference = MemoryReference(addressSize: addressSize)
    let mod = modRM >> 6
    let rm = modRM & 7
    var base = rm
    if rm == 4 {
      let sib = bytes[position]
      position &+= 1
      base = sib & 7
      let index = sib >> 3 & 7 | prefixes.rex << 2 & 8
      if index != 4 { (reference.index, reference.scale) = (index, sib >> 6) }
    }
    if mod == 0 && base == 5 {
      reference.isRIPRelative = rm == 5 && attributes.is64Bit
      reference.displacement = takeDisplacement(4)
      return reference
    }
    reference.base = base | prefixes.rex << 3 & 8
    if mod == 1 { reference.displacement = takeDisplacement(1) }
    if mod == 2 { reference.displacement = takeDisplacement(4) }
    return reference
  }

  private mutating func takeReference16(_ modRM: UInt8) -> MemoryReference {
    let (bx, bp, si, di): (UInt8, UInt8, UInt8, UInt8) = (3, 5, 6, 7)
    var reference = MemoryReference(addressSize: addressSize)
    let mod = modRM >> 6
    switch modRM & 7 {
    case 0: (reference.base, reference.index) = (bx, si)
    case 1: (reference.base, reference.index) = (bx, di)
    case 2: (reference.base, reference.index) = (bp, si)
    case 3: (reference.base, reference.index) = (bp, di)
    case 4: reference.base = si
    case 5: reference.base = di
    case 6 where mod == 0:
      reference.displacement = takeDisplacement(2)
      return reference
    case 6: reference.base = bp
    default: reference.base = bx
    }
    if mod == 1 { reference.displacement = takeDisplacement(1) }
    if mod == 2 { reference.displacement = takeDisplacement(2) }
    return reference
  }
}
