//! Verbs by the names that they had before. They are not listed, and do the same as ever.

use clap::{Args as Arguments, Subcommand};

use super::codes::{CodeArg, Minting, Scanned};
use super::nodes::{NodeArg, PolicyMode};
use super::{
    Approval, ApproveArgs, CodesArgs, CodesVerb, Common, CreateCode, Many, NodesArgs, NodesVerb,
    PendingArgs, PermissionsVerb, PermitArgs, RejectArgs, Rejection, StatusArgs, Verb,
};
use crate::confirm::Sure;

/// Requests and nodes: now pending, approve, reject, nodes and status.
#[derive(Debug, Arguments)]
pub(crate) struct DevicesArgs {
    #[command(flatten)]
    common: Common,
    #[command(subcommand)]
    verb: DevicesVerb,
}

#[derive(Debug, Subcommand)]
enum DevicesVerb {
    /// The same as nodes list; with --pending as pending
    List {
        /// Only those that wait for approval
        #[arg(long, conflicts_with = "all")]
        pending: bool,
        /// Revoked and rejected ones, too
        #[arg(long)]
        all: bool,
    },
    /// The same as approve
    Pair(Box<Approval>),
    /// The same as reject
    Reject(Rejection),
    /// The same as nodes revoke
    Unpair {
        /// Whole name of the node, or 6 or more characters of its id
        #[arg(value_name = "NAME|ID")]
        which: String,
        #[command(flatten)]
        sure: Sure,
    },
    /// The same as nodes policy
    Policy {
        #[command(flatten)]
        node: NodeArg,
        /// What it may do; the gateway's application decides what safe-chat means
        #[arg(long)]
        mode: PolicyMode,
    },
    /// The same as nodes mute
    Mute(NodeArg),
    /// The same as nodes unmute
    Unmute(NodeArg),
    /// The same as nodes describe
    Show(NodeArg),
    /// The same as status, or with a node as nodes describe
    Status {
        /// Whole name of the node, or its id or the beginning of it
        #[arg(value_name = "NODE")]
        node: Option<String>,
    },
}

/// Nodes that are paired by their keys: now nodes.
#[derive(Debug, Arguments)]
pub(crate) struct PairedArgs {
    #[command(flatten)]
    common: Common,
    #[command(subcommand)]
    verb: PairedVerb,
}

#[derive(Debug, Subcommand)]
enum PairedVerb {
    /// The same as nodes list --permissions
    List,
    /// The same as nodes permissions
    Permissions(PermitArgs),
    /// The same as nodes revoke
    Revoke {
        /// Whole name of the node, or 6 or more characters of its id; or 8 or more of a
        /// capability token's
        #[arg(value_name = "NAME|ID")]
        which: String,
        #[command(flatten)]
        sure: Sure,
    },
    /// The same as nodes revoke-all
    RevokeAll {
        #[command(flatten)]
        sure: Sure,
    },
}

/// Codes and requests: now codes, approve and reject.
#[derive(Debug, Subcommand)]
pub(crate) enum OlderPairingVerb {
    /// The same as codes list
    #[command(hide = true)]
    List,
    /// The same as codes create --qr
    #[command(hide = true)]
    Qr(Box<CreateCode>),
    /// The same as codes create
    #[command(hide = true)]
    Code(Minting),
    /// The same as codes withdraw
    #[command(hide = true)]
    Withdraw(CodeArg),
    /// The same as approve
    #[command(hide = true)]
    Approve(Box<Approval>),
    /// The same as reject
    #[command(hide = true)]
    Reject(Rejection),
}

impl DevicesArgs {
    /// Returns the verb by its present name.
    pub(crate) fn current(self) -> Verb {
        let Self { common, verb } = self;
        let verb = match verb {
            DevicesVerb::List { pending: true, .. } => {
                return Verb::Pending(PendingArgs { common });
            }
            DevicesVerb::Pair(what) => {
                return Verb::Approve(Box::new(ApproveArgs { common, what: *what }));
            }
            DevicesVerb::Reject(what) => return Verb::Reject(RejectArgs { common, what }),
            DevicesVerb::Status { node: None } => return Verb::Status(StatusArgs { common }),
            DevicesVerb::List { pending: false, all } => {
                NodesVerb::List { all, permissions: false }
            }
            DevicesVerb::Unpair { which, sure } => NodesVerb::Revoke { which, sure },
            DevicesVerb::Policy { node, mode } => NodesVerb::Policy { node, mode },
            DevicesVerb::Mute(node) => NodesVerb::Mute(node),
            DevicesVerb::Unmute(node) => NodesVerb::Unmute(node),
            DevicesVerb::Show(node) => NodesVerb::Describe(node),
            DevicesVerb::Status { node: Some(node) } => NodesVerb::Describe(NodeArg { node }),
        };
        Verb::Nodes(NodesArgs { common, verb })
    }
}

impl PairedArgs {
    /// Returns the verb by its present name.
    pub(crate) fn current(self) -> Verb {
        let verb = match self.verb {
            PairedVerb::List => NodesVerb::List { all: false, permissions: true },
            PairedVerb::Permissions(permit) => NodesVerb::Permissions(permit),
            PairedVerb::Revoke { which, sure } => NodesVerb::Revoke { which, sure },
            PairedVerb::RevokeAll { sure } => NodesVerb::RevokeAll { sure },
        };
        Verb::Nodes(NodesArgs { common: self.common, verb })
    }
}

impl PermissionsVerb {
    /// Returns the verb by its present name.
    pub(crate) fn current(self) -> Verb {
        let verb = NodesVerb::Permissions(self.permit);
        Verb::Nodes(NodesArgs { common: self.common, verb })
    }
}

impl OlderPairingVerb {
    /// Returns the verb by its present name.
    pub(crate) fn current(self, common: Common) -> Verb {
        let verb = match self {
            Self::Approve(what) => {
                return Verb::Approve(Box::new(ApproveArgs { common, what: *what }));
            }
            Self::Reject(what) => return Verb::Reject(RejectArgs { common, what }),
            Self::List => CodesVerb::List,
            Self::Qr(create) => CodesVerb::Create(Box::new(CreateCode { qr: true, ..*create })),
            Self::Code(minting) => {
                let scanned = Scanned::default();
                let many = Many::default();
                let create = CreateCode { qr: false, node_id: None, minting, scanned, many };
                CodesVerb::Create(Box::new(create))
            }
            Self::Withdraw(which) => CodesVerb::Withdraw(which),
        };
        Verb::Codes(CodesArgs { common, verb })
    }
}
