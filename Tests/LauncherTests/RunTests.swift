import Glibc
import Testing

@testable import Launcher

/// The whole of `skep run`, with an image that stands in for the hypervisor.
///
/// These start the emulator, so `make test` asks for them by SKEP_BOCHS_TESTS=1.
@Suite("skep run", .enabled(if: getenv("SKEP_BOCHS_TESTS") != nil, "SKEP_BOCHS_TESTS is not set"), .serialized)
struct RunTests {
  let scratch: Scratch

  init() throws { scratch = try Scratch() }

  /// The program, built beside the tests.
  static let skep: String = {
    guard let path = realpath("/proc/self/exe", nil) else { return "skep" }
    defer { free(path) }
    return String(cString: path).split(separator: "/").dropLast().map { "/" + $0 }.joined() + "/skep"
  }()

  /// `skep run` with the test image and what else it needs.
  ///
  /// TMPDIR is inside the scratch directory, to see what is left.
  private func command(_ kernel: TestKernel, _ arguments: String = "") throws -> String {
    let image = try kernel.build(in: scratch)
    mkdir(scratch.path + "/tmp", 0o700)
    return "TMPDIR=\(scratch.path)/tmp \(Self.skep) run --kernel \(try scratch.kernel()) --hypervisor \(image) "
      + "--timeout 60 \(arguments)"
  }

  private func expectNothingLeft() throws {
    #expect(try scratch.shell("ls tmp").output == "")
  }

  @Test("Each end has its status and its words", arguments: RunEnd.allCases)
  func ends(end: RunEnd) throws {
    let report = """
      skep: note it works
      skep: table Exits 12
      skep: guest RIP 0x1234
      skep: \(end == .error ? "error no VMX" : "note x")
      skep: end \(end.rawValue)

      """
    let (status, output) = try scratch.shell(command(TestKernel(report: report)))
    #expect(status == end.status.rawValue)
    #expect(output.contains("\nhello\nmemory="))
    #expect(output.contains("    it works\n"))
    #expect(output.contains("\nExits 12\n"))
    #expect(output.contains("\nRIP 0x1234\n"))
    #expect(output.contains(end == .error ? "\nskep: no VMX\n" : end.summary))
    #expect(!output.contains("\u{1b}"), "no escape codes where there is no terminal")
    try expectNothingLeft()
  }

  @Test("Command line and modules arrive")
  func arguments() throws {
    _ = try scratch.write([1, 2, 3], to: "ramdisk")
    let (status, output) = try scratch.shell(
      command(TestKernel(), #"--initrd ramdisk --append "console=ttyS0  a'b" --memory 64M --no-metered --on-demand"#))
    #expect(status == 0)
    let line =
      #"memory=67108864 cpus=1 x2apic=1 controls=127 console=com1 report=com2 metered=0 on-demand=1 "#
      + #""append=console=ttyS0  a\'b""#
    #expect(output.contains("\n\(line)\nkernel\ninitrd\n"))
  }

  @Test(
    "Texts expected and typed",
    arguments: [
      ("--expect hello", .hang, 0, "The expected text was seen"),
      (#"--expect kernel --send 'abc\n' --expect ABC --send q"#, .echo, 0, "ABC"),
      (#"--expect kernel --send 'abcq' --expect ABC --expect never"#, .echo, 5, #"before "never" was seen"#),
      ("--expect never --timeout 3", .hang, 4, #"ended after 3 s, still waiting for "never""#),
      ("--timeout 3", .hang, 4, "ended after 3 s\n"), ("--send x", .hang, 2, "Each --send is typed after"),
      (#"--expect x --send '\q'"#, .hang, 2, #"unknown \ sequence"#), ("--expect ''", .hang, 2, "not empty"),
      ("", .silence, 3, "the emulator died (exited(1)) before Skep reported an end"),
    ] as [(String, TestKernel.Action, Int32, String)])
  func script(options: String, action: TestKernel.Action, status: Int32, text: String) throws {
    let result = try scratch.shell(command(TestKernel(action: action), options))
    #expect(result.status == status)
    #expect(result.output.contains(text), "\(result.output)")
    try expectNothingLeft()
  }

  @Test("What is piped in is typed; a burst of 64 KiB comes out whole")
  func pipes() throws {
    // The machine has no ears before its image runs, so the input waits for a sign of life.
    let piped = try scratch.shell(
      "{ while ! grep -qs ^kernel out; do sleep 0.1; done; echo abcq; } | "
        + "\(command(TestKernel(action: .echo))) >out 2>err; echo $?; cat out")
    #expect(piped.output.hasPrefix("0\n"))
    #expect(piped.output.contains("ABC"))
    let burst = try scratch.shell(command(TestKernel(action: .burst)) + " 2>/dev/null | tr -d '\\n' | tail -c 65536")
    let letters = (0..<65536).map { UInt8(ascii: "a") + UInt8($0 % 26) }
    #expect(Array(burst.output.utf8) == letters)
  }

  @Test(
    "A signal ends the run, its emulator and its files",
    arguments: [("TERM", 130), ("INT", 130), ("HUP", 130), ("KILL", 137)] as [(String, Int32)])
  func signals(name: String, status: Int32) throws {
    let result = try scratch.shell(
      """
      : >out
      env --default-signal=INT,HUP,TERM \(command(TestKernel(action: .hang))) >out 2>&1 &
      for i in $(seq 600); do grep -qs ^kernel out && break; sleep 0.1; done
      bochs=$(pgrep -P $!)
      kill -\(name) $!
      wait $!
      echo "status $?"
      for i in 1 2 3 4 5 6 7 8 9 10; do kill -0 $bochs 2>/dev/null || break; sleep 0.2; done
      kill -0 $bochs 2>/dev/null && echo orphan
      true
      """)
    #expect(result.output.contains("status \(status)\n"), "\(result.output)")
    #expect(!result.output.contains("orphan"))
    if name != "KILL" { try expectNothingLeft() }
  }

  @Test("A signal while the boot image is made ends the run too", arguments: [0.0, 0.05, 0.1, 0.15, 0.2, 0.3])
  func earlySignal(delay: Double) throws {
    let result = try scratch.shell(
      """
      \(command(TestKernel(action: .hang))) >out 2>&1 &
      until grep -qs Making out; do sleep 0.02; done
      sleep \(delay)
      kill -TERM $!
      wait $!
      echo "status $?"
      """)
    #expect(result.output == "status 130\n")
    try expectNothingLeft()
  }

  @Test("An emulator that is killed is a status of its own, with the end of its log")
  func deadEmulator() throws {
    let result = try scratch.shell(
      """
      : >out
      \(command(TestKernel(action: .hang), "--log bochs.log")) >out 2>&1 &
      until grep -qs ^kernel out; do sleep 0.1; done
      kill -KILL $(pgrep -P $!)
      wait $!
      echo "status $?"
      cat out
      grep -c 'Booting from' bochs.log
      """)
    #expect(result.output.contains("status 3\n"), "\(result.output)")
    #expect(result.output.contains("skep: the emulator died (signaled(9))"))
    #expect(result.output.hasSuffix("\n1\n"), "the log is kept")
    try expectNothingLeft()
  }

  @Test("A reader of the console that goes away ends the run")
  func closedOutput() throws {
    let result = try scratch.shell("\(command(TestKernel(action: .burst))) | head -c 10; echo ${PIPESTATUS[0]}")
    #expect(result.output.contains("hello\nmemo"), "\(result.output)")
    try expectNothingLeft()
  }

  @Test(
    "On a terminal every key is the guest's, but for Ctrl-A X, and the terminal is given back",
    arguments: [([0x03, 0x1a, 0x01, 0x01, 0x71], 0), ([0x01, 0x78], 130)] as [([UInt8], Int32)])
  func terminal(keys: [UInt8], status: Int32) throws {
    let terminal = try PseudoTerminal()
    let typing = try scratch.write(keys, to: "keys")
    // The answers of the image (upper case of nothing: control characters come back as they are) end up in `out`.
    _ = try scratch.write(
      Array(
        """
        stty sane; stty -g >before
        \(command(TestKernel(action: .echo))) >out
        echo $? >status; stty -g >after

        """.utf8), to: "script")
    let pipe = try #require(popen("cd '\(scratch.path)'; setsid -c sh script <\(terminal.path) 2>err", "r"))
    for _ in 0..<300 where try scratch.shell("grep -qs ^kernel out").status != 0 { usleep(100_000) }
    _ = try terminal.master.writeAll(keys)
    pclose(pipe)
    withExtendedLifetime(typing) {}
    #expect(try scratch.shell("cat status").output == "\(status)\n")
    #expect(try scratch.shell("cmp before after").status == 0)
    #expect(try scratch.shell("cat err").output.contains("Ctrl-A X ends the run."))
    if status == 0 {
      #expect(try scratch.shell("cat out").output.hasSuffix("kernel\n\u{3}\u{1a}\u{1}"))
    }
    try expectNothingLeft()
  }

  @Test(
    "What is not there is named with its packages",
    arguments: [
      ("PATH=/nonexistent", "bochs-bin is not installed\n      Install it with: sudo apt-get install bochs bochsbios"),
      ("PATH=$PWD/some", "grub-mkrescue is not installed\n      Install it with: sudo apt-get install grub-pc-bin"),
    ])
  func missingTools(environment: String, text: String) throws {
    let run = try command(TestKernel())
    let result = try scratch.shell("mkdir some; ln -s $(command -v bochs-bin) some; \(environment) \(run)")
    #expect(result.status == 2)
    #expect(result.output.contains(text), "\(result.output)")
    try expectNothingLeft()
  }

  @Test("A full disk is said, and nothing is left on it")
  func fullDisk() throws {
    // A mount of one's own needs rights that not every machine gives.
    let unshare = "unshare --mount --map-root-user"
    guard try scratch.shell("\(unshare) sh -c 'mount -t tmpfs none /mnt'").status == 0 else { return }
    let run = try command(TestKernel()).replacing("TMPDIR=\(scratch.path)/tmp", with: "TMPDIR=tmp")
    for (size, text) in [("1m", " is full: the boot image needs"), ("4k", "full")] {
      let result = try scratch.shell(
        "\(unshare) sh -c 'mount -t tmpfs -o size=\(size) none tmp; \(run); echo status $?; ls tmp'")
      #expect(result.output.contains(text), "\(result.output)")
      #expect(result.output.hasSuffix("status 2\n"))
    }
  }

  @Test("A model that the emulator does not have is refused, with those that it has")
  func unknownModel() throws {
    let result = try scratch.shell(command(TestKernel(), "--cpu-model z80"))
    #expect(result.status == 2)
    #expect(
      result.output.hasPrefix("skep: --cpu-model z80 is not a model of this emulator\n      Choose one of: bx_generic"))
  }

  @Test("skep image writes an ISO that can be booted, and says where it cannot")
  func image() throws {
    let options = "--kernel \(try scratch.kernel()) --hypervisor \(try TestKernel().build(in: scratch))"
    let good = try scratch.shell("\(Self.skep) image -o skep.iso \(options) && file -b skep.iso")
    #expect(good.status == 0)
    #expect(try scratch.shell("dd if=skep.iso bs=1 skip=32769 count=5 2>/dev/null").output == "CD001")
    let bad = try scratch.shell("\(Self.skep) image -o nowhere/skep.iso \(options)")
    #expect(bad.status == 2)
    #expect(bad.output.contains("nowhere/skep.iso cannot be written: No such file or directory"), "\(bad.output)")
  }
}

extension String {
  fileprivate func replacing(_ text: String, with other: String) -> String {
    var result = ""
    var rest = self[...]
    while !rest.isEmpty {
      if rest.hasPrefix(text) {
        result += other
        rest = rest.dropFirst(text.count)
      } else {
        result.append(rest.removeFirst())
      }
    }
    return result
  }
}
