import Machine

/// One who posts interrupts to a guest's processor, and where in it that one is.
struct PostingSender: Hashable {
  struct Post: Hashable {
    var vector: UInt8
    var isLevelTriggered = false
  }

  enum Step: Hashable {
    case idle
    case posting(PostingSteps)
    /// The notification has been sent, PIR is not set yet: only with a mistake.
    case requesting
    case sending(UInt8)
  }

  var posts: [Post]
  var step = Step.idle

  static let kickVector: UInt8 = 0xE1

  init(posts: [Post]) { self.posts = posts }

  /// Whether there is a step to do.
  var canAdvance: Bool { step != .idle || !posts.isEmpty }

  /// Does a step; the vector of the interrupt that it sends to the processor.
  mutating func advance(_ descriptor: PostedInterruptDescriptor, mistake: PostingMistake? = nil) -> UInt8? {
    switch step {
    case .idle:
      let steps = PostingSteps(vector: posts[0].vector, isLevelTriggered: posts[0].isLevelTriggered)
      if mistake == .notifiesBeforePosting && !posts[0].isLevelTriggered {
        step = .requesting
        return GuestOnModel.notificationVector
      }
      advance(steps, descriptor, mistake)
    case .posting(let steps): advance(steps, descriptor, mistake)
    case .requesting:
      _ = descriptor.post(vector: posts.removeFirst().vector, isLevelTriggered: false)
      step = .idle
    case .sending(let vector):
      step = .idle
      return vector
    }
    return nil
  }

  private mutating func advance(
    _ steps: PostingSteps, _ descriptor: PostedInterruptDescriptor, _ mistake: PostingMistake?
  ) {
    var steps = steps
    guard let isFirst = steps.step(descriptor) else {
      step = .posting(steps)
      return
    }
    let isNotified = posts.removeFirst().isLevelTriggered ? mistake == .notifiesOfLevels : mistake != .kicksForEdges
    step = isFirst ? .sending(isNotified ? GuestOnModel.notificationVector : Self.kickVector) : .idle
  }
}

/// Ways to get posted interrupts wrong, each of which has to be found out.
enum PostingMistake: CaseIterable {
  // The sender's.
  case notifiesBeforePosting, kicksForEdges, notifiesOfLevels, sendsNothingToARunningGuest
  // The software's of the processor that is posted to.
  /// The host takes its interrupt between the VM exit and its own HLT, and does not look at PIR again.
  case haltsWithoutLook
  case dropsNotificationInRoot, haltsWithoutLookAfterWaking, entersWithoutRVI, entersWithInjection,
    leavesRequests, entersWithoutDraining
  // The processor's.
  case clearsNotificationLast, clearsNotificationBetween, evaluatesNothing, keepsRVI, endsNoInterrupt
}
