//! Tasks for nodes: given, followed, cancelled and sent again.

use std::hash::{DefaultHasher, Hash, Hasher};

use axum::Json;
use handfast_core::crypto::base64url;
use handfast_core::grant::scope::{Action, Address, Pattern};
use handfast_core::limits::PAYLOAD_BYTES;
use handfast_core::registry::authority::{GATEWAY, Maker, Wider};
use handfast_core::wire::native::CapabilityName;
use handfast_core::wire::native::link::DispatchId;
use handfast_core::{NodeId, Span};
use handfast_store::{DISPATCHES_KEPT, DISPATCHES_QUEUED, DispatchReport, StoredDispatch};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use utoipa::{IntoParams, ToSchema};

use super::Caller;
use super::caller::Acting;
use super::caller::made_by;
use super::extract::{Body, Path, Query, longest_wait};
use super::failure::AdminFailure;
use super::paging;
use super::time::Time;
use crate::gateway::Gateway;
use crate::gateway::operator_types::OperatorError;
use crate::hex::hex;
use crate::operator::dispatch::no_such;
use crate::operator::{DispatchStatus, NewDispatch};

/// Default time in which a task has to be done.
const WITHIN: Span = Span::from_secs(60);
/// Longest time in which a task has to be done.
const WITHIN_MOST: Span = Span::from_secs(24 * 3600);
/// Shortest beginning of a dispatch's id, in characters.
const SHORTEST: usize = 4;

/// A task for a node.
#[derive(Debug, Serialize, Deserialize, ToSchema)]
pub struct DispatchView {
    /// Id of the task: 32 hexadecimal digits.
    pub id: String,
    /// Id of the node.
    pub node_id: String,
    /// Name of the capability.
    pub capability: String,
    /// `queued`, `sent`, `awaiting_mediation`, `running`, `succeeded`, `failed`, `rejected`,
    /// `expired`, `timed_out`, `cancelled` or `unknown`.
    pub state: String,
    /// `true` if nothing more is due.
    pub over: bool,
    /// `true` if the node can no longer tell what became of it; only of an unknown one.
    #[serde(skip_serializing_if = "std::ops::Not::not", default)]
    pub unknown_for_good: bool,
    /// `true` while the cancellation waits for the node's answer.
    #[serde(skip_serializing_if = "std::ops::Not::not", default)]
    pub cancelling: bool,
    /// The state that the node reported after the end.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub late: Option<String>,
    /// `true` if it certainly never ran, and may be sent again.
    #[serde(skip_serializing_if = "std::ops::Not::not", default)]
    pub may_retry: bool,
    /// Text that differs after each change; a request for news names it as `known`.
    pub seen: String,
    /// Number among the node's tasks.
    pub number: u64,
    /// Time at which it was queued.
    pub made_at: Time,
    /// End of the time for it.
    pub deadline: Time,
    /// Time of its last change.
    pub changed_at: Time,
    /// Maker: `operator`, or `session ID`.
    pub made_by: String,
    /// Share that is done, in percent, as the node told last.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub percent: Option<u8>,
    /// The node's sentence about its progress.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub note: Option<String>,
    /// Input; absent for callers that may not give the node tasks.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub input: Option<Value>,
    /// Result; absent without one, and for callers that may not give the node tasks. One that is no
    /// JSON is a string.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub result: Option<Value>,
    /// Reason for a failure or a refusal.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub reason: Option<String>,
}

/// The answer to a request for a node's tasks.
#[derive(Debug, Serialize, Deserialize, ToSchema)]
pub struct DispatchList {
    /// Id of the node.
    pub node_id: String,
    /// The node's name for people.
    pub friendly_name: String,
    /// Tasks, the newest first.
    #[serde(rename = "items")]
    pub dispatches: Vec<DispatchView>,
    /// Cursor of the next page, as `after` of the next request; `null` on the last page.
    #[schema(required)]
    pub next: Option<String>,
    /// Number of items of all pages.
    pub total: usize,
}

/// The answer to a request for a node's capabilities.
#[derive(Debug, Serialize, Deserialize, ToSchema)]
pub struct CapabilityList {
    /// Id of the node.
    pub node_id: String,
    /// `true` if the node may be given tasks: it is paired by its keys and not muted.
    pub takes_tasks: bool,
    /// The reason for which it takes none.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub takes_none: Option<String>,
    /// What the node has announced.
    pub capabilities: Vec<CapabilityView>,
    /// Number of tasks that are not over.
    pub open: usize,
}

/// A capability of a node.
#[derive(Debug, Serialize, Deserialize, ToSchema)]
pub struct CapabilityView {
    /// Name of the capability.
    pub name: String,
    /// Version of the capability.
    pub version: String,
    /// `true` if it can be given tasks now.
    pub available: bool,
    /// `true` if running it twice does no more than running it once.
    pub idempotent: bool,
}

/// A task.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct InvokeBody {
    /// Id that makes the request repeatable: 32 hex digits, as a UUID or without its dashes.
    request_id: Option<String>,
    /// Name of the capability.
    capability: String,
    /// Input of the task: any JSON.
    #[serde(default)]
    input: Value,
    /// Time in which it has to be done, in seconds: 1 to 86400; 60 if left out.
    #[serde(rename = "timeout_seconds")]
    timeout: Option<u64>,
    /// Maximum size of the result in bytes.
    max_payload: Option<u16>,
}

/// The terms of a repetition.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct RetryBody {
    /// Time in which it has to be done, in seconds: 1 to 86400; 60 if left out.
    #[serde(rename = "timeout_seconds")]
    timeout: Option<u64>,
}

#[derive(Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub(super) struct ListQuery {
    /// Maximum number of items, from 1 to 500; 500 if left out.
    limit: Option<usize>,
    /// Cursor of the page: the `next` of the page before.
    after: Option<String>,
}

#[derive(Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub(super) struct ShowQuery {
    /// Longest wait for news in seconds, at most 30.
    #[serde(rename = "wait_seconds")]
    wait: Option<u64>,
    /// The task's `seen` as the caller knows it; if it differs by now, nothing is waited for.
    known: Option<String>,
}

/// Gives a node a task.
///
/// Made again with the same `request_id`, the answer is what became of it.
#[utoipa::path(
    post,
    path = "/api/v1/nodes/{which}/dispatches",
    tag = "Tasks",
    request_body = InvokeBody,
    responses((status = 200, body = DispatchView)),
)]
pub(super) async fn invoke(
    Acting(gateway): Acting,
    caller: Caller,
    Path(which): Path<String>,
    Body(body): Body<InvokeBody>,
) -> Result<Json<DispatchView>, AdminFailure> {
    let new = NewDispatch {
        id: body.request_id.as_deref().map(id).transpose()?,
        capability: CapabilityName::parse(&body.capability)
            .ok_or_else(|| {
                usage(format!(
                    "{:?} is no capability's name: 1 to 32 of a to z, 0 to 9, dot, dash and underscore",
                    body.capability
                ))
            })?
            .as_str()
            .to_owned(),
        input: body.input.to_string().into_bytes(),
        within: within(body.timeout)?,
        max_payload: match body.max_payload {
            None => most_payload(),
            Some(bytes) if bytes <= most_payload() => bytes,
            Some(_) => return Err(usage(format!("a result has at most {PAYLOAD_BYTES} bytes"))),
        },
    };
    let record = gateway.device_named(&which).await?.entry.record;
    let maker = allowed(&caller, record.node_id)?;
    let status = gateway.invoke(record.node_id, new, maker).await?;
    Ok(Json(view(&status, true)))
}

/// Lists the tasks of a node, the newest first.
#[utoipa::path(
    get,
    path = "/api/v1/nodes/{which}/dispatches",
    tag = "Tasks",
    params(ListQuery),
    responses((status = 200, body = DispatchList)),
)]
pub(super) async fn list(
    Acting(gateway): Acting,
    caller: Caller,
    Path(which): Path<String>,
    Query(query): Query<ListQuery>,
) -> Result<Json<DispatchList>, AdminFailure> {
    let record = gateway.device_named(&which).await?.entry.record;
    let told = reaches(&caller, record.node_id);
    let all = DISPATCHES_KEPT + DISPATCHES_QUEUED;
    let dispatches = gateway.dispatches(record.node_id, all).await?;
    let dispatches = dispatches.iter().map(|status| view(status, told)).collect();
    let page =
        paging::cut(dispatches, query.limit, query.after.as_deref(), |one: &DispatchView| {
            one.id.clone()
        })?;
    Ok(Json(DispatchList {
        node_id: record.node_id.to_string(),
        friendly_name: record.name.to_string(),
        dispatches: page.items,
        next: page.next,
        total: page.total,
    }))
}

/// Shows one task, at once or as soon as there is news.
#[utoipa::path(
    get,
    path = "/api/v1/nodes/{which}/dispatches/{id}",
    tag = "Tasks",
    params(ShowQuery),
    responses((status = 200, body = DispatchView)),
)]
pub(super) async fn show(
    Acting(gateway): Acting,
    caller: Caller,
    Path((which, prefix)): Path<(String, String)>,
    Query(query): Query<ShowQuery>,
) -> Result<Json<DispatchView>, AdminFailure> {
    let ShowQuery { wait, known } = query;
    let wait = wait.map(longest_wait).transpose()?;
    let (node_id, status) = named(&gateway, &which, &prefix).await?;
    let told = reaches(&caller, node_id);
    // The caller names what it has seen, so that nothing that came in between is missed.
    let is_known = known.is_none_or(|known| known == seen(&status));
    let status = match wait {
        Some(wait) if is_known => gateway.await_dispatch(&status, wait).await?,
        Some(_) | None => status,
    };
    Ok(Json(view(&status, told)))
}

/// Cancels a task.
#[utoipa::path(
    post,
    path = "/api/v1/nodes/{which}/dispatches/{id}/cancel",
    tag = "Tasks",
    responses((status = 200, body = DispatchView)),
)]
pub(super) async fn cancel(
    Acting(gateway): Acting,
    caller: Caller,
    Path((which, prefix)): Path<(String, String)>,
) -> Result<Json<DispatchView>, AdminFailure> {
    let (node_id, status) = named(&gateway, &which, &prefix).await?;
    allowed(&caller, node_id)?;
    let status = gateway.cancel_dispatch(node_id, status.stored.task.id).await?;
    Ok(Json(view(&status, true)))
}

/// Sends a task again that certainly never ran. The body may be empty.
#[utoipa::path(
    post,
    path = "/api/v1/nodes/{which}/dispatches/{id}/retry",
    tag = "Tasks",
    request_body = RetryBody,
    responses((status = 200, body = DispatchView)),
)]
pub(super) async fn retry(
    Acting(gateway): Acting,
    caller: Caller,
    Path((which, prefix)): Path<(String, String)>,
    Body(body): Body<RetryBody>,
) -> Result<Json<DispatchView>, AdminFailure> {
    let RetryBody { timeout } = body;
    let within = within(timeout)?;
    let (node_id, status) = named(&gateway, &which, &prefix).await?;
    allowed(&caller, node_id)?;
    let status = gateway.retry_dispatch(node_id, status.stored.task.id, within).await?;
    Ok(Json(view(&status, true)))
}

/// Lists what a node can do.
#[utoipa::path(
    get,
    path = "/api/v1/nodes/{which}/capabilities",
    tag = "Tasks",
    responses((status = 200, body = CapabilityList)),
)]
pub(super) async fn capabilities(
    Acting(gateway): Acting,
    Path(which): Path<String>,
) -> Result<Json<CapabilityList>, AdminFailure> {
    let node_id = gateway.device_named(&which).await?.entry.record.node_id;
    Ok(Json(can(&gateway, node_id).await?))
}

/// Returns what a node can do.
pub(in crate::http) async fn can(
    gateway: &Gateway,
    node_id: NodeId,
) -> Result<CapabilityList, AdminFailure> {
    let takes_none = gateway.takes_no_tasks(node_id).await?;
    let capabilities = gateway.capabilities(node_id).await?;
    let open = gateway.open_dispatches(node_id).await?;
    Ok(CapabilityList {
        node_id: node_id.to_string(),
        takes_tasks: takes_none.is_none(),
        takes_none,
        capabilities: capabilities
            .into_iter()
            .map(|one| CapabilityView {
                name: one.name,
                version: one.version,
                available: one.available,
                idempotent: one.idempotent,
            })
            .collect(),
        open,
    })
}

fn usage(text: String) -> AdminFailure {
    OperatorError::Usage(text).into()
}

fn most_payload() -> u16 {
    u16::try_from(PAYLOAD_BYTES).unwrap_or(u16::MAX)
}

/// Reads a request's id: 32 hexadecimal digits, with the dashes of a UUID or without.
fn id(text: &str) -> Result<DispatchId, AdminFailure> {
    let wrong = || {
        usage(format!(
            "{text:?} is no request id: it has 32 hexadecimal digits, as a UUID with its dashes or without"
        ))
    };
    let bare: String = match text.len() {
        36 => text.split('-').collect(),
        _ => text.to_owned(),
    };
    let number = u128::from_str_radix(&bare, 16).map_err(|_| wrong())?;
    match bare.len() {
        32 if !bare.starts_with('+') => Ok(DispatchId::from_bytes(number.to_be_bytes())),
        _ => Err(wrong()),
    }
}

fn within(timeout: Option<u64>) -> Result<Span, AdminFailure> {
    match timeout {
        None => Ok(WITHIN),
        Some(seconds) if (1..=WITHIN_MOST.as_secs()).contains(&seconds) => {
            Ok(Span::from_secs(seconds))
        }
        Some(seconds) => Err(usage(format!("a task has 1 s to 24 h, not {seconds} s"))),
    }
}

/// Checks that the caller may give the node tasks, and returns who makes them. A delegated right
/// has to name the node by its id.
fn allowed(caller: &Caller, node_id: NodeId) -> Result<Maker, AdminFailure> {
    if !reaches(caller, node_id) {
        let address = address(node_id);
        let missing = Pattern::parse(&address).map_err(|wrong| usage(wrong.as_str().to_owned()))?;
        let wider = Wider::Scope { action: Action::Write, pattern: missing.into() };
        return Err(OperatorError::from(wider).into());
    }
    Ok(caller.authority().maker().map_err(OperatorError::from)?)
}

/// Returns `true` if the caller may give the node tasks, and so may read what they are about.
fn reaches(caller: &Caller, node_id: NodeId) -> bool {
    let address = address(node_id);
    Address::parse(&address)
        .is_ok_and(|address| caller.authority().reaches(Action::Write, &address))
}

fn address(node_id: NodeId) -> String {
    format!("{GATEWAY}/nodes/{node_id}/dispatches")
}

/// Finds a task by the beginning of its id.
async fn named(
    gateway: &Gateway,
    which: &str,
    prefix: &str,
) -> Result<(NodeId, DispatchStatus), AdminFailure> {
    let node_id = gateway.device_named(which).await?.entry.record.node_id;
    if let Ok(id) = id(prefix) {
        return Ok((node_id, gateway.dispatch(node_id, id).await?));
    }
    if prefix.len() < SHORTEST {
        return Err(usage(format!("a task is named by {SHORTEST} or more characters of its id")));
    }
    let all = gateway.dispatches(node_id, usize::MAX).await?;
    let begins =
        |status: &DispatchStatus| hex(status.stored.task.id.as_bytes()).starts_with(prefix);
    let mut found = all.into_iter().filter(begins);
    match (found.next(), found.next()) {
        (Some(status), None) => Ok((node_id, status)),
        (Some(_), Some(_)) => {
            Err(usage(format!("{prefix:?} begins the ids of several tasks; give more of it")))
        }
        (None, _) => Err(no_such(node_id, prefix).into()),
    }
}

/// Returns a text that differs whenever a client has to be told of a change.
fn seen(status: &DispatchStatus) -> String {
    let mut hasher = DefaultHasher::new();
    (status.stored.life, &status.progress).hash(&mut hasher);
    format!("{:016x}", hasher.finish())
}

pub(in crate::http) fn view(status: &DispatchStatus, told: bool) -> DispatchView {
    let DispatchStatus { stored, progress } = status;
    let StoredDispatch { task, life, report, made_at, changed_at } = stored;
    let (result, reason) = match report {
        Some(DispatchReport::Result(bytes)) => (Some(payload(bytes)), None),
        Some(DispatchReport::Reason(text)) => (None, Some(text.clone())),
        None => (None, None),
    };
    let progress = progress.clone().unwrap_or_default();
    DispatchView {
        id: hex(task.id.as_bytes()),
        node_id: task.node_id.to_string(),
        capability: task.capability.clone(),
        state: life.state.as_str().to_owned(),
        over: life.state.is_over(),
        unknown_for_good: life.state.is_over() && life.state.as_str() == "unknown",
        cancelling: life.cancelling,
        late: life.late.map(|late| late.as_str().to_owned()),
        may_retry: life.may_retry(),
        seen: seen(status),
        number: life.number,
        made_at: (*made_at).into(),
        deadline: life.deadline.into(),
        changed_at: (*changed_at).into(),
        made_by: made_by(task.maker),
        percent: progress.percent,
        note: progress.note,
        input: told.then(|| payload(&task.input)),
        result: result.filter(|_| told),
        reason,
    }
}

/// Returns a payload as JSON: what it is, or else a string of it.
fn payload(bytes: &[u8]) -> Value {
    match (serde_json::from_slice(bytes), std::str::from_utf8(bytes)) {
        (Ok(value), _) => value,
        (Err(_), Ok(text)) => Value::String(text.to_owned()),
        (Err(_), Err(_)) => {
            let mut out = vec![0; bytes.len().div_ceil(3) * 4];
            let text = base64url::encode(bytes, &mut out).unwrap_or_default();
            Value::String(format!("base64url:{text}"))
        }
    }
}
