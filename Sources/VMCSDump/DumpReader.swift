/// Finds the dumps in a text, which may have anything around them, and reads them as the text comes in.
///
/// Needs memory for the dumps that are open and for one line, however long the text is. Any bytes are safe input. Nothing
/// is guessed: what is not wholly understood is listed in ``Dump/unread``.
public struct DumpReader {
  private let rows = DumpRows()
  private var streams: [DumpStream] = []
  /// The position in `streams` of the one that the last line with a prefix belongs to.
  private var current: Int?
  private var lineNumber: UInt64 = 0
  /// A line that goes on in the bytes to come, without what exceeds ``LineCleaner/limit``.
  private var unfinished: [UInt8] = []
  private var cleaner = LineCleaner()

  /// How many writers are told apart; the one that was silent longest makes way for the next.
  static var streamLimit: Int { 32 }

  /// Makes a reader at the start of a text.
  public init() {}

  /// Reads the next bytes of the text.
  ///
  /// - Parameter emit: takes each dump when it is complete.
  public mutating func read(_ bytes: UnsafeBufferPointer<UInt8>, _ emit: (Dump) -> Void) {
    var start = 0
    var position = 0
    while position < bytes.count {
      guard bytes[position] == 0x0A else {
        position += 1
        continue
      }
      let line = UnsafeBufferPointer(rebasing: bytes[start..<position])
      if unfinished.isEmpty {
        readLine(line, emit)
      } else {
        keep(line)
        readUnfinished(emit)
      }
      position += 1
      start = position
    }
    keep(UnsafeBufferPointer(rebasing: bytes[start...]))
  }

  /// Reads the end of the text.
  ///
  /// - Parameter emit: takes the dumps that are still open.
  public mutating func finish(_ emit: (Dump) -> Void) {
    if !unfinished.isEmpty { readUnfinished(emit) }
    if !cleaner.bytes.isEmpty { readCleanLine(emit) }
    streams.sort { $0.firstLine < $1.firstLine }
    for position in streams.indices { streams[position].finish(isEndOfText: true, emit) }
    streams.removeAll()
    current = nil
  }

  private mutating func keep(_ bytes: UnsafeBufferPointer<UInt8>) {
    let room = LineCleaner.limit - unfinished.count
    if room > 0 { unfinished.append(contentsOf: bytes.prefix(room)) }
  }

  private mutating func readUnfinished(_ emit: (Dump) -> Void) {
    let line = unfinished
    unfinished.removeAll(keepingCapacity: true)
    line.withUnsafeBufferPointer { readLine($0, emit) }
  }

  private mutating func readLine(_ line: TextLine, _ emit: (Dump) -> Void) {
    lineNumber += 1
    var line = line
    if line.count > LineCleaner.limit { line = UnsafeBufferPointer(rebasing: line.prefix(LineCleaner.limit)) }
    if line.last == 0x0D { line = UnsafeBufferPointer(rebasing: line.dropLast()) }
    guard cleaner.isUnfinished || LineCleaner.isNeeded(for: line) else { return readClean(line, emit) }
    if cleaner.isUnfinished {
      // What follows a soft line break has lost its prefix, but not its quotation marks.
      var start = 0
      while start < line.count, line[start] == UInt8(ascii: ">") { start += 1 }
      line = UnsafeBufferPointer(rebasing: line[start...])
    }
    cleaner.append(line)
    if !cleaner.isUnfinished || cleaner.bytes.count >= LineCleaner.limit { readCleanLine(emit) }
  }

  private mutating func readCleanLine(_ emit: (Dump) -> Void) {
    let line = cleaner.bytes
    cleaner.removeAll()
    line.withUnsafeBufferPointer { readClean($0, emit) }
  }

  private mutating func readClean(_ line: TextLine, _ emit: (Dump) -> Void) {
    let prefix = LinePrefix(line)
    guard prefix.end < line.count else { return }
    let known = prefix.isPresent ? streams.firstIndex { $0.key == prefix.key } : current
    if let known {
      if prefix.isPresent { current = known }
      let isOpen = streams[known].isOpen
      if isOpen || !rows.positions(of: line[prefix.end]).isEmpty { read(line, prefix, in: known, emit) }
      return
    }
    // Most lines of a log end here: nothing begins with them.
    guard mayOpen(line, at: prefix.end) else { return }
    if streams.count == Self.streamLimit { removeStalest(emit) }
    streams.append(DumpStream(key: prefix.key))
    current = streams.count - 1
    read(line, prefix, in: streams.count - 1, emit)
    if !streams[streams.count - 1].isOpen {
      streams.removeLast()
      current = nil
    }
  }

  private func mayOpen(_ line: TextLine, at position: Int) -> Bool {
    for index in rows.positions(of: line[position]) where rows.all[index].traits.contains(.opens) {
      if RowMatch(rows.all[index], from: 0, firstTarget: 0, line, at: position) != nil { return true }
    }
    return false
  }

  private mutating func removeStalest(_ emit: (Dump) -> Void) {
    var stalest = 0
    for position in streams.indices where streams[position].lastLine < streams[stalest].lastLine { stalest = position }
    streams[stalest].finish(emit)
    streams.remove(at: stalest)
    current = nil
  }

  private mutating func read(_ line: TextLine, _ prefix: LinePrefix, in index: Int, _ emit: (Dump) -> Void) {
    // QEMU's registers come after the dump that the kernel printed for the same failure, in a log of its own or not.
    if line.has("KVM: entry failed", at: prefix.end), claimKernelDump(line, prefix, in: index, emit) { return }
    streams[index].read(line, prefix, number: lineNumber, rows, emit)
  }

  /// Gives QEMU's "hardware error" to the dump of KVM that was printed just before, if there is one.
  private mutating func claimKernelDump(
    _ line: TextLine, _ prefix: LinePrefix, in index: Int, _ emit: (Dump) -> Void
  ) -> Bool {
    guard let position = rows.positions(of: line[prefix.end]).first(where: { rows.all[$0].format == .qemu }),
      let match = RowMatch(rows.all[position], from: 0, firstTarget: 0, line, at: prefix.end), match.numberCount == 1
    else { return false }
    let claim = DumpClaim(kind: .hardwareError, value: match.numbers[0], line: lineNumber)
    let candidates = [index] + streams.indices.reversed().filter { $0 != index }
    for candidate in candidates where streams[candidate].take(claim) {
      if candidate != index { streams[index].finish(emit) }
      streams[index].followsKernelDump = true
      return true
    }
    return false
  }
}
