// What the hostile guest does in its rounds.

#include "guest.h"

static uint8_t *code;
static bool is_part_done;
extern uint32_t task[], noise_task[];
extern char low_state[], low_flags[], low_steps[], low_start[];

static void emit(const void *bytes, unsigned count) {
  for (unsigned index = 0; index < count; index++) *code++ = ((const uint8_t *)bytes)[index];
}

static void emit_noise(unsigned count) { while (count--) *code++ = (uint8_t)noise(); }

#define EMIT(...) emit((const uint8_t[]){__VA_ARGS__}, sizeof(const uint8_t[]){__VA_ARGS__})

// A value that something may stumble over.
static uint64_t odd_value(void) {
  switch (below(10)) {
  case 0: return 0;
  case 1: return 1ul << below(64);
  case 2: return ~0ul;
  case 3: return below(256);
  case 4: return -below(256);
  case 5: return SCRATCH + below(SCRATCH_SIZE);
  case 6: return (uint32_t)noise();
  case 7: return NOISE_ADDRESS + below(1 << 21);
  case 8: return SCRATCH + (below(SCRATCH_SIZE) & ~0xFFFul) - below(16);
  default: return noise();
  }
}

static uint64_t scratch(void) { return SCRATCH + 0x100000 + (below(SCRATCH_SIZE - 0x200000) & ~7ul); }

// An address without memory.
static uint64_t nowhere(void) {
  return one_in(4) ? (noise() & 0xFFFFFFFFFF) | 1ul << 32 : SCRATCH + SCRATCH_SIZE + below((1ul << 32) - SCRATCH - SCRATCH_SIZE);
}

// A register of a device in memory, or where none is. With a second processor there are no writes that could send it an INIT.
static uint64_t device_address(void) {
  uint64_t offset = one_in(8) ? below(4096) : below(0x40) * 16;
  switch (below(two_processors ? 2 : 3)) {
  case 0:
    if (two_processors && offset >= 0x2F0 && offset < 0x320) offset = 0xB0;
    return APIC + offset;
  case 1: return HPET + (one_in(2) ? offset : below(0x200));
  default: return IOAPIC + (one_in(2) ? offset : below(2) * 16);
  }
}

static void fill_registers(void) {
  uint64_t *values = &state.rax;
  for (int index = 0; index < 15; index++)
    values[index] = one_in(3) ? odd_value() : one_in(24) && !two_processors ? device_address() : scratch();
  if (one_in(2)) state.rcx = below(40);
}

// Instructions that only a hypervisor has much to do with. Each may be followed by noise.
static const struct {
  uint8_t count, bytes[7];
} special[] = {
  {3, {0x0F, 0x01, 0xC1}}, {3, {0x0F, 0x01, 0xC2}}, {3, {0x0F, 0x01, 0xC3}}, {3, {0x0F, 0x01, 0xC4}},  // VMCALL … VMXOFF
  {3, {0x0F, 0x01, 0xD4}}, {3, {0x0F, 0x01, 0xCF}}, {3, {0x0F, 0x01, 0xD7}}, {3, {0x0F, 0x01, 0xC0}},  // VMFUNC, ENCLS …
  {2, {0x0F, 0x37}}, {2, {0x0F, 0xAA}},                                        // GETSEC, RSM
  {3, {0x0F, 0xC7, 0x37}}, {3, {0x0F, 0xC7, 0x3F}}, {4, {0x66, 0x0F, 0xC7, 0x37}}, {4, {0xF3, 0x0F, 0xC7, 0x37}},
  {3, {0x0F, 0x78, 0x07}}, {3, {0x0F, 0x79, 0x07}}, {3, {0x0F, 0x78, 0xC8}}, {3, {0x0F, 0x79, 0xC8}},  // VMREAD, VMWRITE
  {5, {0x66, 0x0F, 0x38, 0x80, 0x0F}}, {5, {0x66, 0x0F, 0x38, 0x81, 0x0F}}, {5, {0x66, 0x0F, 0x38, 0x82, 0x0F}},
  {2, {0x0F, 0x32}}, {2, {0x0F, 0x30}}, {2, {0x0F, 0x33}}, {2, {0x0F, 0x31}}, {3, {0x0F, 0x01, 0xF9}},
  {2, {0x0F, 0xA2}}, {3, {0x0F, 0x01, 0xD1}}, {3, {0x0F, 0x01, 0xD0}}, {2, {0x0F, 0x08}}, {2, {0x0F, 0x09}},
  {3, {0x0F, 0x01, 0xC8}}, {3, {0x0F, 0x01, 0xC9}}, {2, {0xF3, 0x90}}, {2, {0x0F, 0x06}},
  {3, {0x0F, 0x22, 0xC0}}, {3, {0x0F, 0x22, 0xC3}}, {3, {0x0F, 0x22, 0xD9}}, {3, {0x0F, 0x22, 0xE2}}, {3, {0x0F, 0x20, 0xC3}},
  {3, {0x0F, 0x20, 0xE3}}, {3, {0x0F, 0x20, 0xD8}}, {4, {0x44, 0x0F, 0x22, 0xC0}}, {4, {0x44, 0x0F, 0x20, 0xC0}},
  {3, {0x0F, 0x01, 0xF0}}, {3, {0x0F, 0x01, 0xE0}}, {3, {0x0F, 0x01, 0x37}}, {3, {0x0F, 0x01, 0x27}},  // LMSW, SMSW
  {3, {0x0F, 0x01, 0x3F}}, {3, {0x0F, 0x01, 0x07}}, {3, {0x0F, 0x01, 0x0F}},              // INVLPG, SGDT, SIDT
  {3, {0x0F, 0x01, 0x17}}, {3, {0x0F, 0x01, 0x1F}}, {3, {0x0F, 0x00, 0xD0}}, {3, {0x0F, 0x00, 0xD8}},  // LGDT … LTR
  {3, {0x0F, 0x00, 0xC0}}, {3, {0x0F, 0x00, 0xE0}}, {3, {0x0F, 0x00, 0xE8}},
  {3, {0x0F, 0x23, 0xC0}}, {3, {0x0F, 0x23, 0xF8}}, {3, {0x0F, 0x21, 0xF8}}, {3, {0x0F, 0x23, 0xF2}},
  {1, {0xEC}}, {1, {0xED}}, {1, {0xEE}}, {1, {0xEF}}, {2, {0xF3, 0x6C}}, {2, {0xF3, 0x6E}}, {2, {0xF3, 0x6D}},
  {2, {0xF3, 0x6F}}, {3, {0x66, 0xF3, 0x6D}}, {2, {0x67, 0x6E}},
  {1, {0xFA}}, {1, {0xFB}}, {1, {0x9D}}, {1, {0x9C}}, {1, {0xCF}}, {2, {0x48, 0xCF}}, {1, {0xCB}}, {1, {0xF1}},
  {2, {0x8E, 0xD0}}, {2, {0x8E, 0xD8}}, {2, {0x0F, 0x05}}, {2, {0x0F, 0x07}}, {2, {0x0F, 0x34}}, {2, {0x0F, 0x35}},
  {2, {0xFF, 0x2F}}, {2, {0xFF, 0x1F}}, {1, {0xCC}}, {3, {0x0F, 0x01, 0xF8}}, {3, {0x0F, 0xC7, 0x2F}},  // far jump, XRSTORS
  {4, {0x0F, 0xAE, 0x2F, 0x90}}, {4, {0x0F, 0xAE, 0x27, 0x90}}, {3, {0x0F, 0xC7, 0xF0}}, {3, {0x0F, 0x18, 0x07}},
  {6, {0x83, 0xE7, 0xC0, 0x0F, 0xAE, 0x27}}, {6, {0x83, 0xE7, 0xC0, 0x0F, 0xAE, 0x2F}},  // AND EDI, -64, and XSAVE, XRSTOR,
  {6, {0x83, 0xE7, 0xC0, 0x0F, 0xC7, 0x2F}}, {6, {0x83, 0xE7, 0xC0, 0x0F, 0xC7, 0x1F}},  // XSAVES and XRSTORS
};

// Whether it takes away what the handlers need: LGDT, LIDT, LMSW, MOV to CR0 and CR3.
static bool is_fatal(const uint8_t *bytes) {
  if (bytes[0] != 0x0F) return false;
  if (bytes[1] == 0x22) return bytes[2] == 0xC0 || bytes[2] == 0xC3 || bytes[2] == 0xD9;
  return bytes[1] == 0x01 && (bytes[2] == 0x17 || bytes[2] == 0x1F || bytes[2] == 0xF0 || bytes[2] == 0x37);
}

static void emit_mixture(unsigned count) {
  while (count--) {
    if (one_in(3)) {
      unsigned index = (unsigned)below(sizeof special / sizeof *special);
      if (is_fatal(special[index].bytes) && !(state.cs & 3) && !one_in(200)) continue;
      emit(special[index].bytes, special[index].count);
    } else {
      emit_noise(1 + (unsigned)below(6));
    }
  }
  EMIT(0xF1, 0xCC, 0x0F, 0x0B);
}

// What control register 4 enables while noise runs: XSAVE in half of the rounds. With SMEP and SMAP noise of a ring below 3 comes
// to nothing, for its pages are the user's; RFLAGS.AC is against SMAP.
static void set_features(void) {
  noise_cr4 = GOLDEN_CR4 | (one_in(2) ? CR4_OSXSAVE : 0);
  if (one_in(4)) noise_cr4 |= noise() & (CR4_UMIP | CR4_FSGSBASE | CR4_PCIDE | CR4_PKE);
  if (one_in((state.cs & 3) == 3 ? 4 : 256)) noise_cr4 |= CR4_SMEP;
  if (one_in((state.cs & 3) == 3 ? 4 : 32)) noise_cr4 |= CR4_SMAP, state.rflags |= one_in(8) ? 0 : 0x40000;
  noise_cr4 &= cr4_features;
}

// Where noise begins in its registers and flags. With RFLAGS.IF = 0 a HLT is the end of the guest, so that is rare.
static void prepare(uint64_t cs, uint64_t ss) {
  state.rip = SCRATCH + (one_in(8) ? 4096 - below(16) : 64);
  state.cs = cs;
  state.ss = ss;
  state.rsp = scratch();
  state.rflags = 2 | (one_in(32) ? 0 : 0x200) | (one_in(4) ? 0 : 0x100) | (noise() & 0x40CD5) | (one_in(16) ? 0x4000 : 0)
    | (one_in(4) ? 0x3000 : 0);
  hp.steps = 8 + (int)below(56);
  set_features();
  fill_registers();
  code = (uint8_t *)state.rip;
}

static void play_code(void) {
  static const uint16_t selectors[][2] = {
    {CODE_64, DATA}, {CODE_32, DATA}, {CODE_16, DATA},
    {USER_CODE_64, USER_DATA}, {USER_CODE_32, USER_DATA}, {USER_CODE_16, USER_DATA},
    {RING_1_CODE_64, RING_1_DATA}, {RING_1_CODE_32, RING_1_DATA}, {RING_2_CODE_64, RING_2_DATA}, {RING_2_CODE_32, RING_2_DATA}};
  unsigned kind = (unsigned)below(sizeof selectors / sizeof *selectors);
  prepare(selectors[kind][0], selectors[kind][1]);
  emit_mixture(24);
  enter();
}

// Noise that is written to these could end the guest.
static bool is_end(uint16_t port) {
  return port == 0x64 || port == 0x60 || port == 0x92 || port == 0xF4 || port == 0xCF9 || port == 0x8900
    || port == 0x604 || port == 0x605;
}

static bool is_end_within(uint16_t port, unsigned width) {
  // A doubleword at 0xCF8 goes to the register there.
  if (port == 0xCF8 && width == 4) return false;
  while (width--) if (is_end((uint16_t)(port + width))) return true;
  return false;
}

// IN, OUT, INS or OUTS, of a width that does not end the guest in 64-bit mode; where there is none, IN or INS.
static void emit_access(uint16_t port, bool is_string) {
  unsigned width = 1u << below(3);
  bool is_output = one_in(2) && !is_end_within(port, width);
  if (width == 2) EMIT(0x66);
  if (is_string && one_in(3)) EMIT(0xF3);
  emit((uint8_t[]){(uint8_t)((is_string ? 0x6C : 0xEC) + (is_output ? 2 : 0) + (width > 1 ? 1 : 0))}, 1);
}

static void emit_port(uint16_t port) {
  EMIT(0x66, 0xBA);
  emit(&port, 2);
}

// One port again and again; in the second half of the rounds with addresses that may fault.
static void play_port(void) {
  static const uint16_t known[] = {0x20, 0x40, 0x60, 0x70, 0xA0, 0x4D0, 0x3F8, 0x510, 0xCF8, 0xCFC, 0x22, 0x600, 0x608, 0x61};
  bool is_user = one_in(4);
  prepare(is_user ? USER_CODE_64 : CODE_64, is_user ? USER_DATA : DATA);
  if (is_user) state.rflags |= 0x3000;
  uint16_t port = (uint16_t)(one_in(2) ? known[below(sizeof known / sizeof *known)] + below(4) : below(0x10000));
  bool has_faults = one_in(2);
  state.rcx = below(200);
  state.rsi = has_faults ? odd_value() : scratch();
  state.rdi = has_faults ? odd_value() : one_in(4) ? scratch() | 0xFFA : scratch();
  emit_port(port);
  for (int count = 0; count < 24; count++) {
    if (one_in(8)) EMIT(0x67);
    emit_access(port, one_in(2));
    if (one_in(8)) EMIT(0xFD);
    if (one_in(4)) EMIT(0xB9), emit_noise(1), EMIT(0, 0, 0);
  }
  EMIT(0xF1, 0xCC);
  hp.steps = 2000;
  enter();
}

// Makes one access of a kind; `value` is what it writes, and says how often INS and OUTS do.
static void access(uint16_t port, unsigned kind, uint64_t value) {
  uint64_t *buffer = (uint64_t *)SCRATCH, count = 1 + (value >> 62);
  for (unsigned index = 0; index < 4; index++) buffer[index] = value >> index;
  switch (kind) {
  case 0: __asm__ volatile("inb %1, %%al" : "+a"(value) : "d"(port)); break;
  case 1: __asm__ volatile("inw %1, %%ax" : "+a"(value) : "d"(port)); break;
  case 2: __asm__ volatile("inl %1, %%eax" : "+a"(value) : "d"(port)); break;
  case 3: __asm__ volatile("rep insb" : "+D"(buffer), "+c"(count) : "d"(port) : "memory"); break;
  case 4: __asm__ volatile("rep insw" : "+D"(buffer), "+c"(count) : "d"(port) : "memory"); break;
  case 5: __asm__ volatile("rep insl" : "+D"(buffer), "+c"(count) : "d"(port) : "memory"); break;
  case 6: __asm__ volatile("outb %%al, %1" : : "a"(value), "d"(port)); break;
  case 7: __asm__ volatile("outw %%ax, %1" : : "a"(value), "d"(port)); break;
  case 8: __asm__ volatile("outl %%eax, %1" : : "a"(value), "d"(port)); break;
  case 9: __asm__ volatile("rep outsb" : "+S"(buffer), "+c"(count) : "d"(port) : "memory"); break;
  case 10: __asm__ volatile("rep outsw" : "+S"(buffer), "+c"(count) : "d"(port) : "memory"); break;
  case 11: __asm__ volatile("rep outsl" : "+S"(buffer), "+c"(count) : "d"(port) : "memory"); break;
  }
}

// What `noise` remembers is where the noise of ports cannot write.
static uint64_t next_value(uint64_t *value) {
  *value = *value * 6364136223846793005 + 1442695040888963407;
  return *value ^ *value >> 31;
}

// What the noise of ports executes: every kind of access to one port after the other. One that ends the round is not made
// again, since it is counted before.
static _Noreturn void sweep(uint64_t value) {
  for (int count = 0; count < 32 * PORT_KINDS; count++) {
    uint32_t position = hp.position++;
    uint16_t port = (uint16_t)(position / PORT_KINDS);
    unsigned kind = position % PORT_KINDS;
    if (kind < 6 || !is_end_within(port, 1u << kind % 3)) access(port, kind, next_value(&value));
  }
  __builtin_trap();
}

// Noise to the ports that may end the guest, by all instructions.
static _Noreturn void write_ends(uint64_t value) {
  static const uint16_t ports[] = {0x60, 0x64, 0x92, 0xF4, 0x604, 0x605, 0xCF9, 0x8900};
  for (int count = 0; count < 48; count++) {
    unsigned kind = (unsigned)(next_value(&value) % 6), index = (unsigned)(next_value(&value) % 8);
    uint16_t lower = (uint16_t)(next_value(&value) % (1u << kind % 3));
    access((uint16_t)(ports[index] - lower), 6 + kind, next_value(&value));
  }
  __builtin_trap();
}

static _Noreturn void enter_ports(void (*ports)(uint64_t)) {
  prepare(CODE_64, DATA);
  // It writes to pages of the user.
  noise_cr4 &= ~(uint64_t)(CR4_SMAP | CR4_PKE);
  state.rip = (uint64_t)ports;
  state.rflags = 2 | (one_in(2) ? 0x200 : 0);
  state.rdi = noise();
  enter();
}

// What is not in this guest's part is from anywhere.
static void play_ports(void) {
  if (one_in(2)) play_port();
  hp.position = (uint32_t)noise();
  enter_ports(sweep);
}

static const struct {
  uint32_t first, count;
} ranges[] = {{0, 0x20}, {0x1B, 1}, {0x10, 0x100}, {0x170, 0x40}, {0x200, 0x120}, {0x300, 0x200}, {0x480, 0x20},
    {0x6E0, 1}, {0x800, 0x100}, {0xC80, 0x40}, {0xDA0, 1}, {0xC0000080, 8}, {0xC0000100, 4}, {0xC0010000, 0x200},
    {0x40000000, 0x200}, {0x4B564D00, 8}, {0, 0x2010}, {0xC0000000, 0x2010}};

static uint32_t msr_index(void) {
  unsigned range = (unsigned)below(sizeof ranges / sizeof *ranges + 1);
  return range == sizeof ranges / sizeof *ranges ? (uint32_t)noise() : ranges[range].first + (uint32_t)below(ranges[range].count);
}

// The low half of an interrupt to the second processor that it can bear: fixed, lowest priority or an NMI, by edge, and not
// with the vector of its timer or of an exception. It has no logical destination; in x2APIC mode the first has one.
static uint32_t bearable_interrupt(void) {
  static const uint32_t modes[] = {0, 0, 0x100, 0x400};
  uint32_t vector = 0x20 + (uint32_t)below(0xE0);
  return (vector == 0x40 ? 0x41 : vector) | modes[below(4)] | (one_in(32) ? 0x800 : 0) | (one_in(4) ? 0x4000 : 0);
}

// An interrupt of noise. An INIT to the only processor resets the guest.
static uint32_t interrupt(void) {
  uint32_t value = (uint32_t)noise();
  return (value & 0x700) == 0x500 && !one_in(256) ? value ^ 0x100 : value;
}

// What WRMSR takes in x2APIC mode, mostly.
static uint32_t x2apic_value(uint32_t index) {
  if (index == 0x830) return two_processors ? bearable_interrupt() : interrupt() & 0xCDFFF;
  uint32_t value = (uint32_t)noise();
  if (one_in(16)) return value;
  switch (index) {
  case 0x808: case 0x83F: return value & 0xFF;
  case 0x80B: case 0x828: return 0;
  case 0x80F: return (value & 0xFF) | (one_in(8) ? 0 : 0x100);
  case 0x82F: case 0x833: case 0x834: return value & 0x107FF;
  case 0x832: return value & 0x700FF;
  case 0x835: case 0x836: return value & 0x1A7FF;
  case 0x837: return value & 0x100FF;
  case 0x83E: return value & 0xB;
  }
  return value;
}

static void enter_x2apic_mode(void) { wrmsr(0x1B, APIC | (rdmsr(0x1B) & 0x100) | 0xC00); }

// WRMSR and RDMSR of a register of the local APIC.
static void emit_x2apic_access(uint32_t index) {
  uint32_t low = x2apic_value(index), high = index == 0x830 ? (one_in(2) ? two_processors : (uint32_t)noise()) : one_in(16);
  EMIT(0xB9), emit(&index, 4), EMIT(0xB8), emit(&low, 4), EMIT(0xBA), emit(&high, 4), EMIT(0x0F, 0x30, 0x0F, 0x32);
}

// Many MSRs in their order, whether they exist or not: WRMSR of noise, RDMSR, or both. The local APIC may be in x2APIC mode.
static void play_many_msrs(void) {
  prepare(CODE_64, DATA);
  state.rbp = msr_index();
  skip_general_protection();
  hp.steps = 8 * 64;
  state.rflags |= 0x100;
  if ((state.rbp >> 8) == 8 && one_in(2)) {
    enter_x2apic_mode();
    for (uint32_t index = (uint32_t)state.rbp & 0x83F; index < 0x840; index++) emit_x2apic_access(index);
  }
  uint8_t *loop = code;
  EMIT(0x89, 0xE9);                                                          // MOV ECX, EBP
  EMIT(0xB8), emit_noise(4), EMIT(0xBA);
  if (one_in(2)) emit_noise(4);
  else EMIT(0, 0, 0, 0);
  // The interrupt command register can send the second processor an INIT.
  if (two_processors) EMIT(0x81, 0xF9, 0x30, 0x08, 0, 0, 0x74, 0x02);
  unsigned kind = (unsigned)below(two_processors ? 2 : 3);
  if (kind != 0) EMIT(0x0F, 0x30);
  else EMIT(0x66, 0x90);
  EMIT(0x0F, 0x32);
  if (kind == 2) EMIT(0x35), emit_noise(4), EMIT(0x0F, 0x30);
  EMIT(0xFF, 0xC5);                                                          // INC EBP
  EMIT(0xEB, (uint8_t)(loop - code - 2));
  enter();
}

static void play_msr(void) {
  if (one_in(2)) play_many_msrs();
  prepare(CODE_64, DATA);
  state.rcx = msr_index();
  // The interrupt command register can send the second processor an INIT.
  if (two_processors && state.rcx == 0x830) state.rcx = 0x831;
  if (state.rcx >= 0x800 && state.rcx < 0x840 && one_in(2)) {
    enter_x2apic_mode();
    emit_x2apic_access((uint32_t)state.rcx);
  }
  EMIT(0x0F, 0x32);
  switch (below(4)) {
  case 0: emit("\x35", 1), emit_noise(4); break;                             // XOR EAX
  case 1: emit("\x0F\xBA\xF8", 3), emit_noise(1); break;                     // BTC EAX
  case 2: emit("\xB8", 1), emit_noise(4), emit("\xBA", 1), emit_noise(4); break;
  case 3: emit("\x0F\xBA\xFA", 3), emit_noise(1); break;                     // BTC EDX
  }
  EMIT(0x0F, 0x30, 0x0F, 0x32);
  emit_mixture(3);
  enter();
}

// An instruction that Skep emulates, or one like it: with [RDI], or of a string.
static void emit_device_instruction(void) {
  static const uint8_t known[] = {0x00, 0x01, 0x02, 0x03, 0x08, 0x09, 0x10, 0x11, 0x12, 0x13, 0x18, 0x1B, 0x21, 0x23, 0x29,
    0x2B, 0x31, 0x33, 0x38, 0x39, 0x3A, 0x3B, 0x63, 0x69, 0x6B, 0x80, 0x81, 0x83, 0x84, 0x85, 0x86, 0x87, 0x88, 0x89, 0x8A,
    0x8B, 0xC0, 0xC1, 0xC6, 0xC7, 0xD0, 0xD1, 0xD2, 0xD3, 0xF6, 0xF7, 0xFE};
  static const uint8_t known_2[] = {0x10, 0x11, 0x28, 0x29, 0x6E, 0x7E, 0x6F, 0x7F, 0x40, 0x47, 0x4C, 0x92, 0x97, 0x9E, 0xA3,
    0xA4, 0xA5, 0xAB, 0xAC, 0xAD, 0xAF, 0xB3, 0xBB, 0xBA, 0xBC, 0xBD, 0xB0, 0xB1, 0xB8, 0xC0, 0xC1, 0xC3, 0xB6, 0xB7, 0xBE,
    0xBF, 0xC7};
  static const uint8_t strings[] = {0xA4, 0xA5, 0xA6, 0xA7, 0xAA, 0xAB, 0xAC, 0xAD, 0xAE, 0xAF};
  bool is_64 = state.cs == CODE_64 || state.cs == USER_CODE_64;
  if (one_in(4)) EMIT(0x66);
  if (one_in(16)) EMIT(0xF0);
  if (one_in(4)) EMIT(0xF3);
  if (state.cs == USER_CODE_16) EMIT(0x67);
  if (is_64 && one_in(4)) EMIT(0x48);
  uint8_t operand = 0x07 | (uint8_t)below(8) << 3;
  if (two_processors && (operand & 0x38) == 0x38) operand &= 0x0F;
  uint8_t group = operand >> 3;
  if (one_in(4) && !two_processors) {
    emit(&strings[below(sizeof strings)], 1);
  } else if (one_in(400)) {
    emit_noise(1), emit(&operand, 1), emit_noise(1);
  } else if (one_in(16)) {
    EMIT(0x0F, 0x38, (uint8_t)(0xF0 | below(2)), operand);                   // MOVBE, CRC32
  } else if (one_in(3)) {
    uint8_t opcode = known_2[below(sizeof known_2)];
    if (opcode == 0xC7) operand = 0x0F;                                      // CMPXCHG8B, CMPXCHG16B
    EMIT(0x0F, opcode, operand);
    if (opcode == 0xBA || opcode == 0xA4 || opcode == 0xAC) emit_noise(1);
  } else {
    uint8_t opcode = known[below(sizeof known)];
    // ARPL is not emulated.
    if (opcode == 0x63 && !is_64) opcode = 0x8B;
    EMIT(opcode, operand);
    // The operand of 4 bytes has 2 with an operand size of 16 bits: then the others are an instruction of noise.
    bool is_byte = opcode == 0x80 || opcode == 0x83 || opcode == 0xC6 || opcode == 0x6B || opcode == 0xC0 || opcode == 0xC1;
    if (is_byte || (opcode == 0xF6 && group < 2)) emit_noise(1);
    if (opcode == 0x81 || opcode == 0xC7 || opcode == 0x69 || (opcode == 0xF7 && group < 2)) emit_noise(4);
  }
}

// Accesses to devices in memory, and to where nothing is, by most instructions that can make one.
static void play_device(void) {
  static const uint16_t selectors[] = {CODE_64, CODE_64, USER_CODE_64, USER_CODE_32, USER_CODE_16};
  uint16_t selector = selectors[below(two_processors ? 3 : 5)];
  prepare(selector, selector & 3 ? USER_DATA : DATA);
  uint64_t address = device_address();
  state.rdi = address;
  state.rsi = one_in(2) ? device_address() : scratch();
  state.rcx = two_processors ? 1 : below(12);
  if (one_in(6)) address = nowhere();
  if (two_processors || address < HPET - 0x100000 || address >= APIC + 0x1000) {
    set_victim_page(511, (address & ~0xFFFul) | 7);
    state.rdi = NOISE_ADDRESS + 511 * 4096 + (address & 0xFFF);
    if (two_processors) state.rsi = scratch();
    state.cs = selector & 3 ? USER_CODE_64 : CODE_64;
  }
  for (int count = 0; count < 6; count++) emit_device_instruction();
  EMIT(0xF1, 0xCC);
  enter();
}

static uint64_t noise_bits(void) { return (noise() & 0x1FF) | (one_in(4) ? 0 : 7); }

// An entry for a page: of memory, of tables, of a device or of nothing.
static uint64_t page_entry(void) {
  uint64_t *tables[] = {victim, noise_3, noise_2, noise_1};
  uint64_t frame = (SCRATCH + 0x400000 + below(0xC00000)) & ~0xFFFul;
  if (one_in(500)) frame = noise() & 0xFFFFFFFFFF000;
  if (one_in(500)) frame = (uint64_t)tables[below(4)];
  if (one_in(64)) frame = HPET | 1ul << 63;
  if (!one_in(16)) return frame | noise_bits();
  // Bits of the address mostly lead to where no memory is, at which many instructions end the guest.
  return frame | noise_bits() | 1ul << (one_in(4) ? below(64) : one_in(2) ? below(12) : 40 + below(24));
}

// An entry for a table, of which `next` is often one, or for a large page, which begins where one may half of the time. The
// guest ends when a table is where it has no memory: such are rare.
static uint64_t table_entry(const void *next) {
  uint64_t frame = one_in(5000) ? noise() & 0xFFFFFFFFFF000 : (SCRATCH + 0x400000 + below(0xC00000)) & ~0xFFFul;
  uint64_t bits = noise_bits() | (one_in(16) ? 1ul << (one_in(2) ? below(12) : 52 + below(12)) : 0);
  if (one_in(6)) return (uint64_t)next | (bits & ~0x80ul);
  return (bits & 0x80 && one_in(2) ? frame & ~0x1FFFFFul : frame) | bits;
}

// An address of the tables of noise: where they are dense, or anywhere.
static uint64_t noise_address(void) {
  static const uint64_t sizes[] = {64 * 4096, 64 * 4096, 64 * 4096, 1ul << 30, 1ul << 34, 1ul << 39};
  return NOISE_ADDRESS + below(sizes[below(6)]);
}

// Page tables made of noise.
static void play_tables(void) {
  for (unsigned index = 0; index < 64; index++)
    set_victim_page(index, page_entry());
  uint64_t *tables[] = {noise_3, noise_2, noise_1};
  for (unsigned index = 1; index < 512; index++) {
    noise_2[index] = table_entry(one_in(16) ? tables[below(3)] : noise_1);
    noise_3[index] = table_entry(one_in(16) ? tables[below(3)] : noise_2);
  }
  if (one_in(8)) victim[1 + below(511)] = noise() & ~1ul;
  if (one_in(16)) victim[2 + below(510)] = (SCRATCH + below(SCRATCH_SIZE)) | 7;
  bool is_user = one_in(2);
  prepare(is_user ? USER_CODE_64 : CODE_64, is_user ? USER_DATA : DATA);
  state.rsi = one_in(8) ? noise_address() : NOISE_ADDRESS + below(64 * 4096);
  state.rdi = noise_address();
  state.rcx = below(9000);
  static const uint8_t strings[] = {0xA4, 0xA5, 0xAA, 0xAC, 0x6C, 0x6E};
  state.rdx = 0x510;
  if (is_user) state.rflags |= 0x3000;
  EMIT(0x8B, 0x06);
  if (!is_user) EMIT(0x0F, 0x01, 0x3F);                                      // INVLPG
  if (one_in(3)) state.rip = state.rdi;
  if (one_in(2)) EMIT(0xF3);
  emit(&strings[below(6)], 1);
  EMIT(0x87, 0x07);
  emit_mixture(4);
  hp.steps = 2000;
  enter();
}

static void play_descriptors(void) {
  static uint16_t selector;
  for (int index = NOISE / 8; index < 64; index++)
    gdt[index] = noise() | (one_in(2) ? 0x8000010000000000 : 0x0000010000000000);
  gdt[LOCAL_TABLE / 8] = (0x8200ul << 32) | (SCRATCH & 0xFFFFFF) << 16 | (SCRATCH >> 24) << 56 | 0xFFF;
  gdt[LOCAL_TABLE / 8 + 1] = one_in(8) ? noise() : 0;
  for (int index = 0; index < 512; index++) ((volatile uint64_t *)SCRATCH)[index] = noise() | 0x910000000000;
  bool is_user = one_in(3);
  prepare(is_user ? USER_CODE_64 : CODE_64, is_user ? USER_DATA : DATA);
  code = (uint8_t *)(state.rip = SCRATCH + 0x2000);
  for (int count = 0; count < 8; count++) {
    selector = (uint16_t)(one_in(4) ? noise() : (NOISE + 8 * below(64 - NOISE / 8)) | below(4));
    EMIT(0x66, 0xB8);
    emit(&selector, 2);
    switch (below(10)) {
    case 0: EMIT(0x8E, 0xD8); break;
    case 1: EMIT(0x8E, 0xE0); break;
    case 2: EMIT(0x8E, 0xD0); break;
    case 3: EMIT(0x0F, 0x00, 0xD0); break;                 // LLDT
    case 4: EMIT(0x0F, 0x00, 0xD8); break;                 // LTR
    case 5: EMIT(0x0F, 0x02, 0xD8, 0x0F, 0x03, 0xD8, 0x0F, 0x00, 0xE0, 0x0F, 0x00, 0xE8); break;
    case 6: EMIT(0x50, 0x50, 0x48, 0xCB); break;           // RETF
    case 7: EMIT(0x50, 0x54, 0x9C, 0x50, 0x53, 0x48, 0xCF); break;  // IRETQ
    case 8: EMIT(0xCD), emit_noise(1); break;
    case 9: EMIT(0xB8, LOCAL_TABLE, 0, 0, 0, 0x0F, 0x00, 0xD0); break;
    }
  }
  emit_mixture(4);
  enter();
}

// The bitmap of the current task for user code at IOPL 0.
static void play_permissions(void) {
  extern uint64_t gdt[];
  uint8_t *map = (uint8_t *)((gdt[TASK_64 / 8] >> 16 & 0xFFFFFF) | gdt[TASK_64 / 8] >> 56 << 24) + 104;
  uint8_t others = one_in(4) ? 0xFF : 0;
  for (int index = 0; index < 8192; index++) map[index] = others;
  for (int index = 0; index < 8192; index += 1 + (int)below(16)) map[index] = (uint8_t)noise();
  *(uint16_t *)(map - 2) = one_in(4) ? (uint16_t)noise() : 104;
  prepare(USER_CODE_64, USER_DATA);
  state.rflags &= ~0x3000ul;
  state.rsi = scratch(), state.rdi = scratch(), state.rcx = below(64);
  for (int count = 0; count < 12; count++) {
    uint16_t port = (uint16_t)noise();
    emit_port(port);
    emit_access(port, one_in(4));
  }
  EMIT(0xF1, 0xCC);
  enter();
}

static void play_control_registers(void) {
  static uint64_t value;
  prepare(CODE_64, DATA);
  // Not all of these are emulated where a device is.
  state.rdi = scratch();
  for (int count = 0; count < 4; count++) {
    switch (below(7)) {
    case 0: value = GOLDEN_CR0 ^ 1ul << below(one_in(8) ? 64 : 32); break;
    case 1: value = noise_cr4 ^ 1ul << below(one_in(8) ? 64 : 26); break;
    case 2: value = (uint64_t)victim | (one_in(2) ? 1ul << below(64) : 0); break;
    case 3: value = below(16); break;
    case 4: value = GOLDEN_EFER ^ 1ul << below(16); break;
    case 5: value = below(4) == 0 ? noise() : below(0x400); break;
    case 6: value = odd_value(); break;
    }
    uint64_t target = below(one_in(4) ? 9 : 7);
    if (target == 5 && one_in(2)) value = (noise() & xcr0_features) | (one_in(2) ? 1 : 7);
    // Without its page tables the guest ends.
    if (target == 2 && !one_in(64)) value = (uint64_t)victim | (noise() & 0x18);
    EMIT(0x48, 0xB8);
    emit(&value, 8);
    switch (target) {
    case 0: EMIT(0x0F, 0x22, 0xC0); break;
    case 1: EMIT(0x0F, 0x22, 0xE0); break;
    case 2: EMIT(0x0F, 0x22, 0xD8); break;
    case 3: EMIT(0x44, 0x0F, 0x22, 0xC0); break;
    case 4: EMIT(0xB9, 0x80, 0, 0, 0xC0, 0x48, 0x89, 0xC2, 0x48, 0xC1, 0xEA, 32, 0x0F, 0x30); break;
    case 5: EMIT(0x31, 0xC9, 0x31, 0xD2, 0x0F, 0x01, 0xD1); break;
    case 6: EMIT(0x0F, 0x23), emit((uint8_t[]){(uint8_t)(0xC0 | below(8) << 3)}, 1); break;
    case 7: EMIT(0x0F, 0x01, 0xF0); break;
    case 8: EMIT(0x66, 0x0F, 0x38, 0x82, 0x0F); break;
    }
  }
  emit_mixture(6);
  enter();
}

// Interrupts to the second processor, many at a time: by the local APIC in both modes, the I/O APIC and the HPET's messages.
// Few rounds have such as come to this processor, too: they end it before its noise begins.
static void play_bearable_interrupts(void) {
  volatile uint32_t *pages = (volatile uint32_t *)APIC, *io = (volatile uint32_t *)IOAPIC, *hpet = (volatile uint32_t *)HPET;
  prepare(CODE_64, DATA);
  for (int pin = 20; pin < 24; pin++) {
    io[0] = 0x11 + 2 * (uint32_t)pin, io[4] = one_in(2) ? 0x01000000 : (uint32_t)noise();
    io[0] = 0x10 + 2 * (uint32_t)pin, io[4] = bearable_interrupt();
  }
  hpet[4] = 0;
  for (int timer = 0; timer < 8; timer++) {
    hpet[0x44 + 8 * timer] = bearable_interrupt();
    hpet[0x45 + 8 * timer] = (uint32_t)APIC | (one_in(2) ? 0x1000 : (uint32_t)noise() & 0xFF00C);
    hpet[0x42 + 8 * timer] = hpet[0x3C] + (uint32_t)below(20000);
    hpet[0x40 + 8 * timer] = 0x104 | (one_in(2) ? 0x4000 : 0) | (20 + (uint32_t)below(4)) << 9;
  }
  hpet[4] = 1;
  bool is_for_all = one_in(8);
  for (uint64_t count = below(300); count; count--) {
    pages[0x310 / 4] = one_in(2) ? 1 << 24 : is_for_all ? (uint32_t)noise() : (1 + (uint32_t)below(254)) << 24;
    pages[0x300 / 4] = bearable_interrupt() | (!one_in(4) ? 0 : is_for_all ? (uint32_t)below(4) << 18 : 0xC0000);
  }
  if (one_in(2)) {
    enter_x2apic_mode();
    for (int count = 0; count < 8; count++) emit_x2apic_access(0x830);
    EMIT(0x31, 0xC9);                                                        // so that no noise sends any other
  }
  EMIT(0xFB, 0x90, 0x90);
  emit_mixture(4);
  enter();
}

// Messages of the HPET, most of them for a local APIC.
static void set_messages(void) {
  volatile uint32_t *hpet = (volatile uint32_t *)HPET;
  for (int timer = 0; timer < 8; timer++) {
    uint32_t destination = (uint32_t)noise();
    hpet[0x44 + 8 * timer] = interrupt();
    hpet[0x45 + 8 * timer] =
      one_in(8) ? destination : (uint32_t)APIC | (one_in(2) ? 0 : destination & 0xFF000) | (destination & 0xC);
    hpet[0x42 + 8 * timer] = hpet[0x3C] + (uint32_t)below(20000);
    hpet[0x40 + 8 * timer] = (uint32_t)noise() | (one_in(2) ? 0x4104 : 0);
  }
  // With legacy replacement nothing ends what takes too long.
  hpet[4] = (one_in(8) ? 0 : 1) | (one_in(16) ? 2 : 0);
}

// Interrupts to this processor and to others, and the local APIC moved and turned off. Only without a second processor.
static void play_interrupts(void) {
  prepare(CODE_64, DATA);
  if (one_in(2)) set_messages();
  for (int count = 0; count < 6; count++) {
    *(volatile uint32_t *)(APIC + 0x310) = one_in(2) ? (uint32_t)noise() : 0;
    *(volatile uint32_t *)(APIC + 0x300) = interrupt();
    uint64_t offset = 0x320 + 16 * below(8);
    *(volatile uint32_t *)(APIC + offset) = (uint32_t)noise();
    if (one_in(4)) *(volatile uint32_t *)(APIC + 0x380) = (uint32_t)noise() >> below(32);
  }
  if (one_in(2)) {
    enter_x2apic_mode();
    skip_general_protection();
    for (int count = 0; count < 8; count++) emit_x2apic_access(0x800 + (uint32_t)below(0x40));
  }
  EMIT(0xFB, 0x90, 0x90);
  emit_mixture(4);
  enter();
}

// Here, and outside IA-32e mode, noise can write everywhere, so it is mostly let go step by step.
static void be_careful(void) { if (!one_in(8)) state.rflags |= 0x100; }

static void play_real_mode(void) {
  prepare(CODE_64, DATA);
  be_careful();
  code = (uint8_t *)REAL_NOISE;
  emit_mixture(40);
  volatile uint8_t *low = (uint8_t *)LOW_RECOVERY;
  volatile uint32_t *values = (volatile uint32_t *)(low + (low_state - low_start));
  for (int index = 0; index < 8; index++) values[index] = one_in(4) ? (uint32_t)noise() : (uint32_t)below(0x6000) + REAL_STACK;
  *(volatile uint16_t *)(low + (low_flags - low_start)) = (uint16_t)(state.rflags & 0x7FFF);
  *(volatile uint16_t *)(low + (low_steps - low_start)) = (uint16_t)(16 + below(64));
  enter_real();
}

// Protected mode outside IA-32e mode: without paging, with that of 32 bits, or with PAE.
static void set_legacy_mode(void) {
  unsigned kind = (unsigned)below(3);
  legacy.cr0 = 0x33 | (one_in(2) ? 0x10000 : 0) | (kind ? 0x80000000 : 0);
  // VME, PVI, TSD, DE, MCE and PGE; PSE or PAE.
  legacy.cr4 = (uint32_t)(noise() & 0xCF) | (kind == 1 ? 0x10 : kind == 2 ? 0x20 : 0);
  legacy.cr3 = kind == 1 ? make_32_bit_tables() : kind == 2 ? make_pae_tables() : 0;
  // Without paging the segments end with memory: noise has no way to the second processor, and not all that it does with
  // nothing and with devices is emulated.
  legacy.data = kind == 0 && (two_processors || !one_in(16)) ? MEMORY_DATA : USER_DATA;
  for (unsigned index = 0; index < 1024; index++) noise_32[index] = (uint32_t)page_entry();
  for (unsigned index = NOISE_DIRECTORY + 1; kind == 1 && index < NOISE_DIRECTORY + 64; index++) {
    // Of a page of 4 MiB bits 13 to 20 are those of the address from 32 on.
    uint32_t entry = (uint32_t)table_entry(noise_32);
    directory_32[index] = entry & 0x80 && !one_in(8) ? entry & 0xFFC01FFF : entry;
  }
  for (unsigned index = 0; index < 512; index++) {
    noise_1[index] = page_entry();
    if (index) noise_2[index] = table_entry(noise_1);
  }
  task[7] = noise_task[7] = legacy.cr3;
  set_recovery_paging(legacy.cr3);
  // Without page tables the task's first instruction is the guest's end.
  if (one_in(64)) noise_task[7] = (uint32_t)noise();
}

// The mode of protected mode's first instruction, and of the task of noise.
static void set_legacy_segments(void) {
  static const uint16_t selectors[][2] = {{CODE_32, DATA}, {CODE_32, DATA}, {CODE_16, DATA}, {USER_CODE_32, USER_DATA},
    {USER_CODE_16, USER_DATA}, {RING_1_CODE_32, RING_1_DATA}, {RING_2_CODE_32, RING_2_DATA}};
  unsigned kind = (unsigned)below(8), other = (unsigned)below(8);
  uint16_t virtual_8086[] = {0x900, 0x100};
  const uint16_t *first = kind < 7 ? selectors[kind] : virtual_8086, *second = other < 7 ? selectors[other] : virtual_8086;
  state.cs = first[0], state.ss = first[1] == USER_DATA ? legacy.data : first[1];
  if (kind == 7) {
    state.rflags |= 0x20000, state.rip = 0, state.rsp = REAL_STACK - 0x1000;
    state.r9 = below(0x1000), state.r10 = below(0x1000), state.r11 = below(0x1000), state.r12 = below(0x1000);
  }
  noise_task[19] = second[0], noise_task[20] = second[1];
  for (int index = 18; index < 24; index++) {
    // Other rings than 0 cannot have its segments.
    if (index != 19 && index != 20 && (second[0] & 3) && !one_in(8)) noise_task[index] = one_in(2) ? 0 : USER_DATA;
    if (noise_task[index] == USER_DATA) noise_task[index] = legacy.data;
  }
  if (other == 7) noise_task[8] = 0, noise_task[9] |= 0x20000, noise_task[14] = REAL_STACK - 0x1000;
  code = (uint8_t *)REAL_NOISE;
  emit_mixture(40);
}

// Tasks of noise, and noise outside IA-32e mode. The state of a task is mostly one that can run.
static void play_tasks(void) {
  for (int index = 0; index < 26 + 64; index++) noise_task[index] = one_in(8) ? (uint32_t)noise() : 0;
  noise_task[1] = (uint32_t)scratch();
  noise_task[2] = DATA;
  noise_task[8] = one_in(16) ? (uint32_t)noise() : SCRATCH + 0x800;
  noise_task[9] = 2 | (one_in(4) ? (uint32_t)noise() & 0x277FD5 : 0x200);
  for (int index = 10; index < 18; index++) noise_task[index] = (uint32_t)(one_in(4) ? odd_value() : scratch());
  static const uint16_t data[] = {DATA, USER_DATA, 0, NOISE};
  for (int index = 18; index < 24; index++)
    noise_task[index] = one_in(16) ? (uint32_t)noise() & 0xFFFF : index == 19 ? CODE_32 : data[one_in(8) ? below(4) : 0];
  if (one_in(8)) noise_task[24] = (uint32_t)noise() & 0xFFFF;
  set_legacy_mode();
  gdt[TASK_NOISE / 8] = ((uint64_t)noise_task & 0xFFFFFF) << 16 | ((uint64_t)noise_task >> 24 & 0xFF) << 56
    | (one_in(8) ? noise() & 0xFFFF : 103) | (one_in(16) ? noise() & 0xFF0000000000 : (one_in(4) ? 0x81ul : 0x89ul) << 40);
  // Whether every ring may jump to tasks.
  bool is_open = one_in(2);
  for (int index = TASK_32 / 8; is_open && index <= TASK_NOISE / 8; index++) gdt[index] |= 3ul << 45;
  prepare(CODE_32, DATA);
  be_careful();
  uint8_t *first = code;
  set_legacy_segments();
  code = first;
  if (one_in(4)) {
    state.rdi = 0x40000000 + below(one_in(2) ? 64 * 4096 : 256ul << 20);
    state.rsi = 0x40000000 + below(one_in(8) ? 1u << 30 : 64 * 4096);
  }
  legacy.cr4 |= noise_cr4 & ~(uint64_t)(CR4_PAE | CR4_PCIDE);
  if (one_in(2) && (is_open || !(state.cs & 3))) {
    static const uint8_t jumps[][7] = {{0xEA, 0, 0, 0, 0, TASK_NOISE, 0}, {0x9A, 0, 0, 0, 0, TASK_NOISE, 0},
      {0x9A, 0, 0, 0, 0, TASK_RECOVERY, 0}, {0xEA, 0, 0, 0, 0, TASK_32, 0}};
    if (state.cs == CODE_16 || state.cs == USER_CODE_16) EMIT(0x66);
    emit(jumps[below(4)], 7);
    if (one_in(2)) EMIT(0xCF);
  }
  emit_mixture(16);
  code = (uint8_t *)(SCRATCH + 0x800);
  if (one_in(2)) EMIT(0xCF);
  emit_mixture(16);
  enter_protected();
}

void play_round(void) {
  if (hp.position >= part_end) is_part_done = true;
  uint64_t kind = 12;
  if (is_part_done) kind = one_in(4000) || (ends_by_port && round_number + 4 > rounds) ? 13 : below(12);
#ifdef TRACE
  say("kind ", kind);
#endif
  switch (kind) {
  case 0: case 1: play_code();
  case 2: play_ports(); break;
  case 3: play_msr(); break;
  case 4: play_device(); break;
  case 5: play_tables(); break;
  case 6: play_descriptors(); break;
  case 7: play_permissions(); break;
  case 8: play_control_registers(); break;
  case 9: if (two_processors) play_bearable_interrupts(); else play_interrupts(); break;
  case 10: play_real_mode(); break;
  case 11: play_tasks(); break;
  case 12: enter_ports(sweep);
  case 13: enter_ports(write_ends);
  }
}
