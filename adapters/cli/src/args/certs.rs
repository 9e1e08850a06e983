//! `handfast certs …` on the command line.

use std::path::PathBuf;

use clap::{Args as Arguments, Subcommand};

use super::Common;
use crate::confirm::Sure;

#[derive(Debug, Arguments)]
pub(crate) struct CertsArgs {
    #[command(flatten)]
    pub(crate) common: Common,
    #[command(subcommand)]
    pub(crate) verb: CertsVerb,
}

#[derive(Debug, Subcommand)]
pub(crate) enum CertsVerb {
    /// List the certificates of nodes, and the authority that issues them
    List {
        /// Superseded, revoked and expired ones, too
        #[arg(long)]
        all: bool,
    },
    /// Make a new root of the certificate authority; the older one stays trusted until its last
    /// certificate has ended
    Rotate {
        /// Trust the older root no more at once: every node fetches a new certificate by its key
        #[arg(long)]
        at_once: bool,
        #[command(flatten)]
        sure: Sure,
    },
    /// Print the lists of revoked certificates as PEM, for programs that verify nodes by themselves;
    /// a running gateway also serves them at /crl.der and /crl.pem
    Crl {
        /// Write them to this file instead
        #[arg(long, value_name = "FILE")]
        out: Option<PathBuf>,
    },
    /// Revoke certificates for good; their links end at once
    Revoke(RevokeCerts),
}

/// The certificates to be revoked.
#[derive(Debug, Arguments)]
#[group(skip)]
#[command(group = clap::ArgGroup::new("certificates")
    .args(["which", "key", "node", "all_before_now"]).required(true))]
pub(crate) struct RevokeCerts {
    /// Serial number of one certificate, or its SHA-256 fingerprint as a name for it
    #[arg(value_name = "SERIAL|FINGERPRINT")]
    pub(crate) which: Option<String>,
    /// All with this key, which gets no certificate again: the SHA-256 of its public key
    #[arg(long, value_name = "SHA256")]
    pub(crate) key: Option<String>,
    /// All of this node: its whole name, or 6 or more characters of its id
    #[arg(long, value_name = "NODE")]
    pub(crate) node: Option<String>,
    /// All of every node that were issued until now
    #[arg(long)]
    pub(crate) all_before_now: bool,
    #[command(flatten)]
    pub(crate) sure: Sure,
}
