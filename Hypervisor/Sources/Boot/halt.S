// void halt_unless(const void *flag)
//
// Waits, with interrupts enabled, for an interrupt or an NMI; not if the byte `flag` is not 0. The handler of NMIs sets
// the byte, and if the NMI came between `halt_start` and `halt_end` it returns to `halt_end`: so none comes too early
// to end the HLT.
  .text
  .global halt_unless, halt_start, halt_end
  .balign 16
halt_unless:
halt_start:
  cmpb $0, (%rdi)
  jne halt_end
  sti
  hlt
halt_end:
  cli
  ret
