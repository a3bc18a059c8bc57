import Foundation
import Testing

@testable import benchmark

/// How `skep explain` is measured.
@Suite("Measurement of explaining dumps")
struct DumpMeasurementTests {
  @Test(
    "What is reached",
    arguments: [
      (
        DumpMeasurement.Result(name: "", seconds: 99, processorSeconds: 0.029, peakMemory: 1_000_000, limit: 0.030),
        true
      ),
      (
        DumpMeasurement.Result(name: "", seconds: 99, processorSeconds: 0.030, peakMemory: 1_000_000, limit: 0.030),
        false
      ),
      (
        DumpMeasurement.Result(
          name: "", seconds: 99, processorSeconds: 10, amount: (1000, "MB/s"), peakMemory: 1, limit: 100), true
      ),
      (
        DumpMeasurement.Result(
          name: "", seconds: 99, processorSeconds: 10, amount: (999, "MB/s"), peakMemory: 1, limit: 100), false
      ),
      (DumpMeasurement.Result(name: "", seconds: 99, processorSeconds: 1, peakMemory: 64_000_000), false),
      (DumpMeasurement.Result(name: "", seconds: 99, processorSeconds: 1, peakMemory: 63_999_999), true),
    ])
  func reached(result: DumpMeasurement.Result, isReached: Bool) {
    #expect(result.isWithinLimits == isReached)
    #expect(Table(dumps: [result]).text.contains(isReached ? "reached" : "MISSED"))
  }

  @Test("A program's input, status, time and memory")
  func process() throws {
    let input = Array("exit 3\n".utf8)
    let process = try ChildProcess(["/bin/sh"]) { descriptor in
      _ = input.withUnsafeBytes { write(descriptor, $0.baseAddress, $0.count) }
    }
    #expect(process.status == 3 && process.seconds > 0 && process.processorSeconds >= 0 && process.peakMemory > 100_000)
    #expect(try ChildProcess(["/bin/sh", "-c", "kill -9 $$"]).status == nil)
    #expect(throws: ChildProcess.Failure.self) { _ = try ChildProcess(["/does/not/exist"]) }
  }

  @Test("The lines of a log are different, and none is a dump's")
  func log() {
    let lines = String(decoding: DumpMeasurement.logBlock(lines: 100), as: UTF8.self).split(separator: "\n")
    #expect(Set(lines).count == 100)
    #expect(lines.allSatisfy { $0.hasPrefix("Jun 24 17:25:") && !$0.contains("=0x") })
  }
}
