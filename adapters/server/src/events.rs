//! What happens in a gateway, as its observer hears it.

use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use handfast_core::crypto::code::Code;
use handfast_core::crypto::fingerprint::Fingerprint;
use handfast_core::grant::certificate::Serial;
use handfast_core::registry::authority::Role;
use handfast_core::registry::grants::GrantId;
use handfast_core::registry::lifecycle::Notice;
use handfast_core::registry::sessions::{LoginId, Maker, SessionId};
use handfast_core::wire::native::link::DispatchId;
use handfast_core::{NodeId, Refusal, UnixTime};
use handfast_store::LinkedFrom;

/// A PIN, for a display that only trusted people see. Only [`Pin::expose`] reveals it.
#[derive(Clone, PartialEq, Eq)]
pub struct Pin(Arc<Code>);

impl Pin {
    pub(crate) fn new(code: Code) -> Self {
        Self(Arc::new(code))
    }

    /// Returns the PIN's characters.
    #[must_use]
    pub fn expose(&self) -> &str {
        // Minted PINs are ASCII letters and digits, so the fallback is never taken.
        std::str::from_utf8(self.0.expose()).unwrap_or_default()
    }
}

impl std::fmt::Debug for Pin {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Pin(redacted)")
    }
}

/// A listener for the gateway's events. It is called from the gateway's tasks and must not block:
/// queue the event and return.
pub trait Observer: Send + Sync + 'static {
    /// Handles an event. A decision is durable by then.
    fn event(&self, event: &Event);
}

/// An event of the gateway. No event contains a token; one contains a PIN, hidden from logs.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Event {
    /// A node asked to be paired, for the first time or again.
    Asked {
        /// The id of the waiting entry.
        node_id: NodeId,
        /// The node's own name for itself.
        name: String,
        /// The room that the node says it is in.
        room: String,
        /// The address of the request.
        address: IpAddr,
    },
    /// A request was refused without an entry in the registry.
    AskRefused {
        /// The address of the request.
        address: IpAddr,
        /// The reason for the refusal.
        refusal: Refusal,
    },
    /// The operator approved a node, or issued it a new token.
    Paired(NodeId),
    /// The operator took another decision about a node.
    Decided {
        /// The node concerned.
        node_id: NodeId,
        /// The decision's name, as on the command line.
        decision: &'static str,
    },
    /// A node's link opened.
    Linked(NodeId),
    /// A node's link ended.
    Unlinked(NodeId),
    /// A node's new connection took the place of its link. Two addresses that take turns are two
    /// machines with a copy of one key.
    Replaced {
        /// The node concerned.
        node_id: NodeId,
        /// The address of the link that ends.
        older: IpAddr,
        /// The address of the new connection.
        newer: IpAddr,
        /// How often this happened to the node within the last minute, this time included.
        times: u32,
    },
    /// A node answered a ping.
    Pinged {
        /// The node that answered.
        node_id: NodeId,
        /// The time until its answer.
        time: Duration,
    },
    /// A task for a node was queued, or has changed its state.
    Dispatch {
        /// The node that runs the task.
        node_id: NodeId,
        /// The id of the dispatch.
        id: DispatchId,
        /// The word of its state, or `late` for a result that came after its end.
        state: &'static str,
    },
    /// A notice was pushed to a live link.
    Pushed(NodeId, Notice),
    /// An address causes more requests and wrong codes than the operator's displays show. The
    /// waiting requests are still listed.
    LeftOut {
        /// The address of the requests.
        address: IpAddr,
    },
    /// A node asked to be paired with a PIN. Show the PIN where only trusted people see it.
    PairingRequest {
        /// The node's own name for itself.
        name: String,
        /// The room that the node says it is in.
        room: String,
        /// The fingerprint of the node's static key.
        fingerprint: Fingerprint,
        /// The PIN that the person types at the node.
        pin: Pin,
        /// The PIN's life in seconds.
        expires_in: u32,
        /// The address of the request; 0.0.0.0 for a serial line.
        address: IpAddr,
        /// The maker of the pairing window, who opened pairing by PIN.
        opened_by: Maker,
    },
    /// A guess of a PIN or a code was wrong.
    CodeWrong {
        /// `true` for a PIN, `false` for a code.
        pin: bool,
        /// The number of guesses left.
        left: u8,
        /// The address of the guess.
        address: IpAddr,
    },
    /// Too many wrong guesses have locked a PIN or a code.
    CodeLocked,
    /// Too many wrong PINs came from one source. PINs are locked for it until pairing is opened
    /// anew; other sources continue.
    PinsLockedFor {
        /// The address of the last guess.
        address: IpAddr,
    },
    /// Pairing by PIN is open.
    WindowOpened {
        /// The time at which pairing closes by itself; `None` if it stays open.
        closes: Option<UnixTime>,
    },
    /// A setup code was spent, and a companion has a session.
    SessionOpened {
        /// The id of the session.
        session: SessionId,
        /// The profile that defines the session's rights.
        profile: String,
    },
    /// The operator or the companion ended a session.
    SessionRevoked {
        /// The id of the session.
        session: SessionId,
    },
    /// An operator logged in with a link, and has a session.
    LoggedIn {
        /// The id of the session.
        login: LoginId,
        /// The operator's name.
        name: String,
        /// The role of the session.
        role: Role,
        /// The address of the browser, if it is known.
        address: Option<IpAddr>,
    },
    /// An operator's session or token was ended.
    LoginEnded {
        /// The id of the session or token.
        login: LoginId,
    },
    /// A companion with a session opened a connection.
    CompanionLinked {
        /// The id of the session.
        session: SessionId,
    },
    /// A companion's connection ended.
    CompanionUnlinked {
        /// The id of the session.
        session: SessionId,
    },
    /// An unknown sender wrote over a channel, and waits for approval.
    SenderAsked {
        /// The name of the channel.
        channel: String,
        /// The receiving account on the channel.
        account: String,
        /// The sender, as the channel names it.
        sender: String,
    },
    /// The operator allowed a sender.
    SenderAllowed {
        /// The name of the channel.
        channel: String,
        /// The receiving account on the channel.
        account: String,
        /// The sender, as the channel names it.
        sender: String,
    },
    /// The operator took another decision about a sender.
    SenderDecided {
        /// The name of the channel.
        channel: String,
        /// The receiving account on the channel; `None` for all accounts.
        account: Option<String>,
        /// The sender, as the channel names it.
        sender: String,
        /// The decision's name, as on the command line.
        decision: &'static str,
    },
    /// The operator allowed many senders at once.
    SendersSeeded {
        /// The name of the channel.
        channel: String,
        /// The receiving account on the channel.
        account: String,
        /// The number of new senders among them.
        added: u64,
    },
    /// Pairing by PIN is closed.
    WindowClosed,
    /// Too many wrong PINs have closed pairing by PIN.
    WindowLocked,
    /// A grant was made for a node.
    GrantOffered {
        /// The node that the grant is for.
        node_id: NodeId,
        /// The id of the grant.
        grant: GrantId,
    },
    /// A node confirmed a grant, or used it.
    GrantActivated {
        /// The node that holds the grant.
        node_id: NodeId,
        /// The id of the grant.
        grant: GrantId,
    },
    /// Grants of a node were revoked.
    GrantRevoked {
        /// The node that held the grants.
        node_id: NodeId,
        /// The revoked grant; `None` for all of the node's grants.
        grant: Option<GrantId>,
    },
    /// A node was issued a certificate.
    CertificateIssued {
        /// The node that the certificate is bound to.
        node_id: NodeId,
        /// The serial number of the certificate.
        serial: Serial,
    },
    /// The operator revoked certificates.
    CertificatesRevoked {
        /// The number of certificates that were valid until then.
        count: usize,
    },
    /// A node has shown an older mark than it has confirmed: its state was copied. It is in
    /// quarantine until the operator releases or revokes it.
    CloneAlarm {
        /// The node concerned.
        node_id: NodeId,
        /// The last link before the alarm, if it is known.
        older: Option<LinkedFrom>,
        /// The link that raised the alarm.
        newer: LinkedFrom,
    },
    /// A node has shown a mark that this gateway made and does not remember: the gateway's registry
    /// is older than the node.
    GatewayIsOlder {
        /// The node that showed it.
        node_id: NodeId,
    },
    /// A delegate, the holder of a chain, linked.
    DelegateLinked {
        /// The fingerprint of the delegate's static key.
        fingerprint: Fingerprint,
        /// The fingerprint of the node that the gateway issued the chain to.
        subject: Fingerprint,
    },
    /// The link of a delegate ended.
    DelegateUnlinked {
        /// The fingerprint of the delegate's static key.
        fingerprint: Fingerprint,
    },
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pin_in_an_event_is_not_in_its_debug_text() {
        let pin = Pin::new(Code::parse("847291").unwrap());
        assert_eq!(pin.expose(), "847291");
        assert!(!format!("{pin:?}").contains("847291"));
    }
}
