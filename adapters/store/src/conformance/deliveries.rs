//! Deliveries of secrets that are shown once.
#![allow(missing_docs, reason = "the names say it")]

use std::sync::Arc;

use handfast_core::grant::token::TokenHash;
use handfast_core::limits::Limits;
use handfast_core::registry::delivery::{
    Before, DeliveryId, NotSettled, Outcome, Settled, Ticket, Undelivered,
};
use handfast_core::registry::lifecycle::Notice;
use handfast_core::registry::record::{Credential, Mode, Standing};
use handfast_core::registry::sessions::Maker;
use handfast_core::{NodeId, Source};
use tokio::task::JoinSet;

use super::{START, asking, at, fresh, load, paired, record, selected, session, setup_code};
use crate::{Delivered, Delivery, Store, Version, Yield};

const OUTCOMES: [Outcome; 4] =
    [Outcome::Confirmed, Outcome::Used, Outcome::Cancelled, Outcome::Lapsed];

fn source() -> Source {
    Source::of(std::net::IpAddr::from([192, 0, 2, 1]))
}

fn ticket() -> Ticket {
    Ticket { id: DeliveryId::from_bytes(fresh()), until: at(60) }
}

fn on_its_way(ticket: Ticket, before: Before) -> Standing {
    let undelivered = Undelivered { token: TokenHash::from_bytes([9; 32]), ticket, before };
    Standing::Paired { credential: Credential::Undelivered(undelivered), mode: Mode::Full }
}

async fn asks(store: &dyn Store) -> NodeId {
    store
        .admit(
            asking("lamp", "192.0.2.1", &Limits::DEFAULT),
            "{}".to_owned(),
            Limits::DEFAULT,
            START,
        )
        .await
        .unwrap()
        .unwrap()
}

async fn issue(store: &dyn Store, id: NodeId) -> Ticket {
    let ticket = ticket();
    let (record, version) = load(store, id).await.unwrap();
    let Standing::Pending { expires } = record.standing else { panic!("{:?}", record.standing) };
    store.save(id, version, on_its_way(ticket, Before::Pending { expires }), START).await.unwrap();
    ticket
}

pub async fn what_a_node_falls_back_to_reads_back(store: Arc<dyn Store>) {
    let hash = |byte| TokenHash::from_bytes([byte; 32]);
    let id = record(paired()).node_id;
    store
        .insert(
            handfast_core::registry::record::Record { node_id: id, ..record(paired()) },
            "{}".to_owned(),
            START,
        )
        .await
        .unwrap();
    let mut version = Version(1);
    for before in [
        Before::Pending { expires: at(5) },
        Before::Unapproved { token: hash(1) },
        Before::Token(hash(2)),
    ] {
        let standing = on_its_way(ticket(), before);
        version = store.save(id, version, standing.clone(), START).await.unwrap();
        assert_eq!(
            load(&*store, id).await.unwrap(),
            (record_of(&*store, id, standing).await, version)
        );
    }
    let inserted = record(on_its_way(ticket(), Before::Token(hash(3))));
    store.insert(inserted.clone(), "{}".to_owned(), START).await.unwrap();
    assert_eq!(load(&*store, inserted.node_id).await.unwrap().0, inserted);
}

async fn record_of(
    store: &dyn Store,
    id: NodeId,
    standing: Standing,
) -> handfast_core::registry::record::Record {
    handfast_core::registry::record::Record { standing, ..load(store, id).await.unwrap().0 }
}

pub async fn an_approval_that_is_undone_is_a_request_that_is_found_again(store: Arc<dyn Store>) {
    let id = asks(&*store).await;
    let waits = load(&*store, id).await.unwrap().0.standing;
    let ticket = issue(&*store, id).await;
    assert_eq!(asks(&*store).await, id, "it is the same request while its approval may be undone");
    assert_eq!(
        store.undelivered(9).await.unwrap(),
        [Delivery { ticket, of: Delivered::Token(id) }]
    );
    assert_eq!(
        store.settle(ticket.id, Outcome::Lapsed, at(59)).await.unwrap(),
        Err(NotSettled::Early)
    );
    assert_eq!(
        store.settle(ticket.id, Outcome::Confirmed, at(60)).await.unwrap(),
        Err(NotSettled::Late)
    );
    let undone = store.settle(ticket.id, Outcome::Lapsed, at(60)).await.unwrap().unwrap();
    assert_eq!(
        (undone.settled, undone.of, undone.again),
        (Settled::Undone, Delivered::Token(id), false)
    );
    assert_eq!(load(&*store, id).await.unwrap().0.standing, waits);
    assert_eq!(asks(&*store).await, id);
    assert_eq!(store.counts(at(60)).await.unwrap().pending, 1);
    assert_eq!(store.undelivered(9).await.unwrap(), []);
    // The request can be approved as any other.
    let again = issue(&*store, id).await;
    assert!(store.settle(again.id, Outcome::Confirmed, at(59)).await.unwrap().is_ok());
    assert_ne!(asks(&*store).await, id, "one that is paired has no request any more");
}

pub async fn a_token_that_is_delivered_takes_the_place_of_the_older_and_says_so_to_its_link(
    store: Arc<dyn Store>,
) {
    for (outcome, expected) in
        [(Outcome::Confirmed, 9), (Outcome::Used, 9), (Outcome::Cancelled, 7)]
    {
        let node = record(paired());
        store.insert(node.clone(), "{}".to_owned(), START).await.unwrap();
        let ticket = ticket();
        let older = node.standing.token().unwrap().clone();
        store
            .save(node.node_id, Version(1), on_its_way(ticket, Before::Token(older)), START)
            .await
            .unwrap();
        let settlement = store.settle(ticket.id, outcome, at(1)).await.unwrap().unwrap();
        assert_eq!(settlement.notice, (expected == 9).then_some(Notice::Unpaired));
        let (after, version) = load(&*store, node.node_id).await.unwrap();
        let with = Credential::Token(TokenHash::from_bytes([expected; 32]));
        assert_eq!(
            (after.standing, version),
            (Standing::Paired { credential: with, mode: Mode::Full }, Version(3))
        );
    }
}

pub async fn a_delivery_ends_once_and_tells_it_again(store: Arc<dyn Store>) {
    let first = asks(&*store).await;
    let ticket = issue(&*store, first).await;
    let mut tasks = JoinSet::new();
    for n in 0..32 {
        let store = Arc::clone(&store);
        let outcome = if n % 2 == 0 { Outcome::Confirmed } else { Outcome::Cancelled };
        tasks.spawn(async move { store.settle(ticket.id, outcome, at(1)).await.unwrap() });
    }
    let ended = tasks.join_all().await;
    assert_eq!(ended.iter().flatten().filter(|settlement| !settlement.again).count(), 1);
    let settled = ended.iter().flatten().next().unwrap().settled;
    assert!(ended.iter().flatten().all(|settlement| settlement.settled == settled));
    assert_eq!(ended.iter().flatten().count(), 16, "the others hear that it ended otherwise");
    for outcome in OUTCOMES {
        assert_eq!(
            store.settle(DeliveryId::from_bytes([0xee; 16]), outcome, at(1)).await.unwrap(),
            Err(NotSettled::Unknown)
        );
    }
}

pub async fn a_delivery_ends_with_the_session_that_approved_it(store: Arc<dyn Store>) {
    let approver = session();
    store.insert_session(approver.clone()).await.unwrap();
    let id = asks(&*store).await;
    let (record, version) = load(&*store, id).await.unwrap();
    let Standing::Pending { expires } = record.standing else { panic!("{:?}", record.standing) };
    let ticket = ticket();
    let standing = on_its_way(ticket, Before::Pending { expires });
    let by = Maker::Session(approver.id);
    store.save_by(id, version, standing, by, START).await.unwrap();
    assert_eq!(store.end_session(approver.id, START).await.unwrap().1.unapproved, [id]);
    let standing = load(&*store, id).await.unwrap().0.standing;
    assert!(matches!(standing, Standing::Unapproved { .. }), "{standing:?}");
    assert_eq!(store.undelivered(9).await.unwrap(), []);
    assert_eq!(
        store.settle(ticket.id, Outcome::Confirmed, at(1)).await.unwrap(),
        Err(NotSettled::Undone)
    );
    assert_eq!(load(&*store, id).await.unwrap().0.standing, standing, "it waits as before");
}

pub async fn a_delivery_that_another_takes_the_place_of_is_undone_and_changes_nothing(
    store: Arc<dyn Store>,
) {
    let id = asks(&*store).await;
    let first = issue(&*store, id).await;
    let (record, version) = load(&*store, id).await.unwrap();
    let second = ticket();
    let before = record.standing.undelivered().unwrap().before.clone();
    store.save(id, version, on_its_way(second, before), START).await.unwrap();
    assert_eq!(
        store.settle(first.id, Outcome::Confirmed, at(1)).await.unwrap(),
        Err(NotSettled::Undone)
    );
    assert!(store.settle(second.id, Outcome::Confirmed, at(1)).await.unwrap().is_ok());
    // A revocation also ends the delivery.
    let other = super::record(paired());
    store.insert(other.clone(), "{}".to_owned(), START).await.unwrap();
    let third = ticket();
    let older = other.standing.token().unwrap().clone();
    let version = store
        .save(other.node_id, Version(1), on_its_way(third, Before::Token(older)), START)
        .await
        .unwrap();
    store.save(other.node_id, version, super::revoked(), START).await.unwrap();
    assert_eq!(
        store.settle(third.id, Outcome::Confirmed, at(1)).await.unwrap(),
        Err(NotSettled::Undone)
    );
    assert_eq!(load(&*store, other.node_id).await.unwrap().0.standing, super::revoked());
}

pub async fn a_code_that_nobody_was_shown_is_withdrawn_unless_it_was_used(store: Arc<dyn Store>) {
    for (selector, use_it) in [("K7QF", false), ("K7QG", true)] {
        let (code, ticket) = (selected(selector), ticket());
        store.deliver(Delivery { ticket, of: Delivered::Code(code.id) }, START).await.unwrap();
        store.mint(code.clone(), START).await.unwrap().unwrap();
        if use_it {
            store.reserve(Some(code.id), source(), at(1)).await.unwrap().unwrap();
            assert!(store.spend(code.id, source(), at(1), at(1)).await.unwrap());
            assert_eq!(
                store.settle(ticket.id, Outcome::Lapsed, at(60)).await.unwrap(),
                Err(NotSettled::Delivered)
            );
            assert!(
                store.settle(ticket.id, Outcome::Confirmed, at(60)).await.unwrap().unwrap().again
            );
        } else {
            assert!(store.settle(ticket.id, Outcome::Lapsed, at(60)).await.unwrap().is_ok());
            assert_eq!(store.codes(at(60)).await.unwrap(), []);
            assert_eq!(
                store.settle(ticket.id, Outcome::Confirmed, at(60)).await.unwrap(),
                Err(NotSettled::Undone)
            );
        }
    }
    assert_eq!(store.undelivered(9).await.unwrap(), []);
}

pub async fn many_deliveries_end_in_one_step_each_by_its_own_state(store: Arc<dyn Store>) {
    let made: Vec<_> =
        ["K7QF", "K7QG", "K7QH"].map(|selector| (selected(selector), ticket())).into();
    store.mint_all(made.clone(), START).await.unwrap().unwrap();
    let ids: Vec<_> = made.iter().map(|(_, ticket)| ticket.id).collect();
    let unknown = DeliveryId::from_bytes(fresh());
    store.settle(ids[0], Outcome::Cancelled, at(1)).await.unwrap().unwrap();
    let asked = vec![ids[0], unknown, ids[1], ids[2]];
    let ended = store.settle_all(asked, Outcome::Confirmed, at(1)).await.unwrap();
    assert_eq!(ended[..2], [Err(NotSettled::Undone), Err(NotSettled::Unknown)]);
    assert!(ended[2..].iter().all(|ended| ended.unwrap().settled == Settled::Delivered));
    assert_eq!(store.codes(at(60)).await.unwrap().len(), 2);
    assert_eq!(store.undelivered(9).await.unwrap(), []);
}

pub async fn a_setup_code_that_nobody_was_shown_opens_nothing(store: Arc<dyn Store>) {
    for use_it in [false, true] {
        let (code, ticket) = (setup_code(600), ticket());
        store
            .deliver(
                Delivery {
                    ticket,
                    of: Delivered::Setup { nonce: code.nonce, expires_at: code.expires_at },
                },
                START,
            )
            .await
            .unwrap();
        if use_it {
            assert_eq!(store.redeem(code, Yield::Session(session()), at(1)).await.unwrap(), Ok(()));
            assert_eq!(
                store.settle(ticket.id, Outcome::Cancelled, at(2)).await.unwrap(),
                Err(NotSettled::Delivered)
            );
        } else {
            assert!(store.settle(ticket.id, Outcome::Cancelled, at(2)).await.unwrap().is_ok());
            assert!(store.redeem(code, Yield::Session(session()), at(3)).await.unwrap().is_err());
        }
    }
}

pub async fn deliveries_are_listed_by_their_end(store: Arc<dyn Store>) {
    let mut expected = Vec::new();
    for seconds in [50, 20, 40] {
        let ticket = Ticket { until: at(seconds), ..ticket() };
        let delivery = Delivery {
            ticket,
            of: Delivered::Setup { nonce: setup_code(600).nonce, expires_at: at(600) },
        };
        store.deliver(delivery, START).await.unwrap();
        expected.push(delivery);
    }
    expected.sort_by_key(|delivery| delivery.ticket.until);
    assert_eq!(store.undelivered(9).await.unwrap(), expected);
    assert_eq!(store.undelivered(2).await.unwrap(), expected[..2]);
}
