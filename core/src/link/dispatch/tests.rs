use super::*;

const NOW: UnixTime = UnixTime::from_secs(1_800_000_000);

fn queued(idempotent: bool) -> DispatchLife {
    DispatchLife::queued(7, Span::from_secs(30), idempotent, NOW)
}

/// Plays the events one after the other, and returns the life and the last message.
fn after(life: DispatchLife, events: &[DispatchEvent]) -> (DispatchLife, Option<DispatchAction>) {
    events.iter().fold((life, None), |(life, _), event| life.step(*event))
}

fn state(life: DispatchLife, events: &[DispatchEvent]) -> DispatchState {
    after(life, events).0.state
}

const PUSHED: DispatchEvent = DispatchEvent::Pushed { now: NOW };
const DONE: DispatchEvent = DispatchEvent::Outcome(DispatchEnd::Succeeded);

const fn answered(known: Known) -> DispatchEvent {
    DispatchEvent::Answered { known, now: NOW }
}

#[test]
fn a_task_is_queued_sent_run_and_done() {
    let (sent, action) = queued(false).step(PUSHED);
    assert_eq!(action, Some(DispatchAction::Send { remaining_ms: 31_000 }));
    let (running, _) = after(sent, &[DispatchEvent::AwaitingMediation, DispatchEvent::Started]);
    assert_eq!(running.state, DispatchState::Running);
    assert_eq!(state(running, &[DispatchEvent::Progress, DONE]), DispatchState::Succeeded);
}

#[test]
fn nothing_is_sent_twice_by_being_pushed_twice() {
    assert_eq!(after(queued(true), &[PUSHED, PUSHED]).1, None);
    for event in [DONE, DispatchEvent::LinkLost, DispatchEvent::Cancel] {
        assert_eq!(after(queued(true), &[PUSHED, event, PUSHED]).1, None, "{event:?}");
    }
}

#[test]
fn what_is_too_late_is_never_sent_and_what_was_sent_times_out_and_keeps_a_late_result() {
    let end = queued(false).deadline;
    let late = DispatchEvent::Pushed { now: end };
    assert_eq!(queued(false).step(late).1, None);
    assert_eq!(state(queued(false), &[late]), DispatchState::Expired);
    let tick = DispatchEvent::Tick { now: end };
    assert_eq!(state(queued(false), &[tick]), DispatchState::Expired);
    let (timed_out, _) = after(queued(false), &[PUSHED, tick]);
    assert_eq!(timed_out.state, DispatchState::TimedOut);
    let (kept, _) = after(timed_out, &[DONE, DispatchEvent::Outcome(DispatchEnd::Failed)]);
    assert_eq!((kept.state, kept.late), (DispatchState::TimedOut, Some(DispatchEnd::Succeeded)));
    let (same, _) = timed_out.step(DispatchEvent::Outcome(DispatchEnd::TimedOut));
    assert_eq!(same.late, None, "the node says the same");
}

#[test]
fn after_a_lost_link_the_node_is_asked_and_its_answer_counts() {
    let (lost, _) =
        after(queued(false), &[PUSHED, DispatchEvent::Started, DispatchEvent::LinkLost]);
    assert_eq!(lost.state, DispatchState::Unknown { for_good: false });
    assert_eq!(lost.step(DispatchEvent::Linked).1, Some(DispatchAction::Query));
    for (known, expected) in [
        (Known::Running, DispatchState::Running),
        (Known::AwaitingMediation, DispatchState::AwaitingMediation),
        (Known::Done(DispatchEnd::Rejected), DispatchState::Rejected),
        (Known::NotKept, DispatchState::Succeeded),
        (Known::Interrupted, DispatchState::Failed),
        (Known::NeverCame, DispatchState::Expired),
        (Known::Forgotten, DispatchState::Unknown { for_good: true }),
    ] {
        assert_eq!(state(lost, &[answered(known)]), expected, "{known:?}");
    }
}

#[test]
fn only_a_task_that_may_run_twice_is_sent_again_by_itself_and_only_if_it_never_came() {
    let lost = [PUSHED, DispatchEvent::LinkLost];
    let (again, _) = after(after(queued(true), &lost).0, &[answered(Known::NeverCame)]);
    assert_eq!(again.state, DispatchState::Queued);
    let (_, action) = again.step(PUSHED);
    assert!(matches!(action, Some(DispatchAction::Send { .. })));
    for known in [Known::Interrupted, Known::Forgotten] {
        let (life, _) = after(after(queued(true), &lost).0, &[answered(known)]);
        assert_eq!(life.step(PUSHED).1, None, "{known:?}");
    }
    // After the deadline not even that one.
    let (lost, _) = after(queued(true), &lost);
    let late = DispatchEvent::Answered { known: Known::NeverCame, now: lost.deadline };
    assert_eq!(state(lost, &[late]), DispatchState::Expired);
}

#[test]
fn an_old_answer_says_nothing_about_what_was_sent_since() {
    let events = [PUSHED, DispatchEvent::LinkLost, answered(Known::NeverCame), PUSHED];
    let (sent, _) = after(queued(true), &events);
    assert_eq!(state(sent, &[answered(Known::NeverCame)]), DispatchState::Sent);
    assert_eq!(
        state(sent, &[answered(Known::Forgotten)]),
        DispatchState::Unknown { for_good: true }
    );
}

#[test]
fn what_the_node_has_forgotten_stays_unknown_for_good_unless_its_result_comes() {
    let events = [PUSHED, DispatchEvent::LinkLost, answered(Known::Forgotten)];
    let (unknown, _) = after(queued(true), &events);
    assert_eq!(unknown.step(DispatchEvent::Linked), (unknown, None));
    assert_eq!(unknown.step(answered(Known::NeverCame)), (unknown, None));
    assert!(unknown.state.is_over() && !unknown.may_retry());
    assert_eq!(state(unknown, &[DONE]), DispatchState::Succeeded);
}

#[test]
fn a_node_that_was_restored_is_not_asked_and_what_was_not_sent_to_it_stays_queued() {
    let (sent, _) = queued(false).step(PUSHED);
    let (unknown, _) = sent.step(DispatchEvent::NodeRestored);
    assert_eq!(unknown.state, DispatchState::Unknown { for_good: true });
    assert_eq!(unknown.step(DispatchEvent::Linked).1, None);
    assert_eq!(state(queued(false), &[DispatchEvent::NodeRestored]), DispatchState::Queued);
}

#[test]
fn a_revoked_node_is_sent_nothing_more() {
    let (gone, _) = queued(true).step(DispatchEvent::NodeRevoked);
    assert_eq!((gone.state, gone.step(PUSHED).1), (DispatchState::Cancelled, None));
    let events = [PUSHED, DispatchEvent::NodeRevoked];
    assert_eq!(state(queued(true), &events), DispatchState::Unknown { for_good: true });
}

#[test]
fn a_cancelled_task_ends_as_its_node_says() {
    assert_eq!(state(queued(false), &[DispatchEvent::Cancel]), DispatchState::Cancelled);
    let (cancelling, action) = after(queued(false), &[PUSHED, DispatchEvent::Cancel]);
    assert_eq!(action, Some(DispatchAction::Cancel));
    assert_eq!(cancelling.state, DispatchState::Sent, "the node may have done it");
    assert!(cancelling.is_to_stop() && !queued(false).is_to_stop());
    assert!(!cancelling.step(DispatchEvent::LinkLost).0.is_to_stop(), "nobody is linked");
    let cancelled = DispatchEvent::Outcome(DispatchEnd::Cancelled);
    assert_eq!(state(cancelling, &[cancelled]), DispatchState::Cancelled);
    assert_eq!(state(cancelling, &[DONE]), DispatchState::Succeeded);
    // The wish survives a lost link.
    let (asked, _) = after(cancelling, &[DispatchEvent::LinkLost, DispatchEvent::Linked]);
    assert_eq!(asked.step(answered(Known::Running)).1, Some(DispatchAction::Cancel));
    assert_eq!(state(asked, &[answered(Known::NeverCame)]), DispatchState::Cancelled);
    let (unknown, _) = after(queued(false), &[PUSHED, DispatchEvent::LinkLost]);
    let (unknown, action) = unknown.step(DispatchEvent::Cancel);
    assert_eq!((unknown.cancelling, action), (true, None));
}

#[test]
fn only_what_certainly_never_ran_is_sent_again_by_the_operator() {
    let deadline = NOW.after(Span::from_secs(99));
    let retry = DispatchEvent::Retry { number: 8, deadline };
    let lost = [PUSHED, DispatchEvent::LinkLost, answered(Known::NeverCame)];
    let (expired, _) = after(queued(false), &lost);
    let (again, _) = expired.step(retry);
    assert_eq!((again.state, again.number), (DispatchState::Queued, 8));
    assert_eq!(again.deadline, deadline);
    for events in [
        &[PUSHED][..],
        &[PUSHED, DispatchEvent::LinkLost],
        &[PUSHED, DONE],
        &[DispatchEvent::Cancel],
        &[PUSHED, DispatchEvent::LinkLost, answered(Known::Interrupted)],
        &[PUSHED, DispatchEvent::LinkLost, answered(Known::NeverCame), DONE],
    ] {
        let (life, _) = after(queued(false), events);
        assert_eq!(life.step(retry), (life, None), "{events:?}");
    }
}

#[test]
fn a_restored_gateway_believes_the_node_about_what_it_finds_queued() {
    assert_eq!(state(queued(false), &[DONE]), DispatchState::Succeeded);
    assert_eq!(state(queued(false), &[DispatchEvent::Started]), DispatchState::Running);
    // The board of the node refuses the old number, and the gateway stops there.
    let events = [PUSHED, answered(Known::Forgotten)];
    assert_eq!(state(queued(false), &events), DispatchState::Unknown { for_good: true });
}

#[test]
fn numbers_rise_even_across_a_restored_registry_and_a_clock_that_stands() {
    let first = next_number(None, NOW);
    let second = next_number(Some(first), NOW);
    assert_eq!(second, first + 1);
    let later = NOW.after(Span::from_secs(1));
    assert!(next_number(Some(first), later) > first + 60_000);
    assert!(next_number(Some(second), UnixTime::from_secs(0)) > second);
    assert_eq!(next_number(Some(u64::MAX), later), u64::MAX);
    assert_eq!(next_number(None, UnixTime::from_secs(0)), 1, "a new board takes the first one");
}

#[test]
fn a_deadline_is_never_shorter_than_asked_for() {
    assert_eq!(deadline(Span::from_millis(1), NOW), NOW.after(Span::from_secs(2)));
    assert_eq!(deadline(Span::from_secs(30), NOW), NOW.after(Span::from_secs(31)));
    let endless = deadline(Span::from_millis(u64::MAX), NOW);
    assert!(endless > NOW);
    let (_, action) = DispatchLife { deadline: endless, ..queued(false) }.step(PUSHED);
    assert_eq!(action, Some(DispatchAction::Send { remaining_ms: u32::MAX }));
}

#[test]
fn every_state_and_end_reads_back_from_its_word() {
    for word in [
        "queued",
        "sent",
        "awaiting_mediation",
        "running",
        "succeeded",
        "failed",
        "rejected",
        "expired",
        "timed_out",
        "cancelled",
        "unknown",
    ] {
        assert_eq!(DispatchState::parse(word, true).unwrap().as_str(), word);
    }
    assert_eq!(DispatchState::parse("lost", false), None);
    for end in [
        DispatchEnd::Succeeded,
        DispatchEnd::Failed,
        DispatchEnd::Rejected,
        DispatchEnd::TimedOut,
        DispatchEnd::Cancelled,
    ] {
        assert_eq!(DispatchEnd::parse(end.as_str()), Some(end));
    }
    assert_eq!(DispatchEnd::parse("queued"), None);
}
