//! The data directory: who may read it, what is in it, and whether the disk has room.

use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::Path;

use handfast_private_file::{self as private_file, Others};
use handfast_server::keys::file as key_file;
use handfast_server::moving;
use handfast_stdio::Hint;
use handfast_store::GATEWAY_KEYS;
use rusqlite::{Connection, OpenFlags};

use super::{Finding, Place};
use crate::data::DATABASE;
use crate::hints::{Next, hide_file, how_to_start};
use crate::print::safe;

/// Free space below which a registry may soon be unable to grow: a checkpoint needs as much as the
/// log, which is bounded by some megabytes.
const LITTLE: u64 = 64 * 1024 * 1024;

/// Files that only the gateway's user may read.
const PRIVATE: [&str; 4] = [DATABASE, "store.key", "setup.key", "handfast.sock"];

/// Returns what is wrong with a data directory. `in_file` says that its registry is the file in it.
pub(super) fn findings(place: &Place<'_>, in_file: bool) -> Vec<Finding> {
    let data = place.data;
    let mut found = Vec::new();
    match private_file::check_directory(data, Others::Nothing) {
        Ok(true) => {}
        Ok(false) => {
            found.push(Finding::new(
                "no_data",
                format!("{}: there is no data directory", shown(data)),
                format!(
                    "a gateway makes it; {}; another directory is named with --data",
                    how_to_start(data, place.config)
                ),
            ));
            return found;
        }
        Err(error) => found.push(Finding::new(
            "directory_open",
            error.to_string(),
            Hint::new("chmod", "700").arg(data.as_os_str()).to_string(),
        )),
    }
    found.extend(PRIVATE.iter().filter_map(|name| file(&data.join(name))));
    found.extend(room(data));
    if in_file {
        found.extend(registry(place));
    }
    found
}

/// Checks that nobody but its owner may read or write a file.
fn file(path: &Path) -> Option<Finding> {
    let found = std::fs::symlink_metadata(path).ok()?;
    let others = found.permissions().mode() & 0o077;
    if others != 0 {
        let mode = found.permissions().mode() & 0o777;
        return Some(Finding::new(
            "file_open",
            format!("{}: others than its owner may use it (mode {mode:03o})", shown(path)),
            format!("{}; if somebody may have read a key, replace it", hide_file(path)),
        ));
    }
    let user = rustix::process::geteuid().as_raw();
    (found.uid() != user && user != 0).then(|| {
        Finding::new(
            "file_foreign",
            format!("{}: it belongs to user {}, and this is user {user}", shown(path), found.uid()),
            format!(
                "run the command as that user, or: {}",
                Hint::new("chown", &user.to_string()).arg(path)
            ),
        )
    })
}

fn room(data: &Path) -> Option<Finding> {
    let system = rustix::fs::statvfs(data).ok()?;
    let free = system.f_bavail.saturating_mul(system.f_frsize);
    (free < LITTLE).then(|| {
        Finding::new(
            "disk_full",
            format!("{}: its disk has {} KiB left", shown(data), free / 1024),
            "free disk space: a registry that cannot be written lets nobody in, and a revocation \
             lasts only until the gateway restarts",
        )
    })
}

/// Checks the registry's file and its key, without the gateway.
fn registry(place: &Place<'_>) -> Option<Finding> {
    let data = place.data;
    let path = data.join(DATABASE);
    if !path.exists() {
        return None;
    }
    let key = place.store_key.clone().unwrap_or_else(|| data.join(key_file::FILE_NAME));
    if !key.exists() {
        return Some(Finding::new(
            "no_store_key",
            format!(
                "{}: there is a registry and no {}, which opens its secrets",
                shown(data),
                match key.parent() == Some(data) {
                    true => key_file::FILE_NAME.to_owned(),
                    false => shown(&key),
                }
            ),
            "put the store.key that belongs to it back from where it is kept (a configuration that \
             names another file is read with --config); without it, the gateway does not start",
        ));
    }
    let damaged = |problem: String| {
        Finding::new(
            "registry_damaged",
            format!("{}: {problem}", shown(&path)),
            format!("restore a backup: {}", Next::Restore(Path::new("BACKUP")).on(data)),
        )
    };
    let flags = OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let opened = Connection::open_with_flags(&path, flags);
    let checked = opened.and_then(|connection| {
        let said =
            connection.query_row("PRAGMA quick_check(1)", [], |row| row.get::<_, String>(0))?;
        let sealed = "SELECT sealed FROM vault WHERE name = ?1";
        // A registry of an old version has none, and is brought up at the next start.
        let sealed = connection.query_row(sealed, [GATEWAY_KEYS], |row| row.get::<_, Vec<u8>>(0));
        Ok((said, sealed.ok()))
    });
    match checked {
        Ok((said, sealed)) if said == "ok" => sealed.and_then(|sealed| opens(&key, &sealed)),
        Ok((said, _)) => Some(damaged(safe(&said))),
        Err(error) => Some(damaged(safe(&error.to_string()))),
    }
}

/// Checks that the key in a file opens the sealed keys of a gateway.
pub(super) fn opens(file: &Path, sealed: &[u8]) -> Option<Finding> {
    match key_file::load_or_create(file, key_file::Use::Store) {
        Ok(key) if moving::opens(sealed, &key) => None,
        Ok(_) => Some(Finding::new(
            "wrong_store_key",
            format!("{}: this store key does not open the registry's secrets", shown(file)),
            "put the key that belongs to the registry in its place, or name its file with store_key; \
             with this one, the gateway does not start",
        )),
        Err(error) => Some(Finding::new(
            "wrong_store_key",
            safe(&error.to_string()),
            "put the key that belongs to the registry in its place",
        )),
    }
}

fn shown(path: &Path) -> String {
    safe(&path.display().to_string())
}
