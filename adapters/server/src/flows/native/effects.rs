//! Core's effects in owned form, so that they outlive an await, and the answers to them.

use handfast_core::budget::NoPlace;
use handfast_core::flow::native::gateway::{
    Confirmation, Effect, KnownPeer, Peer, PingAnswer, Proof,
};
use handfast_core::grant::scope;
use handfast_core::registry::ceiling::Ceiling;
use handfast_core::registry::codes::{CodeId, NoGuess};
use handfast_core::registry::grants::{Grant, GrantId};
use handfast_core::registry::record::Record;
use handfast_core::wire::close::Close;
use handfast_core::wire::native::link::Renew;
use handfast_core::{NodeId, Refusal, UnixTime};
use handfast_core::{crypto::x25519::PublicKey, wire::native::pair::VerifiedAsk};
use handfast_store::Observation;
use std::net::IpAddr;
use std::sync::Arc;

use super::reassembly::Parts;
use crate::connection::action::Action;
use crate::gateway::Inner;
use crate::gateway::common::observation;
use crate::operator::bound_setup::OwnedSetup;
use crate::policy::request::{OwnedOffer, OwnedPrepared, OwnedRequest, OwnedVerdict, RenewKind};

/// An effect in owned form.
pub(super) type NativeAction = Action<Vec<u8>, NativeRequest>;

/// A request that needs no transport.
pub(crate) enum NativeRequest {
    Refund,
    Find(PublicKey),
    Enter(PublicKey, [u8; 32]),
    Attach(NodeId),
    Detach,
    Ask(Box<OwnedRequest>),
    Reserve(Option<CodeId>),
    GuessWrong {
        left: u8,
    },
    Spend(CodeId),
    Settle(Option<CodeId>),
    SettleSetup(Box<OwnedSetup>),
    Activate(GrantId),
    Observe(Observation),
    /// Verify a chain; `None` if the parts made up no complete chain.
    Present(Option<Vec<u8>>),
    /// The authority of the peer's link may have changed.
    LookAgain(Peer),
    App(scope::Action, String, Vec<u8>),
    Subscribe(Arc<str>),
    Renew(RenewKind),
    /// The node has answered this ping, or takes none.
    Ponged(u32, PingAnswer),
}

/// A node and its grants from the store.
pub(super) struct LoadedNode {
    pub(super) record: Record,
    pub(super) grants: Vec<Grant>,
    pub(super) ceiling: Option<Box<Ceiling>>,
}

/// A node, `None` if the registry does not know it, or the refusal if it could not be read.
pub(super) type Lookup = Result<Option<Box<LoadedNode>>, Refusal>;

pub(super) fn lend(lookup: &Lookup) -> Result<Option<KnownPeer<'_>>, Refusal> {
    match lookup {
        Ok(loaded) => {
            let Some(LoadedNode { record, grants, ceiling }) = loaded.as_deref() else {
                return Ok(None);
            };
            Ok(Some(KnownPeer { record, grants, ceiling: ceiling.as_deref() }))
        }
        Err(refusal) => Err(*refusal),
    }
}

/// An answer to a request, which becomes the next input.
pub(super) enum NativeAnswer {
    Found(Lookup),
    Entered(Result<(), NoPlace>),
    Attached(Lookup),
    Prepared(OwnedPrepared),
    Reserved(Result<u8, NoGuess>),
    Spent(Result<bool, Refusal>),
    Settled(OwnedVerdict),
    Activated(Result<Confirmation, Refusal>),
    Presented(Option<UnixTime>),
    Renewed(Option<OwnedOffer>),
    /// The permissions in force for the peer were looked up again.
    Bounded {
        until: Option<UnixTime>,
        renews: bool,
    },
    /// The authority of the link is gone.
    Ended,
    /// The gateway has no room for the link.
    Full,
    /// The outcome cannot be known now, and the machine has no input for that: the connection ends,
    /// and the peer tries again.
    Unable,
    /// The store failed.
    StoreFailed,
}

/// Turns a borrowed effect into an owned action before the first await. Returns `None` if nothing
/// remains to be done.
pub(super) fn own(
    effect: Effect<'_>,
    inner: &Inner,
    address: IpAddr,
    parts: &mut Parts,
) -> Option<NativeAction> {
    let request = match effect {
        Effect::Send(frame) => return Some(NativeAction::Send(frame.to_vec())),
        Effect::Close(close) => return Some(NativeAction::Close(close)),
        Effect::Refund => NativeRequest::Refund,
        Effect::Find(key) => NativeRequest::Find(key),
        Effect::Enter(key, ephemeral) => NativeRequest::Enter(key, ephemeral),
        Effect::Attach(node_id) => NativeRequest::Attach(node_id),
        Effect::Detach => NativeRequest::Detach,
        Effect::Ask(key, asked) => NativeRequest::Ask(Box::new(request(key, &asked, address))),
        Effect::Reserve(code) => NativeRequest::Reserve(code),
        Effect::GuessWrong { left } => NativeRequest::GuessWrong { left },
        Effect::Spend(code) => NativeRequest::Spend(code),
        Effect::Settle(Proof::Nothing) => NativeRequest::Settle(None),
        Effect::Settle(Proof::Code(code, _)) => NativeRequest::Settle(Some(code)),
        Effect::Settle(Proof::Setup(verified)) => {
            NativeRequest::SettleSetup(Box::new(verified.claims().into()))
        }
        Effect::Activate(grant) => NativeRequest::Activate(grant),
        Effect::Observe(heartbeat) => NativeRequest::Observe(observation(heartbeat, inner)),
        Effect::Part(part) => match parts.take(&part) {
            Ok(()) => return None,
            Err(_) => return Some(NativeAction::Break(Close::PROTOCOL_VIOLATION)),
        },
        Effect::Present(chain) => {
            NativeRequest::Present(chain.map(<[u8]>::to_vec).or_else(|| parts.chain()))
        }
        Effect::App(app) => NativeRequest::App(
            app.action,
            app.address.as_str().to_owned(),
            app.bytes.as_bytes().to_vec(),
        ),
        Effect::Subscribe(pattern) => NativeRequest::Subscribe(pattern.as_str().into()),
        Effect::Renew(Renew::Token) => NativeRequest::Renew(RenewKind::Token),
        Effect::Renew(Renew::Chain) => NativeRequest::Renew(RenewKind::Chain),
        Effect::Ponged(number, answer) => NativeRequest::Ponged(number, answer),
        // Core never emits this effect; nothing issues certificates over this wire yet.
        Effect::Renew(Renew::Certificate { .. }) => {
            return Some(NativeAction::Break(Close::INTERNAL));
        }
    };
    Some(NativeAction::Request(request))
}

fn request(key: PublicKey, asked: &VerifiedAsk<'_>, address: IpAddr) -> OwnedRequest {
    let request = asked.request();
    OwnedRequest {
        key,
        signing: asked.key().copied(),
        name: request.name.into(),
        room: request.room.into(),
        profile: request.profile.profile().as_str().to_owned(),
        method: request.method,
        csr: request.csr.map(|csr| csr.as_bytes().to_vec()),
        address,
        number: crate::entropy::number(),
    }
}
