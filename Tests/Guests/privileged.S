// Privileged instructions at privilege level 3 cause #GP(0), whether they exit or not, and MONITOR and MWAIT #UD.
#include "guest.inc"

.macro USER vector, name, instruction:vararg
  TRY
  lea 773f(%rip), %rdi
  jmp go_to_user_mode
773:
  \instruction
  ud2
  FAULTS \vector, 0, "\name"
  lea 773b(%rip), %rax
  cmp fault_rip(%rip), %rax
  EQUAL "\name: RIP"
.endm

guest:
  call set_up
  call allow_user_mode
  mov $0x1B, %ecx
  xor %eax, %eax
  xor %edx, %edx
  USER VECTOR_GP, "HLT", hlt
  USER VECTOR_GP, "INVD", invd
  USER VECTOR_GP, "WBINVD", wbinvd
  USER VECTOR_GP, "RDMSR", rdmsr
  USER VECTOR_GP, "WRMSR", wrmsr
  USER VECTOR_GP, "MOV from CR0", mov %cr0, %rcx
  USER VECTOR_GP, "MOV to CR0", mov %rcx, %cr0
  USER VECTOR_GP, "MOV to CR4", mov %rcx, %cr4
  USER VECTOR_GP, "MOV from CR8", mov %cr8, %rcx
  USER VECTOR_GP, "MOV to CR8", mov %rcx, %cr8
  USER VECTOR_GP, "CLTS", clts
  USER VECTOR_GP, "LMSW", lmsw %cx
  USER VECTOR_GP, "INVLPG", invlpg (%rsp)
  USER VECTOR_GP, "MOV to DR7", mov %rcx, %dr7
  USER VECTOR_UD, "MWAIT", mwait
  USER VECTOR_UD, "MONITOR", monitor
  TRY
  mwait
  FAULTS VECTOR_UD, 0, "MWAIT, CPL 0: CPUID does not show it"
  TRY
  monitor
  FAULTS VECTOR_UD, 0, "MONITOR, CPL 0: CPUID does not show it"
  TRY
  wbinvd
  invd
  WORKS "WBINVD and INVD, CPL 0"
  jmp finish
