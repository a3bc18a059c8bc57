// A kernel in the bzImage format, as "The Linux/x86 Boot Protocol" describes it: boot sector and one more sector with the
// setup header, then the protected-mode code with the 64-bit entry point at offset 0x200.

#define SETUP_SECTORS 1
#define PROTOCOL 0x020F
#define LOADED_HIGH 1
#define KERNEL_64 1

  .section .header, "a"
header_start:
  .org 0x1F1
  .byte SETUP_SECTORS
  .short 0                      // root_flags
  .long code_paragraphs         // syssize
  .short 0, 0, 0                // ram_size, vid_mode, root_dev
  .short 0xAA55                 // boot_flag
  .byte 0xEB, header_end - header_start - 0x202
  .ascii "HdrS"
  .short PROTOCOL
  .long 0                       // realmode_swtch
  .short 0, 0                   // start_sys_seg, kernel_version
  .byte 0, LOADED_HIGH          // type_of_loader, loadflags
  .short 0                      // setup_move_size
  .long code_start              // code32_start
  .long 0, 0, 0                 // ramdisk_image, ramdisk_size, bootsect_kludge
  .short 0                      // heap_end_ptr
  .byte 0, 0                    // ext_loader_ver, ext_loader_type
  .long 0                       // cmd_line_ptr
  .long 0xFFFFFFFF              // initrd_addr_max
  .long 0x1000                  // kernel_alignment
  .byte 0, 0                    // relocatable_kernel, min_alignment
  .short KERNEL_64              // xloadflags
  .long 255                     // cmdline_size
  .long 0                       // hardware_subarch
  .quad 0                       // hardware_subarch_data
  .long 0, 0                    // payload_offset, payload_length
  .quad 0                       // setup_data
  .quad code_start              // pref_address
  .long memory_size             // init_size
  .long 0                       // handover_offset
header_end:
  .org 1024

  .section .entry, "ax"
  // The 32-bit entry point: no loader that this kernel is meant for uses it.
  .code32
1:cli
  hlt
  jmp 1b
  .org 0x200
  .code64
  .global entry
entry:
  lea stack_top(%rip), %rsp
  mov %rsi, %rdi
  call benchmark

// #UD of VMCALL, an instruction of three bytes.
  .global invalid_opcode
invalid_opcode:
  addq $3, (%rsp)
  iretq

// End of interrupt.
  .global external_interrupt
external_interrupt:
  push %rax
  mov $0x20, %al
  out %al, $0x20
  pop %rax
  iretq

// Counts, and ends the interrupt in the x2APIC.
  .global interprocessor_interrupt
interprocessor_interrupt:
  incl handled
  push %rax
  push %rcx
  push %rdx
  mov $0x80B, %ecx
  xor %eax, %eax
  xor %edx, %edx
  wrmsr
  pop %rdx
  pop %rcx
  pop %rax
  iretq

// The second processor's: when it comes, and the end of interrupt. What it interrupts keeps nothing in these registers.
  .global interrupt_of_other
interrupt_of_other:
  rdtsc
  mov %eax, interrupted
  mov $0x80B, %ecx
  xor %eax, %eax
  xor %edx, %edx
  wrmsr
  iretq

// Copied to 0x6000, where the second processor begins: into 64-bit mode with the first one's page tables.
#define LOW(symbol) symbol - ap_trampoline + 0x6000
  .global ap_trampoline, ap_trampoline_end, ap_cr3
  .code16
  .balign 4
ap_trampoline:
  cli
  xor %ax, %ax
  mov %ax, %ds
  lgdtl LOW(ap_gdt_pointer)
  mov $0x20, %eax
  mov %eax, %cr4
  mov LOW(ap_cr3), %eax
  mov %eax, %cr3
  mov $0xC0000080, %ecx
  mov $0x100, %eax
  xor %edx, %edx
  wrmsr
  mov $0x80000001, %eax
  mov %eax, %cr0
  ljmpl $0x10, $ap_entry
  .balign 4
ap_gdt_pointer:
  .short ap_gdt_end - ap_gdt - 1
  .long ap_gdt
ap_cr3: .long 0
ap_trampoline_end:

  .code64
ap_entry:
  mov $0x18, %eax
  mov %eax, %ds
  mov %eax, %es
  mov %eax, %ss
  mov $ap_stack_top, %esp
  mov ap_idt_pointer, %rdi
  call ap_main

  .balign 8
ap_gdt:
  .quad 0, 0, 0x00AF9B000000FFFF, 0x00CF93000000FFFF
ap_gdt_end:

  .bss
  .balign 16
  .skip 0x4000
stack_top:
  .skip 0x1000
ap_stack_top:
