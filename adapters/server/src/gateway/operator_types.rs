//! Views and errors of the operator's calls.

use handfast_core::error::Refusal;
use handfast_core::grant::token::Token;
use handfast_core::id::NodeId;
use handfast_core::registry::authority::Wider;
use handfast_core::registry::delivery::{NotSettled, Ticket};
use handfast_core::registry::grants::Grant;
use handfast_core::wire::native::Reason;
use handfast_store::{Counts, Entry, StoreError};

/// A node as an operator sees it.
#[derive(Clone, Debug)]
pub struct Device {
    /// Everything the registry knows.
    pub entry: Entry,
    /// Whether its link is open.
    pub online: bool,
}

/// A gateway's counts.
#[derive(Clone, Copy, Debug)]
pub struct Summary {
    /// Nodes by standing.
    pub nodes: Counts,
    /// Open links.
    pub linked: usize,
    /// Connections that have not authenticated.
    pub waiting: usize,
}

/// What an approval yields.
#[derive(Debug)]
pub struct Issued {
    /// Whose.
    pub node_id: NodeId,
    /// With what it proves itself.
    pub credential: IssuedCredential,
    /// How a token is to be [confirmed](crate::Gateway::confirm_delivery), and until when.
    pub delivery: Option<Ticket>,
}

/// With what an approved node proves itself.
#[derive(Debug)]
pub enum IssuedCredential {
    /// A token, for the operator to carry to the node. This is the only time it is shown.
    Token(Token),
    /// Its keys. The grant is offered to it over its sealed channel.
    Grant(Box<Grant>),
}

impl IssuedCredential {
    /// The token, if the node needs one.
    #[must_use]
    pub const fn token(&self) -> Option<&Token> {
        match self {
            Self::Token(token) => Some(token),
            Self::Grant(_) => None,
        }
    }
}

/// Why an operator's wish was not carried out.
#[derive(Debug, thiserror::Error)]
pub enum OperatorError {
    /// No node has an id that begins so.
    #[error("no node has an id that begins with {0:?}")]
    NotFound(String),
    /// Several do.
    #[error("{prefix:?} is not enough: it begins the ids of {}", .matches.iter().map(ToString::to_string).collect::<Vec<_>>().join(", "))]
    Ambiguous {
        /// What was given.
        prefix: String,
        /// Some of the nodes it could be.
        matches: Vec<NodeId>,
    },
    /// The registry's rules do not allow it.
    #[error("node {node_id}: {}", explain(*.refusal))]
    Refused {
        /// Which node.
        node_id: NodeId,
        /// Why.
        refusal: Refusal,
    },
    /// No node has this name, nor an id that begins with so much of it.
    #[error(
        "what is decided for good takes the whole name of a node, or 6 or more characters of its id; {0:?} is neither"
    )]
    NotNamed(String),
    /// Several nodes have this name, or one has it and the id of another begins so.
    #[error("{which:?} is not enough for what is decided for good: it could be {}; give more of the id", .matches.join(" or "))]
    SeveralNamed {
        /// What was given.
        which: String,
        /// Some of those that it could be.
        matches: Vec<String>,
    },
    /// What waits is not what was shown any more.
    #[error(
        "node {node_id} says something else of itself than when it was shown: it was {shown}, and now it is {now}; approve it once more if that is still the device \
         you mean"
    )]
    Changed {
        /// Which node.
        node_id: NodeId,
        /// What it was made of when it was shown, as JSON.
        shown: String,
        /// What it is made of now.
        now: String,
    },
    /// The node proves itself with a token, which carries no permissions.
    #[error(
        "node {0} proves itself with a token, which carries no permissions and no time; leave them out, or pair it over the native wire"
    )]
    NoKeys(NodeId),
    /// No paired node and no capability is named so.
    #[error(
        "no paired node has the name {0:?} or an id that begins so, and no capability has; `paired list` shows them"
    )]
    NotPaired(String),
    /// Several paired nodes or capabilities are named so.
    #[error("{which:?} is not enough: it names {}", .matches.join(", "))]
    SeveralPaired {
        /// What was given.
        which: String,
        /// Some of those that it could be.
        matches: Vec<String>,
    },
    /// No such PIN or code lives.
    #[error("no code with the id {0} lives: it was spent or withdrawn, or it has expired")]
    NoSuchCode(String),
    /// It is not known, or not to be told, where companions reach this gateway.
    #[error("{0}")]
    NoUrl(String),
    /// The key for setup codes could not be replaced.
    #[error("{0}")]
    SetupKey(String),
    /// No session's id begins so.
    #[error(
        "no session has an id that begins with {0:?}, or it has ended; `setup list` shows them"
    )]
    NoSuchSession(String),
    /// Several do.
    #[error("{prefix:?} is not enough: it begins the ids of {}", .matches.join(", "))]
    SeveralSessions {
        /// What was given.
        prefix: String,
        /// Some of the sessions it could be.
        matches: Vec<String>,
    },
    /// The system's clock is not as it must be; the text says what mends it.
    #[error("{0}")]
    Clock(String),
    /// It is wider than the right by which it was asked for, or would last longer.
    #[error("{0}")]
    Wider(Box<Wider>),
    /// A secret's delivery does not end so.
    #[error("delivery {id}: {}", undelivered(*.why))]
    Delivery {
        /// Which.
        id: String,
        /// Why.
        why: NotSettled,
    },
    /// What was asked for cannot be; the text says what mends it.
    #[error("{0}")]
    Usage(String),
    /// The decision is in force, and the store could not be written.
    #[error(
        "{what} until this gateway restarts; the decision is not stored yet: free disk space ({error}). It will be stored by itself when that is possible."
    )]
    CutNotStored {
        /// Who or what is out, or is narrower; a clause.
        what: String,
        /// Why it is not stored.
        error: StoreError,
    },
    /// The store failed; nothing was changed.
    #[error("the registry could not be read or written: {0}")]
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

/// What became of a secret that was shown once.
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
            "the clock is in doubt, and by what it says the time for it is over; see `handfast clock`, and say so again once the clock is right"
        }
    }
}

/// Says a refusal in words that tell what mends it.
fn explain(refusal: Refusal) -> &'static str {
    match refusal {
        Refusal::AlreadyPaired => {
            "it is paired already; `devices unpair` puts it out, `devices pair --reissue` gives it a new token"
        }
        Refusal::Revoked => {
            "that was decided already: it was revoked or turned down; let it ask again and approve its new id"
        }
        Refusal::NotPaired => "it is not paired yet; approve it first with `devices pair`",
        Refusal::Expired => "its request has expired; let it ask again",
        Refusal::ClockInDoubt => {
            "the gateway's clock is in doubt, and by what it says the request has expired; `clock` says what mends that, or let it ask again"
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

/// Checks what is to be told to a node.
pub(crate) fn check_word(word: Option<&str>) -> Result<(), OperatorError> {
    match word {
        Some(text) if Reason::parse(text).is_none() => Err(OperatorError::Usage(
            "what a node is told has 1 to 160 bytes on one line, and is not blank".to_owned(),
        )),
        Some(_) | None => Ok(()),
    }
}
