// Moves of XMM registers from and to registers of devices, which Skep emulates: they give what memory gives.
#include "guest.inc"

  .set HPET, 0xFED00000
  .set IO_APIC, 0xFEC00000
  .set LOCAL_APIC, 0xFEE00000
  .set NOTHING, 0x80000120
  .set VECTOR_NM, 7
// A page table of the guest's own maps two pages from here on: RAM, and the HPET.
  .set WINDOW, 0x100000000
  .set CR0_EM, 4
  .set CR0_TS, 8

// XMM\register is what is at `expected`.
.macro HOLDS register, name:vararg
  movdqu %xmm\register, found(%rip)
  lea \name\()_text(%rip), %r11
  call expect_found
.endm

.macro NAME label, text:vararg
  .section .data
\label\()_text: .asciz \text
  .text
.endm

guest:
  call set_up
  mov %cr0, %rax
  and $~(CR0_EM | CR0_TS), %rax
  mov %rax, %cr0
  mov %cr4, %rax
  or $0x200, %rax
  mov %rax, %cr4
  mov $HPET, %r12d
  mov $IO_APIC, %r13d
  mov $LOCAL_APIC, %r14d
  mov $NOTHING, %r15d

  // The HPET's capabilities, by each load, over a register that is all ones.
  mov (%r12), %rax
  mov %rax, expected(%rip)
  movq $0, expected+8(%rip)
  .irp load, movups, movupd, movaps, movapd, movdqa, movdqu, lddqu, movntdqa
  pcmpeqd %xmm3, %xmm3
  \load (%r12), %xmm3
  HOLDS 3, whole
  .endr
  .irp load, movsd, movq
  pcmpeqd %xmm4, %xmm4
  \load (%r12), %xmm4
  HOLDS 4, quadword
  .endr
  movl $0, expected+4(%rip)
  .irp load, movss, movd
  pcmpeqd %xmm5, %xmm5
  \load (%r12), %xmm5
  HOLDS 5, doubleword
  .endr
  mov %rax, expected(%rip)
  movq $-1, expected+8(%rip)
  .irp load, movlps, movlpd
  pcmpeqd %xmm6, %xmm6
  \load (%r12), %xmm6
  HOLDS 6, low_half
  .endr
  movq $-1, expected(%rip)
  mov %rax, expected+8(%rip)
  .irp load, movhps, movhpd
  pcmpeqd %xmm7, %xmm7
  \load (%r12), %xmm7
  HOLDS 7, high_half
  .endr

  // Every register, from a comparator of the HPET, which takes 64 bits.
  movq $0, expected+8(%rip)
  .set number, 0
  .irp register, 0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15
  movl $0x11110000 + number, %eax
  mov %rax, expected(%rip)
  movq %rax, %xmm\register
  movq %xmm\register, 0x108(%r12)
  pcmpeqd %xmm\register, %xmm\register
  movq 0x108(%r12), %xmm\register
  .set number, number + 1
  .endr
  .set number, 0
  .irp register, 0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15
  movl $0x11110000 + number, expected(%rip)
  HOLDS \register, every
  .set number, number + 1
  .endr

  // Stores of all sizes: the window of the I/O APIC, the select register, the local APIC's task priority.
  mov $0x12, %eax
  movd %eax, %xmm0
  movd %xmm0, (%r13)
  mov $0x10055, %eax
  movd %eax, %xmm1
  movss %xmm1, 0x10(%r13)
  cmpl $0x10055, 0x10(%r13)
  EQUAL "MOVD and MOVSS to the I/O APIC"
  movd 0x10(%r13), %xmm2
  movd %xmm2, %ecx
  cmp %eax, %ecx
  EQUAL "MOVD from the I/O APIC"
  mov $0x30, %eax
  movd %eax, %xmm0
  movd %xmm0, 0x80(%r14)
  cmpl $0x30, 0x80(%r14)
  EQUAL "MOVD to the local APIC"
  xor %eax, %eax
  movd %eax, %xmm0
  movups %xmm0, 0x80(%r14)
  cmpl $0, 0x80(%r14)
  EQUAL "MOVUPS to the local APIC"
  mov 0x30(%r14), %eax
  movd 0x30(%r14), %xmm1
  movd %xmm1, %ecx
  cmp %eax, %ecx
  EQUAL "MOVD from the local APIC"
  mov $0x22220000, %eax
  movd %eax, %xmm0
  pslldq $8, %xmm0
  movhps %xmm0, 0x108(%r12)
  cmp %rax, 0x108(%r12)
  EQUAL "MOVHPS to the HPET"
  movlps %xmm0, 0x108(%r12)
  cmpq $0, 0x108(%r12)
  EQUAL "MOVLPS to the HPET"
  .irp store, movups, movupd, movaps, movapd, movdqa, movdqu, movntps, movntpd, movntdq
  movq $-1, 0x108(%r12)
  // 100H has the comparator's configuration, and 108H its value.
  \store %xmm0, 0x100(%r12)
  cmp %rax, 0x108(%r12)
  EQUAL "\store to the HPET"
  .endr

  // Alignment.
  .irp load, movaps, movapd, movdqa, movntdqa
  TRY
  \load 8(%r12), %xmm0
  FAULTS VECTOR_GP, 0, "\load that is not aligned"
  .endr
  TRY
  movntdq %xmm0, 8(%r12)
  FAULTS VECTOR_GP, 0, "MOVNTDQ that is not aligned"
  TRY
  movups 8(%r12), %xmm0
  movdqu %xmm0, 4(%r15)
  WORKS "MOVUPS and MOVDQU that are not aligned"

  // SSE that is not enabled.
  mov %cr0, %rax
  or $CR0_TS, %rax
  mov %rax, %cr0
  TRY
  movups (%r15), %xmm0
  FAULTS VECTOR_NM, 0, "MOVUPS with CR0.TS"
  clts
  mov %cr0, %rax
  or $CR0_EM, %rax
  mov %rax, %cr0
  TRY
  movups (%r15), %xmm0
  FAULTS VECTOR_UD, 0, "MOVUPS with CR0.EM"
  and $~CR0_EM, %rax
  mov %rax, %cr0

  // Where nothing is, and across the end of memory.
  movq $-1, expected(%rip)
  movq $-1, expected+8(%rip)
  movups (%r15), %xmm0
  HOLDS 0, nothing
  call map_window
  movl $0x12345678, page+0xFFC(%rip)
  mov $WINDOW + 0xFFC, %rcx
  mov %rcx, %rbx
  mov (%r12), %rax
  mov %rax, expected+4(%rip)
  movl $0x12345678, expected(%rip)
  movl $0, expected+12(%rip)
  movups (%rbx), %xmm0
  HOLDS 0, crossing
  movups %xmm1, (%rbx)
  movd %xmm1, %eax
  cmp %eax, page+0xFFC(%rip)
  EQUAL "a store across the end of memory"

  // The upper half of YMM0 stays as it is, if there is one.
  mov $1, %eax
  cpuid
  test $1 << 28, %ecx
  jz finish
  mov %cr4, %rax
  or $0x40000, %rax
  mov %rax, %cr4
  xor %ecx, %ecx
  xor %edx, %edx
  mov $7, %eax
  xsetbv
  mov $0x33334444, %eax
  vmovd %eax, %xmm1
  vinsertf128 $1, %xmm1, %ymm0, %ymm0
  movups (%r12), %xmm0
  vextractf128 $1, %ymm0, %xmm2
  vmovd %xmm2, %ecx
  cmp %eax, %ecx
  EQUAL "the upper half of YMM0"
  TRY
  vmovups (%r12), %xmm0
  FAULTS VECTOR_UD, 0, "VMOVUPS, which is not emulated"
  jmp finish

map_window:
  MAP_TABLE
  lea page(%rip), %rbx
  lea 7(%rbx), %rdx
  mov %rdx, (%rcx)
  lea 7(%r12), %rdx
  mov %rdx, 8(%rcx)
  ret

// What was found is what was expected; %r11 is what was done.
expect_found:
  push %rax
  mov found(%rip), %rax
  cmp expected(%rip), %rax
  jne 1f
  mov found+8(%rip), %rax
  cmp expected+8(%rip), %rax
1:
  call expect_equal
  pop %rax
  ret

NAME whole, "a load of 16 bytes from the HPET"
NAME quadword, "MOVSD or MOVQ from the HPET"
NAME doubleword, "MOVSS or MOVD from the HPET"
NAME low_half, "MOVLPS or MOVLPD from the HPET"
NAME high_half, "MOVHPS or MOVHPD from the HPET"
NAME every, "MOVQ of each register"
NAME nothing, "where nothing is"
NAME crossing, "across the end of memory"

  .bss
  .balign 16
expected: .skip 16
found: .skip 16
  .balign 4096
directory: .skip 4096
table: .skip 4096
page: .skip 4096
  .text
