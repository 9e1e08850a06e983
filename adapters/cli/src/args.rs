//! The command line.

use std::path::PathBuf;
use std::time::Duration;

use clap::{Args as Arguments, Parser, Subcommand};

use crate::confirm::Sure;

mod audit;
mod certs;
mod clock;
mod codes;
mod common;
mod companion;
mod companions;
mod extensions;
mod import;
mod nodes;
mod older;
mod operators;
mod pending;
mod running;
mod senders;
mod store;

pub(crate) use audit::{AuditArgs, AuditVerb, VerifyAudit};
pub(crate) use certs::{CertsArgs, CertsVerb, RevokeCerts};
pub(crate) use clock::{ClockArgs, ClockVerb};
pub(crate) use codes::{
    CodeMethod, CodesArgs, CodesVerb, CreateCode, Many, Minting, PairingArgs, PairingVerb, Scanned,
};
pub(crate) use common::{Common, DataDir, Permissions, length_of_time};
pub(crate) use companion::{CompanionArgs, CompanionVerb};
pub(crate) use companions::{CompanionsArgs, CompanionsVerb, Invite};
pub(crate) use extensions::{ExtensionsArgs, ExtensionsVerb, RunExtension};
pub(crate) use import::Import;
pub(crate) use nodes::{
    InvokeArgs, MoveArgs, NodesArgs, NodesVerb, PermissionsVerb, PermitArgs, UntilArg,
};
pub(crate) use older::{DevicesArgs, OlderPairingVerb, PairedArgs};
pub(crate) use operators::{LoginArgs, OperatorsArgs, OperatorsVerb, TokensArgs, TokensVerb};
pub(crate) use pending::{
    Approval, ApproveArgs, PendingArgs, PoliciesArgs, PoliciesVerb, RejectArgs, Rejection,
};
pub(crate) use running::{CompletionsArgs, ConfigArgs, ConfigVerb, DoctorArgs, ManArgs};
pub(crate) use senders::{SenderArgs, SendersArgs, SendersVerb};
pub(crate) use store::{CopyStore, StoreArgs, StoreVerb};

/// The gateway that devices pair with, and the tools of the person who decides about them
#[derive(Debug, Parser)]
#[command(
    name = "handfast",
    version,
    max_term_width = 80,
    after_help = "Exit codes: 0 done; 1 refused, failed or not found; 2 wrong usage."
)]
pub(crate) struct Args {
    #[command(subcommand)]
    pub(crate) verb: Verb,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Verb {
    /// Run the gateway that devices pair with
    Serve(Serve),
    /// Show on one screen how the gateway stands
    Status(StatusArgs),
    /// List what waits: nodes for approval, nodes for their PIN, and senders
    Pending(PendingArgs),
    /// Approve a node that waits, or for a time whoever asks from a network
    Approve(Box<ApproveArgs>),
    /// List and end approvals in advance, which `approve --from` makes
    Policies(PoliciesArgs),
    /// Turn down a node that waits
    Reject(RejectArgs),
    /// See and decide about nodes
    Nodes(NodesArgs),
    /// Make, list and withdraw codes that nodes pair with
    Codes(CodesArgs),
    /// Open and close pairing by PIN
    Pairing(PairingArgs),
    /// List and revoke certificates of nodes, and renew the authority that issues them
    Certs(CertsArgs),
    /// Invite companions by setup codes, and list and end their sessions
    #[command(alias = "setup")]
    Companions(CompanionsArgs),
    /// Log in with a browser: make a link that opens one session, once
    Login(LoginArgs),
    /// List and end the sessions of operators' browsers
    Operators(OperatorsArgs),
    /// Make, list and end tokens of programs that use the operator's API
    Tokens(TokensArgs),
    /// See and decide who may write over channels
    #[command(alias = "inbound")]
    Senders(SendersArgs),
    /// List the extensions, and call their methods
    Extensions(ExtensionsArgs),
    /// Be a companion: show a setup code to its gateway, and use the session that comes of it
    Companion(CompanionArgs),
    /// Show what people compare to know the gateway
    Gateway(GatewayArgs),
    /// List who decided what, and check that nothing was changed since
    Audit(AuditArgs),
    /// Show how the gateway's clock stands, and say that it is right
    Clock(ClockArgs),
    /// Follow what happens, with requests and their PINs, until interrupted
    Watch(Watch),
    /// Bring in what another system kept: nodes, senders, companions' sessions
    Import(Import),
    /// Copy the registry into one file, while the gateway runs or not
    Backup(BackupArgs),
    /// Bring a backup of the registry in, while no gateway runs
    Restore(Restore),
    /// Work with a registry that several gateways share
    Store(StoreArgs),
    /// Look for what is wrong with the gateway and its machine, and say what mends it
    Doctor(DoctorArgs),
    /// Check or print the configuration of a gateway
    Config(ConfigArgs),
    /// Print completions for a shell
    Completions(CompletionsArgs),
    /// Write man pages
    Man(ManArgs),
    /// Work with tokens
    Token(TokenArgs),
    /// Show every flow on this machine: a gateway, nodes, an operator
    Demo(Demo),
    #[command(hide = true)]
    RunExtension(RunExtension),
    #[command(hide = true)]
    Devices(DevicesArgs),
    #[command(hide = true)]
    Paired(PairedArgs),
    /// The same as nodes permissions
    #[command(hide = true)]
    Permissions(PermissionsVerb),
}

#[derive(Debug, Arguments)]
pub(crate) struct StatusArgs {
    #[command(flatten)]
    pub(crate) common: Common,
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
    pub(crate) common: Common,
    #[command(subcommand)]
    pub(crate) verb: GatewayVerb,
}

#[derive(Debug, Subcommand)]
pub(crate) enum GatewayVerb {
    /// Print the fingerprint of the gateway's key: what a node shows while it pairs, and what it
    /// may be told to expect
    Fingerprint,
    /// Make a new key of the gateway, which nodes are told over their links; those that are away
    /// link with the older one until the overlap ends
    RotateKey(RotateKey),
}

/// How one key takes the place of the other.
#[derive(Debug, Arguments)]
#[command(
    after_help = "From then on the new fingerprint is shown, and codes that were made under \
    the older key have ended: make and print them anew. The older key is erased at the end of the \
    overlap, and a node that has not linked by then has to be paired again."
)]
pub(crate) struct RotateKey {
    /// Time for which nodes may still link with the older key: 1h to 400d
    #[arg(long, value_name = "TIME", default_value = "30d", value_parser = length_of_time,
        conflicts_with = "finish")]
    pub(crate) overlap: Duration,
    /// End the overlap that is under way now, and erase the older key
    #[arg(long)]
    pub(crate) finish: bool,
    #[command(flatten)]
    pub(crate) sure: Sure,
}

/// What is followed.
#[derive(Debug, Arguments)]
#[command(after_help = "It shows PINs, so run it only where trusted people look.")]
pub(crate) struct Watch {
    #[command(flatten)]
    pub(crate) data: DataDir,
    /// Print each event as one line of JSON
    #[arg(long)]
    pub(crate) json: bool,
    /// Show what linked nodes send to the gateway's application, too
    #[arg(long)]
    pub(crate) messages: bool,
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
        /// Print JSON
        #[arg(long)]
        json: bool,
    },
}

#[derive(Debug, Arguments)]
pub(crate) struct Demo {
    /// Play the chapter with microcontrollers, too: it needs QEMU, rustup and this project's
    /// sources, and the first time minutes
    #[arg(long, conflicts_with = "no_firmware")]
    pub(crate) boards: bool,
    /// Play several gateways over one registry instead: it needs the programs of PostgreSQL, and
    /// starts a server of its own
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u8).range(3..=9),
        conflicts_with = "boards")]
    pub(crate) gateways: Option<u8>,
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
