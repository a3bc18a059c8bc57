import VMCS
import VMEntryChecks

extension FailingValues {
  private static let prefix = "control.event-injection"
  private static let vectors: ClosedRange<UInt64> = 0...255

  /// The vectors of events of a type that make the check fail; none does if the event is not valid.
  private static func vectors(
    _ suffix: String, _ base: BaseState, _ information: UInt64, _ failing: some Sequence<UInt64>, _ note: String = "",
    except exceptions: [Change] = [], setUp: @escaping Change = { _ in }
  ) -> FailingValues {
    values(
      "\(prefix).\(suffix)", base, event, of: vectors, mask: 0xFF, failing,
      "0x\(String(information, radix: 16)) \(note)", except: exceptions + [off(event, 31)]
    ) {
      $0[event] = information
      setUp(&$0)
    }
  }

  private static func types(
    _ failing: [UInt64], _ note: String = "", setUp: @escaping Change = { _ in }
  ) -> FailingValues {
    values(
      "\(prefix).type", .long, event, of: 0...7, mask: 7, shift: 8, failing, note, except: [off(event, 31)]
    ) {
      $0[event] = 1 << 31
      setUp(&$0)
    }
  }

  private static let (noMonitorTrapFlag, noFRED): (UInt64, UInt64) = (~(1 << (32 + 27)), ~(1 << (32 + 23)))

  static let eventTypes: [FailingValues] = [
    types([1]),
    types([1, 7], "no monitor trap flag, no FRED") {
      $0.capabilities[.ia32VMXTRUEPROCBASEDCTLS]? &= noMonitorTrapFlag
      $0.capabilities[.ia32VMXTRUEENTRYCTLS]? &= noFRED
    },
    types([1], "no monitor trap flag") { $0.capabilities[.ia32VMXTRUEPROCBASEDCTLS]? &= noMonitorTrapFlag },
    types([1], "no FRED") { $0.capabilities[.ia32VMXTRUEENTRYCTLS]? &= noFRED },
    types([1, 7], "neither in the original MSRs") {
      $0.capabilities[.ia32VMXBASIC]? &= ~(1 << 55)
      $0.capabilities[.ia32VMXPROCBASEDCTLS]? &= noMonitorTrapFlag
      $0.capabilities[.ia32VMXENTRYCTLS]? &= noFRED
    },
    types([1], "both in the original MSRs") {
      $0.capabilities[.ia32VMXBASIC]? &= ~(1 << 55)
      $0.capabilities[.ia32VMXTRUEPROCBASEDCTLS]? &= noMonitorTrapFlag
      $0.capabilities[.ia32VMXTRUEENTRYCTLS]? &= noFRED
    },
    types([1], "FRED in the original MSRs") {
      $0.capabilities[.ia32VMXBASIC]? &= ~(1 << 55)
      $0.capabilities[.ia32VMXPROCBASEDCTLS]? &= noMonitorTrapFlag
      $0.capabilities[.ia32VMXTRUEENTRYCTLS]? &= noFRED
    },
    vectors("nmi-vector", .long, 0x8000_0202, vectors.filter { $0 != 2 }, except: [on(event, 8), off(event, 9)]),
    vectors("hardware-exception-vector", .long, 0x8000_0300, 32...255, except: [off(event, 8), on(event, 10)]),
    vectors("other-event-vector", .long, 0x8000_0700, 1...255, except: [off(event, 8), off(event, 9), off(event, 10)]),
    vectors("other-event-vector", .rich, 0x8000_0700, 3...255),
    vectors("other-event-vector", .rich, 0x8000_0700, 1...255, "CR4.FRED is 0", setUp: off(.guestCR4, 32)),
    vectors("other-event-vector", .rich, 0x8000_0700, 1...255, "not IA-32e mode", setUp: off(entry, 9)),
  ]

  private static let withErrorCode: [UInt64] = [8, 10, 11, 12, 13, 14, 17]
  private static let notRequired: Change = { $0.capabilities[.ia32VMXBASIC]? |= 1 << 56 }

  static let eventErrorCodes: [FailingValues] = joined(
    [
      vectors(
        "deliver-error-code.set", .long, 0x8000_0300, withErrorCode,
        except: [notRequired, off(.guestCR0, 0), off(event, 8), on(event, 10), on(event, 11)]),
      vectors(
        "deliver-error-code.clear", .long, 0x8000_0B00, (0...31).filter { !withErrorCode.contains($0) },
        except: [notRequired, off(event, 11)]),
      vectors("deliver-error-code.clear", .long, 0x8000_0B00, 0...255, "CR0.PE is 0", except: [off(event, 11)]) {
        $0[.guestCR0] &= ~1
        notRequired(&$0)
      },
      vectors(
        "deliver-error-code.set", .protected, 0x8000_0300, withErrorCode, "CR0.PE is 0", except: [notRequired],
        setUp: off(.guestCR0, 0)),
      vectors(
        "deliver-error-code.clear", .protected, 0x8000_0B00, (0...31).filter { !withErrorCode.contains($0) },
        "CR0.PE is 0", except: [notRequired, off(event, 11)], setUp: off(.guestCR0, 0)),
      bits("\(prefix).reserved", .long, event, "30:12", except: [off(event, 31)], setUp: set(event, 0x8000_0306)),
      bits("\(prefix).reserved", .long, event, "30:14, 12", "nested exceptions", except: [off(event, 31)]) {
        $0[event] = 0x8000_0306
        $0.capabilities[.ia32VMXBASIC]? |= 1 << 58
      },
      bits("\(prefix).reserved", .long, of: .ia32VMXBASIC, "58", except: [off(event, 31)]) {
        $0[event] = 0x8000_2306
        $0.capabilities[.ia32VMXBASIC]? |= 1 << 58
      },
      bits(
        "\(prefix).error-code", .long, .vmEntryExceptionErrorCode, "31:16", except: [off(event, 31), off(event, 11)],
        setUp: set(event, 0x8000_0B0D)),
    ],
    [0, 2, 4, 5, 6, 7].map { type in
      vectors("deliver-error-code.clear", .long, 0x8000_0800 | type << 8, 0...255, except: [off(event, 11)])
    })

  private static let lengths: [UInt64] = Array(0...33) + [255, 256, 1 << 31]

  private static func length(
    _ base: BaseState, _ information: UInt64, _ failing: [UInt64], _ note: String = "",
    setUp: @escaping Change = { _ in }
  ) -> FailingValues {
    values(
      "\(prefix).instruction-length", base, .vmEntryInstructionLength, of: lengths, failing,
      "0x\(String(information, radix: 16)) \(note)", except: [off(event, 31)]
    ) {
      $0[event] = information
      setUp(&$0)
    }
  }

  static let eventLengths: [FailingValues] = joined(
    [0x8000_0480, 0x8000_0501, 0x8000_0603].flatMap { information in
      [
        length(.long, information, lengths.filter { $0 == 0 || $0 > 15 }),
        length(.long, information, lengths.filter { $0 > 15 }, "0 is allowed") {
          $0.capabilities[.ia32VMXMISC]? |= 1 << 30
        },
      ]
    },
    [0x8000_0030, 0x8000_0202, 0x8000_0306, 0x8000_0701, 0x8000_0702].map { length(.long, $0, []) },
    [0x8000_0701, 0x8000_0702].flatMap { information in
      [
        length(.rich, information, lengths.filter { $0 == 0 || $0 > 15 }),
        length(.rich, information, lengths.filter { $0 > 15 }, "0 is allowed") {
          $0.capabilities[.ia32VMXMISC]? |= 1 << 30
        },
        length(.rich, information, [], "CR4.FRED is 0", setUp: off(.guestCR4, 32)),
        length(.rich, information, [], "not IA-32e mode", setUp: off(entry, 9)),
      ]
    },
    [0x8000_0700, 0x8000_0703].map { length(.rich, $0, []) })
}
