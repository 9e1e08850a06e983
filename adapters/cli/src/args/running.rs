//! Verbs of whoever runs a gateway: configuration, examination, and what is made of these
//! definitions.

use std::path::PathBuf;

use clap::{Args as Arguments, Subcommand};
use clap_complete::Shell;

use super::Common;

/// The configuration of `serve`.
#[derive(Debug, Arguments)]
pub(crate) struct ConfigArgs {
    #[command(subcommand)]
    pub(crate) verb: ConfigVerb,
}

#[derive(Debug, Subcommand)]
pub(crate) enum ConfigVerb {
    /// Say whether a gateway could be served with these options, and name every mistake
    Check(Box<ServeOptions>),
    /// Print the settings that file, environment and options give, as such a file
    Print(Box<ServeOptions>),
}

/// The options of `serve`.
#[derive(Debug, Arguments)]
pub(crate) struct ServeOptions {
    #[command(flatten)]
    pub(crate) options: handfast_cli::config::Options,
}

/// What is looked at.
#[derive(Debug, Arguments)]
#[command(after_help = "Exit codes: 0 nothing was found; 1 something was; 2 wrong usage.")]
pub(crate) struct DoctorArgs {
    #[command(flatten)]
    pub(crate) common: Common,
    /// The configuration file of the gateway, whose addresses and certificate are looked at, too
    #[arg(long, value_name = "FILE")]
    pub(crate) config: Option<PathBuf>,
}

/// Shell completions.
#[derive(Debug, Arguments)]
#[command(after_help = "For bash, as an example:\n  handfast completions bash > \
                  ~/.local/share/bash-completion/completions/handfast")]
pub(crate) struct CompletionsArgs {
    /// The shell
    pub(crate) shell: Shell,
}

/// Man pages.
#[derive(Debug, Arguments)]
pub(crate) struct ManArgs {
    /// The directory to write them into, one file a verb; it has to exist
    #[arg(value_name = "DIR")]
    pub(crate) directory: PathBuf,
}
