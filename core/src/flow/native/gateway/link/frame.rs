//! Frames from the peer of an open link.

use super::attach::inline;
use super::reply::{leave, say};
use super::{AwaitedAnswer, LinkStage, NativeLink, OpenLink};
use crate::flow::native::gateway::{Effect, FrameContext, Peer, State};
use crate::link::channel::OutgoingBuffer;
use crate::step::Step;
use crate::wire::close::Close;
use crate::wire::native::link::{Admission, Bye, FromGateway, FromNode, Renew};
use crate::wire::path::{Action, Pattern};
use crate::wire::registration::Heartbeat;

pub(super) fn on_frame<'b>(
    link: NativeLink,
    open: OpenLink,
    text: &'b [u8],
    around: &FrameContext<'_>,
    answers: bool,
    out: OutgoingBuffer<'b>,
) -> Step<State, Effect<'b>> {
    let wants = |action: Action, pattern: Pattern<'b>| FromGateway::NotAllowed { action, pattern };
    let in_force = open.in_force(around.now);
    match FromNode::parse(text) {
        Ok(FromNode::Heartbeat(heartbeat)) => {
            // An empty heartbeat in answer to the gateway's ping is not recorded. The ones that the
            // node sends by itself, about one a minute, are: they are its sign of life.
            let kept = !answers || heartbeat != Heartbeat::default();
            let step = Step::quiet(link.at(LinkStage::Open(open)));
            if kept { step.then(Effect::Observe(heartbeat)) } else { step }
        }
        Ok(FromNode::App(app)) => {
            if in_force
                && around.in_force.is_some_and(|rights| rights.allows(app.action, &app.address))
            {
                Step::with(link.at(LinkStage::Open(open)), [Effect::App(app)])
            } else {
                say(link, open, &wants(app.action, app.address.into()), out)
            }
        }
        Ok(FromNode::Subscribe { pattern }) => {
            let room = around.subscriptions_left > 0;
            if room
                && in_force
                && around.in_force.is_some_and(|rights| rights.allows_subscription(&pattern))
            {
                Step::with(link.at(LinkStage::Open(open)), [Effect::Subscribe(pattern)])
            } else {
                say(link, open, &wants(Action::Read, pattern), out)
            }
        }
        Ok(FromNode::Part(part)) => {
            Step::with(link.at(LinkStage::Open(open)), [Effect::Part(part)])
        }
        // A node that has to renew may present nothing else meanwhile.
        Ok(FromNode::Present { .. }) if open.renews => {
            say(link, open, &FromGateway::Admission(Admission::NotPaired), out)
        }
        Ok(FromNode::Present { chain }) => {
            let present = Effect::Present(inline(chain));
            Step::with(
                link.at(LinkStage::Open(OpenLink { due: AwaitedAnswer::Chain, ..open })),
                [present],
            )
        }
        Ok(FromNode::Renew(Renew::Token)) if open.renews => {
            say(link, open, &FromGateway::NotRenewed, out)
        }
        Ok(FromNode::Renew(renew @ (Renew::Token | Renew::Chain))) => match open.peer {
            Peer::Node(_) => Step::with(
                link.at(LinkStage::Open(OpenLink { due: AwaitedAnswer::Grant, ..open })),
                [Effect::Renew(renew)],
            ),
            // A delegate's chain comes from its delegator, so the gateway only renews the bearer
            // token for it.
            Peer::Delegate(_) if renew == Renew::Token => Step::with(
                link.at(LinkStage::Open(OpenLink { due: AwaitedAnswer::Grant, ..open })),
                [Effect::Renew(renew)],
            ),
            Peer::Delegate(_) => say(link, open, &FromGateway::NotRenewed, out),
        },
        // The gateway issues no certificates over this wire yet.
        Ok(FromNode::Renew(Renew::Certificate { .. })) => {
            say(link, open, &FromGateway::NotRenewed, out)
        }
        Ok(FromNode::Stored(grant)) => {
            let activate = Effect::Activate(grant);
            Step::with(
                link.at(LinkStage::Open(OpenLink {
                    due: AwaitedAnswer::Confirmation(grant),
                    ..open
                })),
                [activate],
            )
        }
        // The gateway accepts announcements, but dispatches nothing yet.
        Ok(FromNode::Announce(_) | FromNode::DispatchResult(_)) => {
            Step::quiet(link.at(LinkStage::Open(open)))
        }
        Ok(FromNode::Bye(_)) => {
            Step::with(State::Closed, [Effect::Detach, Effect::Close(Close::GOODBYE)])
        }
        Err(_) => {
            leave(link, &LinkStage::Open(open), None, Bye::Protocol, Close::PROTOCOL_VIOLATION, out)
        }
    }
}
