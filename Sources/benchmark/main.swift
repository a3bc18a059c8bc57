import Foundation
import SystemPackage

// Measures what a guest's events and its boot cost, and prints it beside what is to be reached. Started by
// `make benchmark`, in the root of the package.
//   benchmark SKEP GUEST KERNEL INITRD ENTRY COMMAND-LINE
//   benchmark dumps SKEP FILE…
// The second form measures `skep explain` instead, with files of dumps that it calls failed.
// Ends with status 1 if anything to be reached is missed.

let arguments = CommandLine.arguments
if arguments.count > 3, arguments[1] == "dumps" { measureDumps(skep: arguments[2], Array(arguments[3...])) }
guard arguments.count == 7 else { fail("usage: benchmark SKEP GUEST KERNEL INITRD ENTRY COMMAND-LINE", status: 64) }
let skep = Skep(program: FilePath(arguments[1]))
let events = EventMeasurement(skep: skep, guest: arguments[2])
/// The limit for the boot's instructions, as a multiple of the native ones.
let bootLimit = 1.15

/// Boots with all of the kernel's messages, and without: natively, the kernel waits for a serial line of 115,200 baud,
/// which Skep's guest does not.
func boots() async throws -> [(name: String, result: BootMeasurement.Result)] {
  var boot = BootMeasurement(
    skep: skep, kernel: arguments[3], initrd: arguments[4], entry: arguments[5], commandLine: arguments[6])
  let loud = try await boot.result()
  boot.commandLine += " quiet"
  return [("Linux to the shell's prompt", loud), ("the same with \"quiet\"", try await boot.result())]
}

do {
  async let bootResults = boots()
  let eventResults = try await events.results()
  print(
    """
    Instructions from RDTSC to RDTSC in the guest, most frequent value; two RDTSC with nothing between them are 4.
    KVM: Linux 6.1, mitigations off, on the same emulated processor; - where it was not measured.
    Waking from HLT is from the deadline, or from before the sender's WRMSR, to the first instruction after HLT; an IPI to
    another vCPU ends at the first instruction of its handler. With two vCPUs a tick is one instruction of each processor:
    Bochs has them execute a few in turn, five ticks each, so such rows are exact to five, and two runs agree.

    """)
  print(Table(events: eventResults).text)
  fflush(nil)

  let results = try await bootResults
  var rows = [["boot", "Skep's guest", "idle", "native", "idle", "ratio", "to reach", ""]]
  for (name, result) in results {
    rows.append([
      name, "\(result.guest.ticks)", "\(result.guest.idle)", "\(result.native.ticks)", "\(result.native.idle)",
      decimal(result.ratio), decimal(bootLimit),
      result.ratio <= bootLimit ? "reached" : "MISSED",
    ])
  }
  print(
    """
    Instructions from the kernel's first to the prompt; idle in hundredths of a second, by /proc/stat. Natively the
    kernel also waits for a serial line of 115,200 baud, which "quiet" spares it: the second row is the one to go by.

    """)
  print(Table(rows: rows).text)
  let isMissed =
    eventResults.contains { $0.isWithinLimits == false } || results.contains { $0.result.ratio > bootLimit }
  exit(isMissed ? 1 : 0)
} catch {
  fail("benchmark: \(error)", status: 1)
}

/// Measures `skep explain` and ends.
func measureDumps(skep: String, _ dumps: [String]) -> Never {
  do {
    let results = try DumpMeasurement(skep: skep, dumps: dumps).results()
    print(
      """
      Time is from before the start of the program to its end, with its output to /dev/null; processor is what of that it
      had a processor, by which rates are and what is to be reached goes: it has one thread. One dump: medians of 21 runs.
      Peak memory is the most that was resident, as the kernel says at the end (ru_maxrss).

      """)
    print(Table(dumps: results).text)
    exit(results.allSatisfy(\.isWithinLimits) ? 0 : 1)
  } catch {
    fail("benchmark: \(error)", status: 1)
  }
}

/// Prints `message` to standard error and ends.
func fail(_ message: String, status: Int32) -> Never {
  FileHandle.standardError.write(Data((message + "\n").utf8))
  exit(status)
}
