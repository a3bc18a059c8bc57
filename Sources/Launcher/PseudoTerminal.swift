import Glibc
import SystemPackage

/// A pseudo-terminal in raw mode: the emulator opens ``path`` as a serial line, and this process has the other end.
///
/// The emulator is started as the leader of a session without a terminal, so the first serial line that it opens
/// becomes its controlling terminal. When this process ends, however it ends, the kernel closes `master`, and the
/// hangup ends the emulator: no orphan is left even after SIGKILL.
final class PseudoTerminal: Sendable {
  /// This process's end; reads and writes do not block.
  let master: FileDescriptor
  /// The emulator's end, kept open here so that what the emulator wrote last can be read after it has died.
  private let slave: FileDescriptor
  /// The path that the emulator opens.
  let path: String

  /// TIOCSPTLCK and TIOCGPTN of Linux's `<asm-generic/ioctls.h>`, which Swift does not import.
  private static let setLock: UInt = 0x4004_5431
  private static let getNumber: UInt = 0x8004_5430

  private static var problem: LaunchProblem {
    LaunchProblem("no pseudo-terminal can be opened: \(Errno(rawValue: errno))", status: .emulatorDied)
  }

  init() throws(LaunchProblem) {
    let descriptor = Glibc.open("/dev/ptmx", O_RDWR | O_NOCTTY | O_CLOEXEC | O_NONBLOCK)
    var unlocked: Int32 = 0
    var number: UInt32 = 0
    guard descriptor >= 0, ioctl(descriptor, Self.setLock, &unlocked) == 0,
      ioctl(descriptor, Self.getNumber, &number) == 0
    else { throw Self.problem }
    path = "/dev/pts/\(number)"
    let other = Glibc.open(path, O_RDWR | O_NOCTTY | O_CLOEXEC)
    guard other >= 0 else { throw Self.problem }
    var attributes = termios()
    tcgetattr(other, &attributes)
    cfmakeraw(&attributes)
    tcsetattr(other, TCSANOW, &attributes)
    master = FileDescriptor(rawValue: descriptor)
    slave = FileDescriptor(rawValue: other)
  }

  deinit {
    try? master.close()
    try? slave.close()
  }

  /// What the emulator has written and nobody has read yet, about `limit` bytes at most; empty if there is nothing.
  func read(atMost limit: Int = 1 << 16) -> [UInt8] {
    var result: [UInt8] = []
    var buffer = [UInt8](repeating: 0, count: 4096)
    while result.count < limit, let count = try? buffer.withUnsafeMutableBytes({ try master.read(into: $0) }), count > 0
    {
      result += buffer[..<count]
    }
    return result
  }
}
