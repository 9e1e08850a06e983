//! Finding, listing and counting.
#![allow(missing_docs, reason = "the names say it")]

use std::sync::Arc;

use handfast_core::grant::token::TokenHash;
use handfast_core::limits::Limits;
use handfast_core::registry::delivery::{DeliveryId, Ticket};
use handfast_core::registry::lifecycle::{Decision, NewToken, decide};
use handfast_core::registry::record::{Cause, Credential, Mode, Standing};
use handfast_core::{NodeId, Span, UnixTime};

use super::{START, all, asking, asking_at, at, ids, load, paired, record, revoked};
use crate::{Counts, Filter, MemoryStore, Store, Version};

fn new_token() -> NewToken {
    NewToken {
        hash: token(),
        ticket: Ticket { id: DeliveryId::from_bytes([3; 16]), until: at_the_end() },
    }
}

fn at_the_end() -> UnixTime {
    START.after(Span::from_secs(1 << 40))
}

fn token() -> TokenHash {
    TokenHash::from_bytes([9; 32])
}

async fn insert(store: &dyn Store, standing: Standing) -> NodeId {
    let record = record(standing);
    let id = record.node_id;
    store.insert(record, "{}".to_owned(), START).await.unwrap();
    id
}

pub async fn an_unknown_node_is_none_and_no_error(store: Arc<dyn Store>) {
    assert_eq!(load(&*store, record(paired()).node_id).await, None);
    assert_eq!(store.counts(START).await.unwrap(), Counts::default());
    assert!(all(&*store, Filter::All, START).await.is_empty());
}

pub async fn paging_covers_everything_exactly_once_and_in_order(store: Arc<dyn Store>) {
    let mut expected = vec![insert(&*store, paired()).await];
    for id in [NodeId::from_bytes([0; 16]), NodeId::from_bytes([0xff; 16])] {
        let record = handfast_core::registry::record::Record { node_id: id, ..record(paired()) };
        store.insert(record, "{}".to_owned(), START).await.unwrap();
        expected.push(id);
    }
    for number in 0..40 {
        let standing =
            if number % 3 == 0 { revoked() } else { Standing::Unapproved { token: token() } };
        expected.push(insert(&*store, standing).await);
    }
    expected.sort();
    for size in [1, 7, 42, 43, 44] {
        let (mut read, mut after) = (Vec::new(), None);
        loop {
            let page = store.list(Filter::All, after, size, START).await.unwrap();
            let Some(last) = page.last() else { break };
            after = Some(crate::node_id(last));
            read.extend(ids(&page));
        }
        assert_eq!(read, expected, "pages of {size}");
    }
}

pub async fn each_filter_lists_what_its_name_says(store: Arc<dyn Store>) {
    let sorted = |mut ids: Vec<NodeId>| {
        ids.sort();
        ids
    };
    let waiting = insert(&*store, Standing::Pending { expires: at(10) }).await;
    let unapproved = insert(&*store, Standing::Unapproved { token: token() }).await;
    let paired = insert(&*store, paired()).await;
    let muted = insert(
        &*store,
        Standing::Muted { credential: Credential::Token(token()), restore: Mode::Full },
    )
    .await;
    let revoked = insert(&*store, Standing::Revoked { cause: Cause::Rejected }).await;

    assert_eq!(all(&*store, Filter::Pending, at(9)).await, sorted(vec![waiting, unapproved]));
    assert_eq!(all(&*store, Filter::Pending, at(10)).await, [unapproved]);
    assert_eq!(
        all(&*store, Filter::Current, at(9)).await,
        sorted(vec![waiting, unapproved, paired, muted])
    );
    assert_eq!(
        all(&*store, Filter::Current, at(10)).await,
        sorted(vec![unapproved, paired, muted])
    );
    assert_eq!(
        all(&*store, Filter::All, at(9)).await,
        sorted(vec![waiting, unapproved, paired, muted, revoked])
    );
}

pub async fn a_listing_never_exceeds_its_limit(store: Arc<dyn Store>) {
    for _ in 0..5 {
        insert(&*store, paired()).await;
    }
    for limit in [0, 1, 4] {
        assert_eq!(store.list(Filter::Current, None, limit, START).await.unwrap().len(), limit);
        assert_eq!(store.find("", limit).await.unwrap().len(), limit);
    }
}

pub async fn any_beginning_of_an_id_finds_it(store: Arc<dyn Store>) {
    for _ in 0..20 {
        insert(&*store, paired()).await;
    }
    let everyone = all(&*store, Filter::All, START).await;
    let text = everyone[7].text();
    for length in 0..=text.as_str().len() {
        let prefix = &text.as_str()[..length];
        let expected: Vec<_> =
            everyone.iter().copied().filter(|id| id.text().as_str().starts_with(prefix)).collect();
        assert_eq!(ids(&store.find(prefix, usize::MAX).await.unwrap()), expected, "{prefix:?}");
    }
}

pub async fn what_begins_no_id_finds_nothing(store: Arc<dyn Store>) {
    let text = insert(&*store, paired()).await.to_string();
    let undashed = text.replacen('-', "", 1);
    for prefix in
        ["%", "_", "*", "' OR 1=1", "x", &text.to_uppercase(), &format!("{text}0"), &undashed[..12]]
    {
        assert!(
            store.find(prefix, 9).await.unwrap().is_empty() || text.starts_with(prefix),
            "{prefix:?}"
        );
    }
}

pub async fn counts_are_right_through_a_life(store: Arc<dyn Store>) {
    let limits = Limits::DEFAULT;
    let counts = |pending, paired, muted, revoked| {
        let forgotten = 0;
        Counts { pending, paired, muted, revoked, forgotten }
    };
    insert(&*store, Standing::Unapproved { token: token() }).await;
    let id = store
        .admit(asking("lamp", "192.0.2.1", &limits), "{}".to_owned(), limits, START)
        .await
        .unwrap()
        .unwrap();
    store
        .admit(asking("other", "192.0.2.1", &limits), "{}".to_owned(), limits, START)
        .await
        .unwrap()
        .unwrap();
    assert_eq!(store.counts(START).await.unwrap(), counts(3, 0, 0, 0));

    let mut version = Version(1);
    for (decision, expected) in [
        (Decision::Approve(Credential::Token(token())), counts(2, 1, 0, 0)),
        (Decision::Mute, counts(2, 0, 1, 0)),
        (Decision::Reissue(new_token()), counts(2, 0, 1, 0)),
        (Decision::Unmute, counts(2, 1, 0, 0)),
        (Decision::Unpair, counts(2, 0, 0, 1)),
    ] {
        let (record, _) = load(&*store, id).await.unwrap();
        let change = decide(&record.standing, decision, START).unwrap();
        version = store.save(id, version, change.standing, START).await.unwrap();
        assert_eq!(store.counts(START).await.unwrap(), expected);
    }
    assert_eq!(store.counts(at(3600)).await.unwrap(), counts(1, 0, 0, 1));
}

/// Makes the same random decisions on this store and on the one in memory, with a clock that lets
/// requests expire.
pub async fn a_long_random_life_is_the_same_as_in_memory(store: Arc<dyn Store>) {
    let model = MemoryStore::new();
    let limits = Limits {
        pending_total: 12,
        pending_per_source: 4,
        pending_for: Span::from_secs(60),
        ..Limits::DEFAULT
    };
    let mut chance = Chance(0x1234_5678);
    let mut now = START;
    for round in 0..600 {
        now = now.after(Span::from_secs(chance.below(8)));
        if chance.below(2) == 0 {
            let (name, address) =
                (format!("lamp {}", chance.below(6)), format!("192.0.2.{}", chance.below(5)));
            let asking = asking_at(&name, &address, &limits, now);
            let profile = "{}".to_owned();
            let here = store.admit(asking.clone(), profile.clone(), limits, now).await.unwrap();
            assert_eq!(
                here,
                model.admit(asking, profile, limits, now).await.unwrap(),
                "round {round}"
            );
        } else {
            let current = model.list(Filter::Current, None, usize::MAX, now).await.unwrap();
            if let Some(Ok(entry)) = current.get(chance.below(current.len().max(1) as u64) as usize)
            {
                let decision = decision(chance.below(6));
                let (id, version) = (entry.record.node_id, entry.version);
                if let Ok(change) = decide(&entry.record.standing, decision, now) {
                    let here = store.save(id, version, change.standing.clone(), now).await.unwrap();
                    assert_eq!(
                        here,
                        model.save(id, version, change.standing, now).await.unwrap(),
                        "round {round}"
                    );
                }
            }
        }
        same(&*store, &model, now).await;
    }
}

fn decision(number: u64) -> Decision {
    match number {
        0 => Decision::Reject,
        1 => Decision::Mute,
        2 => Decision::Unmute,
        3 => Decision::SetMode(Mode::SafeChat),
        4 => Decision::Unpair,
        _ => Decision::Approve(Credential::Token(token())),
    }
}

async fn same(store: &dyn Store, model: &MemoryStore, now: UnixTime) {
    assert_eq!(store.counts(now).await.unwrap(), model.counts(now).await.unwrap());
    for filter in [Filter::Pending, Filter::Current] {
        let here = store.list(filter, None, usize::MAX, now).await.unwrap();
        assert_eq!(here, model.list(filter, None, usize::MAX, now).await.unwrap());
    }
}

/// A reproducible random generator (xorshift).
pub(super) struct Chance(pub(super) u64);

impl Chance {
    pub(super) fn below(&mut self, bound: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0 % bound
    }
}
