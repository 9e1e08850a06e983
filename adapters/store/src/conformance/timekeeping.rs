//! The mark, the run, steps of the clock, and entries seen to be over.
#![allow(missing_docs, reason = "the names say it")]

use std::sync::Arc;

use handfast_core::limits::Limits;
use handfast_core::registry::codes::{NoGuess, Opened, Window};
use handfast_core::registry::grants::State;
use handfast_core::registry::inbound::{ChallengeCode, InboundLimits as SenderLimits, SenderId};
use handfast_core::registry::record::Standing;
use handfast_core::registry::sessions::{Ended, Maker, NotRedeemed, Session};
use handfast_core::registry::trusted_time::{ClockStep, Reading, TrustedTime};
use handfast_core::{Instant, Source, Span, UnixTime};

use super::{START, asking, at, code, grant, keyed, pin, session, setup_code};
use crate::{
    Over, Run, SenderChange, SenderFilter, SenderName, SenderStanding, Store, StoredCode, Yield,
};

const HOUR: u64 = 3600;

fn before(seconds: u64) -> UnixTime {
    UnixTime::from_secs(START.as_secs() - seconds)
}

fn reading(wall: UnixTime) -> Reading {
    Reading { wall, elapsed: Instant::from_millis(0), synchronised: false }
}

/// Returns a step of the clock from [`START`] to this time, as the operator accepts it.
fn to(time: UnixTime) -> ClockStep {
    TrustedTime::begin(Some(START), START, reading(START)).accept_at(time, reading(time))
}

/// One entry of each kind that has an end, made at [`START`] for an hour.
struct Made {
    request: handfast_core::NodeId,
    node: handfast_core::NodeId,
    code: StoredCode,
    session: Session,
    sender: SenderName,
    asker: SenderName,
}

fn sender(name: &str) -> SenderName {
    SenderName { channel: "wa".to_owned(), account: "home".to_owned(), sender: name.to_owned() }
}

async fn make(store: &dyn Store, number: u8) -> Made {
    let limits = Limits { pending_for: Span::from_secs(HOUR), ..Limits::DEFAULT };
    let asks = asking("lamp", &format!("192.0.2.{number}"), &limits);
    let request = store.admit(asks, "{}".to_owned(), limits, START).await.unwrap().unwrap();
    let node = keyed();
    let hour =
        handfast_core::registry::grants::Grant { expires: Some(at(HOUR)), ..grant(node.node_id) };
    store.offer(node.clone(), "{}".to_owned(), None, hour, None, START).await.unwrap();
    store.set_window(Window::open(START, Some(at(HOUR)))).await.unwrap();
    let pin = pin();
    let code = StoredCode {
        counted: handfast_core::registry::codes::Counted { expires: at(HOUR), ..pin.counted },
        ..pin
    };
    store.mint(code.clone(), START).await.unwrap().unwrap();
    let session = Session { issued_at: START, expires_at: at(HOUR), ..session() };
    store.insert_session(session.clone()).await.unwrap();
    let (sender, asker) = (sender(&format!("ana{number}")), sender(&format!("ben{number}")));
    let allow = SenderChange::Allow { via: "cli".to_owned(), until: Some(at(HOUR)) };
    store.change_sender("wa", Some("home"), &sender.sender, allow, START).await.unwrap();
    let id = SenderId::parse("wa", "home", &asker.sender).unwrap();
    let fresh = ChallengeCode::parse(&format!("ABCDEFG{number}")).unwrap();
    let challenged =
        store.challenge(id, "{}".to_owned(), fresh, &SenderLimits::DEFAULT, START).await.unwrap();
    assert!(matches!(challenged.0, crate::Challenged::Decided(_)), "{challenged:?}");
    Made { request, node: node.node_id, code, session, sender, asker }
}

/// Returns the beginnings and ends of the request, the grant, the code, the session and the allowed
/// sender, and the beginning of the pending one.
async fn times(store: &dyn Store, made: &Made) -> Vec<(UnixTime, Option<UnixTime>)> {
    let request = store.load(made.request).await.unwrap().unwrap().record;
    let Standing::Pending { expires } = request.standing else { panic!("{request:?}") };
    let grant = store.grants(made.node).await.unwrap().pop().unwrap();
    let code = store.code(made.code.id).await.unwrap().unwrap();
    let session = store.session(made.session.id).await.unwrap().unwrap();
    let listed = |name: &SenderName, all: Vec<crate::ListedSender>| {
        all.into_iter().find(|sender| sender.name == *name).unwrap()
    };
    let filter = SenderFilter { all: true, include_revoked: true, channel: None };
    let far =
        SenderLimits { pending_for: Span::from_secs(u64::from(u32::MAX)), ..SenderLimits::DEFAULT };
    let all = store.senders(filter, None, usize::MAX, &far, START).await.unwrap();
    let SenderStanding::Allowed { at, until, .. } = listed(&made.sender, all.clone()).standing
    else {
        panic!("{all:?}")
    };
    let SenderStanding::Pending { created_at, .. } = listed(&made.asker, all.clone()).standing
    else {
        panic!("{all:?}")
    };
    vec![
        (request.asked_at, Some(expires)),
        (grant.not_before, grant.expires),
        (code.created_at, Some(code.counted.expires)),
        (session.issued_at, Some(session.expires_at)),
        (at, until),
        (created_at, None),
    ]
}

fn all_at(begin: UnixTime) -> Vec<(UnixTime, Option<UnixTime>)> {
    let end = Some(begin.after(Span::from_secs(HOUR)));
    vec![(begin, end), (begin, end), (begin, end), (begin, end), (begin, end), (begin, None)]
}

pub async fn a_run_is_numbered_and_finds_the_mark_of_the_one_before(store: Arc<dyn Store>) {
    assert_eq!(store.begin_run().await.unwrap(), Run { number: 1, mark: None });
    store.raise_mark(at(5)).await.unwrap();
    store.raise_mark(at(3)).await.unwrap();
    assert_eq!(store.begin_run().await.unwrap(), Run { number: 2, mark: Some(at(5)) });
}

pub async fn a_run_begins_behind_what_the_one_before_made_after_it_had_written_the_mark(
    store: Arc<dyn Store>,
) {
    store.begin_run().await.unwrap();
    store.raise_mark(START).await.unwrap();
    store.insert_session(Session { issued_at: at(9), ..session() }).await.unwrap();
    // An import may bring any time.
    store.insert_session(Session { issued_at: at(900), ..session() }).await.unwrap();
    assert_eq!(store.begin_run().await.unwrap().mark, Some(at(10)));
    assert_eq!(
        store.begin_run().await.unwrap().mark,
        Some(START),
        "that run has made nothing, and has written no mark"
    );
}

pub async fn a_step_moves_what_this_run_made_and_nothing_of_an_earlier_one(store: Arc<dyn Store>) {
    store.begin_run().await.unwrap();
    let earlier = make(&*store, 2).await;
    store.begin_run().await.unwrap();
    // The same window set again still belongs to the earlier run.
    store.set_window(Window::default()).await.unwrap();
    let made = make(&*store, 3).await;
    let grant = store.grants(made.node).await.unwrap().pop().unwrap();
    let epoch = store.inbound_epoch();
    let taken = store.take_over(to(at(100 * HOUR))).await.unwrap();
    assert!(taken.moved >= 7 && taken.ended == 0, "{taken:?}");
    assert_eq!(times(&*store, &earlier).await, all_at(START));
    assert_eq!(times(&*store, &made).await, all_at(at(100 * HOUR)));
    assert_eq!(
        store.window().await.unwrap().opened,
        Some(Opened { at: at(100 * HOUR), closes: Some(at(101 * HOUR)), by: Maker::Operator })
    );
    // Its capability is the one that the node has.
    let moved = store.grants(made.node).await.unwrap().pop().unwrap();
    assert_eq!((moved.moved, moved.capability), (360_000, grant.capability));
    assert_eq!(moved.state, State::Offered { until: at(101 * HOUR) });
    assert!(
        store.inbound_epoch() > epoch,
        "what is remembered of senders has ends that were moved"
    );
    assert_eq!(
        store.begin_run().await.unwrap().mark,
        Some(at(100 * HOUR + 1)),
        "behind what was made"
    );
    store.take_over(to(at(HOUR))).await.unwrap();
    assert_eq!(times(&*store, &made).await, all_at(at(100 * HOUR)), "it is of an earlier run now");
}

pub async fn a_session_that_was_prolonged_by_this_run_moves_its_end_alone(store: Arc<dyn Store>) {
    store.begin_run().await.unwrap();
    let session = Session { issued_at: START, expires_at: at(HOUR), ..session() };
    store.insert_session(session.clone()).await.unwrap();
    store.begin_run().await.unwrap();
    let span = Span::from_secs(2 * HOUR);
    store
        .refresh_session(session.id, span, Span::from_secs(90 * HOUR), at(60))
        .await
        .unwrap()
        .unwrap()
        .unwrap();
    store.take_over(to(at(10 * HOUR))).await.unwrap();
    let moved = store.session(session.id).await.unwrap().unwrap();
    assert_eq!((moved.issued_at, moved.expires_at), (START, at(12 * HOUR + 60)));
}

pub async fn what_has_no_end_is_not_moved(store: Arc<dyn Store>) {
    store.begin_run().await.unwrap();
    let endless = UnixTime::from_secs(1 << 62);
    let session = Session { expires_at: endless, ..session() };
    store.insert_session(session.clone()).await.unwrap();
    store.take_over(to(at(HOUR))).await.unwrap();
    assert_eq!(store.session(session.id).await.unwrap().unwrap().expires_at, endless);
}

pub async fn setting_the_time_back_moves_what_this_run_made_and_ends_what_earlier_ones_made_later(
    store: Arc<dyn Store>,
) {
    store.begin_run().await.unwrap();
    let earlier = make(&*store, 2).await;
    let spared = Session { issued_at: before(30 * HOUR), expires_at: at(HOUR), ..session() };
    let prolonged = Session { issued_at: before(30 * HOUR), expires_at: at(HOUR), ..session() };
    for old in [&spared, &prolonged] {
        store.insert_session(old.clone()).await.unwrap();
    }
    let span = Span::from_secs(2 * HOUR);
    store
        .refresh_session(prolonged.id, span, Span::from_secs(90 * HOUR), at(60))
        .await
        .unwrap()
        .unwrap()
        .unwrap();
    store.raise_mark(START).await.unwrap();
    store.begin_run().await.unwrap();
    let made = keyed();
    store
        .offer(made.clone(), "{}".to_owned(), None, grant(made.node_id), None, START)
        .await
        .unwrap();
    let back = before(20 * HOUR);
    let taken = store.take_over(to(back)).await.unwrap();
    assert!(taken.ended >= 7 && taken.moved >= 1, "{taken:?}");
    assert_eq!(store.begin_run().await.unwrap().mark, Some(back.after(Span::from_secs(1))));

    assert_eq!(store.load(earlier.request).await.unwrap(), None);
    assert_eq!(store.grants(earlier.node).await.unwrap().pop().unwrap().state, State::Ended);
    assert_eq!(store.code(earlier.code.id).await.unwrap().unwrap().counted.uses_left, 0);
    assert_eq!(store.window().await.unwrap().opened, None);
    let admits =
        async |session: &Session| store.session(session.id).await.unwrap().unwrap().admits(START);
    assert_eq!(admits(&earlier.session).await, Err(Ended::Expired));
    assert_eq!(
        admits(&prolonged).await,
        Err(Ended::Expired),
        "its end was set under the false time"
    );
    assert_eq!(admits(&spared).await, Ok(()));
    let filter = SenderFilter { all: true, include_revoked: false, channel: None };
    assert_eq!(store.senders(filter, None, 9, &SenderLimits::DEFAULT, START).await.unwrap(), []);
    let moved = store.grants(made.node_id).await.unwrap().pop().unwrap();
    assert_eq!((moved.not_before, moved.moved), (back, -72_000));
}

pub async fn what_was_seen_to_be_over_stays_so_when_the_clock_is_set_back(store: Arc<dyn Store>) {
    store.begin_run().await.unwrap();
    let made = make(&*store, 2).await;
    let grant = store.grants(made.node).await.unwrap().pop().unwrap().id;
    let spent = setup_code(HOUR);
    let over = [
        Over::Session(made.session.id),
        Over::Grant(made.node, grant),
        Over::Request(made.request),
        Over::Code(made.code.id),
        Over::Window,
        Over::SetupCode(spent.expires_at),
        Over::Sender(made.sender.clone()),
    ];
    for what in &over {
        assert!(
            !store.write_over(what.clone(), at(HOUR - 1)).await.unwrap(),
            "{what:?} is not over"
        );
    }
    assert_eq!(times(&*store, &made).await, all_at(START));
    for what in &over {
        assert!(store.write_over(what.clone(), at(HOUR)).await.unwrap(), "{what:?}");
        assert!(
            !store.write_over(what.clone(), at(HOUR)).await.unwrap(),
            "{what:?} was written before"
        );
    }
    let session = store.session(made.session.id).await.unwrap().unwrap();
    assert_eq!(session.admits(START), Err(Ended::Expired));
    assert_eq!((store.live_sessions(START).await.unwrap(), session.expires_at), (0, at(HOUR)));
    assert_eq!(store.grants(made.node).await.unwrap().pop().unwrap().state, State::Ended);
    assert_eq!(store.load(made.request).await.unwrap(), None);
    assert_eq!(
        store.reserve(Some(made.code.id), Source::of([192, 0, 2, 9].into()), START).await.unwrap(),
        Err(NoGuess::Expired)
    );
    assert_eq!(store.window().await.unwrap().admits(START), Err(NoGuess::Closed));
    let redeemed = store.redeem(spent, Yield::Session(super::session()), START).await.unwrap();
    assert_eq!(redeemed, Err(NotRedeemed::Expired));
    let id = SenderId::parse("wa", "home", &made.sender.sender).unwrap();
    let facts = store.facts(id, &SenderLimits::DEFAULT, START).await.unwrap();
    assert!(!facts.allowed.unwrap().is_active(START));
}

pub async fn what_is_not_there_is_not_over(store: Arc<dyn Store>) {
    let node = keyed().node_id;
    for what in [
        Over::Session(session().id),
        Over::Grant(node, grant(node).id),
        Over::Request(node),
        Over::Code(code(pin().counted.kind).id),
        Over::Window,
        Over::Sender(sender("nobody")),
    ] {
        assert!(!store.write_over(what.clone(), at(HOUR)).await.unwrap(), "{what:?}");
    }
}
