// Halts with RFLAGS.IF = 1 where nothing ever interrupts it.
#include "guest.inc"
guest:
  call set_up
  mov $0xFF, %al
  out %al, $0x21
  out %al, $0xA1
1:
  sti
  hlt
  jmp 1b
