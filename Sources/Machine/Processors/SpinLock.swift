import CVMX
import Synchronization

/// A lock for the short times in which one processor works on what all share.
///
/// Not recursive, and it keeps no owner. A processor that holds it does not wait for anything else and takes no
/// interrupt.
@frozen
public struct SpinLock: ~Copyable, Sendable {
  @usableFromInline let isTaken = Atomic<Bool>(false)

  /// Makes a lock that nobody holds.
  @inlinable
  public init() {}

  /// Waits until nobody else holds the lock, and takes it.
  ///
  /// What its former holders have stored is visible afterwards.
  @inlinable @inline(__always)
  public borrowing func acquire() {
    if isTaken.exchange(true, ordering: .acquiring) { wait() }
  }

  /// Takes the lock if nobody holds it, looking `attempts` times; false if somebody held it each time.
  public borrowing func tryAcquire(attempts: Int) -> Bool {
    for _ in 0..<attempts {
      if !isTaken.load(ordering: .relaxed), !isTaken.exchange(true, ordering: .acquiring) { return true }
      cvmx_pause()
    }
    return false
  }

  /// Gives the lock back, whoever has taken it.
  @inlinable @inline(__always)
  public borrowing func release() { isTaken.store(false, ordering: .releasing) }

  /// Only reads while it waits, so that the holder keeps the cache line.
  @inline(never) @usableFromInline
  borrowing func wait() {
    repeat {
      while isTaken.load(ordering: .relaxed) { cvmx_pause() }
    } while isTaken.exchange(true, ordering: .acquiring)
  }
}
