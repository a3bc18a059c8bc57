// How many processors the image runs on at most, and what each has: numbers for the assembly and for Swift.
#ifndef PROCESSORS_H
#define PROCESSORS_H

#define MAXIMUM_PROCESSOR_COUNT 8

// One after the other, lowest address first: a page that is not mapped, so that an overflow faults instead of writing
// elsewhere; the stack; a page for the handler of NMIs, which come anywhere; and the stack of double faults and machine
// checks, which do not trust the first.
#define PROCESSOR_STACK_STRIDE 0x10000
#define PROCESSOR_STACK_TOP 0xD000
#define PROCESSOR_NMI_STACK_TOP 0xE000

// The GDT has a descriptor of 16 bytes for each processor's TSS, so the selector in TR says which processor this is.
#define FIRST_TASK_SELECTOR 0x18
#define TASK_STATE_STRIDE 128

#define PROCESSOR_SLOT_STRIDE 64

#endif
