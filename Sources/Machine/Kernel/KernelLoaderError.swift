/// Why a kernel of any kind cannot be booted.
public enum KernelLoaderError: Error, Equatable, Sendable {
  /// The guest has less than 1 MiB of RAM.
  case noMemoryForFirmware
  /// The file is no Linux kernel that can be booted.
  case linuxKernel(LinuxKernelError)
  /// A Linux kernel and what belongs to it do not fit.
  case linux(LinuxLoaderError)
  /// A Multiboot kernel cannot be booted, or does not fit.
  case multiboot(MultibootError)
  /// A Linux kernel takes no modules but its initrd.
  case modulesForLinux
  /// There are more modules than ``BootModules`` takes.
  case tooManyModules

  /// What is wrong, and what to do.
  public var message: ErrorMessage {
    switch self {
    case .noMemoryForFirmware:
      ErrorMessage("The guest has less than 1 MiB of memory. Give it more with --memory.")
    case .linuxKernel(let error): error.message
    case .linux(let error): error.message
    case .multiboot(let error): error.message
    case .modulesForLinux:
      ErrorMessage("A Linux kernel takes no modules. Give its initial RAM disk with --initrd, and no --module.")
    case .tooManyModules:
      ErrorMessage("There are too many modules: Skep takes at most %d.", (UInt64(BootModules.limit), 0))
    }
  }
}
