//! The `handfast` command: the gateway, and the tools of its operator.

#![deny(clippy::print_stdout, clippy::print_stderr)]

mod args;
mod asked;
mod audit;
mod backup;
mod certs;
mod client;
mod clock;
mod codes;
mod companion;
mod companions;
mod configuration;
mod confirm;
mod data;
mod definitions;
mod delivery;
mod demo;
mod dispatch;
mod doctor;
mod events;
mod extensions;
mod gateway_key;
mod gateway_time;
mod groups;
mod hints;
mod import;
mod links;
mod login;
mod moving;
mod nodes;
mod operators;
mod pending;
mod policies;
mod print;
mod senders;
mod serve;
mod status;
mod store;
mod table;
mod token;
mod watch;

use std::process::ExitCode;

use args::{Args, PairingArgs, PairingVerb, Verb};
use codes::Window;
use handfast_stdio::{Unwritten, note_line};

fn main() -> ExitCode {
    let args: Args = match handfast_stdio::parse() {
        Ok(args) => args,
        Err(code) => return ExitCode::from(code),
    };
    let runtime = match tokio::runtime::Builder::new_multi_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => {
            note_line(&format!("handfast: the async runtime cannot be started: {error}"));
            return ExitCode::from(1);
        }
    };
    let outcome = runtime.block_on(run(args.verb));
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(End::Refused(message)) => {
            note_line(&format!("handfast: {message}"));
            ExitCode::from(1)
        }
        Err(End::Usage(message)) => {
            note_line(&format!("handfast: {message}"));
            ExitCode::from(2)
        }
        // The reader of the pipe needs no more output.
        Err(End::Unwritten(unwritten)) if unwritten.is_closed_pipe() => ExitCode::SUCCESS,
        Err(End::Unwritten(unwritten)) => {
            note_line(&format!(
                "handfast: {unwritten}; what was to be done is done, only its output is lost"
            ));
            ExitCode::from(1)
        }
    }
}

async fn run(verb: Verb) -> Result<(), End> {
    match verb {
        Verb::Serve(serve) => serve::run(serve).await,
        Verb::Status(status) => status::run(status).await,
        Verb::Pending(pending) => pending::run(pending).await,
        Verb::Approve(approve) => pending::approve(*approve).await,
        Verb::Policies(policies) => policies::run(policies).await,
        Verb::Reject(reject) => pending::reject(reject).await,
        Verb::Nodes(nodes) => nodes::run(nodes).await,
        Verb::Codes(codes) => codes::run(codes).await,
        Verb::Pairing(PairingArgs { common, verb }) => match verb {
            PairingVerb::Open { open_for } => codes::window(&common, Window::Open(open_for)).await,
            PairingVerb::Close => codes::window(&common, Window::Close).await,
            PairingVerb::Older(older) => Box::pin(run(older.current(common))).await,
        },
        Verb::Audit(audit) => audit::run(audit).await,
        Verb::Certs(certs) => certs::run(certs).await,
        Verb::Companions(companions) => companions::run(companions).await,
        Verb::Login(login) => login::run(login).await,
        Verb::Operators(operators) => operators::run(operators).await,
        Verb::Tokens(tokens) => operators::tokens(tokens).await,
        Verb::Senders(senders) => senders::run(senders).await,
        Verb::Extensions(extensions) => extensions::run(extensions).await,
        Verb::RunExtension(run) => extensions::start(&run),
        Verb::Companion(companion) => companion::run(companion).await,
        Verb::Gateway(gateway) => gateway_key::run(gateway).await,
        Verb::Clock(clock) => clock::run(clock).await,
        Verb::Watch(watch) => watch::run(watch).await,
        Verb::Import(import) => import::run(import).await,
        Verb::Backup(backup) => backup::run(backup),
        Verb::Restore(restore) => backup::restore(restore),
        Verb::Store(store) => store::run(store).await,
        Verb::Doctor(doctor) => doctor::run(doctor).await,
        Verb::Config(config) => configuration::run(config),
        Verb::Completions(completions) => definitions::completions(&completions),
        Verb::Man(man) => definitions::man(&man),
        Verb::Token(token) => token::run(token).await,
        Verb::Demo(demo) => demo::run(demo).await,
        Verb::Devices(devices) => Box::pin(run(devices.current())).await,
        Verb::Paired(paired) => Box::pin(run(paired.current())).await,
        Verb::Permissions(permissions) => Box::pin(run(permissions.current())).await,
    }
}

/// The failure of a verb.
#[derive(Debug)]
pub(crate) enum End {
    /// The operation was refused, failed, or found nothing: exit code 1.
    Refused(String),
    /// The command line is contradictory or incomplete: exit code 2.
    Usage(String),
    /// The operation succeeded, but its output could not be written: exit code 1, or 0 if the
    /// reader closed the pipe.
    Unwritten(Unwritten),
}

impl From<Unwritten> for End {
    fn from(unwritten: Unwritten) -> Self {
        Self::Unwritten(unwritten)
    }
}

impl End {
    pub(crate) fn refused(error: impl std::fmt::Display) -> Self {
        Self::Refused(error.to_string())
    }

    /// Returns the words of the failure.
    pub(crate) fn message(&self) -> String {
        match self {
            Self::Refused(message) | Self::Usage(message) => message.clone(),
            Self::Unwritten(unwritten) => unwritten.to_string(),
        }
    }
}
