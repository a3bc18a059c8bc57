import Foundation
import Testing

@testable import differential

/// The list of the checks that no entry in Bochs confirms.
struct ChecksBochsDoesNotMakeTests {
  @Test("Every check of the list is one that there is, once")
  func identifiers() {
    let ids = ChecksBochsDoesNotMake.all.flatMap(\.ids)
    #expect(ids.filter { !CheckList.ids.contains($0) } == [])
    #expect(Set(ids).count == ids.count)
    #expect(ChecksBochsDoesNotMake.reasons.count == ids.count)
  }

  @Test("Reasons are about what there is", arguments: ChecksBochsDoesNotMake.all)
  func reasons(_ entry: ChecksBochsDoesNotMake) {
    #expect(!entry.ids.isEmpty)
    for id in entry.ids {
      switch entry.reason {
      case .isDeviation: #expect(BochsDeviation.all.contains { $0.omitted.contains(id) }, "\(id)")
      case .isOptional: #expect(CheckList.all.contains { $0.id.description == id && $0.isOptional }, "\(id)")
      case .failsOnly(let other):
        #expect(CheckList.ids.contains(other) && !entry.ids.contains(other), "\(id)")
        #expect(outcome(other) == outcome(id), "\(id)")
      case .noModelHas(let text), .isOutOfReach(let text): #expect(!text.isEmpty)
      }
    }
  }

  private func outcome(_ id: String) -> String? {
    CheckList.all.first { $0.id.description == id }.map { "\($0.outcome)" }
  }

  @Test("What contradicts the list is found")
  func contradictions() throws {
    let listed = try #require(ChecksBochsDoesNotMake.reasons.keys.min())
    let others = CheckList.ids.indices.filter { ChecksBochsDoesNotMake.reasons[$0] == nil }
    var confirmations = Confirmations()
    #expect(confirmations.contradictions == [])
    confirmations.isComplete = true
    #expect(confirmations.contradictions.count == others.count)
    for check in others { confirmations.counts[check] = 1 }
    #expect(confirmations.contradictions == [])
    confirmations.counts[listed] = 1
    confirmations.failedAlone = [listed]
    #expect(confirmations.contradictions.count == 2)
    #expect(confirmations.contradictions.allSatisfy { $0.hasPrefix(CheckList.ids[listed]) })
  }

  @Test(
    "Print how Bochs tests each check",
    .enabled(if: getenv("SKEP_PRINT_CHECKS") != nil, "set SKEP_PRINT_CHECKS to print the table"))
  func printTheCheckTable() {
    for (number, id) in CheckList.ids.enumerated() {
      print("\(id): \(ChecksBochsDoesNotMake.reasons[number]?.description ?? "confirmed by Bochs")")
    }
  }
}
