//! `handfast import …` on the command line.

use std::path::PathBuf;

use clap::Args as Arguments;

use super::DataDir;

const IMPORT: &str = "A file is a registry of nodes (devices.json), or a SQLite database with pairing \
                      tables, and is recognised by what it holds. Without --apply it says what would \
                      come of it and changes nothing. What is in the registry already is never \
                      overwritten. A file that is missing or not recognised is reported, the others \
                      are imported all the same, and the exit code is 1.";

/// The files that are imported.
#[derive(Debug, Arguments)]
#[command(after_help = IMPORT)]
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
