// What the assembly of this target, and the linker script, give to Swift.
#ifndef BOOT_H
#define BOOT_H

#include <stdbool.h>
#include <stdint.h>
#include "Processors.h"

// vmentry.S
uint8_t vmentry(void *registers, bool resume);

// halt.S
void halt_unless(const void *flag);

// boot.S
extern const uint32_t boot_magic, boot_information;

// Addresses of symbols, as numbers, since Swift cannot take the address of an array of unknown length.
// Not const, since some of it is written: the compiler would drop that.
#define BOOT_ADDRESS(symbol)                               \
  extern char symbol[];                                    \
  static inline __attribute__((always_inline)) uint64_t address_of_##symbol(void) { return (uint64_t)symbol; }

BOOT_ADDRESS(vmexit)          // vmentry.S
BOOT_ADDRESS(halt_start)      // halt.S
BOOT_ADDRESS(halt_end)
BOOT_ADDRESS(vectors)         // vectors.S: 256 entries, 16 bytes apart
BOOT_ADDRESS(gdt)             // boot.S
BOOT_ADDRESS(task_state)      // one for each processor, TASK_STATE_STRIDE apart
BOOT_ADDRESS(processor_stacks)
BOOT_ADDRESS(processor_slots)     // zero at the start
BOOT_ADDRESS(starting_processor)  // 32 bits: the index of the processor that the trampoline starts
BOOT_ADDRESS(trampoline)          // trampoline.S
BOOT_ADDRESS(trampoline_end)
BOOT_ADDRESS(image_start)     // link.ld
BOOT_ADDRESS(text_end)
BOOT_ADDRESS(constants_end)
BOOT_ADDRESS(image_end)

#endif
