// RDMSR of every MSR gives a value or #GP(0); WRMSR refuses what it should.
#include "guest.inc"

.macro REFUSES index, low, high, name:vararg
  TRY
  mov $\index, %ecx
  mov $\low, %eax
  mov $\high, %edx
  wrmsr
  FAULTS VECTOR_GP, 0, \name
.endm

// RDMSR of %ebx up to, but without, %ebp.
read_range:
  TRY
  mov %ebx, %ecx
  rdmsr
771:
  cmpq $NO_FAULT, vector(%rip)
  je 1f
  cmpq $VECTOR_GP, vector(%rip)
  lea read_text(%rip), %r11
  call expect_equal
1:
  inc %ebx
  cmp %ebx, %ebp
  jne read_range
  ret

guest:
  call set_up
  xor %ebx, %ebx
  mov $0x2001, %ebp
  call read_range
  mov $0x40000000, %ebx
  mov $0x40000200, %ebp
  call read_range
  mov $0xBFFFFFFF, %ebx
  mov $0xC0002001, %ebp
  call read_range
  mov $0xFFFFFFF0, %ebx
  xor %ebp, %ebp
  call read_range
  TRY
  mov $0x1B, %ecx
  rdmsr
  WORKS "IA32_APIC_BASE"
  cmp $0xFEE00900, %eax
  EQUAL "IA32_APIC_BASE: enabled, bootstrap processor"

  REFUSES 0xFE, 0, 0, "IA32_MTRRCAP is read-only"
  REFUSES 0x1B, 0xFEE00500, 0, "IA32_APIC_BASE: x2APIC mode of a disabled local APIC"
  REFUSES 0x80B, 0, 0, "x2APIC MSRs in xAPIC mode"
  REFUSES 0x277, 0x07040602, 0x00070406, "IA32_PAT: type 2"
  REFUSES 0x2FF, 2, 0, "IA32_MTRR_DEF_TYPE: type 2"
  REFUSES 0x1D9, 0x80000000, 0, "IA32_DEBUGCTL: a reserved bit"
  REFUSES 0x3A, 5, 0, "IA32_FEATURE_CONTROL is locked"
  REFUSES 0x480, 0, 0, "IA32_VMX_BASIC"
  REFUSES 0xC0000080, 0xD03, 0, "IA32_EFER: a reserved bit"
  REFUSES 0xC0000080, 0, 0, "IA32_EFER: LME cleared while paging is on"
  REFUSES 0xC0000100, 0, 0x00800000, "IA32_FS_BASE: not canonical"
  REFUSES 0xC0000101, 0, 0x00800000, "IA32_GS_BASE: not canonical"
  REFUSES 0xC0000102, 0, 0x00800000, "IA32_KERNEL_GS_BASE: not canonical"
  REFUSES 0xC0000082, 0, 0x00800000, "IA32_LSTAR: not canonical"
  REFUSES 0x175, 0, 0x00800000, "IA32_SYSENTER_ESP: not canonical"
  REFUSES 0x12345678, 0, 0, "an MSR that does not exist"

  TRY
  mov $0xC0000102, %ecx
  mov $0x9ABCDEF0, %eax
  mov $0xFFFF8765, %edx
  wrmsr
  xor %eax, %eax
  xor %edx, %edx
  rdmsr
  WORKS "IA32_KERNEL_GS_BASE"
  cmp $0x9ABCDEF0, %eax
  EQUAL "IA32_KERNEL_GS_BASE reads as it was written"
  TRY
  mov $0x10, %ecx
  mov $0, %eax
  mov $0x100, %edx
  wrmsr
  rdtsc
  WORKS "IA32_TIME_STAMP_COUNTER"
  cmp $0x100, %edx
  EQUAL "the counter goes on from what was written"
  jmp finish
  .data
read_text: .asciz "RDMSR caused an exception that is not #GP(0)"
  .text
