import VMCS

extension DumpRows {
  /// What `show vmcs` of FreeBSD's kernel debugger prints.
  static var ddb: [DumpRow] {
    [
      DumpRow(.ddb, .any, "VMCS: %1", [.ignored], [.begins, .opens]),
      DumpRow(.ddb, .any, "VPID: #", [.field(.virtualProcessorIdentifier)]),
      DumpRow(.ddb, .any, "Activity: Active", [.field(.guestActivityState)], constant: 0),
      DumpRow(.ddb, .any, "Activity: HLT", [.field(.guestActivityState)], constant: 1),
      DumpRow(.ddb, .any, "Activity: Shutdown", [.field(.guestActivityState)], constant: 2),
      DumpRow(.ddb, .any, "Activity: Wait for SIPI", [.field(.guestActivityState)], constant: 3),
      DumpRow(.ddb, .any, "Activity: Unknown: 0x%1", [.field(.guestActivityState)]),
      DumpRow(.ddb, .any, "Entry Failure Reason: #", [.other(.entryFailureReason)]),
      DumpRow(.ddb, .any, "Exit Reason: #", [.other(.basicExitReason)]),
      DumpRow(.ddb, .any, "Qualification: 0x%1", [.field(.exitQualification)]),
      DumpRow(.ddb, .any, "Guest Linear Address: 0x%1", [.field(.guestLinearAddress)]),
      DumpRow(.ddb, .any, "Guest Physical Address: 0x%1", [.field(.guestPhysicalAddress)]),
      DumpRow(
        .ddb, .any, "Interrupt Type: external Vector: # Error Code: %1",
        [.other(.eventType), .other(.eventVector), .other(.eventErrorCode)], constant: 0),
      DumpRow(
        .ddb, .any, "Interrupt Type: NMI Vector: # Error Code: %1",
        [.other(.eventType), .other(.eventVector), .other(.eventErrorCode)], constant: 2),
      DumpRow(
        .ddb, .any, "Interrupt Type: HW exception Vector: # Error Code: %1",
        [.other(.eventType), .other(.eventVector), .other(.eventErrorCode)], constant: 3),
      DumpRow(
        .ddb, .any, "Interrupt Type: SW exception Vector: # Error Code: %1",
        [.other(.eventType), .other(.eventVector), .other(.eventErrorCode)], constant: 4),
      DumpRow(
        .ddb, .any, "Interrupt Type: ?? # Vector: # Error Code: %1",
        [.other(.eventType), .other(.eventVector), .other(.eventErrorCode)]),
      DumpRow(.ddb, .any, "VM-instruction error: 0x%1", [.claim(.instructionError)]),
    ]
  }
}
