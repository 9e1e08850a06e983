//! `handfast pairing …` and `handfast paired …` on the command line.

use std::time::Duration;

use clap::{Args as Arguments, Subcommand};
use handfast_core::grant::scope::{Action, Pattern, Scope, Scopes, ScopesBuf};
use handfast_core::wire::gateway_address::GatewayAddress;
use handfast_server::admin::PermissionsView;

use super::DataDir;
use crate::End;
use crate::confirm::Sure;

#[derive(Debug, Arguments)]
pub(crate) struct PairingArgs {
    #[command(flatten)]
    pub(crate) data: DataDir,
    /// Print JSON
    #[arg(long, global = true)]
    pub(crate) json: bool,
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
    /// Show whether pairing is open, and which PINs and codes live; their secrets are shown only
    /// when they are made
    List,
    /// Mint a code that is scanned, and show it as a QR code and as text, this once; it needs no
    /// open pairing
    Qr(Qr),
    /// Mint a code that is typed, and show it, this once; it needs no open pairing
    Code(Minting),
    /// End a PIN or code before its time
    Withdraw {
        /// Its id or the beginning of it, or the first four characters of the code
        #[arg(value_name = "ID|SELECTOR")]
        which: String,
    },
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

/// A code to be scanned.
#[derive(Debug, Arguments)]
pub(crate) struct Qr {
    #[command(flatten)]
    pub(crate) minting: Minting,
    /// Where nodes reach the gateway, as ws://HOST:PORT, wss://HOST:PORT or tcp://HOST:PORT; up to
    /// three, without any where the gateway listens
    #[arg(long = "address", value_name = "URL", value_parser = address)]
    pub(crate) addresses: Vec<String>,
    /// For a terminal with dark characters on a light ground
    #[arg(long)]
    pub(crate) invert: bool,
    /// Only the text, no picture
    #[arg(long, conflicts_with = "invert")]
    pub(crate) text: bool,
}

/// What may be done.
#[derive(Debug, Default, Arguments)]
pub(crate) struct Permissions {
    /// Allow reading there, for instance /lights/**; may be repeated. Without any permission, as
    /// its rule or the gateway's configuration says
    #[arg(long, value_name = "PATTERN", value_parser = pattern)]
    read: Vec<String>,
    /// Allow writing there, and reading
    #[arg(long, value_name = "PATTERN", value_parser = pattern)]
    write: Vec<String>,
    /// Allow administering there, and reading and writing
    #[arg(long, value_name = "PATTERN", value_parser = pattern)]
    admin: Vec<String>,
}

impl Permissions {
    /// What was named; none, if nothing was.
    fn scopes(&self) -> Result<Option<ScopesBuf>, End> {
        let named = [
            (Action::Read, &self.read),
            (Action::Write, &self.write),
            (Action::Admin, &self.admin),
        ];
        let mut scopes = Scopes::new();
        for (action, patterns) in named {
            for text in patterns {
                let wrong = |error: handfast_core::grant::scope::ScopeError| {
                    End::Usage(format!("--{action} {text}: {}", error.as_str()))
                };
                let pattern = Pattern::parse(text).map_err(wrong)?;
                scopes.push(Scope { action, pattern }).map_err(wrong)?;
            }
        }
        Ok((!scopes.as_slice().is_empty()).then(|| (&scopes).into()))
    }

    /// The same as the gateway's API takes it.
    pub(crate) fn view(&self) -> Result<serde_json::Value, End> {
        Ok(serde_json::json!(self.scopes()?.as_ref().map(PermissionsView::of)))
    }
}

#[derive(Debug, Arguments)]
pub(crate) struct PairedArgs {
    #[command(flatten)]
    pub(crate) data: DataDir,
    /// Print JSON
    #[arg(long, global = true)]
    pub(crate) json: bool,
    #[command(subcommand)]
    pub(crate) verb: PairedVerb,
}

#[derive(Debug, Subcommand)]
pub(crate) enum PairedVerb {
    /// List who is paired, with what is in force for them and until when, and what they are offered
    List,
    /// The same as nodes permissions
    #[command(hide = true)]
    Permissions(super::PermitArgs),
    /// End a pairing for good; its link ends at once, and so do those of its delegates
    Revoke {
        /// Whole name of the node, or 6 or more characters of its id; or 8 or more of a
        /// capability's
        #[arg(value_name = "NAME|ID")]
        which: String,
        #[command(flatten)]
        sure: Sure,
    },
    /// End every pairing for good; asks first
    RevokeAll {
        #[command(flatten)]
        sure: Sure,
    },
}

/// Reads a length of time: whole seconds, at least one.
pub(crate) fn length_of_time(text: &str) -> Result<Duration, String> {
    let wrong =
        || "a length of time of at least a second is needed, as in 300, 5m or 30d".to_owned();
    let span = handfast_cli::config::length_of_time(text).ok_or_else(wrong)?;
    // Far beyond it, dates have no meaning.
    let most = 100 * 365 * 86_400;
    match span.as_millis() / 1000 {
        secs if (1..=most).contains(&secs) && span.as_millis() % 1000 == 0 => {
            Ok(Duration::from_secs(secs))
        }
        _ => Err(wrong()),
    }
}

fn pattern(text: &str) -> Result<String, String> {
    Pattern::parse(text).map(|_| text.to_owned()).map_err(|error| error.as_str().to_owned())
}

fn address(text: &str) -> Result<String, String> {
    let wrong = || "an address reads ws://HOST:PORT, wss://HOST:PORT or tcp://HOST:PORT".to_owned();
    GatewayAddress::parse(text).map(|address| address.to_string()).ok_or_else(wrong)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_length_of_time_is_whole_seconds() {
        assert_eq!(length_of_time("5m"), Ok(Duration::from_secs(300)));
        assert_eq!(length_of_time("300"), Ok(Duration::from_secs(300)));
        for bad in ["", "0", "0.5", "1.5", "5 m", "-1", "forever", "5000w5000w", "9999999999999"] {
            assert!(length_of_time(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn permissions_that_are_not_named_are_none_and_not_nothing() {
        assert_eq!(Permissions::default().scopes().unwrap(), None);
        let named =
            Permissions { read: vec!["/a".into()], write: vec!["/b/**".into()], admin: Vec::new() };
        assert_eq!(named.scopes().unwrap().unwrap().as_str(), "read:/a\nwrite:/b/**\n");
        let many = Permissions {
            read: (0..17).map(|n| format!("/{n}")).collect(),
            ..Permissions::default()
        };
        assert!(matches!(many.scopes(), Err(End::Usage(_))));
    }
}
