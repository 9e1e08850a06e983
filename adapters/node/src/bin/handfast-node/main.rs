//! The `handfast-node` command: the Handfast node for Linux.

#![deny(clippy::print_stdout, clippy::print_stderr)]

mod args;
mod ask;
mod logging;
mod native;
mod registration;
mod stop;
mod talk;
mod token;

use std::fmt;
use std::process::ExitCode;

use handfast_stdio::{Unwritten, note_line};

use crate::args::{Args, Verb};

/// The failure of a command.
enum Failure {
    /// The operation was refused, failed, or found nothing: exit code 1.
    Failed(String),
    /// The command line is contradictory or incomplete: exit code 2.
    Usage(String),
    /// The operation succeeded, but its output could not be written: exit code 1, or 0 if the
    /// reader closed the pipe.
    Unwritten(Unwritten),
}

impl<E: std::error::Error> From<E> for Failure {
    fn from(error: E) -> Self {
        Self::Failed(error.to_string())
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Failed(why) | Self::Usage(why) => f.write_str(why),
            Self::Unwritten(why) => why.fmt(f),
        }
    }
}

/// Prints to standard output.
fn put(text: &str) -> Result<(), Failure> {
    handfast_stdio::put(text).map_err(Failure::Unwritten)
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> ExitCode {
    let Args { verb } = match handfast_stdio::parse() {
        Ok(args) => args,
        Err(code) => return ExitCode::from(code),
    };
    logging::start(match verb {
        Verb::Run(_) => "info",
        // These commands print their outcome themselves.
        Verb::Pair(_)
        | Verb::Status(_)
        | Verb::Reset(_)
        | Verb::Send(_)
        | Verb::Listen(_)
        | Verb::Identity(_)
        | Verb::Delegate(_)
        | Verb::Present(_) => "off",
    });
    let outcome = match verb {
        Verb::Pair(args) => registration::pair::pair(*args).await,
        Verb::Run(args) => registration::run::run(args).await,
        Verb::Status(args) => registration::status::status(&args),
        Verb::Reset(args) => registration::status::reset(&args),
        Verb::Send(args) => talk::send(args).await,
        Verb::Listen(args) => talk::listen(args).await,
        Verb::Identity(args) => token::identity(&args),
        Verb::Delegate(args) => token::delegate(&args),
        Verb::Present(args) => token::present(args).await,
    };
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        // The reader of the pipe needs no more output.
        Err(Failure::Unwritten(unwritten)) if unwritten.is_closed_pipe() => ExitCode::SUCCESS,
        Err(failure) => {
            note_line(&format!("handfast-node: {failure}"));
            ExitCode::from(match failure {
                Failure::Failed(_) | Failure::Unwritten(_) => 1,
                Failure::Usage(_) => 2,
            })
        }
    }
}
