import VMCS

/// How a guest's CR0 or CR4 is divided between the guest and VMX operation.
///
/// Bits that VMX operation fixes, and bits that the guest may not have, are owned by the host: the guest reads them from
/// the read shadow, and changing one exits (SDM, "Guest/Host Masks and Read Shadows for CR0 and CR4").
@frozen
public struct ControlRegisterMasks: Equatable, Sendable {
  /// Bits that are 1 in the live register whatever the guest writes.
  public var ones: UInt64
  /// Bits that are 0 in the live register whatever the guest writes.
  public var zeros: UInt64
  /// Bits that the guest sets as it likes, and whose changes exit so that Skep knows them without a VMREAD.
  public var watched: UInt64 = 0

  /// The bits that are what they are whatever the guest writes.
  @inlinable
  public var fixed: UInt64 { ones | zeros }

  /// The guest/host mask.
  @inlinable
  public var owned: UInt64 { fixed | watched }

  /// The live value for what the guest has written.
  @inlinable
  public func live(_ value: UInt64) -> UInt64 { (value | ones) & ~zeros }

  /// What the guest reads, from the live value and the read shadow.
  @inlinable
  public func visible(live: UInt64, shadow: UInt64) -> UInt64 { live & ~owned | shadow & owned }

  /// CR0's masks: what the capability MSRs fix, less PE and PG, which an unrestricted guest controls itself, and with
  /// CD, NW and the reserved bits kept 0 in the live register.
  public static func cr0(_ allowed: AllowedSettings<UInt64>) -> Self {
    Self(
      ones: allowed.allowed0 & allowed.allowed1 & ~(Self.pe | Self.pg),
      zeros: ~allowed.allowed1 | Self.nw | Self.cd | ~Self.definedInCR0)
  }

  /// CR4's masks: what the capability MSRs fix, and every bit that the guest's CPUID does not show.
  ///
  /// OSXSAVE and PKE, which CPUID shows back, are watched.
  ///
  /// - Parameters:
  ///   - allowed: the settings that VMX operation allows.
  ///   - supported: the bits that the guest may set.
  public static func cr4(_ allowed: AllowedSettings<UInt64>, supported: UInt64) -> Self {
    let ones = allowed.allowed0 & allowed.allowed1
    let zeros = (~allowed.allowed1 | ~supported) & ~ones
    return Self(ones: ones, zeros: zeros, watched: (Self.osxsave | Self.pke) & ~ones & ~zeros)
  }

  private static var osxsave: UInt64 { 1 << 18 }
  private static var pke: UInt64 { 1 << 22 }

  private static var pe: UInt64 { 1 << 0 }
  private static var nw: UInt64 { 1 << 29 }
  private static var cd: UInt64 { 1 << 30 }
  private static var pg: UInt64 { 1 << 31 }
  /// PE, MP, EM, TS, ET, NE, WP, AM, NW, CD, PG.
  static var definedInCR0: UInt64 { 0xE005_003F }
}
