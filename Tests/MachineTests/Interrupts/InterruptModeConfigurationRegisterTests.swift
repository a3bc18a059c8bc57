import Machine
import Testing

@Suite struct InterruptModeConfigurationRegisterTests {
  @Test func `the register is there when it is selected, and keeps one bit`() {
    var register = InterruptModeConfigurationRegister()
    for selection in UInt8.min...255 {
      register.write(port: 0x22, value: selection)
      #expect(register.read(port: 0x22) == selection)
      for value in [0xFF, 0x00, 0x01] as [UInt8] {
        register.write(port: 0x23, value: value)
        #expect(register.read(port: 0x23) == (selection == 0x70 ? value & 1 : 0xFF))
      }
    }
    register.write(port: 0x21, value: 0)
    #expect(register.read(port: 0x24) == 0xFF)
  }
}
