import Glibc

/// The user's terminal on standard input, switched to raw mode while a guest has it.
final class UserTerminal {
  private let original: termios

  /// Takes the terminal over; nil if standard input is not a terminal.
  init?() {
    var attributes = termios()
    guard isatty(STDIN_FILENO) == 1, tcgetattr(STDIN_FILENO, &attributes) == 0 else { return nil }
    original = attributes
    makeRaw()
  }

  deinit { restore() }

  /// Every key goes to the guest.
  ///
  /// Output processing stays, so that a newline of ours still begins a line.
  func makeRaw() {
    var raw = original
    cfmakeraw(&raw)
    raw.c_oflag |= tcflag_t(OPOST)
    tcsetattr(STDIN_FILENO, TCSANOW, &raw)
  }

  /// Gives the terminal back as it was.
  func restore() {
    var attributes = original
    tcsetattr(STDIN_FILENO, TCSANOW, &attributes)
  }

  /// Stops this process as SIGTSTP would have, with the terminal as it was, and takes it over again afterwards.
  func suspend() {
    restore()
    raise(SIGSTOP)
    makeRaw()
  }
}

/// What the user types: everything is the guest's, but Ctrl-A X ends the run and Ctrl-A Ctrl-A is one Ctrl-A.
struct Keyboard {
  private static let controlA: UInt8 = 1
  private var isEscaped = false
  /// Whether Ctrl-A X has been typed.
  private(set) var wantsEnd = false

  /// Takes what was typed and returns what the guest gets.
  mutating func consume(_ typed: some Sequence<UInt8>) -> [UInt8] {
    var forwarded: [UInt8] = []
    for byte in typed {
      if !isEscaped {
        if byte == Self.controlA { isEscaped = true } else { forwarded.append(byte) }
        continue
      }
      isEscaped = false
      switch byte {
      case UInt8(ascii: "x"), UInt8(ascii: "X"): wantsEnd = true
      case Self.controlA, UInt8(ascii: "a"), UInt8(ascii: "A"): forwarded.append(Self.controlA)
      default: forwarded += [Self.controlA, byte]
      }
    }
    return forwarded
  }
}
