import Glibc
import Machine
import Testing

/// The kernel that `make` fetches, if it has been fetched.
@Suite("Debian's kernel")
struct DebianKernelTests {
  static let path = "build/guest/vmlinuz"

  @Test(
    "It is a kernel, and it goes into a guest of 128 MiB",
    .enabled(if: access(path, R_OK) == 0, "build/guest/vmlinuz is not there: make fetches it"))
  func load() throws {
    let file = try #require(fopen(Self.path, "r"))
    defer { fclose(file) }
    fseek(file, 0, SEEK_END)
    var bytes = [UInt8](repeating: 0, count: ftell(file))
    rewind(file)
    #expect(fread(&bytes, 1, bytes.count, file) == bytes.count)

    try bytes.withUnsafeBytes { bytes in
      let kernel = try LinuxKernel(bytes)
      #expect(String(decoding: kernel.release, as: UTF8.self).contains("cloud-amd64"))
      let ram = TestMemory(byteCount: 128 << 20)
      let entry = try LinuxLoader.load(
        kernel, initrd: nil, commandLine: UnsafeRawBufferPointer(start: nil, count: 0), rsdp: 0, into: ram.memory)
      let loaded = try #require(ram.bytes(at: entry.rip - 0x200, count: kernel.code.count))
      #expect(loaded.elementsEqual(kernel.code))
      // Every shorter file is one that was truncated.
      for length in stride(from: 1, to: kernel.code.count, by: 65521) {
        #expect(throws: LinuxKernelError.self) { try LinuxKernel(UnsafeRawBufferPointer(rebasing: bytes[..<length])) }
      }
    }
  }
}
