//! The command line of the native wire.

use std::path::PathBuf;
use std::str::FromStr;
use std::time::Duration;

use handfast_core::Name;
use handfast_core::crypto::ed25519;
use handfast_core::crypto::fingerprint::Fingerprint;
use handfast_core::crypto::keys::OwnKeys;
use handfast_core::crypto::x25519;
use handfast_core::wire::path::Action;
use handfast_node::capability::{Capabilities, ExecutableHandler};
use handfast_node::native::{GatewayAt, read_public};

use super::{Ca, StateArgs};
use crate::Failure;

/// The pairing method of the native wire. None of these options means pairing by token.
#[derive(Debug, clap::Args)]
#[group(multiple = false, id = "flow")]
pub(crate) struct MethodArgs {
    /// Pair with the PIN that the gateway shows; it is asked for here, never given on the command
    /// line
    #[arg(long, num_args = 0..=1, value_name = "", hide_possible_values = true)]
    pin: Option<Option<Hidden>>,
    /// Pair with a code that the operator had made (K7QF-847291); it is asked for here, never given
    /// on the command line
    #[arg(long, num_args = 0..=1, value_name = "")]
    code: Option<Option<Hidden>>,
    /// Pair with what a QR code says (handfast:1?a=…), or - to read it from standard input, where
    /// nobody else sees it
    #[arg(long, value_name = "TEXT|-")]
    qr: Option<String>,
    /// Pair with a setup code (handfast companions invite --bound), or - to read it from standard input,
    /// where nobody else sees it
    #[arg(long, value_name = "TEXT|-")]
    setup: Option<String>,
    /// Pair when the operator has compared this node's fingerprint and approved it
    #[arg(long)]
    approval: bool,
}

#[derive(Debug, clap::Args)]
pub(crate) struct FlowArgs {
    #[command(flatten)]
    way: MethodArgs,
    /// Pair with the gateway of this fingerprint and no other
    #[arg(long, value_name = "FINGERPRINT", value_parser = fingerprint, conflicts_with_all = ["qr", "setup"])]
    pub(crate) gateway_key: Option<Fingerprint>,
    /// Ask for no certificate, without which the node cannot link at mtls:// addresses
    #[arg(long)]
    pub(crate) no_certificate: bool,
}

/// The capabilities that a node offers.
#[derive(Debug, clap::Args)]
pub(crate) struct OfferArgs {
    /// Offer no capabilities: nothing can be dispatched to this node then
    #[arg(long, conflicts_with = "handler")]
    no_capabilities: bool,
    /// Offer a program as a capability, beside echo, system.health and system.identity: it reads
    /// the input from standard input, and what it writes is the result. It is not run by a shell;
    /// may be repeated
    #[arg(long, value_name = "NAME=PATH", value_parser = handler)]
    handler: Vec<(String, PathBuf)>,
}

impl OfferArgs {
    /// Returns the capabilities of a node with these keys.
    pub(crate) fn capabilities(&self, keys: &OwnKeys) -> Result<Capabilities, Failure> {
        if self.no_capabilities {
            return Ok(Capabilities::none());
        }
        let usage = |why: &dyn std::fmt::Display| Failure::Usage(format!("--handler: {why}"));
        let mut offered = Capabilities::built_in(keys);
        for (name, path) in &self.handler {
            let handler = ExecutableHandler::new(name, path).map_err(|why| usage(&why))?;
            offered = offered.with(handler).map_err(|why| usage(&why))?;
        }
        Ok(offered)
    }
}

/// The pairing method of the native wire from the command line.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Chosen {
    Pin,
    Code,
    Qr(String),
    Setup(String),
    Approval,
}

impl Chosen {
    /// Returns the option of this method.
    pub(crate) const fn option(&self) -> &'static str {
        match self {
            Self::Pin => "--pin",
            Self::Code => "--code",
            Self::Qr(_) => "--qr",
            Self::Setup(_) => "--setup",
            Self::Approval => "--approval",
        }
    }

    /// Returns `true` if the method comes without an address of the gateway.
    pub(crate) const fn lacks_address(&self) -> bool {
        matches!(self, Self::Pin | Self::Code | Self::Approval)
    }
}

/// An option value that must not be given. It is parsed only to be refused, and is not stored.
#[derive(Clone, Debug)]
struct Hidden;

impl FromStr for Hidden {
    type Err = std::convert::Infallible;

    fn from_str(_: &str) -> Result<Self, Self::Err> {
        Ok(Self)
    }
}

impl FlowArgs {
    /// Returns the pairing method, `None` for pairing by token. An error if a secret was given on
    /// the command line.
    pub(crate) fn check(&self) -> Result<Option<Chosen>, Failure> {
        let MethodArgs { pin, code, qr, setup, approval } = &self.way;
        let given = |option: &str, what: &str| {
            Failure::Usage(format!(
                "the {what} does not belong on the command line, where every user of this machine can see it: give {option} alone, and \
                 handfast-node asks for it (or reads it from standard input)"
            ))
        };
        match (pin, code, qr, setup, approval) {
            (Some(Some(Hidden)), ..) => Err(given("--pin", "PIN")),
            (_, Some(Some(Hidden)), ..) => Err(given("--code", "code")),
            (Some(None), ..) => Ok(Some(Chosen::Pin)),
            (_, Some(None), ..) => Ok(Some(Chosen::Code)),
            (_, _, Some(text), ..) => Ok(Some(Chosen::Qr(text.clone()))),
            (_, _, _, Some(text), _) => Ok(Some(Chosen::Setup(text.clone()))),
            (_, _, _, _, true) => Ok(Some(Chosen::Approval)),
            (None, None, None, None, false) => Ok(None),
        }
    }
}

#[derive(Debug, clap::Args)]
pub(crate) struct Tokens {
    /// The token store: default ~/.config/handfast/tokens.json, or tokens.json in a state directory
    /// that is named or a service's
    #[arg(id = "tokens", long = "tokens", value_name = "FILE")]
    pub(crate) path: Option<PathBuf>,
    /// Keep the token as it is, not encrypted
    #[arg(long)]
    pub(crate) plain_tokens: bool,
}

#[derive(Debug, clap::Args)]
pub(crate) struct Send {
    /// Action at the address: read, write or admin
    #[arg(value_parser = action)]
    pub(crate) action: Action,
    /// Address, like /lights/1
    pub(crate) address: String,
    /// Text to send: up to 864 bytes
    #[arg(allow_hyphen_values = true)]
    pub(crate) text: String,
    #[command(flatten)]
    pub(crate) state: StateArgs,
    #[command(flatten)]
    pub(crate) ca: Ca,
}

#[derive(Debug, clap::Args)]
pub(crate) struct Listen {
    /// Pattern of addresses to listen at, like /lights/** (quote it)
    pub(crate) pattern: String,
    /// Print JSON, one object a line
    #[arg(long)]
    pub(crate) json: bool,
    #[command(flatten)]
    pub(crate) state: StateArgs,
    #[command(flatten)]
    pub(crate) ca: Ca,
}

#[derive(Debug, clap::Args)]
pub(crate) struct IdentityArgs {
    /// Print one JSON object
    #[arg(long)]
    pub(crate) json: bool,
    #[command(flatten)]
    pub(crate) state: StateArgs,
}

#[derive(Debug, clap::Args)]
pub(crate) struct DelegateArgs {
    /// The X25519 key of who gets it, as handfast-node identity prints it there
    #[arg(long, value_name = "KEY", value_parser = channel_key, allow_hyphen_values = true)]
    pub(crate) to_channel_key: x25519::PublicKey,
    /// The Ed25519 key of who gets it
    #[arg(long, value_name = "KEY", value_parser = signing_key, allow_hyphen_values = true)]
    pub(crate) to_signing_key: ed25519::PublicKey,
    /// Scope of the new token, like read:/lights/**; may be repeated
    #[arg(long, value_name = "SCOPE", required = true)]
    pub(crate) scope: Vec<String>,
    /// Lifetime of the new token, like 30m, 1h or 7d
    #[arg(long = "for", value_name = "TIME", value_parser = duration)]
    pub(crate) lasts: Duration,
    /// The only place at which the new token counts: a gateway's fingerprint, or the name of
    /// another service that verifies tokens
    #[arg(long, value_name = "AUDIENCE", value_parser = super::name)]
    pub(crate) audience: Option<Name>,
    #[command(flatten)]
    pub(crate) state: StateArgs,
}

#[derive(Debug, clap::Args)]
pub(crate) struct PresentArgs {
    /// The file that holds the token, or - for standard input
    #[arg(id = "token_from", long = "token", value_name = "FILE|-")]
    pub(crate) token: PathBuf,
    /// The gateway, unless this node is paired with it
    #[arg(long, value_name = "URL")]
    pub(crate) gateway: Option<GatewayAt>,
    /// The fingerprint of its key
    #[arg(long, value_name = "FINGERPRINT", value_parser = fingerprint)]
    pub(crate) gateway_key: Option<Fingerprint>,
    /// Send this: an action, an address and a text
    #[arg(long, num_args = 3, value_names = ["ACTION", "ADDRESS", "TEXT"], conflicts_with = "listen", allow_hyphen_values = true)]
    pub(crate) send: Option<Vec<String>>,
    /// Print what comes there until told to stop
    #[arg(long, value_name = "PATTERN")]
    pub(crate) listen: Option<String>,
    /// Print JSON, one object a line
    #[arg(long)]
    pub(crate) json: bool,
    #[command(flatten)]
    pub(crate) state: StateArgs,
    #[command(flatten)]
    pub(crate) ca: Ca,
}

fn handler(text: &str) -> Result<(String, PathBuf), String> {
    let (name, path) =
        text.split_once('=').ok_or("write it like lights.switch=/usr/local/bin/lights")?;
    Ok((name.to_owned(), path.into()))
}

fn fingerprint(text: &str) -> Result<Fingerprint, String> {
    // Fingerprints are compared in upper case, but people may type lower case.
    Fingerprint::parse(&text.trim().to_ascii_uppercase())
        .map_err(|_| "a fingerprint has six groups of four letters and digits, like AAIS-EM2E-KVTH-PCEZ-VK54-ZXPO".into())
}

pub(crate) fn action(text: &str) -> Result<Action, String> {
    Action::parse(text).map_err(|_| "it is read, write or admin".into())
}

fn channel_key(text: &str) -> Result<x25519::PublicKey, String> {
    read_public(text).and_then(|bytes| x25519::PublicKey::parse(&bytes).ok()).ok_or_else(not_a_key)
}

fn signing_key(text: &str) -> Result<ed25519::PublicKey, String> {
    read_public(text).and_then(|bytes| ed25519::PublicKey::parse(&bytes).ok()).ok_or_else(not_a_key)
}

fn not_a_key() -> String {
    "a key has 43 characters, as handfast-node identity prints them".into()
}

fn duration(text: &str) -> Result<Duration, String> {
    let wrong = || "a time is a number and s, m, h or d, like 30m".to_owned();
    let (number, unit) = text.split_at_checked(text.len().saturating_sub(1)).ok_or_else(wrong)?;
    let unit = match unit {
        "s" => 1,
        "m" => 60,
        "h" => 3600,
        "d" => 86_400,
        _ => return Err(wrong()),
    };
    let number: u64 = number.parse().ok().filter(|number| *number > 0).ok_or_else(wrong)?;
    number.checked_mul(unit).map(Duration::from_secs).ok_or_else(wrong)
}
