//! Views and errors of the operator's calls.

use handfast_core::grant::token::Token;
use handfast_core::registry::authority::Wider;
use handfast_core::registry::delivery::{NotSettled, Ticket};
use handfast_core::registry::grants::Grant;
use handfast_core::registry::logins::LoginKind;
use handfast_core::registry::replacing::CannotReplace;
use handfast_core::wire::native::ReasonText;
use handfast_core::{NodeId, Refusal, UnixTime, rfc3339};
use handfast_store::{Counts, Entry, NotQueued, StoreError};

/// A node as an operator sees it.
#[derive(Clone, Debug)]
pub struct Device {
    /// The registry's entry of the node.
    pub entry: Entry,
    /// `true` while the node's link is open, here or at another gateway.
    pub online: bool,
    /// Name of the gateway that has the node's link, if several share the registry.
    pub linked_at: Option<String>,
}

/// The counts of a gateway.
#[derive(Clone, Copy, Debug)]
pub struct Summary {
    /// The numbers of nodes by standing.
    pub nodes: Counts,
    /// The number of open links.
    pub linked: usize,
    /// The number of connections that have not authenticated.
    pub waiting: usize,
}

/// The result of an approval.
#[derive(Debug)]
pub struct Issued {
    /// Whose.
    pub node_id: NodeId,
    /// The credential that the node authenticates with.
    pub credential: IssuedCredential,
    /// The id and the end of a token's delivery, to [confirm](crate::Gateway::confirm_delivery) it.
    pub delivery: Option<Ticket>,
}

/// The credential of an approved node.
#[derive(Debug)]
pub enum IssuedCredential {
    /// A token, for the operator to carry to the node. It is shown only this once.
    Token(Token),
    /// The node's own keys. The grant is offered to it over its sealed channel.
    Grant(Box<Grant>),
}

impl IssuedCredential {
    /// Returns the token, if the node needs one.
    #[must_use]
    pub const fn token(&self) -> Option<&Token> {
        match self {
            Self::Token(token) => Some(token),
            Self::Grant(_) => None,
        }
    }
}

/// The reason why an operator's request failed.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum OperatorError {
    /// No node has this name or an id with this prefix.
    #[error("no node has the name {0:?} or an id that begins so")]
    NotFound(String),
    /// More than one node id starts with this prefix.
    #[error("{prefix:?} is not enough: it begins the ids of {}", .matches.iter().map(ToString::to_string).collect::<Vec<_>>().join(", "))]
    Ambiguous {
        /// What was given.
        prefix: String,
        /// Some of the matching nodes.
        matches: Vec<NodeId>,
    },
    /// The registry's rules forbid the decision.
    #[error("node {node_id}: {}", explain(*.refusal))]
    Refused {
        /// Which node.
        node_id: NodeId,
        /// The reason for the refusal.
        refusal: Refusal,
    },
    /// No node has this name or an id with this prefix of sufficient length.
    #[error(
        "no node has the whole name {0:?}, or an id of which that is 6 or more characters; what is decided for good takes one of these"
    )]
    NotNamed(String),
    /// Several nodes have this name, or one has the name and another an id with this prefix.
    #[error("{which:?} is not enough: it could be {}; give more of the id", .matches.join(" or "))]
    SeveralNamed {
        /// What was given.
        which: String,
        /// Some of those that it could be.
        matches: Vec<String>,
    },
    /// The waiting request has changed since it was shown.
    #[error(
        "node {node_id} says something else of itself than when it was shown: it was {shown}, and now it is {now}; approve it once more if that is still the device \
         you mean"
    )]
    Changed {
        /// Which node.
        node_id: NodeId,
        /// The node's description when it was shown, as JSON.
        shown: String,
        /// The node's present description, as JSON.
        now: String,
    },
    /// The node cannot take the place of the other one.
    #[error("node {node_id} cannot take the place of {old}: {}; nothing was decided", unfit(*.why))]
    CannotReplace {
        /// The node that was to take the place.
        node_id: NodeId,
        /// The node that has it.
        old: NodeId,
        /// The reason why it cannot.
        why: CannotReplace,
    },
    /// The node authenticates with a token, which carries no permissions.
    #[error(
        "node {0} proves itself with a token, which carries no permissions and no time; leave them out, or pair it over the native wire"
    )]
    NoKeys(NodeId),
    /// The node is not linked over the native wire, or does not take what was sent before.
    #[error(
        "node {0} is not linked over the native wire, or takes nothing more now; try again once it is online"
    )]
    NotLinked(NodeId),
    /// The node is linked at another gateway of the registry, and this one sends it nothing.
    #[error(
        "node {node_id} is linked at the gateway {gateway:?}, which alone can send it a message; ask that one. Tasks reach it from every gateway"
    )]
    Elsewhere {
        /// Which node.
        node_id: NodeId,
        /// Name of the gateway.
        gateway: String,
    },
    /// The gateway that has the node's link did not answer, so the message may have been delivered
    /// or not.
    #[error(
        "the gateway {gateway:?}, where node {node_id} is linked, did not answer in time; whether the message was delivered is not known"
    )]
    NoAnswer {
        /// Which node.
        node_id: NodeId,
        /// Name of the gateway.
        gateway: String,
    },
    /// No paired node and no capability token has this name or prefix.
    #[error("no paired node has the name {0:?} or an id that begins so, and no capability has")]
    NotPaired(String),
    /// Several paired nodes or capability tokens have this name or prefix.
    #[error("{which:?} is not enough: it names {}", .matches.join(", "))]
    SeveralPaired {
        /// What was given.
        which: String,
        /// Some of those that it could be.
        matches: Vec<String>,
    },
    /// No certificate has this serial number or fingerprint.
    #[error("no certificate has the serial number or the fingerprint {0:?}")]
    NoSuchCertificate(String),
    /// The node is in no quarantine.
    #[error("node {0} is in no quarantine, so there is nothing to release it from")]
    NotQuarantined(NodeId),
    /// The node is not revoked, so its record is kept.
    #[error(
        "node {0} is not out, and only the record of a node that is out is removed; revoke it first"
    )]
    NotRevoked(NodeId),
    /// No approval policy with this id is in force.
    #[error("no policy with the id {0} is in force: it was ended, or its time is over")]
    NoSuchPolicy(String),
    /// No live PIN or code has this id.
    #[error("no code with the id {0} lives: it was spent or withdrawn, or it has expired")]
    NoSuchCode(String),
    /// The gateway's address for companions is unknown, or must not be put into a code.
    #[error("{0}")]
    NoUrl(String),
    /// The key for setup codes could not be replaced.
    #[error("{0}")]
    SetupKey(String),
    /// The audit log has no entry with this number.
    #[error("the audit log has no entry {0}")]
    NoSuchEntry(u64),
    /// No session's id starts with this prefix.
    #[error("no session has an id that begins with {0:?}, or it has ended")]
    NoSuchSession(String),
    /// More than one session id starts with this prefix.
    #[error("{prefix:?} is not enough: it begins the ids of {}", .matches.join(", "))]
    SeveralSessions {
        /// What was given.
        prefix: String,
        /// Some of the sessions it could be.
        matches: Vec<String>,
    },
    /// No operator's session or token has an id with this prefix.
    #[error("no {} of an operator has an id that begins with {prefix:?}", .kind.as_str())]
    NoSuchOperator {
        /// Session or token.
        kind: LoginKind,
        /// What was given.
        prefix: String,
    },
    /// More than one operator's session or token has an id with this prefix.
    #[error("{prefix:?} is not enough: it begins the ids of {}", .matches.join(", "))]
    SeveralOperators {
        /// What was given.
        prefix: String,
        /// Some of those that it could be.
        matches: Vec<String>,
    },
    /// The clock was ahead once, so setup codes that end before this time count as spent.
    #[error(
        "the clock was ahead once, and codes that end before {} are taken for spent; a new key that \
         takes effect at once begins anew",
        rfc3339::write(*.0)
    )]
    SetupCodesSpent(UnixTime),
    /// The system's clock does not permit the request; the text names the remedy.
    #[error("{0}")]
    Clock(String),
    /// The request exceeds the rights that it was made by, in scope or in time.
    #[error("{0}")]
    Wider(Box<Wider>),
    /// The delivery of a secret cannot end in this way.
    #[error("delivery {id}: {}", undelivered(*.why))]
    Delivery {
        /// The id of the delivery.
        id: String,
        /// The reason why it cannot.
        why: NotSettled,
    },
    /// A task was not given to a node, or there is none; the text names the remedy.
    #[error("{text}")]
    NotDispatched {
        /// The reason.
        no: NotQueued,
        /// The reason and the remedy, for people.
        text: String,
    },
    /// The request is not possible; the text names the remedy.
    #[error("{0}")]
    Usage(String),
    /// The decision is in force, but the store could not be written.
    #[error(
        "{what} until this gateway restarts; the decision is not stored yet: free disk space ({error}). It will be stored by itself when that is possible."
    )]
    CutNotStored {
        /// The effect of the decision, as a clause.
        what: String,
        /// The store's error.
        error: StoreError,
    },
    /// The store failed, and nothing was changed.
    #[error("the registry could not be read or written: {error}{mend}", error = .0, mend = mend(.0))]
    Store(#[from] StoreError),
}

impl From<Box<Wider>> for OperatorError {
    fn from(wider: Box<Wider>) -> Self {
        Self::Wider(wider)
    }
}

impl From<Wider> for OperatorError {
    fn from(wider: Wider) -> Self {
        Self::Wider(Box::new(wider))
    }
}

/// Returns what mends a failure of the store, if that is known.
const fn mend(error: &StoreError) -> &'static str {
    if matches!(error, StoreError::DiskFull) {
        "; nothing was changed: free disk space and try again"
    } else {
        ""
    }
}

/// Explains why a delivery cannot end in this way.
const fn undelivered(why: NotSettled) -> &'static str {
    match why {
        NotSettled::Unknown => "no such secret is on its way",
        NotSettled::Undone => "it was undone, so the secret is worth nothing; ask for another one",
        NotSettled::Late => {
            "its time is over, so it is undone and the secret is worth nothing; ask for another one"
        }
        NotSettled::Delivered => {
            "it was confirmed or used already, so it counts; revoke what it is for, if that is not meant"
        }
        NotSettled::Early => "its time is not over",
        NotSettled::ClockInDoubt => {
            "the clock is in doubt, and by what it says the time for it is over; say so again once the clock is right"
        }
    }
}

/// Explains why a node cannot take the place of another, with the remedy.
const fn unfit(why: CannotReplace) -> &'static str {
    match why {
        CannotReplace::Itself => "it is the same node; to approve it anew, use --reissue",
        CannotReplace::NoKeys => {
            "it has no keys, so it gets a token, which may come back undelivered when the other \
             node is out for good; approve it by itself, and revoke the other one once it is linked"
        }
        CannotReplace::NotWaiting => "it does not wait for approval; only a waiting node can",
        CannotReplace::Expired => "its request has expired; let it ask again",
        CannotReplace::OldWaits => {
            "that one waits itself, so it has no place; approve this one alone"
        }
        CannotReplace::OldMuted => "that one is muted; unmute it first, or approve this one alone",
        CannotReplace::OldRevoked => "that one is out already; approve this one alone",
        CannotReplace::OldHasNothing => {
            "what that one might do is over or unknown; name what this one may do, as with --read"
        }
    }
}

/// Explains a refusal, with its remedy.
fn explain(refusal: Refusal) -> &'static str {
    match refusal {
        Refusal::AlreadyPaired => {
            "it is paired already; revoke it to put it out, or reissue what it was given"
        }
        Refusal::Revoked => {
            "it was revoked or turned down already; one that was turned down may ask again, and one that was revoked comes back only with a new key, once it was reset"
        }
        Refusal::NotPaired => "it is not paired yet; approve it first",
        Refusal::Expired => "its request has expired; let it ask again",
        Refusal::ClockInDoubt => {
            "the gateway's clock is in doubt, and by what it says the request has expired; mend the clock, or let it ask again"
        }
        Refusal::NoToken => "it proves itself with its keys and has no token",
        Refusal::StoreFailed => "the registry could not be written; nothing was changed",
        Refusal::InvalidCredentials
        | Refusal::NotApproved
        | Refusal::Muted
        | Refusal::Rejected { .. }
        | Refusal::Barred
        | Refusal::TooManyPending
        | Refusal::RateLimited
        | Refusal::AtCapacity => "refused; try again",
    }
}

/// Checks a message to a node.
pub(crate) fn check_word(word: Option<&str>) -> Result<(), OperatorError> {
    match word {
        Some(text) if ReasonText::parse(text).is_none() => Err(OperatorError::Usage(
            "what a node is told has 1 to 160 bytes on one line, and is not blank".to_owned(),
        )),
        Some(_) | None => Ok(()),
    }
}
