use super::*;

const T: u64 = 1_800_000_000;
const DAY: u64 = 86_400;

const fn at(secs: u64) -> UnixTime {
    UnixTime::from_secs(secs)
}

const fn read(wall: u64, elapsed: u64, synchronised: bool) -> Reading {
    Reading { wall: at(wall), elapsed: Instant::from_millis(elapsed * 1000), synchronised }
}

const fn after(elapsed: u64) -> Instant {
    Instant::from_millis(elapsed * 1000)
}

fn begun(mark: u64, wall: u64) -> TrustedTime {
    TrustedTime::begin(Some(at(mark)), RELEASED, read(wall, 0, false))
}

/// Takes a reading and carries out what is due. The answer is by how much this run's things were
/// moved.
fn observe(time: &mut TrustedTime, reading: Reading) -> i64 {
    let due = time.observe(reading);
    due.mark.inspect(|mark| time.marked(*mark));
    due.step.map_or(0, |step| {
        time.taken(step);
        step.by()
    })
}

#[test]
fn this_version_was_not_made_in_the_future() {
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap().as_secs();
    assert!(RELEASED.as_secs() <= now, "RELEASED is the day of a release, not one to come");
}

#[test]
fn a_first_start_believes_its_clock_unless_it_lies_before_this_version() {
    let fresh = |wall| TrustedTime::begin(None, RELEASED, read(wall, 0, false));
    assert_eq!(
        (fresh(T).now(after(0)), fresh(T).state(after(0))),
        (at(T), ClockState::Good { ahead: 0 })
    );
    let later = T + 4000 * DAY;
    assert!(fresh(later).is_good(), "nothing is stored that a false time could end");
    let early = fresh(0);
    assert_eq!(early.now(after(5)), at(RELEASED.as_secs() + 5));
    assert_eq!(early.state(after(0)).as_str(), "behind");
}

#[test]
fn a_step_by_itself_moves_nothing_however_far_it_goes() {
    let mut time = begun(T, T);
    for (elapsed, wall) in [
        (10, T + 2 * DAY),
        (20, T - 2 * DAY),
        (30, T + 800 * DAY),
        (40, T - 800 * DAY),
        (50, T + 50),
    ] {
        assert_eq!(observe(&mut time, read(wall, elapsed, false)), 0, "at {elapsed}");
        assert_eq!(time.now(after(elapsed)), at(T + elapsed));
    }
    assert!(time.is_good());
}

#[test]
fn a_synchronised_step_forward_is_taken_over_once() {
    let mut time = begun(T, T);
    assert_eq!(observe(&mut time, read(T + 3600, 10, true)), 3590);
    assert_eq!(observe(&mut time, read(T + 3601, 11, true)), 0);
    assert_eq!((time.now(after(11)), time.mark()), (at(T + 3601), at(T + 3601)));
}

#[test]
fn a_step_is_asked_for_again_until_it_was_carried_out() {
    let mut time = begun(T, T);
    assert!(time.observe(read(T + 3600, 10, true)).step.is_some());
    let again = time.observe(read(T + 3601, 11, true)).step.unwrap();
    assert_eq!((again.by(), time.now(after(11))), (3590, at(T + 11)));
}

#[test]
fn a_clock_that_is_set_back_is_behind_and_the_time_in_use_goes_on() {
    let mut time = begun(T, T);
    assert_eq!(observe(&mut time, read(T - 2 * DAY, 10, true)), 0);
    assert_eq!(time.state(after(10)), ClockState::Behind { by: Span::from_secs(2 * DAY + 10) });
    assert_eq!(observe(&mut time, read(T + 20, 20, false)), 0);
    assert!(time.is_good());
}

#[test]
fn a_clock_that_was_behind_is_followed_as_soon_as_it_is_right() {
    let mut time = begun(T, 0);
    assert_eq!((time.now(after(0)), time.is_good()), (at(T), false));
    assert_eq!(observe(&mut time, read(T + 7 * DAY, 60, false)), 7 * 86_400 - 60);
    assert!(time.is_good());
    assert_eq!(time.now(after(60)), at(T + 7 * DAY));
}

#[test]
fn a_start_never_begins_before_the_mark() {
    let time = begun(T, T - 3600);
    assert_eq!(
        (time.now(after(0)), time.state(after(0))),
        (at(T), ClockState::Behind { by: Span::from_secs(3600) })
    );
    assert_eq!(begun(T, T + 29 * DAY).now(after(0)), at(T + 29 * DAY), "the time that it was off");
}

#[test]
fn a_clock_far_past_the_mark_is_doubted_and_the_mark_rises_by_what_has_elapsed_alone() {
    let mut time = begun(T, T + 31 * DAY);
    assert_eq!((time.now(after(9)), time.is_good()), (at(T + 9), false));
    observe(&mut time, read(T + 31 * DAY + 600, 600, true));
    assert_eq!((time.mark(), time.now(after(600))), (at(T + 600), at(T + 600)));
}

#[test]
fn in_doubt_what_would_be_over_only_by_the_jump_is_doubted_and_nothing_else() {
    let time = begun(T, T + 31 * DAY);
    let moment = time.moment(after(10));
    let earlier = at(T - 100);
    assert!(moment.doubts(earlier, at(T + 11)) && moment.doubts(earlier, at(T + 31 * DAY + 10)));
    assert!(!moment.doubts(earlier, at(T + 10)), "it is over");
    assert!(
        !moment.doubts(earlier, at(T + 31 * DAY + 11)),
        "it is not over by what is claimed either"
    );
    assert!(!moment.doubts(at(T), at(T + 600)), "this run made it");
    assert!(
        moment.spares(earlier)
            && !moment.spares(at(T))
            && !begun(T, T).moment(after(10)).spares(earlier)
    );
    assert!(!begun(T, T).moment(after(10)).doubts(earlier, at(T + 600)));
}

#[test]
fn a_doubted_clock_is_believed_after_a_day_of_being_synchronised_without_a_step() {
    let mut time = begun(T, T + 800 * DAY);
    let wall = |elapsed| T + 800 * DAY + elapsed;
    assert_eq!(observe(&mut time, read(wall(10), 10, true)), 0);
    assert_eq!(
        observe(&mut time, read(wall(50_000), 50_000, false)),
        0,
        "it is not synchronised any more"
    );
    assert_eq!(observe(&mut time, read(wall(50_010), 50_010, true)), 0);
    assert_eq!(observe(&mut time, read(wall(60_000) + 7200, 60_000, true)), 0, "another step");
    assert_eq!(observe(&mut time, read(wall(60_000 + DAY - 1) + 7200, 60_000 + DAY - 1, true)), 0);
    assert_eq!(
        observe(&mut time, read(wall(60_000 + DAY) + 7200, 60_000 + DAY, true)),
        800 * 86_400 + 7200
    );
    assert!(time.is_good());
    assert_eq!(time.mark(), at(wall(60_000 + DAY) + 7200));
}

#[test]
fn a_doubted_clock_that_is_put_right_is_good_again() {
    let mut time = begun(T, T + 800 * DAY);
    assert_eq!(observe(&mut time, read(T + 3700, 100, false)), 3600, "the time that it was off");
    assert!(time.is_good());
    assert_eq!((time.now(after(100)), time.mark()), (at(T + 3700), at(T + 3700)));
}

#[test]
fn the_operator_accepts_a_doubted_clock_and_not_one_that_is_behind() {
    let mut time = begun(T, T + 800 * DAY);
    let reading = read(T + 800 * DAY + 5, 5, false);
    let step = time.accept(reading).unwrap();
    time.taken(step);
    assert_eq!((step.by(), step.mark(), time.is_good()), (800 * 86_400, reading.wall, true));
    assert_eq!(begun(T, T - DAY).accept(read(T - DAY, 0, true)), Err(NotAccepted::Behind));
}

#[test]
fn the_operator_sets_a_false_time_back() {
    let mut time = begun(T + 2 * DAY, T);
    let step = time.accept_at(at(T + 7), read(T + 7, 7, false));
    assert!(step.sets_back());
    time.taken(step);
    assert_eq!((time.now(after(7)), time.mark(), time.is_good()), (at(T + 7), at(T + 7), true));
    assert!(!begun(T, T).accept_at(at(T + 60), read(T, 0, false)).sets_back());
}

#[test]
fn the_mark_is_due_when_it_has_risen_by_enough() {
    let mut time = begun(T, T);
    assert_eq!(time.observe(read(T + 1, 1, false)).mark, None);
    let every = MARK_EVERY.as_secs();
    assert_eq!(time.observe(read(T + every, every, false)).mark, Some(at(T + every)));
    let mut fresh = TrustedTime::begin(None, RELEASED, read(T, 0, false));
    assert_eq!(fresh.observe(read(T, 0, false)).mark, Some(at(T)));
}
