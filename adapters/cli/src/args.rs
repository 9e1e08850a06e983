//! The command line.

use std::net::SocketAddr;
use std::path::PathBuf;

use clap::{Args as Arguments, Parser, Subcommand, ValueEnum};

/// Pairs devices: nodes ask, an operator approves, tokens authenticate.
#[derive(Debug, Parser)]
#[command(name = "handfast", version)]
pub(crate) struct Args {
    #[command(subcommand)]
    pub(crate) verb: Verb,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Verb {
    /// Run the gateway that nodes pair with
    Serve(Serve),
    /// See and decide about nodes; talks to the running gateway
    Devices(Devices),
    /// Work with tokens
    Token(Token),
    /// Show the whole flow on this machine: a gateway, nodes, an operator
    Demo(Demo),
}

/// Where the gateway keeps its data and its operator's socket.
#[derive(Debug, Clone, Arguments)]
pub(crate) struct DataDir {
    /// Data directory of the gateway [default: $STATE_DIRECTORY, else $XDG_DATA_HOME/handfast, else ~/.local/share/handfast]
    #[arg(long, value_name = "DIR", global = true)]
    pub(crate) data: Option<PathBuf>,
}

#[derive(Debug, Arguments)]
pub(crate) struct Serve {
    #[command(flatten)]
    pub(crate) data: DataDir,
    /// Address to listen on
    #[arg(long, value_name = "ADDR:PORT", default_value = "127.0.0.1:8765")]
    pub(crate) listen: SocketAddr,
    /// PEM certificate chain; with --tls-key, only TLS is spoken
    #[arg(long, value_name = "FILE", requires = "tls_key")]
    pub(crate) tls_cert: Option<PathBuf>,
    /// PEM private key of the certificate
    #[arg(long, value_name = "FILE", requires = "tls_cert")]
    pub(crate) tls_key: Option<PathBuf>,
    #[command(flatten)]
    pub(crate) limits: LimitArgs,
}

/// Limits that differ from the documented ones.
#[derive(Debug, Arguments)]
#[command(next_help_heading = "Limits")]
pub(crate) struct LimitArgs {
    /// Seconds a connection may be silent before its first message
    #[arg(long, value_name = "SECS", default_value = "10", value_parser = seconds)]
    pub(crate) first_message: u64,
    /// Seconds between pings
    #[arg(long, value_name = "SECS", default_value = "20", value_parser = seconds)]
    pub(crate) ping_every: u64,
    /// Seconds to answer a ping
    #[arg(long, value_name = "SECS", default_value = "20", value_parser = seconds)]
    pub(crate) pong_within: u64,
    /// Seconds a request waits for the operator
    #[arg(long, value_name = "SECS", default_value = "3600", value_parser = whole_seconds)]
    pub(crate) pending_for: u64,
    /// Most requests that wait; 0 lets no new node ask
    #[arg(long, value_name = "N", default_value = "1000")]
    pub(crate) pending_total: u32,
    /// Most requests of one source (IPv4 address or IPv6 /64) that wait
    #[arg(long, value_name = "N", default_value = "64")]
    pub(crate) pending_per_source: u32,
    /// Most connections that have not authenticated
    #[arg(long, value_name = "N", default_value = "1024", value_parser = clap::value_parser!(u32).range(1..))]
    pub(crate) waiting_total: u32,
    /// Most connections of one source that have not authenticated
    #[arg(long, value_name = "N", default_value = "64", value_parser = clap::value_parser!(u32).range(1..))]
    pub(crate) waiting_per_source: u32,
    /// Most authenticated connections
    #[arg(long, value_name = "N", default_value = "20000", value_parser = clap::value_parser!(u32).range(1..))]
    pub(crate) linked_total: u32,
    /// Failed authentications of one source a minute
    #[arg(long, value_name = "N", default_value = "60", value_parser = clap::value_parser!(u32).range(1..))]
    pub(crate) failures_per_minute: u32,
    /// Most tokens that wait to be hashed
    #[arg(long, value_name = "N", default_value = "256", value_parser = clap::value_parser!(u32).range(1..=65_536))]
    pub(crate) hash_queue: u32,
}

/// Seconds with up to three decimals, as milliseconds.
fn seconds(text: &str) -> Result<u64, String> {
    let wrong = || "a number of seconds from 0.001 to 86400 is needed".to_owned();
    let (whole, decimals) = text.split_once('.').unwrap_or((text, ""));
    let digits = |s: &str| s.bytes().all(|b| b.is_ascii_digit());
    if whole.is_empty() || whole.len() > 5 || decimals.len() > 3 || !digits(whole) || !digits(decimals) {
        return Err(wrong());
    }
    let millis: u64 = format!("{whole}{decimals:0<3}").parse().map_err(|_| wrong())?;
    if (1..=86_400_000).contains(&millis) { Ok(millis) } else { Err(wrong()) }
}

/// Whole seconds, as milliseconds.
fn whole_seconds(text: &str) -> Result<u64, String> {
    let secs = text.parse().ok().filter(|secs| (1..=31_536_000).contains(secs));
    secs.map(|secs: u64| secs * 1000).ok_or_else(|| "a whole number of seconds from 1 to 31536000 is needed".to_owned())
}

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
    /// Approve a node and show its token, this once
    Pair {
        /// Id of the node or its beginning; may be left out while only one node waits
        #[arg(value_name = "ID", conflicts_with = "node_id")]
        id: Option<String>,
        /// The same as ID
        #[arg(long, value_name = "ID")]
        node_id: Option<String>,
        /// Give a node that is paired already a new token; the old one dies
        #[arg(long)]
        reissue: bool,
    },
    /// Turn down a node that waits for approval
    Reject(Id),
    /// Put a node out for good; its link ends at once
    Unpair(Id),
    /// Set what a node may do
    Policy {
        #[command(flatten)]
        id: Id,
        /// What it may do; the gateway's application decides what safe-chat means
        #[arg(long)]
        mode: PolicyMode,
    },
    /// Keep a node out until it is unmuted; its link ends at once
    Mute(Id),
    /// Let a muted node in again, in the mode it had
    Unmute(Id),
    /// Show one node, or without an ID the gateway's counts
    Status {
        /// Id of the node or its beginning
        #[arg(value_name = "ID")]
        id: Option<String>,
    },
}

#[derive(Debug, Arguments)]
pub(crate) struct Id {
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

#[derive(Debug, Arguments)]
pub(crate) struct Token {
    #[command(subcommand)]
    pub(crate) verb: TokenVerb,
}

#[derive(Debug, Subcommand)]
pub(crate) enum TokenVerb {
    /// Read a token from standard input and print the hash that the registry keeps of it
    Hash {
        /// Id of the node the token belongs to
        #[arg(long, value_name = "ID")]
        node_id: String,
    },
}

#[derive(Debug, Arguments)]
pub(crate) struct Demo {
    /// Leave out the microcontroller image even if QEMU is there
    #[arg(long)]
    pub(crate) no_firmware: bool,
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::CommandFactory;

    #[test]
    fn the_command_line_is_consistent() {
        Args::command().debug_assert();
    }

    #[test]
    fn seconds_may_have_decimals() {
        assert_eq!(seconds("10"), Ok(10_000));
        assert_eq!(seconds("0.25"), Ok(250));
        for bad in ["", "0", "-1", "1.2345", "x", "99999999", "86401", ".5", "1e3"] {
            assert!(seconds(bad).is_err(), "{bad}");
        }
    }
}
