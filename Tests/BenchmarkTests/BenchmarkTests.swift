import Testing

@testable import benchmark

/// What the benchmark makes of the texts of guests and of Skep.
struct BenchmarkTests {
  @Test(
    "A guest's line is taken only whole",
    arguments: [
      ("event cpuid-0 mode 141 least 140 most 1501 count 999", Ticks(mode: 141, least: 140, most: 1501)),
      ("event cpuid-0 mode 141 least 140 most 1501 count 999\r", Ticks(mode: 141, least: 140, most: 1501)),
      ("event cpuid-0 mode 141 least 140 most 1501", nil),
      ("event cpuid-0 mode x least 140 most 1501 count 999", nil),
      ("event cpuid-0 mode 141 most 140 least 1501 count 999", nil),
      ("done", nil), ("", nil),
    ] as [(String, Ticks?)])
  func guestLine(line: String, ticks: Ticks?) {
    let parsed = Ticks.parse(line[...])
    #expect(parsed?.ticks == ticks)
    #expect(parsed == nil || parsed?.name == "cpuid-0")
  }

  @Test func eventsOfAnOutput() {
    let output = "SeaBIOS\r\nevent a mode 1 least 1 most 1 count 1\r\nevent b mode 2 least 2 most 2 count 1\r\ndone\r\n"
    #expect(Ticks.all(in: output) == ["a": Ticks(mode: 1, least: 1, most: 1), "b": Ticks(mode: 2, least: 2, most: 2)])
  }

  @Test("VMREADs and VMWRITEs of an event are the difference of two runs") func accesses() throws {
    let many = try #require(Accesses(costTable: "VM exits   1002\n  CPUID   1001\nVMREADs    4011\nVMWRITEs    1138\n"))
    let none = try #require(Accesses(costTable: "VM exits   2\nVMREADs    11\nVMWRITEs    138\n"))
    #expect(many.perEvent(1000, without: none) == Accesses(vmreads: 4, vmwrites: 1))
    #expect(many.perEvent(1000, without: none).description == "4 / 1")
    #expect(many.perEvent(800, without: none).description == "5 / 1.25")
    #expect(Accesses(costTable: "VMREADs  11\n") == nil)
  }

  @Test(
    "The boot's ticks",
    arguments: [
      ("login\r\nticks 1493498241 idle 12\r\nskep# ", 1_493_498_241, 12), ("ticks\r\n", nil, nil), ("", nil, nil),
    ] as [(String, Int?, Int?)])
  func boot(console: String, ticks: Int?, idle: Int?) {
    let parsed = BootTicks(console: console)
    #expect(parsed?.ticks == ticks)
    #expect(parsed?.idle == idle)
  }

  @Test(
    "A limit counts for instructions and for accesses",
    arguments: [
      (150, 4.0, 1.0, true), (151, 4, 1, false), (150, 5, 1, false), (150, 4, 2, false), (0, 0, 0, true),
      (150, 4.004, 1.004, true), (150, 4.006, 1, false), (150, 4, 1.006, false),
    ] as [(Int, Double, Double, Bool)])
  func limits(mode: Int, vmreads: Double, vmwrites: Double, isWithin: Bool) {
    let event = Event(
      name: "e", title: "E", limit: 150, accessLimit: Accesses(vmreads: 4, vmwrites: 1))
    let result = EventMeasurement.Result(
      event: event, ticks: Ticks(mode: mode, least: mode, most: mode),
      accesses: Accesses(vmreads: vmreads, vmwrites: vmwrites))
    #expect(result.isWithinLimits == isWithin)
  }

  @Test(
    "An exit is too much where the processor does all", arguments: ["apic-read", "apic-eoi", "x2apic-eoi", "self-ipi"])
  func withoutExit(name: String) throws {
    let event = try #require(Event.all.first { $0.name == name })
    for (accesses, isWithin) in [
      (Accesses(vmreads: 0, vmwrites: 0), true), (Accesses(vmreads: 1, vmwrites: 0), false),
      (Accesses(vmreads: 0, vmwrites: 1), false),
    ] {
      let result = EventMeasurement.Result(
        event: event, ticks: Ticks(mode: 10, least: 10, most: 10), accesses: accesses)
      #expect(result.isWithinLimits == isWithin, "\(accesses)")
    }
  }

  @Test("An event that the guest leaves out is an error") func missing() throws {
    let ticks = Ticks(mode: 1, least: 1, most: 1)
    let event = Event(name: "a", title: "A")
    #expect(try EventMeasurement.ticks(of: event, in: ["a": ticks]) == ticks)
    #expect(throws: EventMeasurement.Missing.self) { try EventMeasurement.ticks(of: event, in: ["b": ticks]) }
  }

  @Test func columnsAreAligned() {
    #expect(Table(rows: [["a", "1"], ["bcd", "234"]]).text == "a      1\nbcd  234\n")
  }

  @Test(arguments: [(0.0, "0.00"), (0.996, "1.00"), (1.05, "1.05"), (12.5, "12.50")])
  func hundredths(value: Double, text: String) { #expect(decimal(value) == text) }

  @Test("No two events have one name") func names() {
    #expect(Set(Event.all.map(\.name)).count == Event.all.count)
    #expect(Set(Event.all.map(\.title)).count == Event.all.count)
  }
}
