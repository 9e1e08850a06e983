//! The gateway's messages over a link.

use super::{AwaitedAnswer, LinkStage, NativeLink, OpenLink};
use crate::flow::native::gateway::pairing::{Talk, seal_offer};
use crate::flow::native::gateway::{Effect, Offer, Peer, State};
use crate::link::channel::OutgoingBuffer;
use crate::step::Step;
use crate::wire::close::Close;
use crate::wire::native::link::{Bye, FromGateway, Renew};

/// Asks for the grant that a node is owed, once no other answer is due.
pub(super) fn offering(mut step: Step<State, Effect<'_>>) -> Step<State, Effect<'_>> {
    if let State::Link(NativeLink {
        stage:
            LinkStage::Open(
                open @ OpenLink {
                    owed: true, due: AwaitedAnswer::None, peer: Peer::Node(_), ..
                },
            ),
        ..
    }) = &mut step.next
    {
        (open.owed, open.due) = (false, AwaitedAnswer::Owed);
        return step.then(Effect::Renew(Renew::Chain));
    }
    step
}

/// Sends the node its new grant.
pub(super) fn offer_it<'b>(
    mut link: NativeLink,
    open: OpenLink,
    offer: Offer<'_>,
    mut out: OutgoingBuffer<'b>,
) -> Step<State, Effect<'b>> {
    match seal_offer(&mut link.channel, offer, Talk::Link, &mut out) {
        Some(step) => step.wrap(|()| link.at(LinkStage::Open(open)), |effect| effect),
        None => leave(link, &LinkStage::Open(open), None, Bye::Internal, Close::INTERNAL, out),
    }
}

/// Sends one message and stays open.
pub(super) fn say<'b>(
    mut link: NativeLink,
    open: OpenLink,
    message: &FromGateway<'_>,
    mut out: OutgoingBuffer<'b>,
) -> Step<State, Effect<'b>> {
    match link.channel.seal(message, &mut out) {
        Some(frame) => Step::with(link.at(LinkStage::Open(open)), [Effect::Send(frame)]),
        None => Step::with(State::Closed, [Effect::Detach, Effect::Close(Close::INTERNAL)]),
    }
}

/// Ends the link from the gateway's side: leaves the table, sends a last message if there is one,
/// then `Bye`, and closes.
pub(super) fn leave<'b>(
    mut link: NativeLink,
    stage: &LinkStage,
    word: Option<FromGateway<'_>>,
    bye: Bye,
    reason: Close,
    mut out: OutgoingBuffer<'b>,
) -> Step<State, Effect<'b>> {
    let mut step = Step::quiet(State::Closed);
    if matches!(stage, LinkStage::Attaching(_) | LinkStage::Open(_)) {
        step = step.then(Effect::Detach);
    }
    for message in word.into_iter().chain([FromGateway::Bye(bye)]) {
        if let Some(frame) = link.channel.seal(&message, &mut out) {
            step = step.then(Effect::Send(frame));
        }
    }
    step.then(Effect::Close(reason))
}
