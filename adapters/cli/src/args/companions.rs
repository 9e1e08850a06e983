//! `handfast companions …` on the command line.

use std::path::PathBuf;

use clap::{Args as Arguments, Subcommand};
use handfast_core::limits::{SETUP_TTL_MAX, SETUP_TTL_MIN};
use handfast_server::public_url::{GatewayUrl, UrlRefused};

use super::Common;
use crate::confirm::Sure;

#[derive(Debug, Arguments)]
pub(crate) struct CompanionsArgs {
    #[command(flatten)]
    pub(crate) common: Common,
    #[command(subcommand)]
    pub(crate) verb: CompanionsVerb,
}

#[derive(Debug, Subcommand)]
pub(crate) enum CompanionsVerb {
    /// Make a setup code, and show it as a QR code and as text, this once; whoever shows it to the
    /// gateway first gets a session
    #[command(alias = "start")]
    Invite(Box<Invite>),
    /// List the sessions of companions
    List {
        /// Those that have ended, too
        #[arg(long)]
        all: bool,
    },
    /// End a session for good; its companion's connection ends at once
    Revoke {
        /// 6 or more characters of the session's id, or the whole label of its device
        #[arg(value_name = "ID", required_unless_present = "all", conflicts_with = "all")]
        id: Option<String>,
        /// End every session
        #[arg(long)]
        all: bool,
        #[command(flatten)]
        sure: Sure,
    },
    /// Let a session live on, as long as the gateway's configuration says; its token stays the same
    Refresh {
        /// The session's id or the beginning of it
        #[arg(value_name = "ID")]
        id: String,
    },
    /// Make a new key for setup codes; codes that were made with the key before it stay good until
    /// their time is over, and sessions stay as they are
    RotateKey {
        /// End codes that were made before, because the old key was stolen
        #[arg(long)]
        at_once: bool,
    },
}

/// What a setup code is to be.
#[derive(Debug, Arguments)]
pub(crate) struct Invite {
    /// What to call the companion's device in lists, in at most 64 characters
    #[arg(long, value_name = "NAME")]
    pub(crate) for_device: Option<String>,
    /// As what the companion is let in; without it, as the gateway's configuration says
    #[arg(long, value_name = "NAME")]
    pub(crate) profile: Option<String>,
    /// Where the companion reaches the gateway, as wss://gateway.example; without it, as the
    /// gateway's configuration says, else its address on this network
    #[arg(long, value_name = "URL", value_parser = url)]
    pub(crate) public_url: Option<String>,
    /// For how many seconds the code is good, from 30 to 86400; without it, as the gateway's
    /// configuration says, else 600
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u64).range(SETUP_TTL_MIN.as_secs()..=SETUP_TTL_MAX.as_secs()))]
    pub(crate) ttl_secs: Option<u64>,
    /// Put the gateway's fingerprint in, so that a device can bind the code to a key of its own:
    /// handfast-node pair --setup
    #[arg(long)]
    pub(crate) bound: bool,
    /// Make it a link that a phone's camera opens as the gateway's page; the gateway has to be
    /// reached by https, or on this machine
    #[arg(long)]
    pub(crate) link: bool,
    /// Write the QR code to this file too, which only its owner can read; its name ends in .png
    #[arg(long, value_name = "FILE", value_parser = png)]
    pub(crate) qr_png: Option<PathBuf>,
    /// Write the QR code to this file too, which only its owner can read; its name ends in .svg
    #[arg(long, value_name = "FILE", value_parser = svg)]
    pub(crate) qr_svg: Option<PathBuf>,
    /// For a terminal with dark characters on a light ground
    #[arg(long, conflicts_with = "no_qr")]
    pub(crate) invert: bool,
    /// Only the text, no QR code on the terminal
    #[arg(long)]
    pub(crate) no_qr: bool,
}

/// Whether a plain URL leads to a host that may be reached so, only the gateway knows.
fn url(text: &str) -> Result<String, String> {
    match GatewayUrl::parse(text, &[]) {
        Ok(_) | Err(UrlRefused::Plain { .. }) => Ok(text.to_owned()),
        Err(why) => Err(why.to_string()),
    }
}

fn png(text: &str) -> Result<PathBuf, String> {
    ending(text, "png")
}

fn svg(text: &str) -> Result<PathBuf, String> {
    ending(text, "svg")
}

fn ending(text: &str, wanted: &str) -> Result<PathBuf, String> {
    let path = PathBuf::from(text);
    match path.extension().is_some_and(|ending| ending.eq_ignore_ascii_case(wanted)) {
        true => Ok(path),
        false => Err(format!("the name of this file has to end in .{wanted}")),
    }
}
