/// An MSR of MSRs.txt, or a family of them that follow each other at a fixed distance.
struct MSRSpecification {
  var index: UInt64
  var name: String
  /// How many MSRs the family has; 1 for a single MSR.
  var count: UInt64
  /// The distance between the family's indices.
  var stride: UInt64
  var title: String
}

/// Reads MSRs.txt.
func msrSpecifications(of text: String, file: String) throws -> [MSRSpecification] {
  var msrs: [MSRSpecification] = []
  var names: Set<String> = []
  var indices: Set<UInt64> = []
  for line in try specificationLines(of: text, file: file) {
    guard line.words.count == 2 || line.words.count == 4, let index = number(line.words[0]), index <= 0xFFFF_FFFF,
      isMemberName(line.words[1])
    else { throw line.error("expected an index, a name, for a family a count and a stride, and a title") }
    var msr = MSRSpecification(index: index, name: line.words[1], count: 1, stride: 1, title: try line.requiredTitle())
    if line.words.count == 4 {
      guard let count = number(line.words[2]), let stride = number(line.words[3]), (2...4096).contains(count),
        (1...4096).contains(stride)
      else { throw line.error("a family has 2 to 4096 MSRs, at most 4096 apart") }
      (msr.count, msr.stride) = (count, stride)
    }
    guard names.insert(msr.name).inserted else { throw line.error("\(msr.name) occurs twice") }
    for n in 0..<msr.count {
      guard indices.insert(index + n * msr.stride).inserted else {
        throw line.error("the index \(hex(index + n * msr.stride, 8)) occurs twice")
      }
    }
    msrs.append(msr)
  }
  return msrs
}
