import Testing
import VMCS

@testable import VMCSDump

/// What loggers, mailers, terminals and people do to a dump does not change what is read.
@Suite("What surrounds a dump")
struct SurroundingsTests {
  struct Surroundings: CustomTestStringConvertible {
    let testDescription: String
    let apply: @Sendable ([String]) -> String
  }

  private static func prefixed(_ name: String, _ prefix: String) -> Surroundings {
    Surroundings(testDescription: name) { $0.map { prefix + $0 }.joined(separator: "\n") + "\n" }
  }

  static let all: [Surroundings] = [
    prefixed("dmesg", "[  673.850218] "),
    prefixed("dmesg with the caller", "[  673.850218][ T1234] kvm_intel: "),
    prefixed("dmesg -T", "[Mon Jun 24 17:25:51 2024] kvm_intel: "),
    prefixed("dmesg -x", "kern  :err   : [  673.850218] "),
    prefixed("priority", "<3>[  673.850218] "),
    prefixed("syslog", "Jun  4 17:25:51 host kernel: "),
    prefixed("syslog and dmesg", "Jun 24 17:25:51 host kernel: [  673.850218] kvm_intel: "),
    prefixed("journal", "2024-06-24T17:25:51.123456+0200 host.example.org kernel: "),
    prefixed("Xen", "(XEN) "),
    prefixed("Xen with the time", "(XEN) [2024-06-24 17:25:51.123] "),
    prefixed("Xen with seconds", "(XEN) [ 3158.419563] "),
    prefixed("quoted", "> "),
    prefixed("quoted deeply", ">> > >"),
    prefixed("quoted log", "> > [  673.850218] kvm_intel: "),
    prefixed("indented", "    \t"),
    prefixed("colours", "\u{1B}[32m[    1.5]\u{1B}[0m \u{1B}[1;31m"),
    prefixed("non-breaking spaces", "\u{A0}\u{A0} "),
    Surroundings(testDescription: "blanks at the ends") { $0.map { $0 + "  \t" }.joined(separator: "\n") + "\n" },
    Surroundings(testDescription: "CRLF") { $0.joined(separator: "\r\n") + "\r\n" },
    Surroundings(testDescription: "double-spaced") { $0.joined(separator: "\n\n") + "\n" },
    Surroundings(testDescription: "all spaces non-breaking") {
      $0.map { $0.split(separator: " ", omittingEmptySubsequences: false).joined(separator: "\u{A0}") }
        .joined(separator: "\n") + "\n"
    },
    Surroundings(testDescription: "quoted-printable") { quotedPrintable($0, prefix: "") },
    Surroundings(testDescription: "quoted-printable, quoted") { quotedPrintable($0, prefix: "> ") },
    Surroundings(testDescription: "wrapped at 72") { lines in
      lines.flatMap { wrapped("[  673.850218] " + $0, width: 72) }.joined(separator: "\n") + "\n"
    },
    Surroundings(testDescription: "wrapped at 50 and quoted") { lines in
      lines.flatMap { wrapped($0, width: 50) }.map { "> " + $0 }.joined(separator: "\n") + "\n"
    },
  ]

  private static func wrapped(_ line: String, width: Int) -> [String] {
    var lines: [String] = []
    var rest = Substring(line)
    while rest.count > width, let blank = rest.prefix(width).lastIndex(of: " "), blank > rest.startIndex {
      // A line of blanks only would be no text.
      guard rest[..<blank].contains(where: { $0 != " " }) else { break }
      lines.append(String(rest[..<blank]))
      rest = rest[rest.index(after: blank)...]
    }
    return lines + [String(rest)]
  }

  private static func quotedPrintable(_ lines: [String], prefix: String) -> String {
    var text = ""
    for line in lines {
      var encoded = prefix
      for character in line { encoded += character == "=" ? "=3D" : String(character) }
      while encoded.count > 75 {
        var cut = encoded.index(encoded.startIndex, offsetBy: 75)
        // An escape is not divided.
        for _ in 0..<2
        where encoded[encoded.index(cut, offsetBy: -1)] == "=" || encoded[encoded.index(cut, offsetBy: -2)] == "=" {
          cut = encoded.index(before: cut)
        }
        text += encoded[..<cut] + "=\n"
        encoded = String(encoded[cut...])
      }
      text += encoded + "\n"
    }
    return text
  }

  @Test("Around every form", arguments: all, DumpWriter.Form.allCases.filter { $0 != .haxm })
  func surrounded(by surroundings: Surroundings, form: DumpWriter.Form) throws {
    var random = RandomNumbers(seed: UInt64(form.rawValue))
    let writer = DumpWriter()
    let printed = random.dump(of: writer.fields(of: form), as: form)
    let text = String(decoding: writer.text(of: printed, as: form), as: UTF8.self)
    let isByEncoding = form.format == nil || form == .bhyvectl || form == .qemu
    // Those forms have one number a line, and no line is broken; QEMU's cannot be told from what its segments' lines end with.
    if isByEncoding, surroundings.testDescription.contains("wrapped") { return }
    let surrounded = surroundings.apply(text.split(separator: "\n").map(String.init))
    let read = try #require(dumps(in: "something\n\n" + surrounded + "\nsomething else\n").first)
    let (before, after) = (printed.allValues, read.allValues)
    #expect(before.filter { after[$0.key] != $0.value }.map(\.key).sorted() == [])
    #expect(after.keys.filter { before[$0] == nil } == [])
  }

  @Test(
    "Two dumps whose lines alternate, told apart by",
    arguments: [
      ("[    1.000000][  T101] ", "[    1.000000][  T102] "),
      ("[    1.000000][    C3] kvm_intel: ", "[    1.000000][    C4] kvm_intel: "),
      ("Jun 24 17:25:51 alpha kernel: ", "Jun 24 17:25:51 beta kernel: "),
      ("Jun 24 17:25:51 host VM[17]: ", "Jun 24 17:25:51 host VM[18]: "),
    ])
  func interleaved(prefixes: (String, String)) {
    var random = RandomNumbers(seed: 7)
    let writer = DumpWriter()
    let fields = writer.fields(of: .kvm)
    let printed = [random.dump(of: fields, as: .kvm), random.dump(of: fields, as: .kvm)]
    let lines = printed.map { String(decoding: writer.text(of: $0, as: .kvm), as: UTF8.self).split(separator: "\n") }
    var text = ""
    for position in lines[0].indices {
      text += prefixes.0 + lines[0][position] + "\n"
      if position < lines[1].count { text += prefixes.1 + lines[1][position] + "\n" }
    }
    let read = dumps(in: text)
    #expect(read.map(\.allValues) == printed.map(\.allValues))
  }

  @Test(
    "Two dumps whose lines alternate and that nothing tells apart have no values", arguments: 0..<20 as Range<UInt64>)
  func mixed(seed: UInt64) {
    var random = RandomNumbers(seed: seed)
    let writer = DumpWriter()
    let fields = writer.fields(of: .kvm)
    let printed = [random.dump(of: fields, as: .kvm), random.dump(of: fields, as: .kvm)]
    var lines = printed.map {
      String(decoding: writer.text(of: $0, as: .kvm), as: UTF8.self).split(separator: "\n")[...]
    }
    var text = ""
    while !lines[0].isEmpty || !lines[1].isEmpty {
      let next = lines[0].isEmpty ? 1 : lines[1].isEmpty ? 0 : Int(random.next() & 1)
      text += "kvm_intel: " + lines[next].removeFirst() + "\n"
    }
    // No dump has values of both.
    for read in dumps(in: text) where !read.isInterleaved {
      let values = read.allValues
      #expect(printed.contains { dump in values.allSatisfy { dump.allValues[$0.key] == $0.value } })
    }
  }

  @Test("Dumps one after the other", arguments: DumpWriter.Form.allCases)
  func several(form: DumpWriter.Form) {
    var random = RandomNumbers(seed: UInt64(form.rawValue))
    let writer = DumpWriter()
    let fields = writer.fields(of: form)
    let printed = (0..<3).map { _ in random.dump(of: fields, as: form) }
    let text = printed.flatMap { writer.text(of: $0, as: form) }
    #expect(dumps(in: text).map(\.allValues) == printed.map(\.allValues))
  }

  @Test(
    "Numbers that are cut or do not fit are not read",
    arguments: [
      "vm exit[0]\n\texit_reason\t20000000000\n", "VMCS: 1\nVPID: 65536\n", "vmwrite(0x0000, 0x10000);\n",
      "haxm_warning: 0800 GUEST_ES_SELECTOR: 12345\n", "*** Guest State ***\nCR3 = 0x00000000123\n",
      "*** Guest State ***\nCR3 = 0x00000000000000123\n", "*** Guest State ***\nCS: sel=0x10000, attr=0x0a09b\n",
      "16-bit Control Fields\n0x00000001: 0x1\n", "vmwrite(0x2, 0x1",
      "[ 1.0] VMCS 0a1b, last attempted VM-entry on CPU 1\n",
    ])
  func unfit(text: String) {
    for dump in dumps(in: text) { #expect(dump.valueCount == 0, "\(text)") }
  }
}
