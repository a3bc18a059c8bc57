import Glibc
import Testing

@testable import hostile

/// The program that is run, and the whole command with a shell script in the place of Skep.
@Suite("Running hostile guests")
struct GuestProcessTests {
  @Test("Lines are heard when they are printed, not at the end")
  func lines() throws {
    var heard: [(line: String, time: Double)] = []
    let start = monotonicTime()
    let end = try GuestProcess(["/bin/sh", "-c", "echo one; sleep 1; printf 'two\\nthr'; echo ee >&2; exit 3"]).carry {
      heard.append((String($0), monotonicTime() - start))
    } whileWaiting: {
      true
    }
    #expect(heard.map(\.line) == ["one", "two", "three"])
    #expect(heard[0].time < 0.9 && heard[1].time >= 1 && end.seconds >= 1)
    #expect(end.output == "one\ntwo\nthree\n" && end.status == 3)
  }

  @Test("A program that is not wanted any more is told to end, and made to if it does not", arguments: [false, true])
  func ends(isStubborn: Bool) throws {
    let script = (isStubborn ? "trap '' TERM; " : "") + "echo on; while :; do sleep 0.1; done"
    let end = try GuestProcess(["/bin/sh", "-c", script], grace: 1).carry { _ in
    } whileWaiting: {
      false
    }
    #expect(end.status == nil && end.output == "on\n" && end.seconds < 5)
  }

  @Test("A program that is not there")
  func missing() {
    #expect(throws: GuestProcess.Failure.self) { _ = try GuestProcess(["/does/not/exist"]) }
  }

  /// Starts the command with `script` as Skep, and gives its lines with the time of each, and its status.
  private func hostile(_ script: String, _ options: [String], env: [String] = []) throws -> (
    lines: [(String, Double)], status: Int32?
  ) {
    var template = Array("/tmp/skep-test-XXXXXX".utf8CString)
    let directory = try #require(mkdtemp(&template).map { String(cString: $0) })
    let skep = directory + "/skep"
    let file = try #require(fopen(skep, "w"))
    fputs("#!/bin/sh\n" + script, file)
    fclose(file)
    chmod(skep, 0o755)
    defer {
      unlink(skep)
      rmdir(directory)
    }
    var lines: [(String, Double)] = []
    let start = monotonicTime()
    // The test's thread has signals blocked, which a shell's child has not.
    let shell = ["/bin/sh", "-c", "\"$@\"; exit $?", "sh", "env"]
    let end = try GuestProcess(shell + env + [try Self.program(), "--skep", skep, "--preload", ""] + options).carry {
      lines.append((String($0), monotonicTime() - start))
    } whileWaiting: {
      true
    }
    return (lines, end.status)
  }

  /// The command, beside the program that runs the tests.
  private static func program() throws -> String {
    let path = try #require(realpath("/proc/self/exe", nil))
    defer { free(path) }
    var components = String(cString: path).split(separator: "/").dropLast().map(String.init)
    while !components.isEmpty {
      let program = "/" + (components + ["hostile"]).joined(separator: "/")
      if access(program, X_OK) == 0, components.last == "debug" || components.last == "release" { return program }
      components.removeLast()
    }
    return try #require(getenv("SKEP_HOSTILE").map { String(cString: $0) }, "the command hostile is not built")
  }

  @Test("A line for each guest at once, and the summary at the end")
  func guests() throws {
    let script = "sleep 1.2; cat <<END\n" + HostileRunTests.sound + "\nEND\nexit 1\n"
    let (lines, status) = try hostile(script, ["--seed", "41", "--cpus", "2", "--time", "2"])
    #expect(status == 0)
    try #require(lines.count == 3, "\(lines)")
    #expect(lines[0].0.hasPrefix("seed 41, 2 CPUs: 100 rounds; The guest was stopped: triple fault; "))
    #expect(lines[1].0.hasPrefix("seed 42, 2 CPUs: 100 rounds; The guest was stopped: triple fault; "))
    #expect(lines[2].0.hasSuffix("2 guests, about 200 rounds, 0 failed; 2 x The guest was stopped: triple fault"))
    #expect(lines[1].1 - lines[0].1 > 0.5)
  }

  @Test("A signal ends the command, unless it was ignored at the start", arguments: [false, true])
  func signal(isIgnored: Bool) throws {
    let script = "kill -HUP $PPID; sleep 1; cat <<END\n" + HostileRunTests.sound + "\nEND\nexit 1\n"
    let (lines, status) = try hostile(
      script, ["--seed", "1", "--cpus", "2", "--time", "1"],
      env: [isIgnored ? "--ignore-signal=HUP" : "--default-signal=HUP"])
    #expect(status == (isIgnored ? 0 : 130))
    #expect(lines.contains { $0.0.hasPrefix("seed 1, 2 CPUs: ") } == isIgnored)
  }

  @Test("Without the library that makes runs repeat there is none")
  func preload() throws {
    let (lines, status) = try hostile("echo started", ["--preload", "/does/not/exist.so"])
    #expect(status == 64)
    #expect(lines.first?.0.hasPrefix("Error: there is no /does/not/exist.so") == true, "\(lines)")
  }

  @Test("A guest without a heartbeat is ended, with its seed and the command that repeats it")
  func hang() throws {
    let script = "echo round 0; while :; do sleep 0.3; echo beat 50; done\n"
    let (lines, status) = try hostile(
      script, ["--seed", "9", "--cpus", "2", "--time", "1", "--patience", "2"])
    #expect(status == 1)
    #expect(
      lines.contains { $0.0.hasPrefix("seed 9, 2 CPUs: 0 rounds; ") && $0.0.contains("FAILED: no heartbeat for ") },
      "\(lines)")
    #expect(lines.contains { $0.0 == "again: make hostile TIME=1 SEED=9 CPUS=2 CPU_MODEL=corei7_skylake_x" })
    #expect(lines.last?.0.contains("1 guests, about 0 rounds, 1 failed; 1 x FAILED: no heartbeat for") == true)
  }
}
