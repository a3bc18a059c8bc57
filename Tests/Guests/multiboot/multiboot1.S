// A Multiboot 1 kernel: says what it was given, and leaves by QEMU's isa-debug-exit.
#include "print.inc"
  .section .header, "a"
  .balign 4
  .long 0x1BADB002, 3, -0x1BADB002 - 3
  .text
  .global entry
entry:
  mov $stack_top, %esp
  mov %eax, %ebp
  pushf
  pop %ecx
  call set_up_serial
  TELL "magic", %ebp
  TELL "eflags", %ecx
  mov %cr0, %ecx
  TELL "cr0", %ecx
  mov %cs, %ecx
  TELL "cs", %ecx
  // The segments can be loaded from the GDT.
  mov %ds, %eax
  mov %eax, %es
  mov %eax, %ss
  ljmp $0x08, $1f
1:
  // The kernel's memory is zero, but for the stack at its end.
  mov $big, %edi
  mov $(12 << 18) - 64, %ecx
  xor %eax, %eax
  cld
  repe scasl
  mov $0, %ecx
  sete %cl
  TELL "zero", %ecx
  TELL "flags", (%ebx)
  TELL "upper", 8(%ebx)
  SAY "command line="
  mov 16(%ebx), %esi
  call print
  SAY "\nloader="
  mov 64(%ebx), %esi
  call print
  SAY "\n"
  TELL "modules", 20(%ebx)
  mov 20(%ebx), %ecx
  mov 24(%ebx), %ebp
2:
  jecxz 4f
  SAY "module "
  mov 8(%ebp), %esi
  call print
  SAY ": "
  // The module's text ends with its file: with a line feed.
  mov (%ebp), %edi
3:
  mov (%edi), %al
  mov %al, digit
  mov $digit, %esi
  call print
  inc %edi
  cmp 4(%ebp), %edi
  jb 3b
  add $16, %ebp
  dec %ecx
  jmp 2b
4:
  // fw_cfg: the signature, the number of processors, the size of memory
  mov $0x510, %edx
  xor %eax, %eax
  out %ax, %dx
  call read_item
  TELL "fw_cfg", %ecx
  mov $5, %eax
  out %ax, %dx
  call read_item
  TELL "processors", %ecx
  mov $3, %eax
  out %ax, %dx
  call read_item
  TELL "memory", %ecx
  call drain
  mov $0x10, %eax
  mov $0xF4, %edx
  out %eax, %dx
5:
  cli
  hlt
  jmp 5b

// Reads 4 bytes of the selected item into %ecx.
read_item:
  mov $0x511, %edx
  mov $4, %ebp
1:
  in %dx, %al
  shrd $8, %eax, %ecx
  dec %ebp
  jnz 1b
  mov $0x510, %edx
  ret
