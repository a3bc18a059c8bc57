// Measures what events of a guest cost: the ticks of the time-stamp counter from one RDTSC to the next with the event
// between them. On Bochs with "sync=none" a tick is one instruction, of the guest's or of the hypervisor's.
//
// Without words on its command line it measures every event but "touch" and those of two processors, and prints a line for each on COM1:
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
  // What has to be done before each measurement, or NULL.
  void (*prepare)(void);
  // What has to be done once before all, or NULL.
  void (*begin)(void);
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
MEASURED(measure_vmcall, "vmcall")
MEASURED(measure_interrupt, "out %%al, %%dx")
MEASURED(measure_halt, "cli\n out %%al, %%dx\n sti\n hlt")
MEASURED(measure_touch, "mov (%%rdi), %%eax")
MEASURED(measure_load, "mov (%%rdi), %%eax")
MEASURED(measure_store, "mov %%eax, (%%rdi)")
MEASURED(measure_wrmsr_halt, "cli\n wrmsr\n sti\n hlt")

extern char untouched[];

static uint8_t in8(uint16_t port) {
  uint8_t value;
  __asm__ volatile("in %1, %0" : "=a"(value) : "Nd"(port));
  return value;
}

static void out8(uint16_t port, uint8_t value) { __asm__ volatile("out %0, %1" : : "a"(value), "Nd"(port)); }

// An interrupt request on line 4, which the 8259A keeps while it masks the line: the 16550 says that it can transmit.
static void request_interrupt(void) {
  out8(0x21, 0xFF);
  out8(0x3F9, 0);
  out8(0x3F9, 2);
}

static uint64_t rdmsr(uint32_t index) {
  uint32_t low, high;
  __asm__ volatile("rdmsr" : "=a"(low), "=d"(high) : "c"(index));
  return (uint64_t)high << 32 | low;
}

static void wrmsr(uint32_t index, uint64_t value) {
  __asm__ volatile("wrmsr" : : "c"(index), "a"((uint32_t)value), "d"((uint32_t)(value >> 32)) : "memory");
}

enum {
  apic_base = 0x1B, tsc_deadline = 0x6E0, x2apic_eoi = 0x80B, x2apic_svr = 0x80F, x2apic_timer = 0x832,
  x2apic_icr = 0x830, x2apic_self_ipi = 0x83F, ap_page = 0x6000, other_vector = 0x31, apic_enable = 1 << 11, apic_x2apic = 1 << 10, ipi_vector = 0x30
};
#define APIC_REGISTER(offset) ((void *)(uintptr_t)(0xFEE00000 + (offset)))
#define IO_APIC_REGISTER(offset) ((void *)(uintptr_t)(0xFEC00000 + (offset)))
#define HPET_REGISTER(offset) ((volatile uint32_t *)(uintptr_t)(0xFED00000 + (offset)))

// The events of one mode stand together: the way back from x2APIC mode leads through the disabled state.
static void use_xapic(void) {
  uint64_t base = rdmsr(apic_base);
  if (!(base & apic_x2apic)) return;
  wrmsr(apic_base, base & ~(uint64_t)(apic_enable | apic_x2apic));
  wrmsr(apic_base, (base | apic_enable) & ~(uint64_t)apic_x2apic);
}

static void use_x2apic(void) {
  wrmsr(apic_base, rdmsr(apic_base) | apic_enable | apic_x2apic);
  wrmsr(x2apic_svr, 0x1FF);
  // TSC-deadline mode, masked: what is measured is the writing.
  wrmsr(x2apic_timer, 1 << 18 | 1 << 16 | ipi_vector);
}

// The counter stands still until it is enabled.
static void run_hpet(void) { *HPET_REGISTER(0x10) = 1; }

static void use_deadline(void) {
  use_x2apic();
  wrmsr(x2apic_timer, 1 << 18 | ipi_vector);
}

static uint64_t rdtsc(void) {
  uint32_t low, high;
  __asm__ volatile("rdtsc" : "=a"(low), "=d"(high) : : "memory");
  return (uint64_t)high << 32 | low;
}

// From the deadline to the first instruction after HLT: exit and entry, delivery, EOI and IRET.
static uint32_t measure_deadline_halt(const inputs *in) {
  (void)in;
  __asm__ volatile("cli");
  uint64_t deadline = rdtsc() + 20000;
  uint32_t end;
  __asm__ volatile("wrmsr\n sti\n hlt\n rdtsc"
                   : "=a"(end) : "a"((uint32_t)deadline), "d"((uint32_t)(deadline >> 32)), "c"(tsc_deadline)
                   : "memory", "cc");
  return end - (uint32_t)deadline;
}

// What the second processor is to do, what it does, and the low half of its time-stamp counter when it had been
// interrupted: all zero, but for that, between two measurements.
enum { waits, runs, halts };
static volatile uint32_t wanted, state;
volatile uint32_t interrupted;
extern const char ap_trampoline[], ap_trampoline_end[];
extern uint32_t ap_cr3;

_Noreturn void ap_main(const void *idt_pointer) {
  __asm__ volatile("lidt (%0)" : : "r"(idt_pointer));
  use_x2apic();
  for (;;) {
    while (wanted == waits) {}
    state = wanted;
    if (wanted == runs) {
      __asm__ volatile("sti\n 1: cmpl $0, interrupted\n je 1b\n cli" : : : "rax", "rcx", "rdx", "memory", "cc");
    } else {
      uint32_t end;
      __asm__ volatile("sti\n hlt\n rdtsc\n cli" : "=a"(end) : : "rcx", "rdx", "memory", "cc");
      interrupted = end;
    }
    while (wanted != waits) {}
    state = waits;
  }
}

static void delay(uint32_t instructions) {
  uint32_t count = instructions / 2;
  __asm__ volatile("1: dec %0\n jnz 1b" : "+r"(count) : : "cc");
}

static struct __attribute__((packed)) {
  uint16_t limit;
  const void *base;
} idt_pointer;
const void *ap_idt_pointer = &idt_pointer;

// Starts the second processor, once.
static void use_second_processor(void) {
  static bool is_started;
  if (is_started) return;
  is_started = true;
  use_x2apic();
  uint64_t cr3;
  __asm__ volatile("mov %%cr3, %0" : "=r"(cr3));
  ap_cr3 = (uint32_t)cr3;
  volatile char *target = (volatile char *)(uintptr_t)ap_page;
  for (const char *byte = ap_trampoline; byte < ap_trampoline_end; byte++) *target++ = *byte;
  wrmsr(x2apic_icr, 1ul << 32 | 0x4500);
  delay(1000000);
  wrmsr(x2apic_icr, 1ul << 32 | 0x4600 | ap_page >> 12);
  delay(1000000);
}

// From the WRMSR to the interrupt command register to the first instruction of the other processor's handler, or to the
// first after its HLT.
static uint32_t measure_other(uint32_t wish) {
  interrupted = 0;
  wanted = wish;
  while (state != wish) {}
  delay(5000);
  uint32_t start;
  __asm__ volatile("rdtsc\n mov %%eax, %0\n mov %2, %%eax\n mov $1, %%edx\n wrmsr"
                   : "=&r"(start) : "c"(x2apic_icr), "i"(0x4000 | other_vector) : "rax", "rdx", "memory");
  while (!interrupted) {}
  uint32_t end = interrupted;
  wanted = waits;
  while (state != waits) {}
  return end - start;
}

static uint32_t measure_other_running(const inputs *in) {
  (void)in;
  return measure_other(runs);
}

static uint32_t measure_other_halted(const inputs *in) {
  (void)in;
  return measure_other(halts);
}

static const event events[] = {
  {"empty", measure_empty, {}, NULL, NULL},
  {"cpuid-0", measure_cpuid, {.eax = 0}, NULL, NULL},
  {"cpuid-1", measure_cpuid, {.eax = 1}, NULL, NULL},
  {"rdmsr-apic-base", measure_rdmsr, {.ecx = 0x1B}, NULL, NULL},
  {"wrmsr-apic-base", measure_wrmsr, {.ecx = 0x1B, .eax = 0xFEE00900}, NULL, NULL},
  {"wrmsr-pat", measure_wrmsr, {.ecx = 0x277, .eax = 0x00070406, .edx = 0x00070406}, NULL, NULL},
  {"in-8259", measure_in, {.edx = 0x21}, NULL, NULL},
  {"out-8259", measure_out, {.edx = 0x21, .eax = 0xFF}, NULL, NULL},
  {"in-16550-lsr", measure_in, {.edx = 0x3FD}, NULL, NULL},
  {"in-16550-scr", measure_in, {.edx = 0x3FF}, NULL, NULL},
  {"out-16550-scr", measure_out, {.edx = 0x3FF}, NULL, NULL},
  {"in-8254", measure_in, {.edx = 0x40}, NULL, NULL},
  {"in-146818", measure_in, {.edx = 0x71}, NULL, NULL},
  {"in-unclaimed", measure_in, {.edx = 0x80}, NULL, NULL},
  {"out-unclaimed", measure_out, {.edx = 0x80}, NULL, NULL},
  {"wbinvd", measure_wbinvd, {}, NULL, NULL},
  {"xsetbv", measure_xsetbv, {.eax = 1}, NULL, NULL},
  {"mov-cr8", measure_mov_cr8, {}, NULL, NULL},
  {"vmcall", measure_vmcall, {}, NULL, NULL},
  {"request-interrupt", measure_empty, {}, request_interrupt, NULL},
  {"interrupt", measure_interrupt, {.edx = 0x21, .eax = 0xEF}, request_interrupt, NULL},
  {"halt", measure_halt, {.edx = 0x21, .eax = 0xEF}, request_interrupt, NULL},
  {"apic-read", measure_load, {.address = APIC_REGISTER(0x20)}, NULL, use_xapic},
  {"apic-eoi", measure_store, {.address = APIC_REGISTER(0xB0)}, NULL, use_xapic},
  {"hpet-counter", measure_load, {.address = (void *)HPET_REGISTER(0xF0)}, NULL, run_hpet},
  {"io-apic-read", measure_load, {.address = IO_APIC_REGISTER(0x10)}, NULL, NULL},
  {"io-apic-select", measure_store, {.address = IO_APIC_REGISTER(0)}, NULL, NULL},
  {"x2apic-eoi", measure_wrmsr, {.ecx = x2apic_eoi}, NULL, use_x2apic},
  {"tsc-deadline", measure_wrmsr, {.ecx = tsc_deadline, .edx = 0x7FFFFFFF}, NULL, use_x2apic},
  {"self-ipi", measure_wrmsr, {.ecx = x2apic_self_ipi, .eax = ipi_vector}, NULL, use_x2apic},
  {"self-ipi-halt", measure_wrmsr_halt, {.ecx = x2apic_self_ipi, .eax = ipi_vector}, NULL, use_x2apic},
  {"deadline-halt", measure_deadline_halt, {}, NULL, use_deadline},
  {"ipi-running", measure_other_running, {}, NULL, use_second_processor},
  {"ipi-halted", measure_other_halted, {}, NULL, use_second_processor},
  {"touch", measure_touch, {.address = untouched}, NULL, NULL},
};

// How often interprocessor_interrupt has run.
volatile uint32_t handled;

static uint32_t histogram[histogram_size];

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

// A self-IPI that is lost costs little: so each of `count` has to have been handled, or else the run ends with status 3.
static void require_handled(const event *event, uint32_t count) {
  if (event->inputs.ecx != x2apic_self_ipi || handled == count) return;
  print(event->name);
  print(": interrupts were lost\n");
  out8(0xF4, 1);
}

static void measure(const event *event) {
  handled = 0;
  for (size_t i = 0; i < histogram_size; i++) histogram[i] = 0;
  inputs inputs = event->inputs;
  uint32_t least = UINT32_MAX, most = 0, mode = 0;
  if (event->begin) event->begin();
  for (int i = 0; i < measurements; i++) {
    if (event->prepare) event->prepare();
    uint32_t ticks = event->measure(&inputs);
    if (event->measure == measure_touch) inputs.address = (char *)inputs.address + 4096;
    if (ticks < least) least = ticks;
    if (ticks > most) most = ticks;
    uint32_t bin = ticks < histogram_size ? ticks : histogram_size - 1;
    if (++histogram[bin] > histogram[mode]) mode = bin;
  }
  out8(0x21, 0xFF);
  require_handled(event, measurements);
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
  handled = 0;
  inputs inputs = event->inputs;
  if (event->begin) event->begin();
  for (uint32_t i = 0; i < count; i++) {
    if (event->prepare) event->prepare();
    event->measure(&inputs);
    if (event->measure == measure_touch) inputs.address = (char *)inputs.address + 4096;
  }
  require_handled(event, count);
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

// Whether it needs a machine of its own: memory that is mapped when it is touched, or a second processor.
static bool is_special(const event *event) {
  return event->measure == measure_touch || event->begin == use_second_processor;
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

typedef struct {
  uint16_t offset0, selector, attributes, offset16;
  uint32_t offset32, reserved;
} gate;

static gate idt[256];

extern const char invalid_opcode[], external_interrupt[], interprocessor_interrupt[], interrupt_of_other[];

static void set_gate(uint8_t vector, const char *handler) {
  uint64_t address = (uint64_t)handler;
  idt[vector] = (gate){(uint16_t)address, 0x10, 0x8E00, (uint16_t)(address >> 16), (uint32_t)(address >> 32), 0};
}

// The IDT, and the 8259A with its lines at vectors 0x20 to 0x27, all masked.
static void enable_interrupts(void) {
  set_gate(6, invalid_opcode);
  set_gate(0x24, external_interrupt);
  set_gate(ipi_vector, interprocessor_interrupt);
  set_gate(other_vector, interrupt_of_other);
  idt_pointer.limit = sizeof idt - 1;
  idt_pointer.base = idt;
  __asm__ volatile("lidt %0" : : "m"(idt_pointer));
  out8(0x20, 0x11);
  out8(0x21, 0x20);
  out8(0x21, 0x04);
  out8(0x21, 0x01);
  out8(0x21, 0xFF);
  // OUT2 connects the 16550 to its line.
  out8(0x3FC, 0x08);
  __asm__ volatile("sti");
}

_Noreturn void benchmark(const uint8_t *boot_params) {
  const char *line = (const char *)(uintptr_t)*(const uint32_t *)(boot_params + 0x228);
  const char *chosen = value_of(line, "event=");
  const char *count = value_of(line, "repeat=");
  bool has_xsave = enable_xsave();
  enable_interrupts();
  for (size_t i = 0; i < sizeof events / sizeof *events; i++) {
    const event *event = &events[i];
    if (chosen ? !is_word(chosen, event->name) : is_special(event)) continue;
    if (event->measure == measure_xsetbv && !has_xsave) continue;
    if (count) {
      repeat(event, number(count));
    } else {
      measure(event);
    }
  }
  if (!count) print("done\n");
  // PM1a_CNT: SLP_EN, and the SLP_TYP of S5 in Skep's ACPI tables.
  __asm__ volatile("out %0, %1" : : "a"((uint16_t)0x2000), "d"((uint16_t)0x604));
  for (;;) __asm__ volatile("hlt");
}
