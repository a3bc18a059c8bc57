// The 8254's interrupt comes, and soon, whatever the host does when its own timer fires: it looks at the local APIC's
// timer, at many distances between the two, or changes the mode of the local APIC. Then the guest waits without a VM exit
// of its own, so that nothing else makes the host look.
#include "guest.inc"
  .set LINE_0, 24               // of the 8259A, and the local APIC's timer: vectors of the guests' own IDT
  .set TIMER, 31

guest:
  call set_up
  HANDLE LINE_0, of_8254
  HANDLE TIMER, of_timer
  START_8259 LINE_0, 0xFE         // line 0 alone
  mov $0x1B, %ecx               // x2APIC mode
  rdmsr
  or $0xC00, %eax
  wrmsr
  xor %edx, %edx
  mov $0x80F, %ecx
  mov $0x1FF, %eax
  wrmsr
  mov $0x832, %ecx              // TSC-deadline mode
  mov $0x40000 | TIMER, %eax
  wrmsr
  mov $8000, %r12d              // until the timer expires; the 8254 counts 200 µs, 10,000 instructions of Bochs'
1:
  call start
  call read_counter
  mov %rax, %r13
  add %r12, %rax
  mov %rax, %rdx
  shr $32, %rdx
  mov $0x6E0, %ecx
  wrmsr
  call await
  add $17, %r12d
  cmp $11500, %r12d
  jb 1b
  mov $64, %r12d
1:
  call start
  call read_counter
  mov %rax, %r13
  mov $32, %ebx
  mov $0x1B, %ecx
2:
  rdmsr
  and $0xFFFFF3FF, %eax         // off, which is how it is left: then the 8259A's interrupts come without it
  wrmsr
  or $0x800, %eax               // xAPIC mode
  wrmsr
  and $0xFFFFF3FF, %eax
  wrmsr
  dec %ebx
  jnz 2b
  call await
  dec %r12d
  jnz 1b
  jmp finish

start:
  movl $0, expired(%rip)
  mov $0x30, %al                // channel 0, mode 0
  out %al, $0x43
  mov $239, %al
  out %al, $0x40
  mov $0, %al
  out %al, $0x40
  ret

// Waits from the counter's value %r13 on.
await:
  add $1000000, %r13            // 20 ms, which nothing ends but an interrupt
  sti
2:
  cmpl $0, expired(%rip)
  jne 3f
  call read_counter
  cmp %r13, %rax
  jb 2b
3:
  cli
  cmpl $1, expired(%rip)
  lea late(%rip), %r11
  jmp expect_equal

read_counter:
  rdtsc
  shl $32, %rdx
  or %rdx, %rax
  ret

of_8254:
  push %rax
  incl expired(%rip)
  mov $0x20, %al
  out %al, $0x20
  pop %rax
  iretq

of_timer:
  push %rax
  push %rcx
  push %rdx
  mov $0x80B, %ecx              // EOI
  xor %eax, %eax
  xor %edx, %edx
  wrmsr
  pop %rdx
  pop %rcx
  pop %rax
  iretq

  .data
late: .asciz "the 8254's interrupt did not come in 20 ms"
  .bss
  .balign 4
expired: .skip 4
  .text
