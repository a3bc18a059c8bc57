// Restarts the machine by the keyboard controller.
#include "bzimage.inc"
  .text
guest:
  mov $0xFE, %al
  out %al, $0x64
  hlt
  .bss
  .skip 4096
stack_top:
