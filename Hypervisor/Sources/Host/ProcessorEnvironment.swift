import CVMX
import VMCS

/// What all processors have in common, as the first one has it.
struct ProcessorEnvironment {
  private let cr0 = cvmx_read_cr0()
  private let cr3 = cvmx_read_cr3()
  private let cr4 = cvmx_read_cr4()
  private let pat = cvmx_rdmsr(MSR.ia32PAT.rawValue)
  private let interruptDescriptorTable = cvmx_idtr_base()
  private let timestampFrequency: UInt64

  /// Reads this processor's registers.
  init(timestampFrequency: UInt64) { self.timestampFrequency = timestampFrequency }

  /// Gives this processor the same.
  func apply() {
    cvmx_wrmsr(MSR.ia32PAT.rawValue, pat)
    cvmx_write_cr3(cr3)
    cvmx_write_cr0(cr0)
    // VMX operation is each processor's own.
    var cr4 = CR4(rawValue: cr4)
    cr4.vmxe = false
    cvmx_write_cr4(cr4.rawValue)
    cvmx_lidt(UnsafeRawPointer(bitPattern: UInt(interruptDescriptorTable)).unsafelyUnwrapped, 4095)
  }

  /// Waits until `condition` holds, but not longer than `microseconds`; whether it holds.
  func wait(microseconds: UInt64, until condition: () -> Bool) -> Bool {
    let start = cvmx_rdtsc()
    let ticks = timestampFrequency / 1_000_000 * microseconds
    while !condition() {
      if cvmx_rdtsc() &- start > ticks { return false }
      cvmx_pause()
    }
    return true
  }
}
