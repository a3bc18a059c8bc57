import Glibc
import Testing

@testable import Launcher

/// What the launcher does around Bochs and the image maker, with shell scripts in their place.
@Suite("skep with stand-ins", .enabled(if: StandIns.canBeUsed, "Bochs or GRUB is not installed"), .serialized)
struct StandInTests {
  let scratch: Scratch

  init() throws { scratch = try Scratch() }

  /// What the command prints when it gets the signal while a stand-in lasts, its status, and what is left behind.
  private func interrupted(_ command: String, by signal: String = "TERM", until sign: String = "[ -s processes ]")
    throws
    -> String
  {
    try scratch.shell(
      """
      \(command) >out 2>&1 &
      for i in $(seq 200); do \(sign) && break; sleep 0.1; done
      kill -\(signal) $!
      wait $!
      echo "status $?"
      \(StandIns.whatIsLeft)
      """
    ).output
  }

  @Test(
    "A signal ends what has been started and removes what has been made, whatever is done at the moment",
    arguments: ["models", "maker", "maker's child", "guest"], ["INT", "TERM", "HUP", "QUIT"])
  func signals(moment: String, signal: String) throws {
    // A shell's job in the background is started to ignore some.
    let env = "--default-signal=\(signal)"
    let child = "sleep 60 & echo $! >>'\(scratch.path)/processes'; wait"
    let standIns = try StandIns(
      models: moment == "models" ? StandIns.lasting : "",
      maker: moment == "maker" ? StandIns.lasting : moment == "maker's child" ? child : "", guest: StandIns.lasting,
      in: scratch)
    let output = try interrupted(standIns.skep("run", "--expect never", env: env), by: signal)
    let said = try scratch.shell("cat out").output
    #expect(output == "status 130\n", "\(said)")
    if moment.hasPrefix("maker") {
      _ = try scratch.write(Array("mine".utf8), to: "skep.iso")
      unlink(scratch.path + "/processes")
      #expect(try interrupted(standIns.skep("image", "-o skep.iso", env: env), by: signal) == "status 130\n")
      #expect(try scratch.shell("cat skep.iso; ls skep*").output == "mineskep.iso\n")
    }
  }

  @Test(
    "A signal ends the machines of a probe and removes their files",
    arguments: ["maker", "guest"], ["corei7_skylake_x", "corei7_skylake_x,corei7_sandy_bridge_2600k"])
  func probe(moment: String, models: String) throws {
    let standIns = try StandIns(
      maker: moment == "maker" ? StandIns.lasting : "", guest: StandIns.lasting, in: scratch)
    let command = standIns.command("differential", "--image \(try scratch.kernel()) --models \(models)")
    let count = models.split(separator: ",").count
    let output = try interrupted(command, until: "[ $(cat processes 2>/dev/null | wc -l) = \(count) ]")
    #expect(output == "status 1\n")
    #expect(try scratch.shell("cat out").output == "differential: ended by the user\n")
  }

  @Test("A signal that was ignored at the start stays ignored", arguments: ["INT", "TERM", "HUP", "QUIT"])
  func ignored(signal: String) throws {
    let standIns = try StandIns(
      guest: "mark; while [ -e '\(scratch.path)/waits' ]; do sleep 0.1; done; report end power-off", in: scratch)
    let output = try scratch.shell(
      """
      : >waits
      \(standIns.skep("run", "--expect never", env: "--ignore-signal=\(signal)")) >out 2>&1 &
      for i in $(seq 200); do [ -s processes ] && break; sleep 0.1; done
      kill -\(signal) $!
      sleep 0.5
      rm waits
      wait $!
      echo "status $?"
      """
    ).output
    #expect(output == "status \(ExitStatus.textNotSeen.rawValue)\n")
    #expect(try scratch.shell("cat out").output.contains("The guest powered off"))
  }

  @Test(
    "An image replaces what is there when all of it is there",
    arguments: [
      ("", "skep.iso", "whole"), ("echo mine >skep.iso; ", "skep.iso", "whole"),
      ("echo mine >file; ln -s file skep.iso; ", "file", "whole"), ("ln -s file skep.iso; ", "file", "whole"),
      ("mkfifo skep.iso; exec 9<>skep.iso; ", "skep.iso", "whole"),
    ], ["", "/dev/shm"])
  func image(target: (before: String, file: String, contents: String), temporary: String) throws {
    let (before, file, contents) = target
    let standIns = try StandIns(in: scratch)
    // Another file system, where there is one.
    let directory = temporary.isEmpty ? "$PWD/tmp" : "$(mktemp -d -p \(temporary))"
    let result = try scratch.shell(
      """
      tmp=\(directory); \(before)\(standIns.skep("image", "-o skep.iso", temporary: "$tmp"))
      echo "status $?"; head -n 1 \(file); test -L skep.iso && echo link; ls $tmp; ls -d skep.iso?*; rm -r $tmp
      """)
    let link = before.contains("ln -s") ? "link\n" : ""
    #expect(
      result.output == "status 0\n\(contents)\n\(link)ls: cannot access 'skep.iso?*': No such file or directory\n")
  }

  @Test(
    "An image that cannot be written changes nothing",
    arguments: [
      ("exit 1", "echo mine >skep.iso", "skep.iso", "grub-mkrescue failed (exited(1))", "mine\n"),
      ("exit 1", "ln -s file skep.iso", "skep.iso", "grub-mkrescue failed (exited(1))", ""),
      ("", "mkdir skep.iso", "skep.iso", "skep.iso cannot be written: Is a directory", ""),
      ("", "mkfifo pipe", "pipe", "pipe cannot be written: No such device or address", ""),
      ("mark", ":", "nowhere/skep.iso", "nowhere/skep.iso cannot be written: No such file or directory", ""),
    ])
  func noImage(maker: String, before: String, target: String, text: String, left: String) throws {
    let standIns = try StandIns(maker: maker, in: scratch)
    let result = try scratch.shell("\(before)\n\(standIns.skep("image", "-o \(target)"))")
    #expect(result.status == 2)
    #expect(result.output.contains(text), "\(result.output)")
    let remains = "ls tmp; cat skep.iso 2>/dev/null; ls file 2>/dev/null; cat processes 2>/dev/null"
    #expect(try scratch.shell(remains).output == left)
  }

  @Test(
    "An image goes into a file that can be written and not replaced", arguments: ["directory", "mount"],
    ["", "/dev/shm"])
  func irreplaceable(reason: String, temporary: String) throws {
    let image = try StandIns(in: scratch).skep("image", "-o skep.iso", temporary: "$tmp")
    let command: String
    if reason == "mount" {
      // A mount of one's own needs rights that not every machine gives.
      let unshare = "unshare --mount --map-root-user"
      guard try scratch.shell("\(unshare) sh -c 'mount -t tmpfs none /mnt'").status == 0 else { return }
      command = "\(unshare) sh -c 'mount --bind file skep.iso && \(image)'"
    } else {
      // The superuser may write to any directory.
      let plain = "setpriv --bounding-set=-dac_override"
      command = "chmod 555 .; $(\(plain) true 2>/dev/null && echo \(plain)) \(image)"
    }
    let result = try scratch.shell(
      """
      export tmp=\(temporary.isEmpty ? "$PWD/tmp" : "$(mktemp -d -p \(temporary))")
      echo longer than the image >skep.iso; echo longer than the image >file
      \(command)
      echo "status $?"; chmod 755 .; cat \(reason == "mount" ? "file" : "skep.iso"); ls $tmp; ls -d skep.iso?*; rm -r $tmp
      """)
    #expect(result.output == "status 0\nwhole\nls: cannot access 'skep.iso?*': No such file or directory\n")
  }

  /// Has the image maker make an image of 300,000 bytes, which no pipe takes at once.
  private static let largeImage = #"head -c 300000 /dev/zero >"$image"; mark; exit"#

  @Test("A large image goes through a pipe", arguments: ["pipe", "/dev/stdout"])
  func pipedImage(target: String) throws {
    let standIns = try StandIns(maker: Self.largeImage, in: scratch)
    let result = try scratch.shell(
      """
      mkfifo pipe; exec 9<>pipe
      { \(standIns.skep("image", "-o \(target)")); echo "status $?" >&2; } |
        { sleep 1; \(target == "pipe" ? "timeout 20 head -c 300000 <pipe | " : "")wc -c; }
      """)
    #expect(result.output.split(separator: "\n").sorted() == ["300000", "status 0"])
  }

  @Test("A signal ends the wait for who reads the image")
  func unreadImage() throws {
    let standIns = try StandIns(maker: Self.largeImage, in: scratch)
    let command = "mkfifo pipe; exec 9<>pipe; " + (try standIns.skep("image", "-o pipe"))
    #expect(try interrupted(command, until: "[ -s processes ] && sleep 1") == "status 130\n")
  }

  @Test("A signal does not undo what has been done")
  func lateSignal() async throws {
    let signals = try Signals()
    let isDone = try await signals.interrupting {
      kill(getpid(), SIGTERM)
      while !Task.isCancelled { await Task.yield() }
      return true
    }
    #expect(isDone && signals.haveEnded)
  }

  @Test(
    "A log that cannot be written is found before the machine is started; one that can stays until there is another")
  func log() throws {
    let standIns = try StandIns(guest: "mark; echo new >bochs.log; report end power-off", in: scratch)
    for (path, reason) in [("nowhere/log", "No such file or directory"), ("tmp", "Is a directory")] {
      let refused = try scratch.shell(standIns.skep("run", "--log \(path)"))
      #expect(refused.status == 2)
      #expect(refused.output == "skep: \(path) cannot be written: \(reason)\n")
    }
    _ = try scratch.write(Array("old".utf8), to: "log")
    for name in ["log", "new.log"] {
      #expect(try scratch.shell(standIns.skep("run", "--log \(name) --cpu-model z80")).status == 2)
    }
    #expect(
      try scratch.shell("cat processes; ls new.log; cat log").output.hasSuffix(
        "'new.log': No such file or directory\nold"))
    #expect(try scratch.shell(standIns.skep("run", "--log log")).status == 0)
    #expect(try scratch.shell("cat log").output == "new\n")
  }

  @Test("A log that cannot be written at the end does not hide how the guest ended", arguments: [nil, 7] as [Int32?])
  func lostLog(asked: Int32?) throws {
    let end = asked.map { "report status \($0); report end exit" } ?? "report end power-off"
    let standIns = try StandIns(guest: "rm -r '\(scratch.path)/logs'; \(end)", in: scratch)
    let result = try scratch.shell("mkdir logs; \(standIns.skep("run", "--log logs/log"))")
    #expect(result.status == asked ?? 0)
    #expect(result.output.contains("skep: logs/log cannot be written: No such file or directory"))
    #expect(result.output.contains(asked == nil ? "The guest powered off" : "The guest ended the run"))
  }

  @Test(
    "The status is the last start's",
    arguments: [([5], 5), ([3, 5], 5), ([5, 3], 3), ([], 1)] as [([Int], Int32)])
  func restart(statuses: [Int], status: Int32) throws {
    let reports = statuses.map { "report status \($0); " }.joined()
    let standIns = try StandIns(guest: reports + "report end exit", in: scratch)
    #expect(try scratch.shell(standIns.skep("run")).status == status)
  }

  /// How a run ends and what it leaves when it gets a signal or its time is over, a second after a process is marked.
  private func end(by signal: String, of guest: String, to output: String) throws -> String {
    let standIns = try StandIns(guest: guest, in: scratch)
    let limit = signal == "timeout" ? "--timeout 3" : ""
    return try scratch.shell(
      """
      mkfifo console
      exec 9<>console
      \(standIns.skep("run", "--expect never \(limit)")) >out 2>err \(output) &
      for i in $(seq 100); do [ -s processes ] && break; sleep 0.1; done
      sleep 1
      \(limit.isEmpty ? "kill -\(signal) $!" : "")
      for i in $(seq 100); do ps -o stat= -p $! | grep -q '^[^Z]' || break; sleep 0.1; done
      kill -KILL $! 2>/dev/null
      wait $!
      echo "status $?"
      \(StandIns.whatIsLeft)
      """
    ).output
  }

  @Test("Signals are heard and the time is kept while nobody reads", arguments: unreadGuests, ["TERM", "timeout"])
  func unread(guest: String, signal: String) throws {
    let output = try end(by: signal, of: guest, to: ">console")
    let said = try scratch.shell("cat err").output
    #expect(output == "status \(signal == "timeout" ? 4 : 130)\n", "\(said)")
  }

  @Test(
    "Signals are heard and the time is kept while nobody reads a terminal",
    arguments: unreadGuests, ["TERM", "timeout"])
  func unreadTerminal(guest: String, signal: String) throws {
    let terminal = try PseudoTerminal()
    // Newlines become longer on their way: less goes in than there seems to be room for.
    _ = try scratch.shell("stty sane <\(terminal.path)")
    let output = try end(by: signal, of: guest, to: ">\(terminal.path) 2>&1")
    #expect(output == "status \(signal == "timeout" ? 4 : 130)\n")
  }

  @Test(
    "Signals are heard and the time is kept while nobody reads the errors",
    arguments: [
      ("mark; yes 'skep: note listen' >$reports", "TERM", 130),
      ("mark; yes 'skep: note listen' >$reports", "timeout", 4),
      // The report of a guest that has been stopped.
      ("{ yes 'skep: guest registers' | head -n 10000; echo skep: end stopped; } >$reports; mark", "TERM", 1),
      ("{ yes 'skep: guest registers' | head -n 10000; echo skep: end stopped; } >$reports; mark", "timeout", 1),
    ])
  func unreadErrors(guest: String, signal: String, status: Int32) throws {
    let terminal = try PseudoTerminal()
    for output in ["2>console", "2>\(terminal.path)"] {
      #expect(try end(by: signal, of: guest, to: output) == "status \(status)\n")
      _ = try scratch.shell("rm console processes")
    }
  }

  @Test("The terminal is the user's again while the end of the output waits for a reader")
  func unreadEnd() throws {
    let standIns = try StandIns(
      guest: "head -c 200000 /dev/zero | tr '\\0' x >$console; report end power-off; mark", in: scratch)
    let terminal = try PseudoTerminal()
    let run = try standIns.skep("run", env: "--default-signal=INT")
    _ = try scratch.write(
      Array(
        """
        trap : INT
        mkfifo console; exec 9<>console
        stty sane; stty -g >before
        sh -c 'echo $$ >skep; exec \(run)' >console
        echo "status $?" >status

        """.utf8), to: "script")
    let pipe = try #require(popen("cd '\(scratch.path)'; exec setsid -c sh script <\(terminal.path) 2>err", "r"))
    func wait(for condition: String) throws -> Bool {
      try scratch.shell("for i in $(seq 50); do \(condition) && exit; sleep 0.2; done; false").status == 0
    }
    let isCooked = "[ \"$(stty -g <\(terminal.path))\" = \"$(cat before)\" ]"
    #expect(try wait(for: "[ -s processes ] && ! ps -o stat= -p $(cat processes) | grep -q '^[^Z]'"))
    #expect(try wait(for: isCooked))
    // Stopped and continued, it does not take the terminal again.
    #expect(try wait(for: "kill -TSTP $(cat skep) && sleep 0.5 && ps -o stat= -p $(cat skep) | grep -q ^T"))
    #expect(try wait(for: "kill -CONT $(cat skep) && sleep 0.5 && \(isCooked)"))
    _ = try terminal.master.writeAll([0x03])
    #expect(try wait(for: "[ -s status ]"))
    _ = try scratch.shell("kill -KILL $(cat skep) 2>/dev/null")
    pclose(pipe)
    #expect(try scratch.shell("cat status").output == "status 130\n")
  }

  @Test("A guest waits for a reader who is far behind, and nothing is lost", arguments: [100_000, 8 << 20])
  func slowReader(count: Int) throws {
    let standIns = try StandIns(
      guest: "head -c \(count) /dev/zero | tr '\\0' x >$console; touch '\(scratch.path)/written'; report end power-off",
      in: scratch)
    let result = try scratch.shell(
      """
      { \(standIns.skep("run")); echo "status $?" >status; } 2>err |
        { sleep 3; [ -e written ] && echo written; tr -d '\\n' | wc -c; }
      cat status
      """)
    #expect(result.output == "\(count < 1 << 20 ? "written\n" : "")\(count)\nstatus 0\n")
  }
}

/// Guests that print more than is read.
private let unreadGuests = [
  // More than a pipe takes, less than the launcher keeps; and more than that.
  "head -c 200000 /dev/zero | tr '\\0' x >$console; mark; exec sleep 60",
  "mark; exec yes >$console",
  // A note is said behind what the guest has printed.
  "head -c 200000 /dev/zero | tr '\\0' x >$console; report note listen; mark; exec sleep 60",
  // The table is printed where the guest has printed.
  "head -c 65000 /dev/zero | tr '\\0' x >$console; sleep 0.5; for i in $(seq 200); do report table aaaaaaaaaaaa; done; "
    + "report end power-off; mark",
]
