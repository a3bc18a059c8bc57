// Every VMX instruction causes #UD, at privilege level 0 and at 3: CPUID shows no VMX.
#include "guest.inc"

.macro UNDEFINED name, instruction:vararg
  TRY
  \instruction
  FAULTS VECTOR_UD, 0, "\name, CPL 0"
  TRY
  lea 773f(%rip), %rdi
  jmp go_to_user_mode
773:
  \instruction
  ud2
  FAULTS VECTOR_UD, 0, "\name, CPL 3"
  lea 773b(%rip), %rax
  cmp fault_rip(%rip), %rax
  EQUAL "\name, CPL 3: RIP"
.endm

guest:
  call set_up
  call allow_user_mode
  lea operand(%rip), %rbx
  xor %eax, %eax
  UNDEFINED "VMCALL", vmcall
  UNDEFINED "VMCLEAR", vmclear operand(%rip)
  UNDEFINED "VMLAUNCH", vmlaunch
  UNDEFINED "VMRESUME", vmresume
  UNDEFINED "VMPTRLD", vmptrld operand(%rip)
  UNDEFINED "VMPTRST", vmptrst operand(%rip)
  UNDEFINED "VMREAD", vmread %rax, %rcx
  UNDEFINED "VMREAD to memory", vmread %rax, operand(%rip)
  UNDEFINED "VMWRITE", vmwrite %rcx, %rax
  UNDEFINED "VMXOFF", vmxoff
  UNDEFINED "VMXON", vmxon operand(%rip)
  UNDEFINED "INVEPT", invept operand(%rip), %rax
  UNDEFINED "INVVPID", invvpid operand(%rip), %rax
  UNDEFINED "VMFUNC", vmfunc
  UNDEFINED "GETSEC", getsec
  UNDEFINED "RSM", rsm
  UNDEFINED "ENCLS", encls
  cmpq $0x12345678, operand(%rip)
  EQUAL "memory is unchanged"
  jmp finish
  .data
  .balign 8
operand: .quad 0x12345678, 0
  .text
