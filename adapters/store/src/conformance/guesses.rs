//! Limits on guesses at PINs and codes.
#![allow(missing_docs, reason = "the names say it")]

use std::sync::Arc;

use handfast_core::limits::{
    GUESSES_PER_CODE, GUESSES_PER_SOURCE, GUESSES_PER_WINDOW, PINS_PER_SOURCE,
};
use handfast_core::registry::codes::{CodeId, Counted, Guesser, Kind, NoGuess, Window};
use handfast_core::wire::native::pair::Selector;
use handfast_core::{Span, UnixTime};
use tokio::task::JoinSet;

use super::reading::Chance;
use super::{START, at, code, here, keys, pin, selected, source};
use crate::{MemoryStore, Store, StoredCode};

async fn minted(store: &dyn Store, code: StoredCode) -> CodeId {
    store.mint(code.clone(), START).await.expect("mint").expect("minted");
    code.id
}

async fn reserve(store: &dyn Store, id: CodeId, now: UnixTime) -> Result<u8, NoGuess> {
    store.reserve(Some(id), here(), now).await.expect("reserve")
}

/// Makes this many guesses at once, at these codes in turn, each by another source.
async fn guess(store: &Arc<dyn Store>, ids: &[CodeId], guesses: usize) -> Vec<Result<u8, NoGuess>> {
    let mut tasks = JoinSet::new();
    for (id, number) in ids.iter().copied().cycle().take(guesses).zip((0..5).cycle()) {
        let store = Arc::clone(store);
        tasks.spawn(async move {
            store.reserve(Some(id), source(number), START).await.expect("reserve")
        });
    }
    tasks.join_all().await
}

pub async fn ten_thousand_guesses_at_once_at_one_pin_are_five(store: Arc<dyn Store>) {
    store.set_window(Window::open(START, None)).await.unwrap();
    let id = minted(&*store, pin()).await;
    let answers = guess(&store, &[id], 10_000).await;
    let mut left: Vec<_> = answers.iter().flatten().copied().collect();
    left.sort_unstable();
    assert_eq!(left, [0, 1, 2, 3, 4]);
    assert!(answers.iter().all(|answer| matches!(answer, Ok(_) | Err(NoGuess::Locked))));
    assert_eq!(store.window().await.unwrap().guesses, GUESSES_PER_CODE);
}

pub async fn guesses_at_ten_pins_at_once_are_twenty(store: Arc<dyn Store>) {
    store.set_window(Window::open(START, None)).await.unwrap();
    let mut ids = Vec::new();
    for _ in 0..10 {
        ids.push(minted(&*store, pin()).await);
    }
    let answers = guess(&store, &ids, 1000).await;
    assert_eq!(
        answers.iter().filter(|answer| answer.is_ok()).count(),
        usize::from(GUESSES_PER_WINDOW)
    );
    assert!(store.window().await.unwrap().is_locked());
    let code = minted(&*store, selected("K7QF")).await;
    assert_eq!(reserve(&*store, code, START).await, Ok(4), "a code of the operator's is not a PIN");
}

pub async fn eight_wrong_pins_of_a_source_lock_them_for_it_until_the_window_is_opened_anew(
    store: Arc<dyn Store>,
) {
    store.set_window(Window::open(START, None)).await.unwrap();
    let [first, second, third] =
        [minted(&*store, pin()).await, minted(&*store, pin()).await, minted(&*store, pin()).await];
    for id in [first; GUESSES_PER_CODE as usize].into_iter().chain([second; 3]) {
        assert!(store.reserve(Some(id), source(1), START).await.unwrap().is_ok());
    }
    assert_eq!(store.reserve(Some(second), source(1), START).await.unwrap(), Err(NoGuess::Locked));
    assert_eq!(
        store.reserve(Some(second), source(2), START).await.unwrap(),
        Ok(1),
        "the window is open to others"
    );
    assert_eq!(store.reserve(Some(third), source(2), START).await.unwrap(), Ok(4));
    assert!(store.spend(third, source(2), START, START).await.unwrap());
    let guessers = [(1, GUESSES_PER_SOURCE), (2, 1)]
        .map(|(number, guesses)| Guesser { source: source(number), guesses });
    assert_eq!(store.guessers().await.unwrap(), guessers);
    // Closing and reopening the window with its guesses, as a restart does, gives nobody more.
    let window = store.window().await.unwrap();
    store.set_window(Window { opened: None, ..window }).await.unwrap();
    store.set_window(window).await.unwrap();
    assert_eq!(store.guessers().await.unwrap(), guessers);
    let code = minted(&*store, selected("K7QF")).await;
    assert_eq!(
        store.reserve(Some(code), source(1), START).await.unwrap(),
        Ok(4),
        "a code of the operator's is not a PIN"
    );
    store.set_window(Window::open(at(1), None)).await.unwrap();
    assert_eq!(store.guessers().await.unwrap(), []);
    assert_eq!(store.reserve(Some(second), source(1), at(1)).await.unwrap(), Ok(0));
}

pub async fn a_sources_fifth_pin_takes_the_place_of_its_oldest_that_nobody_began_to_type(
    store: Arc<dyn Store>,
) {
    store.set_window(Window::open(START, None)).await.unwrap();
    let of = |number| StoredCode { source: Some(source(number)), ..pin() };
    let mut ids = Vec::new();
    for _ in 0..PINS_PER_SOURCE {
        ids.push(minted(&*store, of(1)).await);
    }
    let other = minted(&*store, of(2)).await;
    assert_eq!(store.reserve(Some(ids[0]), source(1), START).await.unwrap(), Ok(4));
    let fifth = minted(&*store, of(1)).await;
    let live: Vec<_> = store.codes(START).await.unwrap().iter().map(|code| code.id).collect();
    assert_eq!(
        live,
        [fifth, other, ids[3], ids[2], ids[0]],
        "the first was begun, so the second made room"
    );
    assert!(store.code(ids[1]).await.unwrap().unwrap().sealed.is_empty());
    assert_eq!(store.reserve(Some(ids[1]), source(1), START).await.unwrap(), Err(NoGuess::Expired));
    for id in [ids[2], ids[3], fifth] {
        assert!(store.reserve(Some(id), source(1), START).await.unwrap().is_ok());
    }
    assert_eq!(
        store.mint(of(1), START).await.unwrap(),
        Err(crate::NotMinted::TooMany),
        "all were begun"
    );
    assert!(store.mint(of(2), START).await.unwrap().is_ok());
}

pub async fn only_the_operator_opens_a_locked_window_again(store: Arc<dyn Store>) {
    store
        .set_window(Window { guesses: GUESSES_PER_WINDOW - 1, ..Window::open(START, None) })
        .await
        .unwrap();
    let id = minted(&*store, pin()).await;
    assert_eq!(reserve(&*store, id, START).await, Ok(0));
    assert_eq!(reserve(&*store, id, START).await, Err(NoGuess::Locked));
    store.set_window(Window::open(at(1), None)).await.unwrap();
    assert_eq!(reserve(&*store, id, at(1)).await, Ok(3));
    store.set_window(Window::default()).await.unwrap();
    assert_eq!(reserve(&*store, id, at(1)).await, Err(NoGuess::Closed));
}

pub async fn of_all_who_spend_a_code_at_once_exactly_one_does(store: Arc<dyn Store>) {
    let id = minted(&*store, selected("K7QF")).await;
    for _ in 0..2 {
        reserve(&*store, id, START).await.unwrap();
    }
    let mut tasks = JoinSet::new();
    for _ in 0..2 {
        let store = Arc::clone(&store);
        tasks.spawn(async move { store.spend(id, here(), START, at(1)).await.unwrap() });
    }
    let spent = tasks.join_all().await;
    assert_eq!(spent.iter().filter(|spent| **spent).count(), 1);
    let StoredCode { counted, sealed, .. } = store.code(id).await.unwrap().unwrap();
    assert_eq!((counted.uses_left, counted.guesses, sealed), (0, 1, vec![]));
}

pub async fn a_code_for_two_nodes_is_spent_by_the_second(store: Arc<dyn Store>) {
    let two = StoredCode {
        counted: Counted { uses_left: 2, ..selected("K7QF").counted },
        ..selected("K7QF")
    };
    let id = minted(&*store, two.clone()).await;
    for uses_left in [1, 0] {
        assert_eq!(reserve(&*store, id, START).await, Ok(4));
        assert!(store.spend(id, here(), START, START).await.unwrap());
        let read = store.code(id).await.unwrap().unwrap();
        assert_eq!((read.counted.uses_left, read.sealed.is_empty()), (uses_left, uses_left == 0));
    }
    assert!(!store.spend(id, here(), START, START).await.unwrap());
    assert_eq!(reserve(&*store, id, START).await, Err(NoGuess::Expired));
}

pub async fn a_right_guess_is_given_back_to_its_own_window_alone(store: Arc<dyn Store>) {
    store.set_window(Window::open(START, None)).await.unwrap();
    let [first, second, wrong] =
        [minted(&*store, pin()).await, minted(&*store, pin()).await, minted(&*store, pin()).await];
    for id in [first, second, wrong] {
        reserve(&*store, id, START).await.unwrap();
    }
    assert!(store.spend(first, here(), START, START).await.unwrap());
    assert_eq!(store.window().await.unwrap().guesses, 2);
    store.set_window(Window::open(at(10), None)).await.unwrap();
    reserve(&*store, wrong, at(10)).await.unwrap();
    assert!(store.spend(second, here(), START, at(10)).await.unwrap());
    assert_eq!(store.window().await.unwrap().guesses, 1);
}

pub async fn no_guess_is_made_at_what_is_dead(store: Arc<dyn Store>) {
    let id = minted(&*store, selected("K7QF")).await;
    assert_eq!(reserve(&*store, id, at(300)).await, Err(NoGuess::Expired));
    assert_eq!(reserve(&*store, pin().id, START).await, Err(NoGuess::Expired));
    assert!(!store.spend(pin().id, here(), START, START).await.unwrap());
    // A guess that was made in time pairs, even if the code expires before that is written.
    reserve(&*store, id, at(299)).await.unwrap();
    assert!(store.spend(id, here(), at(299), at(301)).await.unwrap());
}

pub async fn nobodys_code_always_has_guesses_left(store: Arc<dyn Store>) {
    let window = Window { guesses: 3, ..Window::open(START, None) };
    store.set_window(window).await.unwrap();
    for _ in 0..30 {
        assert_eq!(store.reserve(None, here(), START).await.unwrap(), Ok(GUESSES_PER_CODE - 1));
    }
    assert_eq!(store.window().await.unwrap(), window);
}

/// Makes the same random calls on this store and on the one in memory, with a clock that lets codes
/// expire and be removed.
pub async fn a_long_random_life_of_codes_is_the_same_as_in_memory(store: Arc<dyn Store>) {
    let model = MemoryStore::new();
    let mut chance = Chance(0x0c0d_e5ed);
    let nodes: Vec<_> = (0..8).map(|_| keys().channel).collect();
    let (mut now, mut ids) = (START, vec![pin().id]);
    for round in 0..500 {
        let who = source(chance.below(3) as u8);
        let seconds = if chance.below(40) == 0 { 20_000 } else { chance.below(20) };
        now = now.after(Span::from_secs(seconds));
        let id = ids[ids.len() - 1 - chance.below(ids.len().min(6) as u64) as usize];
        match chance.below(8) {
            0 | 1 => {
                let kind = match chance.below(2) {
                    0 => Kind::Pin(nodes[chance.below(8) as usize]),
                    _ => Kind::Code(Selector::parse(&format!("000{}", chance.below(4))).unwrap()),
                };
                let uses_left = 1 + chance.below(2) as u8;
                let expires = now.after(Span::from_secs(100));
                let asker = (chance.below(3) > 0).then(|| source(chance.below(3) as u8));
                let code = StoredCode {
                    counted: Counted { kind, expires, guesses: 0, uses_left },
                    source: asker,
                    ..code(kind)
                };
                let here = store.mint(code.clone(), now).await.unwrap();
                ids.push(code.id);
                assert_eq!(here, model.mint(code, now).await.unwrap(), "round {round}");
            }
            2 => {
                let window = Window::open(now, Some(now.after(Span::from_secs(200))));
                store.set_window(window).await.unwrap();
                model.set_window(window).await.unwrap();
            }
            3 => {
                let here = store.spend(id, who, now, now).await.unwrap();
                assert_eq!(here, model.spend(id, who, now, now).await.unwrap(), "round {round}");
            }
            4 if chance.below(3) == 0 => {
                let here = store.withdraw(id, now).await.unwrap();
                assert_eq!(here, model.withdraw(id, now).await.unwrap(), "round {round}");
            }
            _ => {
                let here = store.reserve(Some(id), who, now).await.unwrap();
                assert_eq!(here, model.reserve(Some(id), who, now).await.unwrap(), "round {round}");
            }
        }
        assert_eq!(store.window().await.unwrap(), model.window().await.unwrap());
        assert_eq!(store.guessers().await.unwrap(), model.guessers().await.unwrap());
        assert_eq!(store.codes(now).await.unwrap(), model.codes(now).await.unwrap());
        for id in [id, ids[0]] {
            assert_eq!(
                store.code(id).await.unwrap(),
                model.code(id).await.unwrap(),
                "round {round}"
            );
        }
    }
}
