//! The operator's decisions about a linked node.

use super::super::{Peer, Turn, stay};
use super::reply::{leave, say};
use super::{LinkStage, OpenLink};
use crate::link::channel::{Channel, OutgoingBuffer};
use crate::registry::lifecycle::Notice;
use crate::step::Effects;
use crate::wire::close::Close;
use crate::wire::native::link::{Admission, Bye, FromGateway, Policy};

pub(super) fn on_push<'b>(
    channel: &mut Channel,
    stage: &mut LinkStage,
    notice: Notice,
    out: OutgoingBuffer<'b>,
) -> Turn<'b> {
    // A delegate has no entry in the registry, so it cannot be unpaired.
    let delegate = matches!(stage, LinkStage::Open(OpenLink { peer: Peer::Delegate(_), .. }));
    let attached = stage.is_attached();
    match (notice, stage) {
        (Notice::Unpaired, _) => {
            let word = match delegate {
                true => FromGateway::Admission(Admission::NotPaired),
                false => FromGateway::Policy(Policy::Unpair),
            };
            leave(channel, attached, Some(word), Bye::Done, Close::AUTHENTICATION_FAILED, out)
        }
        (Notice::Replaced, _) => {
            leave(channel, attached, None, Bye::Replaced, Close::REPLACED, out)
        }
        // The node keeps all that it has, and links again by its key.
        (Notice::Evicted, _) => leave(channel, attached, None, Bye::Done, Close::GOODBYE, out),
        (Notice::Muted, LinkStage::Open(open)) => {
            open.muted = true;
            say(channel, &FromGateway::Policy(Policy::Mute), out)
        }
        (Notice::Unmuted, LinkStage::Open(open)) => {
            open.muted = false;
            open.unmutes(channel, out)
        }
        (Notice::Quarantined, LinkStage::Open(open)) => {
            open.quarantined = true;
            say(channel, &FromGateway::Policy(Policy::Mute), out)
        }
        (Notice::Released, LinkStage::Open(open)) => {
            open.quarantined = false;
            open.unmutes(channel, out)
        }
        (Notice::Permissions, LinkStage::Open(open)) => {
            open.owed = true;
            Turn::Continue(Effects::flatten([open.take_owed()]))
        }
        (
            Notice::Muted
            | Notice::Unmuted
            | Notice::Decided
            | Notice::Permissions
            | Notice::PinEnded(_)
            | Notice::Quarantined
            | Notice::Released,
            LinkStage::Proving { .. }
            | LinkStage::Attaching(_)
            | LinkStage::AwaitChain { .. }
            | LinkStage::Presenting
            | LinkStage::Open(_),
        ) => stay([]),
    }
}
