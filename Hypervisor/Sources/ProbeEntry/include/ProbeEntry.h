// What the probe does that a hypervisor never would.
#ifndef PROBE_ENTRY_H
#define PROBE_ENTRY_H

#include <stdbool.h>
#include <stdint.h>

// blocked.S: as `vmentry`, with blocking by MOV SS.
uint8_t vmentry_blocked_by_mov_ss(void *registers, bool resume);

#endif
