extension OpcodeEntry {
  /// The moves between an XMM register and memory of the two-byte opcode map (SDM, "Two-byte Opcode Map").
  ///
  /// - Parameters:
  ///   - prefix: the mandatory prefix, 66H, F3H or F2H; 0 if there is none.
  ///   - isWide: whether REX.W is 1.
  /// - Returns: nil if the opcode is none of them.
  static func moveOfXMM(_ opcode: UInt8, prefix: UInt8, isWide: Bool) -> Self? {
    switch (opcode, prefix) {
    // MOVUPS, MOVUPD, MOVDQU and LDDQU.
    case (0x10, 0), (0x10, 0x66), (0x6F, 0xF3), (0xF0, 0xF2): row(.movups, .rm, .doubleQuadword)
    case (0x11, 0), (0x11, 0x66), (0x7F, 0xF3): row(.movups, .mr, .doubleQuadword)
    // MOVAPS, MOVAPD and MOVDQA; MOVNTPS, MOVNTPD and MOVNTDQ.
    case (0x28, 0), (0x28, 0x66), (0x6F, 0x66): row(.movaps, .rm, .doubleQuadword)
    case (0x29, 0), (0x29, 0x66), (0x7F, 0x66): row(.movaps, .mr, .doubleQuadword)
    case (0x2B, 0), (0x2B, 0x66), (0xE7, 0x66): row(.movaps, .mr, .doubleQuadword)
    // MOVSS and MOVSD; MOVD and MOVQ.
    case (0x10, 0xF3): row(.movups, .rm, .singlePrecision)
    case (0x11, 0xF3): row(.movups, .mr, .singlePrecision)
    case (0x10, 0xF2), (0x7E, 0xF3): row(.movups, .rm, .quadword)
    case (0x11, 0xF2), (0xD6, 0x66): row(.movups, .mr, .quadword)
    case (0x6E, 0x66): row(.movups, .rm, isWide ? .quadword : .singlePrecision)
    case (0x7E, 0x66): row(.movups, .mr, isWide ? .quadword : .singlePrecision)
    // MOVLPS, MOVLPD, MOVHPS and MOVHPD.
    case (0x12, 0), (0x12, 0x66): row(.movlps, .rm, .quadword)
    case (0x13, 0), (0x13, 0x66): row(.movlps, .mr, .quadword)
    case (0x16, 0), (0x16, 0x66): row(.movhps, .rm, .quadword)
    case (0x17, 0), (0x17, 0x66): row(.movhps, .mr, .quadword)
    default: nil
    }
  }
}
