/// A table in columns: the first aligned to the left, the others to the right.
struct Table {
  var rows: [[String]]

  /// Its lines.
  var text: String {
    var widths: [Int] = []
    for row in rows {
      for (column, cell) in row.enumerated() {
        if column == widths.count { widths.append(0) }
        widths[column] = max(widths[column], cell.count)
      }
    }
    return rows.map { row in
      row.enumerated().map { column, cell in
        let padding = String(repeating: " ", count: widths[column] - cell.count)
        return column == 0 ? cell + padding : padding + cell
      }.joined(separator: "  ") + "\n"
    }.joined()
  }
}

extension EventMeasurement.Result {
  /// Whether the event costs no more than it may; nil if it may cost anything.
  var isWithinLimits: Bool? {
    guard event.limit != nil || event.accessLimit != nil else { return nil }
    if let limit = event.limit, ticks.mode > limit { return false }
    return event.accessLimit.map(accesses.isWithin) ?? true
  }
}

extension Event {
  /// What it may cost: instructions, then VMREADs and VMWRITEs.
  fileprivate var limits: String {
    [limit.map { "\($0)" }, accessLimit?.description].compactMap(\.self).joined(separator: ", ")
  }
}

extension Table {
  /// What each event costs, beside what it costs under KVM and what it may cost.
  init(events: [EventMeasurement.Result]) {
    let none = "-"
    rows = [["event", "Skep", "KVM", "ratio", "VMREAD / VMWRITE", "KVM", "to reach", ""]]
    rows += events.map { result in
      let event = result.event
      return [
        event.title, "\(result.ticks.mode)", event.kvm.map { "\($0.instructions)" } ?? none,
        event.kvm.map { decimal(Double(result.ticks.mode) / Double($0.instructions)) } ?? none,
        result.accesses.description, event.kvm?.accesses.description ?? none,
        event.limits.isEmpty ? none : event.limits,
        result.isWithinLimits.map { $0 ? "reached" : "MISSED" } ?? "",
      ]
    }
  }
}

/// `value` to the hundredth.
func decimal(_ value: Double) -> String {
  let hundredths = Int((value * 100).rounded())
  let rest = hundredths % 100
  return "\(hundredths / 100)." + (rest < 10 ? "0\(rest)" : "\(rest)")
}
