import VMCS

/// The lines of one writer, and the dump that they are forming.
struct DumpStream {
  /// What tells the writer from others.
  let key: UInt64
  /// Whether QEMU's registers, which come after a dump of the kernel, are passed over.
  var followsKernelDump = false
  var lastLine: UInt64 = 0
  var dump: Dump?
  /// The format of the rows that the dump is made of: KVM's for Xen too.
  private var family = DumpFormat.kvm
  /// The position of the last row in the table.
  private var rank = -1
  /// The row that the last line broke off in.
  private var broken: (row: Int, text: Int, targets: Int)?
  private var mayHaveParentheses = false
  /// Lines that were not understood, since the last that was.
  private var candidates: [UnreadLine] = []
  private var candidateCount = 0
  var area = DumpMSREntry.Area.vmEntryLoad
  var msr = MSR(rawValue: 0)
  var encoding: VMCSFieldEncoding?
  var event: UInt64 = 0
  private var isInReport = false

  /// A dump is over when so many lines bring nothing for it.
  static let silenceLimit: UInt64 = 400

  /// The most lines of a stack trace, which the kernel prints at the first VMREAD or VMWRITE that fails.
  static let traceLimit: UInt64 = 150

  init(key: UInt64) { self.key = key }

  /// Whether a dump is open, or lines are passed over.
  var isOpen: Bool { dump != nil || followsKernelDump }

  /// The first line of the open dump.
  var firstLine: UInt64 { dump?.firstLine ?? 0 }

  /// Takes QEMU's claim if the open dump is a recent one of KVM that has none.
  mutating func take(_ claim: DumpClaim) -> Bool {
    guard var dump, dump.format == .kvm, claim.line &- dump.lastLine < 200,
      !dump.claims.contains(where: { $0.kind == .hardwareError })
    else { return false }
    self.dump = nil
    dump.claims.append(claim)
    self.dump = dump
    return true
  }

  /// Ends the dump.
  ///
  /// - Parameter isEndOfText: whether the dump may have been cut in its last lines, which then belong to it.
  mutating func finish(isEndOfText: Bool = false, _ emit: (Dump) -> Void) {
    guard var dump = self.dump else { return }
    if isEndOfText, candidateCount <= 2 { dump.add(candidates, of: candidateCount) }
    self.dump = nil
    (rank, broken, mayHaveParentheses, encoding, isInReport) = (-1, nil, false, nil, false)
    candidates.removeAll()
    candidateCount = 0
    dump.applyQuirks()
    emit(dump)
  }

  /// Reads a line, whose text begins where `prefix` ends.
  mutating func read(
    _ line: TextLine, _ prefix: LinePrefix, number: UInt64, _ rows: borrowing DumpRows, _ emit: (Dump) -> Void
  ) {
    var position = prefix.end
    var isRead = false
    if let dump, number - dump.lastLine > Self.silenceLimit { finish(emit) }
    if let broken {
      self.broken = nil
      let row = rows.all[broken.row]
      if let match = RowMatch(row, from: broken.text, firstTarget: broken.targets, line, at: position),
        match.numberCount > 0 || match.end == .complete
      {
        store(match, row, firstTarget: broken.targets, number)
        finishRow(match, broken.row, firstTarget: broken.targets)
        position = match.linePosition
        isRead = true
      }
    }
    if mayHaveParentheses {
      mayHaveParentheses = false
      position = Self.skipParentheses(line, from: position)
    }
    while broken == nil, let next = nextRow(line, from: position, rows) {
      guard use(next.row, next.match, rows, prefix, number, emit) else { break }
      position = next.match.linePosition
      isRead = true
    }
    if isInReport, !isRead {
      readFinding(line, from: position, number)
      return
    }
    note(line, prefix, from: position, isRead: isRead, number)
  }

  private static func skipParentheses(_ line: TextLine, from position: Int) -> Int {
    guard position < line.count, line[position] == 0x28 else { return position }
    var end = position
    while end < line.count, line[end] != 0x29 { end += 1 }
    return min(line.count, end + 1)
  }

  /// The row that has most in common with the line at `position`; the next in order if there are several.
  private func nextRow(
    _ line: TextLine, from position: Int, _ rows: borrowing DumpRows
  ) -> (row: Int, match: RowMatch)? {
    var position = line.skippingBlanks(from: position)
    if position < line.count, line[position] == UInt8(ascii: ",") { position = line.skippingBlanks(from: position + 1) }
    guard position < line.count else { return nil }
    var best: (row: Int, match: RowMatch)?
    var bestGrade = 0
    for index in rows.positions(of: line[position]) {
      let row = rows.all[index]
      let grade = self.grade(row, at: index)
      guard grade > 0, let match = RowMatch(row, from: 0, firstTarget: 0, line, at: position) else { continue }
      if let best {
        let (new, old) = (match, best.match)
        if new.end.rawValue < old.end.rawValue { continue }
        if new.end == old.end {
          // Some rows take the blanks after them too.
          let (newEnd, oldEnd) = (
            line.skippingBlanks(from: new.linePosition), line.skippingBlanks(from: old.linePosition)
          )
          guard newEnd >= oldEnd else { continue }
          if newEnd == oldEnd, grade <= bestGrade { continue }
        }
      }
      (best, bestGrade) = ((index, match), grade)
    }
    return best
  }

  /// How well a row fits what has been read: 3 if it follows, 2 if it is of the same format, 1 if it may begin a dump, 0 if
  /// it cannot be.
  private func grade(_ row: DumpRow, at index: Int) -> Int {
    if followsKernelDump, row.format == .qemu { return 3 }
    guard dump != nil, row.format == family else { return row.traits.contains(.opens) ? 1 : 0 }
    guard isOrdered else { return 3 }
    return index > rank || index == rank && row.traits.contains(.repeats) ? 3 : 2
  }

  private var isOrdered: Bool { family == .kvm || family == .qemu }

  /// Takes a row into the dump, or begins one with it; false if it cannot be used.
  private mutating func use(
    _ index: Int, _ match: RowMatch, _ rows: borrowing DumpRows, _ prefix: LinePrefix, _ number: UInt64,
    _ emit: (Dump) -> Void
  ) -> Bool {
    let row = rows.all[index]
    if followsKernelDump, row.format == .qemu, dump == nil || family == .kvm { return true }
    if row.targets.first == .other(.encoding), !Self.isField(match) { return false }
    if row.targets.first?.failure != nil, takeFailure(match, row, number) { return true }
    if beginsDump(row, at: index, match, rows) {
      guard row.traits.contains(.opens) || row.format == family && dump != nil else { return false }
      finish(emit)
      dump = Dump(format: row.format, line: number)
      family = row.format
      followsKernelDump = false
    } else if isOrdered, index < rank, !isUsableOutOfOrder(row, match) {
      return false
    }
    if row.traits.contains(.xen) || prefix.isXen, family == .kvm { dump?.format = .xen }
    takeTraits(row.traits)
    if conflicts(row, match) || isOutOfPlace(row, at: index, rows) {
      dump?.becomeInterleaved()
    } else {
      store(match, row, firstTarget: 0, number)
    }
    rank = max(rank, index)
    finishRow(match, index, firstTarget: 0)
    dump?.lastLine = number
    lastLine = number
    return true
  }

  /// Whether the first number of a match is the encoding of a field, whose width the second does not exceed.
  private static func isField(_ match: RowMatch) -> Bool {
    guard match.numbers[0] <= 0xFFFF else { return false }
    let encoding = VMCSFieldEncoding(rawValue: UInt32(match.numbers[0]))
    let full = VMCSFieldEncoding(rawValue: encoding.rawValue & ~1)
    guard VMCSFieldDescription.index(of: full) != nil else { return false }
    if encoding.isHighAccess, encoding.width != .bits64 { return false }
    let width = encoding.isHighAccess ? 32 : encoding.width.bitWidth
    return match.numberCount < 2 || width == 64 || match.numbers[1] >> UInt64(width) == 0
  }

  /// Whether a row belongs to the next dump.
  private func beginsDump(
    _ row: DumpRow, at index: Int, _ match: RowMatch, _ rows: borrowing DumpRows
  ) -> Bool {
    guard let dump, row.format == family else { return true }
    if row.targets.first == .other(.virtualProcessor), family == .bhyvectl, let old = dump.virtualProcessor,
      old != match.numbers[0]
    {
      return true
    }
    guard isOrdered else { return row.traits.contains(.begins) || conflicts(row, match) }
    guard index < rank else { return false }
    // The same headline twice in a row is not a new dump, but one that comes later is. Those of host and control state
    // again are quotations, or of another dump that is mixed with this one.
    if row.traits.contains(.begins) { return true }
    if family == .qemu { return row.traits.contains(.opens) }
    // A dump whose headline is missing begins with CR0; after lines that were mixed, only a headline is certain.
    return rows.all[rank].section == .control && row.isFirstOfGuestState && !dump.isInterleaved
  }

  /// Whether a row is of the guest state although the control state has been reached: another dump's lines are mixed in.
  private func isOutOfPlace(_ row: DumpRow, at index: Int, _ rows: borrowing DumpRows) -> Bool {
    family == .kvm && index < rank && rows.all[rank].section == .control && row.section == .guest
  }

  /// Whether a row that comes after a later one can be used: only if its text cannot mean anything else.
  private func isUsableOutOfOrder(_ row: DumpRow, _ match: RowMatch) -> Bool {
    row.traits.contains(.opens)
  }

  private mutating func takeTraits(_ traits: DumpRow.Traits) {
    if traits.contains(.beforeXen46) { dump?.isBeforeXen46 = true }
    if traits.contains(.vmresume) { dump?.isVMRESUME = true }
    if traits.contains(.vmlaunch) { dump?.isVMRESUME = false }
    if traits.contains(.entryLoadArea) { area = .vmEntryLoad }
    if traits.contains(.exitStoreArea) { area = .vmExitStore }
    if traits.contains(.exitLoadArea) { area = .vmExitLoad }
    if traits.contains(.beginsReport) { isInReport = true }
    if traits.contains(.endsReport) { isInReport = false }
  }

  /// Whether the dump has another value for a field of the row.
  private func conflicts(_ row: DumpRow, _ match: RowMatch) -> Bool {
    guard let dump else { return false }
    var encoding = self.encoding
    for position in 0..<min(match.numberCount, row.targets.count) {
      let target = row.targets[position]
      let number = target.bits(match.numbers[position])
      switch target.other {
      case .encoding: encoding = VMCSFieldEncoding(rawValue: UInt32(truncatingIfNeeded: number))
      case .value: if let encoding, let old = dump[encoding], old.bits != number { return true }
      default: if let field = target.field, let old = dump[field], old.bits != number { return true }
      }
    }
    return false
  }

  /// Notes where the next line may go on.
  private mutating func finishRow(_ match: RowMatch, _ index: Int, firstTarget: Int) {
    mayHaveParentheses = match.mayHaveParentheses
    if case .lineEnd = match.end { broken = (index, match.textPosition, firstTarget + match.numberCount) }
  }

  /// Notes a line, or its rest, that was not understood.
  private mutating func note(
    _ line: TextLine, _ prefix: LinePrefix, from position: Int, isRead: Bool, _ number: UInt64
  ) {
    guard dump != nil else { return }
    let isRest = line.skippingBlanks(from: position) < line.count
    guard isRead else {
      if candidates.count < Dump.unreadLimit { candidates.append(UnreadLine(line, number, isReadInPart: false)) }
      candidateCount += 1
      return
    }
    if candidateCount > 0 {
      dump?.add(candidates, of: candidateCount)
      candidates.removeAll(keepingCapacity: true)
      candidateCount = 0
    }
    if isRest { dump?.add([UnreadLine(line, number, isReadInPart: true)], of: 1) }
  }
}

extension UnreadLine {
  init(_ line: TextLine, _ number: UInt64, isReadInPart: Bool) {
    self.init(line: number, isReadInPart: isReadInPart, text: Array(line.prefix(120)))
  }
}

extension DumpTarget {
  /// The contents of the field for a number that was printed.
  func bits(_ number: UInt64) -> UInt64 { isDescriptorFlags ? number >> 8 & 0xF0FF : number }

  /// How far the number is the field's contents; nil if it says nothing about it.
  func quality(of number: UInt64) -> DumpValue.Quality? {
    // QEMU does not print whether a segment is unusable, but what is present is usable.
    isDescriptorFlags && number >> 15 & 1 == 0 ? .view : quality
  }
}
