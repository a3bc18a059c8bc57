import Boot
import CVMX
import EntryProbe
import Host
import VMCS
import VMEntryChecks

guard let multiboot = Multiboot2(magic: boot_magic, information: boot_information) else {
  fail("the probe was not started by a multiboot2 loader")
}
start(ProbeOptions(parsing: multiboot.commandLine))

private func start(_ options: ProbeOptions) -> Never {
  var run = ProbeRun(options)
  run.run()
  endRun("power-off")
}

/// Says what is wrong, and ends the run.
func fail(_ message: StaticString) -> Never {
  var output = ReportPort(lineStart: "skep: error ")
  output.write(message)
  output.write("\n")
  endRun("error")
}
