// Input arrives while the host is busy with output, and nothing but COM1 ever interrupts the guest or the host.
#include "guest.inc"
  .set LINE_4, 28               // of the 8259A: a vector of the guests' own IDT
  .set LINES, 500
  .set INPUT, 3000

guest:
  call set_up
  HANDLE LINE_4, received
  START_8259 (LINE_4 - 4), 0xEF   // line 4 alone
  mov $0x3FC, %edx
  mov $0x0B, %al
  out %al, %dx
  mov $0x3F9, %edx
  mov $1, %al
  out %al, %dx
  mov $LINES, %ebx              // the host takes them for later
1:
  lea line(%rip), %rsi
  call print
  dec %ebx
  jnz 1b
2:
  sti
  hlt
  cli
  mov count(%rip), %ebx         // shown in the report of a guest that is stopped
  cmp $INPUT, %ebx
  jb 2b
  jmp finish

received:
  push %rax
  push %rdx
1:
  mov $0x3FD, %edx
  in %dx, %al
  test $1, %al
  jz 2f
  mov $0x3F8, %edx
  in %dx, %al
  incl count(%rip)
  jmp 1b
2:
  mov $0x20, %al
  out %al, $0x20
  pop %rdx
  pop %rax
  iretq

  .data
line: .asciz "a line that the host's serial port is busy with for a while\n"
  .bss
  .balign 4
count: .skip 4
  .text
