// Takes the place of a kernel's first instructions at its 32-bit entry point, where GRUB starts it: sends the time-stamp
// counter to COM1 as "entry", 16 hexadecimal digits and "end", and stands still. It uses no memory, so it runs at any
// address.
  .macro send character
  mov $0x3FD, %edx
1:in %dx, %al
  test $0x20, %al
  jz 1b
  mov \character, %al
  mov $0x3F8, %edx
  out %al, %dx
  .endm

  .code32
  .globl _start
_start:
  cli
  rdtsc
  mov %eax, %edi
  mov %edx, %esi
  mov $0x03, %al                // 8 data bits
  mov $0x3FB, %edx
  out %al, %dx
  .irp character, 'e', 'n', 't', 'r', 'y', ' '
  send $\character
  .endr
  mov $16, %ecx
2:mov %esi, %ebx
  shr $28, %ebx
  add $'0', %bl
  cmp $'9', %bl
  jbe 3f
  add $'a' - '9' - 1, %bl
3:send %bl
  shld $4, %edi, %esi
  shl $4, %edi
  dec %ecx
  jnz 2b
  .irp character, ' ', 'e', 'n', 'd', 10
  send $\character
  .endr
4:hlt
  jmp 4b
