//! `handfast codes …` and `handfast pairing …` on the command line.

use std::path::PathBuf;
use std::time::Duration;

use clap::{Args as Arguments, Subcommand, ValueEnum};
use handfast_core::wire::gateway_address::GatewayAddress;
use handfast_store::{CODES, CODES_AT_ONCE};

use super::{Common, Permissions, length_of_time};
use crate::End;

#[derive(Debug, Arguments)]
pub(crate) struct CodesArgs {
    #[command(flatten)]
    pub(crate) common: Common,
    #[command(subcommand)]
    pub(crate) verb: CodesVerb,
}

#[derive(Debug, Subcommand)]
pub(crate) enum CodesVerb {
    /// Make a code that nodes pair with, and show it, this once; it needs no open pairing
    Create(Box<CreateCode>),
    /// Show whether pairing by PIN is open, and which PINs and codes live; their secrets are shown
    /// only when they are made
    List,
    /// End a PIN or code before its time
    Withdraw(CodeArg),
}

#[derive(Debug, Arguments)]
pub(crate) struct CodeArg {
    /// The first four characters of the code, or 6 or more of its id
    #[arg(value_name = "SELECTOR|ID")]
    pub(crate) which: String,
}

const CREATE: &str = "The code is typed at the node, or with --method qr, --qr-file, --address, --invert or \
                      --text scanned or pasted there. A provisioning token lives for ten minutes and registers \
                      one node over HTTP. Without --read, --write and --admin, whoever \
                      pairs with it may do what the gateway's configuration says.";

/// A code that is typed or scanned.
#[derive(Debug, Arguments)]
#[command(after_help = CREATE)]
pub(crate) struct CreateCode {
    /// To be scanned: the same as --method qr
    #[arg(long)]
    pub(crate) qr: bool,
    /// The name by which a node registers with a provisioning token; the same as --method
    /// provisioning
    #[arg(long, value_name = "NAME")]
    pub(crate) node_id: Option<String>,
    #[command(flatten)]
    pub(crate) minting: Minting,
    #[command(flatten)]
    pub(crate) scanned: Scanned,
    #[command(flatten)]
    pub(crate) many: Many,
}

/// Many codes at once.
#[derive(Debug, Default, Arguments)]
pub(crate) struct Many {
    /// How many codes to make, all of them or none; at most 100, with --csv or --json
    #[arg(long, value_name = "N", value_parser = count)]
    pub(crate) count: Option<usize>,
    /// Print the codes as CSV, for labels: id, selector, payload, method, permissions, label and
    /// expires_at, below a line with these names
    #[arg(long)]
    pub(crate) csv: bool,
}

impl Many {
    /// Returns `true` if codes are printed as a list.
    pub(crate) const fn is_many(&self) -> bool {
        self.csv || self.count.is_some()
    }
}

/// What a code is to be.
#[derive(Debug, Arguments)]
pub(crate) struct Minting {
    /// How the code reaches the node: digits to type, letters and digits to type, a picture and a
    /// line of text to scan or paste, or a token that a phone hands to one node; without it, digits,
    /// or what another option is about
    #[arg(long, value_name = "METHOD")]
    pub(crate) method: Option<CodeMethod>,
    /// How long the code lives
    #[arg(long, visible_alias = "ttl", value_name = "TIME", default_value = "5m", value_parser = length_of_time)]
    pub(crate) expires: Duration,
    #[command(flatten)]
    pub(crate) permissions: Permissions,
    /// How many nodes may pair with it
    #[arg(long, value_name = "N", default_value = "1", value_parser = clap::value_parser!(u8).range(1..))]
    pub(crate) uses: u8,
    /// After what time it ends what whoever pairs with it may do, for instance 30d; without it,
    /// grants live as the gateway's configuration says and are renewed
    #[arg(long, value_name = "TIME", value_parser = length_of_time)]
    pub(crate) grant_for: Option<Duration>,
    /// What to call it in lists
    #[arg(long, value_name = "TEXT", default_value = "")]
    pub(crate) label: String,
}

/// How a code reaches the node.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum CodeMethod {
    Pin,
    Code,
    Qr,
    Provisioning,
}

/// How a code that is scanned is shown; each of these options makes it one.
#[derive(Debug, Default, Arguments)]
pub(crate) struct Scanned {
    /// Write the QR code to this file, too, which only its owner can read; its name ends in .png or
    /// .svg
    #[arg(long, value_name = "FILE", value_parser = image)]
    pub(crate) qr_file: Option<PathBuf>,
    /// Where nodes reach the gateway, as ws://HOST:PORT, wss://HOST:PORT or tcp://HOST:PORT; up to
    /// three, without any where the gateway listens
    #[arg(long = "address", value_name = "URL", value_parser = address)]
    pub(crate) addresses: Vec<String>,
    /// Make it a link that a phone's camera opens as the gateway's page; the gateway has to be
    /// reached by https, or on this machine
    #[arg(long)]
    pub(crate) link: bool,
    /// For a terminal with dark characters on a light ground
    #[arg(long)]
    pub(crate) invert: bool,
    /// Only the line of text, no picture on the terminal
    #[arg(long, conflicts_with = "invert")]
    pub(crate) text: bool,
}

impl CreateCode {
    /// Returns how the code reaches the node; an error if the options contradict each other.
    pub(crate) fn method(&self) -> Result<CodeMethod, End> {
        let Scanned { qr_file, addresses, link, invert, text } = &self.scanned;
        let scanned =
            self.qr || qr_file.is_some() || !addresses.is_empty() || *link || *invert || *text;
        match (self.minting.method, scanned, self.node_id.is_some()) {
            (None | Some(CodeMethod::Provisioning), false, true) => Ok(CodeMethod::Provisioning),
            (Some(CodeMethod::Provisioning), false, false) => Err(End::Usage(
                "a provisioning token is for one node: name it with --node-id".to_owned(),
            )),
            (None, false, false) => Ok(CodeMethod::Pin),
            (None | Some(CodeMethod::Qr), true, false) => Ok(CodeMethod::Qr),
            (
                Some(method @ (CodeMethod::Pin | CodeMethod::Code | CodeMethod::Qr)),
                false,
                false,
            ) => Ok(method),
            (Some(CodeMethod::Pin | CodeMethod::Code), true, false) => Err(End::Usage(
                "a code that is typed has no picture and no address; leave these options out, or \
                 make it with --method qr"
                    .to_owned(),
            )),
            (Some(CodeMethod::Provisioning), true, _) | (None, true, true) => Err(End::Usage(
                "a provisioning token has no picture and no address; leave these options out"
                    .to_owned(),
            )),
            (Some(CodeMethod::Pin | CodeMethod::Code | CodeMethod::Qr), _, true) => {
                Err(End::Usage(
                    "only a provisioning token is for one node; leave --node-id out, or make it \
                     with --method provisioning"
                        .to_owned(),
                ))
            }
        }
    }
}

#[derive(Debug, Arguments)]
pub(crate) struct PairingArgs {
    #[command(flatten)]
    pub(crate) common: Common,
    #[command(subcommand)]
    pub(crate) verb: PairingVerb,
}

#[derive(Debug, Subcommand)]
pub(crate) enum PairingVerb {
    /// Open pairing by PIN: nodes that ask are shown a PIN, by the gateway and by `handfast watch`
    Open {
        /// For how long, for instance 5m; without it, as the gateway's configuration says, else 5m
        #[arg(long = "for", value_name = "TIME", value_parser = length_of_time)]
        open_for: Option<Duration>,
    },
    /// Close pairing by PIN; PINs that were shown die
    Close,
    #[command(flatten)]
    Older(super::OlderPairingVerb),
}

fn count(text: &str) -> Result<usize, String> {
    let wrong = || {
        format!(
            "between 1 and {CODES_AT_ONCE} codes are made at once: the gateway stores them in one \
             step, and at most {CODES} codes live; make the others by a command of their own"
        )
    };
    let count = text.parse().ok().filter(|count| (1..=CODES_AT_ONCE).contains(count));
    count.ok_or_else(wrong)
}

fn address(text: &str) -> Result<String, String> {
    let wrong = || "an address reads ws://HOST:PORT, wss://HOST:PORT or tcp://HOST:PORT".to_owned();
    GatewayAddress::parse(text).map(|address| address.to_string()).ok_or_else(wrong)
}

fn image(text: &str) -> Result<PathBuf, String> {
    let path = PathBuf::from(text);
    let known = path.extension().is_some_and(|ending| {
        ["png", "svg"].iter().any(|known| ending.eq_ignore_ascii_case(known))
    });
    match known {
        true => Ok(path),
        false => Err("the name of this file has to end in .png or .svg".to_owned()),
    }
}
