// Never leaves the handler of an NMI that it has sent itself, and sends another one, which waits.
#include "guest.inc"
guest:
  call set_up
  HANDLE 2, handler
  mov $0x1B, %ecx               // x2APIC mode
  rdmsr
  or $0xC00, %eax
  wrmsr
  call send
1:
  jmp 1b
handler:
  call send
1:
  jmp 1b
send:
  mov $0x830, %ecx              // an NMI for the processor with ID 0
  mov $0x4400, %eax
  xor %edx, %edx
  wrmsr
  ret
