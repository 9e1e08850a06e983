//! `handfast audit …` on the command line.

use std::path::PathBuf;

use clap::{Args as Arguments, Subcommand};

use super::Common;

#[derive(Debug, Arguments)]
pub(crate) struct AuditArgs {
    #[command(flatten)]
    pub(crate) common: Common,
    #[command(subcommand)]
    pub(crate) verb: AuditVerb,
}

#[derive(Debug, Subcommand)]
pub(crate) enum AuditVerb {
    /// List decisions, the newest first
    List {
        /// At most this many
        #[arg(long, value_name = "NUMBER", default_value_t = 20,
            value_parser = clap::value_parser!(u16).range(1..=500))]
        limit: u16,
        /// Only decisions before the entry with this number
        #[arg(long, value_name = "ENTRY")]
        before: Option<u64>,
        /// Only decisions about this node: its id, also after it was forgotten, or its name
        #[arg(long, value_name = "NODE")]
        node: Option<String>,
    },
    /// Compute the log's tree anew, and compare it with the gateway's and with a checkpoint that
    /// was saved earlier
    Verify(VerifyAudit),
    /// Prove that the log holds an entry
    Prove {
        /// Number of the entry
        #[arg(value_name = "ENTRY")]
        entry: u64,
    },
    /// Print all entries, one a line, as they are hashed
    Export,
}

/// The log that is verified, and what it is compared with.
#[derive(Debug, Arguments)]
#[command(after_help = "Keep checkpoints where the gateway's machine cannot write: who rules it \
    can rewrite the whole log, and only a checkpoint from before shows that.")]
pub(crate) struct VerifyAudit {
    /// Verify this export instead of the log of the running gateway
    #[arg(long, value_name = "FILE", conflicts_with = "save")]
    pub(crate) export: Option<PathBuf>,
    /// A checkpoint that was saved earlier: the log has to continue it
    #[arg(long, value_name = "FILE")]
    pub(crate) against: Option<PathBuf>,
    /// Write the checkpoint of the verified log to this file
    #[arg(long, value_name = "FILE")]
    pub(crate) save: Option<PathBuf>,
    /// The key that signs checkpoints, as an earlier verification has shown it
    /// [default: the one that the running gateway names]
    #[arg(long, value_name = "KEY")]
    pub(crate) key: Option<String>,
}
