import Glibc
import Machine

/// RAM for a guest of a test, of which only the pages that are touched exist.
final class TestMemory {
  let memory: GuestMemory

  init(byteCount: UInt64) {
    let base = mmap(
      nil, Int(byteCount), PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0)
    guard let base, base != MAP_FAILED else { fatalError("mmap of \(byteCount) bytes failed") }
    memory = GuestMemory(base: base, byteCount: byteCount)
  }

  deinit { munmap(memory.base, Int(memory.layout.byteCount)) }

  /// A copy of a guest-physical range.
  func bytes(at address: UInt64, count: Int) -> [UInt8]? {
    memory.bytes(at: address, count: UInt64(count)).map { [UInt8]($0) }
  }
}
