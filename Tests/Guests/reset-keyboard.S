// Restarts the machine by the keyboard controller, once it takes commands.
#include "bzimage.inc"
  .text
guest:
1:
  in $0x64, %al
  test $2, %al
  jnz 1b
  mov $0xFE, %al
  out %al, $0x64
  hlt
  .bss
  .skip 4096
stack_top:
