import Testing

@testable import Launcher

/// What is typed on the command line, and what becomes of it.
@Suite("Command-line values")
struct CommandLineValueTests {
  @Test(
    "Memory sizes",
    arguments: [
      ("0", 0), ("1", 1), ("4096", 4096), ("1k", 1 << 10), ("2K", 2 << 10), ("256M", 256 << 20), ("256m", 256 << 20),
      ("3G", 3 << 30), ("18446744073709551615", UInt64.max), ("18446744073709551616", nil), ("17179869184G", nil),
      ("", nil), ("M", nil), ("-1", nil), ("+1", nil), ("1.5G", nil), ("1T", nil), ("1MB", nil), (" 1", nil),
      ("1 ", nil),
      ("0x10", nil), ("١", nil), ("1M\u{301}", nil),
      ("1ß", nil), ("1ŉ", nil), ("1ﬀ", nil), ("1K\u{30a}", nil),
    ] as [(String, UInt64?)])
  func memorySize(text: String, bytes: UInt64?) {
    #expect(MemorySize(text)?.bytes == bytes)
  }

  @Test(
    "Memory sizes in words",
    arguments: [
      (0, "0 bytes"), (1023, "1023 bytes"), (1024, "1 KiB"), (256 << 20, "256 MiB"), (1 << 30, "1 GiB"),
      (1536 << 20, "1536 MiB"), (14_186_432, "13.5 MiB"), (1_048_577, "1.0 MiB"), (1256, "1.2 KiB"), (2047, "2.0 KiB"),
      (UInt64.max, "17592186044416.0 MiB"),
    ] as [(UInt64, String)])
  func description(bytes: UInt64, text: String) {
    #expect(MemorySize(bytes: bytes).description == text)
  }

  @Test("Rounding up to MiB never loses a byte", arguments: [0, 1, 0xf_ffff, 0x10_0000, 0x10_0001, UInt64.max])
  func rounding(bytes: UInt64) {
    let mebibytes = MemorySize(bytes: bytes).roundedUpMebibytes
    #expect(mebibytes >= bytes >> 20)
    #expect(bytes == 0 || (mebibytes - 1) << 20 < bytes)
  }

  @Test(
    "Time limits",
    arguments: [
      ("1", 1), ("90s", 90), ("5m", 300), ("2h", 7200), ("0", nil), ("", nil), ("s", nil), ("-5", nil), ("5M", nil),
      ("1d", nil), ("1.5m", nil), ("31536000", 31_536_000), ("31536001", nil), ("9223372036854775807h", nil),
    ] as [(String, Int?)])
  func timeLimit(text: String, seconds: Int?) {
    #expect(TimeLimit(text)?.seconds == seconds)
  }

  @Test(
    "Escapes of --send",
    arguments: [
      ("", []), ("abc", [97, 98, 99]), ("a\\n", [97, 10]), ("\\r\\t\\e\\\\", [13, 9, 27, 92]),
      ("\\x00\\xfF", [0, 255]),
      ("é", [0xc3, 0xa9]), ("\\", nil), ("\\q", nil), ("\\x", nil), ("\\x1", nil), ("\\xg0", nil), ("\\x+1", nil),
    ] as [(String, [UInt8]?)])
  func escapes(text: String, bytes: [UInt8]?) {
    #expect(unescape(text) == bytes)
  }

  @Test("Each exit status is said once")
  func statuses() {
    #expect(Set(ExitStatus.allCases.map(\.summary)).count == ExitStatus.allCases.count)
  }
}
