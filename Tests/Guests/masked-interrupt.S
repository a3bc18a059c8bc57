// An interrupt that the local APIC requests waits while RFLAGS.IF is 0, whatever the host's processor is interrupted by
// meanwhile: a timer's deadlines and the serial port's output keep the host busy.
#include "guest.inc"
  .set VECTOR, 31               // of the handlers that the guests share

guest:
  call set_up
  mov $0xFF, %al                // no line of the 8259As reaches the processor
  out %al, $0x21
  out %al, $0xA1
  mov $0x34, %al                // channel 0 every millisecond
  out %al, $0x43
  mov $0xA9, %al
  out %al, $0x40
  mov $0x04, %al
  out %al, $0x40
  mov $0x1B, %ecx               // x2APIC mode
  rdmsr
  or $0xC00, %eax
  wrmsr
  mov $0x80F, %ecx
  mov $0x1FF, %eax
  xor %edx, %edx
  wrmsr
  mov $8, %ebx
1:
  lea noise(%rip), %rsi
  call print
  sti
  nop
  TRY
  cli
  mov $0x83F, %ecx              // SELF IPI
  mov $VECTOR, %eax
  xor %edx, %edx
  wrmsr
  mov $500000, %ecx
2:
  dec %ecx
  jnz 2b
  WORKS "an interrupt came with RFLAGS.IF = 0"
  TRY
  sti
  nop
  nop
  FAULTS VECTOR, 0, "the interrupt did not come with RFLAGS.IF = 1"
  cli
  mov $0x80B, %ecx              // EOI
  xor %eax, %eax
  xor %edx, %edx
  wrmsr
  dec %ebx
  jnz 1b
  jmp finish

  .data
noise: .asciz "a line that the host's serial port is busy with for a while\n"
