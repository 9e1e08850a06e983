//! The registry of a gateway that is served: a file in its data directory, or a database that
//! several gateways share.

use std::path::Path;

use handfast_cli::config::{ServeSettings, is_gateway_id};
use handfast_server::keys::file as key_file;
use handfast_server::policy::PairingSettings;
use handfast_server::{Gateway, GatewayBuilder, StartError, admin};
use handfast_store::{Migrated, SqliteStore, StoreError};

use crate::End;
use crate::data::{self, DATABASE, DataPlace};
use crate::hints::Next;

/// Maximum length of a gateway's name in the log of changes.
const NAME: usize = 64;

/// Completes the settings of a shared registry by the name of this gateway.
pub(super) fn complete(settings: &mut ServeSettings) -> Result<(), End> {
    if settings.store.is_some() && settings.gateway_id.is_none() {
        let name = host_name().ok_or_else(|| {
            End::Usage(
                "this host has no name to call the gateway by; name it with --gateway-id NAME"
                    .to_owned(),
            )
        })?;
        settings.gateway_id = Some(name);
    }
    Ok(())
}

/// Returns the name of this host, in the characters that a gateway's may have.
fn host_name() -> Option<String> {
    let name = std::fs::read_to_string("/proc/sys/kernel/hostname").ok()?;
    let fits = |c: char| if c.is_ascii_alphanumeric() || ".-_".contains(c) { c } else { '-' };
    let name: String = name.trim().chars().map(fits).take(NAME).collect();
    Some(name).filter(|name| is_gateway_id(name))
}

/// Returns the refusal of an option that says nothing about a shared registry.
pub(super) fn no_older_store() -> End {
    End::Usage(
        "--accept-older-store is for a registry in a file; a database that went back is not noticed by a gateway, so leave the option out"
            .to_owned(),
    )
}

/// Refuses to begin a registry in a file with a store key that is there already: it belongs to
/// another registry, whose address is missing.
pub(super) fn refuse_key_of_another(path: &Path, settings: &ServeSettings) -> Result<(), End> {
    let Some(key) = settings.store_key.as_deref().filter(|key| key.exists()) else { return Ok(()) };
    if path.join(DATABASE).exists() {
        return Ok(());
    }
    Err(End::Usage(format!(
        "{}: this store key, which is named with --store-key, is that of a registry, and there is none \
         in {}: name its database with --store, or in the variable HANDFAST_STORE; or bring its \
         backup in with: {}; a new registry in a file makes a key of its own without --store-key",
        key.display(),
        path.display(),
        Next::Restore(Path::new("BACKUP")).on(&DataPlace::named(path))
    )))
}

/// Opens the registry in a data directory, and creates both if needed.
pub(crate) fn in_file(path: &Path, accept_older: bool) -> Result<SqliteStore, End> {
    // Checked first, because a path that is too long for a socket makes the directory useless.
    admin::socket_path(path).map_err(End::refused)?;
    data::prepare(path)?;
    let database = path.join(DATABASE);
    if let Some(holder) = handfast_store::holder(&database) {
        return Err(End::Refused(format!(
            "{holder} has this registry open, in {}: a gateway runs there already, or an import; see how it stands with: {}",
            path.display(),
            Next::Status.on(&DataPlace::named(path))
        )));
    }
    if !accept_older {
        let store = SqliteStore::open(&database).map_err(End::refused)?;
        tell_migrated(&DataPlace::named(path), &database, &store);
        return Ok(store);
    }
    let (store, older) = SqliteStore::open_accepting_older(&database).map_err(End::refused)?;
    tell_migrated(&DataPlace::named(path), &database, &store);
    match older {
        Some(older) => tracing::warn!(
            "{}: this registry is older than what it acknowledged and was accepted: {older}; nodes, sessions and senders that were put out since \
             are let in again, so look through them",
            database.display()
        ),
        None => tracing::info!("--accept-older-store was not needed; leave it out"),
    }
    Ok(store)
}

fn tell_migrated(data: &DataPlace, database: &Path, store: &SqliteStore) {
    if let Some(Migrated { from, to, backup }) = store.migrated() {
        tracing::warn!(
            "{}: this registry was brought from schema {from} to {to}; an older version of Handfast reads it no more. As it was before it is in {}: \
             {} takes it back, and once all is well it can be removed",
            database.display(),
            backup.display(),
            Next::Restore(backup).on(data)
        );
    }
}

/// Returns the file of the key that seals the registry's secrets.
pub(crate) fn store_key(path: &Path, settings: &ServeSettings) -> std::path::PathBuf {
    settings.store_key.clone().unwrap_or_else(|| path.join(key_file::FILE_NAME))
}

/// Starts the gateway with its store key, which is made where it is missing. A key that was just created but
/// does not fit the registry is removed again, so that the right one can be put in its place.
pub(super) async fn with_key(
    path: &Path,
    settings: &ServeSettings,
    builder: GatewayBuilder,
    pairing: PairingSettings,
) -> Result<Gateway, End> {
    let file = store_key(path, settings);
    // Looked up before the key is created, to know later if this start created it.
    let fresh = !file.exists();
    let key = key_file::load_or_create(&file, key_file::Use::Store).map_err(End::refused)?;
    let started = builder.store_key(key).pairing(pairing).start().await;
    if fresh && matches!(started, Err(StartError::WrongStoreKey)) {
        let _ = std::fs::remove_file(&file);
    }
    started.map_err(|error| match error {
        StartError::WrongStoreKey if fresh => End::Refused(format!(
            "{}: there is no store key, and the registry has secrets that are sealed with one: put \
             the file back that belongs to it, from where it is kept, or name it with --store-key; \
             without it, the registry opens no more",
            file.display()
        )),
        StartError::WrongStoreKey => End::Refused(format!("{}: {error}", file.display())),
        StartError::Settings(problem) => End::Usage(format!("the settings are wrong: {problem}")),
        StartError::Extensions(_) => End::Usage(error.to_string()),
        StartError::Store(StoreError::DiskFull) => {
            End::Refused(format!("{error}; free disk space and start again"))
        }
        StartError::Threads(_)
        | StartError::Store(_)
        | StartError::NoStoreKey
        | StartError::SetupKey(_) => End::refused(error),
        _ => End::refused(error),
    })
}
