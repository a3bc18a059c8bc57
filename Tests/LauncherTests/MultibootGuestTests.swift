import Glibc
import Testing

@testable import Launcher

/// Multiboot kernels like those that are written for QEMU, of Tests/Guests/multiboot.
///
/// Needs what `make image test-guests` makes. These start the emulator, so `make test` asks for them by
/// SKEP_BOCHS_TESTS=1.
@Suite(
  "Multiboot guests in Bochs", .enabled(if: getenv("SKEP_BOCHS_TESTS") != nil, "SKEP_BOCHS_TESTS is not set"),
  .serialized)
struct MultibootGuestTests {
  let scratch: Scratch
  private let package: String

  init() throws {
    scratch = try Scratch()
    package = try Scratch.package()
    _ = try scratch.write(Array("a disk\n".utf8), to: "disk")
    _ = try scratch.write(Array("first text\n".utf8), to: "first")
    _ = try scratch.write(Array("second text\n".utf8), to: "second")
  }

  private func run(_ guest: String, _ options: String) throws -> (status: Int32, output: String) {
    try scratch.shell(
      "\(RunTests.skep) run --hypervisor \(package)/build/skep.elf --kernel \(package)/build/test-guests/\(guest) "
        + "--memory 64M --timeout 5m \(options)")
  }

  private static let options = "--initrd disk --module 'first a  \"b\" c=\\d' --module second --append \"it's  x\""

  @Test("Version 1, ELF32: what it is told, and its exit status")
  func version1() throws {
    let (status, output) = try run("multiboot1", Self.options)
    #expect(status == 0x21, "\(output)")
    let expected = [
      "magic=2badb002", "eflags=00000002", "cr0=00000011", "cs=00000008", "zero=00000001", "flags=0000026d",
      "upper=0000fc00", "command line=kernel it's  x", "loader=Skep", "modules=00000003", "module : a disk",
      #"module a  "b" c=\d: first text"#, "module : second text", "fw_cfg=554d4551", "processors=00000001",
      "memory=04000000",
    ]
    #expect(output.contains("The guest ended the run"), "\(output)")
    for text in expected { #expect(output.contains(text + "\n"), "\(text) in \(output)") }
  }

  @Test("Version 2, ELF64: what it is told, and how it turns the machine off")
  func version2() throws {
    let (status, output) = try run("multiboot2", Self.options)
    #expect(status == 0, "\(output)")
    let expected = [
      "magic=36d76289", "cr0=00000011", "command line=it's  x", "module : a disk",
      #"module a  "b" c=\d: first text"#, "module : second text", "rsdp=00000001", "tag=00000006", "tag=0000000f",
      "tag=00000000",
    ]
    #expect(output.contains("The guest powered off"), "\(output)")
    for text in expected { #expect(output.contains(text + "\n"), "\(text) in \(output)") }
  }

  @Test("GRUB tells the kernel of version 2 the same")
  func native() throws {
    let (status, output) = try run("multiboot2", Self.options + " --native")
    #expect(output.contains("magic=36d76289\n") && output.contains("module : second text\n"), "\(status) \(output)")
  }

  @Test(
    "What cannot be is said in one message",
    arguments: [
      ("multiboot1", "--memory 20M --module big", "The modules do not fit: they have 20971520 bytes"),
      ("halt", "--module first", "A Linux kernel takes no modules"),
      ("multiboot1", "--module missing", "the module missing cannot be read"),
    ])
  func refused(guest: String, options: String, text: String) throws {
    _ = try scratch.write([UInt8](repeating: 0, count: 20 << 20), to: "big")
    let (status, output) = try run(guest, options)
    #expect(status == 2, "\(output)")
    let messages = output.split(separator: "\n").filter { $0.hasPrefix("skep: ") }
    #expect(messages.count == 1 && messages[0].contains(text), "\(output)")
  }
}
