//! What is done with the registry of several gateways.

use std::path::PathBuf;

use clap::{Args as Arguments, Subcommand};

/// The registry that several gateways share.
#[derive(Debug, Arguments)]
pub(crate) struct StoreArgs {
    #[command(subcommand)]
    pub(crate) verb: StoreVerb,
}

#[derive(Debug, Subcommand)]
pub(crate) enum StoreVerb {
    /// Make the key that seals the secrets of a registry, once for all of its gateways
    MakeKey(MakeKey),
    /// Copy a registry from a file to a database or back, while no gateway has either open
    Copy(CopyStore),
}

#[derive(Debug, Arguments)]
#[command(
    after_help = "Each gateway of the registry needs a copy of the file, with mode 0600, as \
                  store.key in its data directory or where its --store-key says. Whoever has it \
                  and the database has the gateways' keys."
)]
pub(crate) struct MakeKey {
    /// The file to write; one that is there is never replaced
    #[arg(value_name = "FILE")]
    pub(crate) file: PathBuf,
}

#[derive(Debug, Arguments)]
#[command(
    after_help = "STORE is sqlite:DIR, with the data directory of a gateway, or the address of \
                  a database, as postgres://handfast@db.example/handfast. An address with a \
                  password stands in the variable HANDFAST_STORE, and STORE is postgres then. What \
                  is copied is compared row by row before it counts, and what it is copied from \
                  stays as it is: serve only one of them from then on."
)]
pub(crate) struct CopyStore {
    /// The registry that is copied
    #[arg(long, value_name = "STORE")]
    pub(crate) from: String,
    /// Where it is copied to, which has to be empty
    #[arg(long, value_name = "STORE")]
    pub(crate) to: String,
    #[command(flatten)]
    pub(crate) database: DatabaseArgs,
    /// Print JSON
    #[arg(long)]
    pub(crate) json: bool,
}

/// How a database is reached, and its secrets opened.
#[derive(Debug, Arguments)]
pub(crate) struct DatabaseArgs {
    /// The key that seals the registry's secrets [default: store.key in the directory of the file]
    #[arg(long, value_name = "FILE")]
    pub(crate) store_key: Option<PathBuf>,
    /// PEM certificates of the authorities that may have signed the database's certificate
    #[arg(long, value_name = "FILE")]
    pub(crate) store_authorities: Option<PathBuf>,
}
