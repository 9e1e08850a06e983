//! Pairing by the invitation of a gateway, which came over a sealed exchange.
//!
//! The node pairs with its own keys, but in a folder of its own: what is in force stays until core
//! commits. Then the node asks the gateway again by its key, and is offered the same grant.

use std::path::{Path, PathBuf};
use std::time::Duration;

use handfast_core::crypto::x25519::PublicKey;
use handfast_core::flow::native::node::{NativeMemory, PairMethod};
use handfast_core::wire::invite::{Invite, TypedCode};
use handfast_core::{Label, Name};
use tokio::sync::oneshot;
use tokio::time::timeout;

use super::register::RegisterReply;
use crate::native::{
    GatewayAt, NativeConfig, NativeError, NativeEvent, NativeEvents, NativeIdentity, NativeNode,
    PairingRefusal, record,
};
use crate::state::{HeldState, KEYS, StateDir};

/// Limit for the whole attempt. Core's own limit is longer.
const WITHIN: Duration = Duration::from_secs(25);

/// What a node pairs with.
pub(super) struct Invited {
    pub(super) invitation: zeroize::Zeroizing<String>,
    pub(super) name: Name,
    pub(super) room: Name,
    pub(super) ca: Option<PathBuf>,
}

/// Pairs with the gateway of an invitation, with the keys of this state directory.
pub(super) async fn pair(state: &Path, folder: &Path, invited: Invited) -> RegisterReply {
    let _ = std::fs::remove_dir_all(folder);
    let reply = match attempt(state, folder, invited).await {
        Ok(reply) => reply,
        Err(why) => {
            tracing::warn!("the node cannot pair by the invitation: {why}");
            RegisterReply::NoUrl
        }
    };
    // It holds a copy of the node's keys, and is of no use any more.
    if let Err(why) = std::fs::remove_dir_all(folder)
        && why.kind() != std::io::ErrorKind::NotFound
    {
        tracing::warn!("{} cannot be removed: {why}", folder.display());
    }
    reply
}

async fn attempt(
    state: &Path,
    folder: &Path,
    invited: Invited,
) -> Result<RegisterReply, NativeError> {
    let keys = StateDir::at(state).hold().map_err(storage)?.keys()?;
    let held: HeldState = StateDir::at(folder).hold().map_err(storage)?;
    held.write_file(KEYS, &record::write_keys(&keys)).map_err(storage)?;
    let Ok(invite) = Invite::parse(&invited.invitation) else { return Ok(RegisterReply::NoUrl) };
    let gateways = gateways_of(&invite);
    if gateways.is_empty() {
        return Ok(RegisterReply::NoUrl);
    }
    let expected = *invite.gateway();
    let TypedCode { selector, code } = invite.into_code();
    let is_tls = gateways.iter().any(GatewayAt::is_tls);
    let identity = NativeIdentity {
        gateways,
        name: invited.name,
        room: invited.room,
        tokens: folder.join("tokens.json"),
        plain_tokens: false,
    };
    // The configuration holds the folder itself.
    drop(held);
    let mut config = NativeConfig::new(identity, folder).map_err(storage)?;
    config.ca = invited.ca.filter(|_| is_tls);
    // The node asks for its certificate over its link, with the keys that it keeps.
    config.certificate = false;
    let node = NativeNode::new(config)?;
    let (owner, events) = (node.owner(), node.events());
    owner.pair(PairMethod::Code { selector, code }, Some(expected)).await;
    let (stop, stopped) = oneshot::channel::<()>();
    let running = node.run(async {
        let _ = stopped.await;
    });
    let outcome = async {
        let outcome = timeout(WITHIN, outcome(events)).await.unwrap_or(Pairing::Unreachable);
        drop(stop);
        outcome
    };
    let (ended, outcome) = tokio::join!(running, outcome);
    ended?;
    Ok(match outcome {
        Pairing::Granted => match gateway_of(folder) {
            Some(key) => RegisterReply::Paired(key),
            None => RegisterReply::Unreachable,
        },
        Pairing::Refused => RegisterReply::NotPaired,
        Pairing::Unreachable => RegisterReply::Unreachable,
    })
}

/// Returns the addresses of an invitation's gateway.
pub(super) fn gateways_of(invite: &Invite<'_>) -> Vec<GatewayAt> {
    invite.addresses().iter().filter_map(GatewayAt::of_invite).collect()
}

/// Returns a text as a name, as far as it is one.
pub(super) fn label(text: &str) -> Name {
    Label::beginning(text).unwrap_or(Label::UNKNOWN).into()
}

enum Pairing {
    Granted,
    Refused,
    Unreachable,
}

async fn outcome(mut events: NativeEvents) -> Pairing {
    while let Some(event) = events.next().await {
        match event {
            NativeEvent::Granted { .. } => return Pairing::Granted,
            NativeEvent::PairingRefused(why) => {
                tracing::warn!("the gateway did not pair the node: {why}");
                return match why {
                    PairingRefusal::Busy { .. } | PairingRefusal::CannotStore { .. } => {
                        Pairing::Unreachable
                    }
                    PairingRefusal::WrongCode
                    | PairingRefusal::Expired
                    | PairingRefusal::Locked
                    | PairingRefusal::Closed
                    | PairingRefusal::Denied { .. }
                    | PairingRefusal::Revoked
                    | PairingRefusal::Spent
                    | PairingRefusal::Protocol
                    | PairingRefusal::Unsigned => Pairing::Refused,
                };
            }
            NativeEvent::OtherGateway(fingerprint) => {
                tracing::warn!("another gateway answers than the one that invited: {fingerprint}");
                return Pairing::Refused;
            }
            NativeEvent::WrongCode { .. }
            | NativeEvent::GatewayUnproven
            | NativeEvent::WaitsForApproval { .. } => return Pairing::Refused,
            NativeEvent::Connecting
            | NativeEvent::Gateway { .. }
            | NativeEvent::TypeThePin { .. }
            | NativeEvent::CodeConfirmed
            | NativeEvent::Linked(_)
            | NativeEvent::PairAgain
            | NativeEvent::Expired
            | NativeEvent::TurnedAway
            | NativeEvent::OtherVersion
            | NativeEvent::Broken
            | NativeEvent::Replaced
            | NativeEvent::Muted
            | NativeEvent::Unmuted
            | NativeEvent::Unpaired
            | NativeEvent::NotAllowed { .. }
            | NativeEvent::Renewed
            | NativeEvent::NotRenewed
            | NativeEvent::GatewayName(_)
            | NativeEvent::CertificateRenewed
            | NativeEvent::CertificateNotRenewed
            | NativeEvent::Bearer(_)
            | NativeEvent::App(_)
            | NativeEvent::Lost(_)
            | NativeEvent::RetryIn(_)
            | NativeEvent::Forgotten
            | NativeEvent::Resting => {}
        }
    }
    Pairing::Unreachable
}

fn gateway_of(folder: &Path) -> Option<PublicKey> {
    match StateDir::at(folder).load_native() {
        Ok(Some((_, NativeMemory::Paired(paired)))) => Some(paired.gateway),
        Ok(Some((_, NativeMemory::Asked { .. } | NativeMemory::Blank)) | None) | Err(_) => None,
    }
}

fn storage(error: crate::state::StateError) -> NativeError {
    NativeError::Keep(error.into())
}
