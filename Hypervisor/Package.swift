// swift-tools-version: 6.2

import PackageDescription

// The bare-metal image. Built by `make image`, which passes the triple, the toolset and the linker script.

let package = Package(
  name: "Hypervisor",
  dependencies: [.package(name: "skep", path: "..")],
  targets: [
    .target(name: "Boot"),
    .executableTarget(
      name: "Hypervisor",
      dependencies: [
        "Boot",
        .product(name: "Machine", package: "skep"),
        .product(name: "VMCS", package: "skep"),
        .product(name: "VMX", package: "skep"),
      ],
      swiftSettings: [.swiftLanguageMode(.v6), .enableExperimentalFeature("Lifetimes")]),
  ]
)
