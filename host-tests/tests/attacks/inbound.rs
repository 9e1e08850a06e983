//! Strangers who write over channels: many of them, with names that look like others', and with
//! guessed codes.

use std::collections::BTreeSet;

use handfast_core::flow::inbound::normalise::{telegram, verbatim, whatsapp};
use handfast_core::flow::inbound::{Challenge, ChannelPolicy, Dropped, Seen, Verdict, decide};
use handfast_core::limits::SENDER_BYTES;
use handfast_core::registry::inbound::{ChallengeCode, Ident, InboundLimits, SenderId};
use handfast_core::{Entropy, UnixTime};
use handfast_edge::blocking::block_on;
use handfast_host_tests::prng::Prng;
use handfast_store::{Approved, Challenged, Inbound, MemoryStore, SenderChange, SenderFilter};

const NOW: UnixTime = UnixTime::from_secs(1_750_000_000);
const LIMITS: InboundLimits = InboundLimits::DEFAULT;

fn id<'b>(account: &'b str, sender: &'b str) -> SenderId<'b> {
    SenderId::parse("whatsapp", account, sender).unwrap()
}

fn writes(store: &MemoryStore, account: &str, sender: &str, fresh: ChallengeCode) -> Verdict {
    let (challenged, _) =
        block_on(store.challenge(id(account, sender), "{}".to_owned(), fresh, &LIMITS, NOW))
            .unwrap();
    match challenged {
        Challenged::Decided(verdict) => verdict,
        Challenged::CodeTaken => panic!("the code is another's"),
    }
}

fn fresh(prng: &mut Prng) -> ChallengeCode {
    ChallengeCode::new(&Entropy::from_recorded(prng.bytes()))
}

fn rows(store: &MemoryStore) -> usize {
    let filter = SenderFilter { channel: None, all: true, include_revoked: true };
    block_on(store.senders(filter, None, 100_000, &LIMITS, NOW)).unwrap().len()
}

#[test]
fn a_flood_of_strangers_leaves_no_more_rows_than_the_caps_and_whom_we_know_is_let_in() {
    let (store, mut prng) = (MemoryStore::default(), Prng::new(1));
    assert_eq!(
        block_on(store.seed("whatsapp", "shop", vec!["57300".to_owned()], "seed".to_owned(), NOW))
            .unwrap(),
        1
    );
    let (mut waiting, mut dropped) = (0, 0);
    for number in 0..20_000u32 {
        let account = format!("account {}", number % 500);
        match writes(&store, &account, &format!("{number}"), fresh(&mut prng)) {
            Verdict::Challenge(Challenge::New(_)) => waiting += 1,
            Verdict::Drop(Dropped::Full) => dropped += 1,
            other => panic!("{other:?}"),
        }
        if number % 1_000 == 0 {
            assert_eq!(writes(&store, "shop", "57300", fresh(&mut prng)), Verdict::Admit);
        }
    }
    assert_eq!(
        (waiting, dropped),
        (LIMITS.pending_total as usize, 20_000 - LIMITS.pending_total as usize)
    );
    assert_eq!(rows(&store), 1 + LIMITS.pending_total as usize);
    // An account that strangers fill does not delay those of another account, while the total has
    // room.
    let store = MemoryStore::default();
    for number in 0..100u32 {
        let _ = writes(&store, "filled", &format!("{number}"), fresh(&mut prng));
    }
    assert!(matches!(
        writes(&store, "quiet", "57301", fresh(&mut prng)),
        Verdict::Challenge(Challenge::New(_))
    ));
    assert_eq!(rows(&store), 4);
}

#[test]
fn separators_inside_of_names_make_nobody_anybody_else() {
    let (store, mut prng) = (MemoryStore::default(), Prng::new(2));
    let allowed = ("a", "b|c");
    let allow = SenderChange::Allow { via: "test".to_owned(), until: None };
    let _ =
        block_on(store.change_sender("whatsapp", Some(allowed.0), allowed.1, allow, NOW)).unwrap();
    for (account, sender) in [
        ("a|b", "c"),
        ("a", "b"),
        ("a|b|c", "x"),
        ("b|c", "a"),
        ("a", "b|c|"),
        ("a", "|b|c"),
        ("a:b", "c"),
    ] {
        let verdict = writes(&store, account, sender, fresh(&mut prng));
        assert!(matches!(verdict, Verdict::Challenge(_)), "{account} {sender}: {verdict:?}");
    }
    assert_eq!(writes(&store, allowed.0, allowed.1, fresh(&mut prng)), Verdict::Admit);
    for channel in ["whatsapp|a", "whats", "Whatsapp"] {
        let other = SenderId::parse(channel, "a", "b|c").unwrap();
        assert!(block_on(store.facts(other, &LIMITS, NOW)).unwrap().allowed.is_none(), "{channel}");
    }
    for forged in ["a\0", "a\nb", "a\u{200b}", "\u{202e}a", " a", "a\u{a0}", ""] {
        assert_eq!(Ident::parse(forged), None, "{forged:?}");
    }
}

#[test]
fn every_spelling_of_a_sender_is_the_same_sender_and_what_looks_like_it_is_none() {
    for same in
        ["573001234567", "+573001234567", " 573001234567@c.us\n", "+573001234567@s.whatsapp.net"]
    {
        assert_eq!(whatsapp(same).unwrap().as_str(), "+573001234567", "{same:?}");
    }
    // Digits of other scripts and widths, invisible characters, groups, other servers, words around
    // the number.
    for other in [
        "５７３００１２３４５６７",
        "57300१234567",
        "573001234567\u{200b}",
        "573001234567@g.us",
        "573001234567@c.us.evil.example",
        "573001234567@C.US",
        "+ 573001234567",
        "573001234567|a",
    ] {
        assert!(whatsapp(other).is_none(), "{other:?}");
    }
    assert_eq!(telegram("@Operator"), telegram("@OPERATOR"));
    for other in
        ["@0perator ", "@Оperator", "@operator\u{200d}", "operator", "@operator@", "-100200300"]
    {
        assert_ne!(telegram(other), telegram("@operator"), "{other:?}");
    }
    assert!(verbatim(&"a".repeat(SENDER_BYTES + 1)).is_none());
}

#[test]
fn guessing_a_code_out_of_all_that_there_are_lets_nobody_in() {
    let (store, mut prng) = (MemoryStore::default(), Prng::new(3));
    for number in 0..3 {
        let _ = writes(&store, "shop", &format!("{number}"), fresh(&mut prng));
    }
    for _ in 0..100_000 {
        let guess = fresh(&mut prng);
        let approved =
            block_on(store.approve(guess, "guess".to_owned(), None, &LIMITS, NOW)).unwrap();
        assert_eq!(approved, Approved::Unknown);
    }
    assert_eq!(rows(&store), 3);
}

#[test]
fn a_code_that_is_approved_four_times_at_once_lets_in_once() {
    for round in 0..50 {
        let (store, mut prng) = (MemoryStore::default(), Prng::new(round));
        let Verdict::Challenge(Challenge::New(code)) =
            writes(&store, "shop", "57300", fresh(&mut prng))
        else {
            panic!("new")
        };
        let approved: usize = std::thread::scope(|scope| {
            let four: Vec<_> = (0..4)
                .map(|_| {
                    scope.spawn(|| {
                        block_on(store.approve(code, "test".to_owned(), None, &LIMITS, NOW))
                            .unwrap()
                    })
                })
                .collect();
            four.into_iter()
                .map(|thread| usize::from(matches!(thread.join().unwrap(), Approved::Sender(_))))
                .sum()
        });
        assert_eq!(approved, 1);
    }
}

#[test]
fn the_first_messages_of_a_stranger_that_come_at_once_make_one_entry_with_one_code_and_the_cap_holds()
 {
    for round in 0..50 {
        let store = MemoryStore::default();
        let verdicts: Vec<Verdict> = std::thread::scope(|scope| {
            let all: Vec<_> = (0..8u64)
                .map(|number| {
                    let store = &store;
                    scope.spawn(move || {
                        let sender =
                            if number < 4 { "same".to_owned() } else { format!("other {number}") };
                        writes(store, "shop", &sender, fresh(&mut Prng::new(round * 8 + number)))
                    })
                })
                .collect();
            all.into_iter().map(|thread| thread.join().unwrap()).collect()
        });
        let codes = |of: &[Verdict]| -> BTreeSet<String> {
            let challenged = of.iter().filter_map(|verdict| match verdict {
                Verdict::Challenge(challenge) => Some(challenge.code().to_string()),
                Verdict::Admit | Verdict::Drop(_) => None,
            });
            challenged.collect()
        };
        assert!(codes(&verdicts[..4]).len() <= 1, "{verdicts:?}");
        assert!(codes(&verdicts).len() <= 3 && rows(&store) == 3, "{verdicts:?}");
    }
}

#[test]
fn who_was_blocked_stays_out_whatever_else_is_known_of_him() {
    let (store, mut prng) = (MemoryStore::default(), Prng::new(4));
    let Verdict::Challenge(Challenge::New(code)) =
        writes(&store, "shop", "57300", fresh(&mut prng))
    else {
        panic!("new")
    };
    let _ =
        block_on(store.change_sender("whatsapp", None, "57300", SenderChange::Block, NOW)).unwrap();
    assert_eq!(
        block_on(store.approve(code, "test".to_owned(), None, &LIMITS, NOW)).unwrap(),
        Approved::Unknown
    );
    assert_eq!(
        block_on(store.seed("whatsapp", "shop", vec!["57300".to_owned()], "seed".to_owned(), NOW))
            .unwrap(),
        0
    );
    for account in ["shop", "another"] {
        assert_eq!(
            writes(&store, account, "57300", fresh(&mut prng)),
            Verdict::Drop(Dropped::Blocked)
        );
    }
}

#[test]
fn what_says_that_it_is_no_sender_is_dropped_even_if_one_of_that_name_is_let_in() {
    let facts = handfast_core::registry::inbound::Facts {
        allowed: Some(handfast_core::registry::inbound::Allowed { until: None, revoked_at: None }),
        ..Default::default()
    };
    let code = fresh(&mut Prng::new(5));
    for seen in [Seen::NotASender, Seen::Nobody] {
        let verdict =
            decide(ChannelPolicy { auto_challenge: true }, seen, &facts, &LIMITS, code, NOW);
        assert!(matches!(verdict, Verdict::Drop(_)), "{verdict:?}");
    }
}
