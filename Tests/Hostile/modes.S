// The hostile guest outside 64-bit mode: the ways to real mode and to protected mode without IA-32e mode, and back.
#include "guest.h"

  .global enter_real, enter_protected, recover_32, step_32, low_start, low_end, low_ap, low_ap_end, low_step
  .global real_state, pointer_32, high_start, high_end

  .macro TO_64 target
  mov $GOLDEN_CR4, %eax
  mov %eax, %cr4
  mov $golden, %eax
  mov %eax, %cr3
  mov $0xC0000080, %ecx
  mov $GOLDEN_EFER, %eax
  xor %edx, %edx
  wrmsr
  mov $GOLDEN_CR0, %eax
  mov %eax, %cr0
  ljmpl $CODE_64, $\target
  .endm

  .text
  .code64
enter_real:
  mov $low_real - low_start + LOW_RECOVERY, %eax
  jmp 1f
enter_protected:
  mov $low_protected - low_start + LOW_RECOVERY, %eax
1:
  mov $stack_top, %esp
  push $REAL_CODE
  push %rax
  lretq

  .code32
protected:
  mov $DATA, %eax
  mov %eax, %ds
  mov %eax, %es
  mov %eax, %ss
  mov %eax, %fs
  mov %eax, %gs
  lidtl pointer_32
  mov $TASK_32, %eax
  ltr %ax
  // The image can be read only from here on.
  mov $hp + 3 * 4096, %esp
  mov legacy + 8, %eax
  mov %eax, %cr4
  mov legacy + 4, %eax
  mov %eax, %cr3
  mov legacy, %eax
  mov %eax, %cr0
  mov $state, %eax
  testl $0x20000, 136(%eax)
  jz 1f
  pushl 64(%eax)
  pushl 72(%eax)
  pushl 80(%eax)
  pushl 88(%eax)
  jmp 2f
1:
  testb $3, 128(%eax)
  jz 3f
2:
  pushl 152(%eax)
  pushl 144(%eax)
3:
  pushl 136(%eax)
  pushl 128(%eax)
  pushl 120(%eax)
  mov legacy + 12, %ebx
  mov %ebx, %ds
  mov %ebx, %es
  mov %ebx, %fs
  mov %ebx, %gs
  mov 8(%eax), %ebx
  mov 16(%eax), %ecx
  mov 24(%eax), %edx
  mov 32(%eax), %esi
  mov 40(%eax), %edi
  mov 48(%eax), %ebp
  mov (%eax), %eax
  iretl

step_32:
  decl %ss:hp + 3 * 4096
  js recover_32
  iretl

recover_32:
  cli
  cld
  mov $DATA, %eax
  mov %eax, %ds
  mov %eax, %es
  mov %eax, %ss
  mov %cr0, %eax
  and $0x7FFFFFFF, %eax
  mov %eax, %cr0
  lgdtl gdt_pointer
  TO_64 recover

// What follows is copied below 1 MiB.
  .code16
low_start:
  cli
  cld
  xor %ax, %ax
  mov %ax, %ds
  lgdtl low_gdt - low_start + LOW_RECOVERY
  TO_64 recover
  .balign 4
low_gdt:
  .short 64 * 8 - 1
  .long gdt

  .macro LEAVE_PAGING
  mov %cr0, %eax
  and $0x7FFFFFFF, %eax
  mov %eax, %cr0
  mov $0xC0000080, %ecx
  xor %eax, %eax
  xor %edx, %edx
  wrmsr
  xor %eax, %eax
  mov %eax, %cr4
  .endm

low_protected:
  LEAVE_PAGING
  ljmpl $CODE_32, $protected

low_real:
  LEAVE_PAGING
  mov $REAL_DATA, %ax
  mov %ax, %ds
  mov %ax, %es
  mov %ax, %ss
  mov %ax, %fs
  mov %ax, %gs
  lidtl low_idt - low_start + LOW_RECOVERY
  mov $0x10, %eax
  mov %eax, %cr0
  ljmp $0, $low_real_2 - low_start + LOW_RECOVERY
low_real_2:
  xor %ax, %ax
  mov %ax, %ds
  mov %ax, %es
  mov %ax, %ss
  mov $low_state - low_start + LOW_RECOVERY, %sp
  popal
  mov $REAL_STACK, %sp
  pushw %cs:low_flags - low_start + LOW_RECOVERY
  pushw $0
  pushw $REAL_NOISE
  iretw
low_step:
  decw %cs:low_steps - low_start + LOW_RECOVERY
  js low_start
  iretw
  .balign 4
low_idt:
  .short 0x3FF
  .long real_vectors
  .global low_state, low_flags, low_steps
low_state: .skip 32
low_flags: .short 0
low_steps: .short 0
low_end:

// Copied to where real mode's 64-KByte segments hardly reach: what real mode's vectors lead to. Noise may jump here with
// RFLAGS.TF = 1.
high_start:
  cli
  cld
  // Noise that comes here over zeros has another CS, and with that another privilege level.
  ljmp $0xFFFC, $high_start_2 - high_start + HIGH_RECOVERY - 0xFFFC0
high_start_2:
  xor %ax, %ax
  mov %ax, %ss
  mov $REAL_STACK, %esp
  pushw $2
  popfw
  lgdtl %cs:high_gdt - high_start + HIGH_RECOVERY - 0xFFFC0
  TO_64 recover
  .balign 4
high_gdt:
  .short 64 * 8 - 1
  .long gdt
high_end:

low_ap:
  cli
  cld
  xor %ax, %ax
  mov %ax, %ds
  lgdtl ap_gdt - low_ap + LOW_AP
  TO_64 ap_start
  .balign 4
ap_gdt:
  .short 64 * 8 - 1
  .long gdt
low_ap_end:
