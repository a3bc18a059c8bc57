import VMCS
import VMEntryChecks

extension FailingValues {
  private static let interruptibility: VMCSField<GuestInterruptibilityState, ReadWrite> = .guestInterruptibilityState

  private static func addressWidths(_ widths: UInt64?) -> Change { { $0.capabilities[.cpuid80000008EAX] = widths } }

  /// Values that are changed as a whole, and what to.
  static let requiredValues: [FailingValues] = joined(
    requiredEvents, requiredStates,
    [
      values("control.vpid", .rich, .virtualProcessorIdentifier, of: [0], [0], required: 1),
      values("control.tsc-multiplier", .rich, .tscMultiplier, of: [0], [0], required: 1),
      values("control.cr3-target-count", .long, .cr3TargetCount, of: [5, 6], [5, 6], required: 4),
      values(
        "control.exit.msr-store.last-byte", .rich, .vmExitMSRStoreAddress,
        of: [beyondWidth - 31, beyondWidth, ~31, ~30, ~0], [beyondWidth - 31, beyondWidth, ~31, ~30, ~0],
        required: beyondWidth - 32, setUp: set(.vmExitMSRStoreCount, 2)),
      values(
        "control.exit.msr-store.last-byte", .rich, .vmExitMSRStoreAddress, of: [0, 0x1000], [0, 0x1000],
        "larger than the address space", required: 0
      ) {
        addressWidths(0x3020)(&$0)
        $0[.vmExitMSRStoreCount] = 1 << 28 + 1
      },
      values("control.io-bitmap-a.width", .rich, .ioBitmapAAddress, of: [1 << 32, 1 << 45, 1 << 46], [1 << 46]),
      values(
        "control.io-bitmap-a.width", .rich, .ioBitmapAAddress, of: [~0 >> 32, 1 << 32, 1 << 51, 1 << 52], [1 << 52],
        "width not known", undecidable: [1 << 32, 1 << 51], setUp: addressWidths(nil)),
      values(
        "host.pat.memory-types", .rich, .hostIA32PAT, of: [2], mask: 0xFF, shift: 8, [2], "byte 1",
        required: 0x0007_0406_0007_0006, about: 0xFF00),
      pat(0x0E, 6), pat(2, 0), pat(0x0A, 0), pat(0x08, 0), pat(0x0D, 5), pat(3, 1),
      canonical(0x392E, 1 << 62 | 1 << 50, 1 << 50), canonical(0x302E, 1 << 62 | 1 << 50, 0),
      canonical(nil, 1 << 62 | 1 << 47, ~0 << 47),
    ],
    [(1 << 50, 0), (~(1 << 50), ~0)].map { value, required in
      values("guest.rip.high-bits", .long, .guestRIP, of: [value], [value], required: required)
    })

  private static let requiredEvents: [FailingValues] = [
    bits("control.event-injection.deliver-error-code.set", .long, event, "11", setUp: set(event, 0x8000_0B08)),
    bits("control.event-injection.deliver-error-code.clear", .long, event, "11", setUp: set(event, 0x8000_0306)),
    bits("control.event-injection.other-event-vector", .long, event, "7:0", setUp: set(event, 0x8000_0700)),
    bits("control.event-injection.nmi-vector", .long, event, "7:0", setUp: set(event, 0x8000_0202)),
  ]

  private static let requiredStates: [FailingValues] = [
    bits("guest.activity-state.hlt-dpl", .long, .guestActivityState, "0", setUp: on(.guestSSAccessRights, 5)),
    values(
      "guest.activity-state.injected-event", .long, .guestActivityState, of: [3], [3], required: 0, about: 0xFFFF_FFFF,
      setUp: set(event, 0x8000_0030)),
    values(
      "guest.activity-state.entry-to-smm", .long, .guestActivityState, of: [3], [3], required: 0, about: 3,
      setUp: on(entry, 10)),
    values(
      "guest.interruptibility-state.sti-and-mov-ss", .long, interruptibility, of: [3], [3], required: 2, about: 1),
    values(
      "guest.ss.access-rights.dpl.fred", .rich, .guestSSAccessRights, of: [1], mask: 3, shift: 5, [1],
      required: 0xC093),
    values(
      "guest.ss.access-rights.dpl.fred", .rich, .guestSSAccessRights, of: [2], mask: 3, shift: 5, [2],
      required: 0xC0F3),
    values(
      "guest.ds.access-rights.g-clear", .long, .guestDSLimit, of: [0xFFE, 0xFFF, 0x1FFF, 0xF_FFFE, 0xF_FFFF],
      [0xFFE, 0xF_FFFE], "not large", required: 0x4093),
    values(
      "guest.ds.access-rights.g-clear", .long, .guestDSLimit, of: [0x10_0000, 0x10_0FFE, 0x10_0FFF],
      [0x10_0000, 0x10_0FFE], "large", required: 0x10_0FFF),
  ]

  /// What the lowest byte of IA32_PAT becomes that is no memory type.
  private static func pat(_ byte: UInt64, _ required: UInt64) -> FailingValues {
    values(
      "host.pat.memory-types", .rich, .hostIA32PAT, of: [byte], mask: 0xFF, [byte],
      required: 0x0007_0406_0007_0400 | required, about: 0xFF)
  }

  /// What an address becomes that is not canonical.
  private static func canonical(_ widths: UInt64?, _ address: UInt64, _ required: UInt64) -> FailingValues {
    values(
      "host.fs.base.canonical", .long, .hostFSBase, of: [address], [address], required: required,
      setUp: addressWidths(widths))
  }

  /// The launch states that the instructions refuse: bit 0 of a candidate is 1 for VMRESUME, bit 1 for "launched".
  static let instructions: [FailingValues] = [
    ("basic.vmlaunch-launch-state", [2] as Set<UInt64>), ("basic.vmresume-launch-state", [1]),
  ].map { id, failing in
    FailingValues(
      id: id, base: .long, note: "", setUp: { _ in }, candidates: [0, 1, 2, 3], failing: failing, exceptions: []
    ) { ($0.facts.isVMRESUME, $0.facts.isLaunched) = ($1 & 1 == 1, $1 & 2 == 2) }
  }
}
