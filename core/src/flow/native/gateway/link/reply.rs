//! The gateway's messages over a link.

use super::OpenLink;
use crate::flow::native::gateway::offer::{Talk, seal_certificate, seal_offer};
use crate::flow::native::gateway::{
    Effect, IssuedCertificate, NativeRequest, Offer, State, Turn, end, stay,
};
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
    match seal_offer(channel, offer, Talk::Link, false, &mut out) {
        Some(frames) => Turn::Continue(Effects::flatten(frames)),
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
        None => end([NativeRequest::Detach.into(), Effect::Close(Close::INTERNAL)]),
    }
}

/// Sends one message over an open link, and what is due to the node: a new mark, the gateway's
/// name, the grant that it is owed.
pub(super) fn say_and_offer<'b>(
    channel: &mut Channel,
    open: &mut OpenLink,
    message: &FromGateway<'_>,
    mut out: OutgoingBuffer<'b>,
) -> Turn<'b> {
    match channel.seal(message, &mut out) {
        Some(frame) => {
            // A mark that does not fit is left out, because the next link offers it again.
            let mark =
                open.take_mark().map(|mark| channel.seal(&FromGateway::Mark(mark), &mut out));
            Turn::Continue(Effects::flatten([
                Some(Effect::Send(frame)),
                mark.flatten().map(Effect::Send),
                open.take_name(),
                open.take_owed(),
            ]))
        }
        None => end([NativeRequest::Detach.into(), Effect::Close(Close::INTERNAL)]),
    }
}

/// Sends the node its certificate, in parts and then by its number.
pub(super) fn issue<'b>(
    channel: &mut Channel,
    issued: &IssuedCertificate<'_>,
    mut out: OutgoingBuffer<'b>,
) -> Turn<'b> {
    let whole = FromGateway::Certificate { number: issued.number };
    let sealed = seal_certificate(channel, issued, None, Talk::Link, &mut out)
        .and_then(|parts| Some((parts, channel.seal(&whole, &mut out)?)));
    match sealed {
        Some(([first, second, third], whole)) => {
            // The number comes last, so that the node has the whole certificate when it stores it.
            Turn::Continue(Effects::flatten([first, second, third, Some(Effect::Send(whole))]))
        }
        None => leave(channel, true, None, Bye::Internal, Close::INTERNAL, out),
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
    // A message that cannot be sealed is left out, because the connection ends anyway.
    let word = word.and_then(|word| channel.seal(&word, &mut out));
    let bye = channel.seal(&FromGateway::Bye(bye), &mut out);
    let effects = Effects::flatten([
        // The table is left first, so that nothing more is pushed to a connection that closes.
        attached.then_some(NativeRequest::Detach.into()),
        word.map(Effect::Send),
        bye.map(Effect::Send),
        Some(Effect::Close(reason)),
    ]);
    Turn::Break((State::Closed, effects))
}
