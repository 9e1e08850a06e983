//! Steps of the clock for ends that are set apart from their beginnings: ceilings, deliveries, and
//! the waits of rejected requests.
#![allow(missing_docs, reason = "the names say it")]

use std::sync::Arc;

use handfast_core::grant::token::TokenHash;
use handfast_core::limits::Limits;
use handfast_core::registry::admission::{PendingRequest, RequestKey};
use handfast_core::registry::ceiling::Ceiling;
use handfast_core::registry::delivery::{
    Before, DeliveryId, NotSettled, Outcome, Settled, Ticket, Undelivered,
};
use handfast_core::registry::record::{Cause, Credential, Mode, Record, Standing};
use handfast_core::registry::rejection::Rejection;
use handfast_core::registry::sessions::Maker;
use handfast_core::registry::trusted_time::{ClockStep, Reading, TrustedTime};
use handfast_core::{Instant, NodeId, Span, UnixTime};

use super::{START, asking_at, at, entry, fresh, grant, keyed, load, scopes, selected, setup_code};
use crate::{Delivered, Delivery, Store, Version};

const HOUR: u64 = 3600;
const DAY: u64 = 24 * HOUR;

/// Returns a step of the clock from one time to another, as the operator accepts it.
pub(super) fn step(from: UnixTime, to: UnixTime) -> ClockStep {
    let reading = |wall| Reading { wall, elapsed: Instant::from_millis(0), synchronised: false };
    TrustedTime::begin(Some(from), START, reading(from)).accept_at(to, reading(to))
}

/// Returns a step forward, to this many seconds after [`START`].
fn to(seconds: u64) -> ClockStep {
    step(START, at(seconds))
}

/// Returns a step back, to this many seconds after [`START`], from a later time that the gateway
/// has known.
fn back_to(seconds: u64) -> ClockStep {
    step(at(400 * DAY), at(seconds))
}

async fn bounded(store: &dyn Store, node: Record, expires: Option<UnixTime>, now: UnixTime) {
    let read_at = load(store, node.node_id).await.map(|(_, version)| version);
    let ceiling = Ceiling { scopes: scopes(), expires, named: true, maker: Maker::Operator };
    let offered = grant(node.node_id);
    store.offer(node, "{}".to_owned(), read_at, offered, Some(ceiling), now).await.unwrap();
}

async fn ceiling_ends(store: &dyn Store, node: &Record) -> Option<UnixTime> {
    let listed = entry(store, node.node_id).await.ceiling;
    let ceiling = store.load(node.node_id).await.unwrap().unwrap().ceiling;
    assert_eq!(ceiling, listed, "a listing and a link see the same");
    ceiling.unwrap().expires
}

fn lamp(name: &str, now: UnixTime) -> PendingRequest {
    asking_at(name, "192.0.2.1", &Limits::DEFAULT, now)
}

async fn asks(store: &dyn Store, name: &str, now: UnixTime) -> NodeId {
    store.admit(lamp(name, now), "{}".to_owned(), Limits::DEFAULT, now).await.unwrap().unwrap()
}

/// Approves a request; the delivery of its token ends after a minute.
async fn issue(store: &dyn Store, id: NodeId, now: UnixTime) -> DeliveryId {
    let (record, version) = load(store, id).await.unwrap();
    let Standing::Pending { expires } = record.standing else { panic!("{:?}", record.standing) };
    let ticket =
        Ticket { id: DeliveryId::from_bytes(fresh()), until: now.after(Span::from_secs(60)) };
    let undelivered = Undelivered {
        token: TokenHash::from_bytes([9; 32]),
        ticket,
        before: Before::Pending { expires },
    };
    let standing =
        Standing::Paired { credential: Credential::Undelivered(undelivered), mode: Mode::Full };
    store.save(id, version, standing, now).await.unwrap();
    ticket.id
}

/// Returns the end of a node's delivery, and the end of its request if the delivery is undone.
async fn on_its_way(store: &dyn Store, id: NodeId) -> (UnixTime, UnixTime) {
    let (record, _) = load(store, id).await.unwrap();
    let Some(Undelivered { ticket, before: Before::Pending { expires }, .. }) =
        record.standing.undelivered()
    else {
        panic!("{:?}", record.standing)
    };
    let under_way = Delivery { ticket: *ticket, of: Delivered::Token(id) };
    assert!(
        store.undelivered(9).await.unwrap().contains(&under_way),
        "the node and its delivery agree"
    );
    (ticket.until, *expires)
}

fn waits(seconds: u64) -> UnixTime {
    at(seconds).after(Limits::DEFAULT.pending_for)
}

async fn reject(store: &dyn Store, name: &str, now: UnixTime) -> RequestKey {
    let (id, key) = (asks(store, name, now).await, lamp(name, now).key);
    let version = load(store, id).await.unwrap().1;
    store.save(id, version, Standing::Revoked { cause: Cause::Rejected }, now).await.unwrap();
    assert_eq!(entry(store, id).await.rejection, store.rejection(key).await.unwrap());
    key
}

async fn may_ask_at(store: &dyn Store, key: RequestKey) -> Option<UnixTime> {
    store.rejection(key).await.unwrap().unwrap().until
}

pub async fn the_end_of_a_ceiling_moves_with_the_run_that_set_it(store: Arc<dyn Store>) {
    store.begin_run().await.unwrap();
    let (earlier, narrowed, lifted) = (keyed(), keyed(), keyed());
    for node in [&earlier, &narrowed, &lifted] {
        bounded(&*store, node.clone(), Some(at(HOUR)), START).await;
    }
    store.begin_run().await.unwrap();
    // The operator decides about two of them again: one gets another end, the other keeps its end.
    bounded(&*store, narrowed.clone(), Some(at(2 * HOUR)), START).await;
    bounded(&*store, earlier.clone(), Some(at(HOUR)), START).await;
    bounded(&*store, lifted.clone(), None, START).await;
    let taken = store.take_over(to(2 * DAY)).await.unwrap();
    assert!(taken.moved >= 1, "{taken:?}");
    assert_eq!(ceiling_ends(&*store, &earlier).await, Some(at(HOUR)), "an earlier run set its end");
    assert_eq!(
        ceiling_ends(&*store, &narrowed).await,
        Some(at(2 * DAY + 2 * HOUR)),
        "its remaining life is as it was"
    );
    assert_eq!(ceiling_ends(&*store, &lifted).await, None);
    assert_eq!(
        store.begin_run().await.unwrap().mark,
        Some(at(2 * DAY + 1)),
        "behind what was decided"
    );
    store.take_over(step(at(2 * DAY), at(9 * DAY))).await.unwrap();
    assert_eq!(
        ceiling_ends(&*store, &narrowed).await,
        Some(at(2 * DAY + 2 * HOUR)),
        "it is of an earlier run now"
    );
}

pub async fn a_secret_on_its_way_keeps_the_time_that_is_left_for_it(store: Arc<dyn Store>) {
    store.begin_run().await.unwrap();
    let earlier = asks(&*store, "earlier", START).await;
    issue(&*store, earlier, START).await;
    let asked_earlier = asks(&*store, "asked earlier", START).await;
    store.begin_run().await.unwrap();
    issue(&*store, asked_earlier, START).await;
    let both = asks(&*store, "both", START).await;
    let confirmed = issue(&*store, both, START).await;
    let (code, spoilt) = (selected("K7QF"), setup_code(HOUR));
    let setup = Delivered::Setup { nonce: spoilt.nonce, expires_at: spoilt.expires_at };
    let (of_code, of_setup) = (DeliveryId::from_bytes(fresh()), DeliveryId::from_bytes(fresh()));
    for (id, of) in [(of_code, Delivered::Code(code.id)), (of_setup, setup)] {
        store.deliver(Delivery { ticket: Ticket { id, until: at(60) }, of }, START).await.unwrap();
    }
    store.take_over(to(2 * DAY)).await.unwrap();

    assert_eq!(on_its_way(&*store, earlier).await, (at(60), waits(0)));
    assert_eq!(
        on_its_way(&*store, asked_earlier).await,
        (at(2 * DAY + 60), waits(0)),
        "an earlier run let the request in"
    );
    assert_eq!(on_its_way(&*store, both).await, (at(2 * DAY + 60), waits(2 * DAY)));
    let under_way = store.undelivered(9).await.unwrap();
    let found = |id| under_way.iter().find(|delivery| delivery.ticket.id == id).unwrap();
    assert_eq!(found(of_code).ticket.until, at(2 * DAY + 60));
    let moved = found(of_setup);
    assert_eq!(
        (moved.ticket.until, moved.of),
        (at(2 * DAY + 60), setup),
        "the end of the code is written in the code itself"
    );
    let settled = store.settle(confirmed, Outcome::Confirmed, at(2 * DAY + 59)).await.unwrap();
    assert_eq!(
        settled.unwrap().settled,
        Settled::Delivered,
        "whoever confirms in time is not late"
    );
    let late = store.settle(of_code, Outcome::Confirmed, at(2 * DAY + 60)).await.unwrap();
    assert_eq!(late, Err(NotSettled::Late));
}

pub async fn a_request_whose_approval_was_undone_is_of_the_run_that_let_it_in(
    store: Arc<dyn Store>,
) {
    store.begin_run().await.unwrap();
    let earlier = asks(&*store, "earlier", START).await;
    store.begin_run().await.unwrap();
    let ours = asks(&*store, "ours", START).await;
    for id in [earlier, ours] {
        let delivery = issue(&*store, id, START).await;
        store.settle(delivery, Outcome::Cancelled, START).await.unwrap().unwrap();
    }
    store.take_over(to(2 * DAY)).await.unwrap();
    let stands = async |id| {
        let record = load(&*store, id).await.unwrap().0;
        (record.asked_at, record.standing)
    };
    assert_eq!(stands(earlier).await, (START, Standing::Pending { expires: waits(0) }));
    assert_eq!(stands(ours).await, (at(2 * DAY), Standing::Pending { expires: waits(2 * DAY) }));
}

pub async fn the_wait_of_who_was_turned_down_moves_with_the_run_that_did(store: Arc<dyn Store>) {
    store.begin_run().await.unwrap();
    let (earlier, twice) =
        (reject(&*store, "earlier", START).await, reject(&*store, "twice", START).await);
    store.begin_run().await.unwrap();
    reject(&*store, "twice", at(60)).await;
    let taken = store.take_over(step(at(60), at(2 * DAY + 60))).await.unwrap();
    assert!(taken.moved >= 1, "{taken:?}");
    assert_eq!(may_ask_at(&*store, earlier).await, Some(at(60)));
    assert_eq!(
        store.rejection(twice).await.unwrap(),
        Some(Rejection { times: 2, until: Some(at(2 * DAY + 180)) })
    );
    let rejected = store
        .admit(
            lamp("twice", at(2 * DAY + 179)),
            "{}".to_owned(),
            Limits::DEFAULT,
            at(2 * DAY + 179),
        )
        .await
        .unwrap();
    assert!(rejected.is_err(), "it waits as long as it would have");
    let listed = store.list(crate::Filter::All, None, 9, at(2 * DAY)).await.unwrap();
    let shown: std::collections::BTreeSet<_> =
        listed.into_iter().filter_map(|listed| listed.unwrap().rejection?.until).collect();
    assert!(
        shown.is_superset(&[at(60), at(2 * DAY + 180)].into()),
        "the operator sees the same: {shown:?}"
    );
    let asked = asks(&*store, "twice", at(2 * DAY + 180)).await;
    assert_eq!(load(&*store, asked).await.unwrap().1, Version(1));
}

pub async fn when_a_request_was_made_last_moves_with_the_run_that_heard_it(store: Arc<dyn Store>) {
    store.begin_run().await.unwrap();
    let (silent, again) =
        (asks(&*store, "silent", START).await, asks(&*store, "again", START).await);
    store.begin_run().await.unwrap();
    let asked_again = lamp("again", at(30)).made_by(7);
    assert_eq!(
        store.admit(asked_again, "{}".to_owned(), Limits::DEFAULT, at(30)).await.unwrap(),
        Ok(again)
    );
    store.take_over(step(at(30), at(2 * DAY))).await.unwrap();
    let last = async |id| entry(&*store, id).await.asked.unwrap().last;
    assert_eq!((last(silent).await, last(again).await), (START, at(2 * DAY)));
    assert_eq!(load(&*store, again).await.unwrap().0.asked_at, START, "an earlier run let it in");
}

pub async fn setting_the_time_back_ends_what_was_bounded_turned_down_or_sent_under_the_false_time(
    store: Arc<dyn Store>,
) {
    let (false_time, true_time) = (400 * DAY, HOUR);
    store.begin_run().await.unwrap();
    let (before, after, ours) = (keyed(), keyed(), keyed());
    bounded(&*store, before.clone(), Some(at(90 * DAY)), START).await;
    bounded(&*store, after.clone(), Some(at(false_time + HOUR)), at(false_time)).await;
    let rejected = reject(&*store, "after", at(false_time)).await;
    let asked = asks(&*store, "sent", at(false_time)).await;
    let delivery = issue(&*store, asked, at(false_time)).await;
    store.raise_mark(at(false_time)).await.unwrap();
    store.begin_run().await.unwrap();
    bounded(&*store, ours.clone(), Some(at(false_time + HOUR)), at(false_time)).await;
    let rejected_now = reject(&*store, "ours", at(false_time)).await;
    let taken = store.take_over(back_to(true_time)).await.unwrap();
    assert!(taken.ended >= 3, "{taken:?}");

    // Two clocks may differ by up to a minute.
    let now = at(true_time + 60);
    assert_eq!(ceiling_ends(&*store, &before).await, Some(at(90 * DAY)));
    assert_eq!(ceiling_ends(&*store, &after).await, Some(now), "nobody knows when it should end");
    assert_eq!(ceiling_ends(&*store, &ours).await, Some(at(true_time + HOUR)), "this run made it");
    assert_eq!(may_ask_at(&*store, rejected_now).await, Some(at(true_time + 60)));
    assert_eq!(
        may_ask_at(&*store, rejected).await,
        Some(now),
        "nobody is kept out for as long as the clock was wrong"
    );
    assert_eq!(on_its_way(&*store, asked).await, (now, now));
    let undone = store.settle(delivery, Outcome::Lapsed, now).await.unwrap().unwrap();
    assert_eq!(undone.settled, Settled::Undone);
    assert_eq!(load(&*store, asked).await.unwrap().0.standing, Standing::Pending { expires: now });
}
