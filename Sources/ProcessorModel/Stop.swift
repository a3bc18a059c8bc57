import VMCS

#if canImport(Glibc)
  import Glibc
#elseif canImport(Darwin)
  import Darwin
#endif

extension ProcessorModel {
  /// Prints `report` to standard error and ends the process with status 1.
  public func stop(_ report: PanicReport) -> Never {
    var text = ByteText()
    report.write(to: &text)
    endProcess(String(decoding: text.bytes, as: UTF8.self))
  }
}

/// Ends the process with status 1 after `message`.
func endProcess(_ message: String) -> Never {
  var bytes = Array(message.utf8)[...]
  while !bytes.isEmpty {
    let count = bytes.withUnsafeBytes { write(STDERR_FILENO, $0.baseAddress, $0.count) }
    if count <= 0 { break }
    bytes = bytes.dropFirst(count)
  }
  exit(1)
}

private struct ByteText: ByteOutput {
  var bytes: [UInt8] = []
  mutating func write(_ byte: UInt8) { bytes.append(byte) }
}
