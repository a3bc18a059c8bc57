// CPUID of all leaves that mean something, and of some that do not.
#include "guest.inc"

// Leaves %r12d up to, but without, %r13d, with 40 sub-leaves of each.
read_range:
  xor %r14d, %r14d
1:
  mov %r12d, %eax
  mov %r14d, %ecx
  cpuid
  inc %r14d
  cmp $40, %r14d
  jne 1b
  inc %r12d
  cmp %r12d, %r13d
  jne read_range
  ret

guest:
  call set_up
  xor %r12d, %r12d
  mov $0x40, %r13d
  call read_range
  mov $0x40000000, %r12d
  mov $0x40000120, %r13d
  call read_range
  mov $0x80000000, %r12d
  mov $0x80000030, %r13d
  call read_range
  mov $0xFFFFFFFF, %r12d
  xor %r13d, %r13d
  call read_range

  mov $0, %eax
  cpuid
  cmp $0x756E6547, %ebx
  EQUAL "the vendor is GenuineIntel"
  mov %eax, %r12d
  mov %eax, %eax
  xor %ecx, %ecx
  cpuid
  mov %eax, %r8d
  mov %ebx, %r9d
  mov $0x3FFFFFFF, %eax
  xor %ecx, %ecx
  cpuid
  cmp %eax, %r8d
  EQUAL "a leaf beyond the highest has the data of the highest: EAX"
  cmp %ebx, %r9d
  EQUAL "a leaf beyond the highest has the data of the highest: EBX"
  mov $1, %eax
  cpuid
  test $0x20, %ecx
  EQUAL "no VMX"
  test $0x08000000, %ecx
  EQUAL "OSXSAVE follows CR4, which has it 0"
  bt $31, %ecx
  setc %al
  cmp $1, %al
  EQUAL "a hypervisor is present"
  bt $26, %ecx
  jnc 1f
  mov %cr4, %rax
  or $0x40000, %rax
  mov %rax, %cr4
  mov $1, %eax
  cpuid
  bt $27, %ecx
  setc %al
  cmp $1, %al
  EQUAL "OSXSAVE follows CR4, which has it 1"
1:
  mov $0x40000000, %eax
  cpuid
  cmp $0x70656B53, %ebx
  EQUAL "the hypervisor is Skep"
  jmp finish
