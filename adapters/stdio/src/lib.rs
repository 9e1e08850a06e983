//! Standard output and standard error of the Handfast programs.
//!
//! Everything that a program prints goes through this crate, so that no output can panic and none
//! is lost in silence: [`put`] says whether the text was written, [`put_secret`] also that it went
//! somewhere, and [`note`] writes to standard error, where there is nobody left to tell of a
//! failure.
//!
//! A reader that closes its end of a pipe has enough, which [`Unwritten::is_closed_pipe`] tells
//! apart from every other failure.

mod closed;

use std::io::{self, IsTerminal, Write};

/// Why standard output did not take a text.
#[derive(Debug, thiserror::Error)]
#[error("standard output cannot be written: {0}")]
pub struct Unwritten(#[source] io::Error);

impl Unwritten {
    /// Whether the reader has closed its end of a pipe: it has read what it wanted.
    #[must_use]
    pub fn is_closed_pipe(&self) -> bool {
        self.0.kind() == io::ErrorKind::BrokenPipe
    }
}

/// Writes a text to standard output, all of it, and flushes it.
///
/// # Errors
/// [`Unwritten`]; how much of the text was written is not known then.
pub fn put(text: &str) -> Result<(), Unwritten> {
    if closed::stdout_was_closed() {
        return Err(Unwritten(io::Error::other("it is closed")));
    }
    let mut out = io::stdout().lock();
    out.write_all(text.as_bytes()).and_then(|()| out.flush()).map_err(Unwritten)
}

/// Writes a secret that is shown this once: a file that standard output leads to has it on its disk
/// when this returns.
///
/// # Errors
/// As for [`put`].
pub fn put_secret(text: &str) -> Result<(), Unwritten> {
    put(text)?;
    let out = io::stdout();
    let is_file = rustix::fs::fstat(&out)
        .is_ok_and(|found| rustix::fs::FileType::from_raw_mode(found.st_mode).is_file());
    if is_file {
        rustix::fs::fdatasync(&out).map_err(|error| Unwritten(error.into()))?;
    }
    Ok(())
}

/// Writes a text to standard error. Where that fails there is nobody to tell.
pub fn note(text: &str) {
    let mut err = io::stderr().lock();
    let _ = err.write_all(text.as_bytes()).and_then(|()| err.flush());
}

/// The same, as a line.
pub fn note_line(text: &str) {
    note(&format!("{text}\n"));
}

/// Reads a program's arguments. What they ask for that clap itself answers (help, the version, what
/// is wrong with them) is printed here; the error is the code to exit with: 0 for an answer, 1 if
/// it could not be printed, 2 for arguments that cannot be meant.
///
/// # Errors
/// The exit code.
pub fn parse<Args: clap::Parser>() -> Result<Args, u8> {
    Args::try_parse().map_err(|answer| {
        let coloured = |stream_is_terminal: bool| {
            stream_is_terminal && std::env::var_os("NO_COLOR").is_none_or(|set| set.is_empty())
        };
        let text = |colour| match colour {
            true => answer.render().ansi().to_string(),
            false => answer.render().to_string(),
        };
        if answer.use_stderr() {
            note(&text(coloured(io::stderr().is_terminal())));
            return 2;
        }
        match put(&text(coloured(io::stdout().is_terminal()))) {
            Ok(()) => 0,
            Err(unwritten) => told(&unwritten),
        }
    })
}

/// Says that standard output failed, unless its reader had enough; the answer is the exit code.
#[must_use]
pub fn told(unwritten: &Unwritten) -> u8 {
    if unwritten.is_closed_pipe() {
        return 0;
    }
    note_line(&format!("error: {unwritten}"));
    1
}
