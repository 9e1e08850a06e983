//! `handfast store copy`: a registry that moves from a file to a database or back, with the keys
//! that lie beside a file and inside a database.

use std::path::{Path, PathBuf};

use handfast_cli::config::{ServeSettings, StoreAddress};
use handfast_core::UnixTime;
use handfast_core::secret::Secret;
use handfast_private_file as private_file;
use handfast_server::keys::file::{self as key_file, Use};
use handfast_server::moving;
use handfast_stdio::Hint;
use handfast_store::copy::{self, Copied};
use handfast_store::{PostgresAddress, PostgresStore, SqliteStore};
use serde_json::json;

use crate::End;
use crate::args::CopyStore;
use crate::data::{self, DATABASE, DataPlace};
use crate::hints::{Next, NextElsewhere};
use crate::print::{counted, put, safe};
use crate::serve::postgres;

/// The variable with the address of a database that has a password.
const VARIABLE: &str = "HANDFAST_STORE";

/// The place of a registry.
enum Place {
    /// A data directory.
    File(PathBuf),
    Database(StoreAddress),
}

impl Place {
    fn parse(text: &str, option: &str) -> Result<Self, End> {
        let usage = |problem: String| End::Usage(format!("{option}: {problem}"));
        if let Some(directory) = text.strip_prefix("sqlite:") {
            return Ok(Self::File(directory.into()));
        }
        if text == "postgres" {
            let address = std::env::var(VARIABLE)
                .map_err(|_| usage(format!("the variable {VARIABLE} has no address")))?;
            return StoreAddress::parse(&address).map(Self::Database).map_err(usage);
        }
        let address = StoreAddress::parse(text)
            .map_err(|need| usage(format!("{need}; for a file write sqlite:DIR")))?;
        if address.has_password() {
            return Err(usage(format!(
                "the address has a password, which everybody on this machine sees in the list of processes; put it into the variable {VARIABLE}, and write postgres here"
            )));
        }
        Ok(Self::Database(address))
    }
}

pub(super) async fn run(args: CopyStore) -> Result<(), End> {
    let (from, to) = (Place::parse(&args.from, "--from")?, Place::parse(&args.to, "--to")?);
    let mut how = String::new();
    let (copied, next) = match (&from, &to) {
        (Place::File(directory), Place::Database(address)) => {
            let key = key(&args, directory)?;
            let database = database(&args, address)?;
            if address.has_password() {
                // Without the variable, the command would be that of a registry in a file.
                how = format!("wherever {VARIABLE} is the address\n{address} with its password, ");
            }
            (into_database(directory, &key, &database).await?, served(address, &args, directory))
        }
        (Place::Database(address), Place::File(directory)) => {
            let key = key(&args, directory)?;
            let database = database(&args, address)?;
            let copied = into_file(&database, &key, directory).await?;
            (copied, Next::Serve.on(&DataPlace::named(directory)))
        }
        (Place::File(_), Place::File(_)) | (Place::Database(_), Place::Database(_)) => {
            return Err(End::Usage(
                "a registry is copied from a file to a database or back; between files there are backup and restore, and between databases pg_dump and pg_restore"
                    .to_owned(),
            ));
        }
    };
    let Copied { nodes, rows, audit } = copied;
    if args.json {
        return put(&format!("{}\n", json!({"nodes": nodes, "rows": rows, "audit": audit.size})));
    }
    put(&format!(
        "{}, {rows} rows, compared row by row; the audit log has {} entries\n\
         and the same head. What was copied is still there: serve only the copy from now\n\
         on, {how}with:\n  {next}\n",
        counted(nodes, "node"),
        audit.size
    ))
}

/// Reads the key of the registry.
fn key(args: &CopyStore, directory: &Path) -> Result<Secret<32>, End> {
    let file = key_file_of(args, directory);
    if !file.exists() {
        return Err(End::Refused(format!(
            "{}: there is no store key, which seals what is copied; name it with --store-key FILE",
            safe(&file.display().to_string())
        )));
    }
    key_file::load_or_create(&file, Use::Store).map_err(End::refused)
}

fn key_file_of(args: &CopyStore, directory: &Path) -> PathBuf {
    args.database.store_key.clone().unwrap_or_else(|| directory.join(key_file::FILE_NAME))
}

fn database(args: &CopyStore, address: &StoreAddress) -> Result<PostgresAddress, End> {
    let store_authorities = args.database.store_authorities.clone();
    postgres(address, &ServeSettings { store_authorities, ..ServeSettings::default() })
}

/// Copies a registry with the keys beside it into a database.
async fn into_database(
    directory: &Path,
    key: &Secret<32>,
    to: &PostgresAddress,
) -> Result<Copied, End> {
    // First, because a copy that is made is not made again.
    moving::check_keys(directory, key).map_err(End::refused)?;
    let copied = copy::to_database(&directory.join(DATABASE), to).map_err(End::refused)?;
    let store = PostgresStore::open(to).map_err(End::refused)?;
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH);
    let now = UnixTime::from_secs(now.unwrap_or_default().as_secs());
    moving::keys_into_registry(directory, &store, key, now).await.map_err(End::refused)?;
    Ok(copied)
}

/// Copies a registry into a data directory, and the keys that lie in it beside it.
async fn into_file(
    from: &PostgresAddress,
    key: &Secret<32>,
    directory: &Path,
) -> Result<Copied, End> {
    data::prepare(directory)?;
    let database = directory.join(DATABASE);
    let copied = copy::to_file(from, &database).map_err(End::refused)?;
    let store = SqliteStore::open(&database).map_err(End::refused)?;
    moving::keys_out_of_registry(&store, directory, key).await.map_err(End::refused)?;
    let beside = directory.join(key_file::FILE_NAME);
    if !beside.exists() {
        private_file::create_new(&beside, key.expose()).map_err(End::refused)?;
    }
    Ok(copied)
}

/// Returns the command that serves a registry in a database.
fn served(address: &StoreAddress, args: &CopyStore, directory: &Path) -> Hint {
    let key = key_file_of(args, directory);
    let key = std::path::absolute(&key).unwrap_or(key);
    // An address with a password is in the variable.
    let shown = (!address.has_password()).then(|| address.expose());
    NextElsewhere::ServeShared(shown, &key).hint()
}
