//! PINs and codes: minted, found, dead.
#![allow(missing_docs, reason = "the names say it")]

use std::collections::HashSet;
use std::sync::Arc;

use handfast_core::UnixTime;
use handfast_core::registry::codes::{CodeId, Counted, Kind, NoGuess, Opened, Window};
use handfast_core::registry::delivery::{DeliveryId, Ticket};
use handfast_core::registry::sessions::Maker;
use handfast_core::wire::native::pair::Selector;
use tokio::task::JoinSet;

use super::{START, at, code, fresh, here, keys, pin, selected, source};
use crate::{CODES, CODES_AT_ONCE, NotMinted, PINS, Store, StoredCode};

const DAY: u64 = 24 * 3600;

async fn open(store: &dyn Store) {
    store.set_window(Window::open(START, None)).await.expect("open");
}

async fn mint(store: &dyn Store, code: &StoredCode, now: UnixTime) -> Result<(), NotMinted> {
    store.mint(code.clone(), now).await.expect("mint")
}

async fn read(store: &dyn Store, id: CodeId) -> StoredCode {
    store.code(id).await.expect("read").expect("it is there")
}

async fn by_selector(store: &dyn Store, selector: &str, now: UnixTime) -> Option<CodeId> {
    let selector = Selector::parse(selector).expect("a selector");
    store.code_by_selector(selector, now).await.expect("read").map(|code| code.id)
}

async fn live(store: &dyn Store, now: UnixTime) -> Vec<CodeId> {
    store.codes(now).await.expect("list").into_iter().map(|code| code.id).collect()
}

fn counted_until(code: StoredCode, seconds: u64) -> StoredCode {
    StoredCode { counted: Counted { expires: at(seconds), ..code.counted }, ..code }
}

pub async fn a_code_reads_back_as_it_was_minted(store: Arc<dyn Store>) {
    open(&*store).await;
    let plain = StoredCode { scopes: Default::default(), label: String::new(), ..pin() };
    let rich = StoredCode {
        counted: Counted { guesses: 3, uses_left: 255, ..selected("K7QF").counted },
        sealed: (0..=255).collect(),
        grant_for: Some(u64::from(u32::MAX)),
        created_at: at(9),
        source: Some(source(7)),
        ..code(Kind::Pin(keys().channel))
    };
    for code in [plain, rich] {
        assert_eq!(store.code(code.id).await.unwrap(), None);
        mint(&*store, &code, START).await.unwrap();
        assert_eq!(read(&*store, code.id).await, code);
        assert!(store.mint(code, START).await.is_err(), "an id is taken for good");
    }
    let found =
        store.code_by_selector(Selector::parse("k7qf").unwrap(), START).await.unwrap().unwrap();
    assert_eq!(found, read(&*store, found.id).await);
}

pub async fn a_window_reads_back_as_it_was_set(store: Arc<dyn Store>) {
    assert_eq!(store.window().await.unwrap(), Window::default());
    for window in [
        Window::open(START, None),
        Window {
            opened: Some(Opened { at: at(1), closes: Some(at(300)), by: Maker::Operator }),
            guesses: 19,
        },
        Window::default(),
    ] {
        store.set_window(window).await.unwrap();
        assert_eq!(store.window().await.unwrap(), window);
    }
}

pub async fn a_pin_needs_an_open_window_and_a_code_does_not(store: Arc<dyn Store>) {
    assert_eq!(mint(&*store, &pin(), START).await, Err(NotMinted::Closed));
    store.set_window(Window::open(START, Some(at(60)))).await.unwrap();
    assert_eq!(mint(&*store, &pin(), at(59)).await, Ok(()));
    assert_eq!(mint(&*store, &pin(), at(60)).await, Err(NotMinted::Closed));
    store.set_window(Window { guesses: 20, ..Window::open(START, None) }).await.unwrap();
    assert_eq!(mint(&*store, &pin(), at(60)).await, Err(NotMinted::Locked));
    assert_eq!(mint(&*store, &selected("K7QF"), at(60)).await, Ok(()));
    assert_eq!(live(&*store, at(60)).await.len(), 2);
}

pub async fn a_newer_pin_for_the_same_node_kills_the_older(store: Arc<dyn Store>) {
    open(&*store).await;
    let (older, others, by_code) = (pin(), pin(), selected("K7QF"));
    for code in [&older, &others, &by_code] {
        mint(&*store, code, START).await.unwrap();
    }
    assert_eq!(store.reserve(Some(older.id), here(), START).await.unwrap(), Ok(4));
    let newer = code(older.counted.kind);
    mint(&*store, &newer, at(1)).await.unwrap();
    assert_eq!(live(&*store, at(1)).await, [newer.id, by_code.id, others.id]);
    assert_eq!(store.reserve(Some(older.id), here(), at(1)).await.unwrap(), Err(NoGuess::Expired));
    assert!(!store.spend(older.id, here(), START, at(1)).await.unwrap());
    assert_eq!(read(&*store, older.id).await.sealed, []);
    // A PIN that is not minted ends no other.
    store.set_window(Window::default()).await.unwrap();
    assert_eq!(mint(&*store, &code(older.counted.kind), at(1)).await, Err(NotMinted::Closed));
    assert_eq!(live(&*store, at(1)).await.len(), 3);
}

pub async fn a_selector_is_taken_while_its_code_lives(store: Arc<dyn Store>) {
    for (first, how) in [("SPNT", 0), ("WTHD", 1), ("EXPD", 2)] {
        let code = selected(first);
        mint(&*store, &code, START).await.unwrap();
        assert_eq!(mint(&*store, &selected(first), START).await, Err(NotMinted::Taken));
        assert_eq!(by_selector(&*store, first, START).await, Some(code.id));
        let dead_at = match how {
            0 => {
                assert!(store.spend(code.id, here(), START, START).await.unwrap());
                START
            }
            1 => {
                assert!(store.withdraw(code.id, START).await.unwrap());
                START
            }
            _ => at(300),
        };
        assert_eq!(by_selector(&*store, first, dead_at).await, None);
        let next = counted_until(selected(first), 900);
        mint(&*store, &next, dead_at).await.unwrap();
        assert_eq!(by_selector(&*store, first, dead_at).await, Some(next.id));
    }
    // A code that was guessed too often is not dead: the next guess hears that it is locked.
    let locked = StoredCode {
        counted: Counted { guesses: 5, ..selected("LCKD").counted },
        ..selected("LCKD")
    };
    mint(&*store, &locked, START).await.unwrap();
    assert_eq!(by_selector(&*store, "LCKD", START).await, Some(locked.id));
}

pub async fn so_many_pins_and_codes_live_and_no_more(store: Arc<dyn Store>) {
    open(&*store).await;
    let mut tasks = JoinSet::new();
    for number in 0..PINS.max(CODES) + 40 {
        let store = Arc::clone(&store);
        let selector = format!("{:04}", number % 10_000);
        tasks.spawn(async move {
            (mint(&*store, &pin(), START).await, mint(&*store, &selected(&selector), START).await)
        });
    }
    let (pins, codes): (Vec<_>, Vec<_>) = tasks.join_all().await.into_iter().unzip();
    for (minted, most) in [(&pins, PINS), (&codes, CODES)] {
        assert_eq!(minted.iter().filter(|minted| minted.is_ok()).count(), most as usize);
        assert!(minted.iter().all(|minted| matches!(minted, Ok(()) | Err(NotMinted::TooMany))));
    }
    // A node that has a PIN gets another in its place.
    let listed = store.codes(START).await.unwrap();
    assert_eq!(listed.len(), (PINS + CODES) as usize);
    let of_a_node = listed.iter().find(|code| matches!(code.counted.kind, Kind::Pin(_))).unwrap();
    assert_eq!(mint(&*store, &code(of_a_node.counted.kind), START).await, Ok(()));
    assert_eq!(mint(&*store, &pin(), START).await, Err(NotMinted::TooMany));
    // Once they have expired, there is room again.
    assert_eq!(mint(&*store, &counted_until(pin(), 900), at(300)).await, Ok(()));
    assert_eq!(mint(&*store, &counted_until(selected("ROOM"), 900), at(300)).await, Ok(()));
}

pub async fn of_many_codes_at_once_all_are_minted_or_none(store: Arc<dyn Store>) {
    let many = |from: usize, number: usize| -> Vec<(StoredCode, Ticket)> {
        (from..from + number)
            .map(|number| {
                let id = DeliveryId::from_bytes(fresh());
                (selected(&format!("{number:04}")), Ticket { id, until: at(60) })
            })
            .collect()
    };
    let mint_all = async |codes: Vec<(StoredCode, Ticket)>, now| {
        store.mint_all(codes, now).await.expect("mint")
    };
    mint(&*store, &selected("0050"), START).await.unwrap();
    let size = store.audit_head(None).await.unwrap().unwrap().size;
    let refused = [
        // One of them has the selector of a code that lives, or of another of them.
        (many(0, 100), NotMinted::Taken),
        ([many(100, 2), many(101, 1)].concat(), NotMinted::Taken),
        (many(100, CODES_AT_ONCE + 1), NotMinted::TooMany),
    ];
    for (codes, why) in refused {
        assert_eq!(mint_all(codes, START).await, Err(why));
        assert_eq!(live(&*store, START).await.len(), 1);
        assert_eq!(store.undelivered(9).await.unwrap(), []);
        assert_eq!(store.audit_head(None).await.unwrap().unwrap().size, size);
    }
    for from in [100, 200] {
        assert_eq!(mint_all(many(from, CODES_AT_ONCE), START).await, Ok(()));
    }
    // There are 55 places left, and none of 56 codes takes one.
    assert_eq!(mint_all(many(300, 56), START).await, Err(NotMinted::TooMany));
    assert_eq!(live(&*store, START).await.len(), 201);
    assert_eq!(mint_all(many(300, 55), START).await, Ok(()));
    assert_eq!(live(&*store, START).await.len(), CODES as usize);
    assert_eq!(store.undelivered(999).await.unwrap().len(), 255);
    assert_eq!(store.audit_head(None).await.unwrap().unwrap().size, size + 255);
    assert_eq!(mint_all(vec![], START).await, Ok(()));
}

pub async fn the_live_are_listed_newest_first_without_their_secrets(store: Arc<dyn Store>) {
    open(&*store).await;
    let (first, second, third) =
        (selected("AAAA"), counted_until(pin(), 100), counted_until(selected("BBBB"), 200));
    for code in [&first, &second, &third] {
        mint(&*store, code, START).await.unwrap();
    }
    assert_eq!(live(&*store, at(99)).await, [third.id, second.id, first.id]);
    assert_eq!(live(&*store, at(100)).await, [third.id, first.id]);
    assert_eq!(live(&*store, at(200)).await, [first.id]);
    let listed = store.codes(at(200)).await.unwrap();
    assert_eq!(listed, [StoredCode { sealed: vec![], ..first }]);
}

pub async fn a_withdrawn_code_is_dead_even_to_a_guess_under_way(store: Arc<dyn Store>) {
    open(&*store).await;
    for code in [pin(), selected("K7QF")] {
        mint(&*store, &code, START).await.unwrap();
        store.reserve(Some(code.id), here(), START).await.unwrap().unwrap();
        assert!(store.withdraw(code.id, at(1)).await.unwrap());
        assert!(!store.withdraw(code.id, at(1)).await.unwrap());
        assert!(!store.spend(code.id, here(), START, at(1)).await.unwrap());
        let StoredCode { counted, sealed, .. } = read(&*store, code.id).await;
        assert_eq!((counted.expires, sealed), (at(1), vec![]));
    }
    let expired = counted_until(selected("LATE"), 10);
    mint(&*store, &expired, START).await.unwrap();
    assert!(
        store.withdraw(expired.id, at(10)).await.unwrap(),
        "a clock that is set back would bring it back"
    );
    assert_eq!(
        store.code_by_selector(Selector::parse("LATE").unwrap(), at(9)).await.unwrap(),
        None
    );
    assert!(!store.withdraw(pin().id, START).await.unwrap());
}

pub async fn the_dead_lose_their_secrets_and_are_gone_after_a_day(store: Arc<dyn Store>) {
    let (expired, spent, alive) =
        (selected("AAAA"), selected("BBBB"), counted_until(selected("CCCC"), 9 * DAY));
    for code in [&expired, &spent, &alive] {
        mint(&*store, code, START).await.unwrap();
    }
    assert!(store.spend(spent.id, here(), START, at(10)).await.unwrap());
    assert_eq!(read(&*store, spent.id).await.sealed, []);

    mint(&*store, &counted_until(selected("DDDD"), 9 * DAY), at(300)).await.unwrap();
    assert_eq!(read(&*store, expired.id).await.sealed, []);
    assert_eq!(read(&*store, alive.id).await, alive);

    for (now, spent_is_there, expired_is_there) in
        [(DAY + 10, true, true), (DAY + 11, false, true), (DAY + 301, false, false)]
    {
        mint(&*store, &selected("EEEE"), at(now)).await.unwrap();
        assert_eq!(store.code(spent.id).await.unwrap().is_some(), spent_is_there, "{now}");
        assert_eq!(store.code(expired.id).await.unwrap().is_some(), expired_is_there, "{now}");
    }
    assert_eq!(read(&*store, alive.id).await, alive);
}

pub async fn the_first_secret_of_a_name_stays(store: Arc<dyn Store>) {
    let mut tasks = JoinSet::new();
    for byte in 0..32 {
        let store = Arc::clone(&store);
        tasks.spawn(async move { store.vault("static key", vec![byte; 48]).await.unwrap() });
    }
    let answers: HashSet<_> = tasks.join_all().await.into_iter().collect();
    assert_eq!(answers.len(), 1);
    assert!(answers.contains(&store.vault("static key", vec![]).await.unwrap()));
    assert_eq!(store.vault("token key", vec![]).await.unwrap(), []);
    assert_eq!(store.vault("token key", vec![1]).await.unwrap(), []);
}

pub async fn of_all_who_replace_a_secret_at_once_exactly_one_does(store: Arc<dyn Store>) {
    assert!(!store.replace_vault("key", vec![], vec![1], None).await.unwrap(), "there is none");
    assert_eq!(store.vault("key", vec![0; 64]).await.unwrap(), [0; 64]);
    let mut tasks = JoinSet::new();
    for byte in 1..33 {
        let store = Arc::clone(&store);
        tasks.spawn(async move {
            let replaced = store.replace_vault("key", vec![0; 64], vec![byte; 96], None).await;
            replaced.unwrap().then_some(byte)
        });
    }
    let replaced: Vec<u8> = tasks.join_all().await.into_iter().flatten().collect();
    assert_eq!(replaced.len(), 1);
    assert_eq!(store.vault("key", vec![]).await.unwrap(), vec![replaced[0]; 96]);
}
