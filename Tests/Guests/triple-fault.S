// Has no handler for any exception.
#include "bzimage.inc"
  .text
guest:
  lidt nothing(%rip)
  ud2
  .data
nothing: .short 0
  .quad 0
  .bss
  .skip 4096
stack_top:
