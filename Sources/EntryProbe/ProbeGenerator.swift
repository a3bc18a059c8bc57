import VMCS
import VMEntryChecks

/// Which state belongs to a number: the same on both sides, from the processor's capabilities and a seed.
///
/// The first numbers are the bases themselves, and the states that are aimed at one check. Of those that follow, the even ones walk through every bit of every
/// writable field of every base, in an order that the seed decides; the odd ones, and the even ones when that is done, change
/// one to four fields at random, and every 32nd of them attempts the VM entry so that a basic check fails.
public struct ProbeGenerator {
  /// The processor.
  public let environment: ProbeEnvironment
  private let seed: UInt64
  private let bases: UnsafeMutablePointer<UInt64>
  private let harm: ProbeHarm
  /// For each field, how many bits of those before it are walked through; the last is the sum.
  private var bitsBefore: InlineArray<208, Int>
  private let stride: Int
  private let offset: Int
  /// How many states are aimed at one check.
  public let targetCount: Int

  /// How many quadwords of memory a generator needs.
  public static var storageCount: Int { ProbeBase.allCases.count * VMCSFieldDescription.count }

  /// Makes a generator that keeps its bases in `storage`, `storageCount` quadwords.
  public init(environment: ProbeEnvironment, seed: UInt64, storage: UnsafeMutablePointer<UInt64>) {
    (self.environment, self.seed, bases) = (environment, seed, storage)
    harm = ProbeHarm(environment)
    for base in ProbeBase.allCases {
      ProbeState(storage + base.rawValue * VMCSFieldDescription.count).set(base, environment)
    }
    targetCount = ProbeTargets(-1, environment, bases: storage).count
    bitsBefore = InlineArray(repeating: 0)
    for index in 0..<VMCSFieldDescription.count {
      bitsBefore[index + 1] = bitsBefore[index] + (environment.isChangeable(index) ? Self.width(of: index) : 0)
    }
    // A prime that is no divisor of the number of walks makes n × prime + offset visit each of them once.
    let walks = bitsBefore[VMCSFieldDescription.count] * ProbeBase.allCases.count
    stride = max(1, walks) % 1_000_003 == 0 ? 1_000_033 : 1_000_003
    offset = Int(seed % UInt64(max(1, walks)))
  }

  /// How many single bits there are to change.
  public var walkCount: Int { bitsBefore[VMCSFieldDescription.count] * ProbeBase.allCases.count }

  private static func width(of index: Int) -> Int { VMCSFieldDescription.all[index].encoding.width.bitWidth }

  /// The value of the field at `index` in a base.
  public func value(of index: Int, in base: ProbeBase) -> UInt64 {
    bases[base.rawValue * VMCSFieldDescription.count + index]
  }

  /// Which state has `number`.
  public func probeCase(_ number: Int) -> ProbeCase {
    if number < ProbeBase.allCases.count { return ProbeCase(ProbeBase(rawValue: number).unsafelyUnwrapped) }
    let target = number - ProbeBase.allCases.count
    if target < targetCount { return self.target(target) }
    let rest = target - targetCount
    if rest & 1 == 0, rest / 2 < walkCount { return walk(rest / 2) }
    return random(UInt64(rest))
  }

  private func target(_ number: Int) -> ProbeCase { ProbeTargets(number, environment, bases: bases).result }

  private func walk(_ number: Int) -> ProbeCase {
    let place = (number * stride + offset) % walkCount
    let bitCount = bitsBefore[VMCSFieldDescription.count]
    var result = ProbeCase(ProbeBase(rawValue: place / bitCount).unsafelyUnwrapped)
    let bit = place % bitCount
    var (low, high) = (0, VMCSFieldDescription.count)
    while high - low > 1 {
      let middle = (low + high) / 2
      if bitsBefore[middle] <= bit { low = middle } else { high = middle }
    }
    change(&result, low, value(of: low, in: result.base) ^ 1 << UInt64(bit - bitsBefore[low]))
    return result
  }

  private func random(_ number: UInt64) -> ProbeCase {
    var random = ProbeRandom(seed: seed ^ number &* 0xD6E8_FEB8_6659_FD93)
    var result = ProbeCase(ProbeBase(rawValue: random.next(below: ProbeBase.allCases.count)).unsafelyUnwrapped)
    if random.next(below: 8) == 0 {
      let target = self.target(random.next(below: targetCount))
      if !harm.isPossible(from: target) { result = target }
    }
    let related = random.next(below: 2) == 0
    for _ in 0...random.next(below: 4) {
      let field =
        related
        ? ProbeFields.entangled(random.next(below: ProbeFields.entangledCount))
        : random.next(below: VMCSFieldDescription.count)
      guard environment.isChangeable(field) else { continue }
      change(&result, field, newValue(of: field, in: result, &random))
    }
    if random.next(below: 32) == 0 { result.entry = entry(random.next(below: ProbeEntry.allCases.count)) }
    return result
  }

  /// The way to attempt a VM entry that has `number`, if the processor has it.
  private func entry(_ number: Int) -> ProbeEntry {
    let entry = ProbeEntry(rawValue: number).unsafelyUnwrapped
    return entry == .onShadowVMCS && !environment.hasShadowVMCSs ? .withoutCurrentVMCS : entry
  }

  /// Takes a change into `result`, unless it would do harm.
  private func change(_ result: inout ProbeCase, _ field: Int, _ value: UInt64) {
    let old = result.value(of: field) ?? self.value(of: field, in: result.base)
    if value == old || harm.isDone(by: value, of: field, insteadOf: old, in: result) { return }
    result.append(field, value)
  }

  private func newValue(of field: Int, in current: ProbeCase, _ random: inout ProbeRandom) -> UInt64 {
    let encoding = VMCSFieldDescription.all[field].encoding
    let width = encoding.width.bitWidth
    let old = value(of: field, in: current.base)
    let value: UInt64
    switch random.next(below: 8) {
    case 0, 1: value = old ^ 1 << UInt64(random.next(below: width))
    case 2: value = old ^ 1 << UInt64(random.next(below: width)) ^ 1 << UInt64(random.next(below: width))
    case 3:
      value = self.value(
        of: field, in: ProbeBase(rawValue: random.next(below: ProbeBase.allCases.count)).unsafelyUnwrapped)
    case 4: value = UInt64(random.next(below: 32))
    case 5: value = ProbeFields.notable(random.next(below: ProbeFields.notableCount), random.next())
    default: value = ProbeFields.plausible(encoding, old: old, &random)
    }
    return value & ~0 >> UInt64(64 - width)
  }
}

extension ProbeEnvironment {
  /// Whether states differ in the field at `index`: it can be written, and is not VM-exit information.
  fileprivate func isChangeable(_ index: Int) -> Bool {
    isWritable(index) && !VMCSFieldDescription.all[index].isReadOnly
  }
}
