//! `handfast import`: imports the data of other systems into the registry.
//!
//! | file | content |
//! |---|---|
//! | `missy` | a registry of nodes, `devices.json` |
//! | `loose_json` | repairs of that file before it is read |
//! | `nexo` | a database of pairing tables: senders, and companions' sessions |
//! | `cells` | the checked values of that database |
//! | `snapshot` | reading a database without touching it |
//! | `target` | the registry: existing entries stay, missing ones are added |
//! | `report` | the report of an import |
//!
//! Without `--apply` the import runs on a copy of the registry, and the report says what would be
//! imported.

mod cells;
mod loose_json;
mod missy;
mod nexo;
mod report;
mod snapshot;
mod target;

use std::io::Read;
use std::path::Path;
use std::time::{SystemTime, UNIX_EPOCH};

use handfast_core::UnixTime;

use crate::End;
use crate::args::Import;
use crate::print::put;
use report::{FileReport, ImportReport};
use target::ImportTarget;

/// 9999-12-31T23:59:59Z in Unix seconds; a later value is not in seconds.
const END_OF_TIME: u64 = 253_402_300_799;

pub(crate) async fn run(args: Import) -> Result<(), End> {
    let data = args.data.path()?;
    let now = UnixTime::from_secs(
        SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_secs(),
    );
    let files: Vec<_> = args.files.into_iter().map(|path| (recognised(&path), path)).collect();
    // A mistyped file name must not create a registry.
    let target = match files.iter().any(|(kind, _)| kind.is_ok()) {
        true => Some(ImportTarget::open(&data, args.apply, now)?),
        false => None,
    };
    let mut report = ImportReport { files: Vec::new(), applied: args.apply };
    let mut done = Ok(());
    for (kind, path) in files {
        let mut file = FileReport { path, kind: None, problem: None, parts: Vec::new() };
        match (kind, &target) {
            (Ok(kind), Some(target)) => done = import(kind, target, &mut file).await,
            (Err(problem), _) => file.problem = Some(problem),
            (Ok(_), None) => {}
        }
        report.files.push(file);
        if done.is_err() {
            break;
        }
    }
    drop(target);
    let printed =
        put(&if args.json { format!("{}\n", report.json(&data)) } else { report.text(&data) });
    done?;
    report.trouble().map_or(printed, |trouble| Err(End::Refused(trouble)))
}

/// Imports a file of a known kind.
async fn import(kind: FileKind, target: &ImportTarget, file: &mut FileReport) -> Result<(), End> {
    let path = file.path.clone();
    match kind {
        FileKind::Database => nexo::import(&path, target, file).await,
        FileKind::Records => missy::import(&path, target, file).await,
    }
}

/// The kind of a file.
enum FileKind {
    Database,
    Records,
}

/// Determines the kind of a file from its beginning.
fn recognised(path: &Path) -> Result<FileKind, String> {
    // Checked before opening: to open a pipe would wait for its writer.
    let found = std::fs::metadata(path).map_err(|error| error.to_string())?;
    if !found.is_file() {
        return Err("it is no file".to_owned());
    }
    let mut start = Vec::new();
    let file = std::fs::File::open(path).map_err(|error| error.to_string())?;
    file.take(4096).read_to_end(&mut start).map_err(|error| error.to_string())?;
    if start.starts_with(b"SQLite format 3\0") {
        return Ok(FileKind::Database);
    }
    let start = loose_json::decoded(&start);
    let first = start.as_bytes().iter().find(|byte| !matches!(byte, b' ' | b'\t' | b'\n' | b'\r'));
    match first {
        Some(b'[') => Ok(FileKind::Records),
        Some(_) | None => {
            Err("it is neither a SQLite database with the tables pairing_pending, pairing_allow_from or pairing_sessions, \
                               nor a devices.json, which is an array of records"
                .to_owned())
        }
    }
}

/// Returns the first 64 characters of a text.
fn clipped(text: &str) -> String {
    match text.char_indices().nth(64) {
        Some((at, _)) => format!("{}…", &text[..at]),
        None => text.to_owned(),
    }
}

#[cfg(test)]
mod tests;
