//! The addresses and the certificate of a configuration.

use std::net::{SocketAddr, TcpListener};
#[cfg(feature = "postgres")]
use std::path::Path;

use handfast_cli::config::ServeSettings;
use handfast_core::{UnixTime, rfc3339};
use handfast_server::TlsFiles;
#[cfg(feature = "postgres")]
use handfast_store::StoreError;

use super::Finding;
#[cfg(feature = "postgres")]
use super::directory::opens;
use crate::data::DataPlace;
#[cfg(feature = "postgres")]
use crate::hints::NextElsewhere;
use crate::print::safe;
use crate::serve::tls_problem;
#[cfg(feature = "postgres")]
use crate::serve::{postgres, store_key};

/// A certificate that ends within this time is found, in seconds.
const SOON: u64 = 14 * 86_400;

/// Returns what is wrong with a configuration. `running` says that its gateway has its addresses.
pub(super) fn findings(settings: &ServeSettings, data: &DataPlace, running: bool) -> Vec<Finding> {
    let mut found = certificate(settings);
    found.extend(registry(settings, data));
    if !running {
        let addresses = std::iter::once(settings.listen)
            .chain(settings.listen_tcp.iter().map(|one| one.address))
            .chain(settings.listen_mtls.iter().map(|one| one.address))
            .chain(settings.listen_metrics.iter().copied());
        found.extend(addresses.filter_map(taken));
    }
    if !settings.is_tls() && !settings.listen.ip().to_canonical().is_loopback() {
        found.push(Finding::new(
            "plain_listener",
            format!("{}: who listens on this network reads what is not sealed", settings.listen),
            "set tls_cert and tls_key, or tls_own, or listen on 127.0.0.1 behind a proxy that speaks TLS; \
             only the native wire is sealed by itself",
        ));
    }
    found
}

/// Checks that the database answers which has the registry, and that the store key opens it.
#[cfg(feature = "postgres")]
fn registry(settings: &ServeSettings, data: &DataPlace) -> Option<Finding> {
    let address = settings.store.as_ref()?;
    let (name, problem, mend) = match postgres(address, settings) {
        Err(end) => ("store_address", end.message(), "correct store and store_authorities"),
        // Looking blocks, which a thread of the runtime must not.
        Ok(parsed) => match std::thread::spawn(move || parsed.look()).join().ok()? {
            Ok(sealed) => return with_key(&store_key(data, settings), sealed.as_deref()),
            Err(problem) => match problem {
                problem @ (StoreError::Unreachable(_) | StoreError::Timeout) => (
                    "database_unreachable",
                    problem.to_string(),
                    "start the database, or correct the address, the password or the way to it; until \
                 then a gateway waits, and one that runs admits nobody",
                ),
                problem => (
                    "database_refused",
                    problem.to_string(),
                    "run the version of Handfast that the registry was written by, or name another \
                 database",
                ),
            },
        },
    };
    Some(Finding::new(name, format!("{address}: {}", safe(&problem)), mend))
}

/// Checks the key of a registry in a database, whose gateways' keys are `sealed` if it has any.
#[cfg(feature = "postgres")]
fn with_key(file: &Path, sealed: Option<&[u8]>) -> Option<Finding> {
    if file.exists() {
        return sealed.and_then(|sealed| opens(file, sealed));
    }
    let make = NextElsewhere::MakeStoreKey(file).hint();
    let mend = match sealed {
        Some(_) => {
            "copy it from another gateway of the registry, or from where it is kept".to_owned()
        }
        None => format!("make the first one, once for all gateways of the registry: {make}"),
    };
    Some(Finding::new(
        "no_store_key",
        format!(
            "{}: there is no store key, which opens the registry's secrets",
            safe(&file.display().to_string())
        ),
        mend,
    ))
}

#[cfg(not(feature = "postgres"))]
fn registry(_: &ServeSettings, _: &DataPlace) -> Option<Finding> {
    None
}

/// Checks that an address is free.
fn taken(address: SocketAddr) -> Option<Finding> {
    let error = TcpListener::bind(address).err()?;
    Some(Finding::new(
        "address",
        format!("{address}: cannot be listened on: {error}"),
        "end the program that has it, or choose another address",
    ))
}

fn certificate(settings: &ServeSettings) -> Vec<Finding> {
    let (Some(cert), Some(key)) = (&settings.tls_cert, &settings.tls_key) else {
        return Vec::new();
    };
    let files = match TlsFiles::open(cert, key) {
        Ok(files) => files,
        Err(error) => {
            return vec![Finding::new(
                "tls_files",
                tls_problem(&error),
                "correct tls_cert and tls_key",
            )];
        }
    };
    let Some(ends) = files.ends() else { return Vec::new() };
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH);
    let now = now.map_or(0, |since| since.as_secs());
    let left = ends.as_secs().saturating_sub(now);
    if left > SOON {
        return Vec::new();
    }
    let shown = safe(&cert.display().to_string());
    let when = rfc3339::write(UnixTime::from_secs(ends.as_secs()));
    let what = match left {
        0 => format!("{shown}: the certificate ended at {}", when.as_str()),
        left => {
            format!("{shown}: the certificate ends in {} days, at {}", left / 86_400, when.as_str())
        }
    };
    vec![Finding::new(
        "certificate_ends",
        what,
        "renew it; a running gateway takes the new files at SIGHUP",
    )]
}
