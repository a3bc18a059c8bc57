import ProcessorModel
import Testing
import VMCS
import VMX

@testable import Machine

/// The page that the processors virtualize, as one of two processors leaves the usual address and comes back.
@Suite("The APIC-access page") struct APICAccessPageTests {
  private let page = LocalAPIC.usualAddress
  private let other = ProcessorSet(1)

  /// WRMSR to IA32_APIC_BASE of the bootstrap processor.
  private func setBase(_ value: UInt64) -> ScriptedExit {
    .instruction(.wrmsr) { registers, _ in
      (registers.rcx, registers.rax, registers.rdx) = (0x1B, value & 0xFFFF_FFFF, value >> 32)
    }
  }

  /// What the processor writes to IA32_APIC_BASE to leave, and to come back.
  enum Way: CaseIterable, Sendable {
    case off, moved, x2APIC

    var there: UInt64 {
      switch self {
      case .off: 0xFEE0_0100
      case .moved: 0xFED1_0900
      case .x2APIC: 0xFEE0_0D00
      }
    }
    var back: [UInt64] { self == .x2APIC ? [0xFEE0_0100, 0xFEE0_0900] : [0xFEE0_0900] }
  }

  /// Lets the guest execute WRMSR; the processors that have to exit then.
  private func kicks(_ value: UInt64, in device: DeviceGuest) -> ProcessorSet {
    _ = device.guest.run(setBase(value))
    return device.guest.virtualProcessor.takeKicks().exits
  }

  /// Whether the page is mapped once the guest has read a register at the usual address.
  private func isMappedByAccess(in device: DeviceGuest) -> Bool {
    let request = device.guest.run(device.load(page + 0x30))
    #expect(request.isEnd)
    return device.guest.machine.tables.translation(of: page) != nil
  }

  private func invepts(in device: DeviceGuest) -> Int {
    device.guest.processor.trace.accesses.count { if case .invept = $0 { true } else { false } }
  }

  @Test("F11 is mapped while all processors are at the usual address, and not before", arguments: Way.allCases)
  func oneProcessor(way: Way) throws {
    let device = try DeviceGuest(options: [.useTPRShadow, .virtualizeAPICAccesses], processorCount: 2)
    #expect(isMappedByAccess(in: device))
    for _ in 0..<2 {
      let generation = device.guest.machine.tables.generation
      #expect(kicks(way.there, in: device) == other)
      #expect(device.guest.machine.tables.translation(of: page) == nil)
      #expect(device.guest.machine.tables.generation > generation)
      #expect(!isMappedByAccess(in: device))
      #expect(invepts(in: device) == 1)
      for value in way.back { #expect(kicks(value, in: device).isEmpty) }
      #expect(isMappedByAccess(in: device))
    }
  }

  @Test("is not mapped while another processor is elsewhere", arguments: Way.allCases)
  func otherProcessor(way: Way) throws {
    let device = try DeviceGuest(options: [.useTPRShadow, .virtualizeAPICAccesses], processorCount: 2)
    device.guest.machine.processorsWithoutAPICAccessPage = other
    #expect(!isMappedByAccess(in: device))
    // The other has unmapped it already.
    for value in [way.there] + way.back { #expect(kicks(value, in: device).isEmpty) }
    #expect(!isMappedByAccess(in: device))
    device.guest.machine.processorsWithoutAPICAccessPage.remove(other)
    #expect(isMappedByAccess(in: device))
  }
}
