/// The bits of the feature registers of CPUID that Skep names, register by register, by the SDM's names
/// ("CPUID—CPU Identification").
enum CPUIDFeature {
  /// CPUID.01H:ECX.
  struct Leaf1ECX: OptionSet {
    let rawValue: UInt32

    static var sse3: Self { Self(rawValue: 1 << 0) }
    static var pclmulqdq: Self { Self(rawValue: 1 << 1) }
    static var monitor: Self { Self(rawValue: 1 << 3) }
    static var vmx: Self { Self(rawValue: 1 << 5) }
    static var smx: Self { Self(rawValue: 1 << 6) }
    static var ssse3: Self { Self(rawValue: 1 << 9) }
    static var fma: Self { Self(rawValue: 1 << 12) }
    static var cmpxchg16b: Self { Self(rawValue: 1 << 13) }
    static var pcid: Self { Self(rawValue: 1 << 17) }
    static var sse41: Self { Self(rawValue: 1 << 19) }
    static var sse42: Self { Self(rawValue: 1 << 20) }
    static var x2APIC: Self { Self(rawValue: 1 << 21) }
    static var movbe: Self { Self(rawValue: 1 << 22) }
    static var popcnt: Self { Self(rawValue: 1 << 23) }
    static var tscDeadline: Self { Self(rawValue: 1 << 24) }
    static var aesni: Self { Self(rawValue: 1 << 25) }
    static var xsave: Self { Self(rawValue: 1 << 26) }
    static var osxsave: Self { Self(rawValue: 1 << 27) }
    static var avx: Self { Self(rawValue: 1 << 28) }
    static var f16c: Self { Self(rawValue: 1 << 29) }
    static var rdrand: Self { Self(rawValue: 1 << 30) }
    static var hypervisor: Self { Self(rawValue: 1 << 31) }
  }

  /// CPUID.01H:EDX.
  struct Leaf1EDX: OptionSet {
    let rawValue: UInt32

    static var fpu: Self { Self(rawValue: 1 << 0) }
    static var vme: Self { Self(rawValue: 1 << 1) }
    static var de: Self { Self(rawValue: 1 << 2) }
    static var pse: Self { Self(rawValue: 1 << 3) }
    static var tsc: Self { Self(rawValue: 1 << 4) }
    static var msr: Self { Self(rawValue: 1 << 5) }
    static var pae: Self { Self(rawValue: 1 << 6) }
    static var mce: Self { Self(rawValue: 1 << 7) }
    static var cx8: Self { Self(rawValue: 1 << 8) }
    static var apic: Self { Self(rawValue: 1 << 9) }
    static var sep: Self { Self(rawValue: 1 << 11) }
    static var mtrr: Self { Self(rawValue: 1 << 12) }
    static var pge: Self { Self(rawValue: 1 << 13) }
    static var mca: Self { Self(rawValue: 1 << 14) }
    static var cmov: Self { Self(rawValue: 1 << 15) }
    static var pat: Self { Self(rawValue: 1 << 16) }
    static var pse36: Self { Self(rawValue: 1 << 17) }
    static var clfsh: Self { Self(rawValue: 1 << 19) }
    static var ds: Self { Self(rawValue: 1 << 21) }
    static var acpi: Self { Self(rawValue: 1 << 22) }
    static var mmx: Self { Self(rawValue: 1 << 23) }
    static var fxsr: Self { Self(rawValue: 1 << 24) }
    static var sse: Self { Self(rawValue: 1 << 25) }
    static var sse2: Self { Self(rawValue: 1 << 26) }
    static var ss: Self { Self(rawValue: 1 << 27) }
    static var htt: Self { Self(rawValue: 1 << 28) }
  }

  /// CPUID.(EAX=07H,ECX=0):EBX.
  struct Leaf7EBX: OptionSet {
    let rawValue: UInt32

    static var fsgsbase: Self { Self(rawValue: 1 << 0) }
    static var tscADJUST: Self { Self(rawValue: 1 << 1) }
    static var sgx: Self { Self(rawValue: 1 << 2) }
    static var bmi1: Self { Self(rawValue: 1 << 3) }
    static var avx2: Self { Self(rawValue: 1 << 5) }
    static var fdpExceptionOnly: Self { Self(rawValue: 1 << 6) }
    static var smep: Self { Self(rawValue: 1 << 7) }
    static var bmi2: Self { Self(rawValue: 1 << 8) }
    static var erms: Self { Self(rawValue: 1 << 9) }
    static var invpcid: Self { Self(rawValue: 1 << 10) }
    static var rtm: Self { Self(rawValue: 1 << 11) }
    static var deprecatesFPUCSAndDS: Self { Self(rawValue: 1 << 13) }
    static var mpx: Self { Self(rawValue: 1 << 14) }
    static var avx512f: Self { Self(rawValue: 1 << 16) }
    static var avx512dq: Self { Self(rawValue: 1 << 17) }
    static var rdseed: Self { Self(rawValue: 1 << 18) }
    static var adx: Self { Self(rawValue: 1 << 19) }
    static var smap: Self { Self(rawValue: 1 << 20) }
    static var avx512ifma: Self { Self(rawValue: 1 << 21) }
    static var clflushopt: Self { Self(rawValue: 1 << 23) }
    static var clwb: Self { Self(rawValue: 1 << 24) }
    static var avx512pf: Self { Self(rawValue: 1 << 26) }
    static var avx512er: Self { Self(rawValue: 1 << 27) }
    static var avx512cd: Self { Self(rawValue: 1 << 28) }
    static var sha: Self { Self(rawValue: 1 << 29) }
    static var avx512bw: Self { Self(rawValue: 1 << 30) }
    static var avx512vl: Self { Self(rawValue: 1 << 31) }
  }

  /// CPUID.(EAX=07H,ECX=0):ECX.
  struct Leaf7ECX: OptionSet {
    let rawValue: UInt32

    static var prefetchwt1: Self { Self(rawValue: 1 << 0) }
    static var avx512vbmi: Self { Self(rawValue: 1 << 1) }
    static var umip: Self { Self(rawValue: 1 << 2) }
    static var pku: Self { Self(rawValue: 1 << 3) }
    static var avx512vbmi2: Self { Self(rawValue: 1 << 6) }
    static var gfni: Self { Self(rawValue: 1 << 8) }
    static var vaes: Self { Self(rawValue: 1 << 9) }
    static var vpclmulqdq: Self { Self(rawValue: 1 << 10) }
    static var avx512vnni: Self { Self(rawValue: 1 << 11) }
    static var avx512bitalg: Self { Self(rawValue: 1 << 12) }
    static var avx512vpopcntdq: Self { Self(rawValue: 1 << 14) }
    static var la57: Self { Self(rawValue: 1 << 16) }
    static var rdpid: Self { Self(rawValue: 1 << 22) }
    static var kl: Self { Self(rawValue: 1 << 23) }
    static var cldemote: Self { Self(rawValue: 1 << 25) }
    static var movdiri: Self { Self(rawValue: 1 << 27) }
    static var movdir64b: Self { Self(rawValue: 1 << 28) }
    static var pks: Self { Self(rawValue: 1 << 31) }
  }

  /// CPUID.(EAX=07H,ECX=0):EDX.
  struct Leaf7EDX: OptionSet {
    let rawValue: UInt32

    static var avx5124vnniw: Self { Self(rawValue: 1 << 2) }
    static var avx5124fmaps: Self { Self(rawValue: 1 << 3) }
    static var fsrm: Self { Self(rawValue: 1 << 4) }
    static var uintr: Self { Self(rawValue: 1 << 5) }
    static var avx512vp2intersect: Self { Self(rawValue: 1 << 8) }
    static var serialize: Self { Self(rawValue: 1 << 14) }
    static var hybrid: Self { Self(rawValue: 1 << 15) }
    static var pconfig: Self { Self(rawValue: 1 << 18) }
    static var avx512fp16: Self { Self(rawValue: 1 << 23) }
    static var stibp: Self { Self(rawValue: 1 << 27) }
    static var ia32ARCHCAPABILITIES: Self { Self(rawValue: 1 << 29) }
    static var ia32CORECAPABILITIES: Self { Self(rawValue: 1 << 30) }
    static var ssbd: Self { Self(rawValue: 1 << 31) }
  }

  /// CPUID.(EAX=07H,ECX=1):EAX.
  struct Leaf7Subleaf1EAX: OptionSet {
    let rawValue: UInt32

    static var sha512: Self { Self(rawValue: 1 << 0) }
    static var sm3: Self { Self(rawValue: 1 << 1) }
    static var sm4: Self { Self(rawValue: 1 << 2) }
    static var avxVNNI: Self { Self(rawValue: 1 << 4) }
    static var avx512bf16: Self { Self(rawValue: 1 << 5) }
    static var cmpccxadd: Self { Self(rawValue: 1 << 6) }
    static var fzrm: Self { Self(rawValue: 1 << 10) }
    static var fsrs: Self { Self(rawValue: 1 << 11) }
    static var fsrc: Self { Self(rawValue: 1 << 12) }
    static var avxIFMA: Self { Self(rawValue: 1 << 23) }
  }

  /// CPUID.(EAX=0DH,ECX=1):EAX.
  struct LeafDSubleaf1EAX: OptionSet {
    let rawValue: UInt32

    static var xsaveopt: Self { Self(rawValue: 1 << 0) }
    static var xgetbvWithECX1: Self { Self(rawValue: 1 << 2) }
    static var xsaves: Self { Self(rawValue: 1 << 3) }
  }

  /// CPUID.80000001H:ECX.
  struct Leaf80000001ECX: OptionSet {
    let rawValue: UInt32

    static var lahfSAHFIn64BitMode: Self { Self(rawValue: 1 << 0) }
    static var lzcnt: Self { Self(rawValue: 1 << 5) }
    static var prefetchw: Self { Self(rawValue: 1 << 8) }
  }

  /// CPUID.80000001H:EDX.
  struct Leaf80000001EDX: OptionSet {
    let rawValue: UInt32

    static var syscall: Self { Self(rawValue: 1 << 11) }
    static var executeDisable: Self { Self(rawValue: 1 << 20) }
    static var pages1GByte: Self { Self(rawValue: 1 << 26) }
    static var rdtscp: Self { Self(rawValue: 1 << 27) }
    static var intel64: Self { Self(rawValue: 1 << 29) }
  }
}
