import VMCS

/// A part of a line that a hypervisor prints: its text, and what the numbers in it are.
///
/// In the text, " " stands for any blanks or none, and a mailer may have broken the line there; "%" and digits for a number
/// in hexadecimal of at least so many digits, "0x" before it may be missing; "#" for a decimal number; "," may be missing;
/// "~" for text in parentheses or nothing; "^" for text in brackets; "@" for a word; "&" for the rest of the line.
struct DumpRow {
  /// The parts of a dump, in which rows with the same text are different fields.
  enum Section: UInt8 {
    case claim, guest, host, control, any
  }

  /// What is known when the row is seen.
  struct Traits: OptionSet {
    var rawValue: UInt16
    /// Nothing else looks like this: a dump may begin with it.
    static let opens = Self(rawValue: 1)
    /// It may be there several times.
    static let repeats = Self(rawValue: 2)
    /// The dump is Xen's.
    static let xen = Self(rawValue: 4)
    /// The dump is a Xen's before 4.6.
    static let beforeXen46 = Self(rawValue: 8)
    /// It begins a dump, and ends the one before.
    static let begins = Self(rawValue: 16)
    /// A writer puts it on the line of the row before.
    static let joins = Self(rawValue: 32)
    /// The instruction was VMRESUME.
    static let vmresume = Self(rawValue: 64)
    /// The instruction was VMLAUNCH.
    static let vmlaunch = Self(rawValue: 128)
    /// The MSR entries that follow are of the VM-entry MSR-load area.
    static let entryLoadArea = Self(rawValue: 256)
    /// The MSR entries that follow are of the VM-exit MSR-store area.
    static let exitStoreArea = Self(rawValue: 512)
    /// The MSR entries that follow are of the VM-exit MSR-load area.
    static let exitLoadArea = Self(rawValue: 1024)
    /// Skep's list of failed checks follows.
    static let beginsReport = Self(rawValue: 2048)
    /// It is over.
    static let endsReport = Self(rawValue: 4096)
  }

  let format: DumpFormat
  let section: Section
  let text: StaticString
  let targets: DumpTargets
  let traits: Traits
  /// The value of the first target, if the row has no number for it; the numbers are then for the targets after it.
  let constant: UInt64?

  init(
    _ format: DumpFormat, _ section: Section, _ text: StaticString, _ targets: [DumpTarget] = [], _ traits: Traits = [],
    constant: UInt64? = nil
  ) {
    self.format = format
    self.section = section
    self.text = text
    self.targets = DumpTargets(targets)
    self.traits = traits
    self.constant = constant
  }

  /// Whether this is the row that the guest state of KVM and Xen begins with.
  var isFirstOfGuestState: Bool { section == .guest && targets.first == .field(.guestCR0) }
}
