//! The life of a dispatch and a node's board against peers that say anything in any order.

use std::collections::BTreeSet;

use handfast_core::link::board::{Board, Taken};
use handfast_core::link::dispatch::{
    DispatchAction, DispatchEnd, DispatchEvent, DispatchLife, DispatchState, Known, next_number,
};
use handfast_core::wire::native::link::{DispatchId, FromNode};
use handfast_core::{Span, UnixTime};

use crate::models;

/// Checks dispatches three ways: a run of [`models::dispatches`], a board against a gateway that
/// sends any numbers and ids, and a life against a node that sends any frames.
///
/// # Panics
/// If a task runs twice, or an end that was told is taken back.
pub fn script(data: &[u8]) {
    models::dispatches(data);
    any_gateway(data);
    any_node(data);
}

fn id(byte: u8) -> DispatchId {
    DispatchId::from_bytes([byte; 16])
}

/// A board of three places and its stored form, at power cuts between any two calls.
fn any_gateway(data: &[u8]) {
    let mut board = Board::<3>::new();
    let mut stored = [0; Board::<3>::STORED_BYTES];
    let mut length = store(&board, &mut stored);
    // What was run, by its number and id, and the ids that have an end.
    let (mut ran, mut ended) = (BTreeSet::new(), BTreeSet::new());
    for pair in data.chunks_exact(2) {
        let (what, which) = (pair[0], pair[1]);
        let (number, id) = (u64::from(which / 8), id(which % 8));
        match what % 6 {
            0 | 1 => match board.take(number, id) {
                Taken::Run => {
                    assert!(ran.insert((number, id)), "it runs twice: {number} {id:?}");
                    ended.remove(&id);
                    length = store(&board, &mut stored);
                }
                Taken::Again(known) => assert_eq!(known, board.known(number, id)),
                Taken::TooOld => assert_eq!(board.known(number, id), Known::Forgotten),
                Taken::Full => assert_eq!(board.known(number, id), Known::NeverCame),
            },
            2 => {
                let ends = [
                    DispatchEnd::Succeeded,
                    DispatchEnd::Failed,
                    DispatchEnd::Rejected,
                    DispatchEnd::TimedOut,
                    DispatchEnd::Cancelled,
                ];
                let result = vec![b'x'; usize::from(what)];
                if board.finish(id, ends[usize::from(what) % ends.len()], &result) {
                    assert!(ended.insert(id), "it ends twice: {id:?}");
                    length = store(&board, &mut stored);
                }
            }
            3 => board.awaits_mediation(id),
            4 => board.runs(id),
            _ => {
                board = read(&stored[..length]);
                board.after_boot();
                length = store(&board, &mut stored);
            }
        }
        let known = board.known(number, id);
        let came = ran.contains(&(number, id));
        assert!(!came || known != Known::NeverCame, "it came: {number} {id:?}");
        assert_eq!(Known::of(&board.answer(number, id)), known);
    }
}

fn store(board: &Board<3>, stored: &mut [u8]) -> usize {
    let length = board.write(stored).expect("the bound of the stored form").len();
    assert_eq!(read(&stored[..length]), *board);
    length
}

fn read(stored: &[u8]) -> Board<3> {
    Board::<3>::read(stored).expect("what is stored is read")
}

/// A life against a node that sends frames of any content and a link that comes and goes.
fn any_node(data: &[u8]) {
    let time = UnixTime::from_secs;
    let (mut now, mut last) = (1_000, next_number(None, time(1_000)));
    let idempotent = data.first().is_some_and(|first| first & 1 == 1);
    let mut life = DispatchLife::queued(last, Span::from_secs(9), idempotent, time(now));
    // How often it was sent, and how often it may have been sent by then.
    let (mut sent, mut allowed) = (0_u32, 1_u32);
    let mut rest = data;
    while let Some((what, after)) = rest.split_first() {
        rest = after;
        let event = match what % 8 {
            0 => DispatchEvent::Pushed { now: time(now) },
            1 => DispatchEvent::Linked,
            2 => DispatchEvent::LinkLost,
            3 => DispatchEvent::Cancel,
            4 => {
                now += u64::from(what / 8);
                DispatchEvent::Tick { now: time(now) }
            }
            5 => {
                let number = next_number(Some(last), time(now));
                assert!(number > last);
                last = number;
                DispatchEvent::Retry { number, deadline: time(now + 9) }
            }
            _ => {
                let length = usize::from(what / 8).min(rest.len());
                let (frame, after) = rest.split_at(length);
                rest = after;
                match FromNode::parse(frame) {
                    Ok(FromNode::DispatchResult(result)) => {
                        DispatchEvent::of_outcome(&result.outcome)
                    }
                    Ok(FromNode::Progress(_)) => DispatchEvent::Progress,
                    Ok(FromNode::Answer(answer)) => {
                        DispatchEvent::Answered { known: Known::of(&answer.known), now: time(now) }
                    }
                    _ => continue,
                }
            }
        };
        let (next, action) = life.step(event);
        let was_unsure = life.state == DispatchState::Unknown { for_good: false };
        let goes_back = next.state == DispatchState::Queued && life.state != DispatchState::Queued;
        if goes_back {
            let never_came = was_unsure && life.idempotent;
            assert!(never_came || life.may_retry(), "{event:?} from {life:?}");
            allowed += 1;
        }
        if matches!(action, Some(DispatchAction::Send { .. })) {
            sent += 1;
            assert!(time(now) < life.deadline && sent <= allowed, "{event:?} from {life:?}");
        }
        let told = life.state.is_over() && life.state != DispatchState::Unknown { for_good: true };
        assert!(!told || goes_back || next.state == life.state, "{event:?} from {life:?}");
        assert!(!next.state.is_over() || !next.cancelling, "{event:?} leads to {next:?}");
        assert!(life.late.is_none() || next.late == life.late, "{event:?} from {life:?}");
        life = next;
    }
}
