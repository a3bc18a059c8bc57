// Moves a string from a port to where there is no memory.
#include "bzimage.inc"
  .text
guest:
  mov $0x80000123, %edi
  mov $0x3FF, %edx
  insb
  .bss
  .skip 4096
stack_top:
