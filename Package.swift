// swift-tools-version: 6.2

import PackageDescription

// `Machine`, the modules below it, and `EntryProbe` are compiled twice: here, for the host, where they are tested,
// and as Embedded Swift by `Hypervisor/Package.swift`, which depends on this package.

let settings: [SwiftSetting] = [
  .swiftLanguageMode(.v6),
  .enableExperimentalFeature("Lifetimes"),
]

let package = Package(
  name: "skep",
  products: [
    .executable(name: "skep", targets: ["skep"]),
    .library(name: "VMCS", targets: ["VMCS"]),
    .library(name: "VMEntryChecks", targets: ["VMEntryChecks"]),
    .library(name: "VMX", targets: ["VMX"]),
    .library(name: "Machine", targets: ["Machine"]),
    .library(name: "VMCSDump", targets: ["VMCSDump"]),
    .library(name: "ProcessorModel", targets: ["ProcessorModel"]),
    .library(name: "EntryProbe", targets: ["EntryProbe"]),
  ],
  dependencies: [
    .package(url: "https://github.com/apple/swift-argument-parser", from: "1.8.0"),
    .package(url: "https://github.com/apple/swift-system", from: "1.8.0"),
    .package(url: "https://github.com/swiftlang/swift-subprocess", from: "1.0.0", traits: []),
    .package(url: "https://github.com/swiftlang/swift-docc-plugin", from: "1.5.0"),
  ],
  targets: [
    .target(name: "CVMX"),
    .target(name: "VMCS", dependencies: ["CVMX"], swiftSettings: settings),
    .target(name: "VMEntryChecks", dependencies: ["VMCS"], swiftSettings: settings),
    .target(name: "VMX", dependencies: ["VMCS"], swiftSettings: settings),
    .target(name: "Machine", dependencies: ["CVMX", "VMCS", "VMEntryChecks", "VMX"], swiftSettings: settings),
    .target(name: "ProcessorModel", dependencies: ["VMCS", "VMEntryChecks"], swiftSettings: settings),
    .target(name: "VMCSDump", dependencies: ["VMCS"], swiftSettings: settings),
    .target(
      name: "Explanation", dependencies: ["VMCSDump", "VMEntryChecks", "VMCS", "VMX", "ProcessorModel"],
      swiftSettings: settings),
    .target(name: "EntryProbe", dependencies: ["VMCS", "VMEntryChecks"], swiftSettings: settings),
    .target(
      name: "Launcher",
      dependencies: [
        "Machine", "VMX",
        .product(name: "Subprocess", package: "swift-subprocess"),
        .product(name: "SystemPackage", package: "swift-system"),
      ],
      swiftSettings: settings),
    .executableTarget(
      name: "skep",
      dependencies: [
        "Launcher", "VMCS", "VMEntryChecks", "VMCSDump", "Explanation", "ProcessorModel", "VMX",
        .product(name: "ArgumentParser", package: "swift-argument-parser"),
      ],
      swiftSettings: settings),
    .executableTarget(name: "generate", swiftSettings: settings),
    .executableTarget(
      name: "mutate",
      dependencies: ["VMEntryChecks", .product(name: "ArgumentParser", package: "swift-argument-parser")],
      exclude: ["equivalents.txt"], swiftSettings: settings),
    .executableTarget(
      name: "differential",
      dependencies: [
        "EntryProbe", "Launcher", "VMCS", "VMEntryChecks",
        .product(name: "ArgumentParser", package: "swift-argument-parser"),
      ],
      swiftSettings: settings),
    .executableTarget(
      name: "benchmark",
      dependencies: [
        .product(name: "Subprocess", package: "swift-subprocess"),
        .product(name: "SystemPackage", package: "swift-system"),
      ],
      swiftSettings: settings),

    .executableTarget(
      name: "hostile", dependencies: [.product(name: "ArgumentParser", package: "swift-argument-parser")],
      swiftSettings: settings),

    .testTarget(name: "VMCSTests", dependencies: ["VMCS", "ProcessorModel", "generate"], swiftSettings: settings),
    .testTarget(
      name: "VMEntryChecksTests", dependencies: ["VMEntryChecks", "VMCS", "ProcessorModel"], swiftSettings: settings),
    .testTarget(name: "VMXTests", dependencies: ["VMX", "ProcessorModel"], swiftSettings: settings),
    .testTarget(name: "MachineTests", dependencies: ["Machine", "ProcessorModel"], swiftSettings: settings),
    .testTarget(name: "ProcessorModelTests", dependencies: ["ProcessorModel"], swiftSettings: settings),
    .testTarget(
      name: "VMCSDumpTests", dependencies: ["VMCSDump", "VMEntryChecks"], exclude: ["Dumps"], swiftSettings: settings),
    .testTarget(name: "ExplanationTests", dependencies: ["Explanation", "VMCSDump"], swiftSettings: settings),
    .testTarget(name: "LauncherTests", dependencies: ["Launcher"], swiftSettings: settings),
    .testTarget(name: "MutateTests", dependencies: ["mutate"], swiftSettings: settings),
    .testTarget(name: "HostileTests", dependencies: ["hostile"], swiftSettings: settings),
    .testTarget(name: "BenchmarkTests", dependencies: ["benchmark"], swiftSettings: settings),
    .testTarget(name: "ImageTests", dependencies: ["VMCS"], swiftSettings: settings),
    .testTarget(
      name: "DifferentialTests", dependencies: ["differential", "EntryProbe", "VMCS", "VMEntryChecks", "Launcher"],
      swiftSettings: settings),
    .testTarget(name: "CommandTests", dependencies: ["skep"], swiftSettings: settings),
  ]
)
