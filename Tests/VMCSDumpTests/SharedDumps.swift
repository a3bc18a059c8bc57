import Glibc
import VMCS
import VMCSDump

/// The dumps in `Dumps`, which its README describes.
enum SharedDumps {
  static func bytes(_ name: String) -> [UInt8] {
    let path = #filePath.split(separator: "/").dropLast().joined(separator: "/")
    guard let file = fopen("/\(path)/Dumps/\(name).txt", "r") else { return [] }
    defer { fclose(file) }
    var bytes: [UInt8] = []
    while case let byte = getc(file), byte != EOF { bytes.append(UInt8(truncatingIfNeeded: byte)) }
    return bytes
  }

  static let names = [
    "bhyve-ia32e-control-partial", "haxm-partial", "kvm-external-interrupt-if-0-partial", "kvm-gdtr-base",
    "kvm-hardware-error-0-partial", "kvm-healthy", "kvm-sti-blocking-after-smi", "qemu-registers-error-5",
    "qemu-registers-partial", "xen-cr3-bit-63-partial", "xen-healthy", "xen-msr-load", "xen-msr-load-partial",
    "xen-nested-vmlaunch-error-7",
  ]
}

/// Reads all dumps of a text, which comes in pieces of `step` bytes.
func dumps(in bytes: [UInt8], step: Int = .max) -> [Dump] {
  var reader = DumpReader()
  var dumps: [Dump] = []
  bytes.withUnsafeBufferPointer { buffer in
    var start = 0
    while start < buffer.count {
      let end = step < buffer.count - start ? start + step : buffer.count
      reader.read(UnsafeBufferPointer(rebasing: buffer[start..<end])) { dumps.append($0) }
      start = end
    }
  }
  reader.finish { dumps.append($0) }
  return dumps
}

func dumps(in text: String) -> [Dump] { dumps(in: Array(text.utf8)) }

extension Dump {
  /// The value and line of a field.
  subscript<Value, Access>(field: VMCSField<Value, Access>) -> DumpValue? { self[field.encoding] }

  /// Every value, by the field's name.
  var allValues: [String: UInt64] {
    var values: [String: UInt64] = [:]
    for index in 0..<VMCSFieldDescription.count {
      if let value = self[at: index] { values[VMCSFieldDescription(at: index).name.description] = value.bits }
    }
    return values
  }
}
