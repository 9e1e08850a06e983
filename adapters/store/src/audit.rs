//! The audit log: who decided what, about what, when and from where.
//!
//! Each decision appends its entry in the transaction that carries it out. The entries are the
//! leaves of a Merkle tree ([`handfast_core::registry::audit_tree`]).
//!
//! An entry is a line of JSON. It holds ids, numbers and fixed words, never a name, a label or a
//! secret: [`Detail`] has no variant for other text. The names of senders lie in rows of their own,
//! which can be removed without changing an entry.

use std::net::IpAddr;

use async_trait::async_trait;
use handfast_core::grant::capability;
use handfast_core::grant::certificate::{KeyHash, Serial};
use handfast_core::registry::audit_tree::{Hash, Proof};
use handfast_core::registry::codes::CodeId;
use handfast_core::registry::grants::GrantId;
use handfast_core::registry::policies::PolicyId;
use handfast_core::registry::sessions::{LoginId, Maker, SessionId};
use handfast_core::wire::native::link::DispatchId;
use handfast_core::wire::setup::Nonce;
use handfast_core::{NodeId, UnixTime, rfc3339};

use crate::{SenderName, StoreError};

/// Maximum length of an entry in bytes; every entry is shorter.
pub const ENTRY_BYTES: usize = 1024;

/// The one who decides.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Who {
    /// The operator on the local socket, or at an import.
    Operator,
    /// A session, within its permissions.
    Session(SessionId),
    /// An operator who has logged in, or a program with an operator's token.
    Login(LoginId),
    /// The policy of the settings, or the embedding program's.
    Policy,
    /// The holder of a code or provisioning token that was minted in advance.
    Code(CodeId),
    /// The holder of a setup code.
    SetupCode(Nonce),
    /// A node, about itself.
    Node(NodeId),
    /// The gateway by itself, as a consequence of time or of an earlier decision, or the program
    /// that embeds it.
    Gateway,
}

impl Who {
    /// Returns the word of an entry.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Operator => "operator",
            Self::Session(_) => "session",
            Self::Login(_) => "login",
            Self::Policy => "policy",
            Self::Code(_) => "code",
            Self::SetupCode(_) => "setup-code",
            Self::Node(_) => "node",
            Self::Gateway => "gateway",
        }
    }

    fn id(self) -> Option<String> {
        match self {
            Self::Session(id) => Some(hex(id.as_bytes())),
            Self::Login(id) => Some(hex(id.as_bytes())),
            Self::Code(id) => Some(hex(id.as_bytes())),
            Self::SetupCode(nonce) => Some(hex(nonce.as_bytes())),
            Self::Node(id) => Some(id.to_string()),
            Self::Operator | Self::Policy | Self::Gateway => None,
        }
    }
}

impl From<Maker> for Who {
    fn from(maker: Maker) -> Self {
        match maker {
            Maker::Operator => Self::Operator,
            Maker::Session(id) => Self::Session(id),
            Maker::Login(id) => Self::Login(id),
        }
    }
}

/// Where a decision comes from. It travels with a store's handle
/// ([`Store::by`](crate::Store::by)) into the entry of each decision that is made over it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Origin {
    /// The one who decides.
    pub who: Who,
    /// Address of the peer, if the decision came over a network.
    pub from: Option<IpAddr>,
    /// Time of the decision by the gateway's clock, for operations that are given none.
    pub at: UnixTime,
    /// Time from which the decision was in force, if it could not be stored then.
    pub since: Option<UnixTime>,
}

impl Origin {
    /// The origin over a handle that was given none: the gateway itself.
    pub const GATEWAY: Self = Self::new(Who::Gateway, UnixTime::from_secs(0));

    /// Returns an origin without an address.
    #[must_use]
    pub const fn new(who: Who, at: UnixTime) -> Self {
        Self { who, from: None, at, since: None }
    }
}

/// The kind of a decision.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[allow(missing_docs, reason = "the names say it")]
pub enum What {
    Approve,
    /// A node was approved in the place of another, which was revoked.
    Replace,
    Reissue,
    /// Approvals in advance were allowed, for a time and a number of nodes.
    MakePolicy,
    EndPolicy,
    SetMode,
    Mute,
    Unmute,
    Reject,
    RejectForGood,
    Revoke,
    /// A node waits again, because its approval was undone.
    Unapprove,
    Import,
    Register,
    Permissions,
    Rename,
    Forget,
    EndGrants,
    RevokeCapability,
    RevokeKey,
    OpenPairing,
    ClosePairing,
    MintCode,
    MintToken,
    WithdrawCode,
    MakeSetupCode,
    EndSetupCodes,
    RotateSetupKey,
    OpenSession,
    RefreshSession,
    RevokeSession,
    /// An operator logged in with a link.
    LogIn,
    /// A token for a program was made, with an operator's role.
    MakeAccessToken,
    /// An operator's session or token was ended.
    EndLogin,
    /// What ended sessions had made has ended.
    EndOrphans,
    ApproveSender,
    RejectSender,
    BlockSender,
    UnblockSender,
    RevokeSender,
    /// The name of a sender that is out was removed from the registry and from the log.
    ForgetSender,
    IssueCertificate,
    RevokeCertificates,
    RotateCa,
    RotateKey,
    /// The older key of the gateway was erased, at the end of an overlap or before it.
    FinishKeyRotation,
    Evict,
    Release,
    /// Nodes are told other addresses of the gateway.
    Move,
    Invoke,
    Cancel,
    Retry,
    /// A secret was not delivered, so the decision behind it is undone.
    Undo,
    AcceptClock,
}

impl What {
    /// Returns the word of an entry.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Approve => "approve",
            Self::Replace => "replace",
            Self::Reissue => "reissue",
            Self::MakePolicy => "make-policy",
            Self::EndPolicy => "end-policy",
            Self::SetMode => "set-mode",
            Self::Mute => "mute",
            Self::Unmute => "unmute",
            Self::Reject => "reject",
            Self::RejectForGood => "reject-for-good",
            Self::Revoke => "revoke",
            Self::Unapprove => "unapprove",
            Self::Import => "import",
            Self::Register => "register",
            Self::Permissions => "permissions",
            Self::Rename => "rename",
            Self::Forget => "forget",
            Self::EndGrants => "end-grants",
            Self::RevokeCapability => "revoke-capability",
            Self::RevokeKey => "revoke-key",
            Self::OpenPairing => "open-pairing",
            Self::ClosePairing => "close-pairing",
            Self::MintCode => "mint-code",
            Self::MintToken => "mint-token",
            Self::WithdrawCode => "withdraw-code",
            Self::MakeSetupCode => "make-setup-code",
            Self::EndSetupCodes => "end-setup-codes",
            Self::RotateSetupKey => "rotate-setup-key",
            Self::OpenSession => "open-session",
            Self::RefreshSession => "refresh-session",
            Self::RevokeSession => "revoke-session",
            Self::LogIn => "log-in",
            Self::MakeAccessToken => "make-access-token",
            Self::EndLogin => "end-login",
            Self::EndOrphans => "end-orphans",
            Self::ApproveSender => "approve-sender",
            Self::RejectSender => "reject-sender",
            Self::BlockSender => "block-sender",
            Self::UnblockSender => "unblock-sender",
            Self::RevokeSender => "revoke-sender",
            Self::ForgetSender => "forget-sender",
            Self::IssueCertificate => "issue-certificate",
            Self::RevokeCertificates => "revoke-certificates",
            Self::RotateCa => "rotate-ca",
            Self::RotateKey => "rotate-key",
            Self::FinishKeyRotation => "finish-key-rotation",
            Self::Evict => "evict",
            Self::Release => "release",
            Self::Move => "move",
            Self::Invoke => "invoke",
            Self::Cancel => "cancel",
            Self::Retry => "retry",
            Self::Undo => "undo",
            Self::AcceptClock => "accept-clock",
        }
    }
}

/// What a decision is about, or a fact about it: an id, a number or a fixed word.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Detail {
    /// Id of a node.
    Node(NodeId),
    /// Id of the node whose place another takes.
    Replaces(NodeId),
    /// Id of an approval policy.
    Policy(PolicyId),
    /// Id of a grant.
    Grant(GrantId),
    /// Id of a block of a capability token.
    Capability(capability::Id),
    /// A node's static key.
    Key([u8; 32]),
    /// Id of a code or a provisioning token.
    Code(CodeId),
    /// Nonce of a setup code, which is worth nothing without its signature.
    SetupCode(Nonce),
    /// Id of a session.
    Session(SessionId),
    /// Id of an operator's session or token.
    Login(LoginId),
    /// Reference to the row that has a sender's name, as long as that is there.
    Sender([u8; 32]),
    /// Serial number of a certificate.
    Certificate(Serial),
    /// Hash of a certificate's key.
    CertificateKey(KeyHash),
    /// Id of a task.
    Dispatch(DispatchId),
    /// Time until which what was decided holds.
    Until(UnixTime),
    /// Time before which what ends was made.
    Before(UnixTime),
    /// Number of things that changed.
    Count(u64),
    /// Number of seconds by which a clock was moved.
    Seconds(i64),
    /// A fixed word.
    Word(&'static str),
}

impl Detail {
    /// Returns the member of an entry: its name, and its value as JSON.
    fn member(&self) -> (&'static str, String) {
        let text = |value: String| format!("\"{value}\"");
        let time = |time: &UnixTime| text(rfc3339::write(*time).as_str().to_owned());
        match self {
            Self::Node(id) => ("node", text(id.to_string())),
            Self::Replaces(id) => ("replaces", text(id.to_string())),
            Self::Policy(id) => ("policy", text(hex(id.as_bytes()))),
            Self::Grant(id) => ("grant", text(hex(id.as_bytes()))),
            Self::Capability(id) => ("capability", text(hex(id.as_bytes()))),
            Self::Key(key) => ("key", text(hex(key))),
            Self::Code(id) => ("code", text(hex(id.as_bytes()))),
            Self::SetupCode(nonce) => ("setup_code", text(hex(nonce.as_bytes()))),
            Self::Session(id) => ("session", text(hex(id.as_bytes()))),
            Self::Login(id) => ("login", text(hex(id.as_bytes()))),
            Self::Sender(reference) => ("sender", text(hex(reference))),
            Self::Certificate(serial) => ("certificate", text(serial.to_string())),
            Self::CertificateKey(key) => ("certificate_key", text(key.to_string())),
            Self::Dispatch(id) => ("task", text(hex(id.as_bytes()))),
            Self::Until(end) => ("until", time(end)),
            Self::Before(end) => ("before", time(end)),
            Self::Count(count) => ("count", count.to_string()),
            Self::Seconds(seconds) => ("seconds", seconds.to_string()),
            Self::Word(word) => ("how", text((*word).to_owned())),
        }
    }
}

/// A decision as an operation reports it. The transaction appends it to the log.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    what: What,
    details: Vec<Detail>,
    /// `None` if the operation was given no time.
    at: Option<UnixTime>,
    /// `true` if what was recorded before could not be carried out.
    failed: bool,
}

impl Entry {
    /// Returns an entry about these things.
    #[must_use]
    pub fn new(what: What, details: impl Into<Vec<Detail>>) -> Self {
        Self { what, details: details.into(), at: None, failed: false }
    }

    /// Returns the entry that a decision, whose entry was written before it was carried out, failed.
    #[must_use]
    pub fn failed(what: What) -> Self {
        Self { failed: true, ..Self::new(what, []) }
    }

    /// Returns the entry with the time that its operation was given.
    #[must_use]
    pub(crate) fn at(self, now: UnixTime) -> Self {
        Self { at: Some(now), ..self }
    }

    /// Returns the line of an entry with this number.
    pub(crate) fn line(&self, number: u64, origin: &Origin) -> String {
        let mut line = format!(
            "{{\"entry\":{number},\"at\":\"{}\",\"who\":\"{}\"",
            rfc3339::write(self.at.unwrap_or(origin.at)).as_str(),
            origin.who.as_str()
        );
        let mut member = |name: &str, value: &str| {
            line.extend([",\"", name, "\":", value]);
        };
        if let Some(id) = origin.who.id() {
            member("by", &format!("\"{id}\""));
        }
        if let Some(address) = origin.from {
            member("from", &format!("\"{address}\""));
        }
        member("what", &format!("\"{}\"", self.what.as_str()));
        for detail in &self.details {
            let (name, value) = detail.member();
            member(name, &value);
        }
        match (self.failed, origin.since) {
            (true, _) => member("outcome", "\"failed\""),
            (false, None) => member("outcome", "\"done\""),
            (false, Some(since)) => {
                member("outcome", "\"stored-late\"");
                member("in_force_since", &format!("\"{}\"", rfc3339::write(since).as_str()));
            }
        }
        line.push('}');
        debug_assert!(line.len() < ENTRY_BYTES);
        line
    }
}

/// The state of the tree.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TreeHead {
    /// Number of entries.
    pub size: u64,
    /// Root of the tree over them.
    pub root: Hash,
}

/// An entry with the proof that it is in the tree.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ProvenEntry {
    /// The entry's line.
    pub line: String,
    /// Hash of the entry as it was appended.
    pub leaf: Hash,
    /// The tree that the proof is for.
    pub head: TreeHead,
    /// The proof of inclusion.
    pub proof: Proof,
}

/// The part of a [`Store`](crate::Store) for the audit log.
#[async_trait]
pub trait Audit: Send + Sync + 'static {
    /// Appends an entry about a decision whose effect lies outside of the registry.
    ///
    /// # Errors
    /// [`StoreError`] if it could not be made durable.
    async fn note(&self, entry: Entry) -> Result<(), StoreError>;

    /// Returns the lines of the entries from number `from` on, at most `limit`.
    ///
    /// # Errors
    /// [`StoreError`] if they cannot be read.
    async fn audit_lines(&self, from: u64, limit: usize) -> Result<Vec<String>, StoreError>;

    /// Returns the lines of the entries about a node, the newest first, at most `limit`: those
    /// before number `before`, or the newest of all. The cost does not grow with the log.
    ///
    /// # Errors
    /// [`StoreError`] if they cannot be read.
    async fn audit_lines_of(
        &self,
        node_id: NodeId,
        before: Option<u64>,
        limit: usize,
    ) -> Result<Vec<String>, StoreError>;

    /// Returns the state of the tree, or that after the first `size` entries.
    ///
    /// # Errors
    /// [`StoreError`] if it cannot be read. `None` if the log is shorter.
    async fn audit_head(&self, size: Option<u64>) -> Result<Option<TreeHead>, StoreError>;

    /// Returns an entry with its proof in the tree of this size, or of all entries.
    ///
    /// # Errors
    /// [`StoreError`] if it cannot be read. `None` if that tree has no such entry.
    async fn audit_entry(
        &self,
        number: u64,
        size: Option<u64>,
    ) -> Result<Option<ProvenEntry>, StoreError>;

    /// Returns the proof that the tree of `earlier` entries is the beginning of the tree of `size`
    /// entries. `None` if there is no such tree.
    ///
    /// # Errors
    /// [`StoreError`] if it cannot be read.
    async fn audit_consistency(&self, earlier: u64, size: u64)
    -> Result<Option<Proof>, StoreError>;

    /// Returns the sender behind a reference of an entry, as long as its name is there: until it is
    /// [forgotten](crate::SenderChange::Forget).
    ///
    /// # Errors
    /// [`StoreError`] if it cannot be read.
    async fn audited_sender(&self, reference: [u8; 32]) -> Result<Option<SenderName>, StoreError>;
}

fn hex(bytes: &[u8]) -> String {
    use std::fmt::Write as _;
    bytes.iter().fold(String::with_capacity(2 * bytes.len()), |mut text, byte| {
        let _ = write!(text, "{byte:02x}");
        text
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_entry_is_one_line_of_json_with_all_that_there_is_to_say() {
        let session = SessionId::from_bytes([0xab; 16]);
        let origin = Origin {
            who: Who::Session(session),
            from: Some("2001:db8::1".parse().unwrap()),
            at: UnixTime::from_secs(1),
            since: Some(UnixTime::from_secs(60)),
        };
        let node = NodeId::from_bytes([1; 16]);
        let entry = Entry::new(What::Mute, [Detail::Node(node), Detail::Count(3)]);
        assert_eq!(
            entry.at(UnixTime::from_secs(3600)).line(7, &origin),
            "{\"entry\":7,\"at\":\"1970-01-01T01:00:00Z\",\"who\":\"session\",\
             \"by\":\"abababababababababababababababab\",\"from\":\"2001:db8::1\",\"what\":\"mute\",\
             \"node\":\"01010101-0101-0101-0101-010101010101\",\"count\":3,\
             \"outcome\":\"stored-late\",\"in_force_since\":\"1970-01-01T00:01:00Z\"}"
        );
    }

    #[test]
    fn a_decision_without_a_time_has_that_of_its_origin() {
        let origin = Origin::new(Who::Operator, UnixTime::from_secs(5));
        let line = Entry::new(What::OpenPairing, []).line(0, &origin);
        assert!(line.contains("\"at\":\"1970-01-01T00:00:05Z\",\"who\":\"operator\",\"what\""));
    }
}
