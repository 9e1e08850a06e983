//! The command line.

use std::path::{Path, PathBuf};
use std::time::Duration;

use clap::{Parser, Subcommand};
use handfast_core::{Label, Name};
use handfast_node::native::GatewayAt;
use handfast_node::{GatewayUrl, StateDir, Waits};

use crate::Failure;
use crate::hint::Hints;

pub(crate) mod native;
#[cfg(feature = "provision")]
pub(crate) mod provision;

/// The Handfast node for Linux: asks a gateway to be paired, and stays linked to it
///
/// First `pair --pin` and type the PIN that the gateway shows (or --code, --qr, --approval); then
/// `run`.
///
/// With a gateway that only knows tokens: `pair` without any of these; then the operator approves
/// the node on the gateway and is shown a token once; put that token into /etc/handfast/token (mode
/// 600); then `run`.
#[derive(Debug, Parser)]
#[command(
    name = "handfast-node",
    version,
    after_help = "Exit codes: 0 done; 1 refused, not found or failed; 2 wrong usage.\n\
                  Logs go to standard error, never with a token in them; RUST_LOG=debug shows more."
)]
pub(crate) struct Args {
    #[command(subcommand)]
    pub(crate) verb: Verb,
}

#[derive(Debug, Subcommand)]
#[allow(clippy::large_enum_variant, reason = "one is parsed, once")]
pub(crate) enum Verb {
    /// Pair this node with a gateway
    ///
    /// With --pin, --code, --qr or --approval over a sealed channel: ws://, wss://, tcp://HOST:PORT
    /// or serial:/dev/ttyUSB0?baud=115200. Without any of them it asks a gateway that knows tokens
    /// (ws:// or wss://), tries once, and keeps the node id it is given; one that is kept already
    /// is then replaced.
    ///
    /// With --pin, --code or --approval and without --gateway it looks for gateways on the local
    /// network for 3 s, lists them, and asks which one is meant. That one has to prove the
    /// announced key before it is told anything.
    Pair(Box<Pair>),
    /// Stay linked to the gateway until told to stop (SIGTERM or Ctrl-C)
    ///
    /// Connects again after every loss, in 1 s at first and in 60 s at most. A gateway that refuses
    /// (muted, not approved, token not known) is tried again about once a minute, because its
    /// operator may think otherwise.
    Run(RunArgs),
    /// Be given the network, the keys and the gateway by a phone, then stay linked to the gateway
    ///
    /// Serves an HTTP API for the phone, joins the network that it names, registers at the command
    /// center that it names, and goes over to normal operation. After a failure the access point
    /// comes back, and the phone can try again. A provisioned node that loses its network tries to
    /// join it for 2 minutes, then offers its access point for 10. SIGUSR1 is the button that opens
    /// the setup window again.
    #[cfg(feature = "provision")]
    Provision(Box<provision::Provision>),
    /// Print what belongs on this node's label: the QR of its access point, and the proof
    ///
    /// A phone joins by the QR, and its owner types the proof on the node's page. Whoever reads the
    /// label can set the node up, so keep it on the node. It never changes.
    #[cfg(feature = "provision")]
    Label(provision::LabelArgs),
    /// Seal settings under K2 for the phone that sent it, or open those that it pushes
    ///
    /// Reads standard input, and writes standard output: JSON on one side, on the other an object
    /// with ciphertext, nonce and tag.
    #[cfg(feature = "provision")]
    Settings(provision::SettingsArgs),
    /// Show what is kept, and whether a node is running; exits 1 if nothing is kept
    Status(Status),
    /// Forget the node id, the keys, the gateway and a kept token; a token file is left alone
    Reset(Reset),
    /// Link, send one thing, and end
    Send(native::Send),
    /// Link, and print what comes until told to stop
    Listen(native::Listen),
    /// Print this node's public keys and its fingerprint, making them if need be
    Identity(native::IdentityArgs),
    /// Make a narrower token of this node's own for somebody else, offline, and print it
    Delegate(native::DelegateArgs),
    /// Link with a token that another node delegated to this one's keys
    Present(native::PresentArgs),
}

#[derive(Debug, clap::Args)]
pub(crate) struct Pair {
    #[command(flatten)]
    pub(crate) flow: native::FlowArgs,
    /// Name of the node for people: up to 64 characters; with --pin and the like the host's name
    /// unless given
    #[arg(long, value_name = "NAME", value_parser = name)]
    pub(crate) name: Option<Name>,
    /// Room where the node stands: up to 64 characters
    #[arg(long, value_name = "ROOM", value_parser = name)]
    pub(crate) room: Option<Name>,
    /// Hardware of the node: a JSON object, or @FILE that holds one; at most 256 bytes with --pin
    /// and the like, 4096 without
    #[arg(long, value_name = "JSON|@FILE", default_value = "{}")]
    pub(crate) profile: String,
    /// The gateway: ws:// or wss:// (http:// and https:// mean the same; port 8765 unless named),
    /// tcp://HOST:PORT, serial:/dev/ttyUSB0. Without it, --pin, --code and --approval look for
    /// gateways on the local network
    #[arg(long, value_name = "URL", conflicts_with = "qr")]
    pub(crate) gateway: Option<GatewayAt>,
    #[command(flatten)]
    pub(crate) tokens: native::Tokens,
    #[command(flatten)]
    pub(crate) state: StateArgs,
    #[command(flatten)]
    pub(crate) ca: Ca,
}

#[derive(Debug, clap::Args)]
pub(crate) struct RunArgs {
    /// The gateway, if it is not the one that was asked; kept only together with a token from
    /// standard input. At mtls://HOST:PORT the node shows its certificate
    #[arg(long, value_name = "URL")]
    pub(crate) gateway: Option<GatewayAt>,
    /// Print what happens as JSON, one object a line, if the node was paired with --pin or the like
    #[arg(long)]
    pub(crate) json: bool,
    /// The file that holds the token, or - to read it from standard input and keep it
    ///
    /// The file must be a regular one that only its owner can read (chmod 600). Without this option
    /// the token that was kept from standard input is used, or else /etc/handfast/token.
    #[arg(long, value_name = "PATH|-")]
    pub(crate) token_file: Option<PathBuf>,
    /// Accept a token file that others may read, or that is a link, as the mounted secrets of
    /// containers are; warns at each start
    #[arg(long, requires = "token_file")]
    pub(crate) token_file_readable_by_others: bool,
    /// Ask for no certificate, unless this node has had one
    #[arg(long)]
    pub(crate) no_certificate: bool,
    #[command(flatten)]
    pub(crate) offers: native::OfferArgs,
    #[command(flatten)]
    pub(crate) state: StateArgs,
    #[command(flatten)]
    pub(crate) ca: Ca,
    /// Milliseconds between heartbeats, for tests
    #[arg(long, value_name = "MS", hide = true, value_parser = milliseconds)]
    pub(crate) heartbeat_every_ms: Option<Duration>,
}

#[derive(Debug, clap::Args)]
pub(crate) struct Status {
    /// Print one JSON object
    #[arg(long)]
    pub(crate) json: bool,
    #[command(flatten)]
    pub(crate) state: StateArgs,
}

#[derive(Debug, clap::Args)]
pub(crate) struct Reset {
    /// Confirm that everything is to be forgotten
    #[arg(long)]
    pub(crate) yes: bool,
    #[command(flatten)]
    pub(crate) state: StateArgs,
}

#[derive(Debug, clap::Args)]
pub(crate) struct StateArgs {
    /// Directory of the node's state: default $STATE_DIRECTORY, else /var/lib/handfast-node for
    /// root, else ~/.local/state/handfast-node
    #[arg(id = "state", long = "state", value_name = "DIR")]
    path: Option<PathBuf>,
}

impl StateArgs {
    /// Returns `true` if the state belongs to one person, so that the token store can be the one
    /// that this person's programs share.
    pub(crate) fn is_personal(&self) -> bool {
        let service = std::env::var_os("STATE_DIRECTORY").is_some_and(|value| !value.is_empty());
        self.path.is_none() && !service && !rustix::process::geteuid().is_root()
    }

    /// Returns the directory if one was given.
    pub(crate) fn path(&self) -> Option<&Path> {
        self.path.as_deref()
    }

    pub(crate) fn dir(&self) -> Result<StateDir, Failure> {
        let path = self.path.clone().or_else(StateDir::default_path);
        path.map(StateDir::at).ok_or_else(|| {
            Failure::Usage(
                "there is no home directory; name a state directory with --state DIR".into(),
            )
        })
    }
}

#[derive(Debug, clap::Args)]
pub(crate) struct Ca {
    /// A file of CA certificates (PEM) to trust on wss:// besides the system's
    #[arg(id = "ca", long = "ca", value_name = "FILE")]
    path: Option<PathBuf>,
}

impl Ca {
    /// Returns the file if one was given.
    pub(crate) fn path(&self) -> Option<&Path> {
        self.path.as_deref()
    }

    /// Returns the file. An error if none of these addresses uses TLS.
    pub(crate) fn checked_for(self, gateways: &[GatewayAt]) -> Result<Option<PathBuf>, Failure> {
        match self.path {
            Some(_) if !gateways.iter().any(GatewayAt::is_tls) => {
                Err(Failure::Usage("--ca has an effect only with a wss:// address".into()))
            }
            path => Ok(path),
        }
    }

    /// Returns the file. An error if the address does not use TLS, because the owner would then
    /// believe in an encryption that is not there.
    pub(crate) fn checked(self, gateway: &GatewayUrl) -> Result<Option<PathBuf>, Failure> {
        match self.path {
            Some(_) if !gateway.is_tls() => Err(Failure::Usage(format!(
                "--ca has no effect on {gateway}, which is not encrypted; use a wss:// address"
            ))),
            path => Ok(path),
        }
    }
}

impl Verb {
    /// Returns the hints for the next commands, with the options that were given.
    pub(crate) fn hints(&self) -> Hints {
        match self {
            Self::Pair(args) => Hints::new(&args.state, Some(&args.ca)),
            Self::Run(args) => Hints::new(&args.state, Some(&args.ca)),
            Self::Send(args) => Hints::new(&args.state, Some(&args.ca)),
            Self::Listen(args) => Hints::new(&args.state, Some(&args.ca)),
            Self::Present(args) => Hints::new(&args.state, Some(&args.ca)),
            #[cfg(feature = "provision")]
            Self::Provision(args) => Hints::new(&args.state, Some(&args.ca)),
            #[cfg(feature = "provision")]
            Self::Label(args) => Hints::new(&args.state, None),
            #[cfg(feature = "provision")]
            Self::Settings(args) => Hints::new(&args.state, None),
            Self::Status(args) => Hints::new(&args.state, None),
            Self::Reset(args) => Hints::new(&args.state, None),
            Self::Identity(args) => Hints::new(&args.state, None),
            Self::Delegate(args) => Hints::new(&args.state, None),
        }
    }
}

impl RunArgs {
    pub(crate) fn waits(&self) -> Waits {
        Waits {
            heartbeat_every: self.heartbeat_every_ms.unwrap_or(Waits::DEFAULT.heartbeat_every),
            ..Waits::DEFAULT
        }
    }
}

fn name(text: &str) -> Result<Name, String> {
    match Label::parse(text) {
        Some(label) if !text.is_empty() => Ok(label.into()),
        _ => Err("it must be 1 to 64 characters without control characters".into()),
    }
}

fn milliseconds(text: &str) -> Result<Duration, String> {
    text.parse()
        .map(Duration::from_millis)
        .ok()
        .filter(|d| !d.is_zero())
        .ok_or("it must be a whole number above zero".into())
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::CommandFactory;
    use handfast_core::crypto::ed25519;
    use handfast_node::native::write_public;

    #[test]
    fn the_command_line_is_consistent() {
        Args::command().debug_assert();
    }

    #[test]
    fn there_is_no_way_to_give_a_token_on_the_command_line() {
        for verb in Args::command().get_subcommands() {
            for argument in verb.get_arguments() {
                assert_ne!(argument.get_id(), "token");
            }
        }
    }

    #[test]
    fn a_pin_or_code_on_the_command_line_is_read_as_a_mistake_and_not_kept() {
        for given in [
            &["--pin", "123456"][..],
            &["--pin=123456"],
            &["--code", "K7QF-847291"],
            &["--code=K7QF-847291"],
        ] {
            let line = ["handfast-node", "pair", "--gateway", "ws://pi.local"].iter().chain(given);
            let Args { verb: Verb::Pair(pair) } = Args::try_parse_from(line).unwrap() else {
                panic!("not pair")
            };
            assert!(
                !format!("{pair:?}").contains("847291") && !format!("{pair:?}").contains("123456")
            );
            let Err(Failure::Usage(why)) = pair.flow.check() else { panic!("not refused") };
            assert!(
                why.contains("asks for it") && !why.contains("847291") && !why.contains("123456"),
                "{why}"
            );
        }
    }

    #[test]
    fn one_way_of_pairing_excludes_the_others() {
        let ways = [&["--pin"][..], &["--code"], &["--qr", "x"], &["--approval"]];
        for one in ways {
            for other in ways {
                let line = [&["handfast-node", "pair"], one, other].concat();
                assert!(Args::try_parse_from(line).is_err(), "{one:?} {other:?}");
            }
        }
    }

    #[test]
    fn a_key_that_begins_with_a_dash_is_a_key_and_no_option() {
        // Every 64th key begins so: a dash is base64url's 62nd digit.
        let key = (0..=255)
            .map(|tail| [&[0xf8][..], &[tail; 31]].concat().try_into().unwrap())
            .find(|key| ed25519::PublicKey::parse(key).is_ok())
            .unwrap();
        let text = write_public(&key);
        assert!(text.starts_with('-'), "{text}");
        let line = ["handfast-node", "delegate", "--to-channel-key", &text, "--to-signing-key"];
        let rest = [&text, "--scope", "read:/a", "--for", "1h", "--state", "/tmp/lamp"];
        let read = Args::try_parse_from([&line[..], &rest].concat()).unwrap();
        let Args { verb: Verb::Delegate(read) } = read else { panic!("not delegate") };
        assert_eq!(read.to_signing_key.as_bytes(), &key);
        assert_eq!(read.to_channel_key.as_bytes(), &key);
    }

    #[test]
    fn a_text_that_begins_with_a_dash_is_sent() {
        let line = ["handfast-node", "send", "write", "/temperature", "-5", "--state", "/tmp/lamp"];
        let Args { verb: Verb::Send(read) } = Args::try_parse_from(line).unwrap() else {
            panic!("not send")
        };
        assert_eq!(read.text, "-5");
    }
}
