// Switches tasks in 32-bit protected mode in every way, and prints what is in registers, descriptors and TSSs then; the
// test knows what has to be there.
#include "bzimage.inc"

  .set CODE, 0x08
  .set DATA, 0x10
  .set MAIN, 0x18
  .set OTHER, 0x20
  .set GATE, 0x28
  .set ABSENT, 0x30
  .set SHORT, 0x38
  .set TABLE, 0x40
  .set BAD_STACK, 0x48
  .set BEYOND, 0x100

// Prints "\label: " and what `observe` has found, or what is in the registers that it has kept, or a fault.
.macro PRINT routine, label
  pushl $773f
  call \routine
  add $4, %esp
  .section .data
773: .asciz "\label"
  .text
.endm

.macro OBSERVE label
  call observe
  PRINT print_state, "\label"
.endm

// The other task, from its beginning: `\action` is what it does in the end.
.macro PREPARE action
  movl $\action, leave_other
  call prepare
  clts
.endm

// What follows, up to FAULTED, may fault.
.macro TRY
  clts
  movl $771f, recovery
  mov %esp, recovery_stack
  movl $0xFF, vector
  movl $0, error_code
.endm

.macro FAULTED label
771:
  call observe
  PRINT print_fault, "\label"
  PRINT print_state, "\label after"
.endm

  .text
  .code64
guest:
  cli
  lgdt gdt_register
  mov $stack_top, %esp
  push $CODE
  push $1f
  lretq
  .code32
1:
  mov $DATA, %eax
  mov %eax, %ds
  mov %eax, %es
  mov %eax, %ss
  mov %eax, %fs
  mov %eax, %gs
  mov $0x11, %eax
  mov %eax, %cr0
  mov $0xC0000080, %ecx
  xor %eax, %eax
  xor %edx, %edx
  wrmsr
  xor %eax, %eax
  mov %eax, %cr4
  lidt idt_register
  call set_up
  mov $MAIN, %eax
  ltr %ax
  clts
  OBSERVE "start"

  PREPARE other_jumps
  ljmp $OTHER, $0
  PRINT print_other, "JMP"
  PRINT print_registers, "JMP registers"
  OBSERVE "JMP back"

  PREPARE other_returns
  mov $0xA0000001, %eax
  mov $0xA0000002, %ecx
  mov $0xA0000003, %edx
  mov $0xA0000004, %ebx
  mov $0xA0000005, %ebp
  mov $0xA0000006, %esi
  mov $0xA0000007, %edi
  lcall $OTHER, $0
after_call:
  call observe
  PRINT print_other, "CALL"
  PRINT print_registers, "CALL kept"
  PRINT print_state, "IRET back"
  movl main_task + 0x20, %eax
  sub $after_call, %eax
  mov %eax, observed_registers
  mov main_task + 0x38, %eax
  sub %esp, %eax
  mov %eax, observed_registers + 4
  PRINT print_registers, "CALL saved"

  PREPARE other_returns
  lcall $GATE, $0
  PRINT print_other, "CALL task gate"
  OBSERVE "CALL task gate back"

  PREPARE other_jumps
  ljmp $GATE, $0
  OBSERVE "JMP task gate back"

  PREPARE other_returns
  int $0x80
  PRINT print_other, "INT"
  OBSERVE "INT back"

  // A fault with an error code, which goes to the stack of the task that handles it.
  PREPARE other_skips
  movl $OTHER << 16, idt + 8 * 13
  movl $0x8500, idt + 8 * 13 + 4
  mov $BEYOND, %eax
  mov %eax, %fs
  nop
  PRINT print_other, "#GP"
  OBSERVE "#GP back"
  mov error_code, %eax
  mov %eax, observed_registers
  PRINT print_registers, "#GP error code"
  call set_up

  // IRET with NT = 0 returns within the task.
  pushfl
  push $CODE
  push $2f
  iretl
2:
  OBSERVE "IRET in the task"

  TRY
  lcall $ABSENT, $0
  FAULTED "CALL, TSS not present"
  TRY
  ljmp $SHORT, $0
  FAULTED "JMP, TSS too short"
  TRY
  ljmp $TABLE, $0
  FAULTED "JMP, an LDT"
  TRY
  ljmp $MAIN, $0
  FAULTED "JMP, a busy task"
  TRY
  lcall $BEYOND, $0
  FAULTED "CALL, beyond the GDT"
  TRY
  lcall $(OTHER + 4), $0
  FAULTED "CALL, in the LDT"
  movw $OTHER, main_task
  TRY
  pushfl
  orl $0x4000, (%esp)
  popfl
  iretl
  FAULTED "IRET, link not busy"
  movw $ABSENT, main_task
  orb $2, gdt + ABSENT + 5
  TRY
  pushfl
  orl $0x4000, (%esp)
  popfl
  iretl
  FAULTED "IRET, link not present"
  pushfl
  andl $~0x4000, (%esp)
  popfl

  // The T flag: #DB before the first instruction.
  PREPARE other_jumps
  movl $1, other_task + 0x64
  movl $other_entry, recovery
  movl $other_stack_top, recovery_stack
  ljmp $OTHER, $0
  PRINT print_other, "T flag"
  PRINT print_fault, "T flag"
  mov debug_status, %eax
  and $0xE00F, %eax
  mov %eax, observed_registers
  mov fault_eip, %eax
  sub $other_entry, %eax
  mov %eax, observed_registers + 4
  PRINT print_registers, "T flag DR6 and EIP"

  // A fault of the new task's: the handler, a task too, finds its selector in the link.
  PREPARE other_jumps
  movl $0x8500, idt + 8 * 10 + 4
  movl $OTHER << 16, idt + 8 * 10
  ljmp $BAD_STACK, $0
  PRINT print_other, "#TS of the new task"
  mov other_error, %eax
  mov %eax, observed_registers
  movzbl gdt + BAD_STACK + 5, %eax
  mov %eax, observed_registers + 4
  PRINT print_registers, "#TS error code and rights"
  OBSERVE "#TS back"

  mov $over_text, %esi
  call print
  mov $0x3FD, %edx
3:
  in %dx, %al
  test $0x40, %al
  jz 3b
  mov $0x604, %edx
  mov $0x2000, %eax
  out %ax, %dx
4:
  hlt
  jmp 4b

// The other task: keeps what it finds, and leaves.
other_entry:
  mov %esp, %ss:other_pointer
  call observe
  push %eax
  push %esi
  push %edi
  push %ecx
  mov $observed, %esi
  mov $observed_by_other, %edi
  mov $(observed_end - observed) / 4, %ecx
  rep movsl
  pop %ecx
  pop %edi
  pop %esi
  pop %eax
  jmp *leave_other
other_jumps:
  // The error code, if there is one.
  cmpl $other_stack_top, other_pointer
  je 1f
  mov other_stack_top - 4, %eax
  mov %eax, other_error
1:
  ljmp $MAIN, $0
other_returns:
  iretl
// After a fault: behind the faulting instruction of two bytes.
other_skips:
  pop %eax
  mov %eax, error_code
  addl $2, main_task + 0x20
  iretl

// Keeps the registers and what a task switch changes. Keeps all registers and flags.
observe:
  pushfl
  pushal
  mov %esp, %esi
  mov $observed_registers, %edi
  // EAX, ECX, EDX, EBX, EBP, ESI, EDI
  mov 28(%esi), %eax
  stosl
  mov 24(%esi), %eax
  stosl
  mov 20(%esi), %eax
  stosl
  mov 16(%esi), %eax
  stosl
  mov 8(%esi), %eax
  stosl
  mov 4(%esi), %eax
  stosl
  mov (%esi), %eax
  stosl
  str %eax
  movzwl %ax, %eax
  mov %eax, observed_tr
  mov 32(%esi), %eax
  shr $14, %eax
  and $1, %eax
  mov %eax, observed_nt
  mov %cr0, %eax
  shr $3, %eax
  and $1, %eax
  mov %eax, observed_ts
  movzbl gdt + MAIN + 5, %eax
  shr $1, %eax
  and $1, %eax
  mov %eax, observed_main
  movzbl gdt + OTHER + 5, %eax
  shr $1, %eax
  and $1, %eax
  mov %eax, observed_other
  movzwl other_task, %eax
  mov %eax, observed_link
  mov other_task + 0x24, %eax
  shr $14, %eax
  and $1, %eax
  mov %eax, observed_saved
  popal
  popfl
  ret

// The other task from its beginning, available.
prepare:
  pushal
  mov $other_task, %edi
  mov $26, %ecx
  xor %eax, %eax
  rep stosl
  movl $other_entry, other_task + 0x20
  movl $2, other_task + 0x24
  mov $other_task + 0x28, %edi
  mov $0xB0000001, %eax
  mov $8, %ecx
1:
  stosl
  inc %eax
  loop 1b
  movl $other_stack_top, other_task + 0x38
  mov $other_task + 0x48, %edi
  mov $6, %ecx
  mov $DATA, %eax
  rep stosl
  movl $CODE, other_task + 0x4C
  movl $104 << 16, other_task + 0x64
  andb $~2, gdt + OTHER + 5
  popal
  ret

// The IDT, the bases of the TSSs, COM1.
set_up:
  mov $idt, %edi
  mov $handlers, %eax
  mov $32, %ecx
1:
  mov %eax, %edx
  and $0xFFFF, %edx
  or $CODE << 16, %edx
  mov %edx, (%edi)
  mov %eax, %edx
  and $0xFFFF0000, %edx
  or $0x8E00, %edx
  mov %edx, 4(%edi)
  add $8, %edi
  add $16, %eax
  loop 1b
  movl $OTHER << 16, idt + 8 * 0x80
  movl $0x8500, idt + 8 * 0x80 + 4
  mov $main_task, %eax
  mov $gdt + MAIN, %edi
  call set_base
  mov $other_task, %eax
  mov $gdt + OTHER, %edi
  call set_base
  mov $gdt + ABSENT, %edi
  call set_base
  mov $gdt + SHORT, %edi
  call set_base
  mov $gdt + TABLE, %edi
  call set_base
  mov $bad_task, %eax
  mov $gdt + BAD_STACK, %edi
  call set_base
  movl $other_entry, bad_task + 0x20
  movl $2, bad_task + 0x24
  movl $CODE, bad_task + 0x4C
  movl $CODE, bad_task + 0x50
  mov $0x3FB, %edx
  mov $3, %al
  out %al, %dx
  mov $0x3F9, %edx
  mov $0, %al
  out %al, %dx
  ret
set_base:
  push %eax
  mov %ax, 2(%edi)
  shr $16, %eax
  mov %al, 4(%edi)
  mov %ah, 7(%edi)
  pop %eax
  ret

// Each of the 32 handlers has 16 bytes: it pushes an error code where the processor does not, then the vector.
  .balign 16
handlers:
  .set number, 0
  .rept 32
  .balign 16
  .if !(number == 8 || (number >= 10 && number <= 14) || number == 17 || number == 21)
  push $0
  .endif
  push $number
  jmp exception
  .set number, number + 1
  .endr
exception:
  pop vector
  pop error_code
  pop fault_eip
  push %eax
  mov %dr6, %eax
  mov %eax, debug_status
  xor %eax, %eax
  mov %eax, %dr6
  pop %eax
  mov recovery_stack, %esp
  jmp *recovery

// "LABEL: tr=0000 nt=0 ts=0 busy=00 link=0000 saved nt=0"
print_other:
  push %esi
  mov $observed_by_other, %esi
  jmp 1f
print_state:
  push %esi
  mov $observed, %esi
1:
  pushal
  mov 40(%esp), %eax
  mov %esi, %ebx
  call print_label
  mov $tr_text, %esi
  mov 0(%ebx), %eax
  mov $4, %ecx
  call print_value
  mov $nt_text, %esi
  mov 4(%ebx), %eax
  mov $1, %ecx
  call print_value
  mov $ts_text, %esi
  mov 8(%ebx), %eax
  call print_value
  mov $busy_text, %esi
  mov 12(%ebx), %eax
  call print_value
  mov $nothing, %esi
  mov 16(%ebx), %eax
  call print_value
  mov $link_text, %esi
  mov 20(%ebx), %eax
  mov $4, %ecx
  call print_value
  mov $saved_text, %esi
  mov 24(%ebx), %eax
  mov $1, %ecx
  call print_value
  mov $line_end, %esi
  call print
  popal
  pop %esi
  ret

// "LABEL: 00000000 …": the seven registers that were kept, from EAX on.
print_registers:
  pushal
  mov 36(%esp), %eax
  call print_label
  mov $observed_registers, %ebx
1:
  mov $space_text, %esi
  mov (%ebx), %eax
  mov $8, %ecx
  call print_value
  add $4, %ebx
  cmp $observed_registers + 28, %ebx
  jne 1b
  mov $line_end, %esi
  call print
  popal
  ret

// "LABEL: vector=00 code=0000"
print_fault:
  pushal
  mov 36(%esp), %eax
  call print_label
  mov $vector_text, %esi
  mov vector, %eax
  mov $2, %ecx
  call print_value
  mov $code_text, %esi
  mov error_code, %eax
  mov $4, %ecx
  call print_value
  mov $line_end, %esi
  call print
  popal
  ret

print_label:
  mov %eax, %esi
  call print
  mov $colon_text, %esi
  jmp print

// The text at %esi, then the last %ecx digits of %eax. Keeps %ebx and %ecx.
print_value:
  push %ecx
  push %eax
  call print
  pop %eax
  mov $8, %edx
  sub %ecx, %edx
  shl $2, %edx
  xchg %ecx, %edx
  shl %cl, %eax
  mov %edx, %ecx
  mov %eax, %edi
1:
  rol $4, %edi
  mov %edi, %eax
  and $15, %eax
  mov digits(%eax), %al
  mov %al, digit
  mov $digit, %esi
  call print
  loop 1b
  pop %ecx
  ret

// Prints the text at %esi. Keeps all but %eax and %esi.
print:
  push %edx
1:
  lodsb
  test %al, %al
  jz 3f
  mov %al, %ah
  mov $0x3FD, %edx
2:
  in %dx, %al
  test $0x20, %al
  jz 2b
  mov $0x3F8, %edx
  mov %ah, %al
  out %al, %dx
  jmp 1b
3:
  pop %edx
  ret

  .data
  .balign 8
gdt:
  .quad 0, 0x00CF9B000000FFFF, 0x00CF93000000FFFF
  .quad 0x0000890000000067               // MAIN
  .quad 0x0000890000000067               // OTHER
  .quad 0x0000850000200000               // GATE: to OTHER
  .quad 0x0000090000000067               // ABSENT
  .quad 0x0000890000000066               // SHORT
  .quad 0x0000820000000067               // TABLE
  .quad 0x0000890000000067               // BAD_STACK: its SS is code
gdt_register:
  .short gdt_register - gdt - 1
  .quad gdt
idt_register:
  .short 129 * 8 - 1
  .long idt
colon_text: .asciz ":"
tr_text: .asciz " tr="
nt_text: .asciz " nt="
ts_text: .asciz " ts="
busy_text: .asciz " busy="
link_text: .asciz " link="
saved_text: .asciz " saved nt="
vector_text: .asciz " vector="
code_text: .asciz " code="
space_text: .asciz " "
nothing: .asciz ""
line_end: .asciz "\n"
over_text: .asciz "over\n"
digits: .ascii "0123456789abcdef"
digit: .asciz " "

  .bss
  .balign 16
idt: .skip 129 * 8
main_task: .skip 104
other_task: .skip 104
bad_task: .skip 104
observed:
observed_tr: .skip 4
observed_nt: .skip 4
observed_ts: .skip 4
observed_main: .skip 4
observed_other: .skip 4
observed_link: .skip 4
observed_saved: .skip 4
observed_end:
observed_by_other: .skip observed_end - observed
observed_registers: .skip 28
leave_other: .skip 4
other_pointer: .skip 4
other_error: .skip 4
recovery: .skip 4
recovery_stack: .skip 4
vector: .skip 4
error_code: .skip 4
fault_eip: .skip 4
debug_status: .skip 4
  .skip 4096
other_stack_top:
  .skip 16384
stack_top:
