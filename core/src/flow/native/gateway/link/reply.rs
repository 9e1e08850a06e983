//! The gateway's messages over a link.

use super::OpenLink;
use crate::flow::native::gateway::offer::{Talk, seal_offer};
use crate::flow::native::gateway::{Effect, Offer, State, Turn, end, stay};
use crate::link::channel::{Channel, OutgoingBuffer};
use crate::step::Effects;
use crate::wire::close::Close;
use crate::wire::native::link::{Bye, FromGateway};

/// Sends the node its new grant.
pub(super) fn offer_it<'b>(
    channel: &mut Channel,
    offer: Offer<'_>,
    mut out: OutgoingBuffer<'b>,
) -> Turn<'b> {
    match seal_offer(channel, offer, Talk::Link, &mut out) {
        Some(frames) => Turn::Continue(frames),
        None => leave(channel, true, None, Bye::Internal, Close::INTERNAL, out),
    }
}

/// Sends one message over an open link.
pub(super) fn say<'b>(
    channel: &mut Channel,
    message: &FromGateway<'_>,
    mut out: OutgoingBuffer<'b>,
) -> Turn<'b> {
    match channel.seal(message, &mut out) {
        Some(frame) => stay([Effect::Send(frame)]),
        None => end([Effect::Detach, Effect::Close(Close::INTERNAL)]),
    }
}

/// Sends one message over an open link, and asks for the grant that the node is owed, if there is
/// one.
pub(super) fn say_and_offer<'b>(
    channel: &mut Channel,
    open: &mut OpenLink,
    message: &FromGateway<'_>,
    mut out: OutgoingBuffer<'b>,
) -> Turn<'b> {
    match channel.seal(message, &mut out) {
        Some(frame) => {
            Turn::Continue(Effects::flatten([Some(Effect::Send(frame)), open.take_owed()]))
        }
        None => end([Effect::Detach, Effect::Close(Close::INTERNAL)]),
    }
}

/// Ends the link from the gateway's side: leaves the table if it is `attached`, sends a last message
/// if there is one, then `Bye`, and closes.
pub(super) fn leave<'b>(
    channel: &mut Channel,
    attached: bool,
    word: Option<FromGateway<'_>>,
    bye: Bye,
    reason: Close,
    mut out: OutgoingBuffer<'b>,
) -> Turn<'b> {
    let word = word.and_then(|word| channel.seal(&word, &mut out));
    let bye = channel.seal(&FromGateway::Bye(bye), &mut out);
    let effects = Effects::flatten([
        attached.then_some(Effect::Detach),
        word.map(Effect::Send),
        bye.map(Effect::Send),
        Some(Effect::Close(reason)),
    ]);
    Turn::Break((State::Closed, effects))
}
