//! The command line.

use std::path::PathBuf;

use clap::{Args as Arguments, Parser, Subcommand};

mod clock;
mod companion;
mod devices;
mod import;
mod inbound;
mod nodes;
mod pairing;
mod setup;

pub(crate) use clock::{ClockArgs, ClockVerb};
pub(crate) use companion::{CompanionArgs, CompanionVerb};
pub(crate) use devices::{DeviceVerb, Devices, IdArgs, Reject};
pub(crate) use import::Import;
pub(crate) use inbound::{InboundArgs, InboundVerb, SenderArgs};
pub(crate) use nodes::{NodesArgs, NodesVerb, PermissionsVerb, PermitArgs, UntilArg};
pub(crate) use pairing::{
    Minting, PairedArgs, PairedVerb, PairingArgs, PairingVerb, Permissions, Qr, length_of_time,
};
pub(crate) use setup::{SetupArgs, SetupVerb, Start};

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
    /// Open pairing by PIN, and mint codes to be scanned or typed; talks to the running gateway
    Pairing(PairingArgs),
    /// See and end what nodes were given when they paired; talks to the running gateway
    Paired(PairedArgs),
    /// Decide what paired nodes may do; talks to the running gateway
    Nodes(NodesArgs),
    /// The same as nodes permissions
    #[command(hide = true)]
    Permissions(PermissionsVerb),
    /// Make setup codes for companions, and see and end their sessions; talks to the running
    /// gateway
    Setup(SetupArgs),
    /// See and decide who may write over channels; talks to the running gateway
    Inbound(InboundArgs),
    /// Be a companion: show a setup code to its gateway, and use the session that comes of it
    Companion(CompanionArgs),
    /// Show what people compare to know the gateway; talks to the running gateway
    Gateway(GatewayArgs),
    /// See how the gateway's clock stands, and say that it is right; talks to the running gateway
    Clock(ClockArgs),
    /// Follow what happens, with requests and their PINs, until interrupted; talks to the running
    /// gateway
    Watch(Watch),
    /// Bring in what another system kept: nodes, senders, companions' sessions; works on the
    /// registry itself
    Import(Import),
    /// Copy the registry into one file, while the gateway runs or not
    Backup(BackupArgs),
    /// Bring a backup of the registry in, while no gateway runs
    Restore(Restore),
    /// Work with tokens
    Token(TokenArgs),
    /// Show the whole flow on this machine: a gateway, nodes, an operator
    Demo(Demo),
}

/// Where the gateway keeps its data and its operator's socket.
#[derive(Debug, Clone, Arguments)]
pub(crate) struct DataDir {
    /// Data directory of the gateway
    /// [default: $STATE_DIRECTORY, else $XDG_DATA_HOME/handfast, else ~/.local/share/handfast]
    #[arg(long, value_name = "DIR", global = true)]
    pub(crate) data: Option<PathBuf>,
}

#[derive(Debug, Arguments)]
pub(crate) struct Serve {
    #[command(flatten)]
    pub(crate) options: handfast_cli::config::Options,
    /// Go on with a registry that is older than what it acknowledged: nodes that were revoked since
    /// may be let in again
    #[arg(long)]
    pub(crate) accept_older_store: bool,
}

#[derive(Debug, Arguments)]
pub(crate) struct BackupArgs {
    /// The file to write; one that is there is replaced if it is a backup
    #[arg(value_name = "FILE")]
    pub(crate) file: PathBuf,
    #[command(flatten)]
    pub(crate) data: DataDir,
    /// Print JSON
    #[arg(long)]
    pub(crate) json: bool,
}

#[derive(Debug, Arguments)]
pub(crate) struct Restore {
    /// The backup to bring in
    #[arg(value_name = "FILE")]
    pub(crate) file: PathBuf,
    #[command(flatten)]
    pub(crate) data: DataDir,
    /// Print JSON
    #[arg(long)]
    pub(crate) json: bool,
}

#[derive(Debug, Arguments)]
pub(crate) struct GatewayArgs {
    #[command(flatten)]
    pub(crate) data: DataDir,
    /// Print JSON
    #[arg(long, global = true)]
    pub(crate) json: bool,
    #[command(subcommand)]
    pub(crate) verb: GatewayVerb,
}

#[derive(Debug, Subcommand)]
pub(crate) enum GatewayVerb {
    /// Print the fingerprint of the gateway's key: what a node shows while it pairs, and what it
    /// may be told to expect
    Fingerprint,
}

/// Shows PINs, so run it only where trusted people look.
#[derive(Debug, Arguments)]
pub(crate) struct Watch {
    #[command(flatten)]
    pub(crate) data: DataDir,
    /// Print each event as one line of JSON
    #[arg(long)]
    pub(crate) json: bool,
}

#[derive(Debug, Arguments)]
pub(crate) struct TokenArgs {
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
    /// Play the chapter with microcontrollers, too: it needs QEMU, rustup and this project's
    /// sources, and the first time minutes
    #[arg(long, conflicts_with = "no_firmware")]
    pub(crate) boards: bool,
    /// What is done anyway: the demo's name for it before there was `--boards`
    #[arg(long, hide = true)]
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
}
