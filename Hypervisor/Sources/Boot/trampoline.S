// Where a processor begins after a SIPI: real mode, at the start of a page below 1 MiB to which this code was copied.
// Facts: SDM, "MP Initialization Protocol Algorithm for MP Systems", "Switching to Protected Mode".

  .section .rodata
  .code16
  .global trampoline, trampoline_end
trampoline:
  cli
  cld
  lgdtl %cs:(gdt_pointer - trampoline)
  mov %cr0, %eax
  or $1, %al
  mov %eax, %cr0
  ljmpl $protected_selector, $processor_entry
  .balign 4
gdt_pointer:
  .short 0xFFF
  .long gdt
trampoline_end:
