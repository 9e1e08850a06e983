//! `handfast pending`, `approve` and `reject` on the command line.

use std::time::Duration;

use clap::Args as Arguments;

use super::{Common, Permissions, length_of_time};
use crate::confirm::Sure;

#[derive(Debug, Arguments)]
pub(crate) struct PendingArgs {
    #[command(flatten)]
    pub(crate) common: Common,
}

const APPROVE: &str = "A node with keys gets its grant by itself, any other a token, which is shown \
                       this once. Without --read, --write and --admin, a node with keys may do what \
                       its rule or the gateway's configuration says.";

const REJECT: &str = "The node may ask again after a while, which doubles from a minute to a day; \
                      with --for-good never.";

/// The node that is approved, and on which terms.
#[derive(Debug, Arguments)]
#[command(after_help = APPROVE)]
pub(crate) struct ApproveArgs {
    #[command(flatten)]
    pub(crate) common: Common,
    #[command(flatten)]
    pub(crate) what: Approval,
}

#[derive(Debug, Arguments)]
pub(crate) struct Approval {
    /// Whole name of the node, or its id or the beginning of it; may be left out while only one
    /// node waits
    #[arg(value_name = "NODE", conflicts_with = "node_id")]
    pub(crate) node: Option<String>,
    /// The same as NODE
    #[arg(long, value_name = "ID")]
    pub(crate) node_id: Option<String>,
    /// Approve a node anew that is paired already: one with a token gets a new one, and the old one
    /// is good until the new one is delivered; one with keys is offered the permissions named here,
    /// or without any those that it has
    #[arg(long)]
    pub(crate) reissue: bool,
    /// Approve in advance whoever asks from this network, as 192.0.2.0/24, and has keys; those that
    /// wait already, too. It ends by itself, by --until and by --max
    #[arg(long, value_name = "CIDR", requires_all = ["until", "max"],
        conflicts_with_all = ["node", "node_id", "reissue", "replaces", "fingerprint"])]
    pub(crate) from: Option<String>,
    /// For how long whoever asks from the network is approved, for instance 10m; at most 24h
    #[arg(long, value_name = "TIME", requires = "from", value_parser = length_of_time)]
    pub(crate) until: Option<Duration>,
    /// How many nodes from the network are approved
    #[arg(long, value_name = "N", requires = "from")]
    pub(crate) max: Option<u64>,
    /// Let it take the place of this node, by its whole name or 6 or more characters of its id: it
    /// gets its name, room, permissions and tasks, and the key of that one is out for good; asks
    /// first
    #[arg(long, value_name = "OLD", conflicts_with = "reissue")]
    pub(crate) replaces: Option<String>,
    /// Approve only if this is the fingerprint of the node's key, as the node itself shows it
    #[arg(long, value_name = "FINGERPRINT", value_parser = fingerprint)]
    pub(crate) fingerprint: Option<String>,
    #[command(flatten)]
    pub(crate) permissions: Permissions,
    /// Do not ask: on a terminal, what the node asks for is shown, and approved only after a yes
    #[arg(long)]
    pub(crate) yes: bool,
    /// When what a node with keys may do ends, for instance 30d from now; without it, as its rule
    /// says, or else its grants live as the gateway's configuration says and are renewed
    #[arg(long, value_name = "TIME", value_parser = length_of_time)]
    pub(crate) expires: Option<Duration>,
}

/// The requests that are turned down, and for how long.
#[derive(Debug, Arguments)]
#[command(after_help = REJECT)]
pub(crate) struct RejectArgs {
    #[command(flatten)]
    pub(crate) common: Common,
    #[command(flatten)]
    pub(crate) what: Rejection,
}

/// Which requests are turned down.
#[derive(Debug, Arguments)]
#[command(group = clap::ArgGroup::new("which").required(true).args(["id", "all", "name", "from"]))]
pub(crate) struct Rejection {
    /// Whole name of the node, or its id or the beginning of it; for good, 6 or more characters of
    /// the id
    #[arg(value_name = "NODE")]
    pub(crate) id: Option<String>,
    /// All that wait
    #[arg(long)]
    pub(crate) all: bool,
    /// Those that wait under exactly this name
    #[arg(long, value_name = "NAME")]
    pub(crate) name: Option<String>,
    /// Those that wait from this network, as 192.0.2.0/24, or from this address
    #[arg(long, value_name = "CIDR")]
    pub(crate) from: Option<String>,
    /// For good: the key never comes in again; of a node without keys, only this request; asks
    /// first
    #[arg(long)]
    pub(crate) for_good: bool,
    /// Tell the node why, if it has keys and still waits: one line of at most 160 bytes
    #[arg(long, value_name = "TEXT", requires = "id")]
    pub(crate) reason: Option<String>,
    #[command(flatten)]
    pub(crate) sure: Sure,
}

fn fingerprint(text: &str) -> Result<String, String> {
    let text = text.to_ascii_uppercase();
    let wrong = |_| {
        "a fingerprint is six groups of four letters and digits, with dashes between them, and all of it is needed".to_owned()
    };
    handfast_core::crypto::fingerprint::Fingerprint::parse(&text)
        .map(|read| read.to_string())
        .map_err(wrong)
}

#[derive(Debug, Arguments)]
pub(crate) struct PoliciesArgs {
    #[command(flatten)]
    pub(crate) common: Common,
    #[command(subcommand)]
    pub(crate) verb: PoliciesVerb,
}

#[derive(Debug, clap::Subcommand)]
pub(crate) enum PoliciesVerb {
    /// List the approvals in advance with what is left of them, and for a day those that are over
    List,
    /// End one before its time; nodes that it has approved stay approved
    End {
        /// The id of the policy, or the beginning of it
        #[arg(value_name = "ID")]
        id: String,
    },
}
