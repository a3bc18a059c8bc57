import Glibc
import Testing

@testable import Launcher

/// Skep itself in the emulator: Debian's kernel to its shell, and guests that go wrong.
///
/// Needs what `make image guest` makes. These start the emulator, so `make test` asks for them by SKEP_BOCHS_TESTS=1.
@Suite("Skep in Bochs", .enabled(if: getenv("SKEP_BOCHS_TESTS") != nil, "SKEP_BOCHS_TESTS is not set"), .serialized)
struct HypervisorTests {
  let scratch: Scratch
  private let package: String

  init() throws {
    scratch = try Scratch()
    package = try Scratch.package()
  }

  private var debian: String {
    "--kernel \(package)/build/guest/vmlinuz --initrd \(package)/build/guest/initrd.img "
      + "--append 'console=ttyS0 cryptomgr.notests'"
  }

  private func run(_ arguments: String) throws -> (status: Int32, output: String) {
    try scratch.shell("\(RunTests.skep) run --hypervisor \(package)/build/skep.elf --timeout 5m \(arguments)")
  }

  @Test(
    "Debian's kernel boots to its shell, runs a command and powers off",
    arguments: ["corei7_skylake_x", "corei7_haswell_4770", "corei7_sandy_bridge_2600k", "tigerlake"])
  func debian(model: String) throws {
    let (status, output) = try run(
      "\(debian) --cpu-model \(model) --expect 'skep# ' --send 'echo $((6 * 7)); grep -c ^processor /proc/cpuinfo\\n' "
        + "--expect 'skep# ' --send 'poweroff -f\\n'")
    #expect(status == 0, "\(output.suffix(4000))")
    #expect(output.contains("\n42\n1\n"))
    #expect(output.contains("reboot: Power down"))
    #expect(output.contains("The guest powered off"))
    for row in ["VM exits", "VMREADs", "VMWRITEs", "Instructions in the guest", "Instructions in Skep"] {
      #expect(output.contains("\n\(row)  "))
    }
  }

  @Test("reboot in the guest ends the run too, and without the meter there is no table")
  func reboot() throws {
    let (status, output) = try run("\(debian) --no-metered --expect 'skep# ' --send 'reboot -f\\n'")
    #expect(status == 0, "\(output.suffix(4000))")
    #expect(output.contains("The guest reset itself"))
    // The reset register of the FADT, which Linux takes before the keyboard controller.
    #expect(output.contains("\nthe guest restarted its machine by port 0xcf9\n"), "\(output.suffix(4000))")
    #expect(!output.contains("VMREADs"))
  }

  @Test("The guest's memory and command line are those that were asked for")
  func commandLine() throws {
    let (status, output) = try run(
      "--kernel \(package)/build/guest/vmlinuz --initrd \(package)/build/guest/initrd.img --memory 200M "
        + #"--append "console=ttyS0 cryptomgr.notests quiet  a='b \"c' d\\e" --expect 'skep# ' "#
        + #"--send 'cat /proc/cmdline; grep MemTotal /proc/meminfo; poweroff -f\n'"#)
    #expect(status == 0, "\(output.suffix(4000))")
    #expect(output.contains(#"console=ttyS0 cryptomgr.notests quiet  a='b "c' d\e"# + "\n"))
    let total = output.split(separator: "\n").first { $0.hasPrefix("MemTotal:") }.map { $0.split(separator: " ") }
    let kibibytes = try #require(total?.dropFirst().first.flatMap { Int($0) })
    #expect((140 << 10)...(200 << 10) ~= kibibytes)
  }

  @Test(
    "A processor that does not qualify is refused by name of what it lacks",
    arguments: [
      ("ryzen", "VMX"), ("core2_penryn_t9600", "EPT"), ("corei5_lynnfield_750", "Unrestricted guest"),
    ])
  func processor(model: String, lacks: String) throws {
    let (status, output) = try run("--kernel \(try scratch.kernel()) --cpu-model \(model)")
    #expect(status == 2)
    let message = try #require(output.split(separator: "\n").first { $0.hasPrefix("skep: ") })
    #expect(message.contains(lacks), "\(output)")
  }

  @Test(
    "A guest that goes wrong is stopped with a report of its state",
    arguments: [
      ([0x0f, 0x0b], "triple fault"),  // UD2, without an IDT
      ([0xfa, 0xf4, 0xeb, 0xfd], "halted"),  // CLI, HLT, for ever
      ([0x8a, 0x04, 0x25, 0, 0, 0, 0x50], "stopped"),  // MOV AL, [0x50000000], where no memory is
      ([0x0f, 0x01, 0xc1, 0xfa, 0xf4], "triple fault"),  // VMCALL, which no guest can know here: #UD
    ] as [([UInt8], String)])
  func wrong(code: [UInt8], text: String) throws {
    let (status, output) = try run("--kernel \(try scratch.kernel(code: code)) --memory 64M --timeout 60")
    #expect(status == 1, "\(output)")
    #expect(output.contains(text), "\(output)")
    #expect(output.contains("\nRIP 0x"), "\(output)")
    #expect(!output.contains(RunEnd.panic.summary), "\(output)")
  }

  @Test("The same kernel boots natively, and GRUB gives it the same command line")
  func native() throws {
    let (status, output) = try run(
      "--native --kernel \(package)/build/guest/vmlinuz --initrd \(package)/build/guest/initrd.img "
        + "--append 'console=ttyS0 cryptomgr.notests tsc_early_khz=50000 tsc=reliable' "
        + "--expect 'skep# ' --send 'cat /proc/cmdline; poweroff -f\\n'")
    #expect(status == 0, "\(output.suffix(4000))")
    #expect(output.contains(" console=ttyS0 cryptomgr.notests tsc_early_khz=50000 tsc=reliable\n"))
  }
}
