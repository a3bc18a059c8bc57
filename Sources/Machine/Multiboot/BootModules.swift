/// A file that a boot loader puts into memory beside the kernel, and the text that comes with it.
public struct BootModule {
  /// The file's bytes.
  public var contents: UnsafeRawBufferPointer
  /// The text, without a zero byte.
  public var commandLine: UnsafeRawBufferPointer

  /// Makes a module of bytes that must stay valid for as long as it is used.
  public init(contents: UnsafeRawBufferPointer, commandLine: UnsafeRawBufferPointer) {
    self.contents = contents
    self.commandLine = commandLine
  }
}

/// The modules of a kernel, in order.
public struct BootModules {
  /// The greatest number of modules.
  public static var limit: Int { 32 }

  private var modules: InlineArray<32, BootModule>
  /// The number of modules.
  public private(set) var count = 0

  /// Makes a list without modules.
  public init() {
    let none = UnsafeRawBufferPointer(start: nil, count: 0)
    modules = InlineArray(repeating: BootModule(contents: none, commandLine: none))
  }

  /// Appends a module.
  ///
  /// - Returns: Whether there was room for it.
  public mutating func append(_ module: BootModule) -> Bool {
    if count == Self.limit { return false }
    modules[count] = module
    count += 1
    return true
  }

  /// The module with an index below ``count``.
  public subscript(index: Int) -> BootModule { modules[index] }

  /// How much room the modules take.
  public var sizes: BootModuleSizes {
    var sizes = BootModuleSizes()
    for index in 0..<count {
      sizes.add(
        byteCount: UInt64(modules[index].contents.count), commandLineByteCount: modules[index].commandLine.count)
    }
    return sizes
  }
}

/// How much room modules take: all that a ``MultibootPlacement`` has to know of them.
public struct BootModuleSizes: Equatable, Sendable {
  /// The number of modules.
  public private(set) var count = 0
  /// The bytes of all files, each in whole pages.
  public private(set) var byteCount: UInt64 = 0
  /// The bytes of all texts, each with a zero byte.
  public private(set) var textByteCount: UInt64 = 0

  /// Makes the sizes of no modules.
  public init() {}

  /// Adds a module with a file of `byteCount` bytes, which are less than 2^48, and a text without its zero byte.
  public mutating func add(byteCount: UInt64, commandLineByteCount: Int) {
    count += 1
    self.byteCount += (byteCount + 0xFFF) & ~0xFFF
    textByteCount += UInt64(commandLineByteCount) + 1
  }
}
