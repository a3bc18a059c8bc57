import VMX

// An operand in one page is accessed at once. Of one across two pages the parts are, and each in pieces of 1, 2 or 4
// bytes that are aligned, as a bus would do it.

extension MMIODevice where Self: ~Copyable {
  /// Reads an operand, wherever it is.
  ///
  /// - Parameter page: the guest-physical address of the page that is certainly the device's.
  mutating func load<Memory: GuestPhysicalMemory>(
    _ location: OperandLocation, byteCount: Int, page: UInt64, in memory: Memory
  ) -> UInt64 {
    if location.firstCount == byteCount { return load(location.first, byteCount, page: page, in: memory) }
    var value: UInt64 = 0
    var index = 0
    while index < byteCount {
      let address = location.address(of: index)
      let count = pieceSize(at: address, rest: location.rest(from: index, byteCount: byteCount))
      value |= load(address, count, page: page, in: memory) &<< UInt64(8 &* index)
      index &+= count
    }
    return value
  }

  /// Writes an operand, wherever it is.
  mutating func store<Memory: GuestPhysicalMemory>(
    _ value: UInt64, at location: OperandLocation, byteCount: Int, page: UInt64, in memory: Memory
  ) {
    if location.firstCount == byteCount {
      return store(value, at: location.first, byteCount, page: page, in: memory)
    }
    var index = 0
    while index < byteCount {
      let address = location.address(of: index)
      let count = pieceSize(at: address, rest: location.rest(from: index, byteCount: byteCount))
      store(value &>> UInt64(8 &* index), at: address, count, page: page, in: memory)
      index &+= count
    }
  }

  private func pieceSize(at address: UInt64, rest: Int) -> Int {
    if rest >= 4 && address & 3 == 0 { return 4 }
    return rest >= 2 && address & 1 == 0 ? 2 : 1
  }

  private mutating func load<Memory: GuestPhysicalMemory>(
    _ address: UInt64, _ byteCount: Int, page: UInt64, in memory: Memory
  ) -> UInt64 {
    if address & ~0xFFF != page && !covers(page: address & ~0xFFF) {
      let value =
        switch byteCount {
        case 1: memory.load(address, as: UInt8.self).map { UInt64($0) }
        case 2: memory.load(address, as: UInt16.self).map { UInt64($0) }
        case 4: memory.load(address, as: UInt32.self).map { UInt64($0) }
        default: memory.load(address, as: UInt64.self)
        }
      if let value { return value }
    }
    return load(address, byteCount: byteCount) & mask(ofSize: byteCount)
  }

  private mutating func store<Memory: GuestPhysicalMemory>(
    _ value: UInt64, at address: UInt64, _ byteCount: Int, page: UInt64, in memory: Memory
  ) {
    if address & ~0xFFF != page && !covers(page: address & ~0xFFF) {
      let isStored =
        switch byteCount {
        case 1: memory.store(UInt8(truncatingIfNeeded: value), at: address)
        case 2: memory.store(UInt16(truncatingIfNeeded: value), at: address)
        case 4: memory.store(UInt32(truncatingIfNeeded: value), at: address)
        default: memory.store(value, at: address)
        }
      if isStored { return }
    }
    store(value & mask(ofSize: byteCount), at: address, byteCount: byteCount)
  }
}

extension OperandLocation {
  /// How many bytes there are from byte `index` on in its page.
  fileprivate func rest(from index: Int, byteCount: Int) -> Int {
    (index < firstCount ? firstCount : byteCount) &- index
  }
}
