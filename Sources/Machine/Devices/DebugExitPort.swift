/// QEMU's device `isa-debug-exit`: port 0xf4, by which a test kernel ends the machine with an exit status.
///
/// It is 4 ports wide, for those who write a doubleword; only the lowest byte counts, as an exit status has no more.
public enum DebugExitPort {
  /// The first port.
  public static var port: UInt16 { 0xf4 }

  /// The exit status that the guest asks for by writing `value`: odd, and so never that of success.
  public static func status(for value: UInt8) -> UInt8 { value << 1 | 1 }
}
