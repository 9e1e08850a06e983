//! `handfast backup` and `handfast restore`: a registry as one file, and its restoration.

use std::path::Path;

use handfast_store::{LostDecisions, Restored};
use serde_json::json;

use crate::End;
use crate::args::{BackupArgs, Restore};
use crate::data::{self, DATABASE, DataPlace};
use crate::hints::Next;
use crate::print::{counted, put, safe};

/// Files of a data directory that belong to its registry, and what happens without each.
const BESIDE: [(&str, &str); 3] = [
    ("store.key", "the registry's secrets do not open, and the gateway does not start"),
    ("setup.key", "setup codes that are under way are worth nothing"),
    ("ca", "the gateway makes another certificate authority, and nodes need new certificates"),
];

pub(crate) fn run(args: BackupArgs) -> Result<(), End> {
    let data = args.data.path()?;
    if data::serves_database(&data) {
        return Err(in_database(
            &data,
            "a backup here would have nothing of it. Back it up with the database's own tool, for \
             PostgreSQL: pg_dump --schema handfast --format custom",
        ));
    }
    let made = handfast_store::backup(&data.join(DATABASE), &args.file).map_err(End::refused)?;
    if args.json {
        return put(&format!(
            "{}\n",
            json!({"nodes": made.nodes, "bytes": made.bytes, "change": made.number})
        ));
    }
    put(&format!(
        "{}: {}, {} bytes, up to change {}\n{}",
        safe(&args.file.display().to_string()),
        counted(made.nodes, "node"),
        made.bytes,
        made.number,
        beside(&data)
    ))
}

/// Returns the words about the files that belong to a backup, as lines.
fn beside(data: &Path) -> String {
    let files = BESIDE.iter().filter(|(name, _)| data.join(name).exists());
    let lines: String = files
        .map(|(name, without)| {
            format!(
                "  {}\n    without it, {without}\n",
                safe(&data.join(name).display().to_string())
            )
        })
        .collect();
    if lines.is_empty() {
        return "Keep its store key with it: without it, the registry does not open.\n".to_owned();
    }
    format!("Keep with it, in a place where nobody else reads it:\n{lines}")
}

pub(crate) fn restore(args: Restore) -> Result<(), End> {
    let directory = args.data.place()?;
    if data::serves_database(&directory) {
        return Err(in_database(
            &directory,
            "a restore here would change nothing of it. End its gateways, and restore it with the \
             database's own tool, for PostgreSQL: pg_restore; or name another directory with --data",
        ));
    }
    data::prepare(&directory)?;
    let restored =
        handfast_store::restore(&args.file, &directory.join(DATABASE)).map_err(End::refused)?;
    if args.json {
        let lost = restored.lost.map(|lost| {
            json!({
                "revoked_nodes": lost.revoked_nodes, "muted_nodes": lost.muted_nodes, "new_nodes": lost.new_nodes,
                "revoked_capabilities": lost.revoked_capabilities, "ended_sessions": lost.ended_sessions,
                "ended_logins": lost.ended_logins,
                "spent_setup_codes": lost.spent_setup_codes, "blocked_senders": lost.blocked_senders,
            })
        });
        return put(&format!(
            "{}\n",
            json!({"nodes": restored.nodes, "lost": lost, "replaced": restored.replaced})
        ));
    }
    put(&text(&restored, &args.file, &directory))
}

/// Returns the refusal of a directory whose gateway serves a registry in a database.
fn in_database(data: &Path, mend: &str) -> End {
    let shown = safe(&data.display().to_string());
    End::Refused(format!(
        "{shown}: the gateway that runs here serves a registry in a database, so {mend}"
    ))
}

fn text(restored: &Restored, file: &Path, directory: &DataPlace) -> String {
    let shown = |path: &Path| safe(&path.display().to_string());
    let mut text =
        format!("{}: {} from {}\n", shown(directory), counted(restored.nodes, "node"), shown(file));
    match &restored.lost {
        Some(lost) => {
            let parts = in_words(lost);
            if parts.is_empty() {
                text += "Nothing was put out or let in since that backup.\n";
            } else {
                text += "Lost, because it was decided after the backup:\n";
                parts.iter().for_each(|part| text += &format!("  {part}\n"));
                text += "Put out again who is to stay out before you start the gateway for everybody.\n";
            }
        }
        None => {
            text += "What was revoked, muted or blocked after the backup is lost, and how much that is cannot be told: there was no registry to compare with, \
                     or it cannot be read.\n";
        }
    }
    if let Some(replaced) = &restored.replaced {
        text += &format!(
            "The registry that was here is kept as {}; remove it when you no longer need it.\n",
            shown(replaced)
        );
    }
    let missing = BESIDE.iter().filter(|(name, _)| !directory.join(name).exists());
    let missing: String =
        missing.map(|(name, without)| format!("  {name}\n    without it, {without}\n")).collect();
    if !missing.is_empty() {
        text += &format!(
            "Before you start the gateway, put what was kept with the backup into\n{}:\n{missing}",
            shown(directory)
        );
    }
    text + &format!("Start the gateway with: {}\n", Next::Serve.on(directory))
}

fn in_words(lost: &LostDecisions) -> Vec<String> {
    let part = |number: u64, one: &str, many: &str| match number {
        0 => None,
        1 => Some(format!("1 {one}")),
        _ => Some(format!("{number} {many}")),
    };
    let parts = [
        part(
            lost.revoked_nodes,
            "node was revoked and is let in again",
            "nodes were revoked and are let in again",
        ),
        part(
            lost.muted_nodes,
            "node was muted and may speak again",
            "nodes were muted and may speak again",
        ),
        part(
            lost.new_nodes,
            "node was paired and has to pair again",
            "nodes were paired and have to pair again",
        ),
        part(
            lost.revoked_capabilities,
            "capability or key was revoked and counts again",
            "capabilities or keys were revoked and count again",
        ),
        part(
            lost.ended_sessions,
            "companion's session was ended and counts again",
            "companions' sessions were ended and count again",
        ),
        part(
            lost.ended_logins,
            "operator's session or token was ended and counts again",
            "operators' sessions or tokens were ended and count again",
        ),
        part(
            lost.spent_setup_codes,
            "setup code was spent and can be used again until it expires",
            "setup codes were spent and can be used again until they expire",
        ),
        part(
            lost.blocked_senders,
            "sender was put out and may write again",
            "senders were put out and may write again",
        ),
    ];
    parts.into_iter().flatten().collect()
}
