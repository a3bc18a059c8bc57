/// How a file that was given as a kernel is booted.
public enum KernelKind: Equatable, Sendable {
  /// By the Linux boot protocol.
  ///
  /// Every file that is not of the other kinds is taken for one of these, and ``LinuxKernel`` says what it is instead.
  case linux
  /// By one of the Multiboot specifications.
  case multiboot(MultibootVersion)

  /// Recognises the kind of a file by its bytes; any are allowed.
  ///
  /// A kernel with headers of both Multiboot specifications is booted by the second.
  public init(_ file: UnsafeRawBufferPointer) {
    let signature = LinuxBootField<UInt32>.header
    if file.count >= signature.end, file.field(at: signature.offset) == LinuxBootProtocol.headerMagic {
      self = .linux
    } else if MultibootVersion.two.headerOffset(in: file) != nil {
      self = .multiboot(.two)
    } else if MultibootVersion.one.headerOffset(in: file) != nil {
      self = .multiboot(.one)
    } else {
      self = .linux
    }
  }
}
