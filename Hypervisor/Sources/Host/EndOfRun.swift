import CVMX
import Machine
import Synchronization
import VMCS

/// Which processor may write reports: any, one line at a time, until one of them ends the run.
package enum EndOfRun {
  private static let line = SpinLock()
  /// 1 more than the index of the processor that ends the run; 0 while none does.
  private static let owner = Atomic<UInt32>(0)
  /// How often the lock is looked at before the other processors are stopped all the same: longer than a line takes.
  private static var patience: Int { 1_000_000 }

  /// Makes this the only processor that runs: the others stand still, at once or when they have something to say.
  ///
  /// Returns at once if this processor has done so before. If another has, it stands still itself.
  package static func begin() {
    let (isFirst, current) = owner.compareExchange(expected: 0, desired: identity, ordering: .acquiringAndReleasing)
    guard isFirst else { return standStillUnless(current == identity) }
    // A processor in the middle of a line may end it. One that cannot, or this one, has left half a line.
    let isAtLineStart = line.tryAcquire(attempts: patience)
    HostProcessors.stopOthers()
    if !isAtLineStart { ReportPort.put(0x0A) }
  }

  static func beginLine() {
    repeat {
      standStillIfOver()
      if owner.load(ordering: .relaxed) == identity { return }
    } while !line.tryAcquire(attempts: 1000)
  }

  static func endLine() {
    if owner.load(ordering: .relaxed) != identity { line.release() }
  }

  /// Stands still if another processor has ended the run.
  package static func standStillIfOver() {
    let current = owner.load(ordering: .relaxed)
    standStillUnless(current == 0 || current == identity)
  }

  private static var identity: UInt32 { UInt32(HostProcessor.current.index) + 1 }

  private static func standStillUnless(_ isAllowed: Bool) {
    if isAllowed { return }
    cvmx_cli()
    while true { cvmx_hlt() }
  }
}

/// Ends the run: tells the launcher how, waits until the UART has sent it, and turns the machine off as Bochs and QEMU
/// understand it.
///
/// A real machine stands still.
package func endRun(_ kind: StaticString) -> Never {
  EndOfRun.begin()
  var output = ReportPort(lineStart: "skep: end ")
  output.write(kind)
  output.write("\n")
  while cvmx_in8(SerialPort.com2 + 5) & 0x40 == 0 {}
  while cvmx_in8(SerialPort.com1 + 5) & 0x40 == 0 {}
  let shutdown: StaticString = "Shutdown"
  for index in 0..<8 { cvmx_out8(0x8900, shutdown.utf8Start[index]) }
  cvmx_cli()
  while true { cvmx_hlt() }
}
