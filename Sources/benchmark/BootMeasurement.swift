import Foundation

/// Compares the boot of Linux as Skep's guest with its boot on the emulated processor itself.
///
/// The kernel, the initramfs, the command line and the processor are the same. At the shell's first prompt, a program of
/// the initramfs prints the time-stamp counter, which in Bochs counts instructions. In the guest it started at 0 with
/// the virtual machine. Natively it started with the firmware, so what firmware and GRUB took is measured by itself and
/// subtracted: the same files are booted once more, with the first instructions of the kernel replaced by some that print
/// the counter.
struct BootMeasurement {
  var skep: Skep
  var kernel: String
  var initrd: String
  /// The file with the instructions that print the counter.
  var entry: String
  var commandLine: String

  /// The instructions of each boot, from the kernel's first one to the prompt.
  struct Result {
    var guest: BootTicks
    var native: BootTicks

    var ratio: Double { Double(guest.ticks) / Double(native.ticks) }
  }

  /// Boots three times.
  func result() async throws -> Result {
    let guest = try await prompt(["--no-metered"])
    var native = try await prompt(["--native"])
    native.ticks -= try await ticksAtEntry()
    return Result(guest: guest, native: native)
  }

  private func prompt(_ options: [String]) async throws -> BootTicks {
    let output = try await skep.run(files(kernel) + options + ["--expect", "skep# "])
    guard let ticks = BootTicks(console: output) else {
      throw EventMeasurement.Missing(description: "the boot printed no ticks")
    }
    return ticks
  }

  private func ticksAtEntry() async throws -> Int {
    let patched = FileManager.default.temporaryDirectory.appendingPathComponent("skep-\(UUID().uuidString)")
    defer { try? FileManager.default.removeItem(at: patched) }
    try patchedKernel().write(to: patched)
    let output = try await skep.run(files(patched.path) + ["--native", "--expect", " end"])
    let words = output.split(whereSeparator: \.isWhitespace)
    guard let index = words.lastIndex(of: "entry"), index + 1 < words.count,
      let ticks = Int(words[index + 1], radix: 16)
    else { throw EventMeasurement.Missing(description: "the kernel's entry printed no ticks") }
    return ticks
  }

  /// The kernel, with other instructions at its 32-bit entry point, the beginning of the protected-mode code.
  private func patchedKernel() throws -> Data {
    var image = try Data(contentsOf: URL(fileURLWithPath: kernel))
    let code = try Data(contentsOf: URL(fileURLWithPath: entry))
    // setup_sects of "The Linux/x86 Boot Protocol".
    let setupSectors = image.count > 0x1F1 ? Int(image[0x1F1]) : 0
    let start = (1 + (setupSectors == 0 ? 4 : setupSectors)) * 512
    guard start + code.count <= image.count else {
      throw EventMeasurement.Missing(description: "\(kernel) is not a kernel")
    }
    image.replaceSubrange(start..<start + code.count, with: code)
    return image
  }

  private func files(_ kernel: String) -> [String] {
    ["--kernel", kernel, "--initrd", initrd, "--append", commandLine]
  }
}
