// INS and OUTS: sizes, directions, repetition, address sizes, segments, pages and faults.
#include "guest.inc"

  .set SCRATCH, 0x3FF
  .set CONFIGURATION, 0xCF8
// A page table of the guest's own maps eight pages from here on.
  .set WINDOW, 0x100000000

guest:
  call set_up
  call allow_user_mode
  // Page 0: RAM. 1: the next RAM page. 2: not present. 3: RAM, read-only. 4: RAM, supervisor.
  MAP_TABLE
  lea pages(%rip), %rbx
  lea 7(%rbx), %rdx
  mov %rdx, (%rcx)
  lea 0x1007(%rbx), %rdx
  mov %rdx, 8(%rcx)
  lea 5(%rbx), %rdx
  mov %rdx, 24(%rcx)
  lea 3(%rbx), %rdx
  mov %rdx, 32(%rcx)
  mov $WINDOW, %r15
  mov $SCRATCH, %edx

  // One element of each size.
  lea bytes(%rip), %rsi
  lea 1(%rsi), %r8
  outsb
  cmp %r8, %rsi
  EQUAL "OUTSB advances RSI by 1"
  in %dx, %al
  cmp $0x11, %al
  EQUAL "OUTSB"
  mov $SCRATCH - 1, %edx
  lea bytes(%rip), %rsi
  lea 2(%rsi), %r8
  outsw
  cmp %r8, %rsi
  EQUAL "OUTSW advances RSI by 2"
  mov $SCRATCH, %edx
  in %dx, %al
  cmp $0x22, %al
  EQUAL "OUTSW"
  mov $CONFIGURATION, %edx
  lea configuration(%rip), %rsi
  lea 4(%rsi), %r8
  outsl
  cmp %r8, %rsi
  EQUAL "OUTSD advances RSI by 4"
  in %dx, %eax
  cmp $0x8012344C, %eax
  EQUAL "OUTSD"
  lea buffer(%rip), %rdi
  lea 4(%rdi), %r8
  insl
  cmp %r8, %rdi
  EQUAL "INSD advances RDI by 4"
  cmpl $0x8012344C, buffer(%rip)
  EQUAL "INSD"
  cmpl $0, buffer+4(%rip)
  EQUAL "INSD writes 4 bytes"
  mov $SCRATCH, %edx
  lea buffer(%rip), %rdi
  lea 1(%rdi), %r8
  insb
  cmp %r8, %rdi
  EQUAL "INSB advances RDI by 1"
  cmpl $0x80123422, buffer(%rip)
  EQUAL "INSB writes 1 byte"
  mov $SCRATCH - 1, %edx
  lea buffer-1(%rip), %rdi
  insw
  cmpl $0x80123422, buffer(%rip)
  EQUAL "INSW"

  // Repetition, more than one exit's worth, forwards and backwards.
  mov $SCRATCH, %edx
  mov $0xA5, %al
  out %al, %dx
  lea buffer(%rip), %rdi
  mov $200, %ecx
  rep insb
  test %rcx, %rcx
  EQUAL "REP INSB ends with RCX = 0"
  lea buffer+200(%rip), %rax
  cmp %rax, %rdi
  EQUAL "REP INSB: RDI"
  lea buffer(%rip), %rdi
  mov $0xA5, %al
  mov $200, %ecx
  repe scasb
  EQUAL "REP INSB: memory"
  cmpb $0, (%rdi)
  EQUAL "REP INSB: no byte more"
  std
  lea bytes+3(%rip), %rsi
  mov $4, %ecx
  rep outsb
  cld
  lea bytes-1(%rip), %rax
  cmp %rax, %rsi
  EQUAL "REP OUTSB backwards: RSI"
  in %dx, %al
  cmp $0x11, %al
  EQUAL "REP OUTSB backwards"
  xor %ecx, %ecx
  mov $1, %esi
  shl $63, %rsi
  TRY
  rep outsb
  WORKS "REP OUTSB of nothing touches no memory"
  lea text(%rip), %rsi
  mov $text_end - text, %ecx
  mov $0x3F8, %edx
  rep outsb

  // An address size of 32 bits wraps and clears the upper halves.
  mov $SCRATCH, %edx
  lea bytes(%rip), %rsi
  mov $0x500000000, %rax
  or %rax, %rsi
  lea 2(%rax), %rcx
  TRY
  addr32 rep outsb
  WORKS "32-bit addresses"
  lea bytes+2(%rip), %rax
  cmp %rax, %rsi
  EQUAL "32-bit addresses: RSI"
  test %rcx, %rcx
  EQUAL "32-bit addresses: RCX"
  in %dx, %al
  cmp $0x22, %al
  EQUAL "32-bit addresses: port"

  // Segments: FS has a base; the others' are not used.
  lea bytes(%rip), %rax
  sub $0x1000, %rax
  mov %rax, %rdx
  shr $32, %rdx
  mov $0xC0000100, %ecx
  wrmsr
  mov $SCRATCH, %edx
  mov $0x1002, %esi
  fs outsb
  in %dx, %al
  cmp $0x33, %al
  EQUAL "FS override"

  // A doubleword across two pages.
  mov $CONFIGURATION, %edx
  lea 0xFFE(%r15), %rdi
  TRY
  insl
  WORKS "INSD across pages"
  cmpl $0x8012344C, pages+0xFFE(%rip)
  EQUAL "INSD across pages: memory"
  mov table(%rip), %eax
  and $0x60, %eax
  cmp $0x60, %eax
  EQUAL "accessed and dirty flags of the first page"
  mov table+8(%rip), %eax
  and $0x60, %eax
  cmp $0x60, %eax
  EQUAL "accessed and dirty flags of the second page"
  mov table+24(%rip), %eax
  test $0x60, %eax
  EQUAL "no flags of a page that was not used"
  lea 0xFFE(%r15), %rsi
  outsl
  in %dx, %eax
  cmp $0x8012344C, %eax
  EQUAL "OUTSD across pages"

  // Faults. The element before is done, the one that faults has changed nothing.
  mov $SCRATCH, %edx
  lea 0x1FFD(%r15), %rdi
  mov $10, %ecx
  TRY
  rep insb
  FAULTS VECTOR_PF, 2, "REP INSB into a page that is not present"
  cmp $7, %rcx
  EQUAL "REP INSB into a page that is not present: RCX"
  lea 0x2000(%r15), %rax
  cmp %rax, %rdi
  EQUAL "REP INSB into a page that is not present: RDI"
  mov %cr2, %rcx
  cmp %rax, %rcx
  EQUAL "REP INSB into a page that is not present: CR2"
  lea 0x2000(%r15), %rsi
  TRY
  outsb
  FAULTS VECTOR_PF, 0, "OUTSB from a page that is not present"
  lea 0x1FFE(%r15), %rsi
  mov $CONFIGURATION, %edx
  TRY
  outsl
  FAULTS VECTOR_PF, 0, "OUTSD that begins in a page and goes on in none"
  lea 0x2000(%r15), %rax
  mov %cr2, %rcx
  cmp %rax, %rcx
  EQUAL "OUTSD that begins in a page and goes on in none: CR2"
  mov $SCRATCH, %edx
  mov %cr0, %rax
  or $0x10000, %rax
  mov %rax, %cr0
  lea 0x3000(%r15), %rdi
  TRY
  insb
  FAULTS VECTOR_PF, 3, "INSB into a read-only page, WP = 1"
  mov %cr0, %rax
  and $~0x10000, %rax
  mov %rax, %cr0
  lea 0x3000(%r15), %rdi
  TRY
  insb
  WORKS "INSB into a read-only page, WP = 0"
  mov $0x800000000000, %rdi
  TRY
  insb
  FAULTS VECTOR_GP, 0, "INSB to an address that is not canonical"
  mov $0x7FFFFFFFFFFE, %rdi
  mov $CONFIGURATION, %edx
  TRY
  insl
  FAULTS VECTOR_GP, 0, "INSD to an address that is canonical only at first"
  mov $SCRATCH, %edx
  mov $0x800000000000, %rsi
  TRY
  outsb
  FAULTS VECTOR_GP, 0, "OUTSB from an address that is not canonical"
  TRY
  ss outsb
  FAULTS VECTOR_GP, 0, "OUTSB with an SS override, which is ignored in 64-bit mode"

  // User mode.
  TRY
  lea 1f(%rip), %rdi
  jmp go_to_user_mode
1:
  lea 0x4000(%r15), %rdi
  insb
  FAULTS VECTOR_PF, 7, "INSB into a supervisor page from user mode"
  TRY
  lea 1f(%rip), %rdi
  jmp go_to_user_mode
1:
  lea bytes(%rip), %rsi
  outsb
  ud2
  FAULTS VECTOR_UD, 0, "OUTSB from user mode"
  mov %cr0, %rax
  or $0x40000, %rax
  mov %rax, %cr0
  TRY
  lea 1f(%rip), %rdi
  jmp go_to_user_mode
1:
  pushf
  orl $0x40000, (%rsp)
  popf
  lea bytes+1(%rip), %rsi
  mov $CONFIGURATION, %edx
  outsl
  FAULTS VECTOR_AC, 0, "OUTSD that is not aligned, in user mode with alignment checks"
  jmp finish

  .data
  .balign 16
bytes: .byte 0x11, 0x22, 0x33, 0x44
  .balign 4
configuration: .long 0x8012344C
text: .ascii "written by REP OUTSB\n"
text_end:
  .bss
  .balign 4096
directory: .skip 4096
table: .skip 4096
pages: .skip 8192
buffer: .skip 512
  .text
