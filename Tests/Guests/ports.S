// Reads every port in every size, and writes 0 to it: nothing stops the guest, and the serial port works afterwards.
// The port 0xf4 is left out, which is there to stop the guest.
#include "guest.inc"
guest:
  call set_up
  xor %ebx, %ebx
1:
  mov %ebx, %edx
  in %dx, %al
  in %dx, %ax
  in %dx, %eax
  inc %ebx
  cmp $0x10000, %ebx
  jne 1b
  xor %ebx, %ebx
2:
  mov %ebx, %edx
  lea -0xF1(%edx), %eax
  cmp $3, %eax
  jbe 3f
  xor %eax, %eax
  out %al, %dx
  out %ax, %dx
  out %eax, %dx
3:
  inc %ebx
  cmp $0x10000, %ebx
  jne 2b
  call set_up_serial
  mov $0x3FC, %edx
  mov $3, %al
  out %al, %dx
  jmp finish
