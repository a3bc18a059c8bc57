import CVMX
import Host
import Machine
import Synchronization
import VMCS
import VMX

/// What the processors share while they are tried.
struct Drill: ~Copyable {
  /// What the first processor can do.
  let support: VMXSupport
  /// A VMXON region for each processor.
  var pages: PagePool
  let lock = SpinLock()
  /// Counted up by all, under the lock.
  var sum: UInt64 = 0
  /// Whether all processors have been given their work.
  let hasBegun = Atomic(false)
  /// How many kicks each processor has answered, and 1 for being there; and when by its time-stamp counter.
  let answers = Answers()
  /// Whether a processor was found to be unlike the first.
  let hasFailed = Atomic(false)

  static var additions: UInt64 { 2000 }
  static var kicks: UInt64 { 100 }
  static var lines: UInt64 { 10 }

  init(support: VMXSupport, pages: consuming PagePool) {
    self.support = support
    self.pages = pages
  }

  /// Notes a failure and says what it is.
  borrowing func fail(_ index: Int, _ what: StaticString, _ number: UInt64? = nil) {
    hasFailed.store(true, ordering: .relaxed)
    writeLine(index, what, number)
  }
}

/// Numbers that one processor writes and another waits for.
struct Answers: ~Copyable {
  private let counts = InlineArray<8, Answer> { _ in Answer() }

  struct Answer: ~Copyable {
    let count = Atomic<UInt64>(0)
    let time = Atomic<UInt64>(0)
  }

  borrowing func add(_ index: Int) {
    counts[index].time.store(cvmx_rdtsc(), ordering: .relaxed)
    counts[index].count.add(1, ordering: .releasing)
  }

  borrowing func count(_ index: Int) -> UInt64 { counts[index].count.load(ordering: .acquiring) }

  borrowing func time(_ index: Int) -> UInt64 { counts[index].time.load(ordering: .relaxed) }
}

/// Writes a line of the report, which the test reads.
func writeLine(_ index: Int, _ what: StaticString, _ number: UInt64? = nil) {
  var output = ReportPort(lineStart: "skep: guest ")
  output.write("processor ")
  output.write(decimal: UInt64(index))
  output.write(": ")
  output.write(what)
  if let number {
    output.write(" ")
    output.write(decimal: number)
  }
  output.write("\n")
}

/// What each processor but the first does.
func join(_ index: Int, _ argument: UnsafeMutableRawPointer?) {
  guard let drill = argument?.assumingMemoryBound(to: Drill.self) else { return }
  if HostProcessor.current.index != index { drill.pointee.fail(index, "TR tells another index") }
  enterVMXOperation(index, drill)
  for _ in 0..<Drill.additions {
    drill.pointee.lock.acquire()
    drill.pointee.sum &+= 1
    drill.pointee.lock.release()
  }
  // The kick that came with the work is not one of those that are counted.
  while !drill.pointee.hasBegun.load(ordering: .acquiring) { cvmx_pause() }
  cvmx_sti_nop_cli()
  drill.pointee.answers.add(index)
  for _ in 0..<Drill.kicks {
    cvmx_sti_hlt_cli()
    drill.pointee.answers.add(index)
  }
  for number in 0..<Drill.lines { writeLine(index, "line", number) }
}

private func enterVMXOperation(_ index: Int, _ drill: UnsafeMutablePointer<Drill>) {
  let processor = BareMetalProcessor()
  do throws(UnsupportedProcessor) {
    let support = try VMXSupport(of: processor)
    if support != drill.pointee.support { drill.pointee.fail(index, "VMX support differs from the first processor's") }
    drill.pointee.lock.acquire()
    let region = drill.pointee.pages.allocate()
    drill.pointee.lock.release()
    guard let region else { return drill.pointee.fail(index, "no memory for the VMXON region") }
    _ = VMXOperation(on: processor, support: support, region: region)
    writeLine(index, "in VMX operation")
  } catch {
    drill.pointee.fail(index, "no support for VMX")
  }
}
