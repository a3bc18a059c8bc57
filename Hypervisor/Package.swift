// swift-tools-version: 6.2

import PackageDescription

// The bare-metal image. Built by `make image`, which passes the triple, the toolset and the linker script.

let settings: [SwiftSetting] = [.swiftLanguageMode(.v6), .enableExperimentalFeature("Lifetimes")]

let package = Package(
  name: "Hypervisor",
  dependencies: [.package(name: "skep", path: "..")],
  targets: [
    .target(name: "Boot"),
    // What every image needs: the processor, the serial ports, interrupts, what the boot loader left.
    .target(
      name: "Host",
      dependencies: [
        "Boot",
        .product(name: "Machine", package: "skep"),
        .product(name: "VMCS", package: "skep"),
        .product(name: "VMX", package: "skep"),
      ],
      swiftSettings: settings),
    .target(name: "ProbeEntry"),
    // Runs the states of `EntryProbe` on the processor: one half of `make differential`.
    .executableTarget(
      name: "Probe",
      dependencies: [
        "Boot", "Host", "ProbeEntry",
        .product(name: "EntryProbe", package: "skep"),
        .product(name: "VMCS", package: "skep"),
        .product(name: "VMEntryChecks", package: "skep"),
      ],
      swiftSettings: settings),
    // Starts all processors and tries what they have to do for the hypervisor: for its tests.
    .executableTarget(
      name: "Processors",
      dependencies: [
        "Boot", "Host",
        .product(name: "Machine", package: "skep"),
        .product(name: "VMCS", package: "skep"),
        .product(name: "VMX", package: "skep"),
      ],
      swiftSettings: settings),
    .executableTarget(
      name: "Hypervisor",
      dependencies: [
        "Boot", "Host",
        .product(name: "Machine", package: "skep"),
        .product(name: "VMEntryChecks", package: "skep"),
        .product(name: "VMCS", package: "skep"),
        .product(name: "VMX", package: "skep"),
      ],
      swiftSettings: settings),
  ]
)
