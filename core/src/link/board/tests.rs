use super::*;
use crate::limits::BOARD_OF_DEVICE;

fn id(number: u64) -> DispatchId {
    let [byte, ..] = number.to_le_bytes();
    DispatchId::from_bytes([byte; 16])
}

fn run<const N: usize>(board: &mut Board<N>, number: u64) {
    assert_eq!(board.take(number, id(number)), Taken::Run);
    assert!(board.finish(id(number), DispatchEnd::Succeeded, b"done"));
}

#[test]
fn a_dispatch_that_comes_twice_runs_once() {
    let mut board = Board::<2>::new();
    assert_eq!(board.known(1, id(1)), Known::NeverCame);
    assert_eq!(board.take(1, id(1)), Taken::Run);
    assert_eq!(board.take(1, id(1)), Taken::Again(Known::Running));
    board.awaits_mediation(id(1));
    assert_eq!(board.take(1, id(1)), Taken::Again(Known::AwaitingMediation));
    board.runs(id(1));
    assert!(board.finish(id(1), DispatchEnd::Failed, b"too dark"));
    assert_eq!(board.take(1, id(1)), Taken::Again(Known::Done(DispatchEnd::Failed)));
    assert_eq!(board.take(9, id(1)), Taken::Again(Known::Done(DispatchEnd::Failed)));
    assert_eq!(board.result(id(1)), Some(&b"too dark"[..]));
}

#[test]
fn only_the_first_end_of_a_running_task_counts() {
    let mut board = Board::<2>::new();
    assert!(!board.finish(id(1), DispatchEnd::Succeeded, b""), "it never came");
    run(&mut board, 1);
    assert!(!board.finish(id(1), DispatchEnd::Cancelled, b""));
    board.awaits_mediation(id(1));
    board.runs(id(1));
    assert_eq!(board.known(1, id(1)), Known::Done(DispatchEnd::Succeeded));
    assert_eq!(board.result(id(1)), Some(&b"done"[..]));
}

#[test]
fn what_ran_at_a_power_cut_is_interrupted_and_not_run_again() {
    let mut board = Board::<3>::new();
    run(&mut board, 1);
    assert_eq!(board.take(2, id(2)), Taken::Run);
    assert_eq!(board.take(3, id(3)), Taken::Run);
    board.awaits_mediation(id(3));
    assert!(board.after_boot());
    assert!(!board.after_boot());
    for number in [2, 3] {
        assert_eq!(board.known(number, id(number)), Known::Interrupted);
        assert_eq!(board.take(number, id(number)), Taken::Again(Known::Interrupted));
        assert!(!board.finish(id(number), DispatchEnd::Succeeded, b""));
    }
    assert_eq!(board.known(1, id(1)), Known::Done(DispatchEnd::Succeeded));
}

#[test]
fn what_is_forgotten_is_never_run_and_never_said_to_have_never_come() {
    let mut board = Board::<BOARD_OF_DEVICE>::new();
    for number in 10..30 {
        run(&mut board, number);
    }
    for number in 1..22 {
        assert_eq!(board.take(number, id(number)), Taken::TooOld, "{number}");
        assert_eq!(board.known(number, id(number)), Known::Forgotten, "{number}");
    }
    for number in 22..30 {
        assert_eq!(board.known(number, id(number)), Known::Done(DispatchEnd::Succeeded));
    }
    assert_eq!(board.known(30, id(30)), Known::NeverCame);
}

#[test]
fn a_dispatch_that_comes_out_of_its_order_runs_if_its_number_was_not_forgotten() {
    let mut board = Board::<2>::new();
    run(&mut board, 7);
    run(&mut board, 8);
    // The lowest one is forgotten for it, which leaves it below the mark and on the board.
    run(&mut board, 5);
    assert_eq!(board.take(5, id(5)), Taken::Again(Known::Done(DispatchEnd::Succeeded)));
    assert_eq!(board.take(6, id(6)), Taken::TooOld);
    run(&mut board, 9);
    assert_eq!(board.take(5, id(5)), Taken::TooOld);
}

#[test]
fn what_runs_is_not_forgotten_and_a_board_full_of_it_takes_nothing_more() {
    let mut board = Board::<2>::new();
    assert_eq!(board.take(1, id(1)), Taken::Run);
    run(&mut board, 2);
    assert_eq!(board.take(3, id(3)), Taken::Run);
    assert_eq!(board.take(4, id(4)), Taken::Full);
    assert_eq!(board.known(4, id(4)), Known::NeverCame, "nothing was noted of it");
    assert_eq!(board.known(1, id(1)), Known::Running);
}

#[test]
fn a_long_result_is_known_to_be_done_and_a_long_reason_is_cut_between_characters() {
    let mut board = Board::<2>::new();
    assert_eq!(board.take(1, id(1)), Taken::Run);
    assert!(board.finish(id(1), DispatchEnd::Succeeded, &[7; BOARD_RESULT_BYTES + 1]));
    assert_eq!((board.known(1, id(1)), board.result(id(1))), (Known::NotKept, None));
    assert_eq!(board.take(2, id(2)), Taken::Run);
    let reason = std::format!("x{}", "ü".repeat(80));
    assert!(board.finish(id(2), DispatchEnd::Rejected, reason.as_bytes()));
    assert_eq!(board.known(2, id(2)), Known::Done(DispatchEnd::Rejected));
    assert_eq!(board.result(id(2)), Some(&reason.as_bytes()[..127]));
    let mut board = Board::<1>::new();
    assert_eq!(board.take(1, id(1)), Taken::Run);
    assert!(board.finish(id(1), DispatchEnd::Succeeded, &[7; BOARD_RESULT_BYTES]));
    assert_eq!(board.result(id(1)), Some(&[7; BOARD_RESULT_BYTES][..]));
}

#[test]
fn an_answer_over_the_wire_says_what_the_board_knows() {
    let mut board = Board::<3>::new();
    let known = |board: &Board<3>, number| Known::of(&board.answer(number, id(number)));
    let ends: [(DispatchEnd, &[u8]); 5] = [
        (DispatchEnd::Succeeded, b"{}"),
        (DispatchEnd::Failed, b"no power"),
        (DispatchEnd::Rejected, b"busy"),
        (DispatchEnd::TimedOut, b""),
        (DispatchEnd::Cancelled, b""),
    ];
    for (number, (end, result)) in (1..).zip(ends) {
        assert_eq!(known(&board, number), Known::NeverCame);
        assert_eq!(board.take(number, id(number)), Taken::Run);
        assert_eq!(known(&board, number), Known::Running);
        board.awaits_mediation(id(number));
        assert_eq!(known(&board, number), Known::AwaitingMediation);
        assert!(board.finish(id(number), end, result));
        assert_eq!(known(&board, number), Known::Done(end));
        assert_eq!(board.result(id(number)), Some(result));
    }
    assert_eq!(known(&board, 1), Known::Forgotten);
    assert_eq!(board.take(6, id(6)), Taken::Run);
    assert!(board.finish(id(6), DispatchEnd::Succeeded, &[b'x'; BOARD_RESULT_BYTES + 1]));
    assert_eq!(known(&board, 6), Known::NotKept);
    assert_eq!(board.take(7, id(7)), Taken::Run);
    assert!(board.after_boot());
    assert_eq!(known(&board, 7), Known::Interrupted);
    let payload = Payload::new(&[b'x'; 3]).unwrap();
    assert_eq!(board.take(8, id(8)), Taken::Run);
    assert!(board.finish(id(8), DispatchEnd::Succeeded, payload.as_bytes()));
    let expected = FinalOutcome::new(Outcome::Succeeded(payload)).unwrap();
    assert_eq!(board.answer(8, id(8)), KnownDispatch::Done(expected));
    // A reason that is only space as far as it is kept.
    let blank = std::format!("{}x", " ".repeat(BOARD_RESULT_BYTES));
    assert_eq!(board.take(9, id(9)), Taken::Run);
    assert!(board.finish(id(9), DispatchEnd::Failed, blank.as_bytes()));
    assert_eq!(known(&board, 9), Known::Interrupted);
}

#[test]
fn a_lost_board_runs_only_what_was_made_after_its_loss() {
    let mut board = Board::<2>::after_loss(100);
    assert_eq!(board.take(100, id(1)), Taken::TooOld);
    assert_eq!(board.known(99, id(2)), Known::Forgotten);
    assert_eq!(board.take(101, id(3)), Taken::Run);
}

#[test]
fn the_longest_board_reads_back_from_its_stored_form_and_a_wrong_one_does_not() {
    const N: usize = BOARD_OF_DEVICE;
    let mut board = Board::<N>::new();
    for number in 1..=N as u64 {
        let high = u64::MAX - number;
        assert_eq!(board.take(high, id(number)), Taken::Run);
        assert!(board.finish(id(number), DispatchEnd::Failed, &[b'x'; BOARD_RESULT_BYTES]));
    }
    board.forgotten = u64::MAX;
    let mut bytes = [0; Board::<N>::STORED_BYTES];
    let written = board.write(&mut bytes).unwrap();
    assert_eq!(Board::<N>::read(written), Some(board));
    assert_eq!(Board::<{ N - 1 }>::read(written), None, "too many entries");
    assert_eq!(Board::<N>::read(&written[..written.len() - 1]), None);
    assert_eq!(Board::<N>::read(&[written, &[0]].concat()), None);
    let twice = [(1_u64, id(1), Stage::Running), (2, id(1), Stage::Running)];
    let written = postcard::to_slice(&(0_u64, &twice[..]), &mut bytes).unwrap();
    assert_eq!(Board::<N>::read(written), None, "an id stands twice");
}
