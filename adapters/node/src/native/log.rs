//! Log messages for the events of a node of the native wire, with advice on errors.

use handfast_core::flow::native::node::Trust;

use super::address::GatewayAt;
use super::event::NativeEvent;

/// Logs an event. `linked` is the index of the address that the connection was opened at.
pub(super) fn log(event: &NativeEvent, gateways: &[GatewayAt], linked: usize) {
    let at = |index| gateways.get(index).map(ToString::to_string).unwrap_or_default();
    match event {
        NativeEvent::Connecting => tracing::info!(gateway = %at(0), "connecting"),
        NativeEvent::Gateway { fingerprint, trust: Trust::Pinned } => {
            tracing::info!("the gateway is {fingerprint}, as expected");
        }
        NativeEvent::Gateway { fingerprint, trust: Trust::Code } => {
            tracing::info!("the gateway says it is {fingerprint}; the code will verify it");
        }
        NativeEvent::Gateway { fingerprint, trust: Trust::FirstUse } => {
            tracing::warn!(
                "the gateway is {fingerprint}: trust on first use; compare it with what the gateway shows"
            );
        }
        NativeEvent::OtherGateway(fingerprint) => tracing::error!(
            "another gateway answers: {fingerprint}. Nothing was told to it; check the address"
        ),
        NativeEvent::TypeThePin { expires_in, attempts } => {
            tracing::info!(
                "the gateway shows a PIN for {} s; it may be tried {attempts} times",
                expires_in.as_secs()
            );
        }
        NativeEvent::WrongCode { attempts_left } => {
            tracing::warn!("wrong PIN or code, {attempts_left} attempts left");
        }
        NativeEvent::CodeConfirmed => tracing::info!("the gateway knows the code"),
        NativeEvent::GatewayUnproven => {
            tracing::error!("whoever answers did not know the code; nothing of theirs is taken");
        }
        NativeEvent::WaitsForApproval { expires_in } => {
            tracing::info!("waits for the operator for {} s", expires_in.as_secs());
        }
        NativeEvent::PairingRefused(refusal) => tracing::error!("not paired: {refusal}"),
        NativeEvent::Granted { node_id, room, .. } => tracing::info!(%node_id, room, "paired"),
        NativeEvent::Linked(node_id) => {
            tracing::info!(%node_id, gateway = %at(linked), "linked");
        }
        NativeEvent::PairAgain => {
            tracing::error!(
                "the gateway does not know this node any more, or has revoked it; its operator knows which"
            );
        }
        NativeEvent::Expired => tracing::info!("the grant ran out; asking for it anew"),
        NativeEvent::TurnedAway => {
            tracing::warn!("turned away, unsigned; a gateway that has too much to do says so");
        }
        NativeEvent::OtherVersion => {
            tracing::warn!(
                "told, unsigned, that another version is spoken there; update this node or the gateway"
            );
        }
        NativeEvent::Broken => tracing::warn!(
            "what came was not what the gateway would send; somebody on the way changes messages, or a line loses them"
        ),
        NativeEvent::Muted => {
            tracing::warn!(
                "muted: the operator has to unmute this node; it stays linked meanwhile"
            );
        }
        NativeEvent::Replaced => tracing::error!(
            "another connection with this node's key took the place of this one: is its state \
             directory in use on another machine, too? Each node needs a pairing of its own"
        ),
        NativeEvent::Unmuted => tracing::info!("unmuted"),
        NativeEvent::Unpaired => {
            tracing::error!("unpaired by the operator; only a node with new keys can pair again");
        }
        NativeEvent::NotAllowed { action, pattern } => {
            tracing::warn!("not allowed: no scope of this node's token covers {action}:{pattern}");
        }
        NativeEvent::Renewed => tracing::info!("the token was renewed"),
        NativeEvent::NotRenewed => {
            tracing::warn!("the gateway does not renew the token; the node has to be paired again");
        }
        NativeEvent::GatewayName(name) => tracing::info!("the gateway is called {name:?}"),
        NativeEvent::CertificateRenewed => tracing::info!("the certificate was renewed"),
        NativeEvent::CertificateNotRenewed => {
            tracing::warn!("the gateway does not renew the certificate at the moment");
        }
        NativeEvent::Bearer(_) => tracing::debug!("a bearer token came"),
        NativeEvent::App(message) => {
            tracing::debug!(action = %message.action, address = message.address, "came");
        }
        NativeEvent::Lost(why) => tracing::warn!("{why}"),
        NativeEvent::RetryIn(wait) => tracing::info!("trying again in {:.1} s", wait.as_secs_f32()),
        NativeEvent::Resting => tracing::debug!("nothing to do until the owner wishes something"),
        NativeEvent::Forgotten => tracing::info!("the pairing is forgotten"),
    }
}
