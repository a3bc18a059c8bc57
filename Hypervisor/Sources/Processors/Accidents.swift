import CVMX
import Host
import VMCS

/// What goes wrong on purpose while all processors write lines.
enum Accident {
  case none
  /// Processor 1 reads an address that is not mapped.
  case pageFault
  /// Processor 1 uses up its stack.
  case stackOverflow
  /// All processors panic.
  case panics

  init(_ name: UnsafeRawBufferPointer) {
    self = .none
    if Self.isEqual(name, "page-fault") { self = .pageFault }
    if Self.isEqual(name, "stack-overflow") { self = .stackOverflow }
    if Self.isEqual(name, "panics") { self = .panics }
  }

  private static func isEqual(_ name: UnsafeRawBufferPointer, _ text: StaticString) -> Bool {
    name.elementsEqual(UnsafeBufferPointer(start: text.utf8Start, count: text.utf8CodeUnitCount))
  }

  /// What the processors do until the accident ends the run.
  var work: ProcessorWork {
    switch self {
    case .none, .pageFault: { index, _ in writeLines(index) { _ = cvmx_load32(UnsafeRawPointer(bitPattern: 1 << 40)) } }
    case .stackOverflow: { index, _ in writeLines(index) { _ = useStack(0) } }
    case .panics:
      { index, _ in
        for number: UInt64 in 0..<5 { writeLine(index, "line", number) }
        BareMetalProcessor().stop(PanicReport("this processor panics", value: UInt64(index)))
      }
    }
  }
}

private func writeLines(_ index: Int, _ accident: () -> Void) {
  var number: UInt64 = 0
  while true {
    writeLine(index, "line", number)
    number += 1
    if index == 1, number == 10 { accident() }
  }
}

@inline(never)
private func useStack(_ depth: UInt64) -> UInt64 {
  if depth == .max { return 0 }
  var numbers = InlineArray<32, UInt64>(repeating: depth)
  numbers[Int(depth % 32)] = cvmx_rdtsc()
  let below = useStack(depth &+ 1)
  return below &+ numbers[Int(below % 32)]
}
