// What the parts of the hostile guest share.
#pragma once

// Selectors of the guest's own GDT.
#define CODE_64 0x08
#define DATA 0x10
#define CODE_32 0x18
#define CODE_16 0x20
#define USER_CODE_64 0x2B
#define USER_DATA 0x33
#define USER_CODE_32 0x3B
#define USER_CODE_16 0x43
#define TASK_64 0x48
#define LOCAL_TABLE 0x58
#define TASK_32 0x68
#define TASK_RECOVERY 0x70
#define TASK_NOISE 0x78
#define REAL_CODE 0x80
#define REAL_DATA 0x88
#define RING_1_CODE_64 0x91
#define RING_1_CODE_32 0x99
#define RING_1_DATA 0xA1
#define RING_2_CODE_64 0xAA
#define RING_2_CODE_32 0xB2
#define RING_2_DATA 0xBA
#define MEMORY_DATA 0xC3
#define NOISE 0xC8

// Where code for real mode is copied to.
#define LOW_AP 0x6000
#define LOW_RECOVERY 0x8000
#define REAL_NOISE 0x9000
// FFFC:0140 in real mode; the privilege level of protected mode is in the last bits of the segment already.
#define HIGH_RECOVERY 0x100100
#define REAL_STACK 0xF000

// The control registers that the guest recovers to.
#define GOLDEN_CR0 0x80010033
#define GOLDEN_CR4 0x620
#define GOLDEN_EFER 0x901

#define CR4_PAE 0x20
#define CR4_UMIP 0x800
#define CR4_FSGSBASE 0x10000
#define CR4_PCIDE 0x20000
#define CR4_OSXSAVE 0x40000
#define CR4_SMEP 0x100000
#define CR4_SMAP 0x200000
#define CR4_PKE 0x400000

#ifndef __ASSEMBLER__
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

typedef uint64_t table[512] __attribute__((aligned(4096)));

// The registers that noise starts with, in the order in which `enter` of start.S loads them.
typedef struct {
  uint64_t rax, rbx, rcx, rdx, rsi, rdi, rbp, r8, r9, r10, r11, r12, r13, r14, r15;
  uint64_t rip, cs, rflags, rsp, ss;
} registers;

// The only part of the image that can be written while noise runs.
typedef struct {
  uint8_t stacks[3 * 4096];
  int32_t steps, nmis;
  uint8_t vector;
  uint32_t position;
} __attribute__((aligned(4096))) writable;

extern writable hp;
extern registers state;
// The noise in tables: of the second entry of the top one.
extern table golden, victim, noise_3, noise_2, noise_1;
extern uint32_t noise_32[1024], directory_32[1024];
extern uint64_t gdt[64];

extern volatile uint32_t ap_ticks;
extern bool two_processors;
extern uint64_t round_number, rounds;
// What the processor has: bits of control register 4, and of XCR0.
extern uint64_t cr4_features, xcr0_features;
// Control register 4 for what `enter` runs.
extern uint64_t noise_cr4;

// The kinds of access to a port: of 1, 2 or 4 bytes, by IN, INS, OUT or OUTS.
#define PORT_KINDS 12
// A guest begins with its part of all ports and kinds, and that of the next seed is the next.
#define PORT_PARTS 64
#define PORT_PART (0x10000 * PORT_KINDS / PORT_PARTS)
// Where its part ends, and whether its last rounds write to the ports that may end it.
extern uint32_t part_end;
extern bool ends_by_port;

uint64_t noise(void);
static inline uint64_t below(uint64_t limit) { return noise() % limit; }
static inline bool one_in(uint64_t n) { return below(n) == 0; }

// Runs what `state` says until it faults, has executed `hp.steps` instructions, or an NMI says that it takes too long.
_Noreturn void enter(void);
// The same in real mode, where the instructions are at `REAL_NOISE`, and outside IA-32e mode with `legacy`: in virtual-8086
// mode if RFLAGS.VM is 1.
_Noreturn void enter_real(void);
_Noreturn void enter_protected(void);

// The control registers of protected mode outside IA-32e mode, and what its data segments are.
typedef struct {
  uint32_t cr0, cr3, cr4, data;
} legacy_mode;
extern legacy_mode legacy;

void play_round(void);
void set_victim_page(unsigned index, uint64_t entry);
// Page tables of 32-bit and of PAE paging, for `legacy.cr3`; the second GByte is of noise.
uint32_t make_32_bit_tables(void);
uint32_t make_pae_tables(void);
// The CR3 of the task that ends noise.
void set_recovery_paging(uint32_t cr3);
// From now on #GP skips the two bytes of its instruction.
void skip_general_protection(void);
void say(const char *text, uint64_t number);
void wrmsr(uint32_t index, uint64_t value);
uint64_t rdmsr(uint32_t index);
void out8(uint16_t port, uint8_t value);

#define SCRATCH 0x1000000ul
#define SCRATCH_SIZE 0x1000000ul
#define IOAPIC 0xFEC00000ul
#define HPET 0xFED00000ul
#define APIC 0xFEE00000ul
// The entry of the page directory of 32-bit paging from which on those are noise.
#define NOISE_DIRECTORY 0x100
// Where the page tables made of noise are looked at: the second entry of the top table.
#define NOISE_ADDRESS (1ul << 39)
#endif
