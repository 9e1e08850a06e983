//! How often a PIN or code may be guessed.
#![allow(missing_docs, reason = "the names say it")]

use std::sync::Arc;

use handfast_core::limits::{GUESSES_PER_CODE, GUESSES_PER_WINDOW};
use handfast_core::registry::codes::{CodeId, Counted, Kind, NoGuess, Window};
use handfast_core::time::{Span, UnixTime};
use handfast_core::wire::native::pair::Selector;
use tokio::task::JoinSet;

use super::reading::Chance;
use super::{START, at, code, keys, pin, selected};
use crate::{Code, MemoryStore, Store};

async fn minted(store: &dyn Store, code: Code) -> CodeId {
    store.mint(code.clone(), START).await.expect("mint").expect("minted");
    code.id
}

async fn reserve(store: &dyn Store, id: CodeId, now: UnixTime) -> Result<u8, NoGuess> {
    store.reserve(Some(id), now).await.expect("reserve")
}

/// So many guesses at once, at these in turn.
async fn guess(store: &Arc<dyn Store>, ids: &[CodeId], guesses: usize) -> Vec<Result<u8, NoGuess>> {
    let mut tasks = JoinSet::new();
    for id in ids.iter().copied().cycle().take(guesses) {
        let store = Arc::clone(store);
        tasks.spawn(async move { reserve(&*store, id, START).await });
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
    assert_eq!(answers.iter().filter(|answer| answer.is_ok()).count(), usize::from(GUESSES_PER_WINDOW));
    assert!(store.window().await.unwrap().is_locked());
    let code = minted(&*store, selected("K7QF")).await;
    assert_eq!(reserve(&*store, code, START).await, Ok(4), "a code of the operator's is not a PIN");
}

pub async fn only_the_operator_opens_a_locked_window_again(store: Arc<dyn Store>) {
    store.set_window(Window { guesses: GUESSES_PER_WINDOW - 1, ..Window::open(START, None) }).await.unwrap();
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
        tasks.spawn(async move { store.spend(id, START, at(1)).await.unwrap() });
    }
    let spent = tasks.join_all().await;
    assert_eq!(spent.iter().filter(|spent| **spent).count(), 1);
    let Code { counted, sealed, .. } = store.code(id).await.unwrap().unwrap();
    assert_eq!((counted.uses_left, counted.guesses, sealed), (0, 1, vec![]));
}

pub async fn a_code_for_two_nodes_is_spent_by_the_second(store: Arc<dyn Store>) {
    let two = Code { counted: Counted { uses_left: 2, ..selected("K7QF").counted }, ..selected("K7QF") };
    let id = minted(&*store, two.clone()).await;
    for uses_left in [1, 0] {
        assert_eq!(reserve(&*store, id, START).await, Ok(4));
        assert!(store.spend(id, START, START).await.unwrap());
        let read = store.code(id).await.unwrap().unwrap();
        assert_eq!((read.counted.uses_left, read.sealed.is_empty()), (uses_left, uses_left == 0));
    }
    assert!(!store.spend(id, START, START).await.unwrap());
    assert_eq!(reserve(&*store, id, START).await, Err(NoGuess::Expired));
}

pub async fn a_right_guess_is_given_back_to_its_own_window_alone(store: Arc<dyn Store>) {
    store.set_window(Window::open(START, None)).await.unwrap();
    let [first, second, wrong] = [minted(&*store, pin()).await, minted(&*store, pin()).await, minted(&*store, pin()).await];
    for id in [first, second, wrong] {
        reserve(&*store, id, START).await.unwrap();
    }
    assert!(store.spend(first, START, START).await.unwrap());
    assert_eq!(store.window().await.unwrap().guesses, 2);
    store.set_window(Window::open(at(10), None)).await.unwrap();
    reserve(&*store, wrong, at(10)).await.unwrap();
    assert!(store.spend(second, START, at(10)).await.unwrap());
    assert_eq!(store.window().await.unwrap().guesses, 1);
}

pub async fn no_guess_is_made_at_what_is_dead(store: Arc<dyn Store>) {
    let id = minted(&*store, selected("K7QF")).await;
    assert_eq!(reserve(&*store, id, at(300)).await, Err(NoGuess::Expired));
    assert_eq!(reserve(&*store, pin().id, START).await, Err(NoGuess::Expired));
    assert!(!store.spend(pin().id, START, START).await.unwrap());
    // Whoever guessed in time is paired, even if the code runs out before that is written.
    reserve(&*store, id, at(299)).await.unwrap();
    assert!(store.spend(id, at(299), at(301)).await.unwrap());
}

pub async fn nobodys_code_always_has_guesses_left(store: Arc<dyn Store>) {
    let window = Window { guesses: 3, ..Window::open(START, None) };
    store.set_window(window).await.unwrap();
    for _ in 0..30 {
        assert_eq!(store.reserve(None, START).await.unwrap(), Ok(GUESSES_PER_CODE - 1));
    }
    assert_eq!(store.window().await.unwrap(), window);
}

/// The same random calls, on this store and on the one in memory, with a clock that lets codes expire and be cleared away.
pub async fn a_long_random_life_of_codes_is_the_same_as_in_memory(store: Arc<dyn Store>) {
    let model = MemoryStore::new();
    let mut chance = Chance(0x0c0d_e5ed);
    let nodes: Vec<_> = (0..4).map(|_| keys().channel).collect();
    let (mut now, mut ids) = (START, vec![pin().id]);
    for round in 0..500 {
        let seconds = if chance.below(40) == 0 { 20_000 } else { chance.below(20) };
        now = now.after(Span::from_secs(seconds));
        let id = ids[ids.len() - 1 - chance.below(ids.len().min(6) as u64) as usize];
        match chance.below(8) {
            0 | 1 => {
                let kind = match chance.below(2) {
                    0 => Kind::Pin(nodes[chance.below(4) as usize]),
                    _ => Kind::Code(Selector::parse(&format!("000{}", chance.below(4))).unwrap()),
                };
                let uses_left = 1 + chance.below(2) as u8;
                let expires = now.after(Span::from_secs(100));
                let code = Code { counted: Counted { kind, expires, guesses: 0, uses_left }, ..code(kind) };
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
                let here = store.spend(id, now, now).await.unwrap();
                assert_eq!(here, model.spend(id, now, now).await.unwrap(), "round {round}");
            }
            4 if chance.below(3) == 0 => {
                let here = store.withdraw(id, now).await.unwrap();
                assert_eq!(here, model.withdraw(id, now).await.unwrap(), "round {round}");
            }
            _ => {
                let here = store.reserve(Some(id), now).await.unwrap();
                assert_eq!(here, model.reserve(Some(id), now).await.unwrap(), "round {round}");
            }
        }
        assert_eq!(store.window().await.unwrap(), model.window().await.unwrap());
        assert_eq!(store.codes(now).await.unwrap(), model.codes(now).await.unwrap());
        for id in [id, ids[0]] {
            assert_eq!(store.code(id).await.unwrap(), model.code(id).await.unwrap(), "round {round}");
        }
    }
}
