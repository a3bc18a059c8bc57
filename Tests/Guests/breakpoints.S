// Data and I/O breakpoints, and single steps, on instructions that Skep emulates: they trap as those do that the processor
// executes, which the same checks on memory show.
#include "guest.inc"

  .set HPET, 0xFED00000
  .set SCRATCH, 0x3FF
  .set VECTOR_DB, 1
// Enabling bits, R/W and LEN of the first breakpoint in DR7.
  .set EXECUTE_1, 0x00401
  .set WRITE_1, 0x10401
  .set WRITE_4, 0xD0401
  .set PORT_1, 0x20401
  .set ACCESS_1, 0x30401
  .set ACCESS_4, 0xF0401

// Enables a breakpoint at \address, of which LEA takes the form.
.macro BREAK address, kind
  lea \address, %rax
  mov %rax, %dr0
  mov $0xFFFF0FF0, %eax
  mov %rax, %dr6
  mov $\kind, %eax
  mov %rax, %dr7
.endm

// What follows the last TRY has trapped, with the conditions \conditions in DR6, before the instruction at 771.
.macro TRAPS conditions, name:vararg
  FAULTS VECTOR_DB, 0, "\name"
  lea 771b(%rip), %rax
  cmp %rax, fault_rip(%rip)
  EQUAL "\name: RIP"
  CONDITIONS \conditions, "\name: DR6"
.endm

.macro CONDITIONS conditions, name:vararg
  mov %dr6, %rax
  and $0xE00F, %eax
  cmp $\conditions, %eax
  EQUAL \name
  mov $0x400, %eax
  mov %rax, %dr7
.endm

guest:
  call set_up
  mov %cr0, %rax
  and $~12, %rax
  mov %rax, %cr0
  mov %cr4, %rax
  or $0x208, %rax
  mov %rax, %cr4
  lea memory(%rip), %rbx
  call check
  mov $HPET, %ebx
  lea of_device(%rip), %rsi
  call print
  call check
  call check_ports
  jmp finish

// Operands at RBX.
check:
  BREAK (%rbx), ACCESS_4
  TRY
  mov (%rbx), %ecx
  TRAPS 1, a load
  BREAK (%rbx), WRITE_4
  TRY
  mov (%rbx), %ecx
  WORKS "a load where stores trap"
  TRY
  mov %ecx, (%rbx)
  TRAPS 1, a store
  BREAK (%rbx), WRITE_4
  TRY
  addl $0, (%rbx)
  TRAPS 1, ADD
  BREAK 4(%rbx), ACCESS_1
  TRY
  mov (%rbx), %ecx
  WORKS "a load before"
  TRY
  mov 5(%rbx), %cl
  WORKS "a load behind"
  TRY
  mov (%rbx), %rcx
  TRAPS 1, a load of more bytes
  BREAK 12(%rbx), ACCESS_1
  TRY
  movups (%rbx), %xmm0
  TRAPS 1, MOVUPS
  BREAK (%rbx), ACCESS_4
  TRY
  push (%rbx)
  TRAPS 1, PUSH
  // Where the calls that follow push nothing.
  BREAK -0x48(%rsp), WRITE_1
  TRY
  lea -0x40(%rsp), %rsp
  push (%rbx)
  TRAPS 1, PUSH: the stack

  // With a single step; POPF's own step comes after the next instruction.
  BREAK (%rbx), ACCESS_4
  TRY
  pushf
  orl $0x100, (%rsp)
  popf
  mov (%rbx), %ecx
  TRAPS 0x4001, a single step with a breakpoint
  BREAK (%rbx), ACCESS_4
  TRY
  pushf
  orl $0x100, (%rsp)
  popf
  mov 8(%rbx), %ecx
  TRAPS 0x4000, a single step

  // The next instruction's own breakpoint.
  BREAK 1f(%rip), EXECUTE_1
  TRY
  mov (%rbx), %ecx
1:
  nop
  FAULTS VECTOR_DB, 0, "an instruction breakpoint on what follows"
  lea 1b(%rip), %rax
  cmp %rax, fault_rip(%rip)
  EQUAL "an instruction breakpoint on what follows: RIP"
  CONDITIONS 1, "an instruction breakpoint on what follows: DR6"

  // Repetition stops at the breakpoint, after the element.
  BREAK 8(%rbx), ACCESS_4
  mov %rbx, %rsi
  lea buffer(%rip), %rdi
  mov $8, %ecx
  TRY
1:
  rep movsl
  FAULTS VECTOR_DB, 0, "REP MOVSD"
  lea 1b(%rip), %rax
  cmp %rax, fault_rip(%rip)
  EQUAL "REP MOVSD: RIP"
  cmp $5, %rcx
  EQUAL "REP MOVSD: RCX"
  CONDITIONS 1, "REP MOVSD: DR6"
  mov %rbx, %rsi
  lea buffer(%rip), %rdi
  mov $8, %ecx
  TRY
  pushf
  orl $0x100, (%rsp)
  popf
  rep movsl
  FAULTS VECTOR_DB, 0, "a single step of REP MOVSD"
  cmp $7, %rcx
  EQUAL "a single step of REP MOVSD: RCX"
  CONDITIONS 0x4000, "a single step of REP MOVSD: DR6"
  ret

// INS and OUTS with their operands in memory, and ports.
check_ports:
  mov $SCRATCH, %edx
  BREAK memory+3(%rip), ACCESS_1
  lea memory(%rip), %rsi
  mov $8, %ecx
  TRY
  rep outsb
  FAULTS VECTOR_DB, 0, "REP OUTSB"
  cmp $4, %rcx
  EQUAL "REP OUTSB: RCX"
  CONDITIONS 1, "REP OUTSB: DR6"
  BREAK memory+3(%rip), WRITE_1
  lea memory(%rip), %rdi
  mov $8, %ecx
  TRY
  rep insb
  FAULTS VECTOR_DB, 0, "REP INSB"
  cmp $4, %rcx
  EQUAL "REP INSB: RCX"
  CONDITIONS 1, "REP INSB: DR6"
  BREAK memory+3(%rip), WRITE_1
  lea memory+3(%rip), %rsi
  TRY
  outsb
  WORKS "OUTSB where stores trap"
  BREAK SCRATCH, PORT_1
  TRY
  in %dx, %al
  TRAPS 1, IN
  BREAK SCRATCH, PORT_1
  lea memory(%rip), %rsi
  mov $8, %ecx
  TRY
  rep outsb
  FAULTS VECTOR_DB, 0, "REP OUTSB to a port"
  cmp $7, %rcx
  EQUAL "REP OUTSB to a port: RCX"
  CONDITIONS 1, "REP OUTSB to a port: DR6"
  ret

  .data
of_device: .asciz "of a device:\n"
  .bss
  .balign 16
memory: .skip 64
buffer: .skip 64
  .text
