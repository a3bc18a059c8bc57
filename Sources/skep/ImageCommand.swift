import ArgumentParser
import Launcher

/// `skep image`: writes the boot image that `skep run` would boot.
struct ImageCommand: AsyncParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "image",
    abstract: "Write an ISO that boots Skep and its guest through GRUB on a machine with a BIOS.",
    discussion: """
      The guest's console is the first serial port of the machine, Skep's report goes to the second. \
      None has ever been tried on real hardware.

      EXAMPLES:
        skep image -o skep.iso --kernel vmlinuz --initrd initrd.img
        skep image -o skep.iso --kernel vmlinuz --append "console=ttyS0 quiet" --memory 1G
      """)

  @Option(name: [.short, .long], help: ArgumentHelp("The ISO to write.", valueName: "file"))
  var output: String

  @OptionGroup var guest: GuestOptions

  func run() async throws {
    try await BootImage(guest.boot()).write(to: output)
  }
}
