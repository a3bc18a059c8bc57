import ProcessorModel
import Testing
import VMCS
import VMX

@testable import Machine

@Suite("Start of a Multiboot kernel")
struct MultibootStartTests {
  @Test(
    "The start state is the specification's, and passes every check of a VM entry",
    arguments: ["Sandy Bridge", "Haswell", "Skylake-X", "everything"])
  func start(_ name: String) throws {
    let configurations: [ProcessorModel.Configuration] = [.sandyBridge, .haswell, .skylakeX, .everything]
    let configuration = try #require(configurations.first { $0.name == name })
    let guest = try GuestOnModel(configuration)
    let entry = MultibootEntry(magic: 0x2BAD_B002, rip: 0x40_0010, information: 0x9020, gdtBase: 0x9000)
    guest.vcpu.start(GuestEntry.multiboot(entry))
    #expect(guest.vcpu.register(.rax) == 0x2BAD_B002 && guest.vcpu.register(.rbx) == 0x9020)
    let request = guest.run(.instruction(.cpuid))
    #expect(request.isEnd && guest.processor.failedCheck == nil, "\(request)")
    #expect(guest.entries.map(\.rip) == [0x40_0010, 0x40_0012])
    #expect(guest.vcpu.register(.cr0) == 0x11 && guest.vcpu.register(.cr4) == 0 && guest.vcpu.register(.efer) == 0)
    #expect(guest.vcpu.register(.rflags) == 2)
    #expect(!guest.contents(.vmEntryControls).contains(.ia32eModeGuest))
    let code = guest.vcpu.descriptor(.cs)
    #expect(code.base == 0 && code.limit == ~0 && code.accessRights.rawValue & 0xD09F == 0xC09B)
    for segment in [GuestSegment.ds, .es, .ss, .fs, .gs] {
      let data = guest.vcpu.descriptor(segment)
      #expect(data.base == 0 && data.limit == ~0 && data.accessRights.rawValue & 0xD09F == 0xC093)
    }
    for selector in [GuestRegister.ds, .es, .ss, .fs, .gs] { #expect(guest.vcpu.register(selector) == 0x10) }
    #expect(guest.vcpu.register(.cs) == 0x08)
    let table = guest.vcpu.descriptor(.gdtr)
    #expect(table.base == 0x9000 && table.limit == 23)
  }
}
