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

  /// Tells the user of the run, and waits for a reader as long as the run may last.
  let progress: Progress
  private let signals: Signals
  /// When the user wants the run to have ended.
  private let deadline: ContinuousClock.Instant?
  /// When an emulator that has reported an end has to have ended itself.
  private var grace: ContinuousClock.Instant?
  private let output = UserOutput(.standardOutput)
  /// The user's terminal while the guest has it: to let go of it gives it back.
  private var terminal: UserTerminal?
  private var keyboard = Keyboard()
  private var readsInput: Bool
  private var lines = LineBuffer()
  private var toGuest: [UInt8] = []
  private var toUser: ArraySlice<UInt8> = []
  private var isWithinLine = false
  /// Why the run is over; nil as long as it is not.
  private(set) var cause: Cause?

  /// How many bytes may wait for a reader of standard output before the guest has to wait.
  private static let mostForUser = 1 << 20

  /// Opens the serial lines.
  ///
  /// With a script, standard input is left alone; without one, it is the guest's keyboard.
  init(script: ConsoleScript, limit: TimeLimit?, progress: Progress, signals: Signals) throws {
    console = try PseudoTerminal()
    reportLine = try PseudoTerminal()
    self.script = script
    self.signals = signals
    deadline = limit.map { .now + $0.duration }
    self.progress = progress.until(deadline)
    signals.catchJobControl()
    readsInput = script.awaited == nil
    terminal = readsInput && tcgetpgrp(STDIN_FILENO) == getpgrp() ? UserTerminal() : nil
    if terminal != nil { progress.note("Ctrl-A X ends the run.") }
  }

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
        pollfd(fd: signals.ending.rawValue, events: Int16(POLLIN), revents: 0),
        pollfd(fd: signals.jobControl.rawValue, events: Int16(POLLIN), revents: 0),
        pollfd(fd: reportLine.master.rawValue, events: Int16(POLLIN), revents: 0),
        pollfd(
          fd: console.master.rawValue,
          events: Int16((toUser.count < Self.mostForUser ? POLLIN : 0) | (toGuest.isEmpty ? 0 : POLLOUT)), revents: 0),
        pollfd(fd: readsInput && toGuest.count < 4096 ? STDIN_FILENO : -1, events: Int16(POLLIN), revents: 0),
        pollfd(fd: toUser.isEmpty ? -1 : output.descriptor.rawValue, events: Int16(POLLOUT), revents: 0),
      ]
      poll(&polls, nfds_t(polls.count), [deadline, grace].compactMap(\.self).min().milliseconds)
      if polls[1].revents != 0 { finish(.interrupted) }
      if polls[2].revents != 0 { handleJobControl() }
      if polls[3].revents != 0 { takeReports() }
      if polls[4].revents & Int16(POLLIN) != 0 { takeConsole() }
      if polls[5].revents != 0 { takeInput() }
      if polls[6].revents != 0 { writeToUser() }
      sendToGuest()
      if polls[0].revents != 0 || grace.isPast { finish(.emulatorEnded) }
      if deadline.isPast { finish(end == nil ? .timedOut : .emulatorEnded) }
    }
    takeReports()
    takeConsole(atMost: 1 << 20)
    // Nothing is typed to the guest any more; the keys that make signals are needed while a reader is waited for.
    terminal = nil
    flush()
    return cause!
  }

  /// Writes `text` to standard output behind what the guest has written, as ``flush()`` does.
  func write(_ text: String) {
    toUser += text.utf8
    flush()
  }

  /// Writes what is left for the user.
  ///
  /// A signal and the time limit end the wait for a reader. They are the cause then; behind them, nothing is waited for.
  private func flush() {
    while !toUser.isEmpty {
      let isHurried = cause == .timedOut || cause == .interrupted
      var polls = [
        pollfd(fd: output.descriptor.rawValue, events: Int16(POLLOUT), revents: 0),
        pollfd(fd: signals.ending.rawValue, events: Int16(POLLIN), revents: 0),
        pollfd(fd: signals.jobControl.rawValue, events: Int16(POLLIN), revents: 0),
      ]
      poll(&polls, nfds_t(polls.count), isHurried ? 0 : deadline.milliseconds)
      if polls[2].revents != 0 { handleJobControl() }
      if polls[0].revents != 0, writeToUser() {
        continue
      } else if isHurried {
        return
      } else if polls[1].revents != 0 {
        cause = .interrupted
      } else if deadline.isPast {
        cause = .timedOut
      }
    }
  }

  private func finish(_ cause: Cause) {
    if self.cause == nil { self.cause = cause }
  }

  private func handleJobControl() {
    while let signal = signals.nextOfJobControl() {
      if signal == SIGCONT {
        terminal?.makeRaw()
      } else if let terminal {
        terminal.suspend()
      } else {
        raise(SIGSTOP)
      }
    }
  }

  private func takeReports() {
    for line in lines.lines(reportLine.read()) {
      let report = Report(line: line) ?? .note(line)
      if case .note(let text) = report { note(text) } else { reports.append(report) }
      // The hypervisor powers the machine off at once; an emulator that does not end then is ended.
      if case .end = report { grace = .now + .seconds(5) }
    }
  }

  /// Says something between the guest's lines, where both go to one terminal.
  private func note(_ text: String) {
    if isWithinLine, isatty(STDOUT_FILENO) == 1 { toUser += [0x0d, 0x0a] }
    isWithinLine = false
    var polled = pollfd(fd: output.descriptor.rawValue, events: Int16(POLLOUT), revents: 0)
    while !toUser.isEmpty, poll(&polled, 1, 0) == 1, writeToUser() {}
    progress.note(text)
  }

  private func takeConsole(atMost limit: Int = 1 << 16) {
    let output = console.read(atMost: limit)
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

  /// Writes what standard output takes without waiting; false if it takes nothing.
  @discardableResult
  private func writeToUser() -> Bool {
    do {
      let count = try output.write(toUser)
      toUser.removeFirst(count)
      return count > 0
    } catch {
      // Nobody reads the console any more.
      toUser.removeAll()
      finish(.interrupted)
      return true
    }
  }
}
