//! Tests of the decisions and their transitions.

use std::vec::Vec;

use super::*;
use crate::registry::delivery::DeliveryId;

const NOW: UnixTime = UnixTime::from_secs(1000);
const LATE: UnixTime = UnixTime::from_secs(1060);
const ID: DeliveryId = DeliveryId::from_bytes([1; 16]);

fn new(byte: u8) -> NewToken {
    NewToken { hash: hash(byte), ticket: Ticket { id: ID, until: LATE } }
}

fn hash(byte: u8) -> TokenHash {
    TokenHash::from_bytes([byte; 32])
}

fn credential(byte: u8) -> Credential {
    Credential::Token(hash(byte))
}

fn pending() -> Standing {
    Standing::Pending { expires: UnixTime::from_secs(1001) }
}

#[test]
fn unmuting_restores_the_mode_from_before() {
    let mut standing =
        decide(&pending(), Decision::Approve(Credential::Token(hash(1))), NOW).unwrap().standing;
    for decision in
        [Decision::SetMode(Mode::SafeChat), Decision::Mute, Decision::Mute, Decision::Unmute]
    {
        standing = decide(&standing, decision, NOW).unwrap().standing;
    }
    assert_eq!(standing, Standing::Paired { credential: credential(1), mode: Mode::SafeChat });
}

#[test]
fn a_revoked_node_stays_revoked_whatever_is_decided() {
    let revoked = decide(&pending(), Decision::Reject, NOW).unwrap().standing;
    let barred = decide(&revoked, Decision::Bar, NOW).unwrap().standing;
    assert!(!revoked.bars() && barred.bars());
    for standing in [revoked, barred] {
        for decision in [
            Decision::Approve(Credential::Token(hash(1))),
            Decision::Issue(new(1)),
            Decision::Reissue(new(1)),
            Decision::Reject,
            Decision::Mute,
            Decision::Unmute,
            Decision::SetMode(Mode::Full),
            Decision::Unpair,
        ] {
            assert_eq!(decide(&standing, decision, NOW), Err(Refusal::Revoked));
        }
    }
}

#[test]
fn a_request_that_ran_out_cannot_be_approved() {
    let late = UnixTime::from_secs(1001);
    assert_eq!(
        decide(&pending(), Decision::Approve(Credential::Token(hash(1))), late),
        Err(Refusal::Expired)
    );
    assert!(
        decide(&pending(), Decision::Reject, late).is_ok(),
        "but turning it down does not read the clock"
    );
}

#[test]
fn what_takes_away_comes_before_the_disk_and_what_gives_comes_after() {
    let paired = Standing::Paired { credential: credential(1), mode: Mode::Full };
    let muted = decide(&paired, Decision::Mute, NOW).unwrap().standing;
    for (standing, decision, first) in [
        (&paired, Decision::Mute, Some(Notice::Muted)),
        (&muted, Decision::Mute, Some(Notice::Muted)),
        (&paired, Decision::Unpair, Some(Notice::Unpaired)),
        (&muted, Decision::Unpair, Some(Notice::Unpaired)),
        (&pending(), Decision::Reject, Some(Notice::Decided)),
        (&pending(), Decision::Unpair, Some(Notice::Decided)),
        (&pending(), Decision::Approve(credential(1)), None),
        (&muted, Decision::Unmute, None),
        (&muted, Decision::SetMode(Mode::Full), None),
        (&paired, Decision::Reissue(new(2)), None),
        (&muted, Decision::Reissue(new(2)), None),
        (&paired, Decision::Unmute, None),
    ] {
        let change = decide(standing, decision.clone(), NOW).unwrap();
        let effects: Vec<_> = change.effects().collect();
        let save = effects.iter().position(|effect| matches!(effect, Effect::Save(_))).unwrap();
        let ends = effects.iter().position(|effect| matches!(effect, Effect::EndLinks(_)));
        assert_eq!(
            (change.takes_away(), ends),
            (first.is_some(), first.map(|_| 0)),
            "{decision:?}"
        );
        assert_eq!(save, usize::from(first.is_some()), "{decision:?}");
        assert_eq!(effects.len(), 1 + usize::from(change.notice.is_some()));
    }
}

#[test]
fn a_decision_that_is_not_stored_counts_until_what_is_stored_goes_beyond_it() {
    let paired = Standing::Paired { credential: credential(1), mode: Mode::SafeChat };
    let muted = Standing::Muted { credential: credential(1), restore: Mode::SafeChat };
    let revoked = Standing::Revoked { cause: Cause::Unpaired };
    assert_eq!(in_force(&paired, &Decision::Mute), muted);
    assert_eq!(in_force(&muted, &Decision::Unpair), revoked);
    assert_eq!(in_force(&revoked, &Decision::Mute), revoked);
    let ran_out = Standing::Pending { expires: UnixTime::from_secs(0) };
    assert_eq!(in_force(&ran_out, &Decision::Mute), ran_out);
}

#[test]
fn an_approval_whose_token_nobody_got_never_happened() {
    let waits = Standing::Pending { expires: UnixTime::from_secs(4000) };
    let issued = decide(&waits, Decision::Issue(new(1)), NOW).unwrap().standing;
    assert!(matches!(issued, Standing::Paired { .. }), "the token works at once");
    for (outcome, at) in [(Outcome::Cancelled, NOW), (Outcome::Lapsed, LATE)] {
        let (settled, change) = settle(&issued, ID, outcome, at).unwrap();
        assert_eq!(
            (settled, change.standing, change.notice),
            (Settled::Undone, waits.clone(), None)
        );
    }
    assert_eq!(as_delivered(&issued, NOW), issued);
    assert_eq!(as_delivered(&issued, LATE), waits, "whether or not anybody has written that down");
    assert_eq!(settle(&issued, ID, Outcome::Confirmed, LATE), Err(NotSettled::Late));
    assert_eq!(
        settle(&issued, DeliveryId::from_bytes([2; 16]), Outcome::Confirmed, NOW),
        Err(NotSettled::Unknown)
    );
    let muted = decide(&issued, Decision::Mute, NOW).unwrap().standing;
    assert_eq!(settle(&muted, ID, Outcome::Lapsed, LATE).unwrap().1.standing, waits);
}

#[test]
fn the_old_token_counts_until_the_new_one_is_delivered_and_then_its_link_ends() {
    let paired = Standing::Paired { credential: credential(1), mode: Mode::SafeChat };
    let Change { standing, notice } = decide(&paired, Decision::Reissue(new(2)), NOW).unwrap();
    assert_eq!(
        (standing.token(), standing.older_token(), notice),
        (Some(&hash(2)), Some(&hash(1)), None)
    );
    for outcome in [Outcome::Confirmed, Outcome::Used] {
        let (_, change) = settle(&standing, ID, outcome, NOW).unwrap();
        assert_eq!(
            change.standing,
            Standing::Paired { credential: credential(2), mode: Mode::SafeChat }
        );
        assert_eq!(change.notice, Some(Notice::Unpaired));
    }
    assert_eq!(
        settle(&standing, ID, Outcome::Cancelled, NOW).unwrap().1,
        Change { standing: paired, notice: None }
    );
}

#[test]
fn a_token_in_place_of_one_that_nobody_got_falls_back_to_what_was_before_both() {
    let issued = decide(&pending(), Decision::Issue(new(1)), NOW).unwrap().standing;
    assert_eq!(decide(&issued, Decision::Issue(new(2)), NOW), Err(Refusal::AlreadyPaired));
    let again = decide(&issued, Decision::Reissue(new(2)), NOW).unwrap().standing;
    assert_eq!((again.token(), again.older_token()), (Some(&hash(2)), None));
    assert_eq!(settle(&again, ID, Outcome::Cancelled, NOW).unwrap().1.standing, pending());
}
