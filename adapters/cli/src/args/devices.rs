//! `handfast devices …` on the command line.

use std::time::Duration;

use clap::{Args as Arguments, Subcommand, ValueEnum};

use super::{DataDir, Permissions, length_of_time};
use crate::confirm::Sure;

#[derive(Debug, Arguments)]
pub(crate) struct Devices {
    #[command(flatten)]
    pub(crate) data: DataDir,
    /// Print JSON
    #[arg(long, global = true)]
    pub(crate) json: bool,
    #[command(subcommand)]
    pub(crate) verb: DeviceVerb,
}

#[derive(Debug, Subcommand)]
pub(crate) enum DeviceVerb {
    /// List nodes
    List {
        /// Only those that wait for approval
        #[arg(long, conflicts_with = "all")]
        pending: bool,
        /// Revoked ones too
        #[arg(long)]
        all: bool,
    },
    /// Approve a node: one with keys gets its grant by itself, any other a token, which is shown
    /// this once
    Pair {
        /// Id of the node or its beginning; may be left out while only one node waits
        #[arg(value_name = "ID", conflicts_with = "node_id")]
        id: Option<String>,
        /// The same as ID
        #[arg(long, value_name = "ID")]
        node_id: Option<String>,
        /// Give a node that is paired already a new token; or decide anew what one with keys may
        /// do, as nodes permissions does
        #[arg(long)]
        reissue: bool,
        /// Approve only if this is the fingerprint of the node's key, as the node itself shows it
        #[arg(long, value_name = "FINGERPRINT", value_parser = fingerprint)]
        fingerprint: Option<String>,
        #[command(flatten)]
        permissions: Permissions,
        /// When what it may do ends, for instance 30d from now; without it, as its rule says, or
        /// else its grants live as the gateway's configuration says and are renewed
        #[arg(long, value_name = "TIME", value_parser = length_of_time)]
        expires: Option<Duration>,
    },
    /// Turn down a node that waits for approval; it may ask again after a while, which doubles from
    /// a minute to a day
    Reject(Reject),
    /// Put a node out for good; its link ends at once
    Unpair {
        /// Whole name of the node, or 6 or more characters of its id
        #[arg(value_name = "NAME|ID")]
        which: String,
        #[command(flatten)]
        sure: Sure,
    },
    /// Set what a node may do
    Policy {
        #[command(flatten)]
        id: IdArgs,
        /// What it may do; the gateway's application decides what safe-chat means
        #[arg(long)]
        mode: PolicyMode,
    },
    /// Keep a node out until it is unmuted; its link ends at once
    Mute(IdArgs),
    /// Let a muted node in again, in the mode it had
    Unmute(IdArgs),
    /// Show one node, with its door and the fingerprint of its key
    Show(IdArgs),
    /// Show one node, or without an ID the gateway's counts
    Status {
        /// Id of the node or its beginning
        #[arg(value_name = "ID")]
        id: Option<String>,
    },
}

/// Which requests are turned down.
#[derive(Debug, Arguments)]
#[command(group = clap::ArgGroup::new("which").required(true).args(["id", "all", "name", "from"]))]
pub(crate) struct Reject {
    /// Id of the node or its beginning; for good, its whole name or 6 or more characters of its id
    #[arg(value_name = "ID")]
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
    #[command(flatten)]
    pub(crate) sure: Sure,
}

#[derive(Debug, Arguments)]
pub(crate) struct IdArgs {
    /// Id of the node or its beginning
    #[arg(value_name = "ID")]
    pub(crate) id: String,
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

fn fingerprint(text: &str) -> Result<String, String> {
    let text = text.to_ascii_uppercase();
    let wrong = |_| {
        "a fingerprint is six groups of four letters and digits, with dashes between them, and all of it is needed".to_owned()
    };
    handfast_core::crypto::fingerprint::Fingerprint::parse(&text)
        .map(|read| read.to_string())
        .map_err(wrong)
}
