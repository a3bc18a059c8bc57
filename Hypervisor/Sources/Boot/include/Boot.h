// What the assembly of this target, and the linker script, give to Swift.
#ifndef BOOT_H
#define BOOT_H

#include <stdbool.h>
#include <stdint.h>

// vmentry.S
uint8_t vmentry(void *registers, bool resume);

// boot.S
extern const uint32_t boot_magic, boot_information;

// Addresses of symbols, as numbers, since Swift cannot take the address of an array of unknown length.
#define BOOT_ADDRESS(symbol)                               \
  extern const char symbol[];                              \
  static inline __attribute__((always_inline)) uint64_t address_of_##symbol(void) { return (uint64_t)symbol; }

BOOT_ADDRESS(vmexit)          // vmentry.S
BOOT_ADDRESS(vectors)         // vectors.S: 256 entries, 16 bytes apart
BOOT_ADDRESS(gdt)             // boot.S
BOOT_ADDRESS(task_state)
BOOT_ADDRESS(stack_guard)
BOOT_ADDRESS(image_start)     // link.ld
BOOT_ADDRESS(text_end)
BOOT_ADDRESS(constants_end)
BOOT_ADDRESS(image_end)

#endif
