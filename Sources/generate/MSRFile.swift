/// The file that comes from MSRs.txt.
func msrFile(_ msrs: [MSRSpecification]) -> GeneratedFile {
  var text = "extension MSR {\n"
  for msr in msrs {
    let index = hex(msr.index, 8)
    if msr.count == 1 {
      text += documentation("\(msr.title), \(index).", indent: "  ")
      text += "  @inlinable public static var \(msr.name): Self { Self(rawValue: \(index)) }\n\n"
    } else {
      let extent = "\(index) + n * \(msr.stride), for n below \(msr.count)"
      text += documentation("\(msr.title), \(extent).", indent: "  ")
      text += """
          @inlinable public static func \(msr.name)(_ n: UInt32) -> Self { Self(rawValue: \(index) + n * \(msr.stride)) }


        """
    }
  }
  text += """
      /// The SDM's name of the MSR, that of its family if it belongs to one; nil for an MSR that is not listed.
      public var name: StaticString? {
        switch rawValue {

    """
  for msr in msrs {
    let last = msr.index + (msr.count - 1) * msr.stride
    let pattern =
      switch (msr.count, msr.stride) {
      case (1, _): hex(msr.index, 8)
      case (_, 1): "\(hex(msr.index, 8))...\(hex(last, 8))"
      default:
        "let index\n    where (\(hex(msr.index, 8))...\(hex(last, 8))).contains(index)\n"
          + "      && (index - \(hex(msr.index, 8))) % \(msr.stride) == 0"
      }
    text += "    case \(pattern):\(pattern.contains("\n") ? "\n     " : "") \"\(msr.title)\"\n"
  }
  text += "    default: nil\n    }\n  }\n}\n"
  return GeneratedFile(generatedDirectory + "MSRNames.swift", from: "MSRs.txt", text)
}
