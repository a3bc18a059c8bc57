import Foundation
import Machine
import Testing

@Suite struct SpinLockTests {
  /// What threads share: a lock and what it guards.
  private final class Shared: @unchecked Sendable {
    let lock = SpinLock()
    var count = 0
    var inside = 0
    var overlaps = 0
  }

  /// Runs `body` on `threads` threads at once.
  private func run(_ threads: Int, _ body: @escaping @Sendable () -> Void) {
    DispatchQueue.concurrentPerform(iterations: threads) { _ in body() }
  }

  @Test("One thread at a time, and each sees what the one before has stored", arguments: [1, 2, 4, 8])
  func exclusion(threads: Int) {
    let shared = Shared()
    run(threads) {
      for _ in 0..<20_000 {
        shared.lock.acquire()
        shared.inside += 1
        if shared.inside != 1 { shared.overlaps += 1 }
        shared.count += 1
        shared.inside -= 1
        shared.lock.release()
      }
    }
    #expect(shared.count == threads * 20_000)
    #expect(shared.overlaps == 0)
  }

  @Test("A lock that is held cannot be had by looking, and can after it is given up", arguments: [1, 2, 100])
  func tryAcquire(attempts: Int) {
    let lock = SpinLock()
    var results = [lock.tryAcquire(attempts: attempts), lock.tryAcquire(attempts: attempts)]
    lock.release()
    results.append(lock.tryAcquire(attempts: attempts))
    lock.release()
    results.append(lock.tryAcquire(attempts: 0))
    lock.acquire()
    results.append(lock.tryAcquire(attempts: attempts))
    #expect(results == [true, false, true, false, false])
  }

  @Test("Looking often enough gets the lock that another gives up") func patience() {
    let shared = Shared()
    shared.lock.acquire()
    let thread = Thread {
      usleep(10_000)
      shared.lock.release()
    }
    thread.start()
    while !shared.lock.tryAcquire(attempts: 1000) {}
    let again = shared.lock.tryAcquire(attempts: 1)
    #expect(!again)
  }
}
