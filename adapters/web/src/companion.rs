//! The companion's role: a setup code is shown, and a session's token comes of it.

use handfast_core::flow::setup_code::companion::{Companion, Effect, Input};
use handfast_core::limits::{COMPANION_SCRATCH, SETUP_TOKEN_CHARS};
use handfast_core::{Instant, Machine};
use zeroize::Zeroizing;

use crate::reply::{Kind, Reply};

/// Begins with a bootstrap token; `None`, and a refusal in the answer, if it is too long for one.
pub(crate) fn begin(now: Instant, token: &str, reply: &mut Reply<'_>) -> Option<Companion> {
    let mut frame = Zeroizing::new([0; 2 * SETUP_TOKEN_CHARS]);
    let begun = Companion::begin(now, token, &mut *frame);
    match begun {
        Some((companion, first)) => {
            reply.bytes(Kind::SendText, &[first.as_bytes()]);
            Some(companion)
        }
        None => {
            reply.refuse("setup_code", "");
            None
        }
    }
}

/// Advances the companion, and reports its outcome.
pub(crate) fn step(
    companion: &mut Companion,
    now: Instant,
    input: Input<'_>,
    reply: &mut Reply<'_>,
) {
    let mut scratch = Zeroizing::new([0; COMPANION_SCRATCH]);
    for effect in companion.step(now, input, &mut *scratch) {
        match effect {
            Effect::Keep(token) => reply.object(Kind::Event, |object| {
                object.text("event", "session").text("token", token.expose())
            }),
            Effect::Refused(word) => reply
                .object(Kind::Event, |object| object.text("event", "refused").text("reason", word)),
            Effect::NotUnderstood => reply.event("not_understood"),
            Effect::NoAnswer => reply.event("no_answer"),
        }
    }
}
