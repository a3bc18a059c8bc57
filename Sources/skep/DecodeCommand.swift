import ArgumentParser
import Explanation
import Launcher

/// `skep decode`: the bits of fields by name.
struct DecodeCommand: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "decode",
    abstract: "Name every bit of a VMCS field's value.",
    discussion: """
      EXAMPLES:
        skep decode guestRFLAGS=0x246
        skep decode 0x4016=0x800000d1
        skep decode GUEST_CS_AR_BYTES=0xa09b exitReason=0x80000021
      """)

  @Argument(
    help: ArgumentHelp(
      "A field, by name or encoding, and its value, in hexadecimal with 0x or in decimal.", valueName: "field=value"))
  var values: [String]

  @OptionGroup var output: OutputOptions

  func run() throws {
    let decoded = try values.map { text in
      guard let field = DecodedField(text) else {
        throw LaunchProblem(
          "\(text) is not a field of the VMCS and a value that fits it",
          remedy: "Write it like guestRFLAGS=0x246; the names are those of: skep fields")
      }
      return field
    }
    for (position, field) in decoded.enumerated() {
      if position > 0, output.format == .text { print("") }
      print(output.format == .text ? field.text(style: output.style) : field.json.text)
    }
  }
}
