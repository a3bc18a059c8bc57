// A Multiboot 2 kernel in an ELF64 file: says what it was given, and turns the machine off by the port 0x8900.
#include "print.inc"
  .section .header, "a"
  .balign 8
header:
  .long 0xE85250D6, 0, header_end - header, -0xE85250D6 - (header_end - header)
  // What has to be there: command line, modules, memory map, RSDP.
  .short 1, 0
  .long 24, 1, 3, 6, 15
  .short 6, 0
  .long 8
  // EFI's boot services would be welcome.
  .short 7, 1
  .long 8
  .short 0, 0
  .long 8
header_end:
  .text
  .global entry
entry:
  mov $stack_top, %esp
  mov %eax, %ebp
  call set_up_serial
  TELL "magic", %ebp
  mov %cr0, %ecx
  TELL "cr0", %ecx
  lea 8(%ebx), %ebp
next_tag:
  mov (%ebp), %ecx
  TELL "tag", %ecx
  cmp $1, %ecx
  je command_line
  cmp $3, %ecx
  je module
  cmp $15, %ecx
  je rsdp
  test %ecx, %ecx
  jnz skip
  call drain
  mov $0x8900, %edx
  mov $shutdown, %esi
  mov $8, %ecx
  rep outsb
1:
  cli
  hlt
  jmp 1b
command_line:
  SAY "command line="
  lea 8(%ebp), %esi
  call print
  SAY "\n"
  jmp skip
module:
  SAY "module "
  lea 16(%ebp), %esi
  call print
  SAY ": "
  mov 8(%ebp), %edi
2:
  mov (%edi), %al
  mov %al, digit
  mov $digit, %esi
  call print
  inc %edi
  cmp 12(%ebp), %edi
  jb 2b
  jmp skip
rsdp:
  // The tag has a copy of what is in memory.
  lea 8(%ebp), %esi
  mov $0xF0000, %edi
  mov $36, %ecx
  repe cmpsb
  mov $0, %ecx
  sete %cl
  TELL "rsdp", %ecx
skip:
  mov 4(%ebp), %eax
  add $7, %eax
  and $-8, %eax
  add %eax, %ebp
  jmp next_tag

  .data
shutdown: .ascii "Shutdown"
