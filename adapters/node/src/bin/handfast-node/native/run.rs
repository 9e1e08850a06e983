//! `handfast-node run` for a node of the native wire.

use std::path::PathBuf;

use handfast_core::flow::native::node::{NativeMemory, Trust};
use handfast_node::native::{
    AppMessage, GatewayAt, NativeConfig, NativeEvent, NativeIdentity, NativeNode,
};
use handfast_node::{StateDir, Waits};
use serde_json::{Value, json};

use crate::args;
use crate::hint::Hints;
use crate::kept::Kept;
use crate::stop::Stop;
use crate::{Failure, put};

/// Creates the node that is stored in the directory.
pub(crate) fn node(
    dir: StateDir,
    via: Option<GatewayAt>,
    ca: args::Ca,
    waits: Waits,
    offers: Option<&args::native::OfferArgs>,
    certificate: bool,
    hints: &Hints,
) -> Result<NativeNode, Failure> {
    // Taking the lock would create a directory that is not there.
    load(&dir, hints)?;
    let state = dir.hold()?;
    // The state may have changed before the lock was taken.
    let identity = load(state.dir(), hints)?;
    let via = via.map(|gateway| vec![gateway]);
    // From where certificates are wanted, the node falls back to the address it was paired at.
    let reached = match &via {
        Some(via) if !via.iter().any(GatewayAt::needs_certificate) => via.clone(),
        Some(_) => identity.gateways.clone(),
        None => known(state.dir(), &identity),
    };
    let ca: Option<PathBuf> = ca.checked_for(&reached)?;
    let profile = "{}".to_owned();
    let keys = state.keys()?;
    let offered = offers.map(|offers| offers.capabilities(&keys)).transpose()?;
    let capabilities = offered.unwrap_or_default();
    Ok(NativeNode::new(NativeConfig {
        identity,
        profile,
        state,
        via,
        ca,
        waits,
        capabilities,
        certificate,
    })?)
}

/// Returns the addresses that a node calls: its own, and those that its gateway told it.
fn known(dir: &StateDir, identity: &NativeIdentity) -> Vec<GatewayAt> {
    let mut all = identity.gateways.clone();
    if let Ok(Some((_, NativeMemory::Paired(paired)))) = dir.load_native()
        && let Ok(Some(told)) = dir.load_addresses(paired.node_id)
    {
        all.extend(told.addresses);
    }
    all
}

/// Loads the identity of a node that is paired or has asked to be.
fn load(dir: &StateDir, hints: &Hints) -> Result<NativeIdentity, Failure> {
    let place = dir.path().display();
    match Kept::load(dir)? {
        Kept::Native(identity, NativeMemory::Blank) => Err(Failure::Failed(format!(
            "the operator revoked the node that {place} keeps; {}",
            hints.pair_anew(&identity.gateways)
        ))),
        Kept::Native(identity, NativeMemory::Asked { .. } | NativeMemory::Paired(_)) => {
            Ok(identity)
        }
        Kept::Nothing | Kept::Registration(..) => Err(Failure::Failed(format!(
            "no pairing with a sealed channel is kept in {place}; {}",
            hints.pair_first(&[])
        ))),
    }
}

pub(crate) async fn run(args: args::RunArgs, hints: &Hints) -> Result<(), Failure> {
    if args.token_file.is_some() {
        return Err(Failure::Usage(
            "this node was paired with --pin or the like and keeps its own token; leave --token-file out, or name another --state".into(),
        ));
    }
    let waits = args.waits();
    let dir = args.state.dir()?;
    let advice = Advice { gateways: load(&dir, hints)?.gateways, via: args.gateway.clone(), hints };
    let certificate = !args.no_certificate;
    let node = node(dir, args.gateway, args.ca, waits, Some(&args.offers), certificate, hints)?;
    let stop = Stop::new()?;
    let mut events = node.events();
    if !args.json {
        let advise = async {
            while let Some(event) = events.next().await {
                advice.log(&event);
            }
            // The events end with the node, whose own end decides.
            std::future::pending::<()>().await;
        };
        return tokio::select! {
            ended = node.run(stop.requested()) => Ok(ended?),
            () = advise => Ok(()),
        };
    }
    let (reading, unread) = tokio::sync::oneshot::channel::<()>();
    // A program reads the events; once it closes the pipe, the node ends in order.
    let print = async move {
        let _reading = reading;
        while let Some(event) = events.next().await {
            advice.log(&event);
            put(&format!("{}\n", as_json(&event)))?;
        }
        Ok(())
    };
    let stop = async {
        tokio::select! {
            () = stop.requested() => {}
            _ = unread => {}
        }
    };
    let (ended, printed) = tokio::join!(node.run(stop), print);
    // An error of the node tells more than one of the pipe.
    ended?;
    printed
}

/// The next commands for events that the node cannot mend by itself.
struct Advice<'h> {
    /// The gateway that the node is paired with.
    gateways: Vec<GatewayAt>,
    /// The address that was given in its place.
    via: Option<GatewayAt>,
    hints: &'h Hints,
}

impl Advice<'_> {
    fn log(&self, event: &NativeEvent) {
        let hints = self.hints;
        if matches!(event, NativeEvent::PairAgain | NativeEvent::Unpaired) {
            tracing::error!("{}", hints.pair_anew(&self.gateways));
        } else if matches!(event, NativeEvent::NotRenewed) {
            let again = hints.pair("--pin", &self.gateways);
            tracing::warn!("pair again before the token runs out: {again}");
        } else if matches!(event, NativeEvent::OtherGateway(_)) {
            let paired = list(&self.gateways);
            match &self.via {
                Some(via) if !self.gateways.contains(via) => tracing::error!(
                    "this node is paired with the gateway at {paired}, and a state directory keeps \
                     one pairing; for the gateway at {via}, pair with another --state"
                ),
                Some(_) | None => tracing::error!(
                    "if the gateway at {paired} was set up anew, {}",
                    hints.pair_anew(&self.gateways)
                ),
            }
        }
    }
}

/// Lists addresses for a message.
pub(crate) fn list(gateways: &[GatewayAt]) -> String {
    gateways.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ")
}

/// Returns the first gateway of an identity, for messages.
pub(crate) fn gateway_of(identity: &NativeIdentity) -> String {
    identity.gateways.first().map(ToString::to_string).unwrap_or_default()
}

/// Returns an event as a JSON object. The value of a bearer token is left out.
pub(crate) fn as_json(event: &NativeEvent) -> Value {
    match event {
        NativeEvent::Connecting => json!({ "event": "connecting" }),
        NativeEvent::Gateway { fingerprint, trust } => json!({
            "event": "gateway",
            "fingerprint": fingerprint.to_string(),
            "trust": match trust { Trust::Pinned => "pinned", Trust::Code => "code", Trust::FirstUse => "first use" },
        }),
        NativeEvent::OtherGateway(fingerprint) => {
            json!({ "event": "other gateway", "fingerprint": fingerprint.to_string() })
        }
        NativeEvent::TypeThePin { expires_in, attempts } => {
            json!({ "event": "type the pin", "expires_in": expires_in.as_secs(), "attempts": attempts })
        }
        NativeEvent::WrongCode { attempts_left } => {
            json!({ "event": "wrong code", "attempts_left": attempts_left })
        }
        NativeEvent::CodeConfirmed => json!({ "event": "code confirmed" }),
        NativeEvent::GatewayUnproven => json!({ "event": "gateway unproven" }),
        NativeEvent::WaitsForApproval { expires_in } => {
            json!({ "event": "waits for approval", "expires_in": expires_in.as_secs() })
        }
        NativeEvent::PairingRefused(refusal) => {
            json!({ "event": "pairing refused", "why": refusal.to_string() })
        }
        NativeEvent::Granted { node_id, room, message } => {
            json!({ "event": "granted", "node_id": node_id.to_string(), "room": room, "message": message })
        }
        NativeEvent::Linked(node_id) => {
            json!({ "event": "linked", "node_id": node_id.to_string() })
        }
        NativeEvent::Expired => json!({ "event": "expired" }),
        NativeEvent::PairAgain => json!({ "event": "pair again" }),
        NativeEvent::TurnedAway => json!({ "event": "turned away" }),
        NativeEvent::OtherVersion => json!({ "event": "other version" }),
        NativeEvent::Broken => json!({ "event": "broken" }),
        NativeEvent::Muted => json!({ "event": "muted" }),
        NativeEvent::Replaced => json!({ "event": "replaced" }),
        NativeEvent::Unmuted => json!({ "event": "unmuted" }),
        NativeEvent::Unpaired => json!({ "event": "unpaired" }),
        NativeEvent::NotAllowed { action, pattern } => {
            json!({ "event": "not allowed", "action": action.as_str(), "pattern": pattern })
        }
        NativeEvent::Renewed => json!({ "event": "renewed" }),
        NativeEvent::NotRenewed => json!({ "event": "not renewed" }),
        NativeEvent::GatewayName(name) => json!({ "event": "gateway name", "name": name }),
        NativeEvent::CertificateRenewed => json!({ "event": "certificate renewed" }),
        NativeEvent::CertificateNotRenewed => json!({ "event": "certificate not renewed" }),
        NativeEvent::Bearer(_) => json!({ "event": "bearer" }),
        NativeEvent::App(message) => app_as_json(message),
        NativeEvent::Lost(why) => json!({ "event": "lost", "why": why.to_string() }),
        NativeEvent::RetryIn(wait) => {
            json!({ "event": "retry in", "milliseconds": wait.as_millis() as u64 })
        }
        NativeEvent::Forgotten => json!({ "event": "forgotten" }),
        NativeEvent::Resting => json!({ "event": "resting" }),
        // An event of a newer library: the name of its variant tells what happened.
        other => json!({ "event": variant(&format!("{other:?}")) }),
    }
}

/// Returns the name of a variant from its debug text.
fn variant(debug: &str) -> &str {
    debug.split([' ', '(', '{']).next().unwrap_or(debug)
}

/// Returns a message as a JSON object: its payload as `text` if it is UTF-8, else as `bytes`.
pub(crate) fn app_as_json(AppMessage { action, address, bytes }: &AppMessage) -> Value {
    match std::str::from_utf8(bytes) {
        Ok(text) => {
            json!({ "event": "app", "action": action.as_str(), "address": address, "text": text })
        }
        Err(_) => {
            json!({ "event": "app", "action": action.as_str(), "address": address, "bytes": bytes })
        }
    }
}
