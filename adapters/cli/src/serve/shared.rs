//! A registry in a database, which several gateways share.

use std::path::Path;
use std::time::Duration;

use handfast_cli::config::{ServeSettings, StoreAddress};
use handfast_server::admin;
use handfast_store::{LEASE, PostgresAddress, PostgresStore, StoreError};
use tokio::time::Instant;

use super::registry;
use super::signals::Signals;
use crate::End;
use crate::data::{self, DATABASE};
use crate::hints::NextElsewhere;

/// Time between tries to reach the database.
const TRY_EVERY: Duration = Duration::from_secs(1);
/// Time between lines that say that it cannot be reached.
const SAY_EVERY: Duration = Duration::from_secs(60);

/// Opens a registry that several gateways share. While the database cannot be reached, it says so
/// and waits. Returns `None` if a signal ended that.
pub(super) async fn open(
    address: &StoreAddress,
    settings: &ServeSettings,
    path: &Path,
    signals: &mut Signals,
) -> Result<Option<PostgresStore>, End> {
    // Checked first, because a path that is too long for a socket makes the directory useless.
    admin::socket_path(path).map_err(End::refused)?;
    data::prepare(path)?;
    let key = registry::store_key(path, settings);
    if !key.exists() {
        return Err(End::Refused(format!(
            "{}: there is no store key, which seals the secrets of the registry and is the same on each of its gateways: copy it from one of them, or make the first one with: {}",
            key.display(),
            NextElsewhere::MakeStoreKey(&key).hint()
        )));
    }
    if path.join(DATABASE).exists() {
        tracing::warn!(
            "{}: this registry is not served, because --store names another one",
            path.join(DATABASE).display()
        );
    }
    let parsed = postgres(address, settings)?;
    let opened = tokio::select! {
        opened = opened(address, &parsed) => opened?,
        () = signals.end() => return Ok(None),
    };
    tokio::select! {
        free = name_is_free(&parsed, settings) => free?,
        () = signals.end() => return Ok(None),
    }
    Ok(Some(opened))
}

/// Opens the registry as soon as its database can be reached.
async fn opened(address: &StoreAddress, parsed: &PostgresAddress) -> Result<PostgresStore, End> {
    let mut told = None::<Instant>;
    loop {
        let address_there = parsed.clone();
        let problem = match on_a_thread(move || PostgresStore::open(&address_there)).await {
            Ok(store) => return Ok(store),
            Err(problem @ (StoreError::Unreachable(_) | StoreError::Timeout)) => problem,
            Err(problem) => return Err(End::Refused(format!("{address}: {problem}"))),
        };
        if told.is_none_or(|at| at.elapsed() >= SAY_EVERY) {
            tracing::warn!(
                "{address}: {problem}; the gateway waits for it, and serves nothing until then"
            );
            told = Some(Instant::now());
        }
        tokio::time::sleep(TRY_EVERY).await;
    }
}

/// Waits until no other gateway has the name of this one. The lease of one that has died ends.
async fn name_is_free(address: &PostgresAddress, settings: &ServeSettings) -> Result<(), End> {
    let begun = Instant::now();
    loop {
        let address = address.clone();
        if !on_a_thread(move || address.is_name_taken()).await.map_err(End::refused)? {
            return Ok(());
        }
        if begun.elapsed() > LEASE + TRY_EVERY {
            return Err(End::Refused(format!(
                "another gateway serves this registry as {}: give each a name of its own with --gateway-id NAME",
                settings.gateway_id.as_deref().unwrap_or_default()
            )));
        }
        tokio::time::sleep(TRY_EVERY / 4).await;
    }
}

/// Does what blocks on a thread that does not keep the process from ending.
async fn on_a_thread<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, StoreError> + Send + 'static,
) -> Result<T, StoreError> {
    let (tell, done) = tokio::sync::oneshot::channel();
    let started = std::thread::Builder::new().spawn(move || {
        // Nobody waits any more if the gateway was told to end.
        let _ = tell.send(work());
    });
    started.map_err(|error| StoreError::Database(error.to_string()))?;
    done.await.unwrap_or_else(|_| Err(StoreError::Database("its thread has ended".to_owned())))
}

/// Returns the address of the database, with the name of this gateway and the authorities of the
/// settings.
pub(crate) fn postgres(
    address: &StoreAddress,
    settings: &ServeSettings,
) -> Result<PostgresAddress, End> {
    let usage = |error: StoreError| End::Usage(error.to_string());
    let parsed = PostgresAddress::parse(address.expose()).map_err(usage)?;
    let parsed = match &settings.gateway_id {
        Some(name) => parsed.with_gateway(name).map_err(usage)?,
        None => parsed,
    };
    let Some(file) = &settings.store_authorities else { return Ok(parsed) };
    let named =
        |error: &dyn std::fmt::Display| End::Refused(format!("{}: {error}", file.display()));
    let pem = std::fs::read(file).map_err(|error| named(&error))?;
    parsed.with_authorities(&pem).map_err(|error| named(&error))
}
