// What the compiler's runtime asks for.

  .text

// unsigned __int128 __udivti3(unsigned __int128 n, unsigned __int128 d), for divisors below 2 to the 64th, the only ones
// that the image has: RDI and RSI are the low and the high half of n, RDX is d.
  .global __udivti3
  .balign 16
__udivti3:
  test %rcx, %rcx
  jnz unsupported
  mov %rdx, %rcx
  mov %rsi, %rax
  xor %edx, %edx
  div %rcx
  mov %rax, %rsi
  mov %rdi, %rax
  div %rcx
  mov %rsi, %rdx
  ret

// The image has no heap and hashes nothing. These names occur in code that the compiler emits for public properties and
// that nothing calls; a call would be Skep's own bug, and ends in the report of an invalid opcode.
  .global posix_memalign, free, arc4random_buf
posix_memalign:
free:
arc4random_buf:
unsupported:
  ud2
