import Foundation

/// Measures `skep explain`: one dump, logs of a gigabyte through a pipe, and many dumps.
struct DumpMeasurement {
  /// The program.
  var skep: String
  /// The files with dumps.
  var dumps: [String]
  /// How many bytes the logs have.
  var logSize = 1_000_000_000

  /// What was measured, beside what is to be reached.
  struct Result {
    var name: String
    /// From before the program's start to its end.
    var seconds: Double
    /// What of that it had a processor.
    ///
    /// The program has one thread, so this is what it takes on a machine without other work: what is to be reached goes
    /// by it.
    var processorSeconds: Double
    /// What there was of what is counted, and its unit; nil if the time is what counts.
    var amount: (count: Double, unit: String)?
    var peakMemory: Int
    /// The most seconds, or the least of `amount` a second.
    var limit: Double?

    /// The most memory, whatever the size of the input.
    static let memoryLimit = 64_000_000

    /// Whether all is reached.
    var isWithinLimits: Bool {
      guard peakMemory < Self.memoryLimit else { return false }
      guard let limit else { return true }
      if let amount { return amount.count / processorSeconds >= limit }
      return processorSeconds < limit
    }
  }

  /// Measures everything.
  func results() throws -> [Result] { [try oneDump(), try plainLog(), try logWithDumps(), try manyDumps()] }

  /// The median of 21 runs, each from before the program's start to its end.
  private func oneDump() throws -> Result {
    let runs = try (0..<21).map { _ in try run([dumps[0]]) }
    func median(_ time: KeyPath<ChildProcess, Double>) -> Double {
      runs.map { $0[keyPath: time] }.sorted()[runs.count / 2]
    }
    let peak = runs.map(\.peakMemory).max() ?? 0
    return Result(
      name: "one dump, start included", seconds: median(\.seconds), processorSeconds: median(\.processorSeconds),
      peakMemory: peak, limit: 0.030)
  }

  private func plainLog() throws -> Result {
    let block = Self.logBlock(lines: 20_000)
    let blocks = logSize / block.count
    let run = try run([], expecting: 2) { Self.write([block], times: blocks, to: $0) }
    return Result(
      name: "\(Self.gigabytes(blocks * block.count)) of log without dumps, by pipe", seconds: run.seconds,
      processorSeconds: run.processorSeconds,
      amount: (Double(blocks * block.count) / 1e6, "MB/s"), peakMemory: run.peakMemory, limit: 100)
  }

  private func logWithDumps() throws -> Result {
    let (block, dumps) = (Self.logBlock(lines: 2_500), try dumpBytes())
    let size = block.count + dumps.bytes.count
    let blocks = logSize / size
    let run = try run([]) { Self.write([block, dumps.bytes], times: blocks, to: $0) }
    return Result(
      name: "\(Self.gigabytes(blocks * size)) of log with \(blocks * dumps.count) dumps, by pipe", seconds: run.seconds,
      processorSeconds: run.processorSeconds,
      amount: (Double(blocks * size) / 1e6, "MB/s"), peakMemory: run.peakMemory)
  }

  private func manyDumps() throws -> Result {
    let dumps = try dumpBytes()
    let times = 10_000 / dumps.count
    let run = try run([]) { Self.write([dumps.bytes], times: times, to: $0) }
    return Result(
      name: "\(times * dumps.count) dumps, by pipe", seconds: run.seconds, processorSeconds: run.processorSeconds,
      amount: (Double(times * dumps.count), "dumps/s"), peakMemory: run.peakMemory, limit: 2_000)
  }

  private func run(_ files: [String], expecting status: Int32 = 1, input: ((Int32) -> Void)? = nil) throws
    -> ChildProcess
  {
    let process = try ChildProcess([skep, "explain"] + files, input: input)
    guard process.status == status else {
      throw ChildProcess.Failure(
        description: "skep explain ended with status \(process.status.map { "\($0)" } ?? "none")")
    }
    return process
  }

  private func dumpBytes() throws -> (bytes: [UInt8], count: Int) {
    var bytes: [UInt8] = []
    for file in dumps { bytes += try Data(contentsOf: URL(fileURLWithPath: file)) + [0x0A] }
    return (bytes, dumps.count)
  }

  /// Lines of a kernel's log, all different, some of which look like the beginning of a dump's.
  static func logBlock(lines: Int) -> [UInt8] {
    var text = ""
    for line in 0..<lines {
      text += "Jun 24 17:25:\(10 + line % 50) host kernel: [\(line / 100).\(100_000 + line)] "
      text +=
        line % 10 == 0
        ? "RIP: 0010:function+0x\(line)/0x100 CS: x CR2: 00000000\(line)\n"
        : "usb 1-\(line % 7): new high-speed USB device number \(line) using xhci_hcd\n"
    }
    return Array(text.utf8)
  }

  private static func write(_ blocks: [[UInt8]], times: Int, to descriptor: Int32) {
    for _ in 0..<times {
      for block in blocks {
        var start = 0
        while start < block.count {
          let count = block[start...].withUnsafeBytes { Glibc.write(descriptor, $0.baseAddress, $0.count) }
          if count < 0, errno == EINTR { continue }
          guard count > 0 else { return }
          start += count
        }
      }
    }
  }

  private static func gigabytes(_ bytes: Int) -> String { decimal(Double(bytes) / 1e9) + " GB" }
}

extension Table {
  /// What explaining dumps costs, beside what it may cost.
  init(dumps results: [DumpMeasurement.Result]) {
    rows = [["skep explain", "time", "processor", "rate", "to reach", "peak memory", "to reach", ""]]
    rows += results.map { result in
      func text(_ seconds: Double) -> String {
        seconds < 1 ? "\(Int((seconds * 1000).rounded())) ms" : decimal(seconds) + " s"
      }
      let rate = result.amount.map { "\(Int($0.count / result.processorSeconds)) \($0.unit)" } ?? "-"
      let limit = result.limit.map { limit in
        result.amount.map { "\(Int(limit)) \($0.unit)" } ?? "\(Int(limit * 1000)) ms"
      }
      return [
        result.name, text(result.seconds), text(result.processorSeconds), rate, limit ?? "-",
        "\(result.peakMemory / 1_000_000) MB",
        "\(DumpMeasurement.Result.memoryLimit / 1_000_000) MB", result.isWithinLimits ? "reached" : "MISSED",
      ]
    }
  }
}
