import VMCS
import VMEntryChecks

/// What Linux's `/proc/cpuinfo` says about VMX.
///
/// The line "vmx flags", which Linux prints since 5.6, has the names of `arch/x86/include/asm/vmxfeatures.h`: a name that is
/// there is a control that can be 1. One that is not there cannot, but only if every such kernel prints it. The kernel
/// says nothing about controls that have to be 1. In the line "flags", a name that is missing may just be hidden, by a
/// kernel parameter or since the kernel is older than the feature, so it makes a verdict likely at most.
struct LinuxProcessorFlags {
  private var vmx: Set<Substring>?
  private var flags: Set<Substring>?
  private var addressWidths: (physical: UInt64, linear: UInt64)?

  /// How many of the three lines have been read.
  var lineCount: Int { (vmx == nil ? 0 : 1) + (flags == nil ? 0 : 1) + (addressWidths == nil ? 0 : 1) }

  /// Reads a line; the first of each kind counts, since all processors have the same.
  mutating func read(_ line: Substring) {
    guard let colon = line.firstIndex(of: ":") else { return }
    let contents = line[line.index(after: colon)...]
    switch line[..<colon].split(whereSeparator: { $0 == " " || $0 == "\t" }).joined(separator: " ") {
    case "vmx flags": if vmx == nil { vmx = Set(contents.split(separator: " ")) }
    case "flags": if flags == nil { flags = Set(contents.split(separator: " ")) }
    case "address sizes":
      let numbers = contents.split { !$0.isNumber }.compactMap { UInt64($0) }
      if addressWidths == nil, numbers.count == 2, (32...52).contains(numbers[0]), (32...57).contains(numbers[1]) {
        addressWidths = (numbers[0], numbers[1])
      }
    default: break
    }
  }

  /// Adds what the lines say to what is known.
  func add(to known: inout KnownCapabilities) {
    addAddressWidths(to: &known)
    if let names = vmx ?? flags { addControls(names, isComplete: vmx != nil, to: &known) }
    if let flags { addLikelyCR4(flags, to: &known) }
  }

  private func addAddressWidths(to known: inout KnownCapabilities) {
    guard let (physical, linear) = addressWidths else { return }
    // Where memory can be encrypted, Linux subtracts the bits of the key from the width that CPUID has.
    if flags?.contains("tme") == true {
      known.add(.cpuid80000008EAX, permissive: linear << 8 | 52, restrictive: linear << 8 | physical)
    } else {
      known.exact[.cpuid80000008EAX] = linear << 8 | physical
    }
    let la57: UInt64 = 1 << 12
    known.add(.ia32VMXCR4FIXED0, permissive: 0, restrictive: ~0)
    known.add(.ia32VMXCR4FIXED1, permissive: linear == 57 ? ~0 : ~la57, restrictive: linear == 57 ? la57 : 0)
  }

  private func addControls(_ names: Set<Substring>, isComplete: Bool, to known: inout KnownCapabilities) {
    var words: [EntryCapability: (present: UInt64, absent: UInt64)] = [:]
    for feature in Self.features {
      let isPresent = names.contains(Substring(feature.name))
      if !isPresent, !isComplete || !feature.isAlwaysPrinted { continue }
      for (capability, bit) in feature.bits {
        if isPresent {
          words[capability, default: (0, 0)].present |= 1 << bit
        } else if feature.bits.count == 1 {
          words[capability, default: (0, 0)].absent |= 1 << bit
        }
      }
    }
    for (capability, bits) in words {
      // The low half of the MSRs of control words has the controls that have to be 1. None of the secondary ones does (SDM,
      // "Secondary Processor-Based VM-Execution Controls" of the appendix on capabilities).
      let low: UInt64 = capability == .ia32VMXEPTVPIDCAP ? 0 : 0xFFFF_FFFF
      let mustBe1 = capability == .ia32VMXPROCBASEDCTLS2 ? 0 : low
      for same in [capability] + Self.exactForm(of: capability) {
        known.add(same, permissive: ~low & ~bits.absent, restrictive: mustBe1 | bits.present)
      }
    }
    // Which of the MSRs counts does not matter, since both allow the same controls to be 1.
    let (defaults, exceptions, nested): (UInt64, UInt64, UInt64) = (1 << 55, 1 << 56, 1 << 58)
    known.add(.ia32VMXBASIC, permissive: defaults | exceptions | nested, restrictive: defaults)
  }

  private static func exactForm(of capability: EntryCapability) -> [EntryCapability] {
    switch capability {
    case .ia32VMXPINBASEDCTLS: [.ia32VMXTRUEPINBASEDCTLS]
    case .ia32VMXPROCBASEDCTLS: [.ia32VMXTRUEPROCBASEDCTLS]
    default: []
    }
  }

  /// The bits of CR4 that can be 1 if the kernel hides nothing: as KVM derives them from CPUID for a nested hypervisor.
  private func addLikelyCR4(_ flags: Set<Substring>, to known: inout KnownCapabilities) {
    var mayBe1 = ~UInt64(0)
    for (name, bits) in Self.cr4Features where !flags.contains(Substring(name)) { mayBe1 &= ~bits }
    if let addressWidths, addressWidths.linear != 57 { mayBe1 &= ~(1 << 12) }
    known.addLikely(.ia32VMXCR4FIXED1, mayBe1)
  }

  private struct Feature {
    let name: String
    let bits: [(EntryCapability, UInt64)]
    /// Whether every kernel that prints "vmx flags" prints it, if it is there.
    var isAlwaysPrinted = true
  }

  private static let features: [Feature] = {
    func control(_ name: String, _ capability: EntryCapability, _ bit: UInt64, isAlwaysPrinted: Bool = true) -> Feature
    {
      Feature(name: name, bits: [(capability, bit + 32)], isAlwaysPrinted: isAlwaysPrinted)
    }
    let (pin, primary, secondary) = (
      EntryCapability.ia32VMXPINBASEDCTLS, EntryCapability.ia32VMXPROCBASEDCTLS, EntryCapability.ia32VMXPROCBASEDCTLS2
    )
    return [
      control("vnmi", pin, 5), control("preemption_timer", pin, 6), control("posted_intr", pin, 7),
      control("tsc_offset", primary, 3), control("vtpr", primary, 21), control("mtf", primary, 27),
      // Before 5.6 it is among the "flags".
      control("tpr_shadow", primary, 21, isAlwaysPrinted: false),
      control("vapic", secondary, 0), control("ept", secondary, 1), control("vpid", secondary, 5),
      control("unrestricted_guest", secondary, 7), control("vapic_reg", secondary, 8), control("vid", secondary, 9),
      control("ple", secondary, 10), control("shadow_vmcs", secondary, 14), control("pml", secondary, 17),
      control("ept_violation_ve", secondary, 18, isAlwaysPrinted: false),
      control("ept_mode_based_exec", secondary, 22), control("tsc_scaling", secondary, 25),
      control("usr_wait_pause", secondary, 26),
      control("bus_lock_detection", secondary, 30, isAlwaysPrinted: false),
      control("notify_vm_exiting", secondary, 31, isAlwaysPrinted: false),
      Feature(name: "ept_x_only", bits: [(.ia32VMXEPTVPIDCAP, 0)]),
      Feature(name: "ept_1gb", bits: [(.ia32VMXEPTVPIDCAP, 17)]),
      Feature(name: "ept_ad", bits: [(.ia32VMXEPTVPIDCAP, 21)]),
      Feature(name: "invvpid", bits: [(.ia32VMXEPTVPIDCAP, 32)]),
      // Names for several controls at once, which tell nothing where they are missing.
      Feature(name: "flexpriority", bits: [(primary, 32 + 21), (secondary, 32)]),
      Feature(name: "apicv", bits: [(primary, 32 + 21), (secondary, 32 + 8), (secondary, 32 + 9), (pin, 32 + 7)]),
      // Where the tertiary controls have anything, they can be activated.
      Feature(name: "ipi_virt", bits: [(primary, 32 + 17)], isAlwaysPrinted: false),
    ]
  }()

  private static let cr4Features: [(name: String, bits: UInt64)] = [
    ("vme", 3), ("tsc", 1 << 2), ("de", 1 << 3), ("pse", 1 << 4), ("pae", 1 << 5), ("mce", 1 << 6), ("pge", 1 << 7),
    ("fxsr", 1 << 9), ("sse", 1 << 10), ("umip", 1 << 11), ("vmx", 1 << 13), ("smx", 1 << 14), ("fsgsbase", 1 << 16),
    ("pcid", 1 << 17), ("xsave", 1 << 18), ("smep", 1 << 20), ("smap", 1 << 21), ("pku", 1 << 22),
  ]
}
