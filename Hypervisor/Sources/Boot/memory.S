// What the compiler calls for large copies and fills: by quadwords, then the bytes that are left, since an emulator
// counts every iteration.
  .text
  .global memcpy, memset, memmove
  .balign 16
memcpy:
  mov %rdi, %rax
1:mov %rdx, %rcx
  shr $3, %rcx
  rep movsq
  mov %edx, %ecx
  and $7, %ecx
  rep movsb
  ret
  .balign 16
memset:
  mov %rdi, %r8
  movzbl %sil, %eax
  mov $0x0101010101010101, %rcx
  imul %rcx, %rax
  mov %rdx, %rcx
  shr $3, %rcx
  rep stosq
  mov %edx, %ecx
  and $7, %ecx
  rep stosb
  mov %r8, %rax
  ret
  .balign 16
memmove:
  mov %rdi, %rax
  cmp %rsi, %rdi
  jbe 1b
  mov %rdx, %rcx
  lea -1(%rdi,%rdx), %rdi
  lea -1(%rsi,%rdx), %rsi
  std
  rep movsb
  cld
  ret
