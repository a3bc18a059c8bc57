import ArgumentParser
import Foundation
import VMEntryChecks

/// A package with the checks, every mutant in them, and their tests.
///
/// The checks are in one module with the tests, so that the compiler specialises them for the states of the tests.
struct ScratchPackage {
  var directory: String

  /// Where the tests are, below the directory.
  let tests = "/.build/release/mutatePackageTests.xctest"

  /// Writes the package into the directory, from the sources in the current directory.
  func write() throws -> [Mutant] {
    let files = FileManager.default
    try files.createDirectory(atPath: "\(directory)/Sources", withIntermediateDirectories: true)
    for path in ["Sources/CVMX", "Sources/VMCS"] {
      try? files.removeItem(atPath: "\(directory)/\(path)")
      try files.createSymbolicLink(
        atPath: "\(directory)/\(path)", withDestinationPath: URL(fileURLWithPath: path).path)
    }
    try Self.manifest.write(toFile: "\(directory)/Package.swift", atomically: true, encoding: .utf8)
    try? files.removeItem(atPath: folder)
    try files.createDirectory(atPath: folder, withIntermediateDirectories: true)
    for name in try files.contentsOfDirectory(atPath: "Tests/VMEntryChecksTests") {
      let source = try String(contentsOfFile: "Tests/VMEntryChecksTests/\(name)", encoding: .utf8)
      try write(source.replacing("import VMEntryChecks\n", with: ""), name)
    }
    return try writeChecks()
  }

  private var folder: String { "\(directory)/Tests/VMEntryChecksTests" }

  private func write(_ source: String, _ name: String) throws {
    try source.write(toFile: "\(folder)/\(name)", atomically: true, encoding: .utf8)
  }

  /// Builds the tests once: the environment variable MUTANT chooses the mutant at run time.
  func build() throws {
    let process = try Process.run(
      URL(fileURLWithPath: "/usr/bin/env"),
      arguments: [
        "swift", "build", "-c", "release", "--build-tests", "--package-path", directory,
      ])
    process.waitUntilExit()
    guard process.terminationStatus == 0 else { throw ExitCode.failure }
  }

  private func writeChecks() throws -> [Mutant] {
    var mutants = WholeChecks.mutants
    let names = try FileManager.default.contentsOfDirectory(atPath: "Sources/VMEntryChecks")
    for name in names.filter({ $0.hasSuffix(".swift") }).sorted() {
      var source = try String(contentsOfFile: "Sources/VMEntryChecks/\(name)", encoding: .utf8)
      if name == "EntryChecks.swift" {
        source = try WholeChecks.rewrite(source)
      } else if !Self.unchanged.contains(name) {
        let mutated = MutatedSource(source, first: mutants.count + 1)
        mutants += Mutant.named(mutated.mutants, in: name)
        source = mutated.text
      }
      try write(source, name)
    }
    try write(Self.support, "MutantSupport.swift")
    try write(Self.sweep, "MutantSweep.swift")
    return mutants
  }

  /// Files without a condition of the SDM's: what is known, and how it is written.
  private static let unchanged: Set<String> = [
    "EntryCapabilities.swift", "EntryCapability.swift", "EntryCheck.swift", "EntryCheckSection.swift",
    "EntryFacts.swift", "EntryInput.swift", "EntryReport.swift", "EntryText.swift", "VMCSState.swift",
  ]

  private static let manifest = """
    // swift-tools-version: 6.2
    import PackageDescription
    let settings: [SwiftSetting] = [.swiftLanguageMode(.v6), .enableExperimentalFeature("Lifetimes")]
    let package = Package(
      name: "mutate",
      targets: [
        .target(name: "CVMX"),
        .target(name: "VMCS", dependencies: ["CVMX"], swiftSettings: settings),
        .testTarget(name: "VMEntryChecksTests", dependencies: ["VMCS"], swiftSettings: settings),
      ])

    """
}
