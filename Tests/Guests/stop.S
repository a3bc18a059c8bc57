// Stops where a debugger can look at the machine: the tests have Bochs stop at this instruction.
#include "guest.inc"
guest:
  call set_up
  xchg %bx, %bx
  jmp finish
