import Boot
import CVMX
import Host
import Machine
import VMCS
import VMX

guard let multiboot = Multiboot2(magic: boot_magic, information: boot_information) else {
  fail("Skep was not started by a multiboot2 loader; start it by GRUB's \"multiboot2\" command")
}
startHypervisor(multiboot)

/// Says what is wrong, and ends the run.
func fail(_ message: StaticString) -> Never {
  var output = ReportPort(lineStart: "skep: error ")
  output.write(message)
  output.write("\n")
  endRun("error")
}
