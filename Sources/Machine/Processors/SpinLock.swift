import Synchronization

/// A lock for the short times in which one processor works on what all share.
///
/// Not recursive. A processor that holds it does not wait for anything else and takes no interrupt.
@frozen
public struct SpinLock: ~Copyable, Sendable {
  @usableFromInline let isTaken = Atomic<Bool>(false)

  /// Makes a lock that nobody holds.
  @inlinable
  public init() {}

  /// Waits until nobody else holds the lock, and takes it.
  @inlinable @inline(__always)
  public borrowing func acquire() {
    if isTaken.exchange(true, ordering: .acquiring) { wait() }
  }

  /// Gives the lock back.
  @inlinable @inline(__always)
  public borrowing func release() { isTaken.store(false, ordering: .releasing) }

  /// Only reads while it waits, so that the holder keeps the cache line.
  @inline(never) @usableFromInline
  borrowing func wait() {
    repeat {
      while isTaken.load(ordering: .relaxed) {}
    } while isTaken.exchange(true, ordering: .acquiring)
  }
}
