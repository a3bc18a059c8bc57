import Dispatch
import Glibc
import SystemPackage

/// A run of the emulator, seen from its serial lines: carries the console and listens to the report channel.
///
/// One thread uses it at a time.
final class Session: @unchecked Sendable {
  /// Why ``run(emulator:)`` returned.
  enum Cause: Equatable {
    /// The emulator has ended by itself.
    case emulatorEnded
    /// The script's last text was seen.
    case scriptOver
    case timedOut
    case interrupted
  }

  let console: PseudoTerminal
  let reportLine: PseudoTerminal
  /// What Skep has reported, in order.
  private(set) var reports: [Report] = []
  /// The texts that are still to be seen.
  private(set) var script: ConsoleScript

  private let progress: Progress
  private let signals: Signals
  private var deadline: ContinuousClock.Instant?
  private let terminal: UserTerminal?
  private var keyboard = Keyboard()
  private var readsInput: Bool
  private var lines = LineBuffer()
  private var toGuest: [UInt8] = []
  private var toUser: [UInt8] = []
  private var isWithinLine = false
  private var cause: Cause?

  /// Opens the serial lines.
  ///
  /// With a script, standard input is left alone; without one, it is the guest's keyboard.
  init(script: ConsoleScript, limit: TimeLimit?, progress: Progress, signals: Signals) throws {
    console = try PseudoTerminal()
    reportLine = try PseudoTerminal()
    self.script = script
    self.progress = progress
    self.signals = signals
    deadline = limit.map { .now + $0.duration }
    readsInput = script.awaited == nil
    terminal = readsInput && tcgetpgrp(STDIN_FILENO) == getpgrp() ? UserTerminal() : nil
    if terminal != nil { progress.note("Ctrl-A X ends the run.") }
  }

  /// Whether a user types at the console.
  var isInteractive: Bool { terminal != nil }

  /// How Skep said that the run ended; nil if it said nothing.
  var end: RunEnd? {
    for case .end(let end) in reports { return end }
    return nil
  }

  /// Carries bytes until the run is over.
  ///
  /// `emulator` is a descriptor that becomes readable when the emulator ends.
  func run(emulator: Int32) async -> Cause {
    await withCheckedContinuation { continuation in
      // Polling blocks, which a thread of the cooperative pool must not.
      DispatchQueue.global().async { continuation.resume(returning: self.carry(emulator)) }
    }
  }

  private func carry(_ emulator: Int32) -> Cause {
    while cause == nil {
      var polls = [
        pollfd(fd: emulator, events: Int16(POLLIN), revents: 0),
        pollfd(fd: signals.descriptor.rawValue, events: Int16(POLLIN), revents: 0),
        pollfd(fd: reportLine.master.rawValue, events: Int16(POLLIN), revents: 0),
        pollfd(fd: console.master.rawValue, events: Int16(POLLIN | (toGuest.isEmpty ? 0 : POLLOUT)), revents: 0),
        pollfd(fd: readsInput && toGuest.count < 4096 ? STDIN_FILENO : -1, events: Int16(POLLIN), revents: 0),
        pollfd(fd: toUser.isEmpty ? -1 : STDOUT_FILENO, events: Int16(POLLOUT), revents: 0),
      ]
      poll(&polls, nfds_t(polls.count), remainingMilliseconds)
      if polls[1].revents != 0 { handleSignals() }
      if polls[2].revents != 0 { takeReports() }
      if polls[3].revents != 0 { takeConsole() }
      if polls[4].revents != 0 { takeInput() }
      if polls[5].revents != 0 { writeToUser(atMost: 256) }
      sendToGuest()
      if polls[0].revents != 0 { finish(.emulatorEnded) }
      if let deadline, ContinuousClock.now >= deadline { finish(end == nil ? .timedOut : .emulatorEnded) }
    }
    takeReports()
    takeConsole()
    writeToUser(atMost: .max)
    terminal?.restore()
    return cause!
  }

  private func finish(_ cause: Cause) {
    if self.cause == nil { self.cause = cause }
  }

  private var remainingMilliseconds: Int32 {
    guard let deadline else { return -1 }
    let remaining = (deadline - .now).components
    return Int32(clamping: max(0, remaining.seconds * 1000 + remaining.attoseconds / 1_000_000_000_000_000 + 1))
  }

  private func handleSignals() {
    while let signal = signals.next() {
      switch signal {
      case SIGTSTP:
        if let terminal { terminal.suspend() } else { raise(SIGSTOP) }
      case SIGCONT: terminal?.makeRaw()
      default: finish(.interrupted)
      }
    }
  }

  private func takeReports() {
    for line in lines.lines(reportLine.read()) {
      let report = Report(line: line) ?? .note(line)
      if case .note(let text) = report { note(text) } else { reports.append(report) }
      // The hypervisor powers the machine off at once; an emulator that does not end then is ended.
      if case .end = report { deadline = min(deadline ?? .now + .seconds(5), .now + .seconds(5)) }
    }
  }

  /// Says something between the guest's lines, where both go to one terminal.
  private func note(_ text: String) {
    if isWithinLine, isatty(STDOUT_FILENO) == 1 { toUser += [0x0d, 0x0a] }
    writeToUser(atMost: .max)
    isWithinLine = false
    progress.note(text)
  }

  private func takeConsole() {
    let output = console.read()
    guard let last = output.last else { return }
    isWithinLine = last != 0x0a
    toUser += output
    toGuest += script.consume(output)
    if script.isOver { finish(.scriptOver) }
  }

  private func takeInput() {
    var buffer = [UInt8](repeating: 0, count: 1024)
    let count = (try? buffer.withUnsafeMutableBytes { try FileDescriptor.standardInput.read(into: $0) }) ?? 0
    if count == 0 { readsInput = false }
    if terminal == nil {
      toGuest += buffer[..<count]
    } else {
      toGuest += keyboard.consume(buffer[..<count])
      if keyboard.wantsEnd { finish(.interrupted) }
    }
  }

  private func sendToGuest() {
    if toGuest.isEmpty { return }
    guard let count = try? toGuest.withUnsafeBytes({ try console.master.write($0) }) else { return }
    toGuest.removeFirst(count)
  }

  private func writeToUser(atMost limit: Int) {
    do {
      while !toUser.isEmpty {
        let count = try toUser.withUnsafeBytes {
          try FileDescriptor.standardOutput.write(.init(rebasing: $0.prefix(limit)))
        }
        toUser.removeFirst(count)
        if limit != .max { return }
      }
    } catch {
      // Nobody reads the console any more.
      toUser.removeAll()
      finish(.interrupted)
    }
  }
}
