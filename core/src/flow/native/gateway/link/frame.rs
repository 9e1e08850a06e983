//! Frames from the peer of an open link.

use super::attach::inline;
use super::reply::{leave, say};
use super::{AwaitedAnswer, OpenLink};
use crate::flow::native::gateway::{Effect, FrameContext, Peer, PingAnswer, Turn, end, stay};
use crate::link::channel::{Channel, OutgoingBuffer};
use crate::wire::close::Close;
use crate::wire::native::link::{Admission, Bye, FromGateway, FromNode, Renew};
use crate::wire::path::{Action, Pattern};
use crate::wire::registration::Heartbeat;

pub(super) fn on_frame<'b>(
    channel: &mut Channel,
    open: &mut OpenLink,
    text: &'b [u8],
    around: &FrameContext<'_>,
    answers: bool,
    out: OutgoingBuffer<'b>,
) -> Turn<'b> {
    let wants = |action: Action, pattern: Pattern<'b>| FromGateway::NotAllowed { action, pattern };
    let in_force = open.in_force(around.now);
    match FromNode::parse(text) {
        // An empty heartbeat in answer to the gateway's ping is not recorded. The ones that the
        // node sends by itself, about one a minute, are: they are its sign of life.
        Ok(FromNode::Heartbeat(heartbeat)) if answers && heartbeat == Heartbeat::default() => {
            stay([])
        }
        Ok(FromNode::Heartbeat(heartbeat)) => stay([Effect::Observe(heartbeat)]),
        Ok(FromNode::App(app)) => {
            if in_force
                && around.in_force.is_some_and(|rights| rights.allows(app.action, &app.address))
            {
                stay([Effect::App(app)])
            } else {
                say(channel, &wants(app.action, app.address.into()), out)
            }
        }
        Ok(FromNode::Subscribe { pattern }) => {
            let room = around.subscriptions_left > 0;
            if room
                && in_force
                && around.in_force.is_some_and(|rights| rights.allows_subscription(&pattern))
            {
                stay([Effect::Subscribe(pattern)])
            } else {
                say(channel, &wants(Action::Read, pattern), out)
            }
        }
        Ok(FromNode::Part(part)) => stay([Effect::Part(part)]),
        // A node that has to renew may present nothing else meanwhile.
        Ok(FromNode::Present { .. }) if open.renews => {
            say(channel, &FromGateway::Admission(Admission::NotPaired), out)
        }
        Ok(FromNode::Present { chain }) => {
            open.due = AwaitedAnswer::Chain;
            stay([Effect::Present(inline(chain))])
        }
        Ok(FromNode::Renew(Renew::Token)) if open.renews => {
            say(channel, &FromGateway::NotRenewed, out)
        }
        Ok(FromNode::Renew(renew @ (Renew::Token | Renew::Chain))) => match (open.peer, renew) {
            // A delegate's chain comes from its delegator, so the gateway only renews the bearer
            // token for it.
            (Peer::Delegate(_), Renew::Chain | Renew::Certificate { .. }) => {
                say(channel, &FromGateway::NotRenewed, out)
            }
            (Peer::Node(_), _) | (Peer::Delegate(_), Renew::Token) => {
                open.due = AwaitedAnswer::Grant;
                stay([Effect::Renew(renew)])
            }
        },
        // The gateway issues no certificates over this wire yet.
        Ok(FromNode::Renew(Renew::Certificate { .. })) => {
            say(channel, &FromGateway::NotRenewed, out)
        }
        Ok(FromNode::Stored(grant)) => {
            open.due = AwaitedAnswer::Confirmation(grant);
            stay([Effect::Activate(grant)])
        }
        // The gateway accepts announcements, but dispatches nothing yet.
        Ok(FromNode::Announce(_) | FromNode::DispatchResult(_)) => stay([]),
        Ok(FromNode::Pong { number }) => stay([Effect::Ponged(number, PingAnswer::Came)]),
        Ok(FromNode::Bye(_)) => end([Effect::Detach, Effect::Close(Close::GOODBYE)]),
        // A link has one beginning.
        Ok(FromNode::Hello(_)) | Err(_) => {
            leave(channel, true, None, Bye::Protocol, Close::PROTOCOL_VIOLATION, out)
        }
    }
}
