// Restarts the machine by system control port A.
#include "bzimage.inc"
  .text
guest:
  mov $1, %al
  out %al, $0x92
  hlt
  .bss
  .skip 4096
stack_top:
