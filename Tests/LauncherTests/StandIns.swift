import Glibc

/// Shell scripts in the place of Bochs and of GRUB's image maker, to see what the launcher makes of what they do.
struct StandIns {
  /// Whether the files are there that the launcher looks for before it starts the programs.
  static let canBeUsed = [
    "/usr/lib/grub/i386-pc/multiboot2.mod", "/usr/share/bochs/BIOS-bochs-latest",
    "/usr/share/bochs/VGABIOS-lgpl-latest",
  ].allSatisfy { (path: String) in access(path, R_OK) == 0 }

  /// What leaves its process for the test to look for, and does not end.
  static let lasting = "mark; exec sleep 60"

  private let scratch: Scratch

  /// Puts the programs into the directory.
  ///
  /// - Parameters:
  ///   - models: what Bochs does before it lists its models.
  ///   - maker: what the image maker does between the first bytes of the image and the rest.
  ///   - guest: what Bochs does in the place of a guest; `report` sends a line to the report channel.
  init(models: String = "", maker: String = "", guest: String = "report end power-off", in scratch: Scratch) throws {
    self.scratch = scratch
    _ = try scratch.shell("mkdir -p bin tmp")
    try write(
      """
      if [ "$1" = --help ]; then
        \(models.isEmpty ? ":" : models)
        printf 'Supported CPU models:\\n\\ncorei7_skylake_x\\ncorei7_sandy_bridge_2600k\\n\\n'
        exit
      fi
      console=$(sed -n 's/^com1:.*dev=//p' bochsrc)
      reports=$(sed -n 's/^com2:.*dev=//p' bochsrc)
      report() { echo "skep: $*" >"$reports"; }
      \(guest)
      """, to: "bochs-bin")
    try write(
      """
      for argument; do
        case $argument in --output=*) image=${argument#--output=};; esac
      done
      echo part >"$image"
      \(maker.isEmpty ? ":" : maker)
      echo whole >"$image"
      """, to: "grub-mkrescue")
  }

  private func write(_ script: String, to name: String) throws {
    let text = "#!/bin/sh\nmark() { echo $$ >>'\(scratch.path)/processes'; }\n\(script)\n"
    _ = try scratch.write(Array(text.utf8), to: "bin/" + name)
    chmod("\(scratch.path)/bin/\(name)", 0o755)
  }

  /// A command that starts `program`, which was built beside the tests, with the stand-ins.
  ///
  /// - Parameters:
  ///   - options: of the program `env`.
  ///   - temporary: where temporary files go.
  func command(_ program: String, _ arguments: String, env options: String = "", temporary: String = "$PWD/tmp")
    -> String
  {
    let programs = RunTests.skep.split(separator: "/").dropLast().map { "/" + $0 }.joined()
    return "env \(options) TMPDIR=\(temporary) PATH=$PWD/bin:$PATH \(programs)/\(program) \(arguments)"
  }

  /// `skep run` or `skep image` of a kernel that nobody looks into.
  func skep(
    _ command: String, _ arguments: String = "", env options: String = "", temporary: String = "$PWD/tmp"
  ) throws -> String {
    let kernel = try scratch.kernel()
    return self.command(
      "skep", "\(command) --kernel \(kernel) --hypervisor \(kernel) \(arguments)", env: options, temporary: temporary)
  }

  /// Shell commands that print the marked processes that still run after a second, and all temporary files.
  static let whatIsLeft = """
    for process in $(cat processes 2>/dev/null); do
      for i in 1 2 3 4 5; do ps -o stat= -p $process | grep -q '^[^Z]' || break; sleep 0.2; done
      ps -o stat=,args= -p $process | grep '^[^Z]'
    done
    ls tmp
    """
}
