// Values that CR0, CR4, CR8 and XCR0 refuse, and that they read back as they were written.
#include "guest.inc"

.macro REFUSES register, value:req, name:vararg
  TRY
  mov %\register, %rcx
  mov $\value, %rdx
  or %rdx, %rcx
  mov %rcx, %\register
  FAULTS VECTOR_GP, 0, \name
.endm

.macro REFUSES_WITHOUT register, value:req, name:vararg
  TRY
  mov %\register, %rcx
  mov $~\value, %rdx
  and %rdx, %rcx
  mov %rcx, %\register
  FAULTS VECTOR_GP, 0, \name
.endm

.macro REFUSES_XCR index, low, high, name:vararg
  TRY
  mov $\index, %ecx
  mov $\low, %eax
  mov $\high, %edx
  xsetbv
  FAULTS VECTOR_GP, 0, \name
.endm

guest:
  call set_up
  mov %cr0, %r12
  mov %cr4, %r13
  mov $0x80000031, %eax
  cmp %rax, %r12
  EQUAL "CR0 at the start"
  cmp $0x20, %r13
  EQUAL "CR4 at the start"

  REFUSES cr0, 1 << 32, "CR0: bit 32"
  REFUSES cr0, 1 << 63, "CR0: bit 63"
  REFUSES cr0, 1 << 29, "CR0: NW without CD"
  REFUSES_WITHOUT cr0, 1, "CR0: PG without PE"
  REFUSES_WITHOUT cr0, (1 << 31), "CR0: PG cleared in 64-bit mode"
  mov %cr0, %rax
  cmp %rax, %r12
  EQUAL "CR0 after refused values"
  TRY
  mov %r12, %rax
  or $0x6005003E, %rax
  mov %rax, %cr0
  WORKS "CR0: CD, NW, AM, WP, NE, TS, EM, MP"
  mov %cr0, %rcx
  cmp %rax, %rcx
  EQUAL "CR0 reads as it was written"
  TRY
  mov %r12, %rax
  and $~0x20, %rax
  mov %rax, %cr0
  WORKS "CR0: NE cleared"
  mov %cr0, %rcx
  cmp %rax, %rcx
  EQUAL "CR0.NE reads 0"
  TRY
  clts
  smsw %rax
  lmsw %ax
  WORKS "CLTS, SMSW, LMSW"
  mov %r12, %cr0

  .set bit, 11
  .rept 53
  // Bits that no guest of Skep has: LA57, VMXE, SMXE, 15, KL, CET and all above.
  .if bit == 12 || bit == 13 || bit == 14 || bit == 15 || bit == 19 || bit >= 23
  REFUSES cr4, 1 << bit, "CR4: a bit that is reserved or hidden"
  .endif
  .set bit, bit + 1
  .endr
  REFUSES_WITHOUT cr4, 0x20, "CR4: PAE cleared in 64-bit mode"
  mov %cr4, %rax
  cmp %rax, %r13
  EQUAL "CR4 after refused values"
  TRY
  mov %r13, %rax
  or $0x7DF, %rax
  mov %rax, %cr4
  WORKS "CR4: VME to OSXMMEXCPT"
  mov %cr4, %rcx
  cmp %rax, %rcx
  EQUAL "CR4 reads as it was written"
  mov %r13, %cr4

  mov $1, %eax
  cpuid
  bt $17, %ecx
  jnc 1f
  TRY
  mov %cr3, %r14
  mov %r14, %rax
  or $8, %rax
  mov %rax, %cr3
  mov %cr4, %rax
  or $0x20000, %rax
  mov %rax, %cr4
  FAULTS VECTOR_GP, 0, "CR4: PCIDE with CR3 bits 11:0"
  mov %r14, %cr3
1:
  TRY
  mov $16, %eax
  mov %rax, %cr8
  FAULTS VECTOR_GP, 0, "CR8: 16"
  TRY
  mov $9, %eax
  mov %rax, %cr8
  xor %eax, %eax
  mov %cr8, %rax
  WORKS "CR8: 9"
  cmp $9, %rax
  EQUAL "CR8 reads as it was written"
  TRY
  mov $1, %rax
  shl $52, %rax
  mov %rax, %cr3
  FAULTS VECTOR_GP, 0, "CR3: bit 52"

  mov $1, %eax
  cpuid
  bt $26, %ecx
  jnc finish
  TRY
  xor %ecx, %ecx
  xgetbv
  FAULTS VECTOR_UD, 0, "XGETBV with OSXSAVE = 0"
  TRY
  xor %ecx, %ecx
  mov $1, %eax
  xor %edx, %edx
  xsetbv
  FAULTS VECTOR_UD, 0, "XSETBV with OSXSAVE = 0"
  mov %r13, %rax
  or $0x40000, %rax
  mov %rax, %cr4
  REFUSES_XCR 0, 0, 0, "XCR0: 0"
  REFUSES_XCR 0, 2, 0, "XCR0: SSE without x87"
  REFUSES_XCR 0, 5, 0, "XCR0: AVX without SSE"
  REFUSES_XCR 0, 0x101, 0, "XCR0: bit 8"
  REFUSES_XCR 0, 1, 0x80000000, "XCR0: bit 63"
  REFUSES_XCR 1, 1, 0, "XCR1"
  TRY
  lea 1f(%rip), %rdi
  push %rdi
  call allow_user_mode
  pop %rdi
  jmp go_to_user_mode
1:
  xor %ecx, %ecx
  mov $1, %eax
  xor %edx, %edx
  xsetbv
  FAULTS VECTOR_GP, 0, "XSETBV, CPL 3"
  TRY
  xor %ecx, %ecx
  mov $3, %eax
  xor %edx, %edx
  xsetbv
  xor %eax, %eax
  xgetbv
  WORKS "XCR0: x87 and SSE"
  cmp $3, %eax
  EQUAL "XCR0 reads as it was written"
  jmp finish
