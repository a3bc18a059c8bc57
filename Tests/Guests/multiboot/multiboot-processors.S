// A Multiboot 1 kernel that uses local APICs as test kernels for QEMU do: it starts all other processors by broadcasts,
// compares what fw_cfg, Multiboot and the MP table say, turns its local APIC off and on, and sends interrupts of every
// kind, first in xAPIC and then in x2APIC mode, from which it turns it off once more. Leaves by isa-debug-exit: with 0x10,
// or with a number for what failed.
#include "print.inc"
  .set CPUS, 8
  .set TRAMPOLINE, 0x8000
  .set APIC, 0xFEE00000
  .set EXCEPTION, 0x60          // and its vector is the number of the failure then

  // Vectors, of which each processor counts those that come to it.
  .set PHYSICAL, 0x30
  .set LOGICAL, 0x31
  .set LOGICAL_GROUP, 0x32
  .set OTHERS, 0x33
  .set ALL, 0x34
  .set PHYSICAL_BROADCAST, 0x35
  .set GO_TO_X2APIC, 0x36
  .set X2APIC_PHYSICAL, 0x37
  .set X2APIC_LOGICAL, 0x38
  .set X2APIC_OTHERS, 0x39
  .set SHORTHAND_SELF, 0x3A
  .set MSR_SELF, 0x3B
  .set TIMER, 0x3C
  .set DISABLED, 0x3D
  .set NMI, 0x3E                // counted there
  .set LAST_SELF, 0x3F
  .set FIRST, 0x30
  .set KINDS, 16

  .set failure, 0x11

// The zero flag is 1; otherwise the kernel leaves by the number of this check.
.macro EXPECT name:vararg
  .section .data
772: .asciz \name
  .text
  je 773f
  mov $772b, %esi
  mov $failure, %edi
  jmp fail
773:
  .set failure, failure + 1
.endm
// The register of the local APIC in memory has this value.
.macro IS register, value, name:vararg
  cmpl $\value, APIC + \register
  EXPECT \name
.endm
// MSR \index, in x2APIC mode, has this value.
.macro IS_MSR index, value, name:vararg
  mov $\index, %ecx
  rdmsr
  cmp $\value, %eax
  EXPECT \name
.endm
// Writes ICR in xAPIC mode, for the processor \destination if that is given, and waits until it has been sent.
.macro SEND command, destination
  .ifnb \destination
  mov \destination, %eax
  shl $24, %eax
  mov %eax, APIC + 0x310
  .endif
  movl $\command, APIC + 0x300
771:
  testl $0x1000, APIC + 0x300
  jnz 771b
.endm
.macro WRITE_MSR index, low, high=$0
  mov $\index, %ecx
  mov \low, %eax
  mov \high, %edx
  wrmsr
.endm
// Waits until processor \processor, a register, has taken \count interrupts of \vector.
.macro AWAIT vector, processor, count, name:vararg
  mov \processor, %eax
  shl $6, %eax
  lea counts + 4 * (\vector - FIRST)(%eax), %eax
  mov $\count, %ecx
  call await
  EXPECT \name
.endm
// What follows, up to NEXT, for each other processor, %ebx.
.macro FOR_OTHERS
  mov $1, %ebx
774:
  cmp processors, %ebx
  jae 775f
.endm
.macro NEXT
  inc %ebx
  jmp 774b
775:
.endm
// Each other processor has taken one interrupt of \vector, or is about to.
.macro OTHERS_TAKE vector, name:vararg
  FOR_OTHERS
  AWAIT \vector, %ebx, 1, \name
  NEXT
.endm

  .section .header, "a"
  .balign 4
  .long 0x1BADB002, 3, -0x1BADB002 - 3
  .text
  .global entry
entry:
  mov $stack_top, %esp
  mov %ebx, information
  cmp $0x2BADB002, %eax
  EXPECT "the boot loader's magic number"
  call set_up_serial
  lgdt gdt_register
  ljmp $0x08, $1f
1:
  mov $0x10, %eax
  mov %eax, %ds
  mov %eax, %es
  mov %eax, %ss
  call set_up_vectors
  mov $0xFF, %al                // no line of the 8259As reaches the processor
  out %al, $0x21
  out %al, $0xA1

  // How much there is of everything.
  xor %eax, %eax
  call select_item
  cmp $0x554D4551, %ecx
  EXPECT "fw_cfg's signature"
  mov $5, %eax
  call select_item
  movzx %cx, %ecx
  mov %ecx, processors
  mov $3, %eax
  call select_item
  mov %ecx, memory
  mov information, %ebx
  mov 8(%ebx), %eax
  add $1024, %eax
  shl $10, %eax
  cmp memory, %eax
  EXPECT "fw_cfg's memory size is not Multiboot's mem_upper"
  call end_of_memory
  cmp memory, %eax
  EXPECT "fw_cfg's memory size is not the end of Multiboot's memory map"
  call count_in_mp_table
  cmp processors, %eax
  EXPECT "fw_cfg's number of processors is not the MP table's"

  // The other processors, with nothing between the two broadcasts.
  mov $trampoline, %esi
  mov $TRAMPOLINE, %edi
  mov $trampoline_end - trampoline, %ecx
  cld
  rep movsb
  mov $0x1B, %ecx
  rdmsr
  cmp $0xFEE00900, %eax
  EXPECT "IA32_APIC_BASE is not that of a bootstrap processor in xAPIC mode"
  movl $0x1FF, APIC + 0xF0
  SEND 0xC4500
  SEND 0xC4608
  mov processors, %ecx
  dec %ecx
  mov $online, %eax
  call await
  EXPECT "not all other processors have started"

  // Off and on: nothing of before is left.
  movl $0x20, APIC + 0x80
  movl $0x01000000, APIC + 0xD0
  movl $0x3F, APIC + 0x320
  WRITE_MSR 0x1B, $0xFEE00100
  mov $1, %eax
  cpuid
  test $1 << 9, %edx
  EXPECT "CPUID says that there is a local APIC, which is off"
  IS 0x30, -1, "a local APIC that is off is in memory"
  WRITE_MSR 0x1B, $0xFEE00900
  rdmsr
  cmp $0xFEE00900, %eax
  EXPECT "IA32_APIC_BASE of a local APIC that is on again"
  mov $1, %eax
  cpuid
  and $1 << 9, %edx
  cmp $1 << 9, %edx
  EXPECT "CPUID says that there is no local APIC, which is on again"
  IS 0x20, 0, "the ID after a reset"
  IS 0x30, 0x01050014, "the version after a reset"
  IS 0x80, 0, "TPR after a reset"
  IS 0xD0, 0, "LDR after a reset"
  IS 0xE0, -1, "DFR after a reset"
  IS 0xF0, 0xFF, "SVR after a reset"
  IS 0x300, 0, "ICR after a reset"
  IS 0x310, 0, "the upper half of ICR after a reset"
  IS 0x320, 0x10000, "the timer's LVT after a reset"
  IS 0x350, 0x10000, "LINT0's LVT after a reset"

  // Until software enables it, it takes no vectors, and its LVT stays masked.
  sti
  movl $TIMER, APIC + 0x320
  IS 0x320, 0x10000 + TIMER, "the timer's LVT of a local APIC that software has not enabled"
  SEND 0x40000 + DISABLED
  IS 0x210, 0, "IRR of a local APIC that software has not enabled"
  movl $0x1FF, APIC + 0xF0
  IS 0xF0, 0x1FF, "SVR"
  movl $0x01000000, APIC + 0xD0

  // The timer: once, and no more; then again and again, until it is stopped.
  xor %ebx, %ebx
  movl $0xB, APIC + 0x3E0
  movl $TIMER, APIC + 0x320
  movl $20000, APIC + 0x380
  cmpl $0, APIC + 0x390
  setne %al
  cmp $1, %al
  EXPECT "the one-shot timer does not count"
  AWAIT TIMER, %ebx, 1, "the one-shot timer has no interrupt"
  call dawdle
  AWAIT TIMER, %ebx, 1, "the one-shot timer interrupts twice"
  IS 0x390, 0, "the one-shot timer goes on counting"
  movl $0x20000 + TIMER, APIC + 0x320
  movl $20000, APIC + 0x380
  AWAIT TIMER, %ebx, 6, "the periodic timer does not interrupt five times"
  movl $0, APIC + 0x380
  mov counts + 4 * (TIMER - FIRST), %edi
  call dawdle
  cmp %edi, counts + 4 * (TIMER - FIRST)
  EXPECT "the periodic timer interrupts after it has been stopped"

  // Interprocessor interrupts of every kind.
  SEND 0x40000 + SHORTHAND_SELF
  AWAIT SHORTHAND_SELF, %ebx, 1, "no self-IPI came by the shorthand"
  FOR_OTHERS
  SEND 0x4000 + PHYSICAL, %ebx
  AWAIT PHYSICAL, %ebx, 1, "no IPI came by a physical destination"
  mov $1, %edx
  mov %ebx, %ecx
  shl %cl, %edx
  SEND 0x4800 + LOGICAL, %edx
  AWAIT LOGICAL, %ebx, 1, "no IPI came by a logical destination"
  SEND 0x4400, %ebx
  AWAIT NMI, %ebx, 1, "no NMI came"
  NEXT
  SEND 0x4800 + LOGICAL_GROUP, $0xFE
  OTHERS_TAKE LOGICAL_GROUP, "no IPI came by the logical destination of a group"
  SEND 0xC4000 + OTHERS
  OTHERS_TAKE OTHERS, "no IPI came by all but self"
  SEND 0x84000 + ALL
  OTHERS_TAKE ALL, "no IPI came by all including self"
  SEND 0x4000 + PHYSICAL_BROADCAST, $0xFF
  OTHERS_TAKE PHYSICAL_BROADCAST, "no IPI came by the physical destination of all"
  SEND 0xC4400
  FOR_OTHERS
  AWAIT NMI, %ebx, 2, "no NMI came by all but self"
  NEXT
  xor %ebx, %ebx
  AWAIT ALL, %ebx, 1, "no IPI came to its sender by all including self"
  AWAIT PHYSICAL_BROADCAST, %ebx, 1, "no IPI came to its sender by the physical destination of all"

  // All of them in x2APIC mode.
  SEND 0xC4000 + GO_TO_X2APIC
  OTHERS_TAKE GO_TO_X2APIC, "no IPI came that asks for x2APIC mode"
  WRITE_MSR 0x1B, $0xFEE00D00
  rdmsr
  cmp $0xFEE00D00, %eax
  EXPECT "IA32_APIC_BASE in x2APIC mode"
  IS 0x30, -1, "a local APIC in x2APIC mode is in memory"
  IS_MSR 0x802, 0, "the ID in x2APIC mode"
  IS_MSR 0x803, 0x01050014, "the version in x2APIC mode"
  IS_MSR 0x80D, 1, "LDR in x2APIC mode"
  IS_MSR 0x80F, 0x1FF, "SVR in x2APIC mode"
  xor %ebx, %ebx
  WRITE_MSR 0x83F, $MSR_SELF
  AWAIT MSR_SELF, %ebx, 1, "no self-IPI came by its MSR"
  FOR_OTHERS
  WRITE_MSR 0x830, $0x4000 + X2APIC_PHYSICAL, %ebx
  AWAIT X2APIC_PHYSICAL, %ebx, 1, "no IPI came in x2APIC mode by a physical destination"
  mov $1, %edi
  mov %ebx, %ecx
  shl %cl, %edi
  WRITE_MSR 0x830, $0x4800 + X2APIC_LOGICAL, %edi
  AWAIT X2APIC_LOGICAL, %ebx, 1, "no IPI came in x2APIC mode by a logical destination"
  WRITE_MSR 0x830, $0x4400, %ebx
  AWAIT NMI, %ebx, 3, "no NMI came in x2APIC mode"
  NEXT
  WRITE_MSR 0x830, $0xC4000 + X2APIC_OTHERS
  OTHERS_TAKE X2APIC_OTHERS, "no IPI came in x2APIC mode by all but self"

  // From x2APIC mode off, and back into xAPIC mode.
  WRITE_MSR 0x1B, $0xFEE00100
  IS 0x30, -1, "a local APIC that is off is in memory, after x2APIC mode"
  WRITE_MSR 0x1B, $0xFEE00900
  IS 0x20, 0, "the ID after x2APIC mode"
  IS 0x30, 0x01050014, "the version after x2APIC mode"
  IS 0xD0, 0, "LDR after x2APIC mode"
  IS 0xF0, 0xFF, "SVR after x2APIC mode"
  IS 0x300, 0, "ICR after x2APIC mode"
  movl $0x1FF, APIC + 0xF0
  xor %ebx, %ebx
  SEND 0x40000 + LAST_SELF
  AWAIT LAST_SELF, %ebx, 1, "no self-IPI came after x2APIC mode"

  // What came, came to whom it was for, and as often as it was sent.
  call dawdle
  mov counts + 4 * (TIMER - FIRST), %eax
  mov %eax, counts_of_first + 4 * (TIMER - FIRST)
  mov $counts, %edi
  mov $counts_of_first, %esi
  mov $KINDS, %ecx
  repe cmpsl
  EXPECT "the first processor has had other interrupts than were for it"
  FOR_OTHERS
  mov $counts_of_others, %esi
  mov $KINDS, %ecx
  repe cmpsl
  EXPECT "another processor has had other interrupts than were for it"
  NEXT
  mov $counts + 4 * KINDS * CPUS, %ecx
  sub %edi, %ecx
  shr $2, %ecx
  xor %eax, %eax
  repe scasl
  EXPECT "a processor that does not exist has had interrupts"

  mov $pass_text, %esi
  mov $0x10, %edi
leave:
  call print
  call drain
  mov %edi, %eax
  out %eax, $0xF4
1:
  cli
  hlt
  jmp 1b

// Says %esi, and leaves by %edi.
fail:
  mov %esi, %ebx
  mov $fail_text, %esi
  call print
  mov %ebx, %esi
  call print
  mov $line_end, %esi
  jmp leave

// The first 4 bytes of fw_cfg's item %eax into %ecx.
select_item:
  mov $0x510, %edx
  out %ax, %dx
  inc %edx
  mov $4, %ebp
1:
  in %dx, %al
  shrd $8, %eax, %ecx
  dec %ebp
  jnz 1b
  ret

// %eax: where the last RAM of Multiboot's memory map ends.
end_of_memory:
  mov information, %ebx
  mov 44(%ebx), %ecx
  mov 48(%ebx), %ebx
  add %ebx, %ecx
  xor %eax, %eax
1:
  cmpl $1, 20(%ebx)
  jne 2f
  mov 4(%ebx), %edx
  add 12(%ebx), %edx
  cmp %eax, %edx
  jb 2f
  mov %edx, %eax
2:
  add (%ebx), %ebx
  add $4, %ebx
  cmp %ecx, %ebx
  jb 1b
  ret

// %eax: how many processors the MP configuration table says are enabled.
count_in_mp_table:
  mov $0xF0000, %esi
1:
  cmpl $0x5F504D5F, (%esi)      // _MP_
  je 2f
  add $16, %esi
  cmp $0x100000, %esi
  jb 1b
  test %esi, %esi
  EXPECT "there is no MP floating pointer structure"
2:
  mov $16, %ecx
  call sum
  EXPECT "the checksum of the MP floating pointer structure"
  mov 4(%esi), %esi
  cmpl $0x504D4350, (%esi)      // PCMP
  EXPECT "the MP configuration table's signature"
  movzwl 4(%esi), %ecx
  call sum
  EXPECT "the checksum of the MP configuration table"
  cmpl $APIC, 36(%esi)
  EXPECT "the address of the local APICs in the MP configuration table"
  movzwl 34(%esi), %ecx
  add $44, %esi
  xor %eax, %eax
3:
  cmpb $0, (%esi)
  jne 4f
  movzbl 3(%esi), %edx
  and $1, %edx
  add %edx, %eax
  add $12, %esi
4:
  add $8, %esi
  loop 3b
  ret

// Whether the %ecx bytes at %esi sum up to 0. Changes %eax, %ecx and %edi.
sum:
  xor %eax, %eax
  mov %esi, %edi
1:
  add (%edi), %al
  inc %edi
  loop 1b
  test %al, %al
  ret

// Waits until the word at %eax is %ecx; the zero flag says whether it is. Changes %edx.
await:
  mov $3000000, %edx
1:
  cmp %ecx, (%eax)
  je 2f
  pause
  dec %edx
  jnz 1b
  cmp %ecx, (%eax)
2:
  ret

// Three periods of the timer, in which something might come that should not.
dawdle:
  mov $30000, %ecx
1:
  dec %ecx
  jnz 1b
  ret

set_up_vectors:
  mov $handlers, %eax
  mov $idt, %edi
  mov $64, %ecx
1:
  mov %ax, (%edi)
  movw $0x08, 2(%edi)
  movw $0x8E00, 4(%edi)
  mov %eax, %edx
  shr $16, %edx
  mov %dx, 6(%edi)
  add $8, %edi
  add $16, %eax
  loop 1b
  lidt idt_register
  ret

// Each of the 64 handlers has 16 bytes: it pushes the vector.
  .balign 16
handlers:
  .set number, 0
  .rept 64
  .balign 16
  push $number
  jmp interrupt
  .set number, number + 1
  .endr

interrupt:
  pusha
  mov 32(%esp), %edi
  cmp $0x20, %edi
  jae 1f
  cmp $2, %edi
  je 2f
  add $EXCEPTION, %edi
  mov $exception_text, %esi
  jmp fail
2:
  mov $NMI, %edi
1:
  cmp $GO_TO_X2APIC, %edi
  jne 1f
  mov $0x1B, %ecx
  rdmsr
  or $0x400, %eax
  wrmsr
1:
  mov $1, %eax
  cpuid
  shr $24, %ebx                 // the initial APIC ID
  shl $6, %ebx
  lock incl counts - 4 * FIRST(%ebx,%edi,4)
  cmp $NMI, %edi
  je 2f
  mov $0x1B, %ecx
  rdmsr
  test $0x400, %eax
  jnz 1f
  movl $0, APIC + 0xB0
  jmp 2f
1:
  WRITE_MSR 0x80B, $0
2:
  popa
  add $4, %esp
  iret

// Where another processor goes on, with the state that it has after a SIPI but for the mode.
start:
  mov $0x10, %eax
  mov %eax, %ds
  mov %eax, %es
  mov %eax, %ss
  lidt idt_register
  mov $1, %eax
  cpuid
  shr $24, %ebx
  mov %ebx, %esp
  inc %esp
  shl $12, %esp
  add $big, %esp
  mov $0x1B, %ecx
  rdmsr
  cmp $0xFEE00800, %eax
  EXPECT "IA32_APIC_BASE is not that of another processor in xAPIC mode"
  mov APIC + 0x20, %eax
  shr $24, %eax
  cmp %eax, %ebx
  EXPECT "the ID is not that of CPUID"
  IS 0xF0, 0xFF, "SVR after INIT"
  movl $0x1FF, APIC + 0xF0
  mov %ebx, %ecx
  mov $0x01000000, %eax
  shl %cl, %eax
  mov %eax, APIC + 0xD0
  sti
  lock incl online
1:
  hlt
  jmp 1b

  .code16
trampoline:
  cli
  lgdtl TRAMPOLINE + trampoline_gdt - trampoline
  mov %cr0, %eax
  or $1, %eax
  mov %eax, %cr0
  ljmpl $0x08, $start
trampoline_gdt:
  .short gdt_end - gdt - 1
  .long gdt
trampoline_end:
  .code32

  .data
  .balign 8
gdt:
  .quad 0, 0x00CF9B000000FFFF, 0x00CF93000000FFFF
gdt_end:
gdt_register:
  .short gdt_end - gdt - 1
  .long gdt
idt_register:
  .short 64 * 8 - 1
  .long idt
  .balign 4
// In the order of the vectors; the timer's is put in.
counts_of_first:
  .long 0, 0, 0, 0, 1, 1, 0, 0, 0, 0, 1, 1, 0, 0, 0, 1
counts_of_others:
  .long 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 0, 0, 0, 0, 3, 0
pass_text: .asciz "PASS\n"
fail_text: .asciz "FAIL "
line_end: .asciz "\n"
exception_text: .asciz "an exception, or an interrupt that nobody sent"
  .bss
  .balign 8
idt: .skip 64 * 8
counts: .skip 4 * KINDS * CPUS
information: .skip 4
processors: .skip 4
memory: .skip 4
online: .skip 4

  .if failure > EXCEPTION
  .error "a check has an exception's number"
  .endif
