import Dispatch
import Glibc
import Subprocess
import SystemPackage

/// An emulated machine that boots an image of Skep's own for a test, and whose port 0xE9 is listened to.
public struct ProbeMachine: Sendable {
  /// How a run ended.
  public enum End: Sendable {
    /// The emulator ended.
    case emulatorEnded
    /// Nothing was heard for a while, and the emulator was ended.
    case silent
    /// The listener had heard enough, and the emulator was ended.
    case enough
  }

  /// The multiboot2 file.
  public var image: InputFile
  /// The image's command line, without characters that GRUB's script language knows.
  public var commandLine: String
  /// The CPU model by Bochs' name.
  public var model: String
  /// The machine's memory.
  public var memory: MemorySize
  /// Whether the emulator's log goes to the listener too, line by line between the bytes of the port.
  public var isLogged: Bool
  /// How many seconds of silence end the run.
  public var patience = 30

  /// Makes a machine.
  public init(image: InputFile, commandLine: String, model: String, memory: MemorySize, isLogged: Bool) {
    (self.image, self.commandLine, self.model, self.memory) = (image, commandLine, model, memory)
    self.isLogged = isLogged
  }

  /// Boots the image and gives all that the emulator writes to `listener`, until that returns false or the emulator ends.
  ///
  /// Signals that end a run, and the task's cancellation, end the emulator, remove its files and are thrown.
  public func run(_ listener: @escaping @Sendable (UnsafeRawBufferPointer) -> Bool) async throws -> End {
    let signals = try Signals()
    return try await signals.interrupting {
      let end = try await runUntilCancelled(listener)
      // The emulator ends then, too, which is no end of its own.
      try Task.checkCancellation()
      return end
    }
  }

  private func runUntilCancelled(_ listener: @escaping @Sendable (UnsafeRawBufferPointer) -> Bool) async throws -> End {
    let directory = try TemporaryDirectory()
    defer { directory.remove() }
    try await BootImage(
      files: [("/image.elf", image)], configuration: "multiboot2 /image.elf \(commandLine)\nboot\n"
    ).write(to: directory.file("boot.iso"), using: directory)
    try directory.file("bochsrc").write(configuration)
    try directory.file("commands").write("c\n")
    let pipe = try FileDescriptor.pipe()
    defer { try? pipe.readEnd.close() }
    var options = PlatformOptions()
    options.createSession = true
    do {
      return try await Subprocess.run(
        .name(Tool.emulator.rawValue), arguments: ["-q", "-f", "bochsrc", "-rc", "commands"],
        environment: .inherit.updating(["TERM": "dumb", "LC_ALL": "C"]), workingDirectory: directory.path,
        platformOptions: options, input: .none,
        output: .fileDescriptor(pipe.writeEnd, closeAfterSpawningProcess: true), error: .discarded
      ) { execution in
        let end = await listen(pipe.readEnd, listener)
        try? execution.send(signal: .kill)
        return end
      }.closureResult
    } catch let error as SubprocessError where error.code == .executableNotFound {
      throw Tool.emulator.missing()
    }
  }

  private func listen(
    _ descriptor: FileDescriptor, _ listener: @escaping @Sendable (UnsafeRawBufferPointer) -> Bool
  ) async -> End {
    await withCheckedContinuation { continuation in
      // Reading blocks, which a thread of the cooperative pool must not.
      DispatchQueue.global().async { continuation.resume(returning: read(descriptor, listener)) }
    }
  }

  private func read(_ descriptor: FileDescriptor, _ listener: (UnsafeRawBufferPointer) -> Bool) -> End {
    let buffer = UnsafeMutableRawBufferPointer.allocate(byteCount: 65536, alignment: 8)
    defer { buffer.deallocate() }
    while true {
      var polled = [pollfd(fd: descriptor.rawValue, events: Int16(POLLIN), revents: 0)]
      if poll(&polled, 1, Int32(patience) * 1000) == 0 { return .silent }
      guard let count = try? descriptor.read(into: buffer), count > 0 else { return .emulatorEnded }
      if !listener(UnsafeRawBufferPointer(rebasing: buffer[..<count])) { return .enough }
    }
  }

  /// Bochs' configuration.
  ///
  /// MSRs that the model shows in CPUID but does not have read as 0.
  private var configuration: String {
    let mebibytes = memory.roundedUpMebibytes
    return """
      cpu: model=\(model), count=1, ips=50000000, reset_on_triple_fault=0, ignore_bad_msrs=1
      memory: guest=\(mebibytes), host=\(mebibytes)
      romimage: file=/usr/share/bochs/BIOS-bochs-latest, options=fastboot
      vgaromimage: file=/usr/share/bochs/VGABIOS-lgpl-latest
      display_library: term, options="hideIPS"
      ata0-master: type=cdrom, path=boot.iso, status=inserted
      ata1: enabled=0
      boot: cdrom
      port_e9_hack: enabled=1
      sound: waveoutdrv=dummy, waveindrv=dummy
      speaker: enabled=0
      clock: sync=none, time0=946681200
      log: \(isLogged ? "/dev/stdout" : "/dev/null")
      panic: action=fatal
      error: action=\(isLogged ? "report" : "ignore")
      info: action=ignore
      debug: action=ignore

      """
  }
}
