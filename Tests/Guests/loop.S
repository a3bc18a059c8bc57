// Never ends, with RFLAGS.IF = 0 and without a VM exit.
#include "guest.inc"
guest:
  call set_up
  lea text(%rip), %rsi
  call print
  mov $0x3FD, %edx
1:
  in %dx, %al                   // until the text is out
  test $0x40, %al
  jz 1b
2:
  jmp 2b
  .data
text: .asciz "looping\n"
