//! Frames from the peer of an open link.

use super::attach::inline;
use super::known_gateway::{KEY_PING, KnownGateway};
use super::reply::{leave, say};
use super::told_addresses::ADDRESSES_PING;
use super::{AwaitedAnswer, OpenLink};
use crate::flow::native::gateway::{
    Effect, FrameContext, Issue, NativeRequest, Peer, PingAnswer, RenewKind, Turn, end, stay,
};
use crate::link::channel::{Channel, OutgoingBuffer};
use crate::step::Effects;
use crate::wire::close::Close;
use crate::wire::native::link::{Admission, Bye, FromGateway, FromNode, Renew};
use crate::wire::path::{Action, Pattern};
use crate::wire::registration::Heartbeat;

pub(super) fn on_frame<'b>(
    channel: &mut Channel,
    open: &mut OpenLink,
    gateway: &mut KnownGateway,
    text: &'b [u8],
    around: &FrameContext<'_>,
    answers: bool,
    mut out: OutgoingBuffer<'b>,
) -> Turn<'b> {
    let wants = |action: Action, pattern: Pattern<'b>| FromGateway::NotAllowed { action, pattern };
    let in_force = open.in_force(around.now);
    match FromNode::parse(text) {
        // An empty heartbeat in answer to the gateway's ping is not recorded. The ones that the
        // node sends by itself, about one a minute, are: they are its sign of life.
        Ok(FromNode::Heartbeat(heartbeat)) if answers && heartbeat == Heartbeat::default() => {
            stay([])
        }
        // The node sends its first one as the link begins.
        Ok(FromNode::Heartbeat(heartbeat)) => {
            let key = open.seal_key(channel, around.keys, &mut out);
            let [news, ping] = gateway.news(channel, open, around.keys, &mut out);
            let seen = Some(Effect::Observe(heartbeat));
            // A step has four effects, so the addresses wait for a heartbeat with a free one.
            Turn::Continue(Effects::flatten(match (key, ping) {
                (None, ping) => [seen, open.take_addresses(gateway), news, ping],
                (key, None) => [seen, key, news, open.take_addresses(gateway)],
                (key, ping) => [seen, key, news, ping],
            }))
        }
        Ok(FromNode::App(app)) => {
            if in_force
                && around.in_force.is_some_and(|rights| rights.allows(app.action, &app.address))
            {
                stay([Effect::App(app)])
            } else {
                // A missing right ends no link, because rights change while the link stays.
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
                // A full quota is answered like a missing scope: the wire has one word for both.
                say(channel, &wants(Action::Read, pattern), out)
            }
        }
        Ok(FromNode::Part(part)) => stay([Effect::Part(part)]),
        // A node that has to renew may present nothing else meanwhile, and one in quarantine nothing
        // at all.
        Ok(FromNode::Present { .. }) if open.renews || open.quarantined => {
            say(channel, &FromGateway::Admission(Admission::NotPaired), out)
        }
        Ok(FromNode::Present { chain }) => {
            open.due = AwaitedAnswer::Chain;
            stay([Effect::Present(inline(chain))])
        }
        // An expired grant entitles to no bearer, only to its own renewal.
        Ok(FromNode::Renew(Renew::Token)) if open.renews => {
            say(channel, &FromGateway::NotRenewed, out)
        }
        // A copy must not gain anything that outlives the quarantine.
        Ok(FromNode::Renew(Renew::Token | Renew::Chain)) if open.quarantined => {
            say(channel, &FromGateway::NotRenewed, out)
        }
        // A delegate's chain comes from its delegator, so the gateway only renews the bearer token
        // for it.
        Ok(FromNode::Renew(Renew::Chain)) if matches!(open.peer, Peer::Delegate(_)) => {
            say(channel, &FromGateway::NotRenewed, out)
        }
        Ok(FromNode::Renew(Renew::Token)) => renew(open, RenewKind::Token),
        Ok(FromNode::Renew(Renew::Chain)) => renew(open, RenewKind::Chain),
        Ok(FromNode::Renew(Renew::Certificate(renewal))) => {
            match open.verified(renewal, &channel.hash) {
                Some(verified) => {
                    open.due = AwaitedAnswer::Certificate;
                    stay([Effect::Issue(Issue::Renewal(verified))])
                }
                None => say(channel, &FromGateway::NotIssued, out),
            }
        }
        Ok(FromNode::Stored(grant)) => {
            // Every id is passed on, because the registry alone knows which offers exist.
            open.due = AwaitedAnswer::Confirmation(grant);
            stay([NativeRequest::Activate(grant).into()])
        }
        // A delegate has no entry in the registry: nothing is dispatched to it, and it has neither
        // marks nor certificates.
        Ok(
            FromNode::Announce(_)
            | FromNode::DispatchResult(_)
            | FromNode::Progress(_)
            | FromNode::Answer(_)
            | FromNode::MarkStored(_)
            | FromNode::CertificateStored { .. },
        ) if matches!(open.peer, Peer::Delegate(_)) => stay([]),
        Ok(FromNode::Announce(announce)) => stay([Effect::Announced(announce)]),
        Ok(FromNode::DispatchResult(result)) => stay([Effect::Outcome(result)]),
        Ok(FromNode::Progress(progress)) => stay([Effect::Progress(progress)]),
        Ok(FromNode::Answer(answer)) => stay([Effect::Answered(answer)]),
        Ok(FromNode::MarkStored(mark)) => stay([NativeRequest::MarkStored(mark).into()]),
        Ok(FromNode::CertificateStored { number }) => {
            stay([NativeRequest::CertificateStored(number).into()])
        }
        Ok(FromNode::Pong { number: KEY_PING }) if gateway.is_told() => {
            Turn::Continue(Effects::flatten([gateway.stored()]))
        }
        Ok(FromNode::Pong { number: ADDRESSES_PING }) if open.addresses.awaits_pong() => {
            Turn::Continue(Effects::flatten([open.addresses.stored()]))
        }
        Ok(FromNode::Pong { number }) => {
            stay([NativeRequest::Ponged(number, PingAnswer::Came).into()])
        }
        // The node has left already, so no `Bye` answers it.
        Ok(FromNode::Bye(_)) => end([NativeRequest::Detach.into(), Effect::Close(Close::GOODBYE)]),
        // A link has one beginning.
        Ok(FromNode::Hello(_) | FromNode::Identify(_)) | Err(_) => {
            leave(channel, true, None, Bye::Protocol, Close::PROTOCOL_VIOLATION, out)
        }
    }
}

/// Asks for a new grant, for which the peer waits.
fn renew<'b>(open: &mut OpenLink, kind: RenewKind) -> Turn<'b> {
    open.due = AwaitedAnswer::Grant;
    stay([NativeRequest::Renew(kind).into()])
}
