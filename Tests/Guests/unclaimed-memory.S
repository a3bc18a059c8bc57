// Where there is neither memory nor a device, all bits are 1 and writes are ignored; as an instruction, that is #UD. And
// what else is seldom done to a device.
#include "guest.inc"

guest:
  call set_up
  mov $0x80000123, %r12d
  TRY
  xor %eax, %eax
  mov (%r12), %al
  WORKS "a read"
  cmp $0xFF, %eax
  EQUAL "a read gives all ones"
  TRY
  movb $0, (%r12)
  lock addl $1, 1(%r12)
  WORKS "writes"
  mov (%r12), %rax
  cmp $-1, %rax
  EQUAL "writes change nothing"
  TRY
  jmp *%r12
  FAULTS VECTOR_UD, 0, "a fetch"
  cmp fault_rip(%rip), %r12
  EQUAL "a fetch: RIP"
  mov $0xFED00000, %r13d
  TRY
  jmp *%r13
  FAULTS VECTOR_UD, 0, "a fetch from the HPET"
  mov $0xFEE00000, %r13d
  TRY
  jmp *%r13
  FAULTS VECTOR_UD, 0, "a fetch from the local APIC"
  mov %cr0, %rax
  and $~4, %rax
  mov %rax, %cr0
  mov %cr4, %rax
  or $0x200, %rax
  mov %rax, %cr4
  TRY
  addps 13(%r12), %xmm0
  FAULTS VECTOR_UD, 0, "ADDPS"
  TRY
  fldt (%r12)
  FAULTS VECTOR_UD, 0, "FLD"
  TRY
  mov $1, %eax
  xor %edx, %edx
  divl (%r12)
  WORKS "DIV"
  cmp $1, %edx
  EQUAL "DIV by all ones leaves the dividend"
  TRY
  shll $4, (%r12)
  mov %ds, (%r12)
  clflush (%r12)
  WORKS "SHL, MOV from DS, CLFLUSH"
  TRY
  mov (%r12), %es
  FAULTS VECTOR_GP, 0xFFFC, "MOV to ES"
  jmp finish
