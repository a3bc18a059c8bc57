import Testing
import VMCS

/// What the release image consists of.
///
/// `make image` builds it.
struct ImageTests {
  let image: Image

  init() throws {
    do {
      image = try Image.built.get()
    } catch {
      Issue.record("\(Image.path) cannot be read; build it with: make image (\(error))")
      throw error
    }
    try #require(image.instructions.count > 1000)
  }

  /// A VM exit saves no floating-point, vector or mask register, so the image must not use one: but for the two functions
  /// that are there to read and write the guest's.
  @Test("No instruction uses an FPU, MMX, SSE or AVX register, but for the access to the guest's XMM registers")
  func noVectorRegisters() {
    let registers = ["%xmm", "%ymm", "%zmm", "%mm", "%st", "%k0", "%k1", "%k2", "%k3", "%k4", "%k5", "%k6", "%k7"]
    let mnemonics = ["emms", "ldmxcsr", "stmxcsr", "vzeroupper", "vzeroall"]
    var moves = ["cvmx_read_xmm": 0, "cvmx_write_xmm": 0]
    for instruction in image.instructions {
      if instruction.mnemonic == "movdqu", let count = moves[instruction.function] {
        moves[instruction.function] = count + 1
        continue
      }
      let isForbidden =
        registers.contains { instruction.operands.contains($0) } || mnemonics.contains { instruction.mnemonic == $0 }
        || instruction.mnemonic.hasPrefix("f")
      #expect(!isForbidden, "\(instruction)")
    }
    #expect(moves == ["cvmx_read_xmm": 16, "cvmx_write_xmm": 16])
  }

  @Test("A typed read is MOV, VMREAD and one conditional jump") func typedReads() {
    // The report of a failure keeps the flags; a register of the guest may not be in the VMCS; a metered processor counts;
    // the checks of a VM entry read any field, and may find that there is none.
    let exceptions = ["Failed", "requireSuccess", "RegisterField", "MeteredProcessor", "HostVMCSState", "EntryDrill"]
    // The field is chosen at run time, so its encoding comes out of a register.
    let chosenAtRunTime = ["GuestReport", "LoadedVCPUV10descriptor", "LoadedVCPUV8selector"]
    var count = 0
    for (index, instruction) in image.instructions.enumerated() where instruction.mnemonic == "vmread" {
      if exceptions.contains(where: instruction.function.contains) { continue }
      count += 1
      let move = image.instructions[index - 1]
      let jump = image.instructions[index + 1]
      if chosenAtRunTime.contains(where: instruction.function.contains) {
        #expect(move.mnemonic == "mov", "\(move) \(instruction)")
      } else {
        let encoding = encoding(move, in: instruction.operands.prefix { $0 != "," })
        #expect(encoding.flatMap { VMCSFieldDescription(encoding: $0) } != nil, "\(move) \(instruction)")
      }
      #expect(jump.mnemonic == "jbe" || jump.mnemonic == "ja", "\(instruction) \(jump)")
    }
    #expect(count > 20)
  }

  @Test("A typed read is nothing else") func probe() throws {
    let instructions = image.instructions.filter { $0.function.contains("readGuestRIP") }
    #expect(instructions.prefix(4).map(\.mnemonic) == ["mov", "vmread", "jbe", "ret"])
    let read = try #require(instructions.dropFirst().first)
    let encoding = encoding(instructions[0], in: read.operands.prefix { $0 != "," })
    #expect(encoding == VMCSField.guestRIP.encoding)
    #expect(read.operands.hasSuffix(",%rax"))
  }

  /// The encoding that `move` puts into the 64-bit register `register`; nil if it does something else.
  private func encoding(_ move: Image.Instruction, in register: Substring) -> VMCSFieldEncoding? {
    let parts = move.operands.split(separator: ",")
    guard move.mnemonic == "mov", parts.count == 2, parts[0].hasPrefix("$0x") else { return nil }
    // %eax is the lower half of %rax, %r8d of %r8.
    let name = parts[1].hasSuffix("d") ? parts[1].dropLast() : "%r" + parts[1].dropFirst(2)
    guard name == register else { return nil }
    return UInt32(parts[0].dropFirst(3), radix: 16).map { VMCSFieldEncoding(rawValue: $0) }
  }

  /// Where the VMX instructions may be, by parts of the names of functions.
  private static let places: [Substring: [String]] = [
    "vmread": ["VMCS", "VMX", "Machine", "readGuestRIP", "outcomeOfFailedVMREAD"],
    "vmwrite": ["VMCS", "VMX", "Machine", "outcomeOfFailedVMWRITE"],
    "vmlaunch": ["vmentry"], "vmresume": ["vmentry"],
    "vmxon": ["VMXOperation"], "vmxoff": ["VMXOperation"],
    "vmptrld": ["VMCSRegionV4load"], "vmclear": ["CurrentA0V5clear", "VMCSRegionV12initializing"],
    "vmptrst": ["Failed", "requireSuccess", "prepareDrill"],
    "invept": ["LoadedVCPUV10invalidate"], "invvpid": ["LoadedVCPUV10invalidate"],
    "vmcall": [], "vmfunc": [], "vmmcall": [], "vmrun": [],
  ]

  @Test("VMX instructions are only where they belong") func places() {
    var found: Set<Substring> = []
    for instruction in image.instructions {
      guard let places = Self.places[instruction.mnemonic] else { continue }
      found.insert(instruction.mnemonic)
      let isInPlace = places.contains { instruction.function.contains($0) }
      #expect(isInPlace, "\(instruction)")
    }
    #expect(found.isSuperset(of: ["vmxon", "vmclear", "vmptrld", "vmlaunch", "vmresume", "vmread", "vmwrite"]))
  }

  @Test("What every VM exit passes through is part of the run loop, not called: the compiler has a limit for that")
  func inlining() {
    #expect(image.symbols.keys.contains { $0.contains("VirtualProcessorV3run") })
    #expect(image.symbols.keys.filter { $0.contains("LoadedVCPUV3run") } == [])
  }

  @Test("Text cannot be written, data not executed, and each has whole pages") func segmentRights() {
    #expect(image.segments.map(\.isExecutable) == [true, false, false])
    #expect(image.segments.map(\.isWritable) == [false, false, true])
    #expect(image.segments.map(\.isReadable) == [true, true, true])
    for instruction in image.instructions {
      #expect(image.segments[0].addresses.contains(instruction.address), "\(instruction)")
    }
    let page: UInt64 = 4096
    // In what is left of a page a boot loader puts its information, which Skep rewrites: in a page that is not writable.
    for segment in image.segments {
      #expect(segment.addresses.lowerBound % page == 0 && segment.addresses.upperBound % page == 0)
    }
  }

  @Test("Nothing allocates memory", arguments: ["posix_memalign", "free", "arc4random_buf"])
  func noHeap(symbol: String) throws {
    let address = try #require(image.symbols[symbol])
    for instruction in image.instructions where instruction.operands == String(address, radix: 16)[...] {
      // The division whose divisor is too large ends at the same UD2.
      #expect(instruction.function == "__udivti3", "\(instruction)")
    }
  }
}
