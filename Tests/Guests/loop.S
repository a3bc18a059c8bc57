// Never ends, with RFLAGS.IF = 0 and without a VM exit.
#include "guest.inc"
guest:
  call set_up
  lea text(%rip), %rsi
  call print
  // Bochs 2.7 looks again at which interrupts it lets through only when IF changes. A guest that has never changed it
  // keeps the host's interrupts out, and its text in Skep's queue.
  sti
  cli
1:
  jmp 1b
  .data
text: .asciz "looping\n"
