// Each instruction of the XSAVE feature set that CPUID shows saves all state that XCR0 can have, such that XRSTOR gets
// it back. Bochs 2.7's XSAVEC does not: it writes AVX state at offset 416 and reads it at 576 (cpu/xsave.cc, XSAVEC).
#include "guest.inc"
  .set REGISTERS, 32 * 64 + 8 * 8       // ZMM0 to ZMM31 and K0 to K7

guest:
  call set_up
  mov %cr0, %rax
  and $~0xC, %rax                       // CR0.EM, CR0.TS
  or $2, %rax                           // CR0.MP
  mov %rax, %cr0
  mov %cr4, %rax
  or $0x40600, %rax                     // CR4.OSFXSR, OSXMMEXCPT and OSXSAVE
  mov %rax, %cr4
  mov $0xD, %eax
  xor %ecx, %ecx
  cpuid
  mov %eax, %ebp                        // what XCR0 can have
  xor %ecx, %ecx
  xsetbv
  test $4, %ebp
  jz finish_without_avx

  mov $0xD, %eax
  mov $1, %ecx
  cpuid
  mov %eax, %r15d                       // the instructions
  test $0xA, %eax                       // XSAVEC and XSAVES, or the size of their area is 0
  jnz 1f
  test %ebx, %ebx
  EQUAL "the size of the compacted format without an instruction that uses it"
1:
  lea pattern(%rip), %rdi               // no byte is 0
  mov $REGISTERS / 8, %ecx
  mov $0x0123456789ABCDEF, %rax
2:
  stosq
  rol $9, %rax
  add $0x11, %al
  loop 2b

.macro CHECK instruction, name:vararg
  call fill
  lea area(%rip), %rdi
  xor %eax, %eax
  mov $4096 / 8, %ecx
  rep stosq
  lea area(%rip), %rdi
  mov $-1, %eax
  mov $-1, %edx
  \instruction (%rdi)
  call clear
  lea area(%rip), %rdi
  mov $-1, %eax
  mov $-1, %edx
  xrstor64 (%rdi)
  call compare
  EQUAL \name
.endm

  CHECK xsave64, "XSAVE and XRSTOR do not keep the state"
  test $1, %r15d
  jz 3f
  CHECK xsaveopt64, "XSAVEOPT and XRSTOR do not keep the state"
3:
  test $2, %r15d
  jz finish
  CHECK xsavec64, "XSAVEC and XRSTOR do not keep the state"
  jmp finish

finish_without_avx:
  or $1, %eax                           // the tests use models that have it
  EQUAL "there is no AVX state"
  jmp finish

// Moves the registers: \store is 1 if to memory at %rdi.
.macro MOVE_ALL store
  test $0x80, %ebp
  jz 8f
  .set number, 0
  .rept 32
  .altmacro
  MOVE_ONE %number, zmm, vmovdqu64, \store
  .set number, number + 1
  .endr
  .set number, 0
  .rept 8
  MOVE_MASK %number, \store
  .set number, number + 1
  .endr
  ret
8:
  .set number, 0
  .rept 16
  MOVE_ONE %number, ymm, vmovdqu, \store
  .set number, number + 1
  .endr
  .noaltmacro
  ret
.endm
.macro MOVE_ONE number, kind, instruction, store
  .if \store
  \instruction %\kind\number, \number * 64(%rdi)
  .else
  \instruction \number * 64(%rdi), %\kind\number
  .endif
.endm
.macro MOVE_MASK number, store
  .if \store
  kmovq %k\number, 32 * 64 + \number * 8(%rdi)
  .else
  kmovq 32 * 64 + \number * 8(%rdi), %k\number
  .endif
.endm

load:
  MOVE_ALL 0
store:
  MOVE_ALL 1
fill:
  lea pattern(%rip), %rdi
  jmp load
clear:
  lea zeros(%rip), %rdi
  jmp load

// The zero flag is 1 if the registers have the pattern. What they do not reach is the pattern in any case.
compare:
  lea found(%rip), %rdi
  mov %rdi, %rdx
  lea pattern(%rip), %rsi
  mov $REGISTERS / 8, %ecx
  rep movsq
  mov %rdx, %rdi
  call store
  lea found(%rip), %rdi
  lea pattern(%rip), %rsi
  mov $REGISTERS / 8, %ecx
  repe cmpsq
  ret

  .bss
  .balign 64
area: .skip 4096
pattern: .skip REGISTERS
found: .skip REGISTERS
zeros: .skip REGISTERS
