//! Seeded runs of the world of the native wire; the fuzzer plays the same scripts from bytes of its
//! own.

use std::collections::BTreeSet;

use handfast_host_tests::native::World;
use handfast_host_tests::native::script::Script;

/// Returns the seeds to run. `SEEDS=100000 cargo test --release` runs more, `SEED=17` only that
/// one.
fn seeds(usual: u64) -> std::ops::Range<u64> {
    let number = |name: &str| std::env::var(name).ok().and_then(|text| text.parse().ok());
    match number("SEED") {
        Some(one) => one..one + 1,
        None => 0..number("SEEDS").unwrap_or(usual),
    }
}

/// States that the runs must visit: all but `Presenting`, `AwaitChain` and `PresentingMore`, since
/// no node delegates here.
const STATES: [&str; 36] = [
    "AwaitOpen",
    "AwaitFirst",
    "AwaitThird",
    "Finding",
    "Entering",
    "AwaitAsk",
    "Preparing",
    "AwaitSetup",
    "AwaitYa",
    "AwaitTa",
    "Reserving",
    "Spending",
    "Settling",
    "Waiting",
    "AwaitStored",
    "Activating",
    "Proving",
    "Attaching",
    "Linked",
    "Muted",
    "Confirming",
    "Renewing",
    "Closed",
    "Idle",
    "Opening",
    "Introducing",
    "AwaitAnswer",
    "AwaitSettled",
    "AwaitCode",
    "AwaitYb",
    "AwaitTb",
    "AwaitGrant",
    "AwaitActive",
    "Calling",
    "Keeping",
    "Closing",
];

#[test]
fn whatever_happens_no_code_is_guessed_and_in_the_end_everybody_who_may_links() {
    let (mut steps, mut wrong, mut yielded, mut visited) = (0, 0, 0, BTreeSet::new());
    for seed in seeds(400) {
        let script = Script::seeded(seed);
        let outcome = std::panic::catch_unwind(|| World::play(&script));
        let world = outcome.unwrap_or_else(|_| panic!("SEED={seed}: {script:?}"));
        steps += world.steps;
        wrong += world.audit.wrong.values().sum::<u32>();
        yielded += world.audit.yielded.len();
        visited.extend(world.visited);
    }
    println!("{steps} steps, {wrong} wrong guesses, {yielded} setup codes that paired");
    if seeds(400).count() > 100 {
        // A machine gets no input before it is in its first state, so `AwaitOpen` is never
        // recorded.
        let missed: Vec<_> = STATES
            .iter()
            .filter(|state| !visited.contains(*state) && **state != "AwaitOpen")
            .collect();
        assert!(missed.is_empty() && wrong > 0 && yielded > 0, "nothing leads to {missed:?}");
    }
}

#[test]
fn whatever_happens_tasks_run_once_and_only_copies_raise_the_alarm_and_none_comes_back_unnoticed() {
    let (mut runs, mut alarms, mut noticed, mut visited) = (0, 0, 0, BTreeSet::new());
    for seed in seeds(120) {
        let script = Script::of_identity(seed);
        let outcome = std::panic::catch_unwind(|| World::play(&script));
        let world = outcome.unwrap_or_else(|_| panic!("SEED={seed}: {script:?}"));
        runs += world.history.runs.len();
        alarms += world.gateways.iter().map(|gateway| gateway.alarms).sum::<u32>();
        noticed += world.history.noticed;
        visited.extend(world.visited);
    }
    println!("{runs} tasks ran, {alarms} alarms, {noticed} of them about older marks");
    if seeds(120).count() > 100 {
        let identity = ["Quarantined", "Greeting", "Linked"];
        let missed: Vec<_> = identity.iter().filter(|state| !visited.contains(*state)).collect();
        assert!(missed.is_empty() && runs > 0 && noticed > 0, "nothing leads to {missed:?}");
    }
}

#[test]
fn two_gateways_over_one_registry_keep_every_invariant_though_hints_are_lost_and_one_is_cut_off() {
    let (mut steps, mut runs, mut wrong) = (0, 0, 0);
    let (mut lost, mut displaced, mut notices, mut elsewhere, mut refused) = (0, 0, 0, 0, 0);
    for seed in seeds(300) {
        let script = Script::of_two_gateways(seed);
        let outcome = std::panic::catch_unwind(|| World::play(&script));
        let world = outcome.unwrap_or_else(|_| panic!("SEED={seed}: {script:?}"));
        (steps, runs) = (steps + world.steps, runs + world.history.runs.len());
        wrong += world.audit.wrong.values().sum::<u32>();
        let counts = world.share_counts();
        (lost, displaced) = (lost + counts.lost_hints, displaced + counts.displaced);
        (notices, elsewhere) = (notices + counts.notices, elsewhere + counts.sent_elsewhere);
        refused += counts.refused;
    }
    println!("{steps} steps, {runs} tasks ran, {wrong} wrong guesses, {lost} hints were lost");
    println!(
        "{notices} notices, {displaced} links displaced, {elsewhere} sent elsewhere, {refused} refused"
    );
    if seeds(300).count() > 100 {
        let counts = [runs as u32, wrong, lost, displaced, notices, elsewhere, refused];
        assert!(counts.iter().all(|count| *count > 0), "nothing leads to {counts:?}");
    }
}

#[test]
fn a_code_that_is_replaced_while_its_guess_is_counted_was_typed_all_the_same() {
    let script = [
        0x01, 0x02, 0x14, 0x0e, 0x00, 0x00, 0xc2, 0xc2, 0xdf, 0xc2, 0xc2, 0xc2, 0xc2, 0x14, 0x18,
        0x03, 0x00, 0x14, 0x18, 0x00, 0x08, 0x00, 0x09, 0x00,
    ];
    handfast_host_tests::native::machines::script(&script);
}
