//! Guesses at a code: reserved by the store, compared here.

use super::super::{Effect, NativeRequest, Turn, end};
use super::{HeldCode, Pairing, PairingStage, TYPING, refuse};
use crate::crypto::cpace::{self, AwaitingTa, Tag};
use crate::limits::GUESSES_PER_CODE;
use crate::link::channel::OutgoingBuffer;
use crate::registry::codes::NoGuess;
use crate::time::Instant;
use crate::wire::close::Close;
use crate::wire::native::pair::{PairFromGateway, PairRefusal};

/// Compares a guess that is counted, unless the store refused to count it.
pub(super) fn on_reserved<'b>(
    pairing: &mut Pairing,
    now: Instant,
    mut held: HeldCode,
    cpace: AwaitingTa,
    tag: &Tag,
    reserved: Result<u8, NoGuess>,
    out: OutgoingBuffer<'b>,
) -> Turn<'b> {
    let left = match reserved {
        Ok(left) => left,
        Err(no) => return refuse(pairing, &no_guess(no), out),
    };
    // The guess is counted before the comparison, as the store has counted it.
    held.wrong = held.wrong.saturating_add(1);
    // For nobody's code the store counts nothing, so this connection's own count ends it.
    let left = left.min(GUESSES_PER_CODE.saturating_sub(held.wrong));
    match (cpace.verify(tag), held.id) {
        (Ok((confirmed, answer)), Some(id)) => pairing.enter(
            // Two nodes may guess right at once, and the store lets one of them spend the code.
            PairingStage::Spending { id, confirmed, answer },
            [NativeRequest::Spend(id).into()],
        ),
        // Nobody's code fails even if the guess matches.
        (Ok(_) | Err(_), _) => on_wrong_guess(pairing, now, held, left, out),
    }
}

/// Answers a wrong guess. Another one may follow on this channel while any is left.
fn on_wrong_guess<'b>(
    pairing: &mut Pairing,
    now: Instant,
    held: HeldCode,
    left: u8,
    mut out: OutgoingBuffer<'b>,
) -> Turn<'b> {
    let refusal = match left {
        0 => PairRefusal::Locked,
        attempts_left => PairRefusal::WrongCode { attempts_left },
    };
    let wrong = NativeRequest::GuessWrong { left }.into();
    match (pairing.channel.seal(&PairFromGateway::Refused(refusal), &mut out), left) {
        (Some(frame), 0) => {
            end([wrong, Effect::Send(frame), Effect::Close(Close::AUTHENTICATION_FAILED)])
        }
        (Some(frame), _) => {
            // A further run on this channel is a further guess, counted like this one. A PIN keeps
            // its deadline.
            match held.method {
                cpace::CodeOrigin::Code => pairing.until = now.after(TYPING),
                cpace::CodeOrigin::Pin | cpace::CodeOrigin::Possession => {}
            }
            pairing.enter(PairingStage::AwaitYa { held }, [wrong, Effect::Send(frame)])
        }
        (None, _) => end([wrong, Effect::Close(Close::INTERNAL)]),
    }
}

/// Returns the refusal that says why a guess is not counted.
pub(super) const fn no_guess(no: NoGuess) -> PairRefusal<'static> {
    match no {
        NoGuess::Expired => PairRefusal::Expired,
        NoGuess::Locked => PairRefusal::Locked,
        NoGuess::Closed => PairRefusal::Closed,
    }
}
