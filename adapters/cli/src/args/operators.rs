//! `handfast login`, `handfast operators …` and `handfast tokens …` on the command line.

use std::time::Duration;

use clap::{Args as Arguments, Subcommand, ValueEnum};

use super::{Common, length_of_time};
use crate::confirm::Sure;

/// What an operator may do over HTTP.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum RoleArg {
    /// Read everything but secrets
    Viewer,
    /// Decide about everything but the certificate authority, operators, tokens, and what ends all
    /// of a kind at once
    Operator,
    /// Decide about everything
    Owner,
}

impl RoleArg {
    /// The word of the gateway's API.
    pub(crate) const fn word(self) -> &'static str {
        match self {
            Self::Viewer => "viewer",
            Self::Operator => "operator",
            Self::Owner => "owner",
        }
    }
}

#[derive(Debug, Arguments)]
#[command(
    after_help = "The link opens one session, once, within five minutes, and only by the page's \
                  button: a program that merely looks at links spends nothing. Whoever has the \
                  link has the role, so show it to nobody else."
)]
pub(crate) struct LoginArgs {
    #[command(flatten)]
    pub(crate) common: Common,
    /// What to call the session in lists; without it, its role
    #[arg(long = "as", value_name = "NAME")]
    pub(crate) name: Option<String>,
    /// What the session may do
    #[arg(long, value_enum, default_value_t = RoleArg::Operator)]
    pub(crate) role: RoleArg,
    /// Do not wait until the link is used
    #[arg(long)]
    pub(crate) no_wait: bool,
    /// For a terminal with dark characters on a light ground
    #[arg(long, conflicts_with = "no_qr")]
    pub(crate) invert: bool,
    /// Only the link, no QR code
    #[arg(long)]
    pub(crate) no_qr: bool,
}

#[derive(Debug, Arguments)]
pub(crate) struct OperatorsArgs {
    #[command(flatten)]
    pub(crate) common: Common,
    #[command(subcommand)]
    pub(crate) verb: OperatorsVerb,
}

#[derive(Debug, Subcommand)]
pub(crate) enum OperatorsVerb {
    /// List the sessions of operators' browsers
    List {
        /// Those that have ended, too
        #[arg(long)]
        all: bool,
    },
    /// End a session for good, with the codes that it made; what it approved stays
    Revoke {
        /// 6 or more characters of the session's id
        #[arg(value_name = "ID")]
        id: String,
        #[command(flatten)]
        sure: Sure,
    },
}

#[derive(Debug, Arguments)]
pub(crate) struct TokensArgs {
    #[command(flatten)]
    pub(crate) common: Common,
    #[command(subcommand)]
    pub(crate) verb: TokensVerb,
}

#[derive(Debug, Subcommand)]
pub(crate) enum TokensVerb {
    /// Make a token for a program, and show it, this once; it is sent as
    /// Authorization: Bearer TOKEN
    Create {
        /// What the program may do
        #[arg(long, value_enum)]
        role: RoleArg,
        /// What to call the token in lists; without it, its role
        #[arg(long, value_name = "NAME")]
        name: Option<String>,
        /// For how long it is good, as 12h or 90d
        #[arg(long, value_name = "TIME", default_value = "30d", value_parser = length_of_time)]
        expires: Duration,
    },
    /// List the tokens of programs
    List {
        /// Those that have ended, too
        #[arg(long)]
        all: bool,
    },
    /// End a token for good, with the codes that it made; what it approved stays
    Revoke {
        /// 6 or more characters of the token's id
        #[arg(value_name = "ID")]
        id: String,
        #[command(flatten)]
        sure: Sure,
    },
}
