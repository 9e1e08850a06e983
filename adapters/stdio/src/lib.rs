//! Standard output and standard error of the Handfast programs.
//!
//! All output of a program goes through this crate, so that no output can panic and none is lost
//! silently: [`put`] returns an error if the text was not written, [`put_secret`] also if it did
//! not reach the disk, and [`note`] writes to standard error and ignores failures, because they
//! cannot be reported anywhere.
//!
//! A reader that closes its end of a pipe needs no more output; [`Unwritten::is_closed_pipe`] tells
//! this case apart from every other failure.
//!
//! [`Hint`] is the one way in which a program writes the next command that it advises, and
//! [`Waiting`] the one way in which it shows that it waits.

mod closed;
mod hint;
mod waiting;
mod wrap;

use std::io::{self, IsTerminal, Write};

pub use hint::Hint;
pub use waiting::Waiting;

/// The reason for which standard output did not accept a text.
#[derive(Debug, thiserror::Error)]
#[error("standard output cannot be written: {0}")]
pub struct Unwritten(#[source] io::Error);

impl Unwritten {
    /// Returns `true` if the reader has closed its end of a pipe, because it needs no more output.
    #[must_use]
    pub fn is_closed_pipe(&self) -> bool {
        self.0.kind() == io::ErrorKind::BrokenPipe
    }
}

/// Writes the whole text to standard output and flushes it.
///
/// # Errors
/// [`Unwritten`] with the cause. An unknown part of the text may have been written.
pub fn put(text: &str) -> Result<(), Unwritten> {
    if closed::stdout_was_closed() {
        return Err(Unwritten(io::Error::other("it is closed")));
    }
    let mut out = io::stdout().lock();
    // Without the flush an error would show only after the exit code is decided.
    out.write_all(text.as_bytes()).and_then(|()| out.flush()).map_err(Unwritten)
}

/// Breaks the lines of a text that are wider than the terminal on standard output, for [`put`]; where
/// it is none, the text stays as it is. Lines go on indented by `hang` columns. Commands to copy stay
/// whole, and lines that begin with more than two spaces.
#[must_use]
pub fn fitted(text: &str, hang: usize) -> String {
    wrap::columns(io::stdout())
        .map_or_else(|| text.to_owned(), |columns| wrap::wrapped(text, columns, hang))
}

/// Returns a head and a text, which goes on below itself where the terminal on standard output is too
/// narrow for both.
#[must_use]
pub fn fitted_behind(head: &str, text: &str) -> String {
    wrap::columns(io::stdout())
        .map_or_else(|| format!("{head}{text}"), |columns| wrap::behind(head, text, columns))
}

/// Writes a secret that is shown only once. If standard output is a file, the secret is on its disk
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

/// Writes a text to standard error. A failure is ignored, because it cannot be reported anywhere.
pub fn note(text: &str) {
    let mut err = io::stderr().lock();
    let _ = err.write_all(text.as_bytes()).and_then(|()| err.flush());
}

/// Writes a line to standard error, as [`note`] does. On a terminal it is broken to fit, but for
/// commands to copy; a program that reads it gets one line.
pub fn note_line(text: &str) {
    match wrap::columns(io::stderr()) {
        Some(columns) => note(&format!("{}\n", wrap::wrapped(text, columns, 0))),
        None => note(&format!("{text}\n")),
    }
}

/// Parses a program's arguments. Help, version and errors of the arguments are printed here, as
/// clap words them. The error is the exit code: 0 after an answer, 1 if it could not be printed, 2
/// for invalid arguments.
///
/// # Errors
/// The exit code.
pub fn parse<Args: clap::Parser>() -> Result<Args, u8> {
    Args::try_parse().map_err(|answer| {
        let coloured = |stream_is_terminal: bool| {
            // By its convention an empty NO_COLOR counts as unset.
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

/// Reports a failed standard output, unless its reader closed the pipe. Returns the exit code.
#[must_use]
pub fn told(unwritten: &Unwritten) -> u8 {
    if unwritten.is_closed_pipe() {
        // A reader such as `head` that has read enough is no error.
        return 0;
    }
    note_line(&format!("error: {unwritten}"));
    1
}
