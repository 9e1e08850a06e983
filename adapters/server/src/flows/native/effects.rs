//! Core's effects in owned form, so that they outlive an await, and the answers to them.

use handfast_core::budget::NoPlace;
use handfast_core::flow::native::gateway::{
    CloneStanding, Confirmation, Effect, KnownPeer, NativeRequest, Peer, Proof,
};
use handfast_core::grant::scope;
use handfast_core::registry::ceiling::Ceiling;
use handfast_core::registry::codes::{CodeId, NoGuess};
use handfast_core::registry::grants::Grant;
use handfast_core::registry::record::Record;
use handfast_core::wire::close::Close;
use handfast_core::wire::native::pair::NativeProfile;
use handfast_core::wire::registration::Profile;
use handfast_core::{Refusal, UnixTime};
use handfast_core::{crypto::x25519::PublicKey, wire::native::pair::VerifiedAsk};
use handfast_store::Observation;
use std::net::IpAddr;
use std::sync::Arc;

use super::context::TaskOrder;
use super::reassembly::{Arrived, Parts};
use super::reports::{NodeReport, OwnedIssue};
use crate::connection::action::Action;
use crate::gateway::Inner;
use crate::gateway::common::observation;
use crate::operator::bound_setup::OwnedSetup;
use crate::pairing::certificates::OwnedCertificate;
use crate::policy::request::{
    CertificateRequest, OwnedOffer, OwnedPrepared, OwnedRequest, OwnedVerdict,
};

/// An effect in owned form.
pub(super) type NativeAction = Action<Vec<u8>, NativeJob>;

/// Work that needs no transport. An effect that borrows from the step's buffers is copied, because
/// the work awaits; a request of core is handed on as it is.
pub(crate) enum NativeJob {
    Request(NativeRequest),
    Ask(Box<OwnedRequest>),
    Settle(Option<CodeId>),
    SettleSetup(Box<OwnedSetup>),
    Observe(Observation),
    /// Verify a chain; `None` if the parts made up no complete chain.
    Present(Option<Vec<u8>>),
    /// The authority of the peer's link may have changed.
    LookAgain(Peer),
    App(scope::Action, String, Vec<u8>),
    /// Keeps the node's profile.
    Describe(String),
    Subscribe(Arc<str>),
    /// Issue a certificate for the verified request.
    Issue(OwnedIssue),
    /// The node has reported something.
    Report(NodeReport),
    /// Send the tasks that wait for the node.
    Tasks,
}

/// A node and its grants from the store.
pub(super) struct LoadedNode {
    /// The outcome of comparing the mark that the node has shown.
    pub(super) clone: CloneStanding,
    pub(super) record: Record,
    pub(super) grants: Vec<Grant>,
    pub(super) ceiling: Option<Box<Ceiling>>,
}

/// A node, `None` if the registry does not know it, or the refusal if it could not be read.
pub(super) type Lookup = Result<Option<Box<LoadedNode>>, Refusal>;

pub(super) fn lend(lookup: &Lookup) -> Result<Option<KnownPeer<'_>>, Refusal> {
    match lookup {
        Ok(loaded) => {
            let Some(LoadedNode { clone, record, grants, ceiling }) = loaded.as_deref() else {
                return Ok(None);
            };
            let ceiling = ceiling.as_deref();
            Ok(Some(KnownPeer { record, grants, ceiling, clone: *clone }))
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
    /// A certificate; `None` if the node gets none.
    Issued(Result<Option<OwnedCertificate>, Refusal>),
    /// The gateway's name.
    Name(String),
    /// Addresses of the gateway that the node has not confirmed.
    Addresses(String),
    /// Messages about dispatches, which may leave now.
    Orders(Vec<TaskOrder>),
    /// The permissions in force for the peer were looked up again.
    Bounded {
        until: Option<UnixTime>,
        renews: bool,
    },
    /// The authority of the link is gone.
    Ended,
    /// The certificate that the link was opened with is not allowed any more.
    Uncertified,
    /// The gateway has no room for the link.
    Full,
    /// The outcome cannot be known now, and the machine has no input for that: the connection ends,
    /// and the peer tries again.
    Unable,
    /// The store failed.
    StoreFailed,
}

/// Turns a borrowed effect into an owned action before the first await. Returns `None` if nothing
/// remains to be done. The effects are those of a peer at this address, `true` if that is a web page of
/// a foreign origin.
pub(super) fn own(
    effect: Effect<'_>,
    inner: &Inner,
    from: (IpAddr, bool),
    parts: &mut Parts,
) -> Option<NativeAction> {
    Some(NativeAction::Work(match effect {
        Effect::Send(frame) => return Some(NativeAction::Send(frame.to_vec())),
        Effect::Close(close) => return Some(NativeAction::Close(close)),
        Effect::Request(request) => NativeJob::Request(request),
        Effect::Ask(key, asked) => NativeJob::Ask(Box::new(request(key, &asked, from))),
        Effect::Settle(Proof::Nothing) => NativeJob::Settle(None),
        // Core has verified the proof and made sure that the code is spent: its id stands for both.
        Effect::Settle(Proof::Code(code, _)) => NativeJob::Settle(Some(code)),
        Effect::Settle(Proof::Setup(verified)) => {
            NativeJob::SettleSetup(Box::new(verified.claims().into()))
        }
        Effect::Observe(heartbeat) => NativeJob::Observe(observation(heartbeat, inner)),
        Effect::Part(part) => match parts.take(&part) {
            // The object is complete only with a later part.
            Ok(Arrived::Nothing) => return None,
            Ok(Arrived::Profile(bytes)) => match profile(&bytes) {
                Some(text) => NativeJob::Describe(text),
                None => return Some(NativeAction::Break(Close::PROTOCOL_VIOLATION)),
            },
            Err(_) => return Some(NativeAction::Break(Close::PROTOCOL_VIOLATION)),
        },
        Effect::Present(chain) => {
            NativeJob::Present(chain.map(<[u8]>::to_vec).or_else(|| parts.chain()))
        }
        Effect::App(app) => NativeJob::App(
            app.action,
            app.address.as_str().to_owned(),
            app.bytes.as_bytes().to_vec(),
        ),
        Effect::Subscribe(pattern) => NativeJob::Subscribe(pattern.as_str().into()),
        Effect::Issue(issue) => NativeJob::Issue(issue.into()),
        Effect::Announced(announce) => NativeJob::Report(announce.into()),
        Effect::Outcome(result) => NativeJob::Report(result.into()),
        Effect::Progress(progress) => NativeJob::Report(progress.into()),
        Effect::Answered(answer) => NativeJob::Report(answer.into()),
    }))
}

/// Returns a profile as text; `None` if the bytes are none.
fn profile(bytes: &[u8]) -> Option<String> {
    let text = std::str::from_utf8(bytes).ok()?;
    NativeProfile::new(Profile::parse(text)?).map(|profile| profile.profile().as_str().to_owned())
}

fn request(key: PublicKey, asked: &VerifiedAsk<'_>, from: (IpAddr, bool)) -> OwnedRequest {
    let (address, foreign_page) = from;
    let request = asked.request();
    OwnedRequest {
        key,
        signing: asked.key().copied(),
        name: request.name.into(),
        room: request.room.into(),
        profile: request.profile.profile().as_str().to_owned(),
        method: request.method,
        wants: request.wants.into(),
        csr: request.csr.map(|csr| CertificateRequest::read(csr.as_bytes())),
        address,
        foreign_page,
        number: crate::entropy::number(),
    }
}
