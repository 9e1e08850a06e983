//! Tables of the life of a dispatch at the gateway, and of a node's board.

use handfast_core::link::board::{Board, Taken};
use handfast_core::link::dispatch::{
    DispatchEnd, DispatchEvent, DispatchLife, DispatchState, Known,
};
use handfast_core::wire::native::link::DispatchId;
use handfast_core::{Span, UnixTime};

use super::Table;

const NOW: UnixTime = UnixTime::from_secs(1_000);
const LATE: UnixTime = UnixTime::from_secs(2_000);

const STATES: [DispatchState; 12] = [
    DispatchState::Queued,
    DispatchState::Sent,
    DispatchState::AwaitingMediation,
    DispatchState::Running,
    DispatchState::Succeeded,
    DispatchState::Failed,
    DispatchState::Rejected,
    DispatchState::Expired,
    DispatchState::TimedOut,
    DispatchState::Cancelled,
    DispatchState::Unknown { for_good: false },
    DispatchState::Unknown { for_good: true },
];

fn events() -> Vec<(&'static str, DispatchEvent)> {
    let answered = |known| DispatchEvent::Answered { known, now: NOW };
    vec![
        ("pushed", DispatchEvent::Pushed { now: NOW }),
        ("pushed too late", DispatchEvent::Pushed { now: LATE }),
        ("started", DispatchEvent::Started),
        ("awaits mediation", DispatchEvent::AwaitingMediation),
        ("progress", DispatchEvent::Progress),
        ("outcome Succeeded", DispatchEvent::Outcome(DispatchEnd::Succeeded)),
        ("outcome Failed", DispatchEvent::Outcome(DispatchEnd::Failed)),
        ("outcome Rejected", DispatchEvent::Outcome(DispatchEnd::Rejected)),
        ("outcome TimedOut", DispatchEvent::Outcome(DispatchEnd::TimedOut)),
        ("outcome Cancelled", DispatchEvent::Outcome(DispatchEnd::Cancelled)),
        ("cancel", DispatchEvent::Cancel),
        ("tick before the deadline", DispatchEvent::Tick { now: NOW }),
        ("tick after the deadline", DispatchEvent::Tick { now: LATE }),
        ("link lost", DispatchEvent::LinkLost),
        ("linked", DispatchEvent::Linked),
        ("answer Running", answered(Known::Running)),
        ("answer AwaitingMediation", answered(Known::AwaitingMediation)),
        ("answer Done", answered(Known::Done(DispatchEnd::Failed))),
        ("answer NotKept", answered(Known::NotKept)),
        ("answer Interrupted", answered(Known::Interrupted)),
        ("answer NeverCame", answered(Known::NeverCame)),
        (
            "answer NeverCame, too late",
            DispatchEvent::Answered { known: Known::NeverCame, now: LATE },
        ),
        ("answer Forgotten", answered(Known::Forgotten)),
        ("node restored", DispatchEvent::NodeRestored),
        ("node revoked", DispatchEvent::NodeRevoked),
        ("retry", DispatchEvent::Retry { number: 8, deadline: LATE }),
    ]
}

fn words(life: &DispatchLife) -> String {
    let mut words = format!("{:?}", life.state);
    if life.cancelling {
        words.push_str(", cancelling");
    }
    if let Some(late) = life.late {
        words.push_str(&format!(", late {late:?}"));
    }
    if life.number != 7 {
        words.push_str(&format!(", number {}", life.number));
    }
    words
}

#[test]
fn a_dispatch_moves_as_the_table_says() {
    let mut table = Table::about("link::dispatch::DispatchLife::step");
    for (kind, idempotent, cancelling) in
        [("", false, false), (", may run twice", true, false), (", cancelling", false, true)]
    {
        for state in STATES {
            let queued = DispatchLife::queued(7, Span::from_secs(99), idempotent, NOW);
            let life = DispatchLife { state, cancelling, ..queued };
            // A cancellation is under way only where an answer is due.
            if cancelling && (state.is_over() || state == DispatchState::Queued) {
                continue;
            }
            table.state(&format!("{state:?}{kind}"));
            for (name, event) in events() {
                let (next, action) = life.step(event);
                if (next, action) == (life, None) {
                    table.ignored(name);
                } else {
                    let action = action.map(|action| format!("{action:?}"));
                    table.row(name, &words(&next), action.as_slice());
                }
            }
        }
    }
    table.check("dispatch.txt");
}

fn id(byte: u8) -> DispatchId {
    DispatchId::from_bytes([byte; 16])
}

/// Boards of two places: what they did, and what they keep.
fn boards() -> Vec<(&'static str, Board<2>)> {
    let take = |board: &mut Board<2>, number: u64, which: u8| {
        assert_eq!(board.take(number, id(which)), Taken::Run);
    };
    let with = |play: &dyn Fn(&mut Board<2>)| {
        let mut board = Board::new();
        play(&mut board);
        board
    };
    let ends = |end: DispatchEnd, result: &'static [u8]| {
        with(&move |board| {
            take(board, 5, 5);
            board.finish(id(5), end, result);
        })
    };
    vec![
        ("new", Board::new()),
        ("after a loss, up to 5", Board::after_loss(5)),
        ("5 runs", with(&|board| take(board, 5, 5))),
        (
            "5 awaits mediation",
            with(&|board| {
                take(board, 5, 5);
                board.awaits_mediation(id(5));
            }),
        ),
        (
            "5 interrupted",
            with(&|board| {
                take(board, 5, 5);
                board.after_boot();
            }),
        ),
        ("5 succeeded", ends(DispatchEnd::Succeeded, b"ok")),
        ("5 succeeded, not kept", ends(DispatchEnd::Succeeded, &[0; 129])),
        ("5 failed", ends(DispatchEnd::Failed, b"why")),
        ("5 timed out", ends(DispatchEnd::TimedOut, b"")),
        (
            "5 and 6 run",
            with(&|board| {
                take(board, 5, 5);
                take(board, 6, 6);
            }),
        ),
        (
            "5 succeeded, 6 runs",
            with(&|board| {
                take(board, 5, 5);
                take(board, 6, 6);
                board.finish(id(5), DispatchEnd::Succeeded, b"ok");
            }),
        ),
        (
            "5 forgotten, 6 and 7 run",
            with(&|board| {
                take(board, 5, 5);
                board.finish(id(5), DispatchEnd::Succeeded, b"ok");
                take(board, 6, 6);
                take(board, 7, 7);
            }),
        ),
    ]
}

#[test]
fn a_board_takes_and_answers_as_the_table_says() {
    let mut table = Table::about("link::board::Board");
    for (name, board) in boards() {
        table.state(name);
        for (number, which) in [(4, 4), (5, 5), (6, 6), (9, 9), (9, 5), (5, 9)] {
            let mut taking = board.clone();
            let taken = taking.take(number, id(which));
            let then = format!("then {:?}", taking.known(number, id(which)));
            let row = format!("take number {number}, id {which}");
            table.row(&row, &format!("{taken:?}"), &[then]);
            let answer = board.known(number, id(which));
            table.row(&format!("ask number {number}, id {which}"), &format!("{answer:?}"), &[]);
        }
        for end in [DispatchEnd::Succeeded, DispatchEnd::Cancelled] {
            let mut ending = board.clone();
            let stored = ending.finish(id(5), end, b"end");
            let then = format!("then {:?}", ending.known(5, id(5)));
            table.row(&format!("finish id 5, {end:?}"), &format!("first end: {stored}"), &[then]);
        }
        let mut booted = board.clone();
        let changed = booted.after_boot();
        let then = format!("then {:?}", booted.known(5, id(5)));
        table.row("power cut", &format!("changed: {changed}"), &[then]);
    }
    table.check("board.txt");
}
