//! The data directory: who may read it, what is in it, and whether the disk has room.

use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::Path;

use handfast_private_file::{self as private_file, Others};
use handfast_stdio::Hint;
use rusqlite::{Connection, OpenFlags};

use super::Finding;
use crate::data::{DATABASE, DataPlace};
use crate::hints::{Next, hide_file};
use crate::print::safe;

/// Free space below which a registry may soon be unable to grow: a checkpoint needs as much as the
/// log, which is bounded by some megabytes.
const LITTLE: u64 = 64 * 1024 * 1024;

/// Files that only the gateway's user may read.
const PRIVATE: [&str; 4] = [DATABASE, "store.key", "setup.key", "handfast.sock"];

pub(super) fn findings(data: &DataPlace) -> Vec<Finding> {
    let mut found = Vec::new();
    match private_file::check_directory(data, Others::Nothing) {
        Ok(true) => {}
        Ok(false) => {
            found.push(Finding::new(
                "no_data",
                format!("{}: there is no data directory", shown(data)),
                format!(
                    "a gateway makes it: {}; another one is named with --data",
                    Next::Serve.on(data)
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
    found.extend(registry(data));
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

/// Checks the registry's file, without the gateway.
fn registry(data: &DataPlace) -> Option<Finding> {
    let path = data.join(DATABASE);
    if !path.exists() {
        return None;
    }
    if !data.join("store.key").exists() {
        return Some(Finding::new(
            "no_store_key",
            format!(
                "{}: there is a registry and no store.key, which opens its secrets",
                shown(data)
            ),
            "put the store.key that belongs to it back from where it is kept; without it, the \
             gateway does not start",
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
        connection.query_row("PRAGMA quick_check(1)", [], |row| row.get::<_, String>(0))
    });
    match checked {
        Ok(said) if said == "ok" => None,
        Ok(said) => Some(damaged(safe(&said))),
        Err(error) => Some(damaged(safe(&error.to_string()))),
    }
}

fn shown(path: &Path) -> String {
    safe(&path.display().to_string())
}
