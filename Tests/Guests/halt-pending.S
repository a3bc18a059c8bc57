// Halts with RFLAGS.IF = 0 while the timer requests an interrupt, which wakes no processor then.
#include "bzimage.inc"
  .text
guest:
  mov $0x11, %al                // ICW1 to ICW4, and no line masked
  out %al, $0x20
  mov $0x20, %al
  out %al, $0x21
  mov $4, %al
  out %al, $0x21
  mov $1, %al
  out %al, $0x21
  mov $0, %al
  out %al, $0x21
  mov $0x34, %al                // channel 0, mode 2
  out %al, $0x43
  mov $0, %al
  out %al, $0x40
  mov $16, %al
  out %al, $0x40
1:
  mov $0x0A, %al                // until the request is there
  out %al, $0x20
  in $0x20, %al
  test $1, %al
  jz 1b
  cli
  hlt
  mov $0x604, %edx              // turns the machine off if it wakes
  mov $0x2000, %eax
  out %ax, %dx
  .bss
  .skip 4096
stack_top:
