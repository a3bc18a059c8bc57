import VMCS

extension ProcessorModel {
  /// Executes INVEPT.
  public func invept(_ type: UInt64, _ eptPointer: UInt64) -> VMXOutcome {
    let outcome = injectedOutcome(.invept) ?? executeINVEPT(type, eptPointer)
    record(.invept(type: type, eptPointer: eptPointer), outcome)
    return outcome
  }

  private func executeINVEPT(_ type: UInt64, _ eptPointer: UInt64) -> VMXOutcome {
    guard requireVMXOperation("INVEPT") else { return .failInvalid }
    guard configuration.hasEPT, capability(20) else {
      fault(.invalidOpcode("INVEPT on a processor without it"))
      return .failInvalid
    }
    let isSupportedType = type == 1 ? capability(25) : type == 2 && capability(26)
    guard isSupportedType, type != 1 || isValidEPTPointer(eptPointer) else {
      return fail(.invalidOperandToINVEPTOrINVVPID)
    }
    return .succeed
  }

  /// Executes INVVPID.
  public func invvpid(_ type: UInt64, _ vpid: UInt16, _ linearAddress: UInt64) -> VMXOutcome {
    let outcome = injectedOutcome(.invvpid) ?? executeINVVPID(type, vpid, linearAddress)
    record(.invvpid(type: type, vpid: vpid, linearAddress: linearAddress), outcome)
    return outcome
  }

  private func executeINVVPID(_ type: UInt64, _ vpid: UInt16, _ linearAddress: UInt64) -> VMXOutcome {
    guard requireVMXOperation("INVVPID") else { return .failInvalid }
    guard configuration.hasVPID, capability(32) else {
      fault(.invalidOpcode("INVVPID on a processor without it"))
      return .failInvalid
    }
    let isValid =
      switch type {
      case 0: capability(40) && vpid != 0 && isCanonical(linearAddress)
      case 1: capability(41) && vpid != 0
      case 2: capability(42)
      case 3: capability(43) && vpid != 0
      default: false
      }
    return isValid ? .succeed : fail(.invalidOperandToINVEPTOrINVVPID)
  }

  /// A bit of IA32_VMX_EPT_VPID_CAP.
  private func capability(_ bit: UInt64) -> Bool { configuration.eptAndVPID >> bit & 1 != 0 }

  /// Whether a VM entry would accept the EPT pointer: SDM, "VM-Execution Control Fields" in "Checks on VMX Controls".
  private func isValidEPTPointer(_ pointer: UInt64) -> Bool {
    let isKnownMemoryType = pointer & 7 == 0 && capability(8) || pointer & 7 == 6 && capability(14)
    let isKnownWalkLength = pointer >> 3 & 7 == 3 && capability(6) || pointer >> 3 & 7 == 4 && capability(7)
    let usesUnknownFlags = pointer & 1 << 6 != 0 && !capability(21) || pointer & 1 << 7 != 0 && !capability(23)
    return isKnownMemoryType && isKnownWalkLength && !usesUnknownFlags && pointer & 0xF00 == 0
      && pointer >> UInt64(configuration.physicalAddressWidth) == 0
  }

  private func isCanonical(_ address: UInt64) -> Bool {
    let unused = UInt64(64 - configuration.linearAddressWidth)
    return Int64(bitPattern: address << unused) >> unused == Int64(bitPattern: address)
  }
}
