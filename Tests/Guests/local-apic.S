// A thousand times each what the processor's help with the local APIC and its timer is there for, so that the table of what
// the run cost shows which of it was used.
#include "guest.inc"
  .set COUNT, 1000
  .set TIMER, 31
  .set MMIO, 0xFEE00000

// Repeats what follows it, up to AGAIN.
.macro REPEAT
  mov $COUNT, %ebp
661:
.endm
.macro AGAIN
  dec %ebp
  jnz 661b
.endm

guest:
  call set_up
  HANDLE TIMER, of_timer
  mov $MMIO, %ebx
  movl $0x1FF, 0xF0(%rbx)

  xor %eax, %eax
  REPEAT                        // use TPR shadow
  mov %rax, %cr8
  AGAIN
  REPEAT                        // virtualize APIC accesses: the task priority
  mov 0x80(%rbx), %eax
  AGAIN
  REPEAT                        // APIC-register virtualization: the version
  mov 0x30(%rbx), %eax
  AGAIN

  mov $0x1B, %ecx               // x2APIC mode
  rdmsr
  or $0xC00, %eax
  wrmsr
  mov $0x808, %ecx
  REPEAT                        // virtualize x2APIC mode: the task priority
  rdmsr
  AGAIN
  xor %eax, %eax
  xor %edx, %edx
  mov $0x80B, %ecx
  REPEAT                        // virtual-interrupt delivery: EOI
  wrmsr
  AGAIN

  mov $0x832, %ecx              // TSC-deadline mode
  mov $0x40000 | TIMER, %eax
  wrmsr
  sti
  REPEAT                        // VMX-preemption timer
  movl $0, expired(%rip)
  rdtsc
  add $4000, %eax
  adc $0, %edx
  mov $0x6E0, %ecx
  wrmsr
1:
  cmpl $0, expired(%rip)
  je 1b
  AGAIN
  cli
  jmp finish

of_timer:
  push %rax
  push %rcx
  push %rdx
  incl expired(%rip)
  mov $0x80B, %ecx              // EOI
  xor %eax, %eax
  xor %edx, %edx
  wrmsr
  pop %rdx
  pop %rcx
  pop %rax
  iretq

  .bss
  .balign 4
expired: .skip 4
  .text
