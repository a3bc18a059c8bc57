import Host
import VMCS

/// Starts the host's processors that a guest with `count` processors needs, or ends the run with what is wrong.
func startProcessors(_ count: UInt64, _ multiboot: Multiboot2, _ hostClock: HostClock) {
  guard (1...UInt64(HostProcessor.maximumCount)).contains(count) else {
    fail("a guest has 1 to 8 processors; say how many with --cpus")
  }
  do throws(HostProcessorProblem) {
    try HostProcessors.start(
      count: Int(count), multiboot, timestampFrequency: hostClock.timestampFrequency)
  } catch {
    var output = ReportPort(lineStart: "skep: error ")
    error.write(to: &output)
    endRun("error")
  }
}
