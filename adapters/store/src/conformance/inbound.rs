//! Senders: known, challenged, approved.
#![allow(missing_docs, reason = "the names say it")]

use std::collections::HashSet;
use std::sync::Arc;

use handfast_core::flow::inbound::{Challenge, Dropped, Verdict};
use handfast_core::registry::inbound::{
    Allowed, ChallengeCode, Facts, InboundLimits, Pending, SenderId,
};
use handfast_core::{Span, UnixTime};
use tokio::task::JoinSet;

use super::{START, at};
use crate::{
    Approved, Challenged, ListedSender, SenderChange, SenderFilter, SenderName, SenderStanding,
    Store,
};

pub(super) const LIMITS: InboundLimits = InboundLimits {
    pending_for: Span::from_secs(100),
    pending_of_account: 3,
    pending_total: 8,
    told_every: Span::from_secs(10),
};

pub(super) fn name(channel: &str, account: &str, sender: &str) -> SenderName {
    SenderName {
        channel: channel.to_owned(),
        account: account.to_owned(),
        sender: sender.to_owned(),
    }
}

pub(super) fn id(name: &SenderName) -> SenderId<'_> {
    SenderId::parse(&name.channel, &name.account, &name.sender).expect("a sender")
}

/// Returns the code with this number.
pub(super) fn code(number: u64) -> ChallengeCode {
    let text: String = (0..8)
        .map(|place| {
            char::from(b"ABCDEFGHJKLMNPQRSTUVWXYZ23456789"[(number >> (5 * place)) as usize % 32])
        })
        .collect();
    ChallengeCode::parse(&text).expect("a code")
}

pub(super) async fn facts(store: &dyn Store, name: &SenderName, now: UnixTime) -> Facts {
    store.facts(id(name), &LIMITS, now).await.expect("facts")
}

pub(super) async fn challenge(
    store: &dyn Store,
    name: &SenderName,
    fresh: u64,
    now: UnixTime,
) -> Verdict {
    match store
        .challenge(id(name), "{}".to_owned(), code(fresh), &LIMITS, now)
        .await
        .expect("challenge")
        .0
    {
        Challenged::Decided(verdict) => verdict,
        Challenged::CodeTaken => panic!("{fresh} is taken"),
    }
}

/// Sends a message of a sender that may wait with this code, or does already.
pub(super) async fn knock(store: &dyn Store, name: &SenderName, fresh: u64, now: UnixTime) {
    let verdict = challenge(store, name, fresh, now).await;
    assert!(
        matches!(verdict, Verdict::Challenge(challenge) if challenge.code() == code(fresh)),
        "{verdict:?}"
    );
}

pub(super) async fn approve(store: &dyn Store, number: u64, now: UnixTime) -> Approved {
    store.approve(code(number), "cli".to_owned(), None, &LIMITS, now).await.expect("approve")
}

pub(super) async fn waiting(store: &dyn Store, now: UnixTime) -> Vec<ListedSender> {
    store.senders(SenderFilter::default(), None, usize::MAX, &LIMITS, now).await.expect("list")
}

pub(super) async fn change(
    store: &dyn Store,
    name: &SenderName,
    change: SenderChange,
    now: UnixTime,
) -> u64 {
    store
        .change_sender(&name.channel, Some(&name.account), &name.sender, change, now)
        .await
        .expect("change")
}

pub(super) fn allow() -> SenderChange {
    SenderChange::Allow { via: "cli".to_owned(), until: None }
}

const fn new(code: ChallengeCode) -> Verdict {
    Verdict::Challenge(Challenge::New(code))
}

const FULL: Verdict = Verdict::Drop(Dropped::Full);

pub async fn of_a_stranger_nothing_is_known(store: Arc<dyn Store>) {
    assert_eq!(facts(&*store, &name("wa", "home", "57300"), START).await, Facts::default());
    assert_eq!(waiting(&*store, START).await, []);
}

pub async fn what_is_over_is_removed_and_counted_and_the_rest_waits_on(store: Arc<dyn Store>) {
    let (old, young) = (name("wa", "home", "57300"), name("wa", "home", "57301"));
    let _ = store.challenge(id(&old), "{}".to_owned(), code(1), &LIMITS, at(0)).await.unwrap();
    let _ = store.challenge(id(&young), "{}".to_owned(), code(2), &LIMITS, at(1)).await.unwrap();
    let over = at(LIMITS.pending_for.as_secs());
    assert_eq!(store.expire_senders(&LIMITS, at(1)).await.unwrap(), 0, "nobody's time is over");
    assert_eq!(store.expire_senders(&LIMITS, over).await.unwrap(), 1);
    assert_eq!(store.expire_senders(&LIMITS, over).await.unwrap(), 0);
    assert_eq!(facts(&*store, &old, over).await.pending, None);
    assert!(facts(&*store, &young, over).await.pending.is_some());
}

pub async fn a_first_message_makes_an_entry_that_is_known_from_then_on(store: Arc<dyn Store>) {
    let ana = name("wa", "home", "57300");
    let meta = r#"{"name":"Ana \"A\" Ü"}"#.to_owned();
    let challenged =
        store.challenge(id(&ana), meta.clone(), code(1), &LIMITS, at(5)).await.unwrap();
    assert_eq!(challenged, (Challenged::Decided(new(code(1))), 0));
    let pending = Some(Pending { code: code(1), created_at: at(5), told_at: at(5) });
    assert_eq!(
        facts(&*store, &ana, at(6)).await,
        Facts { pending, pending_of_account: 1, pending_total: 1, ..Facts::default() }
    );
    let standing = SenderStanding::Pending { code: code(1), created_at: at(5), meta };
    assert_eq!(waiting(&*store, at(6)).await, [ListedSender { name: ana, standing }]);
    // For the others it is just another sender that waits.
    for (other, of_account) in [
        (name("wa", "home", "57301"), 1),
        (name("wa", "work", "57300"), 0),
        (name("tg", "home", "57300"), 0),
    ] {
        let expected =
            Facts { pending_of_account: of_account, pending_total: 1, ..Facts::default() };
        assert_eq!(facts(&*store, &other, at(6)).await, expected);
    }
}

pub async fn first_messages_at_once_make_one_entry_and_one_code(store: Arc<dyn Store>) {
    let mut tasks = JoinSet::new();
    for number in 0..50 {
        let store = Arc::clone(&store);
        tasks.spawn(async move {
            challenge(&*store, &name("wa", "home", "57300"), number, START).await
        });
    }
    let verdicts = tasks.join_all().await;
    let codes: HashSet<_> = verdicts
        .iter()
        .map(|verdict| match verdict {
            Verdict::Challenge(challenge) => challenge.code(),
            other => panic!("{other:?}"),
        })
        .collect();
    assert_eq!(codes.len(), 1);
    assert_eq!(
        verdicts
            .iter()
            .filter(|verdict| matches!(verdict, Verdict::Challenge(Challenge::New(_))))
            .count(),
        1
    );
    assert_eq!(waiting(&*store, START).await.len(), 1);
}

pub async fn strangers_at_once_never_exceed_the_caps(store: Arc<dyn Store>) {
    let mut tasks = JoinSet::new();
    for number in 0..200 {
        let store = Arc::clone(&store);
        tasks.spawn(async move {
            let stranger = name("wa", &format!("account {}", number % 5), &format!("{number}"));
            (number % 5, challenge(&*store, &stranger, number, START).await)
        });
    }
    let verdicts = tasks.join_all().await;
    let challenged: Vec<_> = verdicts.iter().filter(|(_, verdict)| *verdict != FULL).collect();
    assert_eq!(challenged.len(), 8);
    for account in 0..5 {
        assert!(challenged.iter().filter(|(other, _)| *other == account).count() <= 3);
    }
    assert_eq!(waiting(&*store, START).await.len(), 8);
    assert_eq!(store.waiting_senders(&LIMITS, START).await.unwrap(), [("wa".to_owned(), 8)]);
}

pub async fn a_flood_of_strangers_leaves_nothing_behind_and_shuts_nobody_out_who_is_known(
    store: Arc<dyn Store>,
) {
    let friend = name("wa", "home", "friend");
    assert_eq!(change(&*store, &friend, allow(), START).await, 1);
    for number in 0..3 {
        assert_eq!(
            challenge(&*store, &name("wa", "home", &format!("{number}")), number, START).await,
            new(code(number))
        );
    }
    let (before, epoch) = (waiting(&*store, START).await, store.inbound_epoch());
    for number in 3..500 {
        assert_eq!(
            challenge(&*store, &name("wa", "home", &format!("{number}")), number, at(1)).await,
            FULL
        );
    }
    assert_eq!((waiting(&*store, at(1)).await, store.inbound_epoch()), (before, epoch));
    assert_eq!(challenge(&*store, &friend, 900, at(1)).await, Verdict::Admit);
    // A waiting sender goes on waiting, and other accounts are not affected.
    assert_eq!(
        challenge(&*store, &name("wa", "home", "0"), 901, at(1)).await,
        Verdict::Challenge(Challenge::Quiet(code(0)))
    );
    assert_eq!(challenge(&*store, &name("wa", "work", "0"), 902, at(1)).await, new(code(902)));
}

pub async fn who_waits_is_told_its_code_now_and_then(store: Arc<dyn Store>) {
    let ana = name("wa", "home", "57300");
    assert_eq!(challenge(&*store, &ana, 1, START).await, new(code(1)));
    let (again, quiet) = (
        Verdict::Challenge(Challenge::Again(code(1))),
        Verdict::Challenge(Challenge::Quiet(code(1))),
    );
    for (seconds, expected) in
        [(9, quiet), (10, again), (19, quiet), (25, again), (34, quiet), (35, again)]
    {
        assert_eq!(challenge(&*store, &ana, 2, at(seconds)).await, expected, "{seconds}");
    }
    let pending = facts(&*store, &ana, at(36)).await.pending.unwrap();
    assert_eq!(pending, Pending { code: code(1), created_at: START, told_at: at(35) });
}

pub async fn those_whose_time_is_over_make_room_and_are_gone(store: Arc<dyn Store>) {
    let stranger = |number: u64| name("wa", &format!("{}", number / 3), &format!("{number}"));
    for number in 0..8 {
        knock(&*store, &stranger(number), number, at(number)).await;
    }
    assert_eq!(facts(&*store, &name("wa", "0", "new"), at(99)).await.pending_total, 8);
    assert_eq!(challenge(&*store, &name("wa", "2", "new"), 100, at(99)).await, FULL);
    // The first two have expired: in the counts at once, in the rows with the next call.
    let known = facts(&*store, &name("wa", "0", "new"), at(101)).await;
    assert_eq!((known.pending_of_account, known.pending_total), (1, 6));
    assert_eq!(waiting(&*store, at(101)).await.len(), 6);
    let challenged = store
        .challenge(id(&name("wa", "0", "new")), "{}".to_owned(), code(101), &LIMITS, at(101))
        .await
        .unwrap();
    assert_eq!(challenged, (Challenged::Decided(new(code(101))), 2));
    assert_eq!(approve(&*store, 0, at(101)).await, Approved::Unknown);
    // A sender that comes back after its entry expired gets a new code, and the old one is
    // worthless.
    let challenged = store
        .challenge(id(&stranger(2)), "{}".to_owned(), code(102), &LIMITS, at(102))
        .await
        .unwrap();
    assert_eq!(challenged, (Challenged::Decided(new(code(102))), 1));
    assert_eq!(approve(&*store, 2, at(102)).await, Approved::Unknown);
    assert_eq!(waiting(&*store, at(300)).await, []);
    assert_eq!(store.waiting_senders(&LIMITS, at(300)).await.unwrap(), []);
}

pub async fn a_call_clears_so_many_away_and_the_rest_counts_for_nothing(store: Arc<dyn Store>) {
    let roomy = InboundLimits { pending_of_account: 100, pending_total: 100, ..LIMITS };
    for number in 0..80 {
        let stranger = name("wa", "home", &format!("{number}"));
        let challenged = store
            .challenge(id(&stranger), "{}".to_owned(), code(number), &roomy, START)
            .await
            .unwrap();
        assert_eq!(challenged, (Challenged::Decided(new(code(number))), 0));
    }
    let mut gone = Vec::new();
    for number in 100..103 {
        let stranger = name("wa", "home", &format!("{number}"));
        let (challenged, removed) = store
            .challenge(id(&stranger), "{}".to_owned(), code(number), &LIMITS, at(100))
            .await
            .unwrap();
        assert_eq!(challenged, Challenged::Decided(new(code(number))));
        gone.push(removed);
    }
    assert_eq!(gone, [32, 32, 16]);
    assert_eq!(challenge(&*store, &name("wa", "home", "one more"), 104, at(100)).await, FULL);
    // A clock that is set far back does not prolong an entry forever.
    let early = UnixTime::from_secs(START.as_secs() - 5000);
    assert_eq!(facts(&*store, &name("wa", "home", "one more"), early).await, Facts::default());
    let challenged = store
        .challenge(id(&name("wa", "home", "one more")), "{}".to_owned(), code(105), &LIMITS, early)
        .await;
    assert_eq!(challenged.unwrap(), (Challenged::Decided(new(code(105))), 3));
}

pub async fn a_code_that_is_anothers_is_not_given_out_again(store: Arc<dyn Store>) {
    let (ana, ben) = (name("wa", "home", "ana"), name("wa", "home", "ben"));
    knock(&*store, &ana, 1, START).await;
    let taken = store.challenge(id(&ben), "{}".to_owned(), code(1), &LIMITS, at(99)).await.unwrap();
    assert_eq!(taken, (Challenged::CodeTaken, 0));
    assert_eq!(facts(&*store, &ben, at(99)).await.pending, None);
    // Once its entry expires, the code is free again, and only that entry is removed.
    let challenged =
        store.challenge(id(&ben), "{}".to_owned(), code(1), &LIMITS, at(100)).await.unwrap();
    assert_eq!(challenged, (Challenged::Decided(new(code(1))), 1));
    assert_eq!(approve(&*store, 1, at(101)).await, Approved::Sender(ben));
    // The sender's own old code may be drawn again.
    knock(&*store, &ana, 2, at(200)).await;
    assert_eq!(challenge(&*store, &ana, 2, at(300)).await, new(code(2)));
}

pub async fn an_approved_sender_is_let_in_and_waits_no_longer(store: Arc<dyn Store>) {
    let ana = name("wa", "home", "ana");
    knock(&*store, &ana, 1, START).await;
    assert_eq!(approve(&*store, 2, START).await, Approved::Unknown);
    let until = Some(at(50));
    let approved = store.approve(code(1), "page".to_owned(), until, &LIMITS, at(5)).await.unwrap();
    assert_eq!(approved, Approved::Sender(ana.clone()));
    let allowed = Some(Allowed { until, revoked_at: None });
    assert_eq!(facts(&*store, &ana, at(6)).await, Facts { allowed, ..Facts::default() });
    assert_eq!(approve(&*store, 1, at(6)).await, Approved::Unknown);
    let all = SenderFilter { all: true, ..SenderFilter::default() };
    let standing =
        SenderStanding::Allowed { at: at(5), via: "page".to_owned(), until, revoked_at: None };
    let listed = store.senders(all.clone(), None, 9, &LIMITS, at(6)).await.unwrap();
    assert_eq!(listed, [ListedSender { name: ana.clone(), standing }]);
    // The permission ends; then the sender may ask again and be allowed again.
    assert_eq!(challenge(&*store, &ana, 3, at(49)).await, Verdict::Admit);
    assert_eq!(challenge(&*store, &ana, 3, at(50)).await, new(code(3)));
    assert_eq!(store.senders(all, None, 9, &LIMITS, at(50)).await.unwrap().len(), 1);
    assert_eq!(approve(&*store, 3, at(51)).await, Approved::Sender(ana.clone()));
    assert_eq!(
        facts(&*store, &ana, at(999)).await.allowed,
        Some(Allowed { until: None, revoked_at: None })
    );
}

pub async fn of_all_who_approve_a_code_at_once_exactly_one_does(store: Arc<dyn Store>) {
    for round in 0..20 {
        knock(&*store, &name("wa", "home", &format!("{round}")), round, START).await;
        let mut tasks = JoinSet::new();
        for _ in 0..4 {
            let store = Arc::clone(&store);
            tasks.spawn(async move { approve(&*store, round, START).await });
        }
        let (done, late): (Vec<_>, Vec<_>) = tasks
            .join_all()
            .await
            .into_iter()
            .partition(|approved| matches!(approved, Approved::Sender(_)));
        assert_eq!((done.len(), late.len()), (1, 3));
        assert!(late.iter().all(|late| *late == Approved::Unknown));
    }
}

pub async fn an_expired_code_lets_nobody_in(store: Arc<dyn Store>) {
    let ana = name("wa", "home", "ana");
    knock(&*store, &ana, 1, START).await;
    let epoch = store.inbound_epoch();
    assert_eq!(approve(&*store, 1, at(100)).await, Approved::Expired(ana.clone()));
    assert_eq!(approve(&*store, 1, at(100)).await, Approved::Unknown);
    // The same holds when the clock is set back.
    assert_eq!(approve(&*store, 1, START).await, Approved::Unknown);
    assert_eq!(
        (facts(&*store, &ana, START).await, store.inbound_epoch()),
        (Facts::default(), epoch)
    );
}

pub async fn an_approval_and_a_block_at_once_end_closed(store: Arc<dyn Store>) {
    for round in 0..40 {
        let ana = name("wa", "home", &format!("{round}"));
        knock(&*store, &ana, round, START).await;
        let approving = tokio::spawn({
            let store = Arc::clone(&store);
            async move { approve(&*store, round, START).await }
        });
        let blocking = tokio::spawn({
            let (store, ana) = (Arc::clone(&store), ana.clone());
            let account = (round % 2 == 0).then(|| ana.account.clone());
            async move {
                store
                    .change_sender(
                        "wa",
                        account.as_deref(),
                        &ana.sender,
                        SenderChange::Block,
                        at(1),
                    )
                    .await
                    .unwrap()
            }
        });
        let (approved, blocked) = (approving.await.unwrap(), blocking.await.unwrap());
        let known = facts(&*store, &ana, START).await;
        assert!(
            known.blocked && !known.allowed.is_some_and(|allowed| allowed.is_active(START)),
            "{approved:?}"
        );
        assert_eq!(blocked, 2, "the block, and the entry or the permission");
        assert_eq!(challenge(&*store, &ana, 900, at(2)).await, Verdict::Drop(Dropped::Blocked));
    }
}

pub async fn ids_are_three_texts_and_compared_byte_for_byte(store: Arc<dyn Store>) {
    let roomy = InboundLimits { pending_of_account: 99, pending_total: 99, ..LIMITS };
    let names = [
        name("a", "b|c", "d"),
        name("a|b", "c", "d"),
        name("a", "b", "c|d"),
        name("a:b", "c", "d"),
        name("a", "b:c", "d"),
        name("a", "b c", "d"),
        name("a", "b", "c d"),
        name("A", "b", "c d"),
        name("a", "b", "C d"),
        name("a", "b", "c%"),
        name("a", "b", "c_"),
        name("a", "b", "ß"),
        name("a", "b", "SS"),
        name("a", "b", "é"),
        name("a", "b", "e\u{301}"),
        name("a", "''", "'"),
        name("-", "-", "-"),
        name("a", "b", "NULL"),
        name("a", "b", "0"),
        name("a", "b", "00"),
    ];
    for (number, sender) in names.iter().enumerate() {
        let number = number as u64;
        let challenged = store
            .challenge(id(sender), "{}".to_owned(), code(number), &roomy, START)
            .await
            .unwrap();
        assert_eq!(challenged, (Challenged::Decided(new(code(number))), 0), "{sender:?}");
    }
    for (number, sender) in names.iter().enumerate() {
        assert_eq!(
            facts(&*store, sender, START).await.pending.unwrap().code,
            code(number as u64),
            "{sender:?}"
        );
    }
    // A sender that is allowed, or blocked, is exactly the one that was named.
    assert_eq!(approve(&*store, 0, START).await, Approved::Sender(names[0].clone()));
    change(&*store, &names[8], SenderChange::Block, START).await;
    for (number, sender) in names.iter().enumerate() {
        let known = facts(&*store, sender, START).await;
        assert_eq!(
            (known.allowed.is_some(), known.blocked),
            (number == 0, number == 8),
            "{sender:?}"
        );
    }
}

pub async fn what_is_told_of_a_stranger_is_a_bounded_json_object(store: Arc<dyn Store>) {
    let ana = name("wa", "home", "ana");
    let long = format!(r#"{{"a":"{}"}}"#, "b".repeat(1024));
    for bad in ["", "[]", "{", "null", &long] {
        assert!(
            store.challenge(id(&ana), bad.to_owned(), code(1), &LIMITS, START).await.is_err(),
            "{bad}"
        );
    }
    assert_eq!(waiting(&*store, START).await, []);
    let longest = format!(r#"{{"a":"{}"}}"#, "b".repeat(1024 - 8));
    let challenged = store.challenge(id(&ana), longest, code(1), &LIMITS, START).await.unwrap();
    assert_eq!(challenged.0, Challenged::Decided(new(code(1))));
}
