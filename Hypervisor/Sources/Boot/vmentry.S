// The VM-entry stub.
//
// The host-state area's RSP is constant: it points to the end of the guest's registers (`GuestRegisters`, sixteen
// quadwords), so that a VM exit stores them by pushes and no VMWRITE is due for an entry. The quadword behind them
// keeps the host's RSP.

#define HOST_RSP 128

// uint8_t vmentry(GuestRegisters *registers, bool resume)
// 0 after a VM exit, 1 for VMfailInvalid, 2 for VMfailValid.
  .text
  .global vmentry
  .balign 64
vmentry:
  push %rbx
  push %rbp
  push %r12
  push %r13
  push %r14
  push %r15
  mov %rsp, HOST_RSP(%rdi)
  test %sil, %sil
  mov 0x00(%rdi), %rax
  mov 0x08(%rdi), %rcx
  mov 0x10(%rdi), %rdx
  mov 0x18(%rdi), %rbx
  mov 0x28(%rdi), %rbp
  mov 0x30(%rdi), %rsi
  mov 0x40(%rdi), %r8
  mov 0x48(%rdi), %r9
  mov 0x50(%rdi), %r10
  mov 0x58(%rdi), %r11
  mov 0x60(%rdi), %r12
  mov 0x68(%rdi), %r13
  mov 0x70(%rdi), %r14
  mov 0x78(%rdi), %r15
  mov 0x38(%rdi), %rdi
  jz 1f
  vmresume
  jmp 2f
1:vmlaunch
2:// Only a failed instruction comes here. RSP is still the host's.
  mov $1, %eax
  jc 3f
  mov $2, %eax
3:pop %r15
  pop %r14
  pop %r13
  pop %r12
  pop %rbp
  pop %rbx
  ret

// Where every VM exit arrives: RSP points behind the guest's registers.
  .global vmexit
  .balign 64
vmexit:
  push %r15
  push %r14
  push %r13
  push %r12
  push %r11
  push %r10
  push %r9
  push %r8
  push %rdi
  push %rsi
  push %rbp
  push %rsp
  push %rbx
  push %rdx
  push %rcx
  push %rax
  mov HOST_RSP(%rsp), %rsp
  xor %eax, %eax
  pop %r15
  pop %r14
  pop %r13
  pop %r12
  pop %rbp
  pop %rbx
  ret
