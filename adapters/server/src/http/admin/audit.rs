//! The audit log.

use std::collections::BTreeMap;

use axum::Json;
use axum::body::{Body, Bytes};
use axum::http::header::CONTENT_TYPE;
use axum::response::{IntoResponse, Response};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use futures_util::stream;
use handfast_core::NodeId;
use handfast_core::grant::scope::{Action, Address};
use handfast_core::registry::audit_tree::Hash;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use utoipa::{IntoParams, ToSchema};

use super::Caller;
use super::caller::Acting;
use super::extract::{Path, Query};
use super::failure::AdminFailure;
use super::paging;
use crate::gateway::Gateway;
use crate::operator::audit::MOST_ENTRIES;

/// Number of entries of an answer without a limit.
const USUAL: usize = 50;
/// The address that a delegated right needs to administer to be told the names of senders.
const SENDERS: &str = "/gateway/inbound";

/// The answer to `GET /api/v1/audit`.
#[derive(Debug, Serialize, Deserialize, ToSchema)]
pub struct AuditList {
    /// The entries, the newest first.
    #[serde(rename = "items")]
    #[schema(value_type = Vec<Object>)]
    pub entries: Vec<Map<String, Value>>,
    /// Number of entries of the log.
    #[serde(rename = "total")]
    pub size: u64,
    /// Cursor of the next page, as `after` of the next request; `null` on the last page.
    #[schema(required)]
    pub next: Option<String>,
    /// The names of nodes in the entries, by their ids, and of senders, by their references. They
    /// are not part of the log: a name that was removed is missing.
    #[serde(skip_serializing_if = "BTreeMap::is_empty", default)]
    pub names: BTreeMap<String, String>,
}

/// The answer to `GET /api/v1/audit/checkpoint`.
#[derive(Debug, Serialize, Deserialize, ToSchema)]
pub struct CheckpointView {
    /// The signed note, in the form of C2SP `tlog-checkpoint`.
    pub checkpoint: String,
    /// The key that has signed it, in the form of C2SP `signed-note`.
    pub key: String,
    /// Number of entries.
    pub size: u64,
    /// Root of the tree, in base64.
    pub root: String,
    /// The proof that the log of the size that was asked about is the beginning of this one.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub consistency: Option<Vec<String>>,
}

/// The answer to `GET /api/v1/audit/{entry}/proof`.
#[derive(Debug, Serialize, Deserialize, ToSchema)]
pub struct AuditProofView {
    /// Number of the entry.
    pub entry: u64,
    /// The entry's line, byte for byte.
    pub line: String,
    /// Hash of the entry as it was appended, in base64.
    pub leaf: String,
    /// Number of entries of the tree.
    pub size: u64,
    /// Root of the tree, in base64.
    pub root: String,
    /// The proof of inclusion, in base64, from the leaf up.
    pub proof: Vec<String>,
}

#[derive(Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
#[serde(deny_unknown_fields)]
pub(super) struct ListQuery {
    /// Number of entries, at most 500; 50 if left out.
    limit: Option<usize>,
    /// Cursor of the page: the `next` of the page before, which is the number of its last entry.
    after: Option<String>,
    /// Only the entries about this node: its id, also after it was forgotten, or its name.
    node: Option<String>,
}

#[derive(Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
#[serde(deny_unknown_fields)]
pub(super) struct CheckpointQuery {
    /// Size of an earlier log.
    since: Option<u64>,
}

#[derive(Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
#[serde(deny_unknown_fields)]
pub(super) struct ProofQuery {
    /// Size of the tree to prove it for; the present size if left out.
    size: Option<u64>,
}

#[derive(Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
#[serde(deny_unknown_fields)]
pub(super) struct ExportQuery {
    /// Number of the first entry.
    #[serde(default)]
    from: u64,
}

/// Lists decisions, the newest first.
#[utoipa::path(
    get,
    path = "/api/v1/audit",
    tag = "Audit log",
    params(ListQuery),
    responses((status = 200, body = AuditList)),
)]
pub(super) async fn list(
    Acting(gateway): Acting,
    caller: Caller,
    Query(query): Query<ListQuery>,
) -> Result<Json<AuditList>, AdminFailure> {
    let ListQuery { limit, after, node } = query;
    let limit = paging::limit(limit.or(Some(USUAL)))?;
    let before = paging::after(after.as_deref(), |number| number.parse().ok())?;
    let node = match node {
        Some(node) => Some(node_of(&gateway, &node).await?),
        None => None,
    };
    Ok(Json(page(&gateway, &caller, node, before, limit).await?))
}

/// Returns the newest entries before number `before`, of one node or of all, with the names that
/// belong to them.
pub(in crate::http) async fn page(
    gateway: &Gateway,
    caller: &Caller,
    node: Option<NodeId>,
    before: Option<u64>,
    limit: usize,
) -> Result<AuditList, AdminFailure> {
    let size = gateway.audit_size().await?;
    let end = before.unwrap_or(size).min(size);
    let (entries, next) = match node {
        None => {
            let from = end.saturating_sub(limit as u64);
            let wanted = usize::try_from(end - from).unwrap_or(limit);
            let lines = match wanted {
                0 => Vec::new(),
                _ => gateway.audit_lines(from, wanted).await?,
            };
            let entries: Vec<_> = lines.iter().rev().map(|line| entry(line)).collect();
            (entries, (from > 0).then_some(from))
        }
        Some(node) => {
            // One more shows that there is a next page.
            let lines = gateway.audit_lines_of(node, Some(end), limit.saturating_add(1)).await?;
            let entries: Vec<_> = lines.iter().take(limit).map(|line| entry(line)).collect();
            let more = lines.len() > limit;
            let last = entries.last().and_then(|last| last.get("entry")).and_then(Value::as_u64);
            (entries, last.filter(|_| more))
        }
    };
    let names = names(gateway, caller, &entries).await?;
    Ok(AuditList { entries, size, next: next.map(|next| next.to_string()), names })
}

/// Reads a node's id, or finds the node with this name. A node whose record was forgotten has its
/// entries all the same.
pub(in crate::http) async fn node_of(
    gateway: &Gateway,
    which: &str,
) -> Result<NodeId, AdminFailure> {
    match NodeId::parse(which) {
        Some(node_id) => Ok(node_id),
        None => Ok(gateway.device_named(which).await?.entry.record.node_id),
    }
}

/// Signs a checkpoint of the log, in the form of C2SP `tlog-checkpoint`.
///
/// With `since`, the answer proves that the log of that size is the beginning of this one.
#[utoipa::path(
    get,
    path = "/api/v1/audit/checkpoint",
    tag = "Audit log",
    params(CheckpointQuery),
    responses((status = 200, body = CheckpointView)),
)]
pub(super) async fn checkpoint(
    Acting(gateway): Acting,
    Query(query): Query<CheckpointQuery>,
) -> Result<Json<CheckpointView>, AdminFailure> {
    let CheckpointQuery { since } = query;
    let signed = gateway.audit_checkpoint(since).await?;
    Ok(Json(CheckpointView {
        checkpoint: signed.note,
        key: signed.key.to_string(),
        size: signed.checkpoint.size,
        root: STANDARD.encode(signed.checkpoint.root),
        consistency: signed.consistency.as_deref().map(encoded),
    }))
}

/// Proves that the log holds an entry.
#[utoipa::path(
    get,
    path = "/api/v1/audit/{entry}/proof",
    tag = "Audit log",
    params(ProofQuery),
    responses((status = 200, body = AuditProofView)),
)]
pub(super) async fn proof(
    Acting(gateway): Acting,
    Path(number): Path<String>,
    Query(query): Query<ProofQuery>,
) -> Result<Json<AuditProofView>, AdminFailure> {
    let ProofQuery { size } = query;
    let number = number.parse().map_err(|_| {
        AdminFailure::Usage("an entry is named by its number, which begins at 0".to_owned())
    })?;
    let proven = gateway.audit_entry(number, size).await?;
    Ok(Json(AuditProofView {
        entry: number,
        line: proven.line,
        leaf: STANDARD.encode(proven.leaf),
        size: proven.head.size,
        root: STANDARD.encode(proven.head.root),
        proof: encoded(&proven.proof),
    }))
}

/// Streams the entries, each on a line of its own, as they are hashed.
///
/// It holds one page of them at a time.
#[utoipa::path(
    get,
    path = "/api/v1/audit/export",
    tag = "Audit log",
    params(ExportQuery),
    responses((status = 200, content_type = "application/x-ndjson", body = String)),
)]
pub(super) async fn export(
    Acting(gateway): Acting,
    Query(query): Query<ExportQuery>,
) -> Result<Response, AdminFailure> {
    let ExportQuery { from } = query;
    let size = gateway.audit_size().await?;
    let lines = stream::unfold((gateway, from), move |(gateway, from)| async move {
        let left = usize::try_from(size.saturating_sub(from)).unwrap_or(MOST_ENTRIES);
        if left == 0 {
            return None;
        }
        let page = match gateway.audit_lines(from, left.min(MOST_ENTRIES)).await {
            // A log that has lost its end is shorter than it was just now; the reader compares the
            // number of lines with the checkpoint.
            Ok(page) if page.is_empty() => return None,
            Ok(page) => page,
            // The answer breaks off, so that nobody takes it for the whole log.
            Err(error) => return Some((Err(error), (gateway, size))),
        };
        let next = from.saturating_add(page.len() as u64);
        let text: String = page.into_iter().map(|line| line + "\n").collect();
        Some((Ok(Bytes::from(text)), (gateway, next)))
    });
    Ok(([(CONTENT_TYPE, "application/x-ndjson")], Body::from_stream(lines)).into_response())
}

/// Returns an entry as an object. A line that was damaged is shown as such.
fn entry(line: &str) -> Map<String, Value> {
    serde_json::from_str(line).unwrap_or_else(|_| {
        Map::from_iter([("damaged".to_owned(), Value::String(line.to_owned()))])
    })
}

/// Returns the names that belong to the ids of these entries.
async fn names(
    gateway: &Gateway,
    caller: &Caller,
    entries: &[Map<String, Value>],
) -> Result<BTreeMap<String, String>, AdminFailure> {
    let mut names = BTreeMap::new();
    let text = |entry: &Map<String, Value>, member: &str| {
        entry.get(member).and_then(Value::as_str).map(str::to_owned)
    };
    for id in entries.iter().filter_map(|entry| text(entry, "node")) {
        if names.contains_key(&id) {
            continue;
        }
        if let Ok(device) = gateway.device_by_prefix(&id).await {
            names.insert(id, device.entry.record.name.to_string());
        }
    }
    let authority = caller.authority();
    let may_see = authority.is_viewer()
        || Address::parse(SENDERS).is_ok_and(|address| authority.reaches(Action::Admin, &address));
    let senders = entries.iter().filter_map(|entry| text(entry, "sender"));
    for reference in senders.filter(|_| may_see) {
        let Some(bytes) = hash(&reference).filter(|_| !names.contains_key(&reference)) else {
            continue;
        };
        if let Some(name) = gateway.audited_sender(bytes).await? {
            let account = match name.account.as_str() {
                "" => "every account",
                account => account,
            };
            names.insert(reference, format!("{} on {} ({account})", name.sender, name.channel));
        }
    }
    Ok(names)
}

fn hash(text: &str) -> Option<Hash> {
    let digits = text.as_bytes();
    let mut bytes = [0; 32];
    if digits.len() != 2 * bytes.len() {
        return None;
    }
    for (place, pair) in bytes.iter_mut().zip(digits.chunks_exact(2)) {
        *place = u8::from_str_radix(std::str::from_utf8(pair).ok()?, 16).ok()?;
    }
    Some(bytes)
}

fn encoded(hashes: &[Hash]) -> Vec<String> {
    hashes.iter().map(|hash| STANDARD.encode(hash)).collect()
}
