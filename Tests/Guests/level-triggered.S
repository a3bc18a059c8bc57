// Level-triggered interrupts from a device to the handler and back: the HPET's first timer at pin 20 of the I/O APIC, whose
// remote IRR the EOI clears. Then the 8259A's interrupts by a pin of delivery mode ExtINT, with LINT0 masked. In xAPIC and
// in x2APIC mode.
#include "apic.inc"
  .set IOAPIC, 0xFEC00000
  .set HPET, 0xFED00000
  .set PIN, 20
  .set TIMER_PIN, 2
  .set VECTOR, 0x51
  .set LINE_0, 0x60
  .set REMOTE_IRR, 1 << 14
  .set LEVEL, 1 << 15

// The lower half of a redirection entry. Changes RAX and RDX.
.macro READ_ENTRY pin
  mov $IOAPIC, %edx
  movl $0x10 + 2 * (\pin), (%rdx)
  mov 0x10(%rdx), %eax
.endm
.macro WRITE_ENTRY pin, value
  mov $IOAPIC, %edx
  movl $0x11 + 2 * (\pin), (%rdx)
  movl $0, 0x10(%rdx)
  movl $0x10 + 2 * (\pin), (%rdx)
  movl $\value, 0x10(%rdx)
.endm
.macro ENTRY_IS pin, value, name:vararg
  READ_ENTRY \pin
  cmp $\value, %eax
  EQUAL \name
.endm
.macro STATUS_IS value, name:vararg
  mov $HPET, %edx
  cmpl $\value, 0x20(%rdx)
  EQUAL \name
.endm
.macro COUNT_IS count, name:vararg
  cmpl $\count, count(%rip)
  EQUAL \name
.endm
.macro AWAIT number, name:vararg
  mov $\number, %eax
  call await
  EQUAL \name
.endm

guest:
  call set_up
  call set_up_vectors
  call all
  call enter_x2apic_mode
  call all
  jmp finish

all:
  WRITE SPURIOUS_VECTOR, 0x1FF
  SERVE VECTOR, of_level
  mov $HPET, %edx
  movl $0, 0x10(%rdx)
  mov 0x104(%rdx), %eax         // Tn_INT_ROUTE_CAP
  bt $PIN, %eax
  setnc %al
  test %al, %al
  EQUAL "the HPET's timer does not have pin 20"
  movl $2 | 1 << 2 | PIN << 9, 0x100(%rdx)
  movl $1, 0x10(%rdx)
  WRITE_ENTRY PIN, LEVEL | VECTOR
  movl $0, count(%rip)

  // Two interrupts of one event: the first handler does not clear the HPET's status.
  movl $1, leave_status(%rip)
  sti
  call start
  AWAIT 2, "the level did not interrupt again after EOI"
  call dawdle
  COUNT_IS 2, "an interrupt came without its level"
  STATUS_IS 0, "the HPET's status is not clear"
  ENTRY_IS PIN, LEVEL | VECTOR, "the entry has a request that is over"

  // A new event, which is cleared at once.
  call start
  AWAIT 3, "the next event did not interrupt"
  call dawdle
  COUNT_IS 3, "the next event interrupted twice"
  ENTRY_IS PIN, LEVEL | VECTOR, "the entry has a request that is over, after the next event"

  // While the task priority holds it back, the level goes: the request has been made.
  cli
  WRITE TASK_PRIORITY, 0xF0
  sti
  call start
  call dawdle
  COUNT_IS 3, "the task priority did not hold the level's interrupt back"
  ENTRY_IS PIN, LEVEL | REMOTE_IRR | VECTOR, "the entry of a request that waits"
  VECTORS_ARE REQUESTED, VECTOR, 1 << (VECTOR & 31), "IRR of a request that waits"
  WRITE TASK_PRIORITY, 0
  COUNT_IS 4, "the request did not interrupt when the task priority let it"

  // Without the broadcast of EOI, it is the I/O APIC's EOI register that ends the interrupt.
  WRITE SPURIOUS_VECTOR, 0x11FF
  call start
  AWAIT 5, "no interrupt came with EOI broadcasts suppressed"
  ENTRY_IS PIN, LEVEL | REMOTE_IRR | VECTOR, "an EOI was broadcast that was not to be"
  call start
  call dawdle
  COUNT_IS 5, "an interrupt came with remote IRR"
  mov $IOAPIC, %edx
  movl $VECTOR, 0x40(%rdx)
  AWAIT 6, "the level did not interrupt after a write to the I/O APIC's EOI register"
  mov $IOAPIC, %edx
  movl $VECTOR, 0x40(%rdx)
  WRITE SPURIOUS_VECTOR, 0x1FF
  ENTRY_IS PIN, LEVEL | VECTOR, "the entry after a write to the I/O APIC's EOI register"

  // The same vector from an edge has nothing to end.
  mov $HPET, %edx
  movl $1 << 2 | PIN << 9, 0x100(%rdx)
  WRITE_ENTRY PIN, VECTOR
  SERVE VECTOR, of_edge
  call start
  AWAIT 7, "the edge did not interrupt"
  call dawdle
  COUNT_IS 7, "the edge interrupted twice"
  ENTRY_IS PIN, VECTOR, "the entry of an edge"
  VECTORS_ARE TRIGGER_MODE, VECTOR, 0, "TMR of an edge"
  mov $HPET, %edx
  movl $0, 0x100(%rdx)
  movl $0, 0x10(%rdx)
  WRITE_ENTRY PIN, 1 << 16

  // The 8254's line is the I/O APIC's pin 2, and line 0 of the 8259A, which gives the vector.
  cli
  SERVE LINE_0, of_8259
  START_8259 LINE_0, 0xFE
  WRITE LINT0, 0x10700
  WRITE_ENTRY TIMER_PIN, 0x10700
  movl $0, count(%rip)
  sti
  call start_8254
  call dawdle
  call dawdle
  COUNT_IS 0, "the 8259A's interrupt came with LINT0 and the pin masked"
  cli
  mov $0x20, %al                // as the handler would have done
  out %al, $0x20
  WRITE_ENTRY TIMER_PIN, 0x700
  sti
  call start_8254
  AWAIT 1, "no interrupt of the 8259A's came by the pin"
  call dawdle
  COUNT_IS 1, "two interrupts of the 8259A's came by the pin"
  VECTORS_ARE REQUESTED, LINE_0, 0, "IRR has a vector of the 8259A's"
  call start_8254
  AWAIT 2, "no second interrupt of the 8259A's came by the pin"
  cli
  WRITE_ENTRY TIMER_PIN, 0x10700
  sti
  call start_8254
  call dawdle
  call dawdle
  COUNT_IS 2, "the 8259A's interrupt came with the pin masked again"
  // And by LINT0, where it has waited.
  WRITE LINT0, 0x700
  nop
  COUNT_IS 3, "the 8259A's interrupt did not come by LINT0"
  cli
  WRITE LINT0, 0x10700
  mov $0xFF, %al
  out %al, $0x21

  WRITE ERROR_STATUS, 0
  IS ERROR_STATUS, 0, "ESR is not 0"
  ret

// The HPET's timer fires soon.
start:
  mov $HPET, %edx
  mov 0xF0(%rdx), %rax
  add $2000, %rax               // 20 µs
  mov %rax, 0x108(%rdx)
  ret

// Channel 0 in mode 0: its output rises once.
start_8254:
  mov $0x30, %al
  out %al, $0x43
  mov $24, %al                  // 20 µs
  out %al, $0x40
  mov $0, %al
  out %al, $0x40
  ret

// Until %eax interrupts have come; the zero flag says whether they have.
await:
  mov $200000, %ecx
1:
  cmp %eax, count(%rip)
  je 2f
  dec %ecx
  jnz 1b
  cmp %eax, count(%rip)
2:
  ret

of_level:
  SAVE
  incl count(%rip)
  VECTORS_ARE IN_SERVICE, VECTOR, 1 << (VECTOR & 31), "ISR in the handler"
  VECTORS_ARE REQUESTED, VECTOR, 0, "IRR in the handler"
  VECTORS_ARE TRIGGER_MODE, VECTOR, 1 << (VECTOR & 31), "TMR in the handler"
  STATUS_IS 1, "the HPET's status in the handler"
  ENTRY_IS PIN, LEVEL | REMOTE_IRR | VECTOR, "the entry in the handler"
  cmpl $0, leave_status(%rip)
  jne 1f
  mov $HPET, %edx
  movl $1, 0x20(%rdx)
  ENTRY_IS PIN, LEVEL | REMOTE_IRR | VECTOR, "the entry in the handler, with the level gone"
  WRITE END_OF_INTERRUPT, 0
  VECTORS_ARE REQUESTED, VECTOR, 0, "IRR after the EOI, with the level gone"
  RESTORE
  iretq
1:
  movl $0, leave_status(%rip)
  WRITE END_OF_INTERRUPT, 0
  ENTRY_IS PIN, LEVEL | REMOTE_IRR | VECTOR, "the entry after the EOI, with the level"
  VECTORS_ARE REQUESTED, VECTOR, 1 << (VECTOR & 31), "IRR after the EOI, with the level"
  VECTORS_ARE IN_SERVICE, VECTOR, 0, "ISR after the EOI, with the level"
  RESTORE
  iretq

of_edge:
  SAVE
  incl count(%rip)
  WRITE END_OF_INTERRUPT, 0
  RESTORE
  iretq

of_8259:
  SAVE
  incl count(%rip)
  VECTORS_ARE IN_SERVICE, LINE_0, 0, "ISR has a vector of the 8259A's"
  mov $0x20, %al
  out %al, $0x20
  RESTORE
  iretq

  .bss
  .balign 4
count: .skip 4
leave_status: .skip 4
  .text
