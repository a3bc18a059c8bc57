import Glibc
import Subprocess
import SystemPackage

/// Makes the ISO that a machine with a BIOS boots through GRUB.
public struct BootImage: Sendable {
  private static let modules = FilePath("/usr/lib/grub/i386-pc")
  /// What GRUB, its file system and its descriptors take in the image, generously.
  private static let overhead = MemorySize.mebibytes(4)

  private let files: [(path: String, file: InputFile)]
  private let configuration: String

  /// An image that boots `boot`.
  public init(_ boot: Boot) {
    self.init(files: boot.files, configuration: boot.configuration)
  }

  /// An image with files, by their paths in it, and GRUB's configuration.
  init(files: [(path: String, file: InputFile)], configuration: String) {
    (self.files, self.configuration) = (files, configuration)
  }

  /// Writes the image to `path`, replacing the file there; changes nothing if that fails or a signal ends it.
  ///
  /// A symbolic link is followed. What cannot be replaced, as a pipe, is written to when the image has been made.
  public func write(to path: String) async throws {
    let signals = try Signals()
    let target = try FilePath(path).checkWritable()
    try checkRoom(for: target)
    let directory = try TemporaryDirectory()
    defer { directory.remove() }
    try await signals.interrupting {
      let image = directory.file("image.iso")
      try await write(to: image, using: directory)
      try image.move(to: target)
    }
  }

  /// Writes the image to `path`, in `directory`.
  func write(to path: FilePath, using directory: TemporaryDirectory) async throws {
    guard access(Self.modules.appending("multiboot2.mod").string, R_OK) == 0 else {
      throw Tool.imageMaker.missing("GRUB for BIOS machines (\(Self.modules))")
    }
    try checkRoom(for: path)
    let configuration = directory.file("grub.cfg")
    try configuration.write(self.configuration)
    let files = self.files.map { ($0.path, $0.file.path) } + [("/boot/grub/grub.cfg", configuration)]
    let (output, status) = try await Tool.imageMaker.collect(
      [
        "--directory=\(Self.modules)", "--compress=no", "--fonts=", "--locales=", "--themes=",
        "--install-modules=multiboot multiboot2 linux iso9660 biosdisk normal", "--output=\(path)",
      ] + files.map { "\($0.0)=\(escaped($0.1))" }, using: directory)
    guard status.isSuccess else { throw failure(path, status, output) }
  }

  private func checkRoom(for path: FilePath) throws(LaunchProblem) {
    let parent = path.removingLastComponent()
    let directory = parent.isEmpty ? "." : parent.string
    var status = statvfs()
    guard statvfs(directory, &status) == 0 else {
      throw LaunchProblem("\(path) cannot be written: \(Errno(rawValue: errno))")
    }
    let needed = files.reduce(Self.overhead.bytes) { $0 + $1.file.size.bytes }
    let available = UInt64(status.f_bavail) * UInt64(status.f_frsize)
    if available < needed {
      throw LaunchProblem(
        "\(directory) is full: the boot image needs \(MemorySize(bytes: needed)), "
          + "\(MemorySize(bytes: available)) are free",
        remedy: "Free some space, or choose another directory (TMPDIR, or -o of skep image).")
    }
  }

  private func failure(_ path: FilePath, _ status: TerminationStatus, _ output: String) -> LaunchProblem {
    if output.contains("xorriso not found") || output.contains("xorriso: not found") {
      return Tool.imageMaker.missing("xorriso")
    }
    let lines = output.split(separator: "\n").suffix(8).map { "\n      \($0)" }.joined()
    let reason = output.contains("No space left") ? "the disk is full" : "grub-mkrescue failed (\(status))\(lines)"
    return LaunchProblem(
      "the boot image \(path) cannot be written: \(reason)",
      remedy: "Check that its directory exists, has room and can be written to.")
  }

  /// `path` as a target of grub-mkrescue's graft points: `=` and `\` would end or change it.
  private func escaped(_ path: FilePath) -> String {
    path.string.reduce(into: "") { $0 += "=\\".contains($1) ? "\\\($1)" : String($1) }
  }
}
