// Never ends, with RFLAGS.IF = 0 and without a VM exit.
#include "guest.inc"
guest:
  call set_up
  lea text(%rip), %rsi
  call print
1:
  jmp 1b
  .data
text: .asciz "looping\n"
