//! What happens, as lines of the log.

use handfast_core::time::UnixTime;

use crate::hook::{Event, Observer};

/// Writes events as log lines.
#[derive(Clone, Copy, Debug, Default)]
pub struct LogObserver;

impl Observer for LogObserver {
    fn event(&self, event: &Event) {
        match event {
            Event::Asked { node_id, name, room, address } => {
                tracing::info!(%node_id, ?name, ?room, %address, "a node asks to be paired");
            }
            Event::AskRefused { address, refusal } => {
                tracing::warn!(%address, ?refusal, "a pairing request was turned away")
            }
            Event::Paired(node_id) => tracing::info!(%node_id, "approved"),
            Event::Decided { node_id, decision } => tracing::info!(%node_id, decision, "decided"),
            Event::Linked(node_id) => tracing::info!(%node_id, "linked"),
            Event::Unlinked(node_id) => tracing::info!(%node_id, "unlinked"),
            Event::Pushed(node_id, notice) => tracing::info!(%node_id, ?notice, "pushed"),
            // Without the PIN: a log is no trusted display.
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
                tracing::warn!(left, %address, "a wrong PIN")
            }
            Event::CodeWrong { pin: false, left, address } => {
                tracing::warn!(left, %address, "a wrong code")
            }
            Event::PinsLockedFor { address } => {
                tracing::warn!(%address, "too many wrong PINs from there: PINs are locked for it until pairing is opened anew");
            }
            Event::CodeLocked => {
                tracing::warn!("a PIN or code was guessed wrong too often and is dead")
            }
            Event::WindowOpened { closes } => {
                tracing::info!(closes = closes.map(UnixTime::as_secs), "pairing by PIN is open")
            }
            Event::SessionOpened { session, profile } => {
                tracing::info!(session = %hex(session.as_bytes()), ?profile, "a companion has a session");
            }
            Event::SessionRevoked { session } => {
                tracing::info!(session = %hex(session.as_bytes()), "a session was ended")
            }
            Event::CompanionLinked { session } => {
                tracing::info!(session = %hex(session.as_bytes()), "a companion linked")
            }
            Event::CompanionUnlinked { session } => {
                tracing::info!(session = %hex(session.as_bytes()), "a companion's link ended");
            }
            // Without its code: whoever reads the log need not be who decides.
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
                tracing::info!(?channel, ?account, added, "senders are let in")
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
                tracing::info!(%node_id, "all grants were ended")
            }
            Event::DelegateLinked { fingerprint, subject } => {
                tracing::info!(%fingerprint, %subject, "a delegate linked")
            }
            Event::DelegateUnlinked { fingerprint } => {
                tracing::info!(%fingerprint, "a delegate's link ended")
            }
        }
    }
}

fn hex(id: &[u8; 16]) -> String {
    id.iter().map(|byte| format!("{byte:02x}")).collect()
}
