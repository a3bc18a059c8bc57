// Measures what events of a guest cost: the ticks of the time-stamp counter from one RDTSC to the next with the event
// between them. On Bochs with "sync=none" a tick is one instruction, of the guest's or of the hypervisor's.
//
// Without words on its command line it measures every event but "touch" and prints a line for each on COM1:
//   event NAME mode TICKS least TICKS most TICKS count NUMBER
// "event=NAME" chooses one. "repeat=NUMBER" executes it that often and prints nothing, so that what the hypervisor counts
// itself can be compared between runs.

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum { measurements = 1000, histogram_size = 1 << 16 };

typedef struct {
  uint32_t eax, ecx, edx;
  void *address;
} inputs;

typedef struct {
  const char *name;
  uint32_t (*measure)(const inputs *);
  inputs inputs;
} event;

// Between the two RDTSC are three MOVs and the event. So the difference of an empty pair is 4.
#define MEASURED(name, instruction)                                                                          \
  static uint32_t name(const inputs *in) {                                                                   \
    uint32_t end, unused;                                                                                    \
    register uint32_t start __asm__("r8");                                                                   \
    register uint32_t eax __asm__("r9") = in->eax;                                                           \
    register uint32_t edx __asm__("r10") = in->edx;                                                          \
    __asm__ volatile("rdtsc\n mov %%eax, %k0\n mov %k4, %%eax\n mov %k5, %%edx\n" instruction "\n rdtsc"     \
                     : "=&r"(start), "=&a"(end), "=&d"(unused), "=c"(unused)                                 \
                     : "r"(eax), "r"(edx), "3"(in->ecx), "D"(in->address)                                    \
                     : "rbx", "memory", "cc");                                                               \
    return end - start;                                                                                      \
  }

MEASURED(measure_empty, "")
MEASURED(measure_cpuid, "cpuid")
MEASURED(measure_rdmsr, "rdmsr")
MEASURED(measure_wrmsr, "wrmsr")
MEASURED(measure_in, "in %%dx, %%al")
MEASURED(measure_out, "out %%al, %%dx")
MEASURED(measure_wbinvd, "wbinvd")
MEASURED(measure_xsetbv, "xsetbv")
MEASURED(measure_mov_cr8, "mov %%rax, %%cr8")
MEASURED(measure_touch, "mov (%%rdi), %%eax")

extern char untouched[];

static const event events[] = {
  {"empty", measure_empty, {}},
  {"cpuid-0", measure_cpuid, {.eax = 0}},
  {"cpuid-1", measure_cpuid, {.eax = 1}},
  {"rdmsr-apic-base", measure_rdmsr, {.ecx = 0x1B}},
  {"wrmsr-apic-base", measure_wrmsr, {.ecx = 0x1B, .eax = 0xFEE00100}},
  {"wrmsr-pat", measure_wrmsr, {.ecx = 0x277, .eax = 0x00070406, .edx = 0x00070406}},
  {"in-8259", measure_in, {.edx = 0x21}},
  {"out-8259", measure_out, {.edx = 0x21, .eax = 0xFF}},
  {"in-16550-lsr", measure_in, {.edx = 0x3FD}},
  {"in-16550-scr", measure_in, {.edx = 0x3FF}},
  {"out-16550-scr", measure_out, {.edx = 0x3FF}},
  {"in-8254", measure_in, {.edx = 0x40}},
  {"in-146818", measure_in, {.edx = 0x71}},
  {"in-unclaimed", measure_in, {.edx = 0x80}},
  {"out-unclaimed", measure_out, {.edx = 0x80}},
  {"wbinvd", measure_wbinvd, {}},
  {"xsetbv", measure_xsetbv, {.eax = 1}},
  {"mov-cr8", measure_mov_cr8, {}},
  {"touch", measure_touch, {.address = untouched}},
};

static uint32_t histogram[histogram_size];

static uint8_t in8(uint16_t port) {
  uint8_t value;
  __asm__ volatile("in %1, %0" : "=a"(value) : "Nd"(port));
  return value;
}

static void out8(uint16_t port, uint8_t value) { __asm__ volatile("out %0, %1" : : "a"(value), "Nd"(port)); }

static void print(const char *text) {
  for (; *text; text++) {
    while (!(in8(0x3FD) & 0x20)) {}
    out8(0x3F8, (uint8_t)*text);
  }
}

static void print_number(uint32_t value) {
  char text[11];
  char *digit = text + 10;
  *digit = 0;
  do *--digit = (char)('0' + value % 10);
  while (value /= 10);
  print(digit);
}

static void measure(const event *event) {
  for (size_t i = 0; i < histogram_size; i++) histogram[i] = 0;
  inputs inputs = event->inputs;
  uint32_t least = UINT32_MAX, most = 0, mode = 0;
  for (int i = 0; i < measurements; i++) {
    uint32_t ticks = event->measure(&inputs);
    if (inputs.address) inputs.address = (char *)inputs.address + 4096;
    if (ticks < least) least = ticks;
    if (ticks > most) most = ticks;
    uint32_t bin = ticks < histogram_size ? ticks : histogram_size - 1;
    if (++histogram[bin] > histogram[mode]) mode = bin;
  }
  print("event ");
  print(event->name);
  print(" mode ");
  print_number(mode);
  print(" least ");
  print_number(least);
  print(" most ");
  print_number(most);
  print(" count ");
  print_number(histogram[mode]);
  print("\n");
}

static void repeat(const event *event, uint32_t count) {
  inputs inputs = event->inputs;
  while (count--) {
    event->measure(&inputs);
    if (inputs.address) inputs.address = (char *)inputs.address + 4096;
  }
}

// What follows NAME= on the command line, or NULL.
static const char *value_of(const char *line, const char *name) {
  for (; *line; line++) {
    size_t length = 0;
    while (name[length] && line[length] == name[length]) length++;
    if (!name[length]) return line + length;
    while (line[1] && *line != ' ') line++;
  }
  return NULL;
}

static bool is_word(const char *text, const char *word) {
  while (*word && *text == *word) {
    text++;
    word++;
  }
  return !*word && (!*text || *text == ' ');
}

static uint32_t number(const char *text) {
  uint32_t value = 0;
  for (; *text >= '0' && *text <= '9'; text++) value = value * 10 + (uint32_t)(*text - '0');
  return value;
}

// XSETBV is an instruction of a processor that has XSAVE, once CR4 says so.
static bool enable_xsave(void) {
  uint32_t eax = 1, ebx, ecx = 0, edx;
  __asm__ volatile("cpuid" : "+a"(eax), "=b"(ebx), "+c"(ecx), "=d"(edx));
  if (!(ecx & 1u << 26)) return false;
  uint64_t cr4;
  __asm__ volatile("mov %%cr4, %0" : "=r"(cr4));
  __asm__ volatile("mov %0, %%cr4" : : "r"(cr4 | 1u << 18));
  return true;
}

_Noreturn void benchmark(const uint8_t *boot_params) {
  const char *line = (const char *)(uintptr_t)*(const uint32_t *)(boot_params + 0x228);
  const char *chosen = value_of(line, "event=");
  const char *count = value_of(line, "repeat=");
  bool has_xsave = enable_xsave();
  for (size_t i = 0; i < sizeof events / sizeof *events; i++) {
    const event *event = &events[i];
    if (chosen ? !is_word(chosen, event->name) : event->measure == measure_touch) continue;
    if (event->measure == measure_xsetbv && !has_xsave) continue;
    if (count) {
      repeat(event, number(count));
    } else {
      measure(event);
    }
  }
  if (!count) print("done\n");
  // PM1a_CNT: SLP_EN, and the SLP_TYP of S5 in Skep's ACPI tables.
  __asm__ volatile("out %0, %1" : : "a"((uint16_t)0x3400), "d"((uint16_t)0x604));
  for (;;) __asm__ volatile("hlt");
}
