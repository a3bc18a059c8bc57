import ArgumentParser
import Foundation

/// A package with the checks, every mutant in them, and their tests.
struct ScratchPackage {
  /// A change and where it is.
  struct Mutant: Sendable {
    var number: Int
    var file: String
    var line: Int
    var what: String
  }

  var directory: String

  /// Writes the package into `directory`, from the sources in the current directory, and builds its tests once: the
  /// environment variable MUTANT chooses the mutant at run time.
  func build() throws -> [Mutant] {
    let files = FileManager.default
    for path in ["Sources/CVMX", "Sources/VMCS", "Tests/VMEntryChecksTests"] {
      let target = "\(directory)/\(path)"
      try? files.removeItem(atPath: target)
      try files.createDirectory(
        atPath: (target as NSString).deletingLastPathComponent, withIntermediateDirectories: true)
      try files.copyItem(atPath: path, toPath: target)
    }
    try Self.manifest.write(toFile: "\(directory)/Package.swift", atomically: true, encoding: .utf8)
    let mutants = try writeChecks()
    let process = try Process.run(
      URL(fileURLWithPath: "/usr/bin/env"),
      arguments: [
        "swift", "build", "-c", "release", "-Xswiftc", "-enable-testing", "--build-tests", "--package-path", directory,
      ])
    process.waitUntilExit()
    guard process.terminationStatus == 0 else { throw ExitCode.failure }
    return mutants
  }

  private func writeChecks() throws -> [Mutant] {
    let folder = "\(directory)/Sources/VMEntryChecks"
    try? FileManager.default.removeItem(atPath: folder)
    try FileManager.default.createDirectory(atPath: folder, withIntermediateDirectories: true)
    var mutants: [Mutant] = []
    let names = try FileManager.default.contentsOfDirectory(atPath: "Sources/VMEntryChecks")
    for name in names.filter({ $0.hasSuffix(".swift") }).sorted() {
      let source = try String(contentsOfFile: "Sources/VMEntryChecks/\(name)", encoding: .utf8)
      guard !Self.unchanged.contains(where: name.hasPrefix) else {
        try source.write(toFile: "\(folder)/\(name)", atomically: true, encoding: .utf8)
        continue
      }
      let mutated = MutatedSource(source, first: (mutants.last?.number ?? 0) + 1)
      mutants += mutated.mutants.map { Mutant(number: $0.number, file: name, line: $0.line, what: $0.what) }
      try mutated.text.write(toFile: "\(folder)/\(name)", atomically: true, encoding: .utf8)
    }
    try Self.support.write(toFile: "\(folder)/Mutants.swift", atomically: true, encoding: .utf8)
    return mutants
  }

  /// Files without a condition of the SDM's.
  private static let unchanged = [
    "EntryCapabilities", "EntryCapability", "EntryCheck", "EntryChecks", "EntryCheckSection", "EntryFacts",
    "EntryInput.",
    "EntryReport", "EntryText", "VMCSState", "ControlFieldChecks",
  ]

  private static let support = """
    import Glibc

    private let mutant = getenv("MUTANT").map { Int(atoi($0)) } ?? 0

    func mutated(_ number: Int, _ condition: Bool) -> Bool { condition != (mutant == number) }

    func weakened<Mask: FixedWidthInteger>(_ number: Int, _ mask: Mask) -> Mask {
      if mutant == number { return mask & (mask &- 1) }
      return mutant == number + 1 && mask != 0 ? mask & ~(1 << (Mask.bitWidth - 1 - mask.leadingZeroBitCount)) : mask
    }

    func weakened<Mask: OptionSet>(_ number: Int, _ mask: Mask) -> Mask where Mask.RawValue: FixedWidthInteger {
      Mask(rawValue: weakened(number, mask.rawValue))
    }

    """

  private static let manifest = """
    // swift-tools-version: 6.2
    import PackageDescription
    let settings: [SwiftSetting] = [.swiftLanguageMode(.v6), .enableExperimentalFeature("Lifetimes")]
    let package = Package(
      name: "mutate",
      targets: [
        .target(name: "CVMX"),
        .target(name: "VMCS", dependencies: ["CVMX"], swiftSettings: settings),
        .target(name: "VMEntryChecks", dependencies: ["VMCS"], swiftSettings: settings),
        .testTarget(name: "VMEntryChecksTests", dependencies: ["VMEntryChecks", "VMCS"], swiftSettings: settings),
      ])

    """
}
