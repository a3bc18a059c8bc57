// The hostile guest: entry, the handlers of 64-bit mode, and the way back from whatever happened to the next round.
#include "bzimage.inc"
#include "guest.h"

  .text
  .code64
  .global guest, recover, enter, stubs, skip, ap_stubs, ap_start, stack_top, ap_stack_top
guest:
  mov %rsi, %rdi
  call start

// Every vector: the noise is over. A stub has 16 bytes.
  .balign 16
stubs:
vector = 0
.rept 256
  .balign 16
  movb $vector, hp + 3 * 4096 + 8(%rip)
  .if vector == 1
    jmp step
  .elseif vector == 2
    jmp watchdog
  .else
    jmp recover
  .endif
  vector = vector + 1
.endr

  .balign 16
step:
  decl hp + 3 * 4096(%rip)
  js recover
  iretq

// RDMSR and WRMSR have two bytes.
skip:
  addq $2, 8(%rsp)
  add $8, %rsp
  iretq

// The timer's NMI: the second since noise began ends it; those between rounds, which noise may have made frequent, do not count.
watchdog:
  incl hp + 3 * 4096 + 4(%rip)
  cmpl $2, hp + 3 * 4096 + 4(%rip)
  jge recover
  // So many between rounds leave no time to come to the next: whatever the HPET and the PIT send ends.
  cmpl $-999000, hp + 3 * 4096 + 4(%rip)
  jne 1f
  push %rax
  mov $0xFED00010, %eax
  movl $0, (%rax)
  mov $0x30, %al
  out %al, $0x43
  pop %rax
1:
  iretq

recover:
  cli
  cld
  mov $golden, %eax
  mov %rax, %cr3
  mov $GOLDEN_CR4, %eax
  mov %rax, %cr4
  mov $GOLDEN_CR0, %eax
  mov %rax, %cr0
  mov $0xC0000080, %ecx
  mov $GOLDEN_EFER, %eax
  xor %edx, %edx
  wrmsr
  movl $-1000000, hp + 3 * 4096 + 4
#ifdef TRACE
  mov hp + 3 * 4096, %eax
  mov %eax, steps_left
#endif
  // Noise's breakpoints may be on what comes now, and DR7 may be guarded.
  movl $1000, hp + 3 * 4096
  mov $stack_top, %esp
  lgdt gdt_pointer
  lidt idt_pointer
  // Without a stack from the TSS the next NMI is a triple fault.
  andb $0xFD, gdt + TASK_64 + 5
  mov $TASK_64, %eax
  ltr %ax
  xor %eax, %eax
  mov %rax, %dr7
  mov $DATA, %eax
  mov %eax, %ss
  mov %eax, %ds
  mov %eax, %es
  mov %eax, %fs
  mov %eax, %gs
  push $2
  popfq
  // IRET unblocks NMIs.
  push $DATA
  push $stack_top
  push $2
  push $CODE_64
  push $1f
  iretq
1:
  call next_round

enter:
  mov $stack_top, %esp
  movl $0, hp + 3 * 4096 + 4
  mov noise_cr4, %rax
  mov %rax, %cr4
  mov $state, %ebx
  push 152(%rbx)
  push 144(%rbx)
  push 136(%rbx)
  push 128(%rbx)
  push 120(%rbx)
  mov 152(%rbx), %eax
  mov %eax, %ds
  mov %eax, %es
  mov %eax, %fs
  mov %eax, %gs
  mov 16(%rbx), %rcx
  mov 24(%rbx), %rdx
  mov 32(%rbx), %rsi
  mov 40(%rbx), %rdi
  mov 48(%rbx), %rbp
  mov 56(%rbx), %r8
  mov 64(%rbx), %r9
  mov 72(%rbx), %r10
  mov 80(%rbx), %r11
  mov 88(%rbx), %r12
  mov 96(%rbx), %r13
  mov 104(%rbx), %r14
  mov 112(%rbx), %r15
  mov 8(%rbx), %rbx
  mov $victim, %eax
  mov %rax, %cr3
  mov state, %rax
  iretq

// The well-behaved processor: its vectors, which only count the timer's interrupts, where noise cannot write.
  .balign 16
ap_stubs:
vector = 0
.rept 256
  .balign 16
  push %rax
  .if vector == 0x40
    jmp ap_tick
  .elseif vector < 32 && vector != 2
    mov $vector, %edi
    mov %esp, %esi
    jmp ap_fault
  .elseif vector != 2
    jmp ap_end
  .else
    pop %rax
    iretq
  .endif
  vector = vector + 1
.endr
ap_tick:
  mov %dr1, %rax
  inc %eax
  mov %rax, %dr1
  mov %eax, ap_ticks
ap_end:
  mov $0xFEE000B0, %eax
  movl $0, (%rax)
  pop %rax
  iretq

ap_start:
  mov $calm, %eax
  mov %rax, %cr3
  mov $DATA, %eax
  mov %eax, %ss
  mov %eax, %ds
  mov %eax, %es
  mov $ap_stack_top, %esp
  call ap_main

  .bss
  .balign 4096
  .skip 0x4000
stack_top:
  .skip 0x4000
ap_stack_top:
