// Where there is neither memory nor a device, all bits are 1 and writes are ignored.
#include "guest.inc"

guest:
  call set_up
  mov $0x80000123, %r12d
  TRY
  xor %eax, %eax
  mov (%r12), %al
  WORKS "a read"
  cmp $0xFF, %eax
  EQUAL "a read gives all ones"
  TRY
  movb $0, (%r12)
  lock addl $1, 1(%r12)
  WORKS "writes"
  mov (%r12), %rax
  cmp $-1, %rax
  EQUAL "writes change nothing"
  jmp finish
