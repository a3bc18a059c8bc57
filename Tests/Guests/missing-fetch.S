// Jumps to where there is no memory.
#include "bzimage.inc"
  .text
guest:
  mov $0x80000123, %eax
  jmp *%rax
  .bss
  .skip 4096
stack_top:
