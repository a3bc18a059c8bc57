import VMCS

/// Pages of memory to build tables and regions from, handed out in order and never taken back.
///
/// The memory is given at creation and is contiguous both in the host's address space and physically.
public struct PagePool: ~Copyable {
  /// A page: where it is for software, and for the processor.
  public struct Page {
    /// The page in the host's address space.
    public let pointer: UnsafeMutableRawPointer
    /// Its physical address.
    public let address: PhysicalAddress
  }

  /// The size of a page, in bytes.
  public static var pageSize: Int { 4096 }

  private let start: UnsafeMutableRawPointer
  private let address: PhysicalAddress
  private let count: Int
  /// How many have been handed out.
  public private(set) var used = 0

  /// Makes a pool of `count` pages that begin at `start`, whose physical address is `address`.
  ///
  /// Both are multiples of 4,096.
  public init(_ start: UnsafeMutableRawPointer, at address: PhysicalAddress, count: Int) {
    self.start = start
    self.address = address
    self.count = count
  }

  /// How many pages are left.
  public var remaining: Int { count - used }

  /// The next page, filled with zeros, or nil if there is none left.
  public mutating func allocate() -> Page? {
    guard used < count else { return nil }
    let page = self[used]
    page.pointer.initializeMemory(as: UInt8.self, repeating: 0, count: Self.pageSize)
    used += 1
    return page
  }

  /// Splits off a pool of all pages that are left; this one is empty afterwards.
  public mutating func takeRest() -> PagePool {
    let rest = PagePool(
      start + used * Self.pageSize, at: PhysicalAddress(address.rawValue + UInt64(used * Self.pageSize)),
      count: remaining)
    used = count
    return rest
  }

  /// Whether the pool has handed out a page at physical address `address`.
  func owns(pageAt address: UInt64) -> Bool { address &- self.address.rawValue < UInt64(used * Self.pageSize) }

  /// The page that has physical address `address`, which the pool has handed out.
  func page(at address: UInt64) -> UnsafeMutableRawPointer {
    start + Int(truncatingIfNeeded: address &- self.address.rawValue)
  }

  private subscript(index: Int) -> Page {
    Page(
      pointer: start + index * Self.pageSize,
      address: PhysicalAddress(address.rawValue + UInt64(index * Self.pageSize)))
  }
}
