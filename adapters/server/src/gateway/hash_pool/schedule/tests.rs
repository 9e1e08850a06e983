use std::cell::Cell;
use std::collections::HashSet;
use std::rc::Rc;

use super::*;

/// A job that its owner may give up.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Waiter {
    number: u32,
    gone: Rc<Cell<bool>>,
}

impl Job for Waiter {
    fn is_gone(&self) -> bool {
        self.gone.get()
    }
}

fn waiter(number: u32) -> Waiter {
    Waiter { number, gone: Rc::default() }
}

fn node(number: u8) -> NodeId {
    NodeId::from_bytes([number; 16])
}

fn source(number: u8) -> Source {
    Source::of([10, 0, number, 1].into())
}

fn served(schedule: &mut Schedule<Waiter>) -> Vec<u32> {
    let next = || {
        let next = schedule.next()?;
        next.claimant.into_iter().for_each(|claimant| schedule.done(claimant));
        Some(next.job.number)
    };
    std::iter::from_fn(next).collect()
}

#[test]
fn three_of_the_known_are_served_for_one_of_the_others_while_both_wait() {
    let mut schedule = Schedule::new(100);
    for number in 0..8 {
        schedule.offer_known((node(number), source(0)), waiter(number.into())).unwrap();
    }
    for number in 100..104 {
        assert!(schedule.offer_other(source(9), waiter(number)));
    }
    assert_eq!(served(&mut schedule), [0, 1, 2, 100, 3, 4, 5, 101, 6, 7, 102, 103]);
}

#[test]
fn ids_take_turns_and_within_an_id_its_sources() {
    let mut schedule = Schedule::new(100);
    for from in 0..3 {
        schedule.offer_known((node(1), source(from)), waiter(10 + u32::from(from))).unwrap();
    }
    schedule.offer_known((node(2), source(0)), waiter(20)).unwrap();
    assert_eq!(schedule.next().map(|next| next.job.number), Some(10));
    // Who comes again from the same source comes behind the others.
    schedule.offer_known((node(1), source(0)), waiter(13)).unwrap();
    schedule.done((node(1), source(0)));
    assert_eq!(served(&mut schedule), [20, 11, 12, 13]);
}

#[test]
fn one_of_an_id_and_source_is_under_way_and_one_waits() {
    let mut schedule = Schedule::new(100);
    let whose = (node(1), source(1));
    schedule.offer_known(whose, waiter(1)).unwrap();
    let first = schedule.next().unwrap();
    schedule.offer_known(whose, waiter(2)).unwrap();
    assert_eq!(schedule.offer_known(whose, waiter(3)), Err(NotTaken::Waits(waiter(3))));
    assert_eq!(schedule.next(), None, "the second waits for the first");
    schedule.offer_known((node(1), source(2)), waiter(4)).unwrap();
    assert_eq!(
        schedule.next().map(|next| next.job.number),
        Some(4),
        "and holds up no other source"
    );
    schedule.done(first.claimant.unwrap());
    assert_eq!(schedule.next().map(|next| next.job.number), Some(2));
}

#[test]
fn who_is_gone_is_not_hashed_and_holds_no_place() {
    let mut schedule = Schedule::new(2);
    let (left, whose) = (waiter(1), (node(1), source(1)));
    schedule.offer_known(whose, left.clone()).unwrap();
    left.gone.set(true);
    schedule.offer_known(whose, waiter(2)).unwrap();
    let (other, more) = (waiter(10), waiter(11));
    assert!(
        schedule.offer_other(source(1), other.clone()) && schedule.offer_other(source(2), more)
    );
    other.gone.set(true);
    assert!(schedule.offer_other(source(3), waiter(12)), "the place of who is gone is free");
    assert_eq!(served(&mut schedule), [2, 11, 12]);
}

#[test]
fn many_sources_that_know_one_id_leave_room_for_another_node() {
    let mut schedule = Schedule::new(4);
    for from in 0..4 {
        schedule.offer_known((node(1), source(from)), waiter(from.into())).unwrap();
    }
    assert_eq!(schedule.offer_known((node(1), source(9)), waiter(9)), Err(NotTaken::Full));
    schedule.offer_known((node(2), source(0)), waiter(20)).unwrap();
    assert_eq!(served(&mut schedule), [0, 20, 1, 2]);
}

#[test]
fn one_source_with_many_jobs_leaves_room_for_another() {
    let mut schedule = Schedule::new(4);
    for number in 0..4 {
        assert!(schedule.offer_other(source(1), waiter(number)));
    }
    assert!(!schedule.offer_other(source(1), waiter(4)));
    assert!(schedule.offer_other(source(2), waiter(20)));
    assert_eq!(served(&mut schedule), [0, 20, 1, 2]);
}

/// Deterministic numbers.
struct Dice(u64);

impl Dice {
    fn below(&mut self, most: u64) -> u64 {
        self.0 =
            self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) % most
    }
}

/// Random offers, departures and servings against what must hold for all of them.
#[test]
fn whatever_comes_the_bounds_hold_and_every_job_is_served_dropped_or_gone_once() {
    for seed in 0..200 {
        let mut dice = Dice(seed);
        let most = 1 + usize::try_from(dice.below(12)).unwrap();
        let mut schedule: Schedule<Waiter> = Schedule::new(most);
        let mut waiting: Vec<Waiter> = Vec::new();
        let mut running: Vec<Claimant> = Vec::new();
        let mut answered = HashSet::new();
        let small = |dice: &mut Dice| u8::try_from(dice.below(4)).unwrap();
        for number in 0..600 {
            match dice.below(6) {
                0 | 1 => {
                    let (job, whose) =
                        (waiter(number), (node(small(&mut dice)), source(small(&mut dice))));
                    if schedule.offer_known(whose, job.clone()).is_ok() {
                        waiting.push(job);
                    }
                }
                2 => {
                    let job = waiter(number);
                    if schedule.offer_other(source(small(&mut dice)), job.clone()) {
                        waiting.push(job);
                    }
                }
                3 if !waiting.is_empty() => {
                    let at = usize::try_from(dice.below(waiting.len() as u64)).unwrap();
                    waiting.swap_remove(at).gone.set(true);
                }
                4 if running.len() < 3 => match schedule.next() {
                    Some(next) => {
                        assert!(!next.job.is_gone(), "seed {seed}: nobody waits for {next:?}");
                        assert!(answered.insert(next.job.number), "seed {seed}: twice {next:?}");
                        if let Some(claimant) = next.claimant {
                            assert!(
                                !running.contains(&claimant),
                                "seed {seed}: two of one are under way"
                            );
                            running.push(claimant);
                        }
                    }
                    None => assert!(
                        schedule.others.len == 0,
                        "seed {seed}: the others never wait for what is under way"
                    ),
                },
                _ => {
                    if let Some(claimant) = running.pop() {
                        schedule.done(claimant);
                    }
                }
            }
            assert!(schedule.known.len <= most && schedule.others.len <= most, "seed {seed}");
            check(&schedule.known);
            check(&schedule.others);
            for (node_id, queue) in &schedule.known.queues {
                let sources: HashSet<_> = queue.iter().map(|(source, _)| source).collect();
                assert_eq!(
                    sources.len(),
                    queue.len(),
                    "seed {seed}: one waits per id and source, not so of {node_id}"
                );
            }
        }
        running.drain(..).for_each(|claimant| schedule.done(claimant));
        served(&mut schedule);
        assert_eq!(
            (schedule.known.len, schedule.others.len),
            (0, 0),
            "seed {seed}: nothing is left behind"
        );
    }
}

fn check<K: Copy + Eq + Hash + std::fmt::Debug, J>(turns: &Turns<K, J>) {
    assert_eq!(turns.len, turns.queues.values().map(VecDeque::len).sum::<usize>());
    assert!(turns.queues.values().all(|queue| !queue.is_empty()));
    let order: HashSet<_> = turns.order.iter().copied().collect();
    assert_eq!(order.len(), turns.order.len(), "each takes its turn once");
    assert_eq!(order, turns.queues.keys().copied().collect());
}
