// The 256 entries of the IDT. Each pushes what the processor did not, so that every frame has the same shape
// (`InterruptFrame` in Swift), and goes to `hypervisor_interrupt`.

  .text
  .balign 16
  .global vectors
vectors:
  .set vector, 0
  .rept 256
  .balign 16
  // Vectors for which the processor pushes an error code: SDM, "Exceptions and Interrupts".
  .if !(vector == 8 || (vector >= 10 && vector <= 14) || vector == 17 || vector == 21)
  push $0
  .endif
  push $vector
  jmp common
  .set vector, vector + 1
  .endr

common:
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
  cld
  mov %rsp, %rdi
  mov %rsp, %rbx
  and $-16, %rsp
  call hypervisor_interrupt
  mov %rbx, %rsp
  pop %rax
  pop %rcx
  pop %rdx
  pop %rbx
  add $8, %rsp
  pop %rbp
  pop %rsi
  pop %rdi
  pop %r8
  pop %r9
  pop %r10
  pop %r11
  pop %r12
  pop %r13
  pop %r14
  pop %r15
  add $16, %rsp
  iretq
