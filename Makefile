# Everything that is done with Skep. `make` lists the targets.

SHELL := /bin/bash
.SHELLFLAGS := -eu -o pipefail -c
.DELETE_ON_ERROR:
.DEFAULT_GOAL := help

SWIFT ?= swift
CPU_MODEL ?= corei7_skylake_x
MEMORY ?= 256M
CPUS ?= 1
# The self-tests of the kernel's cryptography take an emulated processor longer than all the rest of the boot.
APPEND ?= console=ttyS0 cryptomgr.notests
# The command that builds the hypervisor and leaves its ELF file where HYPERVISOR says.
BUILD_HYPERVISOR ?= $(MAKE) --no-print-directory -C Hypervisor image
HYPERVISOR := build/skep.elf
# The same build as that of `swift run skep` and the tests: nothing in it is worth the time of another.
SKEP := .build/debug/skep

GUEST := build/guest
KERNEL_PACKAGE := linux-image-cloud-amd64
RUN_PACKAGES := bochs bochsbios vgabios bochs-term grub-pc-bin grub-common xorriso mtools
GUEST_PACKAGES := busybox-static cpio
TEST_PACKAGES := acpica-tools binutils dmidecode
BENCHMARK_PACKAGES := binutils cpio

# What is shown of the tests while they run: what fails, and the totals.
TEST_OPTIONS ?=
RELEASE_TEST_OPTIONS ?= -c release -Xswiftc -enable-testing --filter Panic
TEST_FILTER := { grep -avE '^(◇|✔ (Test "|Suite )|\[[0-9]+/)|^Test (Suite|Case) |Executed 0 tests' || true; }

# $(call install,PACKAGES) installs those of the packages that are not there.
define install
missing=; for package in $(1); do \
  [ "$$(dpkg-query -W -f '$${Status}' $$package 2>/dev/null)" = "install ok installed" ] || missing="$$missing $$package"; \
done; \
if [ -n "$$missing" ]; then \
  echo "==> Installing$$missing"; \
  sudo=; [ "$$(id -u)" = 0 ] || sudo=sudo; \
  { $$sudo apt-get update -qq && $$sudo apt-get install -y -qq --no-install-recommends $$missing; } || \
    { echo "make: these packages cannot be installed:$$missing" >&2; \
      echo "      Install them by hand: sudo apt-get install$$missing" >&2; exit 1; }; \
fi
endef

.PHONY: help
help: ## List the targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-14s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

.PHONY: run
run: packages build image guest ## Boot Debian's kernel as a guest of Skep, to a shell on this terminal
	@$(SKEP) run --kernel $(GUEST)/vmlinuz --initrd $(GUEST)/initrd.img --append "$(APPEND)" \
	  --memory $(MEMORY) --cpus $(CPUS) --cpu-model $(CPU_MODEL)

.PHONY: build
build:
	@echo "==> Building skep"
	@# Not on a terminal: the compiler's colors are an option to it, and another option builds everything again.
	@$(SWIFT) build --product skep 2>&1 | cat

.PHONY: image
image: ## Build the hypervisor: build/skep.elf
	@echo "==> Building the hypervisor"
	@# SwiftPM does not look for new files in the package that this one depends on by its path.
	@rm -f Hypervisor/.build/*.yaml
	@$(BUILD_HYPERVISOR) 2>&1 | cat

.PHONY: probe
probe:
	@echo "==> Building the probe"
	@$(MAKE) -C Hypervisor probe

.PHONY: processors
processors:
	@echo "==> Building the drill of several processors"
	@$(MAKE) -C Hypervisor processors

.PHONY: guest
guest: $(GUEST)/vmlinuz $(GUEST)/initrd.img ## Fetch Debian's kernel and make an initramfs: build/guest

.PHONY: test-guests
test-guests: ## Assemble the small guests that tests run: build/test-guests
	@$(MAKE) -s -C Tests/Guests guests
	@$(MAKE) -s -C Tests/Hostile guest

.PHONY: packages
packages:
	@$(call install,$(RUN_PACKAGES))

$(GUEST)/vmlinuz:
	@echo "==> Fetching Debian's kernel"
	@mkdir -p $(GUEST)/package
	@find_package() { apt-cache depends $(KERNEL_PACKAGE) 2>/dev/null | awk '/Depends: linux-image/ { print $$2; exit }' || :; }; \
	sudo=; [ "$$(id -u)" = 0 ] || sudo=sudo; \
	package=$$(find_package); \
	[ -n "$$package" ] || { $$sudo apt-get update -qq && package=$$(find_package); }; \
	[ -n "$$package" ] || { echo "make: apt knows no $(KERNEL_PACKAGE)" >&2; \
	  echo "      Check /etc/apt/sources.list, then: sudo apt-get update" >&2; exit 1; }; \
	cd $(GUEST)/package; rm -rf *; \
	apt-get download -qq -o APT::Sandbox::User=root "$$package" || { \
	  echo "make: $$package cannot be fetched; is there a network, and are apt's lists up to date?" >&2; exit 1; }; \
	dpkg-deb --fsys-tarfile ./*.deb | tar -x --wildcards './boot/vmlinuz-*'; \
	mv boot/vmlinuz-* ../vmlinuz
	@rm -rf $(GUEST)/package

# Reproducible: nothing in the archive depends on when, where or by whom it was made.
$(GUEST)/initrd.img: $(shell find Guest -type f) Makefile
	@$(call install,$(GUEST_PACKAGES))
	@echo "==> Making the initramfs"
	@rm -rf $(GUEST)/root && mkdir -p $(GUEST)/root && cd $(GUEST)/root; \
	mkdir -p bin sbin usr/bin usr/sbin dev proc sys tmp root etc; \
	cp $$(command -v busybox) bin/busybox; cp -r $(CURDIR)/Guest/. .; \
	bin/busybox --list-full | while read -r applet; do \
	  [ -e "$$applet" ] || { mkdir -p "$$(dirname "$$applet")"; ln -s /bin/busybox "$$applet"; }; \
	done; \
	ln -s /bin/busybox init; \
	chmod -R u=rwX,go=rX .; find . -exec touch -h -d @0 {} +; \
	find . -mindepth 1 -print0 | LC_ALL=C sort -z | cpio -0 -o -H newc -R 0:0 --reproducible --quiet > ../initrd.img
	@rm -rf $(GUEST)/root

.PHONY: test
test: packages image probe processors guest test-guests ## Test everything, on the host and in Bochs; ends with a count
	@$(call install,$(TEST_PACKAGES))
	@mkdir -p build; failed=0; died=0; \
	echo "==> Checking the form"; $(MAKE) --no-print-directory lint || failed=1; \
	for kind in debug release; do \
	  echo "==> Testing in $$kind"; \
	  if [ $$kind = debug ]; then options="$(TEST_OPTIONS)"; else options="$(RELEASE_TEST_OPTIONS)"; fi; \
	  SKEP_BOCHS_TESTS=1 $(SWIFT) test $$options 2>&1 | tee build/test-$$kind.log | $(TEST_FILTER) || { died=1; \
	    grep -q 'Test run with .* failed' build/test-$$kind.log || { \
	      echo "make: the tests did not run to their end: build/test-$$kind.log" >&2; failed=$$((failed + 1)); }; }; \
	done; \
	total=$$(sed -nE 's/.*Test run with ([0-9]+) tests? in .*/\1/p' build/test-{debug,release}.log | awk '{ sum += $$1 } END { print sum + 0 }'); \
	broken=$$(grep -ahE '✘ Test .* failed after ' build/test-{debug,release}.log | grep -vc ' Test run with ' || true); \
	passed=$$((total - broken)); failed=$$((failed + broken)); \
	[ $$died = 0 ] || [ $$failed != 0 ] || failed=1; \
	echo "$$passed passed, $$failed failed"; \
	[ $$failed = 0 ]

# A part of the machines: make test-matrix MODELS=corei7_skylake_x CPUS="1 2" MODES=x2apic CONTROLS="none every"
test-matrix: MODELS = corei7_sandy_bridge_2600k corei7_haswell_4770 corei7_skylake_x
test-matrix: CPUS = 1 2 4
CLANG ?= clang
LINKER ?= ld.lld
MODES ?= xapic x2apic
CONTROLS ?=
# Seconds under load by the emulated clock, and the instructions in one of them: the fewer, the shorter a minute takes. Below
# 22,000,000 Linux finds that the HPET is too slow to measure its time-stamp counter by: a read may take 1/32 ms. Below
# 28,000,000 an interrupt of the host's in such a read can be more than the 1 % of 10 ms that Linux would correct later.
LOAD ?= 60
FREQUENCY ?= 30000000
# All machines, 144, or pairs: 39, such that any two things in which they differ meet in one of them.
COVER ?= all
# Machines at a time: as many as there are cores to spare, for a machine keeps one busy.
JOBS ?= 1
MATRIX := build/matrix

.PHONY: test-matrix
test-matrix: packages build image guest ## Load Debian's kernel on many kinds of machine, for hours: MODELS=… CPUS=… JOBS=…
	@$(call install,$(GUEST_PACKAGES))
	@mkdir -p $(MATRIX)/root/bin
	@$(CLANG) -target x86_64-unknown-linux-gnu -c Benchmarks/Boot/ticks.S -o $(MATRIX)/ticks.o
	@$(LINKER) -static --build-id=none $(MATRIX)/ticks.o -o $(MATRIX)/root/bin/ticks
	@$(CLANG) -target x86_64-unknown-linux-gnu -DPOWER_TIMER -c Benchmarks/Boot/ticks.S -o $(MATRIX)/power-timer.o
	@$(LINKER) -static --build-id=none $(MATRIX)/power-timer.o -o $(MATRIX)/root/bin/power-timer
	@cp Tests/Matrix/check $(MATRIX)/root/bin/
	@# Linux unpacks one archive after another.
	@cd $(MATRIX)/root && { cat ../../guest/initrd.img; \
	  find . -mindepth 1 -print0 | LC_ALL=C sort -z | cpio -0 -o -H newc -R 0:0 --quiet; } > ../initrd.img
	@MODELS="$(MODELS)" CPUS="$(CPUS)" MODES="$(MODES)" CONTROLS="$(CONTROLS)" COVER=$(COVER) \
	  LOAD=$(LOAD) FREQUENCY=$(FREQUENCY) JOBS=$(JOBS) Tests/Matrix/run $(SKEP) $(GUEST)/vmlinuz $(MATRIX)/initrd.img $(MATRIX)/logs

.PHONY: benchmark
benchmark: packages build image guest ## Measure what a guest's events, its boot and explaining dumps cost
	@$(call install,$(BENCHMARK_PACKAGES))
	@$(MAKE) -s -C Benchmarks
	@$(SWIFT) build -c release --product benchmark
	@echo "==> Measuring events, VMREADs and VMWRITEs, and six boots of Linux"
	@failed=0; .build/release/benchmark $(SKEP) build/benchmark/guest $(GUEST)/vmlinuz build/benchmark/initrd.img \
	  build/benchmark/entry "$(APPEND)" || failed=1; \
	$(MAKE) --no-print-directory benchmark-dump || failed=1; exit $$failed

# Any numbers of states and any of Bochs' models with VMX: make differential SEED=7 COUNT=250000 MODELS=tigerlake
SEED ?= 1
COUNT ?= 10000
MODELS ?= corei7_skylake_x,tigerlake

.PHONY: differential
differential: packages probe ## Hold the checks against Bochs: SEED=… COUNT=… MODELS=…
	@$(SWIFT) build -c release --product differential
	@.build/release/differential --seed $(SEED) --count $(COUNT) --models $(MODELS) --confirmations

# Guests one after the other, from successive seeds: make hostile TIME=3600 SEED=7 CPUS=2 WITHOUT=use-tpr-shadow
TIME ?= 600
ROUNDS ?= 2000
WITHOUT ?=

.PHONY: hostile
hostile: packages build image test-guests ## Run guests that mean harm: TIME=seconds SEED=… CPUS=1 or 2 WITHOUT=controls
	@$(SWIFT) build --product hostile 2>&1 | cat
	@.build/debug/hostile --time $(TIME) --seed $(SEED) --cpus $(CPUS) --cpu-model $(CPU_MODEL) --rounds $(ROUNDS) \
	  $(addprefix --without ,$(WITHOUT))

# Only every n-th mutant: make mutate STEP=10
STEP ?= 1

.PHONY: mutate
mutate: ## Change each condition, mask and number of the checks and see that a test fails: STEP=…
	@$(SWIFT) build -c release --product mutate
	@.build/release/mutate --step $(STEP)

CHECK ?= guest.rflags.reserved

.PHONY: drill
drill: packages build image guest ## Make a check fail in the running hypervisor and show its report: CHECK=…
	@$(SKEP) run --kernel $(GUEST)/vmlinuz --initrd $(GUEST)/initrd.img --cpu-model $(CPU_MODEL) --no-metered \
	  --drill $(CHECK) < /dev/null || [ $$? = 1 ]

.PHONY: checks
checks: ## List the VM-entry checks with how each is tested: states and mutations, Bochs, drill
	@SKEP_PRINT_CHECKS=1 $(SWIFT) test --filter 'CheckTable' 2>/dev/null | awk ' \
	  / mutations$$/ { total = $$0; next } \
	  !/^[a-z0-9-]+(\.[a-z0-9-]+)+: / { next } \
	  { id = $$1; if (!(id in text)) order[++count] = id; kind = $$2; \
	    part[id, kind == "passes" ? 1 : kind ~ /^(confirmed|not)$$/ ? 2 : 3] = substr($$0, length(id) + 1); text[id] = 1 } \
	  END { for (i = 1; i <= count; i++) { id = order[i]; \
	      if (part[id, 2] == " confirmed by Bochs") confirmed++; if (part[id, 3] !~ /no drill/) drills++; \
	      print id part[id, 1] ";" part[id, 2] ";" part[id, 3] } \
	    print total "; " confirmed + 0 " confirmed by Bochs; " drills + 0 " drills"; exit count == 0 }'

DEBUG_LOG ?= build/test-debug.log

.PHONY: requirements
requirements: ## List the requirements, the tests named after each, and those without a test, or without one that passed
	@# Not only those that passed: a log has been found without the lines of some.
	@log=$(DEBUG_LOG); [ -e $$log ] || log=/dev/null; \
	grep -rhoE '@(Test|Suite)\($$|@(Test|Suite)\("[^"]*"|^ *"([A-F][0-9]+ )+[^"]*"' Tests | grep -oE '"([A-F][0-9]+ )+[^"]*' | tr -d '"' | \
	awk -F ' [|] ' ' \
	  kind == "broken" { broken[$$0] = 1; next } \
	  kind == "tests" { count = split($$0, words, " "); i = 1; isGood = !($$0 in broken); \
	    while (i <= count && words[i] ~ /^[A-F][0-9]+$$/) { id = words[i++]; if (isGood) good[id] = 1; \
	      tests[id] = tests[id] "\n       " $$0 (isGood ? "" : " — FAILED OR SKIPPED") } next } \
	  /^#/ { next } \
	  { id = $$1; sub(/ .*/, "", id); total++; print $$1; if (id in tests) print substr(tests[id], 2); \
	    if (id in good) covered++; \
	    else if (!(id in tests) && $$2) print "       not covered: " $$2; \
	    else { missing++; print "       NOT COVERED, and no reason given" } } \
	  END { print covered + 0 " of " total " requirements covered"; exit missing > 0 }' \
	  kind=broken <(sed -nE 's/^(✘|➜) (Test|Suite) "(.*)" (with [0-9]+ test cases? )?(failed after|skipped).*/\3/p' $$log) kind=tests - \
	  kind=requirements Specification/Requirements.txt

FUZZ_TIME ?= 600
BENCHMARK_DUMPS := kvm-gdtr-base kvm-sti-blocking-after-smi xen-nested-vmlaunch-error-7 xen-msr-load

.PHONY: fuzz-dump
fuzz-dump: ## Read mutated dumps with libFuzzer for ten minutes; FUZZ_TIME=seconds for another time
	@echo "==> Building the fuzzer"
	@mkdir -p build/fuzz/corpus build/fuzz/found && cp Tests/VMCSDumpTests/Dumps/*.txt build/fuzz/corpus/
	@options="-swift-version 6 -O -wmo -parse-as-library -sanitize=fuzzer,address -I build/fuzz"; \
	swiftc $$options -enable-experimental-feature Lifetimes -module-name VMCS -emit-module \
	  -emit-module-path build/fuzz/VMCS.swiftmodule -c $$(find Sources/VMCS -name '*.swift') -o build/fuzz/VMCS.o; \
	swiftc $$options -module-name VMCSDump -emit-module -emit-module-path build/fuzz/VMCSDump.swiftmodule \
	  -c Sources/VMCSDump/*.swift -o build/fuzz/VMCSDump.o; \
	swiftc $$options -module-name DumpFuzz Tests/Fuzz/DumpFuzz.swift build/fuzz/VMCS.o build/fuzz/VMCSDump.o \
	  -o build/fuzz/dump-fuzz 2> build/fuzz/log || { cat build/fuzz/log >&2; exit 1; }
	@echo "==> Fuzzing for $(FUZZ_TIME) seconds"
	@SWIFT_BACKTRACE=enable=no build/fuzz/dump-fuzz -max_total_time=$(FUZZ_TIME) -max_len=16384 -rss_limit_mb=512 \
	  -timeout=5 -artifact_prefix=build/fuzz/found/ build/fuzz/corpus

.PHONY: fuzz-devices
fuzz-devices: ## Use the devices in any way with libFuzzer for ten minutes; FUZZ_TIME=seconds for another time
	@echo "==> Building the fuzzer"
	@mkdir -p build/fuzz/devices build/fuzz/device-corpus build/fuzz/found
	@cd build/fuzz/devices; root=../../..; \
	echo "module CVMX { umbrella \"$(CURDIR)/Sources/CVMX/include\" export * }" > module.modulemap; \
	options="-swift-version 6 -O -wmo -parse-as-library -enable-experimental-feature Lifetimes -I ."; \
	for module in VMCS VMEntryChecks VMX Machine; do \
	  sanitizers=$$([ $$module != Machine ] || echo -sanitize=fuzzer,address); \
	  swiftc $$options $$sanitizers -module-name $$module -emit-module -emit-module-path $$module.swiftmodule \
	    -c $$(find $$root/Sources/$$module -name '*.swift') -o $$module.o; \
	done; \
	swiftc $$options -sanitize=fuzzer,address -module-name DeviceFuzz $$root/Tests/Fuzz/DeviceFuzz.swift *.o \
	  -o device-fuzz 2> log || { cat log >&2; exit 1; }
	@echo "==> Fuzzing for $(FUZZ_TIME) seconds"
	@SWIFT_BACKTRACE=enable=no build/fuzz/devices/device-fuzz -max_total_time=$(FUZZ_TIME) -max_len=4096 -len_control=0 \
	  -rss_limit_mb=512 -timeout=5 -artifact_prefix=build/fuzz/found/ build/fuzz/device-corpus

.PHONY: fuzz-decoder
fuzz-decoder: ## Decode and execute any instructions with libFuzzer for ten minutes; FUZZ_TIME=seconds for another time
	@echo "==> Building the fuzzer"
	@mkdir -p build/fuzz/decoder build/fuzz/decoder-corpus build/fuzz/found
	@cd build/fuzz/decoder; root=../../..; \
	echo "module CVMX { umbrella \"$(CURDIR)/Sources/CVMX/include\" export * }" > module.modulemap; \
	options="-swift-version 6 -O -wmo -parse-as-library -enable-experimental-feature Lifetimes -I ."; \
	for module in VMCS VMEntryChecks VMX Machine ProcessorModel; do \
	  case $$module in VMX|Machine) sanitizers=-sanitize=fuzzer,address;; *) sanitizers=;; esac; \
	  swiftc $$options $$sanitizers -module-name $$module -emit-module -emit-module-path $$module.swiftmodule \
	    -c $$(find $$root/Sources/$$module -name '*.swift') -o $$module.o; \
	done; \
	swiftc $$options -sanitize=fuzzer,address -module-name DecoderFuzz $$root/Tests/Fuzz/DecoderFuzz.swift *.o \
	  -o decoder-fuzz 2> log || { cat log >&2; exit 1; }
	@echo "==> Fuzzing for $(FUZZ_TIME) seconds"
	@SWIFT_BACKTRACE=enable=no build/fuzz/decoder/decoder-fuzz -max_total_time=$(FUZZ_TIME) -max_len=256 \
	  -rss_limit_mb=512 -timeout=10 -artifact_prefix=build/fuzz/found/ build/fuzz/decoder-corpus

# Optimized, since that is what somebody installs who reads logs all day.
.PHONY: benchmark-dump
benchmark-dump: ## Measure how fast dumps are found and explained, and what memory it takes
	@$(SWIFT) build -c release --product skep
	@$(SWIFT) build -c release --product benchmark
	@echo "==> Measuring skep explain: one dump, and logs of a gigabyte"
	@.build/release/benchmark dumps .build/release/skep \
	  $(addprefix Tests/VMCSDumpTests/Dumps/,$(addsuffix .txt,$(BENCHMARK_DUMPS)))

.PHONY: format
format: ## Format all Swift sources
	@$(SWIFT) format -i -r -p Sources Tests Package.swift $(wildcard Hypervisor/Sources Hypervisor/Package.swift)

.PHONY: lint
lint: ## Check the form of all Swift sources
	@$(SWIFT) format lint --strict -r -p Sources Tests Package.swift $(wildcard Hypervisor/Sources Hypervisor/Package.swift)

.PHONY: clean
clean: ## Remove all that was built; the fetched kernel too
	rm -rf .build build Hypervisor/.build
