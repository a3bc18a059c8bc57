// From the multiboot2 loader, and on the other processors from the trampoline, to 64-bit Swift: long mode with an identity
// map of the first 4 GiB, a GDT, a TSS, a stack.
// Facts: Multiboot2 Specification, "I386 machine state"; SDM, "Switching to Protected Mode", "Initializing IA-32e Mode".

#include "include/Processors.h"

#define CR0_PG (1 << 31)
#define CR0_WP (1 << 16)
#define CR0_NE (1 << 5)
#define CR0_MP (1 << 1)
#define CR4_PAE (1 << 5)
#define IA32_EFER 0xC0000080
#define EFER_LME (1 << 8)
#define EFER_NXE (1 << 11)
#define CODE_SELECTOR 0x08
#define DATA_SELECTOR 0x10

  .section .multiboot, "a"
  .balign 8
header:
  .long 0xE85250D6, 0, header_end - header, -(0xE85250D6 + 0 + (header_end - header))
  .short 6, 0          // modules start on page boundaries
  .long 8
  .short 0, 0          // end of tags
  .long 8
header_end:

  .text
  .code32
  .global boot_entry
boot_entry:
  cli
  cld
  mov $processor_stacks + PROCESSOR_STACK_TOP, %esp
  mov %eax, boot_magic
  mov %ebx, boot_information

  mov $0x80000000, %eax
  cpuid
  cmp $0x80000001, %eax
  jb no_long_mode
  mov $0x80000001, %eax
  cpuid
  bt $29, %edx
  jnc no_long_mode
  bt $20, %edx
  jnc no_long_mode

  // One page of level 4, one of level 3, four of level 2: 2,048 pages of 2 MiB, present and writable, for the way into
  // 64-bit mode. Swift replaces them by tables that forbid what need not be allowed.
  mov $boot_level3 + 3, %eax
  mov %eax, boot_level4
  mov $boot_level2 + 3, %eax
  mov $boot_level3, %edi
  mov $4, %ecx
1:mov %eax, (%edi)
  add $0x1000, %eax
  add $8, %edi
  loop 1b
  mov $boot_level2, %edi
  mov $0x83, %eax
  mov $2048, %ecx
2:mov %eax, (%edi)
  movl $0, 4(%edi)
  add $0x200000, %eax
  add $8, %edi
  loop 2b

  xor %ebp, %ebp

// EBP is the processor's index.
enter_long_mode:
  mov $boot_level4, %eax
  mov %eax, %cr3
  mov %cr4, %eax
  or $CR4_PAE, %eax
  mov %eax, %cr4
  mov $IA32_EFER, %ecx
  rdmsr
  or $EFER_LME + EFER_NXE, %eax
  wrmsr
  mov %cr0, %eax
  and $~(1 << 2 | 1 << 3), %eax
  or $CR0_PG + CR0_WP + CR0_NE + CR0_MP, %eax
  mov %eax, %cr0
  lgdt gdt_pointer
  ljmp $CODE_SELECTOR, $long_mode

// Where the trampoline arrives, in protected mode with this GDT.
  .global processor_entry
processor_entry:
  mov $DATA_SELECTOR, %eax
  mov %eax, %ds
  mov %eax, %es
  mov %eax, %ss
  mov starting_processor, %ebp
  jmp enter_long_mode

// COM2 says why, in the launcher's protocol; then the machine stands still.
no_long_mode:
  mov $no_long_mode_text, %esi
3:mov $0x2FD, %dx
4:in %dx, %al
  test $0x20, %al
  jz 4b
  lodsb
  test %al, %al
  jz 5f
  mov $0x2F8, %dx
  out %al, %dx
  jmp 3b
5:mov $0x8900, %dx
  mov $shutdown_text, %esi
  mov $8, %ecx
  rep outsb
6:hlt
  jmp 6b

  .code64
long_mode:
  mov $DATA_SELECTOR, %eax
  mov %eax, %ds
  mov %eax, %es
  mov %eax, %ss
  xor %eax, %eax
  mov %eax, %fs
  mov %eax, %gs
  mov %ebp, %edi
  imul $PROCESSOR_STACK_STRIDE, %rdi, %rsp
  lea processor_stacks + PROCESSOR_STACK_TOP(%rsp), %rsp
  // The TSS's address goes into its descriptor, whose parts are spread as they were on the 80286.
  imul $TASK_STATE_STRIDE, %rdi, %rax
  lea task_state(%rax), %rax
  mov %edi, %ecx
  shl $4, %ecx
  lea gdt_tasks(%rcx), %rdx
  mov %ax, 2(%rdx)
  shr $16, %rax
  mov %al, 4(%rdx)
  mov %ah, 7(%rdx)
  lea FIRST_TASK_SELECTOR(%rcx), %eax
  ltr %ax
  test %edi, %edi
  jnz 8f
  call main
8:call processor_main
7:cli
  hlt
  jmp 7b

  .section .rodata
no_long_mode_text:
  .asciz "skep: error this processor has no 64-bit mode with no-execute pages; use an Intel processor with VT-x\nskep: end error\n"
shutdown_text:
  .ascii "Shutdown"
gdt_pointer:
  .short gdt_end - gdt - 1
  .quad gdt

  .data
  .balign 16
  .global gdt
gdt:
  .quad 0
  .quad 0x00AF9B000000FFFF   // 0x08: 64-bit code, DPL 0, accessed
  .quad 0x00CF93000000FFFF   // 0x10: data, DPL 0, accessed
gdt_tasks:                     // 0x18: 64-bit TSSs, available; bases filled in above
  .rept MAXIMUM_PROCESSOR_COUNT
  .quad 0x0000890000000067, 0
  .endr
gdt_protected:                 // 32-bit code, DPL 0, accessed: only for the way out of the trampoline
  .quad 0x00CF9B000000FFFF
gdt_end:
  .global protected_selector
  .set protected_selector, gdt_protected - gdt

  // One for each processor.
  .balign TASK_STATE_STRIDE
  .global task_state
task_state:
  .set stack_end, processor_stacks
  .rept MAXIMUM_PROCESSOR_COUNT
  .long 0
  .quad stack_end + PROCESSOR_STACK_TOP, 0, 0, 0
  .quad stack_end + PROCESSOR_STACK_STRIDE   // IST1: double fault and machine check
  .quad stack_end + PROCESSOR_NMI_STACK_TOP  // IST2: NMI
  .quad 0, 0, 0, 0, 0, 0
  .short 0
  .short 104
  .balign TASK_STATE_STRIDE
  .set stack_end, stack_end + PROCESSOR_STACK_STRIDE
  .endr
  .global starting_processor
starting_processor: .long 0
  .global boot_magic, boot_information
boot_magic: .long 0
boot_information: .long 0

  .bss
  .balign 4096
boot_level4: .skip 4096
boot_level3: .skip 4096
boot_level2: .skip 4 * 4096
  .global processor_stacks
processor_stacks: .skip MAXIMUM_PROCESSOR_COUNT * PROCESSOR_STACK_STRIDE
  .global processor_slots
processor_slots: .skip MAXIMUM_PROCESSOR_COUNT * PROCESSOR_SLOT_STRIDE
