// What the assembly of this target gives to Swift.
#ifndef BOOT_H
#define BOOT_H

#include <stdbool.h>
#include <stdint.h>

// vmentry.S
uint8_t vmentry(void *registers, bool resume);
extern const char vmexit[];

// vectors.S: 256 entries, 16 bytes apart
extern const char vectors[];

// boot.S
extern const uint32_t boot_magic, boot_information;
extern const char gdt[], task_state[], stack_guard[], stack_top[];

// link.ld
extern const char image_start[], text_end[], constants_end[], image_end[];

#endif
