//! Senders on channels: pending, allowed and blocked ones; and the gate for programs that hold a
//! channel themselves.

use axum::Json;
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use handfast_core::UnixTime;
use handfast_core::registry::authority::Maker;
use handfast_store::{
    ListedSender, SenderChange, SenderFilter, SenderName, SenderStanding, via_session,
};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use utoipa::{IntoParams, ToSchema};

use super::Caller;
use super::caller::Acting;
use super::extract::{Body, Path, Query};
use super::failure::AdminFailure;
use super::paging;
use super::time::Time;
use crate::gateway::Gateway;
use crate::gateway::operator_types::OperatorError;
use crate::hex::hex;
use crate::inbound::{Dropped, Incoming, MessageAdmission};

/// The `via` value of senders that an operator allowed on the command line, as in the original.
const VIA: &str = "cli";

/// The answer to `GET /api/v1/inbound`.
#[derive(Debug, Serialize, Deserialize, ToSchema)]
pub struct SenderList {
    /// Pending senders first, then allowed ones, then blocked ones; each group in order of the
    /// names.
    #[serde(rename = "items")]
    pub senders: Vec<SenderView>,
    /// Cursor of the next page, as `after` of the next request; `null` on the last page.
    #[schema(required)]
    pub next: Option<String>,
}

/// A sender on a channel.
#[derive(Debug, Serialize, Deserialize, ToSchema)]
pub struct SenderView {
    /// Name of the channel.
    pub channel: String,
    /// Account on the channel; empty for a block that covers all accounts.
    pub account: String,
    /// The sender's id in the channel's canonical spelling.
    pub sender: String,
    /// `pending`, `allowed`, `revoked` or `blocked`. An allowance that has expired is still
    /// `allowed`, with `until` in the past.
    pub state: String,
    /// Start of the state.
    pub since: Time,
    /// The code that allows a pending sender.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub code: Option<String>,
    /// Data that the channel gave about a pending sender.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub meta: Option<Value>,
    /// The way in which the sender was allowed.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub via: Option<String>,
    /// End of the allowance; absent if it has none.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub until: Option<Time>,
    /// Time of the revocation.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub revoked_at: Option<Time>,
}

/// The answer to an approval.
#[derive(Debug, Serialize, Deserialize, ToSchema)]
pub struct ApprovedView {
    /// Name of the channel.
    pub channel: String,
    /// Account on the channel.
    pub account: String,
    /// The sender that is allowed from now on.
    pub sender: String,
}

/// The answer to every other decision.
#[derive(Debug, Serialize, Deserialize, ToSchema)]
pub struct ChangedView {
    /// Number of changed entries; 0 if the decision was in force already, or the sender is unknown.
    pub changed: u64,
}

/// The answer to a seed.
#[derive(Debug, Serialize, Deserialize, ToSchema)]
pub struct SeededView {
    /// Number of senders that were not allowed before.
    pub added: u64,
}

/// The gate's decision about a message. The message may be handled only if `decision` is `admit`.
#[derive(Debug, Serialize, Deserialize, ToSchema)]
pub struct AdmissionView {
    /// `admit`, `challenge` or `drop`.
    pub decision: String,
    /// The sender's id in the channel's canonical spelling.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub sender: Option<String>,
    /// The code with which the operator allows a challenged sender.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub code: Option<String>,
    /// `true` if the sender is to receive `text` now; `false` if it received it recently.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub reply: Option<bool>,
    /// The text for the sender.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub text: Option<String>,
    /// The reason of a drop: `not_a_sender`, `absent`, `blocked`, `full` or `clock_in_doubt`.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub reason: Option<String>,
}

/// The answer to sending a QR code.
#[derive(Debug, Serialize, Deserialize, ToSchema)]
pub struct SentView {
    /// Always `true`; a failure is an error answer.
    pub sent: bool,
}

#[derive(Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
#[serde(deny_unknown_fields)]
pub(super) struct SendersQuery {
    /// Name of the channel; all channels if left out.
    channel: Option<String>,
    /// Lists allowed and blocked senders, too.
    #[serde(default)]
    all: bool,
    /// Lists all, and revoked allowances, too.
    #[serde(default)]
    include_revoked: bool,
    /// Maximum number of items, from 1 to 500; 500 if left out.
    limit: Option<usize>,
    /// Cursor of the page: the `next` of the page before.
    after: Option<String>,
}

/// The approval of a sender.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct ApproveBody {
    /// The code that the sender was given.
    code: String,
    /// End of the allowance; none if left out.
    until: Option<Time>,
}

/// A sender.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct SenderBody {
    /// Name of the channel.
    channel: String,
    /// Id of the sender on the channel.
    sender: String,
    /// Account on the channel; all accounts if left out.
    account: Option<String>,
}

/// Senders of one account.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct SeedBody {
    /// Name of the channel.
    channel: String,
    /// Account on the channel.
    account: String,
    /// Ids of the senders on the channel.
    senders: Vec<String>,
}

/// A message that came over a channel.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct AdmitBody {
    /// Name of the channel.
    channel: String,
    /// Account on the channel.
    account: String,
    /// Id of the sender; left out if the message has none.
    sender: Option<String>,
    /// Data about the sender for people.
    #[schema(value_type = Option<Object>)]
    meta: Option<Map<String, Value>>,
}

/// A picture for somebody on a channel.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct QrBody {
    /// Account on the channel.
    account: String,
    /// Id of the receiver on the channel.
    to: String,
    /// The picture: PNG in base64.
    png_base64: String,
}

/// Lists senders: pending ones, or all.
#[utoipa::path(
    get,
    path = "/api/v1/inbound",
    tag = "Senders",
    params(SendersQuery),
    responses((status = 200, body = SenderList)),
)]
pub(super) async fn list(
    Acting(gateway): Acting,
    caller: Caller,
    Query(query): Query<SendersQuery>,
) -> Result<Json<SenderList>, AdminFailure> {
    let filter = SenderFilter {
        channel: query.channel,
        all: query.all || query.include_revoked,
        include_revoked: query.include_revoked,
    };
    let most = paging::limit(query.limit)?;
    Ok(Json(page(&gateway, &caller, filter, query.after.as_deref(), most).await?))
}

fn shown(caller: &Caller, senders: Vec<ListedSender>) -> SenderList {
    let mut senders: Vec<_> = senders.into_iter().map(view).collect();
    if caller.authority().is_viewer() {
        // The code would allow its reader to admit the sender.
        senders.iter_mut().for_each(|sender| sender.code = None);
    }
    SenderList { senders, next: None }
}

/// Returns a page of senders as far as the caller may know them: at most `limit`, after the place
/// that `after` names.
pub(in crate::http) async fn page(
    gateway: &Gateway,
    caller: &Caller,
    filter: SenderFilter,
    after: Option<&str>,
    limit: usize,
) -> Result<SenderList, AdminFailure> {
    let after = paging::after(after, place)?;
    // One more shows that there is a next page.
    let mut senders = gateway.gate().page(filter, after, limit.saturating_add(1)).await?;
    let more = senders.len() > limit;
    senders.truncate(limit);
    let next = senders.last().filter(|_| more).map(|last| {
        let SenderName { channel, account, sender } = &last.name;
        let names = [channel, account, sender].map(|name| hex(name.as_bytes()));
        format!("{}.{}", last.kind(), names.join("."))
    });
    Ok(SenderList { next, ..shown(caller, senders) })
}

/// Reads the place of a sender in the list: its kind, and its name in hexadecimal digits.
fn place(text: &str) -> Option<ListedSender> {
    let mut parts = text.split('.');
    let kind = parts.next()?;
    let mut name = || {
        let digits = parts.next()?.as_bytes();
        let (pairs, []) = digits.as_chunks::<2>() else { return None };
        let byte = |pair: &[u8; 2]| u8::from_str_radix(std::str::from_utf8(pair).ok()?, 16).ok();
        String::from_utf8(pairs.iter().map(byte).collect::<Option<_>>()?).ok()
    };
    let name = SenderName { channel: name()?, account: name()?, sender: name()? };
    ListedSender::at(kind, name).filter(|_| parts.next().is_none())
}

/// Allows the sender that waits with this code.
#[utoipa::path(
    post,
    path = "/api/v1/inbound/approve",
    tag = "Senders",
    request_body = ApproveBody,
    responses((status = 200, body = ApprovedView)),
)]
pub(super) async fn approve(
    Acting(gateway): Acting,
    caller: Caller,
    Body(body): Body<ApproveBody>,
) -> Result<Json<ApprovedView>, AdminFailure> {
    let ApproveBody { code, until } = body;
    let (via, maker) = by(&caller)?;
    let until = bounded(&caller, until.map(UnixTime::from))?;
    let SenderName { channel, account, sender } =
        gateway.gate_by().approve(&code, &via, until).await?;
    gateway.check_maker(maker).await?;
    Ok(Json(ApprovedView { channel, account, sender }))
}

/// Rejects a sender that waits; without an account, on all accounts.
#[utoipa::path(
    post,
    path = "/api/v1/inbound/reject",
    tag = "Senders",
    request_body = SenderBody,
    responses((status = 200, body = ChangedView)),
)]
pub(super) async fn reject(
    acting: Acting,
    body: Body<SenderBody>,
) -> Result<Json<ChangedView>, AdminFailure> {
    decide(acting, body, SenderChange::Reject).await
}

/// Blocks a sender; without an account, on all accounts.
#[utoipa::path(
    post,
    path = "/api/v1/inbound/block",
    tag = "Senders",
    request_body = SenderBody,
    responses((status = 200, body = ChangedView)),
)]
pub(super) async fn block(
    acting: Acting,
    body: Body<SenderBody>,
) -> Result<Json<ChangedView>, AdminFailure> {
    decide(acting, body, SenderChange::Block).await
}

/// Ends the block of a sender; without an account, on all accounts.
#[utoipa::path(
    post,
    path = "/api/v1/inbound/unblock",
    tag = "Senders",
    request_body = SenderBody,
    responses((status = 200, body = ChangedView)),
)]
pub(super) async fn unblock(
    acting: Acting,
    body: Body<SenderBody>,
) -> Result<Json<ChangedView>, AdminFailure> {
    decide(acting, body, SenderChange::Unblock).await
}

/// Ends the allowance of a sender; without an account, on all accounts.
#[utoipa::path(
    post,
    path = "/api/v1/inbound/revoke",
    tag = "Senders",
    request_body = SenderBody,
    responses((status = 200, body = ChangedView)),
)]
pub(super) async fn revoke(
    acting: Acting,
    body: Body<SenderBody>,
) -> Result<Json<ChangedView>, AdminFailure> {
    decide(acting, body, SenderChange::Revoke).await
}

/// Removes the name of a sender that is out, from the registry and from the audit log.
///
/// Entries of the log keep a reference that tells nothing. Without an account, the names on all
/// accounts are removed. Nothing changes if the sender waits, is allowed or is blocked.
#[utoipa::path(
    post,
    path = "/api/v1/inbound/forget",
    tag = "Senders",
    request_body = SenderBody,
    responses((status = 200, body = ChangedView)),
)]
pub(super) async fn forget(
    acting: Acting,
    body: Body<SenderBody>,
) -> Result<Json<ChangedView>, AdminFailure> {
    decide(acting, body, SenderChange::Forget).await
}

async fn decide(
    Acting(gateway): Acting,
    Body(body): Body<SenderBody>,
    change: SenderChange,
) -> Result<Json<ChangedView>, AdminFailure> {
    let SenderBody { channel, sender, account } = body;
    let changed = gateway.gate_by().change(&channel, account.as_deref(), &sender, change).await?;
    Ok(Json(ChangedView { changed }))
}

/// Allows many senders of one account.
#[utoipa::path(
    post,
    path = "/api/v1/inbound/seed",
    tag = "Senders",
    request_body = SeedBody,
    responses((status = 200, body = SeededView)),
)]
pub(super) async fn seed(
    Acting(gateway): Acting,
    caller: Caller,
    Body(body): Body<SeedBody>,
) -> Result<Json<SeededView>, AdminFailure> {
    let SeedBody { channel, account, senders } = body;
    let (via, maker) = by(&caller)?;
    // An operator's seed is marked as such; a session's names the session.
    let via = if maker == Maker::Operator { "seed" } else { &via };
    let added = gateway
        .gate_by()
        .seed_until(&channel, &account, senders, via, bounded(&caller, None)?)
        .await?;
    gateway.check_maker(maker).await?;
    Ok(Json(SeededView { added }))
}

/// Returns the `via` value and the maker for senders that this caller allows. A session's senders
/// are allowed until the session ends.
fn by(caller: &Caller) -> Result<(String, Maker), OperatorError> {
    let maker = caller.authority().maker()?;
    Ok((maker.session().map_or_else(|| VIA.to_owned(), via_session), maker))
}

fn bounded(caller: &Caller, until: Option<UnixTime>) -> Result<Option<UnixTime>, OperatorError> {
    Ok(Gateway::lets_in_until(caller.authority(), until)?)
}

/// Queries the gate about a message, for a program that holds a channel itself.
#[utoipa::path(
    post,
    path = "/api/v1/inbound/admit",
    tag = "Senders",
    request_body = AdmitBody,
    responses((status = 200, body = AdmissionView)),
)]
pub(super) async fn admit(
    Acting(gateway): Acting,
    Body(body): Body<AdmitBody>,
) -> Result<Json<AdmissionView>, AdminFailure> {
    let AdmitBody { channel, account, sender, meta } = body;
    let meta = meta.map(|meta| Value::Object(meta).to_string());
    let message = Incoming {
        channel: &channel,
        account: &account,
        sender: sender.as_deref(),
        policy: None,
        meta: meta.as_deref(),
    };
    let nothing = AdmissionView {
        decision: String::new(),
        sender: None,
        code: None,
        reply: None,
        text: None,
        reason: None,
    };
    Ok(Json(match gateway.gate().should_admit_elsewhere(message).await? {
        MessageAdmission::Admit(admitted) => AdmissionView {
            decision: "admit".to_owned(),
            sender: admitted.sender().map(str::to_owned),
            ..nothing
        },
        MessageAdmission::Challenge(challenge) => AdmissionView {
            decision: "challenge".to_owned(),
            sender: Some(challenge.sender.sender),
            code: Some(challenge.code.to_string()),
            reply: Some(challenge.reply),
            // The text is for the sender, who is answered only if a reply is due.
            text: challenge.reply.then_some(challenge.text),
            ..nothing
        },
        MessageAdmission::Drop(dropped) => AdmissionView {
            decision: "drop".to_owned(),
            reason: Some(reason(dropped).to_owned()),
            ..nothing
        },
    }))
}

/// Sends a picture over a channel.
#[utoipa::path(
    post,
    path = "/api/v1/channels/{channel}/qr",
    tag = "Senders",
    request_body = QrBody,
    responses((status = 200, body = SentView)),
)]
pub(super) async fn qr(
    Acting(gateway): Acting,
    Path(channel): Path<String>,
    Body(body): Body<QrBody>,
) -> Result<Json<SentView>, AdminFailure> {
    let QrBody { account, to, png_base64 } = body;
    let png = STANDARD
        .decode(png_base64)
        .map_err(|_| AdminFailure::Usage("png_base64 is no base64".to_owned()))?;
    gateway.gate().send_qr(&channel, &account, &to, &png).await?;
    Ok(Json(SentView { sent: true }))
}

fn view(listed: ListedSender) -> SenderView {
    let SenderName { channel, account, sender } = listed.name;
    let plain = |state: &str, since: UnixTime| SenderView {
        channel,
        account,
        sender,
        state: state.to_owned(),
        since: since.into(),
        code: None,
        meta: None,
        via: None,
        until: None,
        revoked_at: None,
    };
    match listed.standing {
        SenderStanding::Pending { code, created_at, meta } => SenderView {
            code: Some(code.to_string()),
            // Imported data may not be JSON; it is then shown as text.
            meta: Some(serde_json::from_str(&meta).unwrap_or(Value::String(meta))),
            ..plain("pending", created_at)
        },
        SenderStanding::Allowed { at, via, until, revoked_at } => SenderView {
            via: Some(via),
            until: until.map(Time::from),
            revoked_at: revoked_at.map(Time::from),
            ..plain(if revoked_at.is_some() { "revoked" } else { "allowed" }, at)
        },
        SenderStanding::Blocked { at } => plain("blocked", at),
    }
}

const fn reason(dropped: Dropped) -> &'static str {
    match dropped {
        Dropped::NotASender => "not_a_sender",
        Dropped::Nobody => "absent",
        Dropped::Blocked => "blocked",
        Dropped::Full => "full",
        Dropped::ClockInDoubt => "clock_in_doubt",
    }
}
