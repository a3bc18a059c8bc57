import CVMX
import EntryProbe
import VMCS

/// Where the probe keeps what: memory from 8 MiB on, which the boot code has mapped and nobody else uses, and the memory
/// that states refer to.
enum ProbePages {
  static var vmxon: UnsafeMutableRawPointer { page(0) }
  static var vmcs: UnsafeMutableRawPointer { page(1) }
  static var interruptDescriptorTable: UnsafeMutableRawPointer { page(2) }
  /// The guest's registers, and behind them the host's RSP, for the VM-entry stub.
  static var registers: UnsafeMutableRawPointer { page(3) }
  static var encodings: UnsafeMutableRawPointer { page(4) }
  static var shadowVMCS: UnsafeMutableRawPointer { page(5) }
  /// The last, since it is larger than a page.
  static var bases: UnsafeMutableRawPointer { page(6) }

  private static func page(_ number: UInt) -> UnsafeMutableRawPointer { pointer(UInt64(0x80_0000 + number << 12)) }

  private static func pointer(_ address: UInt64) -> UnsafeMutableRawPointer {
    UnsafeMutableRawPointer(bitPattern: UInt(address)).unsafelyUnwrapped
  }

  static func address(_ pointer: UnsafeMutableRawPointer) -> PhysicalAddress {
    PhysicalAddress(UInt64(UInt(bitPattern: pointer)))
  }

  /// Gives the memory that states refer to its content.
  static func fill(revisionIdentifier: UInt64) {
    let range = ProbeMemory.zeroed
    pointer(range.lowerBound).initializeMemory(
      as: UInt64.self, repeating: 0, count: Int(range.upperBound - range.lowerBound) / 8)
    for page in ProbeMemory.Page.allCases {
      for offset in stride(from: UInt64(0), to: 4096, by: 8) {
        let value = ProbeMemory.quadword(at: page.address + offset, revisionIdentifier: revisionIdentifier)
        pointer(page.address + offset).storeBytes(of: value ?? 0, as: UInt64.self)
      }
    }
  }
}
