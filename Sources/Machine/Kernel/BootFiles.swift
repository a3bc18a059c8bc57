/// What goes into a guest's memory beside its firmware's tables.
public struct BootFiles {
  /// The kernel's file.
  public var kernel: UnsafeRawBufferPointer
  /// The initial RAM disk; a Multiboot kernel has it as its first module, without a command line.
  public var initrd: UnsafeRawBufferPointer?
  /// The modules of a Multiboot kernel.
  public var modules = BootModules()
  /// The command line without a zero byte.
  public var commandLine: UnsafeRawBufferPointer

  /// Names the files, whose bytes must stay valid, and not be in the guest's memory, for as long as this is used.
  public init(kernel: UnsafeRawBufferPointer, initrd: UnsafeRawBufferPointer?, commandLine: UnsafeRawBufferPointer) {
    self.kernel = kernel
    self.initrd = initrd
    self.commandLine = commandLine
  }

  /// What a Multiboot kernel has as its modules; nil if they are too many.
  var allModules: BootModules? {
    guard let initrd else { return modules }
    var all = BootModules()
    var hasRoom = all.append(
      BootModule(contents: initrd, commandLine: UnsafeRawBufferPointer(start: nil, count: 0)))
    for index in 0..<modules.count where hasRoom { hasRoom = all.append(modules[index]) }
    return hasRoom ? all : nil
  }
}
