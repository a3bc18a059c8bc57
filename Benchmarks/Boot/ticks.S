// A program for Linux: prints the time-stamp counter.
  .text
  .global _start
_start:
  rdtsc
  shl $32, %rdx
  or %rdx, %rax
  lea text_end(%rip), %rsi
  mov $10, %ecx
1:xor %edx, %edx
  div %rcx
  add $'0', %dl
  dec %rsi
  mov %dl, (%rsi)
  test %rax, %rax
  jnz 1b
  mov $1, %eax                  // write
  mov $1, %edi
  lea text_end + 1(%rip), %rdx
  sub %rsi, %rdx
  syscall
  mov $60, %eax                 // exit
  xor %edi, %edi
  syscall

  .data
  .skip 20
text_end:
  .ascii "\n"
