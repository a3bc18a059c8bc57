import Machine
import Testing

/// The devices of other emulators that test kernels count on.
@Suite("Ports of emulators")
struct EmulatorPortTests {
  @Test(
    "fw_cfg's items",
    arguments: [
      (0x00, Array("QEMU".utf8)), (0x01, [1, 0, 0, 0]), (0x02, [0]), (0x03, [0, 0, 0, 0xC0, 1, 0, 0, 0]),
      (0x04, [1, 0]), (0x05, [8, 0]), (0x0F, [8, 0]), (0x19, [0, 0, 0, 0]), (0x20, [0]), (0xFFFF, [0]),
      (0x4005, [8, 0]), (0x8003, [0]),
    ] as [(UInt16, [UInt8])])
  func firmwareConfiguration(key: UInt16, item: [UInt8]) {
    var device = FirmwareConfiguration(memorySize: 7 << 30, processorCount: 8)
    let signature = (0..<4).map { _ in device.readData() }
    #expect(signature == Array("QEMU".utf8), "it is selected first")
    for _ in 0..<2 {
      device.select(key)
      let bytes = (0..<item.count + 100).map { _ in device.readData() }
      #expect(bytes == item + [UInt8](repeating: 0, count: 100))
    }
  }

  @Test(
    "Only the word \"Shutdown\", however it is led up to, turns the machine off",
    arguments: [
      ("Shutdown", 1), ("shutdown", 0), ("Shutdow", 0), ("Shutdxn", 0), ("ShutShutdown", 1), ("SShutdown", 1),
      ("Shut\0down", 0), ("ShutdownShutdown", 2), ("Shutdowhutdown", 0), ("xShutdown!", 1),
    ])
  func shutdown(text: String, count: Int) {
    var port = ShutdownPort()
    let completions = text.utf8.count { port.write($0) }
    #expect(completions == count)
  }

  @Test("A shutdown port takes any bytes")
  func shutdownFuzz() {
    var port = ShutdownPort()
    var random = RandomNumbers(seed: 0x8900)
    let letters = Array("Shutdown".utf8)
    for _ in 0..<100_000 {
      _ = port.write(
        random.chance(90) ? letters.randomElement(using: &random)! : UInt8.random(in: 0...255, using: &random))
    }
    let completions = "Shutdown".utf8.count { port.write($0) }
    #expect(completions == 1)
  }

  @Test(
    "The exit status is the value, doubled, and 1", arguments: [(0, 1), (1, 3), (0x10, 0x21), (0x7F, 0xFF), (0x80, 1)])
  func debugExit(value: UInt8, status: UInt8) {
    #expect(DebugExitPort.status(for: value) == status)
  }
}
