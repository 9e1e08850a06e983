//! `handfast audit …`: the log of decisions.

mod tree;
mod verify;

use handfast_core::registry::audit_tree::{leaf_hash, verify_inclusion};
use handfast_server::admin::{AuditList, AuditProofView, CheckpointView};
use handfast_server::checkpoint::{Checkpoint, VerifierKey, read_hash};
use hyper::Method;
use serde_json::{Map, Value, json};

use crate::End;
use crate::args::{AuditArgs, AuditVerb};
use crate::client::{LineStream, ask, encoded, read};
use crate::data::DataPlace;
use crate::print::{harmless, put, quoted, safe, show};
use crate::table::table;

/// The members of an entry that the columns of a list show.
const COLUMNS: [&str; 7] = ["entry", "at", "who", "by", "from", "what", "outcome"];

pub(crate) async fn run(args: AuditArgs) -> Result<(), End> {
    let data = args.common.data.gateway()?;
    let json = args.common.json;
    match args.verb {
        AuditVerb::List { limit, before, node } => {
            let before = before.map_or_else(String::new, |before| format!("&after={before}"));
            let about =
                node.as_deref().map_or_else(String::new, |node| format!("&node={}", encoded(node)));
            let path = format!("/api/v1/audit?limit={limit}{before}{about}");
            let answer = ask(&data, Method::GET, &path, None).await?;
            show(json, &answer, |list: AuditList| match (list.entries.is_empty(), &node) {
                (true, Some(node)) => format!("nothing was decided about {}\n", quoted(node)),
                (true, None) | (false, _) => listing(&list),
            })
        }
        AuditVerb::Verify(args) => verify::run(&data, json, args).await,
        AuditVerb::Prove { entry } => prove(&data, json, entry).await,
        AuditVerb::Export => export(&data).await,
    }
}

/// Fetches a checkpoint, and checks that the key it names has signed it.
async fn checkpoint(data: &DataPlace) -> Result<(CheckpointView, Checkpoint, VerifierKey), End> {
    let answer = ask(data, Method::GET, "/api/v1/audit/checkpoint", None).await?;
    let view: CheckpointView = read(&answer)?;
    let key = VerifierKey::parse(&view.key).map_err(End::refused)?;
    let checkpoint = Checkpoint::open(&view.checkpoint, &key).map_err(End::refused)?;
    Ok((view, checkpoint, key))
}

async fn prove(data: &DataPlace, json: bool, entry: u64) -> Result<(), End> {
    let (signed, head, _) = checkpoint(data).await?;
    let path = format!("/api/v1/audit/{entry}/proof?size={}", head.size);
    let view: AuditProofView = read(&ask(data, Method::GET, &path, None).await?)?;
    let proof: Option<Vec<_>> = view.proof.iter().map(|hash| read_hash(hash)).collect();
    let leaf = leaf_hash(view.line.as_bytes());
    let proven = verify_inclusion(entry, &leaf, head.size, &head.root, &proof.unwrap_or_default());
    if proven.is_err() {
        return Err(End::Refused(format!(
            "entry {entry} is not the one that was appended: its line was changed, or the log was"
        )));
    }
    if json {
        let text = json!({ "proof": view, "checkpoint": signed.checkpoint, "key": signed.key });
        return put(&format!("{}\n", harmless(&text.to_string())));
    }
    put(&format!(
        "{}\nentry {entry} is in the log of this checkpoint, by a proof of {} hashes\n\n{}",
        safe(&view.line),
        view.proof.len(),
        signed.checkpoint
    ))
}

async fn export(data: &DataPlace) -> Result<(), End> {
    let (_, head, _) = checkpoint(data).await?;
    let mut lines = LineStream::follow(data, "/api/v1/audit/export").await?;
    let mut printed = 0;
    while let Some(line) = lines.next().await? {
        // Verbatim, because the bytes are what is hashed. No entry holds other text than ids, words
        // and numbers; a line that was changed may, and is not printed on a terminal.
        put(&format!("{}\n", if is_plain(&line) { line } else { safe(&line) }))?;
        printed += 1;
    }
    match printed < head.size {
        true => Err(End::Refused(format!(
            "the export broke off: it has {printed} entries, and the log has {}",
            head.size
        ))),
        false => Ok(()),
    }
}

fn is_plain(line: &str) -> bool {
    line.bytes().all(|byte| (b' '..=b'~').contains(&byte))
}

fn listing(list: &AuditList) -> String {
    if list.entries.is_empty() {
        return match list.size {
            0 => "nothing was decided yet\n".to_owned(),
            size => format!("the log begins with entry 0; it has {size} entries\n"),
        };
    }
    let text = |entry: &Map<String, Value>, member: &str| match entry.get(member) {
        Some(Value::String(text)) => safe(text),
        Some(other) => safe(&other.to_string()),
        None => String::new(),
    };
    let row = |entry: &Map<String, Value>| {
        let who = match text(entry, "by").as_str() {
            "" => text(entry, "who"),
            id => format!("{} {}", text(entry, "who"), id.chars().take(8).collect::<String>()),
        };
        let from = match text(entry, "from").as_str() {
            "" => String::new(),
            from => format!(" from {from}"),
        };
        let cells = vec![text(entry, "entry"), text(entry, "at"), text(entry, "what"), who + &from];
        let about = entry.iter().filter(|(member, _)| !COLUMNS.contains(&member.as_str())).map(
            |(member, _)| {
                let value = text(entry, member);
                let name = list.names.get(&value).map(|name| format!(" ({})", safe(name)));
                format!("{} {value}{}", safe(member), name.unwrap_or_default())
            },
        );
        let outcome = Some(text(entry, "outcome")).filter(|outcome| outcome != "done");
        let further = about.chain(outcome).map(|line| vec![line]);
        std::iter::once(cells).chain(further).collect::<Vec<_>>()
    };
    let rows: Vec<_> = list.entries.iter().flat_map(row).collect();
    let older = match &list.next {
        Some(next) => format!("older ones: --before {next}\n"),
        None => String::new(),
    };
    table(&["ENTRY", "AT", "DECISION", "BY"], &rows) + &older
}
