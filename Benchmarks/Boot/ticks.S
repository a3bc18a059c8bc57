// A program for Linux: prints the time-stamp counter; with POWER_TIMER, ACPI's power management timer, with status 1 if the
// kernel does not let it.
  .text
  .global _start
_start:
#ifdef POWER_TIMER
  mov $173, %eax                // ioperm
  mov $0x608, %edi
  mov $4, %esi
  mov $1, %edx
  syscall
  mov $1, %edi
  test %rax, %rax
  jnz exit
  mov $0x608, %edx
  in %dx, %eax                  // 32 bits at once; RAX has no others
#else
  rdtsc
  shl $32, %rdx
  or %rdx, %rax
#endif
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
  xor %edi, %edi
exit:
  mov $60, %eax                 // exit
  syscall

  .data
  .skip 20
text_end:
  .ascii "\n"
