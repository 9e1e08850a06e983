//! `handfast nodes …` on the command line.

use std::time::Duration;

use clap::{Args as Arguments, Subcommand};

use super::{DataDir, Permissions, length_of_time};

#[derive(Debug, Arguments)]
pub(crate) struct NodesArgs {
    #[command(flatten)]
    pub(crate) data: DataDir,
    /// Print JSON
    #[arg(long, global = true)]
    pub(crate) json: bool,
    #[command(subcommand)]
    pub(crate) verb: NodesVerb,
}

#[derive(Debug, Subcommand)]
pub(crate) enum NodesVerb {
    /// Decide anew what a paired node may do: less is in force at once, whether or not the node
    /// takes notice, more once it has confirmed it. Without any option, show it
    Permissions(PermitArgs),
}

/// The same verb without the word before it.
#[derive(Debug, Arguments)]
pub(crate) struct PermissionsVerb {
    #[command(flatten)]
    pub(crate) data: DataDir,
    /// Print JSON
    #[arg(long)]
    pub(crate) json: bool,
    #[command(flatten)]
    pub(crate) permit: PermitArgs,
}

/// What a node may do from now on; what is not named stays as it is.
#[derive(Debug, Arguments)]
pub(crate) struct PermitArgs {
    /// Name of the node, or its id or the beginning of it
    #[arg(value_name = "NODE")]
    pub(crate) node: String,
    #[command(flatten)]
    pub(crate) permissions: Permissions,
    /// Allow nothing
    #[arg(long, conflicts_with_all = ["read", "write", "admin"])]
    pub(crate) none: bool,
    /// When it ends, for instance 30d from now; never lifts an end that was set before
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
