//! The `handfast-node` command: the Handfast node for Linux.

#![deny(clippy::print_stdout, clippy::print_stderr)]

mod args;
mod ask;
mod hint;
mod kept;
mod logging;
mod native;
#[cfg(feature = "provision")]
mod provisioning;
mod registration;
mod reset;
mod stop;
mod talk;
mod token;

use std::fmt;
use std::process::ExitCode;

use handfast_node::native::{NativeError, NativeStorageError};
use handfast_node::{NodeError, StateDir, StateError};
use handfast_stdio::{Unwritten, note_line};
use serde_json::json;

use crate::args::{Args, Verb};
use crate::hint::Hints;
use crate::kept::Kept;

/// The failure of a command.
enum Failure {
    /// The operation was refused, failed, or found nothing: exit code 1.
    Failed(String),
    /// A file of the state is damaged: exit code 1.
    Damaged(String),
    /// The command line is contradictory or incomplete: exit code 2.
    Usage(String),
    /// The operation succeeded, but its output could not be written: exit code 1, or 0 if the
    /// reader closed the pipe.
    Unwritten(Unwritten),
}

impl<E: std::error::Error + 'static> From<E> for Failure {
    fn from(error: E) -> Self {
        let text = error.to_string();
        if is_damage(&error) { Self::Damaged(text) } else { Self::Failed(text) }
    }
}

/// Returns `true` if the node can go on only after its state was restored or forgotten.
fn is_damage(error: &(dyn std::error::Error + 'static)) -> bool {
    let stored = |error: &NativeStorageError| match error {
        NativeStorageError::State(error) => is_damage(error),
        _ => false,
    };
    if let Some(error) = error.downcast_ref::<StateError>() {
        matches!(error, StateError::Damaged { .. })
    } else if let Some(NodeError::State(error)) = error.downcast_ref() {
        is_damage(error)
    } else if let Some(NativeError::Keep(error)) = error.downcast_ref() {
        stored(error)
    } else {
        error.downcast_ref().is_some_and(stored)
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Failed(why) | Self::Usage(why) | Self::Damaged(why) => f.write_str(why),
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
        #[cfg(feature = "provision")]
        Verb::Provision(_) => "info",
        // These commands print their outcome themselves.
        #[cfg(feature = "provision")]
        Verb::Label(_) | Verb::Settings(_) => "off",
        Verb::Pair(_)
        | Verb::Status(_)
        | Verb::Reset(_)
        | Verb::Send(_)
        | Verb::Listen(_)
        | Verb::Identity(_)
        | Verb::Delegate(_)
        | Verb::Present(_) => "off",
    });
    let hints = verb.hints();
    match perform(verb, &hints).await {
        Ok(()) => ExitCode::SUCCESS,
        // The reader of the pipe needs no more output.
        Err(Failure::Unwritten(unwritten)) if unwritten.is_closed_pipe() => ExitCode::SUCCESS,
        Err(failure) => {
            note_line(&format!("handfast-node: {failure}"));
            if let Failure::Damaged(_) = failure {
                note_line(&format!(
                    "Forget this node, if there is no backup:\n  {}",
                    hints.reset()
                ));
            }
            ExitCode::from(match failure {
                Failure::Failed(_) | Failure::Damaged(_) | Failure::Unwritten(_) => 1,
                Failure::Usage(_) => 2,
            })
        }
    }
}

/// Decides in which flow the node is paired, or will be, and carries out the verb in it.
async fn perform(verb: Verb, hints: &Hints) -> Result<(), Failure> {
    match verb {
        Verb::Pair(args) => match args.flow.check()? {
            Some(way) => native::pair::pair(*args, way, hints).await,
            None => registration::pair::pair(*args, hints).await,
        },
        Verb::Run(args) => {
            let dir = args.state.dir()?;
            match Kept::load(&dir)? {
                Kept::Native(..) => native::run::run(args, hints).await,
                Kept::Registration(..) => registration::run::run(args, hints).await,
                Kept::Nothing => Err(nothing_kept(&dir, hints)),
            }
        }
        #[cfg(feature = "provision")]
        Verb::Provision(args) => provisioning::provision(*args).await,
        #[cfg(feature = "provision")]
        Verb::Label(args) => provisioning::label(&args),
        #[cfg(feature = "provision")]
        Verb::Settings(args) => provisioning::settings(&args),
        Verb::Status(args) => {
            let dir = args.state.dir()?;
            match Kept::load(&dir)? {
                Kept::Native(identity, memory) => {
                    native::status::status(&dir, &identity, &memory, args.json, hints)
                }
                Kept::Registration(identity, memory) => {
                    registration::status::status(&dir, &identity, &memory, args.json, hints)
                }
                Kept::Nothing => {
                    if args.json {
                        let place = dir.path().display().to_string();
                        put(&format!(
                            "{}\n",
                            json!({ "state": place, "node_id": null, "running": false })
                        ))?;
                    }
                    Err(nothing_kept(&dir, hints))
                }
            }
        }
        Verb::Reset(args) => reset::reset(&args, hints),
        Verb::Send(args) => talk::send(args, hints).await,
        Verb::Listen(args) => talk::listen(args, hints).await,
        Verb::Identity(args) => token::identity(&args),
        Verb::Delegate(args) => token::delegate(&args, hints),
        Verb::Present(args) => token::present(args, hints).await,
    }
}

/// Returns the error for a directory without a pairing.
fn nothing_kept(dir: &StateDir, hints: &Hints) -> Failure {
    let place = dir.path().display();
    Failure::Failed(format!("no pairing is kept in {place}; {}", hints.pair_first(&[])))
}
