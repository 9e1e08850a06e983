//! `handfast nodes …` on the command line.

use std::time::Duration;

use clap::{Args as Arguments, Subcommand, ValueEnum};

use super::{Common, Permissions, length_of_time};
use crate::confirm::Sure;

#[derive(Debug, Arguments)]
pub(crate) struct NodesArgs {
    #[command(flatten)]
    pub(crate) common: Common,
    #[command(subcommand)]
    pub(crate) verb: NodesVerb,
}

#[derive(Debug, Subcommand)]
pub(crate) enum NodesVerb {
    /// List nodes
    List {
        /// Revoked and rejected ones, too
        #[arg(long, conflicts_with = "permissions")]
        all: bool,
        /// Those that are paired by their keys, with what is in force for them and until when, what
        /// they are offered, and who linked with a token that they delegated
        #[arg(long)]
        permissions: bool,
    },
    /// Show one node: who it is, how it stands, and what it reports
    #[command(alias = "show")]
    Describe(NodeArg),
    /// Call a paired node something else; the node itself is not told
    Rename {
        #[command(flatten)]
        node: NodeArg,
        /// What it is called from now on: up to 64 characters
        #[arg(value_name = "NEW_NAME")]
        name: String,
    },
    /// Decide anew what a node that is paired by its keys may do: less is in force at once, whether
    /// or not the node takes notice, more once it has confirmed it. Without any option, show it
    Permissions(PermitArgs),
    /// Ask a linked node for an answer, and say how long it took
    Ping(NodeArg),
    /// Set the mode of a paired node
    Policy {
        #[command(flatten)]
        node: NodeArg,
        /// What it may do; the gateway's application decides what safe-chat means
        #[arg(long)]
        mode: PolicyMode,
    },
    /// Silence a paired node until it is unmuted: the link of one with a token ends at once, and it
    /// cannot link; one with keys stays linked and is told, and nothing that it sends is passed on
    Mute(NodeArg),
    /// Let a muted node speak again, in the mode it had
    Unmute(NodeArg),
    /// Send a message to a node that is linked and was paired by its keys
    Send {
        #[command(flatten)]
        node: NodeArg,
        /// Where the message is for, as /lights/1
        #[arg(value_name = "ADDRESS")]
        address: String,
        /// The message, at most 864 bytes
        #[arg(value_name = "TEXT", allow_hyphen_values = true)]
        text: String,
        /// What the node is to do there: read, write or admin
        #[arg(long, value_name = "ACTION", default_value = "write")]
        action: String,
    },
    /// Give a node a task: one of those that `nodes describe` shows, at once if the node is linked
    Invoke(InvokeArgs),
    /// Cancel a task: at once if it was not sent, else the node is told to stop
    Cancel {
        #[command(flatten)]
        node: NodeArg,
        /// Id of the task, or 4 or more characters of it
        #[arg(value_name = "TASK")]
        id: String,
    },
    /// List the tasks of a node with their results, the newest first; or show one of them
    Results {
        #[command(flatten)]
        node: NodeArg,
        /// Id of the task, or 4 or more characters of it
        #[arg(value_name = "TASK")]
        id: Option<String>,
        /// How many
        #[arg(long, value_name = "NUMBER", default_value_t = 20, conflicts_with = "id")]
        limit: usize,
    },
    /// Tell nodes that are paired by their keys at which addresses they find the gateway; without
    /// --to, show what each was told and has stored
    Move(MoveArgs),
    /// End a node's links and its certificates now; it may come back by renewing with its key
    Evict(NodeArg),
    /// End the quarantine of a node whose state was restored from a backup: the machine that links
    /// next goes on
    Release(NodeArg),
    /// Put a paired node out for good, with all that it passed on; its link ends at once
    Revoke {
        /// Whole name of the node, or 6 or more characters of its id; or 8 or more of a capability
        /// token's
        #[arg(value_name = "NODE")]
        which: String,
        #[command(flatten)]
        sure: Sure,
    },
    /// Make a new key for the marks by which a copied node is noticed; the last seven older ones
    /// still read the marks that nodes hold, so no node is taken for a copy by it
    RotateMarkKey,
    /// Remove the record of a node that was revoked, whose key stays revoked for good, or rejected,
    /// whose key may then ask again
    Forget {
        /// 6 or more characters of its id
        #[arg(value_name = "ID")]
        which: String,
        #[command(flatten)]
        sure: Sure,
    },
    /// Put every node that is paired by its keys out for good; asks first
    RevokeAll {
        #[command(flatten)]
        sure: Sure,
    },
}

#[derive(Debug, Arguments)]
pub(crate) struct NodeArg {
    /// Whole name of the node, or its id or the beginning of it
    #[arg(value_name = "NODE")]
    pub(crate) node: String,
}

const MOVE: &str = "A linked node is told at once, another one over its next link. A node tries the \
                    new addresses first and the one that it knew last; at each of them the \
                    gateway proves its key, so a wrong address costs an attempt and nothing else.";

/// The nodes that are told other addresses.
#[derive(Debug, Arguments)]
#[command(after_help = MOVE)]
pub(crate) struct MoveArgs {
    /// Whole name of the node, or its id or the beginning of it
    #[arg(value_name = "NODE", required_unless_present = "all")]
    pub(crate) node: Option<String>,
    /// All nodes that are paired by their keys now
    #[arg(long, conflicts_with = "node")]
    pub(crate) all: bool,
    /// Where the gateway is reached: ws://HOST:PORT, wss://HOST:PORT or tcp://HOST:PORT, up to 8
    #[arg(long, value_name = "ADDRESS", num_args = 1..)]
    pub(crate) to: Vec<String>,
}

/// A task for a node.
#[derive(Debug, Arguments)]
pub(crate) struct InvokeArgs {
    /// Whole name of the node, or its id or the beginning of it
    #[arg(value_name = "NODE")]
    pub(crate) node: String,
    /// What the node is to do, as it names it
    #[arg(value_name = "CAPABILITY", required_unless_present = "retry")]
    pub(crate) capability: Option<String>,
    /// The input as JSON, at most 864 bytes; - reads it from standard input
    #[arg(value_name = "INPUT", allow_hyphen_values = true)]
    pub(crate) input: Option<String>,
    /// In which time it has to be done, from 1s to 24h; without it, a minute
    #[arg(long, value_name = "TIME", value_parser = length_of_time)]
    pub(crate) timeout: Option<Duration>,
    /// How many bytes the result may have, at most 864
    #[arg(long, value_name = "BYTES", conflicts_with = "retry")]
    pub(crate) max_result: Option<u16>,
    /// An id of your own, a UUID: made again with it, the task does not run a second time
    #[arg(long, value_name = "ID", conflicts_with = "retry")]
    pub(crate) request_id: Option<String>,
    /// Send this task again, which expired before it ran
    #[arg(long, value_name = "TASK", conflicts_with_all = ["capability", "input"])]
    pub(crate) retry: Option<String>,
    /// Wait for the result, and print it
    #[arg(long)]
    pub(crate) wait: bool,
}

const PERMIT: &str = "With --read, --write or --admin these permissions take the place of all \
                      that the node had; without them and --none, they stay as they are.";

/// The verb `permissions` without the word before it.
#[derive(Debug, Arguments)]
pub(crate) struct PermissionsVerb {
    #[command(flatten)]
    pub(crate) common: Common,
    #[command(flatten)]
    pub(crate) permit: PermitArgs,
}

/// What a node may do from now on.
#[derive(Debug, Arguments)]
#[command(after_help = PERMIT)]
pub(crate) struct PermitArgs {
    /// Whole name of the node, or its id or the beginning of it
    #[arg(value_name = "NODE")]
    pub(crate) node: String,
    #[command(flatten)]
    pub(crate) permissions: Permissions,
    /// Allow nothing
    #[arg(long, conflicts_with_all = ["read", "write", "admin"])]
    pub(crate) none: bool,
    /// When it ends, for instance 30d from now; the word never lifts an end that was set before
    #[arg(long, value_name = "TIME|never", value_parser = until)]
    pub(crate) expires: Option<UntilArg>,
}

/// When what a node may do ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum UntilArg {
    After(Duration),
    Never,
}

fn until(text: &str) -> Result<UntilArg, String> {
    if text == "never" { Ok(UntilArg::Never) } else { length_of_time(text).map(UntilArg::After) }
}

#[derive(Debug, Clone, Copy, ValueEnum)]
pub(crate) enum PolicyMode {
    Full,
    SafeChat,
    Muted,
}

impl PolicyMode {
    pub(crate) const fn as_str(self) -> &'static str {
        match self {
            Self::Full => "full",
            Self::SafeChat => "safe-chat",
            Self::Muted => "muted",
        }
    }
}
