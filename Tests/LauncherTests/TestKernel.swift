import Testing

/// A multiboot2 image that stands in for the hypervisor: it prints what it was given and then does one thing.
struct TestKernel {
  /// What it does after it has printed its command line and the strings of its modules to COM1.
  enum Action: String {
    /// Writes the report and turns the machine off.
    case report
    /// Turns the machine off without a word.
    case silence
    /// Does nothing for ever.
    case hang
    /// Sends back what it receives in upper case until it receives `q`; then as `report`.
    case echo
    /// Writes 64 KiB of consecutive letters to COM1; then as `report`.
    case burst
  }

  var action = Action.report
  /// The bytes for COM2.
  var report = "skep: end power-off\n"

  /// Assembles it in the directory, and returns its path.
  func build(in scratch: Scratch) throws -> String {
    _ = try scratch.write(Array(source.utf8), to: "test.S")
    let (status, output) = try scratch.shell(
      """
      clang -target i386-unknown-none-elf -c test.S -o test.o && \
      ld.lld -m elf_i386 --image-base=0x100000 test.o -o test.elf
      """)
    try #require(status == 0, "\(output)")
    return scratch.path + "/test.elf"
  }

  private var source: String {
    let bytes = report.utf8.map(String.init).joined(separator: ",")
    return """
      .section .multiboot, "a"
      .balign 8
      header: .long 0xe85250d6, 0, headerEnd - header, -(0xe85250d6 + (headerEnd - header))
        .short 0, 0
        .long 8
      headerEnd:
      .text
      .globl _start
      _start:
        mov $stack, %esp
        mov $0x3f8, %edi
        call setUp
        mov $0x2f8, %edi
        call setUp
        mov $0x3f8, %edi
        mov $hello, %esi
        call print
        lea 8(%ebx), %ebx
      tag:                      # 1 is the command line, 3 a module
        mov (%ebx), %eax
        test %eax, %eax
        jz \(action.rawValue)
        lea 8(%ebx), %esi
        cmp $1, %eax
        je 1f
        add $8, %esi
        cmp $3, %eax
        jne 2f
      1:
        call print
        mov $newline, %esi
        call print
      2:
        mov 4(%ebx), %eax
        add $7, %eax
        and $-8, %eax
        add %eax, %ebx
        jmp tag
      echo:
        lea 5(%edi), %edx
      1:
        in %dx, %al
        test $1, %al
        jz 1b
        mov %edi, %edx
        in %dx, %al
        cmp $'q', %al
        je report
        cmp $'a', %al
        jb 2f
        sub $32, %al
      2:
        call put
        jmp echo
      burst:
        mov $65536, %ebp
        mov $0, %ecx
      1:
        mov %cl, %al
        add $'a', %al
        call put
        inc %ecx
        cmp $26, %ecx
        jne 2f
        mov $0, %ecx
      2:
        dec %ebp
        jnz 1b
      report:
        mov $0x2f8, %edi
        mov $text, %esi
        call print
      silence:
        mov $0x2fd, %edx        # until the UARTs have sent everything
      1:
        in %dx, %al
        test $0x40, %al
        jz 1b
        mov $0x3fd, %edx
      2:
        in %dx, %al
        test $0x40, %al
        jz 2b
        mov $0x8900, %edx
        mov $shutdown, %esi
        mov $8, %ecx
        rep outsb
      hang:
        jmp hang
      setUp:                    # 8 bits, and FIFOs
        lea 3(%edi), %edx
        mov $3, %al
        out %al, %dx
        lea 2(%edi), %edx
        mov $7, %al
        out %al, %dx
        ret
      print:
        lodsb
        test %al, %al
        jz 1f
        call put
        jmp print
      1:
        ret
      put:
        mov %al, %ah
        lea 5(%edi), %edx
      1:
        in %dx, %al
        test $0x20, %al
        jz 1b
        mov %edi, %edx
        mov %ah, %al
        out %al, %dx
        ret
      .data
      hello: .asciz "hello\\n"
      newline: .asciz "\\n"
      shutdown: .ascii "Shutdown"
      text: .byte \(bytes)\(bytes.isEmpty ? "" : ",")0
      .bss
      .skip 4096
      stack:

      """
  }
}
