import Boot

@_cdecl("hypervisor_interrupt")
func hypervisorInterrupt(_ p: UnsafeMutableRawPointer) {}
let s: StaticString = "skep: hello\n"
