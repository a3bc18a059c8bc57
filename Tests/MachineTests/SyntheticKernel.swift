import Machine

/// A bzImage made for a test: a right setup header around code that is nothing.
struct SyntheticKernel {
  static let setupSects = 3
  static let setupByteCount = (setupSects + 1) * 512
  static let codeByteCount = 4096

  var bytes: [UInt8]

  init() {
    bytes = [UInt8](repeating: 0x90, count: Self.setupByteCount)
    bytes.replaceSubrange(0..<2, with: [0x4D, 0x5A])
    bytes.replaceSubrange(0x1F1..<0x290, with: repeatElement(0, count: 0x290 - 0x1F1))
    self[.setupSects] = UInt8(Self.setupSects)
    self[.syssize] = UInt32(Self.codeByteCount / 16)
    self[.bootFlag] = 0xAA55
    self[.jumpOpcode] = 0xEB
    self[.jumpDisplacement] = 0x6A
    self[.header] = 0x5372_6448
    self[.version] = 0x020F
    self[.kernelVersion] = 0x100
    self[.loadflags] = 1
    self[.initrdAddrMax] = 0x7FFF_FFFF
    self[.kernelAlignment] = 0x20_0000
    self[.relocatableKernel] = 1
    self[.xloadflags] = 0x7F
    self[.cmdlineSize] = 2047
    self[.payloadOffset] = 0x2CC
    self[.payloadLength] = 0x100
    self[.prefAddress] = 0x100_0000
    self[.initSize] = 0x20_0000
    bytes.replaceSubrange(0x300..<0x306, with: Array("9.9-x\0".utf8))
    bytes += (0..<Self.codeByteCount).map { UInt8(truncatingIfNeeded: $0 &* 7 &+ $0 >> 8) }
  }

  subscript<Value>(field: LinuxBootField<Value>) -> Value {
    get {
      bytes.withUnsafeBytes { Value(littleEndian: $0.loadUnaligned(fromByteOffset: field.offset, as: Value.self)) }
    }
    set {
      bytes.withUnsafeMutableBytes {
        $0.storeBytes(of: newValue.littleEndian, toByteOffset: field.offset, as: Value.self)
      }
    }
  }

  /// The fault that the parser finds, or nil if there is none.
  var fault: LinuxKernelError? { Self.fault(of: bytes) }

  static func fault(of bytes: [UInt8]) -> LinuxKernelError? {
    bytes.withUnsafeBytes { bytes in
      do throws(LinuxKernelError) {
        _ = try LinuxKernel(bytes)
        return nil
      } catch {
        return error
      }
    }
  }
}
