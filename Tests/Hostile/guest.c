// The hostile guest: what it needs to survive its own noise, and the rounds.
//
// Its command line: "seed=NUMBER", "rounds=NUMBER" and "cpus=NUMBER". On COM1 it prints "seed NUMBER", every 64 rounds "round NUMBER", and
// at the end "over NUMBER". A second processor, if there is one, prints "beat NUMBER" by its local APIC's timer, and resets
// the machine when the first has not come to another round for a while, unless the command line has "stay=1". With
// "again=1" it plays no rounds, but looks whether the timer works, prints "again NUMBER" and turns the machine off.

#include "guest.h"

writable hp;
registers state;
table golden, victim;
uint64_t gdt[64] __attribute__((aligned(4096)));
volatile uint32_t ap_ticks;
bool two_processors;
uint64_t round_number, rounds = 2000;
uint32_t part_end;
bool ends_by_port;
uint64_t cr4_features, xcr0_features, noise_cr4;
#ifdef TRACE
uint32_t steps_left;
#endif

static uint64_t seed;
static bool stays, is_again;
// The tables of the second processor stay as they are.
table calm;
static table calm_parts[6];
static table golden_3, victim_3, golden_low, victim_low, golden_high, victim_high, golden_image, victim_image;
static table golden_interrupts, victim_interrupts, golden_apic, victim_apic;
table noise_3, noise_2, noise_1;
uint32_t noise_32[1024] __attribute__((aligned(4096)));
uint32_t directory_32[1024] __attribute__((aligned(4096)));
static uint32_t low_32[1024] __attribute__((aligned(4096)));
static uint32_t devices_32[1024] __attribute__((aligned(4096)));
static uint64_t pointers_pae[4] __attribute__((aligned(32)));
legacy_mode legacy;
static uint64_t idt[512] __attribute__((aligned(4096))), ap_idt[512], idt_32[256];
static uint32_t tss_64[26 + 2048], recovery_task[26];
uint32_t task[26], noise_task[26 + 64];
extern char code[], code_end[], low_step[], high_start[], high_end[], stubs[], skip[], ap_stubs[], low_start[], low_end[], low_ap[], low_ap_end[], step_32[], recover_32[], stack_top[], ap_stack_top[];

typedef struct {
  uint16_t limit;
  uint64_t base;
} __attribute__((packed)) table_pointer;
table_pointer gdt_pointer = {64 * 8 - 1, (uint64_t)gdt}, idt_pointer = {4095, (uint64_t)idt};
static const table_pointer no_idt;
table_pointer pointer_32 = {2047, (uint64_t)idt_32}, ap_pointer = {4095, (uint64_t)ap_idt};

// SplitMix64
uint64_t noise(void) {
  uint64_t z = seed += 0x9E3779B97F4A7C15;
  z = (z ^ z >> 30) * 0xBF58476D1CE4E5B9;
  z = (z ^ z >> 27) * 0x94D049BB133111EB;
  return z ^ z >> 31;
}

void out8(uint16_t port, uint8_t value) { __asm__ volatile("out %0, %1" : : "a"(value), "Nd"(port)); }

static uint8_t in8(uint16_t port) {
  uint8_t value;
  __asm__ volatile("in %1, %0" : "=a"(value) : "Nd"(port));
  return value;
}

uint64_t rdmsr(uint32_t index) {
  uint32_t low, high;
  __asm__ volatile("rdmsr" : "=a"(low), "=d"(high) : "c"(index));
  return (uint64_t)high << 32 | low;
}

void wrmsr(uint32_t index, uint64_t value) {
  __asm__ volatile("wrmsr" : : "c"(index), "a"((uint32_t)value), "d"((uint32_t)(value >> 32)) : "memory");
}

static volatile uint32_t *memory(uint64_t address) { return (volatile uint32_t *)address; }

static void put(char character) {
  for (int patience = 0; patience < 1000 && !(in8(0x3FD) & 0x20); patience++) {}
  out8(0x3F8, character);
}

// A line on COM1, whatever was done to it. A processor that waits too long for the other takes its turn all the same.
void say(const char *text, uint64_t number) {
  static uint8_t lock;
  for (int patience = 0; patience < 100000 && __atomic_exchange_n(&lock, 1, __ATOMIC_ACQUIRE); patience++) {}
  out8(0x3FB, 3);
  out8(0x3F9, 0);
  out8(0x3FC, 3);
  // Noise may have begun a line.
  put('\n');
  while (*text) put(*text++);
  char digits[20];
  int count = 0;
  do digits[count++] = '0' + number % 10; while (number /= 10);
  while (count) put(digits[--count]);
  put('\n');
  __atomic_store_n(&lock, 0, __ATOMIC_RELEASE);
}

static uint64_t sum(uint64_t sum, const void *from, const void *to, uint64_t mask) {
  for (const uint64_t *word = from; word < (const uint64_t *)to; word++) sum = sum * 31 + (*word & mask);
  return sum;
}

// What the second processor executes and says.
static uint64_t code_sum(void) { return sum(0, code, code_end, ~0ul); }

// What else it needs and nobody changes, but for the accessed and dirty flags of its page tables: its IDT and segments,
// its page tables, and memory below the part of its stack that it uses.
static uint64_t needs_sum(void) {
  uint64_t value = sum(0, ap_idt, ap_idt + 512, ~0ul);
  value = sum(value, gdt, gdt + DATA / 8 + 1, ~0ul);
  value = sum(value, calm, calm + 512, ~0x60ul);
  value = sum(value, calm_parts, calm_parts + 6, ~0x60ul);
  return sum(value, ap_stack_top - 0x900, ap_stack_top - 0x800, ~0ul);
}

// Outside 64-bit mode noise can write to all that the second processor needs. Only what it can prove to have changed is an
// excuse: debug registers, where noise cannot write, have the sums, and a third says that it is they that have been kept.
static void look_for_excuse(uint64_t vector) {
  uint64_t code_then, needs_then, both;
  __asm__ volatile("mov %%dr0, %0; mov %%dr2, %1; mov %%dr3, %2" : "=r"(code_then), "=r"(needs_then), "=r"(both));
  if (both != ~(code_then ^ needs_then)) return say("the second processor has lost its debug registers ", both);
  if (code_then != code_sum()) out8(0xCF9, 6);
  if (needs_then == needs_sum()) return;
  say("the guest has destroyed what its second processor needs, which has exception ", vector);
  out8(0xCF9, 6);
}

_Noreturn void ap_fault(uint64_t vector, const uint64_t *stack) {
  uint64_t address;
  __asm__ volatile("mov %%cr2, %0" : "=r"(address));
  look_for_excuse(vector);
  say("the second processor has exception ", vector);
  say("CR2 ", address);
  for (int index = 0; index < 5; index++) say("stack ", stack[index]);
  for (;;) __asm__ volatile("cli; hlt");
}

static uint32_t count_of_ticks(void) {
  uint64_t count;
  __asm__ volatile("mov %%dr1, %0" : "=r"(count));
  return (uint32_t)count;
}

_Noreturn void ap_main(void) {
  uint64_t code_now = code_sum(), needs_now = needs_sum();
  __asm__ volatile("mov %0, %%dr0; mov %1, %%dr2; mov %2, %%dr3; mov %3, %%dr1" : :
    "r"(code_now), "r"(needs_now), "r"(~(code_now ^ needs_now)), "r"(0ul));
  __asm__ volatile("lidt %0" : : "m"(ap_pointer));
  *memory(APIC + 0xF0) = 0x1FF;
  *memory(APIC + 0x3E0) = 11;
  *memory(APIC + 0x320) = 0x20040;
  *memory(APIC + 0x380) = 500000;
  uint64_t round = 0;
  for (uint32_t told = 0, progress = 0;;) {
    __asm__ volatile("sti; hlt");
    if (*(volatile uint64_t *)&round_number != round) round = round_number, progress = count_of_ticks();
    // Outside 64-bit mode noise can destroy what the first processor needs to come back.
    if (count_of_ticks() - progress > 500) {
      say("the first processor is lost in round ", round);
      if (!stays) out8(0xCF9, 6);
      progress = count_of_ticks();
    }
    if (count_of_ticks() - told < 50) continue;
    told = count_of_ticks();
    say("beat ", told);
  }
}

static void set_gate(uint64_t *gates, int vector, uint64_t handler, int stack, uint64_t type) {
  gates[2 * vector] = (handler & 0xFFFF) | CODE_64 << 16 | (uint64_t)stack << 32 | type << 40 | (handler >> 16) << 48;
  gates[2 * vector + 1] = handler >> 32;
}

static uint64_t segment(uint64_t base, uint64_t limit, uint64_t rights) {
  return (limit & 0xFFFF) | (base & 0xFFFFFF) << 16 | rights << 40 | (limit >> 16 & 15) << 48 | (base >> 24 & 0xFF) << 56;
}

static void set_task_segments(void) {
  tss_64[1] = (uint32_t)(uint64_t)(hp.stacks + 3 * 4096);
  for (int stack = 0; stack < 3; stack++) tss_64[9 + 2 * stack] = (uint32_t)(uint64_t)(hp.stacks + (stack + 1) * 4096);
  tss_64[25] = 104 << 16;
  gdt[TASK_64 / 8] = segment((uint64_t)tss_64, 104 + 8192, 0x89);
  gdt[TASK_64 / 8 + 1] = 0;
  gdt[TASK_32 / 8] = segment((uint64_t)task, 103, 0x89);
  task[1] = noise_task[1] = (uint32_t)(uint64_t)(hp.stacks + 3 * 4096);
  task[2] = noise_task[2] = DATA;
  gdt[TASK_RECOVERY / 8] = segment((uint64_t)recovery_task, 103, 0x89);
  recovery_task[8] = (uint32_t)(uint64_t)recover_32;
  recovery_task[9] = 2;
  recovery_task[14] = (uint32_t)(uint64_t)(hp.stacks + 2 * 4096);
  for (int index = 18; index < 24; index++) recovery_task[index] = index == 19 ? CODE_32 : DATA;
}

static void set_segments(void) {
  // Those that protected mode without paging uses end where the guest's memory ends.
  static const uint64_t fixed[] = {0, 0x00AF9B000000FFFF, 0x00C0930000001FFF, 0x00C09B0000001FFF, 0x008F9B000000FFFF,
    0x00AFFB000000FFFF, 0x00CFF3000000FFFF, 0x00CFFB000000FFFF, 0x008FFB000000FFFF};
  for (int index = 0; index < 9; index++) gdt[index] = fixed[index];
  for (uint64_t ring = 1; ring < 3; ring++) {
    uint64_t *segments = gdt + (ring == 1 ? RING_1_CODE_64 : RING_2_CODE_64) / 8;
    segments[0] = 0x00AF9B000000FFFF | ring << 45;
    segments[1] = 0x00CF9B000000FFFF | ring << 45;
    segments[2] = 0x00C0930000001FFF | ring << 45;
  }
  gdt[MEMORY_DATA / 8] = 0x00C0F30000001FFF;
  gdt[REAL_CODE / 8] = 0x00009B000000FFFF;
  gdt[REAL_DATA / 8] = 0x000093000000FFFF;
  set_task_segments();
  for (int vector = 0; vector < 256; vector++) {
    set_gate(idt, vector, (uint64_t)stubs + 16 * vector, vector == 2 ? 2 : 1, 0xEE);
    uint64_t handler = (uint64_t)(vector == 1 ? step_32 : recover_32);
    idt_32[vector] = vector == 2 || vector == 8
      ? (uint64_t)TASK_RECOVERY << 16 | 0x85ul << 40
      : (handler & 0xFFFF) | CODE_32 << 16 | 0xEEul << 40 | (handler >> 16) << 48;
  }
}

static void copy(uint64_t target, const char *from, const char *to) {
  while (from < to) *(char *)target++ = *from++;
}

// The vectors of real mode lie where its code does not reach.
uint32_t real_vectors[256];

// A far jump of real mode to what its vectors lead to.
static void set_jump(uint64_t address) {
  volatile uint8_t *target = (uint8_t *)address;
  static const uint8_t jump[] = {0xEA, (HIGH_RECOVERY - 0xFFFC0) & 0xFF, (HIGH_RECOVERY - 0xFFFC0) >> 8, 0xFC, 0xFF};
  for (unsigned index = 0; index < sizeof jump; index++) target[index] = jump[index];
}

static void set_real_mode(void) {
  // Where an NMI leads to in real mode with the IDT of 64-bit mode, and with that of protected mode: the dword at 8.
  set_jump(0);
  set_jump(16 * CODE_32 + ((uint64_t)step_32 & 0xFFFF));
  // The second processor has begun.
  if (two_processors) copy(LOW_AP, low_start, low_end);
  copy(LOW_RECOVERY, low_start, low_end);
  copy(HIGH_RECOVERY, high_start, high_end);
  for (int vector = 0; vector < 256; vector++)
    real_vectors[vector] =
      vector == 1 ? LOW_RECOVERY + (uint32_t)(low_step - low_start) : 0xFFFC0000 | (HIGH_RECOVERY - 0xFFFC0);
}

void set_victim_page(unsigned index, uint64_t entry) { noise_1[index] = entry; }

static void set_mapping(uint64_t *top, uint64_t *level_3, uint64_t *low, uint64_t *high, uint64_t *image,
                        uint64_t *interrupts, uint64_t *apic, bool is_victim) {
  top[0] = (uint64_t)level_3 | 7;
  top[1] = (uint64_t)noise_3 | 7;
  level_3[0] = (uint64_t)low | 7;
  level_3[3] = (uint64_t)high | 7;
  for (uint64_t index = 0; index < 16; index++) low[index] = index << 21 | 0xE7;
  low[1] = (uint64_t)image | 3;
  for (uint64_t index = 0; index < 512; index++) {
    uint64_t page = 0x200000 + index * 4096;
    bool is_fixed = is_victim && !(page >= (uint64_t)&hp && page < (uint64_t)(&hp + 1));
    image[index] = page | (is_fixed ? 0x61 : 0x63);
  }
  high[0x1F6] = (uint64_t)interrupts | 7;
  high[0x1F7] = (uint64_t)apic | 7;
  bool hides = is_victim && two_processors;
  interrupts[0] = hides ? 0 : IOAPIC | 0x77;
  interrupts[0x100] = HPET | 0x77;
  apic[0] = hides ? 0 : APIC | 0x77;
}

static void set_tables(void) {
  for (int index = 0; index < 512; index++) noise_1[index] = noise_2[index] = noise_3[index] = 0;
  for (int index = 2; index < 512; index++) golden[index] = victim[index] = 0;
  set_mapping(golden, golden_3, golden_low, golden_high, golden_image, golden_interrupts, golden_apic, false);
  set_mapping(victim, victim_3, victim_low, victim_high, victim_image, victim_interrupts, victim_apic, true);
  noise_3[0] = (uint64_t)noise_2 | 7;
  noise_2[0] = (uint64_t)noise_1 | 7;
}

// Both have the mapping of `victim`.
uint32_t make_32_bit_tables(void) {
  for (uint32_t index = 0; index < 1024; index++) {
    directory_32[index] = devices_32[index] = 0;
    low_32[index] = index < 512 ? index << 12 | 0x67 : (uint32_t)victim_image[index - 512];
  }
  directory_32[0] = (uint32_t)(uint64_t)low_32 | 7;
  for (uint32_t index = 1; index < 8; index++) directory_32[index] = index << 22 | 0xE7;
  directory_32[NOISE_DIRECTORY] = (uint32_t)(uint64_t)noise_32 | 7;
  directory_32[0x3FB] = (uint32_t)(uint64_t)devices_32 | 7;
  if (!two_processors) devices_32[0] = (uint32_t)IOAPIC | 0x77, devices_32[0x200] = (uint32_t)APIC | 0x77;
  devices_32[0x100] = (uint32_t)HPET | 0x77;
  return (uint32_t)(uint64_t)directory_32;
}

uint32_t make_pae_tables(void) {
  pointers_pae[0] = (uint64_t)victim_low | 1;
  pointers_pae[1] = (uint64_t)noise_2 | 1;
  pointers_pae[2] = 0;
  pointers_pae[3] = (uint64_t)victim_high | 1;
  return (uint32_t)(uint64_t)pointers_pae;
}

void set_recovery_paging(uint32_t cr3) { recovery_task[7] = cr3; }

void skip_general_protection(void) { set_gate(idt, 13, (uint64_t)skip, 1, 0xEE); }

// The HPET sends nothing, and knows no address to which noise could let it send an INIT.
static void reset_messages(void) {
  *memory(HPET + 0x10) = 0;
  for (uint64_t timer = HPET + 0x100; timer < HPET + 0x200; timer += 0x20) *memory(timer) = *memory(timer + 0x14) = 0;
}

static void cpuid(uint32_t leaf, uint32_t *registers) {
  __asm__ volatile("cpuid" : "=a"(registers[0]), "=b"(registers[1]), "=c"(registers[2]), "=d"(registers[3])
    : "a"(leaf), "c"(0));
}

static void find_features(void) {
  uint32_t first[4], basic[4], extended[4], state[4];
  cpuid(0, first), cpuid(1, basic), cpuid(7, extended), cpuid(0xD, state);
  cr4_features = GOLDEN_CR4 | (basic[2] >> 17 & 1 ? CR4_PCIDE : 0) | (basic[2] >> 26 & 1 ? CR4_OSXSAVE : 0);
  if (first[0] >= 7)
    cr4_features |= (extended[1] & 1 ? CR4_FSGSBASE : 0) | (extended[1] >> 7 & 1 ? CR4_SMEP : 0)
      | (extended[1] >> 20 & 1 ? CR4_SMAP : 0) | (extended[2] >> 2 & 1 ? CR4_UMIP : 0) | (extended[2] >> 3 & 1 ? CR4_PKE : 0);
  if (cr4_features & CR4_OSXSAVE) xcr0_features = state[0];
}

// XCR0 with all that there is, or with x87 and SSE.
static void set_extended_control_register(void) {
  if (!xcr0_features) return;
  uint64_t value = one_in(4) ? 3 : xcr0_features;
  __asm__ volatile("mov %0, %%cr4; xsetbv; mov %1, %%cr4"
    : : "r"((uint64_t)(GOLDEN_CR4 | CR4_OSXSAVE)), "r"((uint64_t)GOLDEN_CR4), "a"((uint32_t)value), "d"(value >> 32), "c"(0));
}

// The local APIC in xAPIC mode at its usual address, without interrupts that have waited or were not ended, and the PIT by the I/O APIC as NMI: it ends what takes too long.
static void set_interrupts(void) {
  uint64_t base = rdmsr(0x1B);
  if (two_processors || !one_in(4) || (base & ~0x100ul) != (APIC | 0x800)) {
    wrmsr(0x1B, APIC | (base & 0x100));
    wrmsr(0x1B, APIC | 0x800 | (base & 0x100));
  }
  *memory(APIC + 0xF0) = 0x1FF;
  *memory(APIC + 0x80) = 0;
  *memory(APIC + 0xB0) = 0;
  *memory(APIC + 0x320) = 0x10000;
  if (two_processors || round_number % 8 == 0) reset_messages();
  // Legacy replacement takes the PIT's place.
  *memory(HPET + 0x10) &= ~2u;
  *memory(IOAPIC) = 0x15;
  *memory(IOAPIC + 16) = 0;
  *memory(IOAPIC) = 0x14;
  *memory(IOAPIC + 16) = 0x400;
  out8(0x43, 0x34);
  out8(0x40, 23864 & 0xFF);
  out8(0x40, 23864 >> 8);
}

static void shut_down(void) {
  for (const char *word = "Shutdown"; *word; word++) out8(0x8900, *word);
}

static _Noreturn void finish(void) {
  if (two_processors) {
    uint32_t told = ap_ticks;
    for (int patience = 0; patience < 10000000 && ap_ticks - told < 3; patience++) __asm__ volatile("pause");
    say(ap_ticks - told < 3 ? "the second processor stands still " : "alive ", ap_ticks);
  }
  say("over ", round_number);
  while (!(in8(0x3FD) & 0x40)) {}
  switch (below(6)) {
  case 0: out8(0x64, 0xFE); break;
  case 1: out8(0x92, 1); break;
  case 2: out8(0xCF9, 6); break;
  case 3: shut_down(); break;
  case 4: out8(0xF4, (uint8_t)noise()); break;
  }
  __asm__ volatile("lidt %0; ud2" : : "m"(no_idt));
  for (;;) {}
}

// After another guest's end: the timer's NMIs come as they did in that.
static _Noreturn void look_and_shut_down(void) {
  const int first = -1000000;
  hp.nmis = first;
  while (*(volatile int32_t *)&hp.nmis < first + 3) __asm__ volatile("pause");
  say("again ", (uint64_t)(hp.nmis - first));
  while (!(in8(0x3FD) & 0x40)) {}
  shut_down();
  for (;;) {}
}

// The next round, on a fresh stack and with everything as it was.
_Noreturn void next_round(void) {
  for (;;) {
#ifdef TRACE
    say("steps left ", steps_left), say("vector ", hp.vector);
#endif
    if (round_number == rounds) finish();
    set_segments();
    set_real_mode();
    set_tables();
    __asm__ volatile("lldt %w0; ltr %w1" : : "r"(0), "r"(TASK_64) : "memory");
    set_extended_control_register();
    set_interrupts();
    if (is_again) look_and_shut_down();
    if (round_number % 64 == 0) say("round ", round_number);
    round_number++;
    play_round();
  }
}

static void start_second_processor(void) {
  copy(LOW_AP, low_ap, low_ap_end);
  for (int vector = 0; vector < 256; vector++) set_gate(ap_idt, vector, (uint64_t)ap_stubs + 16 * vector, 0, 0x8E);
  set_mapping(calm, calm_parts[0], calm_parts[1], calm_parts[2], calm_parts[3], calm_parts[4], calm_parts[5], false);
  *memory(APIC + 0xF0) = 0x1FF;
  *memory(APIC + 0x310) = 1 << 24;
  *memory(APIC + 0x300) = 0x4500;
  *memory(APIC + 0x310) = 1 << 24;
  *memory(APIC + 0x300) = 0x4600 | LOW_AP >> 12;
  while (!ap_ticks) __asm__ volatile("pause");
}

static uint64_t number(const char *line, const char *name, uint64_t value) {
  for (; *line; line++) {
    const char *at = line;
    const char *word = name;
    while (*word && *word == *at) word++, at++;
    if (*word) continue;
    for (value = 0; *at >= '0' && *at <= '9'; at++) value = 10 * value + (uint64_t)(*at - '0');
    return value;
  }
  return value;
}

_Noreturn void start(const uint8_t *parameters) {
  const char *line = (const char *)(uint64_t) * (const uint32_t *)(parameters + 0x228);
  seed = number(line, "seed=", 1);
  rounds = number(line, "rounds=", rounds);
  two_processors = number(line, "cpus=", 1) > 1;
  stays = number(line, "stay=", 0);
  is_again = number(line, "again=", 0);
  hp.position = (uint32_t)(seed % PORT_PARTS) * PORT_PART;
  part_end = hp.position + PORT_PART;
  ends_by_port = seed / PORT_PARTS % 2 != seed % 2;
  if (!is_again) say("seed ", seed);
  find_features();
  set_segments();
  set_tables();
  __asm__ volatile("mov %0, %%cr3; lgdt %1; lidt %2" : : "r"(golden), "m"(gdt_pointer), "m"(idt_pointer) : "memory");
  // No interrupt of the 8259As; at first all local.
  out8(0x21, 0xFF);
  out8(0xA1, 0xFF);
  if (two_processors) start_second_processor();
  __asm__ volatile("jmp recover");
  __builtin_unreachable();
}
