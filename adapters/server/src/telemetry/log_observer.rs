//! An observer that writes events to the log.

use std::net::IpAddr;

use handfast_core::{Source, UnixTime};

use crate::events::{Event, Observer};
use crate::telemetry::log_lines::{CausedBy, LogLines};

/// Writes events as log lines. Lines that a stranger or one node can cause at will are written ten
/// times a minute for each of them, and sixty times for all sources together; then one line gives
/// the number of omitted ones. The operator's decisions are always written.
#[derive(Clone, Debug, Default)]
pub struct LogObserver {
    lines: LogLines,
}

/// Returns the kind of an event's lines, and the peer that can cause them at will; `None` if nobody
/// can.
fn caused(event: &Event) -> Option<(&'static str, CausedBy)> {
    let from = |address: &IpAddr| CausedBy::Source(Source::of(*address));
    Some(match event {
        Event::Asked { address, .. } => ("a node asks to be paired", from(address)),
        Event::AskRefused { address, .. } => ("a pairing request was turned away", from(address)),
        Event::LeftOut { address } => ("more comes than displays are told of", from(address)),
        Event::PairingRequest { address, .. } => {
            ("a node asks to be paired with a PIN", from(address))
        }
        Event::CodeWrong { pin: true, address, .. } => ("a wrong PIN", from(address)),
        Event::CodeWrong { pin: false, address, .. } => ("a wrong code", from(address)),
        Event::PinsLockedFor { address } => ("too many wrong PINs", from(address)),
        Event::CodeLocked => ("a PIN or code is dead", CausedBy::Any),
        Event::Linked(node_id) => ("linked", CausedBy::Node(*node_id)),
        Event::Unlinked(node_id) => ("unlinked", CausedBy::Node(*node_id)),
        Event::Replaced { node_id, .. } => ("a link was replaced", CausedBy::Node(*node_id)),
        Event::Dispatch { node_id, .. } => ("a task changes", CausedBy::Node(*node_id)),
        Event::GrantOffered { node_id, .. } => ("a grant is offered", CausedBy::Node(*node_id)),
        Event::GrantActivated { node_id, .. } => ("a grant is active", CausedBy::Node(*node_id)),
        Event::CertificateIssued { node_id, .. } => {
            ("a certificate is issued", CausedBy::Node(*node_id))
        }
        Event::GatewayIsOlder { node_id } => {
            ("a node is newer than this gateway", CausedBy::Node(*node_id))
        }
        Event::DelegateLinked { subject, .. } => {
            ("a delegate linked", CausedBy::Subject(*subject.as_bytes()))
        }
        // The event does not name the subject of the delegate.
        Event::DelegateUnlinked { .. } => ("a delegate's link ended", CausedBy::Any),
        Event::CompanionLinked { session } => ("a companion linked", CausedBy::Session(*session)),
        Event::CompanionUnlinked { session } => {
            ("a companion's link ended", CausedBy::Session(*session))
        }
        Event::SenderAsked { .. } => ("a stranger asks to be let in", CausedBy::Any),
        Event::Paired(_)
        | Event::Decided { .. }
        | Event::Pushed(..)
        | Event::Pinged { .. }
        | Event::WindowOpened { .. }
        | Event::WindowClosed
        | Event::WindowLocked
        | Event::SessionOpened { .. }
        | Event::SessionRevoked { .. }
        | Event::LoggedIn { .. }
        | Event::LoginEnded { .. }
        | Event::SenderAllowed { .. }
        | Event::SenderDecided { .. }
        | Event::SendersSeeded { .. }
        | Event::CertificatesRevoked { .. }
        | Event::CloneAlarm { .. }
        | Event::GrantRevoked { .. } => return None,
    })
}

impl Observer for LogObserver {
    fn event(&self, event: &Event) {
        if caused(event).is_some_and(|(kind, cause)| !self.lines.writes(kind, cause)) {
            return;
        }
        match event {
            Event::Asked { node_id, name, room, address } => {
                tracing::info!(%node_id, ?name, ?room, %address, "a node asks to be paired");
            }
            Event::AskRefused { address, refusal } => {
                tracing::warn!(%address, ?refusal, "a pairing request was turned away");
            }
            Event::LeftOut { address } => {
                tracing::warn!(%address, "more comes from there than displays are told of");
            }
            Event::Paired(node_id) => tracing::info!(%node_id, "approved"),
            Event::Decided { node_id, decision } => tracing::info!(%node_id, decision, "decided"),
            Event::CertificateIssued { node_id, serial } => {
                tracing::info!(%node_id, %serial, "a certificate is issued");
            }
            Event::CertificatesRevoked { count } => {
                tracing::info!(count, "certificates are revoked");
            }
            Event::CloneAlarm { node_id, older, newer } => tracing::error!(
                %node_id,
                older = older.map(|older| older.address).map(tracing::field::display),
                older_at = older.map(|older| older.at.as_secs()),
                newer = %newer.address,
                newer_at = newer.at.as_secs(),
                "a copy of the node's state is in use: the node is in quarantine. If it was a \
                 restored backup, `nodes release` lets the machine that links next go on. If its \
                 state was stolen, no software can tell the thief from the owner: `nodes revoke` \
                 it, and pair the device anew"
            ),
            Event::GatewayIsOlder { node_id } => tracing::warn!(
                %node_id,
                "a node has a mark that this gateway made and does not remember: the registry is \
                 older than its nodes. Was it restored from a backup?"
            ),
            Event::Linked(node_id) => tracing::info!(%node_id, "linked"),
            Event::Unlinked(node_id) => tracing::info!(%node_id, "unlinked"),
            Event::Replaced { node_id, older, newer, times } if older == newer => {
                tracing::info!(%node_id, %newer, times, "linked again; its older link is ended");
            }
            Event::Replaced { node_id, older, newer, times } => tracing::warn!(
                %node_id, %older, %newer, times,
                "linked from another address; its older link is ended, so often within the last \
                 minute. If this repeats, two machines share one key: was the node's state copied?"
            ),
            Event::Pushed(node_id, notice) => tracing::info!(%node_id, ?notice, "pushed"),
            Event::Pinged { node_id, time } => tracing::info!(%node_id, ?time, "answered a ping"),
            Event::Dispatch { node_id, id, state } => {
                tracing::info!(%node_id, id = hex(id.as_bytes()), state, "a task");
            }
            // The PIN is left out: a log is no trusted display.
            Event::PairingRequest {
                name,
                room,
                fingerprint,
                pin: _,
                expires_in,
                address,
                opened_by: _,
            } => {
                tracing::info!(?name, ?room, %fingerprint, expires_in, %address, "a node asks to be paired with a PIN");
            }
            Event::CodeWrong { pin: true, left, address } => {
                tracing::warn!(left, %address, "a wrong PIN");
            }
            Event::CodeWrong { pin: false, left, address } => {
                tracing::warn!(left, %address, "a wrong code");
            }
            Event::PinsLockedFor { address } => {
                tracing::warn!(%address, "too many wrong PINs from there: PINs are locked for it until pairing is opened anew");
            }
            Event::CodeLocked => {
                tracing::warn!("a PIN or code was guessed wrong too often and is dead");
            }
            Event::WindowOpened { closes } => {
                tracing::info!(closes = closes.map(UnixTime::as_secs), "pairing by PIN is open");
            }
            Event::SessionOpened { session, profile } => {
                tracing::info!(session = %hex(session.as_bytes()), ?profile, "a companion has a session");
            }
            Event::SessionRevoked { session } => {
                tracing::info!(session = %hex(session.as_bytes()), "a session was ended");
            }
            Event::LoggedIn { login, name, role, address } => {
                let (login, role) = (hex(login.as_bytes()), role.as_str());
                tracing::info!(%login, ?name, role, address = address.map(tracing::field::display), "an operator logged in");
            }
            Event::LoginEnded { login } => {
                tracing::info!(login = %hex(login.as_bytes()), "an operator's session or token was ended");
            }
            Event::CompanionLinked { session } => {
                tracing::info!(session = %hex(session.as_bytes()), "a companion linked");
            }
            Event::CompanionUnlinked { session } => {
                tracing::info!(session = %hex(session.as_bytes()), "a companion's link ended");
            }
            // The code is left out: a reader of the log need not be the operator.
            Event::SenderAsked { channel, account, sender } => {
                tracing::info!(?channel, ?account, ?sender, "a stranger asks to be let in");
            }
            Event::SenderAllowed { channel, account, sender } => {
                tracing::info!(?channel, ?account, ?sender, "a sender is let in");
            }
            Event::SenderDecided { channel, account, sender, decision } => {
                tracing::info!(?channel, ?account, ?sender, decision, "a sender is decided about");
            }
            Event::SendersSeeded { channel, account, added } => {
                tracing::info!(?channel, ?account, added, "senders are let in");
            }
            Event::WindowClosed => tracing::info!("pairing by PIN is closed"),
            Event::WindowLocked => {
                tracing::warn!(
                    "too many wrong PINs: pairing by PIN is closed until the operator opens it again"
                );
            }
            Event::GrantOffered { node_id, grant } => {
                tracing::info!(%node_id, grant = %hex(grant.as_bytes()), "a grant is offered");
            }
            Event::GrantActivated { node_id, grant } => {
                tracing::info!(%node_id, grant = %hex(grant.as_bytes()), "a grant is active");
            }
            Event::GrantRevoked { node_id, grant: Some(grant) } => {
                tracing::info!(%node_id, grant = %hex(grant.as_bytes()), "a grant was ended");
            }
            Event::GrantRevoked { node_id, grant: None } => {
                tracing::info!(%node_id, "all grants were ended");
            }
            Event::DelegateLinked { fingerprint, subject } => {
                tracing::info!(%fingerprint, %subject, "a delegate linked");
            }
            Event::DelegateUnlinked { fingerprint } => {
                tracing::info!(%fingerprint, "a delegate's link ended");
            }
        }
    }
}

fn hex(id: &[u8; 16]) -> String {
    id.iter().map(|byte| format!("{byte:02x}")).collect()
}

#[cfg(test)]
mod tests;
