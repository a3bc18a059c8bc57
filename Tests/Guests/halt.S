// Halts with RFLAGS.IF = 0.
#include "bzimage.inc"
  .text
guest:
  cli
  hlt
  jmp guest
  .bss
  .skip 4096
stack_top:
