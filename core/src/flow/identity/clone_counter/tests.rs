use super::*;
use crate::time::Span;

const HOUR: u64 = 3600;

fn at(secs: u64) -> UnixTime {
    UnixTime::from_secs(1_800_000_000 + secs)
}

fn key(byte: u8) -> MarkKey {
    MarkKey::new(&Entropy::from_recorded([byte; 32]))
}

fn node(byte: u8) -> x25519::PublicKey {
    x25519::PublicKey::parse(&[byte; 32]).unwrap()
}

/// A counter whose value 5 was confirmed two hours ago.
fn at_five() -> CloneCounter {
    CloneCounter {
        confirmed: Some(5),
        confirmed_at: Some(at(0)),
        offered: None,
        offered_at: Some(at(0)),
        condition: CloneCondition::Normal,
    }
}

#[test]
fn a_mark_is_read_only_for_its_node_and_under_a_key_that_made_it() {
    let mark = CloneMark::make(&key(1), &node(2), 7);
    assert_eq!(mark.read(&[key(3), key(1)], &node(2)), Some(7), "an older key reads on");
    assert_eq!(mark.read(&[key(3)], &node(2)), None);
    assert_eq!(mark.read(&[key(1)], &node(4)), None, "another node's mark");
    assert_eq!(mark.read(&[], &node(2)), None);
    for at in 0..CLONE_MARK_BYTES {
        let mut bytes = *mark.as_bytes();
        bytes[at] ^= 1;
        assert_eq!(CloneMark::from_bytes(bytes).read(&[key(1)], &node(2)), None, "byte {at}");
    }
    assert_eq!(Shown::of(Some(&mark), &[key(1)], &node(2)), Shown::Value(7));
    assert_eq!(Shown::of(Some(&mark), &[key(9)], &node(2)), Shown::Foreign);
    assert_eq!(Shown::of(None, &[key(1)], &node(2)), Shown::Nothing);
}

#[test]
fn a_new_node_is_given_its_first_value_at_once_and_the_next_after_an_hour() {
    let (counter, verdict) = CloneCounter::default().linked(Shown::Nothing, at(0));
    assert_eq!(verdict, LinkVerdict { offer: Some(1), ..LinkVerdict::QUIET });
    let counter = counter.stored(1, at(1));
    assert_eq!((counter.confirmed, counter.offered), (Some(1), None));
    let (counter, verdict) = counter.linked(Shown::Value(1), at(HOUR - 1));
    assert_eq!(verdict, LinkVerdict::QUIET);
    let (_, verdict) = counter.linked(Shown::Value(1), at(HOUR));
    assert_eq!(verdict.offer, Some(2));
}

#[test]
fn an_offered_value_is_sent_again_until_it_is_confirmed_and_its_first_use_confirms_it() {
    let (counter, first) = at_five().linked(Shown::Value(5), at(2 * HOUR));
    let (counter, again) = counter.linked(Shown::Value(5), at(2 * HOUR + 60));
    assert_eq!((first.offer, again.offer), (Some(6), Some(6)));
    let (counter, used) = counter.linked(Shown::Value(6), at(2 * HOUR + 120));
    assert_eq!(used, LinkVerdict::QUIET);
    assert_eq!((counter.confirmed, counter.offered), (Some(6), None));
}

#[test]
fn an_older_value_after_a_newer_one_was_confirmed_is_the_alarm_and_so_is_none() {
    for shown in [Shown::Value(4), Shown::Value(0), Shown::Nothing, Shown::Foreign] {
        let (counter, verdict) = at_five().linked(shown, at(60));
        let expected = LinkVerdict { alarm: true, quarantined: true, ..LinkVerdict::QUIET };
        assert_eq!(verdict, expected, "{shown:?}");
        let (counter, next) = counter.linked(Shown::Value(5), at(61));
        let expected = LinkVerdict { quarantined: true, ..LinkVerdict::QUIET };
        assert_eq!(next, expected, "the alarm is raised once, and no link is normal after it");
        assert!(counter.is_quarantined());
    }
}

#[test]
fn a_link_that_began_before_the_newer_value_was_confirmed_proves_nothing() {
    let (counter, verdict) = at_five().linked(Shown::Value(5), at(HOUR));
    let counter = counter.stored(verdict.offer.unwrap(), at(HOUR + 1));
    let late = at(HOUR + 1).after(LINK_BEGINS_WITHIN);
    let (same, verdict) = counter.linked(Shown::Value(5), late);
    assert_eq!(verdict, LinkVerdict { overtaken: true, ..LinkVerdict::QUIET });
    assert_eq!(same, counter);
    let (_, verdict) = counter.linked(Shown::Value(5), late.after(Span::from_secs(1)));
    assert!(verdict.alarm);
    let (_, verdict) = counter.linked(Shown::Foreign, late);
    assert!(verdict.alarm, "no node ever had such a mark of ours");
    let (_, verdict) = counter.linked(Shown::Value(5), at(HOUR));
    assert!(verdict.alarm, "a clock that was set back excuses nobody");
}

#[test]
fn a_gateway_that_is_older_than_its_node_takes_the_value_over_and_alarms_nobody() {
    let (counter, verdict) = at_five().linked(Shown::Value(9), at(60));
    assert_eq!(verdict, LinkVerdict { gateway_is_older: true, ..LinkVerdict::QUIET });
    assert_eq!(counter.confirmed, Some(9));
    let (_, verdict) = counter.linked(Shown::Value(8), at(HOUR));
    assert!(verdict.alarm, "older than what the gateway knows by now");
    // An offer from before the backup is passed over.
    let (offering, _) = at_five().linked(Shown::Value(5), at(HOUR));
    let (counter, verdict) = offering.linked(Shown::Value(9), at(3 * HOUR));
    assert_eq!((counter.confirmed, verdict.offer), (Some(9), Some(10)));
    // A gateway that knows nothing of the node at all.
    let (counter, verdict) = CloneCounter::default().linked(Shown::Value(9), at(0));
    assert!(verdict.gateway_is_older && !verdict.alarm);
    assert_eq!((counter.confirmed, verdict.offer), (Some(9), Some(10)));
}

#[test]
fn after_a_release_the_machine_that_links_next_goes_on_and_the_other_one_alarms() {
    let (offering, _) = at_five().linked(Shown::Value(5), at(HOUR));
    let (alarmed, _) = offering.linked(Shown::Value(3), at(2 * HOUR));
    for shown in [Shown::Value(3), Shown::Value(6), Shown::Nothing, Shown::Foreign] {
        let released = alarmed.release(at(2 * HOUR));
        let (counter, verdict) = released.linked(shown, at(2 * HOUR));
        // Above the offered 6, which one of the machines may have stored.
        assert_eq!(verdict, LinkVerdict { offer: Some(7), ..LinkVerdict::QUIET }, "{shown:?}");
        let (counter, verdict) = counter.linked(shown, at(2 * HOUR + 1));
        assert_eq!(verdict.offer, Some(7), "the answer was lost");
        let counter = counter.stored(7, at(2 * HOUR + 2));
        assert_eq!(counter.condition, CloneCondition::Normal);
        let (_, verdict) = counter.linked(shown, at(2 * HOUR + 60));
        assert!(verdict.alarm, "{shown:?}");
    }
    let released = alarmed.release(at(2 * HOUR));
    let (counter, verdict) = released.linked(Shown::Value(20), at(2 * HOUR));
    assert_eq!((verdict.offer, verdict.gateway_is_older), (Some(21), true));
    assert_eq!(counter.stored(21, at(2 * HOUR)).condition, CloneCondition::Normal);
}

#[test]
fn only_quarantine_is_released() {
    assert_eq!(at_five().release(at(60)), at_five());
    let released = at_five().paired_anew(at(60));
    assert_eq!(released.release(at(61)), released);
}

#[test]
fn pairing_anew_starts_afresh_with_higher_values_and_ends_no_quarantine() {
    let anew = at_five().paired_anew(at(60));
    let (counter, verdict) = anew.linked(Shown::Nothing, at(61));
    assert_eq!(verdict, LinkVerdict { offer: Some(6), ..LinkVerdict::QUIET });
    let counter = counter.stored(6, at(62));
    let (counter, verdict) = counter.linked(Shown::Value(5), at(HOUR));
    assert!(verdict.alarm, "a copy from before");
    assert_eq!(counter.paired_anew(at(HOUR)), counter);
    assert_eq!(CloneCounter::default().paired_anew(at(0)), CloneCounter::default());
}

#[test]
fn late_and_repeated_confirmations_change_nothing() {
    assert_eq!(at_five().stored(5, at(60)), at_five());
    assert_eq!(at_five().stored(6, at(60)), at_five());
    let (offering, _) = at_five().linked(Shown::Value(5), at(HOUR));
    let (alarmed, _) = offering.linked(Shown::Value(1), at(HOUR));
    let confirmed = alarmed.stored(6, at(HOUR));
    assert_eq!((confirmed.confirmed, confirmed.is_quarantined()), (Some(6), true));
}

#[test]
fn every_condition_reads_back_from_its_word() {
    for condition in [CloneCondition::Normal, CloneCondition::Quarantined, CloneCondition::Released]
    {
        assert_eq!(CloneCondition::parse(condition.as_str()), Some(condition));
    }
    assert_eq!(CloneCondition::parse("copied"), None);
}
