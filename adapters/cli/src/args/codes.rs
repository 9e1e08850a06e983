//! `handfast codes …` and `handfast pairing …` on the command line.

use std::path::PathBuf;
use std::time::Duration;

use clap::{Args as Arguments, Subcommand};
use handfast_core::wire::gateway_address::GatewayAddress;

use super::{Common, Permissions, length_of_time};

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

const CREATE: &str = "The code is typed at the node, or with --qr, --qr-file, --address, --invert or \
                      --text scanned or pasted there. Without --read, --write and --admin, whoever \
                      pairs with it may do what the gateway's configuration says.";

/// A code that is typed or scanned.
#[derive(Debug, Arguments)]
#[command(after_help = CREATE)]
pub(crate) struct CreateCode {
    /// To be scanned: show it as a QR code and as a line of text
    #[arg(long)]
    pub(crate) qr: bool,
    #[command(flatten)]
    pub(crate) minting: Minting,
    #[command(flatten)]
    pub(crate) scanned: Scanned,
}

/// What a code is to be.
#[derive(Debug, Arguments)]
pub(crate) struct Minting {
    /// How long the code lives
    #[arg(long, value_name = "TIME", default_value = "5m", value_parser = length_of_time)]
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
    /// For a terminal with dark characters on a light ground
    #[arg(long)]
    pub(crate) invert: bool,
    /// Only the line of text, no picture on the terminal
    #[arg(long, conflicts_with = "invert")]
    pub(crate) text: bool,
}

impl CreateCode {
    /// Returns `true` for a code that is scanned.
    pub(crate) fn is_scanned(&self) -> bool {
        let Scanned { qr_file, addresses, invert, text } = &self.scanned;
        self.qr || qr_file.is_some() || !addresses.is_empty() || *invert || *text
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
