//! `handfast audit verify`.

use std::fs::File;
use std::io::{BufRead, BufReader, Read};
use std::path::Path;

use handfast_private_file::Options;
use handfast_server::checkpoint::{CHECKPOINT_BYTES, Checkpoint, VerifierKey, hash_text};
use handfast_store::audit::ENTRY_BYTES;
use serde_json::json;

use super::checkpoint;
use super::tree::{Peaks, changed_entries};
use crate::End;
use crate::args::VerifyAudit;
use crate::client::LineStream;
use crate::data::DataPlace;
use crate::print::{harmless, put, safe};

pub(super) async fn run(data: &DataPlace, json: bool, args: VerifyAudit) -> Result<(), End> {
    let key = args.key.as_deref().map(VerifierKey::parse).transpose();
    let key = key.map_err(|error| End::Usage(error.to_string()))?;
    let (verified, key, note) = match &args.export {
        Some(file) => {
            let against =
                args.against.as_deref().map(|file| saved(file, key.as_ref())).transpose()?;
            (verify_file(file, against)?, key, None)
        }
        None => {
            let (view, head, named) = checkpoint(data).await?;
            // A key that is named outweighs the one that the gateway names.
            let key = key.unwrap_or(named);
            Checkpoint::open(&view.checkpoint, &key).map_err(End::refused)?;
            let against =
                args.against.as_deref().map(|file| saved(file, Some(&key))).transpose()?;
            (verify_gateway(data, &head, against).await?, Some(key), Some(view.checkpoint))
        }
    };
    if let (Some(file), Some(note)) = (&args.save, &note) {
        Options::PRIVATE.replace(file, note.as_bytes()).map_err(End::refused)?;
    }
    told(json, &args, &verified, key.as_ref())
}

/// A log that was found to be unchanged.
struct Verified {
    size: u64,
    root: String,
    against: Option<Checkpoint>,
}

/// Reads a checkpoint from a file. Without a key, nobody knows who signed it.
fn saved(file: &Path, key: Option<&VerifierKey>) -> Result<Checkpoint, End> {
    let failed = |error: &dyn std::fmt::Display| {
        End::Refused(format!("{}: {error}", safe(&file.display().to_string())))
    };
    let mut note = String::new();
    let opened = File::open(file).map_err(|error| failed(&error))?;
    let most = CHECKPOINT_BYTES as u64 + 1;
    opened.take(most).read_to_string(&mut note).map_err(|error| failed(&error))?;
    let found = match key {
        Some(key) => Checkpoint::open(&note, key),
        None => Checkpoint::parse(&note),
    };
    found.map_err(|error| failed(&error))
}

fn verify_file(file: &Path, against: Option<Checkpoint>) -> Result<Verified, End> {
    let failed = |error: std::io::Error| {
        End::Refused(format!("{}: {error}", safe(&file.display().to_string())))
    };
    let mut reader = BufReader::new(File::open(file).map_err(failed)?);
    let mut log = ComparedLog::new(against);
    loop {
        let mut line = Vec::new();
        let most = ENTRY_BYTES as u64 + 1;
        if reader.by_ref().take(most).read_until(b'\n', &mut line).map_err(failed)? == 0 {
            return log.end();
        }
        let size = log.peaks.size();
        let cut = || End::Refused(format!("entry {size} is cut off, or is no entry"));
        let line = line.strip_suffix(b"\n").ok_or_else(cut)?;
        log.add(std::str::from_utf8(line).map_err(|_| cut())?)?;
    }
}

async fn verify_gateway(
    data: &DataPlace,
    head: &Checkpoint,
    against: Option<Checkpoint>,
) -> Result<Verified, End> {
    let mut lines = LineStream::follow(data, "/api/v1/audit/export").await?;
    let mut log = ComparedLog::new(against);
    // What was decided since the checkpoint was signed is not in it.
    while log.peaks.size() < head.size {
        let Some(line) = lines.next().await? else {
            return Err(End::Refused(format!(
                "the log broke off after {} entries, and the gateway signed for {}",
                log.peaks.size(),
                head.size
            )));
        };
        log.add(&line)?;
    }
    if log.peaks.root() != head.root {
        let changed = changed_entries(data, head.size).await?;
        return Err(End::Refused(match changed.end.saturating_sub(changed.start) {
            1 => {
                format!("entry {} was changed: it is not the line that was appended", changed.start)
            }
            _ => format!(
                "one of the entries {} to {} was changed: they are not those that the gateway \
                 signed for",
                changed.start,
                changed.end.saturating_sub(1)
            ),
        }));
    }
    log.end()
}

/// A log whose lines are compared with an earlier checkpoint as they come.
struct ComparedLog {
    peaks: Peaks,
    against: Option<Checkpoint>,
    differs: bool,
}

impl ComparedLog {
    fn new(against: Option<Checkpoint>) -> Self {
        let mut log = Self { peaks: Peaks::default(), against, differs: false };
        log.compare();
        log
    }

    fn add(&mut self, line: &str) -> Result<(), End> {
        self.peaks.add(line)?;
        self.compare();
        Ok(())
    }

    fn compare(&mut self) {
        if let Some(earlier) = self.against.as_ref().filter(|it| it.size == self.peaks.size()) {
            self.differs = earlier.root != self.peaks.root();
        }
    }

    fn end(self) -> Result<Verified, End> {
        let (size, root) = (self.peaks.size(), hash_text(&self.peaks.root()));
        let Some(earlier) = self.against else { return Ok(Verified { size, root, against: None }) };
        if earlier.size > size {
            return Err(End::Refused(format!(
                "the end of the log was cut off: the checkpoint has {} entries, and the log has \
                 {size}",
                earlier.size
            )));
        }
        if self.differs {
            return Err(End::Refused(format!(
                "the first {} entries are not those of the checkpoint: one of them was changed",
                earlier.size
            )));
        }
        Ok(Verified { size, root, against: Some(earlier) })
    }
}

fn told(
    json: bool,
    args: &VerifyAudit,
    verified: &Verified,
    key: Option<&VerifierKey>,
) -> Result<(), End> {
    let Verified { size, root, against } = verified;
    if json {
        let against =
            against.as_ref().map(|it| json!({ "size": it.size, "signed": key.is_some() }));
        let text = json!({
            "verified": true, "size": size, "root": root, "against": against,
            "key": key.map(ToString::to_string),
        });
        return put(&format!("{}\n", harmless(&text.to_string())));
    }
    let entries = |size: u64| match size {
        1 => "1 entry".to_owned(),
        size => format!("{size} entries"),
    };
    let mut text = format!("{}, unchanged\nroot {root}\n", entries(*size));
    if let Some(earlier) = against {
        text += &format!("the log continues the checkpoint of {}\n", entries(earlier.size));
    }
    match key {
        Some(key) => text += &format!("key {}\n", safe(&key.to_string())),
        None if against.is_some() => {
            text += "who signed the checkpoint was not checked: name the key with --key\n";
        }
        None => {}
    }
    if against.is_none() {
        text += "that nothing was cut off at its end shows only --against an earlier checkpoint\n";
    }
    if let Some(file) = &args.save {
        text += &format!("the checkpoint is in {}\n", safe(&file.display().to_string()));
    }
    put(&text)
}
