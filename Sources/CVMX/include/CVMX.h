// Each VMX or privileged instruction as one function that is always inlined.
// This header and the assembly of the boot package hold all the inline assembly of the project.
//
// Flag outputs give the caller a condition, not a value: `vmread` and a branch on `failed` compile to
// `vmread; jbe`. A "memory" clobber stands where the processor reads or writes memory, or where the
// compiler must not move accesses across.
#ifndef CVMX_H
#define CVMX_H

#include <stdbool.h>
#include <stdint.h>

#define CVMX_INLINE static inline __attribute__((always_inline))

// MARK: VMX instructions. The return value is 0 for VMsucceed, 1 for VMfailInvalid (CF), 2 for VMfailValid (ZF).

CVMX_INLINE uint8_t cvmx_outcome(bool carry, bool zero) { return carry ? 1 : zero ? 2 : 0; }

CVMX_INLINE uint8_t cvmx_vmxon(uint64_t region) {
  bool carry, zero;
  __asm__ volatile("vmxon %2" : "=@ccc"(carry), "=@ccz"(zero) : "m"(region) : "memory");
  return cvmx_outcome(carry, zero);
}

CVMX_INLINE uint8_t cvmx_vmxoff(void) {
  bool carry, zero;
  __asm__ volatile("vmxoff" : "=@ccc"(carry), "=@ccz"(zero) : : "memory");
  return cvmx_outcome(carry, zero);
}

CVMX_INLINE uint8_t cvmx_vmclear(uint64_t region) {
  bool carry, zero;
  __asm__ volatile("vmclear %2" : "=@ccc"(carry), "=@ccz"(zero) : "m"(region) : "memory");
  return cvmx_outcome(carry, zero);
}

CVMX_INLINE uint8_t cvmx_vmptrld(uint64_t region) {
  bool carry, zero;
  __asm__ volatile("vmptrld %2" : "=@ccc"(carry), "=@ccz"(zero) : "m"(region) : "memory");
  return cvmx_outcome(carry, zero);
}

CVMX_INLINE uint64_t cvmx_vmptrst(void) {
  uint64_t region;
  __asm__ volatile("vmptrst %0" : "=m"(region) : : "cc", "memory");
  return region;
}

// The whole of a read in one statement, so that nothing comes between: the encoding as an immediate, which keeps no
// register, the instruction, and the branch.
CVMX_INLINE bool cvmx_vmread(uint64_t encoding, uint64_t *value) {
  uint64_t result;
  __asm__ goto("mov %k1, %k0\n\tvmread %0, %0\n\tjbe %l[failed]" : "=r"(result) : "ri"(encoding) : "cc" : failed);
  *value = result;
  return false;
failed:
  *value = 0;
  return true;
}

CVMX_INLINE uint8_t cvmx_vmread_outcome(uint64_t encoding) {
  bool carry, zero;
  uint64_t result;
  __asm__ volatile("vmread %3, %2" : "=@ccc"(carry), "=@ccz"(zero), "=r"(result) : "r"(encoding));
  return cvmx_outcome(carry, zero);
}

CVMX_INLINE bool cvmx_vmwrite(uint64_t encoding, uint64_t value) {
  bool failed;
  __asm__ volatile("vmwrite %1, %2" : "=@ccbe"(failed) : "r"(value), "r"(encoding));
  return failed;
}

CVMX_INLINE uint8_t cvmx_vmwrite_outcome(uint64_t encoding, uint64_t value) {
  bool carry, zero;
  __asm__ volatile("vmwrite %2, %3" : "=@ccc"(carry), "=@ccz"(zero) : "r"(value), "r"(encoding));
  return cvmx_outcome(carry, zero);
}

CVMX_INLINE uint8_t cvmx_invept(uint64_t type, uint64_t ept_pointer) {
  struct { uint64_t low, high; } descriptor = {ept_pointer, 0};
  bool carry, zero;
  __asm__ volatile("invept %2, %3" : "=@ccc"(carry), "=@ccz"(zero) : "m"(descriptor), "r"(type) : "memory");
  return cvmx_outcome(carry, zero);
}

CVMX_INLINE uint8_t cvmx_invvpid(uint64_t type, uint16_t vpid, uint64_t linear_address) {
  struct { uint64_t low, high; } descriptor = {vpid, linear_address};
  bool carry, zero;
  __asm__ volatile("invvpid %2, %3" : "=@ccc"(carry), "=@ccz"(zero) : "m"(descriptor), "r"(type) : "memory");
  return cvmx_outcome(carry, zero);
}

// MARK: MSRs, CPUID, the time-stamp counter

CVMX_INLINE uint64_t cvmx_rdmsr(uint32_t index) {
  uint32_t low, high;
  __asm__ volatile("rdmsr" : "=a"(low), "=d"(high) : "c"(index) : "memory");
  return (uint64_t)high << 32 | low;
}

CVMX_INLINE void cvmx_wrmsr(uint32_t index, uint64_t value) {
  __asm__ volatile("wrmsr" : : "c"(index), "a"((uint32_t)value), "d"((uint32_t)(value >> 32)) : "memory");
}

typedef struct { uint32_t eax, ebx, ecx, edx; } cvmx_cpuid_result;

CVMX_INLINE cvmx_cpuid_result cvmx_cpuid(uint32_t leaf, uint32_t subleaf) {
  cvmx_cpuid_result r;
  __asm__ volatile("cpuid" : "=a"(r.eax), "=b"(r.ebx), "=c"(r.ecx), "=d"(r.edx) : "a"(leaf), "c"(subleaf));
  return r;
}

CVMX_INLINE uint64_t cvmx_rdtsc(void) {
  uint32_t low, high;
  __asm__ volatile("rdtsc" : "=a"(low), "=d"(high));
  return (uint64_t)high << 32 | low;
}

// MARK: Control and debug registers

#define CVMX_REGISTER(name)                                                                      \
  CVMX_INLINE uint64_t cvmx_read_##name(void) {                                                  \
    uint64_t value;                                                                              \
    __asm__ volatile("mov %%" #name ", %0" : "=r"(value) : : "memory");                          \
    return value;                                                                                \
  }                                                                                              \
  CVMX_INLINE void cvmx_write_##name(uint64_t value) {                                           \
    __asm__ volatile("mov %0, %%" #name : : "r"(value) : "memory");                              \
  }

CVMX_REGISTER(cr0)
CVMX_REGISTER(cr2)
CVMX_REGISTER(cr3)
CVMX_REGISTER(cr4)
CVMX_REGISTER(dr0)
CVMX_REGISTER(dr1)
CVMX_REGISTER(dr2)
CVMX_REGISTER(dr3)
CVMX_REGISTER(dr6)

CVMX_INLINE uint64_t cvmx_xgetbv(uint32_t index) {
  uint32_t low, high;
  __asm__ volatile("xgetbv" : "=a"(low), "=d"(high) : "c"(index));
  return (uint64_t)high << 32 | low;
}

CVMX_INLINE void cvmx_xsetbv(uint32_t index, uint64_t value) {
  __asm__ volatile("xsetbv" : : "c"(index), "a"((uint32_t)value), "d"((uint32_t)(value >> 32)) : "memory");
}

CVMX_INLINE void cvmx_wbinvd(void) { __asm__ volatile("wbinvd" : : : "memory"); }

// MARK: XMM registers, which are the guest's: what compilers make of the rest uses none

typedef struct { uint64_t low, high; } cvmx_xmm;

// Functions, not inlined, so that it can be seen where the image uses these registers.
#define CVMX_FUNCTION static __attribute__((noinline, unused))
#define CVMX_FOR_EACH_XMM(a)                                                                     \
  a(0) a(1) a(2) a(3) a(4) a(5) a(6) a(7) a(8) a(9) a(10) a(11) a(12) a(13) a(14) a(15)

#define CVMX_READ_XMM(n) case n: __asm__ volatile("movdqu %%xmm" #n ", %0" : "=m"(value)); break;
#define CVMX_WRITE_XMM(n) case n: __asm__ volatile("movdqu %0, %%xmm" #n : : "m"(value)); break;

// XMM0 to XMM15; of any other number, 0.
CVMX_FUNCTION cvmx_xmm cvmx_read_xmm(uint32_t number) {
  cvmx_xmm value = {0, 0};
  switch (number) { CVMX_FOR_EACH_XMM(CVMX_READ_XMM) }
  return value;
}

CVMX_FUNCTION void cvmx_write_xmm(uint32_t number, cvmx_xmm value) {
  switch (number) { CVMX_FOR_EACH_XMM(CVMX_WRITE_XMM) }
}

// MARK: Descriptor tables and segment registers, as the host-state area wants them

CVMX_INLINE uint64_t cvmx_gdtr_base(void) {
  struct __attribute__((packed)) { uint16_t limit; uint64_t base; } table;
  __asm__ volatile("sgdt %0" : "=m"(table));
  return table.base;
}

CVMX_INLINE uint64_t cvmx_idtr_base(void) {
  struct __attribute__((packed)) { uint16_t limit; uint64_t base; } table;
  __asm__ volatile("sidt %0" : "=m"(table));
  return table.base;
}

CVMX_INLINE void cvmx_lidt(const void *base, uint16_t limit) {
  struct __attribute__((packed)) { uint16_t limit; uint64_t base; } table = {limit, (uint64_t)base};
  __asm__ volatile("lidt %0" : : "m"(table) : "memory");
}

CVMX_INLINE uint16_t cvmx_task_register(void) {
  uint16_t selector;
  __asm__ volatile("str %0" : "=r"(selector));
  return selector;
}

// MARK: Interrupts and I/O ports

// For loops that wait for another processor.
CVMX_INLINE void cvmx_pause(void) { __asm__ volatile("pause"); }

CVMX_INLINE void cvmx_cli(void) { __asm__ volatile("cli" : : : "memory"); }

// Waits for one interrupt. STI takes effect after HLT has begun, so no interrupt can be lost in between.
CVMX_INLINE void cvmx_sti_hlt_cli(void) { __asm__ volatile("sti; hlt; cli" : : : "memory"); }

// Lets an interrupt that is pending already be taken.
CVMX_INLINE void cvmx_sti_nop_cli(void) { __asm__ volatile("sti; nop; cli" : : : "memory"); }

// Ends the blocking of NMIs that a VM exit for an NMI has begun: by an IRET to the next instruction.
CVMX_INLINE void cvmx_unblock_nmis(void) {
  __asm__ volatile(
      "mov %%rsp, %%rcx\n\tmov %%ss, %%eax\n\tpush %%rax\n\tpush %%rcx\n\tpushfq\n\tmov %%cs, %%eax\n\tpush %%rax\n\t"
      "lea 1f(%%rip), %%rax\n\tpush %%rax\n\tiretq\n1:"
      : : : "rax", "rcx", "cc", "memory");
}

CVMX_INLINE void cvmx_hlt(void) { __asm__ volatile("hlt" : : : "memory"); }

CVMX_INLINE uint8_t cvmx_in8(uint16_t port) {
  uint8_t value;
  __asm__ volatile("inb %1, %0" : "=a"(value) : "Nd"(port) : "memory");
  return value;
}

CVMX_INLINE void cvmx_out8(uint16_t port, uint8_t value) {
  __asm__ volatile("outb %0, %1" : : "a"(value), "Nd"(port) : "memory");
}

CVMX_INLINE void cvmx_out16(uint16_t port, uint16_t value) {
  __asm__ volatile("outw %0, %1" : : "a"(value), "Nd"(port) : "memory");
}

// A volatile 32-bit access, for the registers of the local APIC and the I/O APIC.
CVMX_INLINE uint32_t cvmx_load32(const void *address) { return *(const volatile uint32_t *)address; }
CVMX_INLINE void cvmx_store32(void *address, uint32_t value) { *(volatile uint32_t *)address = value; }

#endif
