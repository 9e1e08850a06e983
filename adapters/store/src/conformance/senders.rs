//! The operator's decisions about senders, and their listing.
#![allow(missing_docs, reason = "the names say it")]

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use handfast_core::flow::inbound::{Challenge, Dropped, Verdict};
use handfast_core::registry::inbound::{Allowed, Facts};
use handfast_core::{Span, UnixTime};

use super::inbound::{
    LIMITS, allow, approve, challenge, change, code, facts, knock, name, waiting,
};
use super::{START, at};
use crate::{
    Approved, ListedSender, SaveError, SenderChange, SenderFilter, SenderName, SenderStanding,
    Store, StoreError,
};

const ALL: SenderFilter = SenderFilter { channel: None, all: true, include_revoked: true };

async fn change_everywhere(
    store: &dyn Store,
    sender: &str,
    change: SenderChange,
    now: UnixTime,
) -> u64 {
    store.change_sender("wa", None, sender, change, now).await.expect("change")
}

async fn seed(store: &dyn Store, senders: &[&str], now: UnixTime) -> Result<u64, StoreError> {
    let senders = senders.iter().map(|sender| (*sender).to_owned()).collect();
    store.seed("wa", "home", senders, "seed".to_owned(), now).await
}

async fn list(store: &dyn Store, filter: SenderFilter, now: UnixTime) -> Vec<ListedSender> {
    store.senders(filter, None, usize::MAX, &LIMITS, now).await.expect("list")
}

async fn is_in(store: &dyn Store, name: &SenderName, now: UnixTime) -> bool {
    let known = facts(store, name, now).await;
    !known.blocked && known.allowed.is_some_and(|allowed| allowed.is_active(now))
}

pub async fn a_rejected_sender_may_ask_again(store: Arc<dyn Store>) {
    let ana = name("wa", "home", "ana");
    assert_eq!(change(&*store, &ana, SenderChange::Reject, START).await, 0);
    knock(&*store, &ana, 1, START).await;
    assert_eq!(change(&*store, &ana, SenderChange::Reject, START).await, 1);
    assert_eq!(approve(&*store, 1, START).await, Approved::Unknown);
    assert_eq!(facts(&*store, &ana, START).await, Facts::default());
    knock(&*store, &ana, 2, START).await;
    knock(&*store, &name("wa", "work", "ana"), 3, START).await;
    assert_eq!(change_everywhere(&*store, "ana", SenderChange::Reject, START).await, 2);
    assert_eq!(waiting(&*store, START).await, []);
}

pub async fn a_blocked_sender_neither_waits_nor_is_let_in(store: Arc<dyn Store>) {
    let ana = name("wa", "home", "ana");
    change(&*store, &ana, allow(), START).await;
    assert_eq!(change(&*store, &ana, SenderChange::Block, at(1)).await, 2);
    assert_eq!(change(&*store, &ana, SenderChange::Block, at(2)).await, 0);
    let allowed = Some(Allowed { until: None, revoked_at: Some(at(1)) });
    assert_eq!(
        facts(&*store, &ana, at(2)).await,
        Facts { blocked: true, allowed, ..Facts::default() }
    );
    assert_eq!(challenge(&*store, &ana, 1, at(2)).await, Verdict::Drop(Dropped::Blocked));
    assert!(
        list(&*store, ALL, at(2))
            .await
            .iter()
            .any(|entry| entry.standing == SenderStanding::Blocked { at: at(1) })
    );
    // Without the block the sender is unknown again.
    assert_eq!(change(&*store, &ana, SenderChange::Unblock, at(3)).await, 1);
    assert_eq!(change(&*store, &ana, SenderChange::Unblock, at(3)).await, 0);
    assert_eq!(facts(&*store, &ana, at(3)).await, Facts { allowed, ..Facts::default() });
    assert_eq!(
        challenge(&*store, &ana, 2, at(3)).await,
        Verdict::Challenge(Challenge::New(code(2)))
    );
}

pub async fn a_block_for_all_accounts_holds_for_those_that_come(store: Arc<dyn Store>) {
    let (home, work, later) =
        (name("wa", "home", "ana"), name("wa", "work", "ana"), name("wa", "later", "ana"));
    change(&*store, &home, allow(), START).await;
    knock(&*store, &work, 1, START).await;
    assert_eq!(change_everywhere(&*store, "ana", SenderChange::Block, at(1)).await, 3);
    for name in [&home, &work, &later] {
        assert_eq!(challenge(&*store, name, 2, at(2)).await, Verdict::Drop(Dropped::Blocked));
    }
    for other in [name("wa", "home", "anna"), name("tg", "home", "ana")] {
        assert!(!facts(&*store, &other, at(2)).await.blocked);
    }
    // It is one block: without an account it is removed, and with one there is none to remove.
    assert_eq!(change(&*store, &later, SenderChange::Unblock, at(3)).await, 0);
    assert!(facts(&*store, &later, at(3)).await.blocked);
    change(&*store, &later, SenderChange::Block, at(4)).await;
    assert_eq!(change_everywhere(&*store, "ana", SenderChange::Unblock, at(5)).await, 2);
    for name in [&home, &work, &later] {
        let known = facts(&*store, name, at(6)).await;
        assert!(!known.blocked && !is_in(&*store, name, at(6)).await, "{known:?}");
    }
}

pub async fn letting_in_ends_a_block_and_needs_an_account(store: Arc<dyn Store>) {
    let ana = name("wa", "home", "ana");
    knock(&*store, &ana, 1, START).await;
    assert_eq!(change(&*store, &ana, allow(), START).await, 2, "the permission and the entry");
    assert_eq!(approve(&*store, 1, START).await, Approved::Unknown);
    change(&*store, &ana, SenderChange::Block, START).await;
    change_everywhere(&*store, "ana", SenderChange::Block, START).await;
    assert_eq!(change(&*store, &ana, allow(), START).await, 3, "the permission and both blocks");
    assert!(is_in(&*store, &ana, START).await);
    let nowhere = store.change_sender("wa", None, "ana", allow(), START).await;
    assert!(matches!(nowhere, Err(StoreError::Database(_))), "{nowhere:?}");
    let until = SenderChange::Allow { via: "page".to_owned(), until: Some(at(9)) };
    change(&*store, &ana, until, at(1)).await;
    assert!(is_in(&*store, &ana, at(8)).await && !is_in(&*store, &ana, at(9)).await);
}

pub async fn what_is_allowed_is_taken_back_for_one_account_or_for_all(store: Arc<dyn Store>) {
    let names = ["home", "work", "club"].map(|account| name("wa", account, "ana"));
    let bystanders = [name("wa", "home", "ben"), name("tg", "home", "ana")];
    for name in names.iter().chain(&bystanders) {
        change(&*store, name, allow(), START).await;
    }
    assert_eq!(change(&*store, &names[0], SenderChange::Revoke, at(1)).await, 1);
    assert_eq!(change(&*store, &names[0], SenderChange::Revoke, at(2)).await, 0);
    assert_eq!(change_everywhere(&*store, "ana", SenderChange::Revoke, at(3)).await, 2);
    for (name, at) in names.iter().zip([at(1), at(3), at(3)]) {
        // This holds however the clock is set.
        assert!(!is_in(&*store, name, START).await);
        assert_eq!(facts(&*store, name, START).await.allowed.unwrap().revoked_at, Some(at));
    }
    for name in &bystanders {
        assert!(is_in(&*store, name, at(9)).await);
    }
    assert_eq!(
        change(&*store, &name("wa", "home", "nobody"), SenderChange::Revoke, START).await,
        0
    );
}

pub async fn what_ran_out_is_taken_back_as_well(store: Arc<dyn Store>) {
    let ana = name("wa", "home", "ana");
    change(
        &*store,
        &ana,
        SenderChange::Allow { via: "cli".to_owned(), until: Some(at(10)) },
        START,
    )
    .await;
    assert_eq!(change(&*store, &ana, SenderChange::Revoke, at(20)).await, 1);
    assert!(!is_in(&*store, &ana, at(5)).await, "the clock was set back");
}

pub async fn texts_that_name_nobody_are_refused(store: Arc<dyn Store>) {
    let long = "a".repeat(129);
    for (channel, account, sender) in [
        ("", Some("b"), "c"),
        ("a", Some(""), "c"),
        ("a", None, ""),
        ("a ", None, "c"),
        ("a", Some("b\n"), "c"),
        ("a", None, &long),
    ] {
        for change in [
            allow(),
            SenderChange::Block,
            SenderChange::Unblock,
            SenderChange::Revoke,
            SenderChange::Reject,
        ] {
            let changed = store.change_sender(channel, account, sender, change, START).await;
            assert!(
                matches!(changed, Err(StoreError::Database(_))),
                "{channel:?} {account:?} {sender:?}: {changed:?}"
            );
        }
    }
    for via in ["v".repeat(65), "a\u{1b}[2J".to_owned()] {
        let change = SenderChange::Allow { via: via.clone(), until: None };
        assert!(store.change_sender("a", Some("b"), "c", change, START).await.is_err());
        assert!(store.approve(code(1), via.clone(), None, &LIMITS, START).await.is_err());
        assert!(store.seed("a", "b", vec!["c".to_owned()], via, START).await.is_err());
    }
    assert_eq!(list(&*store, ALL, START).await, []);
}

pub async fn seeding_is_all_or_none_and_once_more_changes_nothing(store: Arc<dyn Store>) {
    assert!(seed(&*store, &["ana", "ben", " carl"], START).await.is_err());
    assert_eq!(list(&*store, ALL, START).await, []);
    knock(&*store, &name("wa", "home", "ana"), 1, START).await;
    change(&*store, &name("wa", "home", "dora"), allow(), START).await;
    change(&*store, &name("wa", "home", "evil"), SenderChange::Block, START).await;
    change_everywhere(&*store, "vile", SenderChange::Block, START).await;
    let senders = ["ana", "ben", "ana", "dora", "evil", "vile"];
    assert_eq!(seed(&*store, &senders, at(1)).await.unwrap(), 2);
    let (before, epoch) = (list(&*store, ALL, at(2)).await, store.inbound_epoch());
    assert_eq!(seed(&*store, &senders, at(2)).await.unwrap(), 0);
    assert_eq!(seed(&*store, &[], at(2)).await.unwrap(), 0);
    assert_eq!((list(&*store, ALL, at(2)).await, store.inbound_epoch()), (before, epoch));
    for (sender, expected) in
        [("ana", true), ("ben", true), ("dora", true), ("evil", false), ("vile", false)]
    {
        assert_eq!(is_in(&*store, &name("wa", "home", sender), at(2)).await, expected, "{sender}");
    }
    assert_eq!(waiting(&*store, at(2)).await, []);
    // A revoked permission is given again.
    change(&*store, &name("wa", "home", "ana"), SenderChange::Revoke, at(3)).await;
    assert_eq!(seed(&*store, &["ana"], at(4)).await.unwrap(), 1);
    let many: Vec<String> = (0..500).map(|number| format!("{number}")).collect();
    assert_eq!(store.seed("wa", "home", many, "seed".to_owned(), at(5)).await.unwrap(), 500);
    assert_eq!(list(&*store, ALL, at(5)).await.len(), 505);
}

/// Returns one entry of each kind, and of each standing.
fn entries() -> Vec<ListedSender> {
    let pending = |number, at| SenderStanding::Pending {
        code: code(number),
        created_at: at,
        meta: r#"{"a":1}"#.to_owned(),
    };
    let allowed = |until, revoked_at| SenderStanding::Allowed {
        at: at(1),
        via: "import".to_owned(),
        until,
        revoked_at,
    };
    let blocked = || SenderStanding::Blocked { at: at(2) };
    [
        (name("tg", "home", "zoe"), pending(1, START)),
        (name("wa", "a", "b"), pending(2, at(5))),
        (name("wa", "home", "ana"), pending(3, START)),
        (name("tg", "home", "zoe"), allowed(None, None)),
        (name("tg", "z", "a"), allowed(Some(at(50)), None)),
        (name("wa", "home", "ana"), allowed(None, Some(at(9)))),
        (name("wa", "home", "ben"), allowed(Some(at(99_999)), None)),
        (name("tg", "", "eve"), blocked()),
        (name("tg", "home", "eve"), blocked()),
        (name("wa", "a", "ana"), blocked()),
    ]
    .map(|(name, standing)| ListedSender { name, standing })
    .into()
}

pub async fn an_inserted_entry_reads_back_and_overwrites_nothing(store: Arc<dyn Store>) {
    for entry in entries().into_iter().rev() {
        store.insert_sender(entry).await.unwrap();
    }
    assert_eq!(list(&*store, ALL, at(6)).await, entries());
    for ListedSender { name, standing } in entries() {
        let other = match standing {
            SenderStanding::Pending { .. } => {
                SenderStanding::Pending { code: code(77), created_at: at(7), meta: "{}".to_owned() }
            }
            SenderStanding::Allowed { .. } => SenderStanding::Allowed {
                at: at(8),
                via: String::new(),
                until: None,
                revoked_at: None,
            },
            SenderStanding::Blocked { .. } => SenderStanding::Blocked { at: at(8) },
        };
        let inserted = store.insert_sender(ListedSender { name, standing: other }).await;
        assert!(matches!(inserted, Err(SaveError::Conflict)), "{inserted:?}");
    }
    let same_code =
        SenderStanding::Pending { code: code(3), created_at: START, meta: "{}".to_owned() };
    let inserted = store
        .insert_sender(ListedSender { name: name("wa", "home", "new"), standing: same_code })
        .await;
    assert!(matches!(inserted, Err(SaveError::Conflict)), "{inserted:?}");
    for bad in [
        ListedSender { name: name("wa", "", "ana"), ..entries().remove(0) },
        ListedSender { name: name("wa", "home", "an\u{200b}a"), ..entries().remove(9) },
    ] {
        let inserted = store.insert_sender(bad).await;
        assert!(matches!(inserted, Err(SaveError::Store(StoreError::Database(_)))), "{inserted:?}");
    }
    assert_eq!(list(&*store, ALL, at(6)).await, entries());
    // An inserted entry counts as if it had been decided here.
    assert!(is_in(&*store, &name("wa", "home", "ben"), at(6)).await);
    assert!(facts(&*store, &name("tg", "other", "eve"), at(6)).await.blocked);
    assert_eq!(approve(&*store, 2, at(6)).await, Approved::Sender(name("wa", "a", "b")));
    assert_eq!(
        store.waiting_senders(&LIMITS, at(6)).await.unwrap(),
        [("tg".to_owned(), 1), ("wa".to_owned(), 1)]
    );
}

pub async fn a_blocked_sender_that_still_waits_is_not_approved(store: Arc<dyn Store>) {
    let ana = name("wa", "home", "ana");
    for name in [ana.clone(), name("wa", "", "ana")] {
        store
            .insert_sender(ListedSender { name, standing: SenderStanding::Blocked { at: START } })
            .await
            .ok();
        let standing =
            SenderStanding::Pending { code: code(1), created_at: START, meta: "{}".to_owned() };
        store.insert_sender(ListedSender { name: ana.clone(), standing }).await.unwrap();
        assert_eq!(approve(&*store, 1, START).await, Approved::Unknown);
        assert_eq!(waiting(&*store, START).await, []);
        assert!(!is_in(&*store, &ana, START).await);
        change_everywhere(&*store, "ana", SenderChange::Unblock, START).await;
    }
}

pub async fn each_filter_of_senders_lists_what_it_says(store: Arc<dyn Store>) {
    for entry in entries() {
        store.insert_sender(entry).await.unwrap();
    }
    for now in [at(6), at(60), at(104), at(100_000)] {
        for channel in [None, Some("wa".to_owned()), Some("w".to_owned())] {
            for (all, include_revoked) in
                [(false, false), (false, true), (true, false), (true, true)]
            {
                let belongs = |entry: &ListedSender| {
                    let is_there = match &entry.standing {
                        SenderStanding::Pending { created_at, .. } => {
                            now < created_at.after(Span::from_secs(100))
                        }
                        SenderStanding::Allowed { until, revoked_at, .. } => {
                            all && (include_revoked
                                || (revoked_at.is_none() && until.is_none_or(|until| now < until)))
                        }
                        SenderStanding::Blocked { .. } => all,
                    };
                    is_there
                        && channel.as_ref().is_none_or(|channel| *channel == entry.name.channel)
                };
                let expected: Vec<_> = entries().into_iter().filter(belongs).collect();
                let filter = SenderFilter { channel: channel.clone(), all, include_revoked };
                assert_eq!(
                    list(&*store, filter.clone(), now).await,
                    expected,
                    "{filter:?} at {now:?}"
                );
                for size in [1, 2, 3] {
                    let mut seen: Vec<ListedSender> = Vec::new();
                    loop {
                        let after = seen.last().cloned();
                        let page =
                            store.senders(filter.clone(), after, size, &LIMITS, now).await.unwrap();
                        assert!(page.len() <= size);
                        if page.is_empty() {
                            break;
                        }
                        seen.extend(page);
                    }
                    assert_eq!(seen, expected, "{filter:?} at {now:?} in pages of {size}");
                }
            }
        }
    }
    assert_eq!(store.senders(ALL, None, 0, &LIMITS, START).await.unwrap(), []);
}

pub async fn a_poller_finds_its_cursor_again(store: Arc<dyn Store>) {
    assert_eq!(store.cursor("wa").await.unwrap(), None);
    for cursor in ["1", "", "{\"offset\":2}"] {
        store.keep_cursor("wa", cursor.to_owned()).await.unwrap();
        store.keep_cursor("WA", "other".to_owned()).await.unwrap();
        assert_eq!(store.cursor("wa").await.unwrap().as_deref(), Some(cursor));
        assert_eq!(store.cursor("WA").await.unwrap().as_deref(), Some("other"));
    }
}

pub async fn the_epoch_moves_on_exactly_when_a_standing_changes(store: Arc<dyn Store>) {
    let ana = name("wa", "home", "ana");
    let change = |what| change(&*store, &ana, what, START);
    let mut epoch = store.inbound_epoch();
    let mut has_moved = || {
        let before = std::mem::replace(&mut epoch, store.inbound_epoch());
        before != epoch
    };
    knock(&*store, &ana, 1, START).await;
    knock(&*store, &ana, 1, at(20)).await;
    assert!(!has_moved(), "waiting is no standing");
    change(SenderChange::Reject).await;
    assert!(!has_moved(), "nor is waiting no longer");
    for (what, expected) in [
        (SenderChange::Revoke, false),
        (SenderChange::Unblock, false),
        (allow(), true),
        (SenderChange::Revoke, true),
        (SenderChange::Revoke, false),
        (SenderChange::Block, true),
        (SenderChange::Block, false),
        (SenderChange::Unblock, true),
    ] {
        change(what.clone()).await;
        assert_eq!(has_moved(), expected, "{what:?}");
    }
    knock(&*store, &ana, 2, START).await;
    approve(&*store, 3, START).await;
    assert!(!has_moved());
    approve(&*store, 2, START).await;
    assert!(has_moved());
    seed(&*store, &["ana"], START).await.unwrap();
    assert!(!has_moved());
    seed(&*store, &["ana", "ben"], START).await.unwrap();
    assert!(has_moved());
    change_everywhere(&*store, "ana", SenderChange::Revoke, START).await;
    assert!(has_moved());
    let [waits, is_let_in] = [0, 3].map(|place| entries().remove(place));
    store.insert_sender(waits).await.unwrap();
    assert!(!has_moved());
    store.insert_sender(is_let_in.clone()).await.unwrap();
    assert!(has_moved());
    store.insert_sender(is_let_in).await.unwrap_err();
    assert!(!has_moved());
}

/// Caches as a gate does: reads the epoch first, then the facts, and caches these under that
/// number.
pub async fn what_is_remembered_under_the_epoch_is_never_older_than_what_was_answered(
    store: Arc<dyn Store>,
) {
    const CHANGES: u64 = 300;
    let ana = name("wa", "home", "ana");
    let answered = Arc::new(AtomicU64::new(0));
    let permit = |number| SenderChange::Allow { via: String::new(), until: Some(at(number)) };
    change(&*store, &ana, permit(0), START).await;
    let mut gates = tokio::task::JoinSet::new();
    for _ in 0..3 {
        let (store, ana, answered) = (Arc::clone(&store), ana.clone(), Arc::clone(&answered));
        gates.spawn(async move {
            let (mut remembered, mut hits) = (None, 0_u64);
            loop {
                let settled = answered.load(Ordering::SeqCst);
                let epoch = store.inbound_epoch();
                match remembered {
                    Some((under, number)) if under == epoch => {
                        assert!(
                            number >= settled,
                            "{number} is remembered, and {settled} was answered"
                        );
                        hits += 1;
                    }
                    _ => {
                        let until = facts(&*store, &ana, START)
                            .await
                            .allowed
                            .and_then(|allowed| allowed.until);
                        remembered = until.map(|until| (epoch, until.as_secs() - START.as_secs()));
                    }
                }
                if settled == CHANGES {
                    return hits;
                }
                tokio::task::yield_now().await;
            }
        });
    }
    for number in 1..=CHANGES {
        change(&*store, &ana, permit(number), START).await;
        answered.store(number, Ordering::SeqCst);
    }
    gates.join_all().await;
}
