// The task priority holds interrupts back and lets them through, by CR8 and by its register; interrupts nest by their
// classes. ISR, IRR and PPR say what the SDM says of each moment ("Interrupt, Task, and Processor Priority"), in xAPIC
// and in x2APIC mode.
#include "apic.inc"

// One more step of what happens, for the order of all.
.macro NOTE letter
  push %rax
  mov position(%rip), %rax
  movb $\letter, (%rax)
  incq position(%rip)
  pop %rax
.endm
// In the handlers of `priorities`.
.macro TAKE vector
  SAVE
  incl taken(%rip)
  movl $\vector, last(%rip)
  WRITE END_OF_INTERRUPT, 0
  RESTORE
  iretq
.endm
.macro PRIORITY value
  mov $\value, %eax
  call set_priority
.endm
.macro TAKEN count, name:vararg
  cmp $\count, %ebx
  EQUAL \name
.endm

guest:
  call set_up
  call set_up_vectors
  WRITE SPURIOUS_VECTOR, 0x1FF
  call all
  call enter_x2apic_mode
  call all
  jmp finish

all:
  xor %r12d, %r12d              // by CR8
  call priorities
  inc %r12d                     // by the register
  call priorities
  jmp nested

// The task priority is %eax, by the way %r12. %ebx is how many interrupts the next instruction finds to have been taken.
set_priority:
  test %r12d, %r12d
  jnz 1f
  shr $4, %eax
  mov %rax, %cr8
  mov taken(%rip), %ebx
  ret
1:
  cmpl $0, is_x2apic(%rip)
  jne 2f
  mov $MMIO, %edx
  mov %eax, TASK_PRIORITY(%rdx)
  mov taken(%rip), %ebx
  ret
2:
  mov $0x808, %ecx
  xor %edx, %edx
  wrmsr
  mov taken(%rip), %ebx
  ret

priorities:
  SERVE 0x40, of_40
  SERVE 0x60, of_60
  movl $0, taken(%rip)
  sti
  PRIORITY 0x50
  SEND_TO_SELF 0x40
  mov taken(%rip), %ebx
  TAKEN 0, "40H came with task priority 50H"
  call dawdle
  mov taken(%rip), %ebx
  TAKEN 0, "40H came late with task priority 50H"
  VECTORS_ARE REQUESTED, 0x40, 1, "IRR lacks 40H, which waits"
  VECTORS_ARE IN_SERVICE, 0x40, 0, "ISR has 40H, which waits"
  IS TASK_PRIORITY, 0x50, "TPR is not 50H"
  IS PROCESSOR_PRIORITY, 0x50, "PPR is not 50H"
  mov %cr8, %rax
  cmp $5, %rax
  EQUAL "CR8 is not 5"
  PRIORITY 0
  TAKEN 1, "40H did not come before the next instruction with task priority 0"
  VECTORS_ARE REQUESTED, 0x40, 0, "IRR has 40H, which is over"
  VECTORS_ARE IN_SERVICE, 0x40, 0, "ISR has 40H, which is over"
  IS PROCESSOR_PRIORITY, 0, "PPR is not 0"

  // From the highest class down: 60H comes at 5xH, 40H at 3xH.
  movl $0, taken(%rip)
  PRIORITY 0xFF
  SEND_TO_SELF 0x40
  SEND_TO_SELF 0x60
  mov $0xEF, %ebp
1:
  mov %ebp, %eax
  call set_priority
  xor %esi, %esi
  cmp $0x5F, %ebp
  ja 2f
  inc %esi
  cmp $0x3F, %ebp
  ja 2f
  inc %esi
2:
  cmp %esi, %ebx
  EQUAL "a class lets through what it should not, or does not what it should"
  call dawdle
  cmp taken(%rip), %ebx
  EQUAL "a class lets through late what it should not"
  cmp $0x5F, %ebp
  jne 3f
  cmpl $0x60, last(%rip)
  EQUAL "the first to come was not 60H"
3:
  cmp $0x3F, %ebp
  jne 4f
  cmpl $0x40, last(%rip)
  EQUAL "the second to come was not 40H"
4:
  sub $0x10, %ebp
  jns 1b
  PRIORITY 0

  // What the host delivers is held back as well.
  movl $0, taken(%rip)
  PRIORITY 0x40
  SEND_TO_FIRST 0x40
  call dawdle
  mov taken(%rip), %ebx
  TAKEN 0, "40H came from the host with task priority 40H"
  PRIORITY 0x30
  TAKEN 1, "40H did not come from the host with task priority 30H"

  // A class of its own waits for CR8 to be below, though another has just come.
  movl $0, taken(%rip)
  PRIORITY 0x30
  SEND_TO_SELF 0x60
  mov taken(%rip), %ebx
  TAKEN 1, "60H did not come at once with task priority 30H"
  PRIORITY 0x40
  SEND_TO_SELF 0x40
  mov taken(%rip), %ebx
  TAKEN 1, "40H came with task priority 40H"
  SEND_TO_SELF 0x60
  mov taken(%rip), %ebx
  TAKEN 2, "60H did not come with 40H waiting and task priority 40H"
  PRIORITY 0x30
  TAKEN 3, "40H did not come with task priority 30H"
  PRIORITY 0
  cli
  ret

of_40: TAKE 0x40
of_60: TAKE 0x60

// In the handler of 31H: 40H comes when IF lets it, 3FH and 2FH not before EOI.
nested:
  SERVE 0x2F, nested_2F
  SERVE 0x31, nested_31
  SERVE 0x3F, nested_3F
  SERVE 0x40, nested_40
  lea order(%rip), %rax
  mov %rax, position(%rip)
  movq $0, order(%rip)
  movl $0, taken(%rip)
  sti
  SEND_TO_SELF 0x31
  nop
  cli
  mov steps(%rip), %rax
  cmp %rax, order(%rip)
  jne 1f
  ret
1:
  EQUAL "the order of nested interrupts is not"
  lea steps(%rip), %rsi
  call print
  lea but(%rip), %rsi
  call print
  lea order(%rip), %rsi
  call print
  jmp print_line_end

nested_31:
  SAVE
  NOTE '3'
  VECTORS_ARE IN_SERVICE, 0x31, 1 << 17, "31H: ISR"
  VECTORS_ARE REQUESTED, 0x31, 0, "31H: IRR"
  IS PROCESSOR_PRIORITY, 0x30, "31H: PPR"
  SEND_TO_SELF 0x2F
  SEND_TO_FIRST 0x3F
  SEND_TO_SELF 0x40
  call dawdle
  VECTORS_ARE REQUESTED, 0x31, 0x80008000, "31H: IRR lacks 2FH or 3FH"
  VECTORS_ARE REQUESTED, 0x40, 1, "31H: IRR lacks 40H"
  VECTORS_ARE IN_SERVICE, 0x40, 0, "31H: ISR has 40H"
  IS PROCESSOR_PRIORITY, 0x30, "31H: PPR with interrupts that wait"
  mov taken(%rip), %ebx
  TAKEN 0, "31H: an interrupt came with IF = 0"
  sti
  nop
  mov taken(%rip), %ebx
  TAKEN 1, "31H: 40H alone did not come with IF = 1"
  call dawdle
  VECTORS_ARE IN_SERVICE, 0x31, 1 << 17, "31H, after 40H: ISR lacks 31H or has others"
  VECTORS_ARE IN_SERVICE, 0x40, 0, "31H, after 40H: ISR"
  VECTORS_ARE REQUESTED, 0x31, 0x80008000, "31H, after 40H: IRR"
  VECTORS_ARE REQUESTED, 0x40, 0, "31H, after 40H: IRR has 40H"
  IS PROCESSOR_PRIORITY, 0x30, "31H, after 40H: PPR"
  WRITE TASK_PRIORITY, 0x57
  IS PROCESSOR_PRIORITY, 0x57, "31H, with TPR 57H: PPR"
  WRITE TASK_PRIORITY, 0x27
  IS PROCESSOR_PRIORITY, 0x30, "31H, with TPR 27H: PPR"
  WRITE TASK_PRIORITY, 0
  call dawdle
  NOTE 'e'
  WRITE END_OF_INTERRUPT, 0
  NOTE 'x'
  VECTORS_ARE IN_SERVICE, 0x31, 0, "31H, after its EOI: ISR"
  VECTORS_ARE REQUESTED, 0x31, 0, "31H, after its EOI: IRR"
  IS PROCESSOR_PRIORITY, 0, "31H, after its EOI: PPR"
  RESTORE
  iretq

nested_40:
  SAVE
  incl taken(%rip)
  NOTE '4'
  VECTORS_ARE IN_SERVICE, 0x31, 1 << 17, "40H: ISR lacks 31H or has others"
  VECTORS_ARE IN_SERVICE, 0x40, 1, "40H: ISR lacks 40H"
  VECTORS_ARE REQUESTED, 0x31, 0x80008000, "40H: IRR"
  VECTORS_ARE REQUESTED, 0x40, 0, "40H: IRR has 40H"
  IS PROCESSOR_PRIORITY, 0x40, "40H: PPR"
  SEND_TO_FIRST 0x2F            // which waits already
  IS PROCESSOR_PRIORITY, 0x40, "40H: PPR after an IPI"
  WRITE END_OF_INTERRUPT, 0
  VECTORS_ARE IN_SERVICE, 0x31, 1 << 17, "40H, after its EOI: ISR lacks 31H or has others"
  VECTORS_ARE IN_SERVICE, 0x40, 0, "40H, after its EOI: ISR"
  IS PROCESSOR_PRIORITY, 0x30, "40H, after its EOI: PPR"
  RESTORE
  iretq

nested_3F:
  SAVE
  incl taken(%rip)
  NOTE 'F'
  VECTORS_ARE IN_SERVICE, 0x3F, 0x80000000, "3FH: ISR"
  VECTORS_ARE REQUESTED, 0x3F, 0x8000, "3FH: IRR"
  IS PROCESSOR_PRIORITY, 0x30, "3FH: PPR"
  WRITE END_OF_INTERRUPT, 0
  RESTORE
  iretq

nested_2F:
  SAVE
  incl taken(%rip)
  NOTE '2'
  VECTORS_ARE IN_SERVICE, 0x2F, 0x8000, "2FH: ISR"
  VECTORS_ARE REQUESTED, 0x2F, 0, "2FH: IRR"
  IS PROCESSOR_PRIORITY, 0x20, "2FH: PPR"
  WRITE END_OF_INTERRUPT, 0
  RESTORE
  iretq

  .data
  .balign 8
steps: .asciz "34eF2x\0"
but: .asciz " but "
  .bss
  .balign 8
order: .skip 64
position: .skip 8
taken: .skip 4
last: .skip 4
  .text
