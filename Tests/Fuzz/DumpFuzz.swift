import VMCS
import VMCSDump

// A target for libFuzzer: any bytes are read, whole and in pieces, and both readings are the same.
// `make fuzz-dump` builds and runs it.

/// Reads one input; what libFuzzer calls.
@_cdecl("LLVMFuzzerTestOneInput")
public func fuzz(_ start: UnsafePointer<UInt8>, _ count: Int) -> CInt {
  let bytes = UnsafeBufferPointer(start: start, count: count)
  let whole = read(bytes, step: max(1, count))
  // The size of the pieces is a part of the input, too.
  let pieces = read(bytes, step: count > 0 ? Int(bytes[0]) % 61 + 1 : 1)
  precondition(whole.count == pieces.count)
  for (a, b) in zip(whole, pieces) {
    precondition(a.firstLine == b.firstLine && a.lastLine == b.lastLine && a.unreadCount == b.unreadCount)
    precondition(a.unread.count <= Dump.unreadLimit && a.firstLine <= a.lastLine)
    for index in 0..<VMCSFieldDescription.count {
      precondition(a[at: index] == b[at: index])
      guard let value = a[at: index] else { continue }
      precondition(value.line >= a.firstLine && value.line <= a.lastLine)
      let width = VMCSFieldDescription(at: index).width.bitWidth
      precondition(width == 64 || value.bits >> UInt64(width) == 0)
    }
  }
  return 0
}

private func read(_ bytes: UnsafeBufferPointer<UInt8>, step: Int) -> [Dump] {
  var reader = DumpReader()
  var dumps: [Dump] = []
  var position = 0
  while position < bytes.count {
    let end = min(bytes.count, position + step)
    reader.read(UnsafeBufferPointer(rebasing: bytes[position..<end])) { dumps.append($0) }
    position = end
  }
  reader.finish { dumps.append($0) }
  return dumps
}
