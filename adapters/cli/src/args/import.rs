//! `handfast import …` on the command line.

use std::path::PathBuf;

use clap::Args as Arguments;

use super::DataDir;

/// A registry of nodes (`devices.json`), or a SQLite database with pairing tables; each file is
/// recognised by what it holds. Without --apply it says what would come of it and changes no
/// registry. What is in the registry already is never overwritten. A file that is missing or not
/// recognised is reported, the others are imported all the same, and the exit code is 1.
#[derive(Debug, Arguments)]
pub(crate) struct Import {
    /// What to import
    #[arg(value_name = "FILE", required = true)]
    pub(crate) files: Vec<PathBuf>,
    /// Do it; the gateway must not run meanwhile
    #[arg(long)]
    pub(crate) apply: bool,
    /// Print JSON
    #[arg(long)]
    pub(crate) json: bool,
    #[command(flatten)]
    pub(crate) data: DataDir,
}
