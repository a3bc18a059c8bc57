/// What the benchmark's guest says of an event: how many ticks it took.
struct Ticks: Equatable {
  /// The most frequent value.
  var mode: Int
  var least: Int
  var most: Int

  /// Parses `event NAME mode TICKS least TICKS most TICKS count NUMBER`; nil for any other line.
  static func parse(_ line: Substring) -> (name: String, ticks: Ticks)? {
    let words = line.split(whereSeparator: \.isWhitespace)
    guard words.count == 10, words[0] == "event", words[2] == "mode", words[4] == "least", words[6] == "most",
      let mode = Int(words[3]), let least = Int(words[5]), let most = Int(words[7])
    else { return nil }
    return (String(words[1]), Ticks(mode: mode, least: least, most: most))
  }

  /// The events of all such lines of `output`, by their names.
  static func all(in output: String) -> [String: Ticks] {
    var result: [String: Ticks] = [:]
    for line in output.split(whereSeparator: \.isNewline) {
      if let (name, ticks) = parse(line) { result[name] = ticks }
    }
    return result
  }
}

extension Accesses {
  /// Takes them from the table with which a metered run ends; nil if it is not there.
  init?(costTable output: String) {
    func value(of name: String) -> Double? {
      for line in output.split(whereSeparator: \.isNewline) {
        let words = line.split(whereSeparator: \.isWhitespace)
        if words.count == 2, words[0] == name { return Double(words[1]) }
      }
      return nil
    }
    guard let vmreads = value(of: "VMREADs"), let vmwrites = value(of: "VMWRITEs") else { return nil }
    self.init(vmreads: vmreads, vmwrites: vmwrites)
  }

  /// What each of `count` events cost, if the others of the run cost `rest`.
  func perEvent(_ count: Int, without rest: Accesses) -> Accesses {
    Accesses(
      vmreads: (vmreads - rest.vmreads) / Double(count), vmwrites: (vmwrites - rest.vmwrites) / Double(count))
  }
}

/// The time-stamp counter and the time idle at the prompt of the initramfs that the boot is measured with.
struct BootTicks: Equatable {
  var ticks: Int
  /// In the hundredths of a second of Linux's `/proc/stat`.
  var idle: Int

  /// Takes them from the line `ticks NUMBER idle NUMBER`; nil if it is not there.
  init?(console output: String) {
    for line in output.split(whereSeparator: \.isNewline) {
      let words = line.split(whereSeparator: \.isWhitespace)
      guard words.count == 4, words[0] == "ticks", words[2] == "idle", let ticks = Int(words[1]),
        let idle = Int(words[3])
      else { continue }
      self.ticks = ticks
      self.idle = idle
      return
    }
    return nil
  }
}
