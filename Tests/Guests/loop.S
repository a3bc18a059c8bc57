// Never ends, with RFLAGS.IF = 0 and without a VM exit.
#include "guest.inc"
guest:
  call set_up
  lea text(%rip), %rsi
  call print
  // More than the host's UART takes at once: the rest needs interrupts of the host's, which RFLAGS.IF does not keep out.
1:
  jmp 1b
  .data
text: .asciz "this guest will be looping\nlooping\n"
