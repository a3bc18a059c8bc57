import ProcessorModel
import Testing
import VMCS

@Suite("Faults without a handler")
struct FaultMessageTests {
  @Test("A fault without a handler ends the process with a message that names it")
  func endsProcess() async {
    let result = await #expect(processExitsWith: .failure, observing: [\.standardErrorContent]) {
      _ = ProcessorModel(.penryn).vmread(0x681E)
    }
    let message = String(decoding: result?.standardErrorContent ?? [], as: UTF8.self)
    #expect(message.contains("Penryn: #UD: VMREAD outside VMX operation"))
  }

  @Test("An exhausted script ends the process with a message")
  func exhaustedScript() async {
    let result = await #expect(processExitsWith: .failure, observing: [\.standardErrorContent]) {
      let model = ProcessorModel.withGuest()
      model.onFault = nil
      _ = model.enter(resume: false)
    }
    let message = String(decoding: result?.standardErrorContent ?? [], as: UTF8.self)
    #expect(message.contains("no scripted exit is left"))
  }
}
