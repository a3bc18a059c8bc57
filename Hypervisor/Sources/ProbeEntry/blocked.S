// A VM entry directly behind an instruction that loads SS.

#define HOST_RSP 128

// uint8_t vmentry_blocked_by_mov_ss(GuestRegisters *registers, bool resume)
// 1 for VMfailInvalid, 2 for VMfailValid. Should the processor enter the guest all the same, then `vmexit` of vmentry.S
// finds the stack as `vmentry` would have left it, and returns 0.
  .text
  .global vmentry_blocked_by_mov_ss
vmentry_blocked_by_mov_ss:
  push %rbx
  push %rbp
  push %r12
  push %r13
  push %r14
  push %r15
  mov %rsp, HOST_RSP(%rdi)
  // The null selector, which 64-bit mode allows: a state before may have loaded a GDTR with nothing behind it.
  xor %eax, %eax
  test %sil, %sil
  jz 1f
  mov %eax, %ss
  vmresume
  jmp 2f
1:mov %eax, %ss
  vmlaunch
2:mov $1, %eax
  jc 3f
  mov $2, %eax
3:pop %r15
  pop %r14
  pop %r13
  pop %r12
  pop %rbp
  pop %rbx
  ret
