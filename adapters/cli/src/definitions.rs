//! What is made of the definitions of the command line: shell completions and man pages.

use clap::CommandFactory;

use crate::End;
use crate::args::{Args, CompletionsArgs, ManArgs};
use crate::print::{put, safe};

/// Prints a shell's completions.
pub(crate) fn completions(args: &CompletionsArgs) -> Result<(), End> {
    let mut text = Vec::new();
    clap_complete::generate(args.shell, &mut Args::command(), "handfast", &mut text);
    put(&String::from_utf8_lossy(&text))
}

/// Writes the man pages.
pub(crate) fn man(args: &ManArgs) -> Result<(), End> {
    let directory = safe(&args.directory.display().to_string());
    clap_mangen::generate_to(Args::command(), &args.directory).map_err(|error| {
        End::Refused(format!("{directory}: {error}; name a directory that exists"))
    })?;
    put(&format!("{directory}: handfast.1 and a page for each verb\n"))
}
