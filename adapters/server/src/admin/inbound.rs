//! Those who write over channels: who waits, who was let in, who is blocked; and the gate for
//! programs that hold a channel themselves.

use axum::Json;
use axum::body::Bytes;
use axum::extract::rejection::QueryRejection;
use axum::extract::{Path, Query, State};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use handfast_core::registry::authority::Maker;
use handfast_core::time::UnixTime;
use handfast_store::{
    ListedSender, SenderChange, SenderFilter, SenderName, SenderStanding, via_session,
};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use super::Caller;
use super::failure::{Failure, parse};
use crate::gateway::{Gateway, OperatorError};
use crate::inbound::{Admission, Dropped, Incoming};

/// How those are marked that an operator let in, by the command line: as in the original.
const VIA: &str = "cli";

/// What `GET /api/v1/inbound` answers.
#[derive(Debug, Serialize, Deserialize)]
pub struct SenderList {
    /// Those that wait first, then those that were let in, then those that are blocked; each in
    /// order of their names.
    pub senders: Vec<SenderView>,
}

/// A sender. Times are Unix seconds.
#[derive(Debug, Serialize, Deserialize)]
pub struct SenderView {
    /// Over which channel.
    pub channel: String,
    /// To which account; empty in a block that is for all accounts.
    pub account: String,
    /// Who, in the channel's one spelling.
    pub sender: String,
    /// `pending`, `allowed`, `revoked` or `blocked`. What was allowed for a time that is over is
    /// `allowed`, with that time.
    pub state: String,
    /// Since when.
    pub since: u64,
    /// With what one that waits is let in.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub code: Option<String>,
    /// What its channel told of one that waits.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub meta: Option<Value>,
    /// By which way it was let in.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub via: Option<String>,
    /// Until when, if there is an end.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub until: Option<u64>,
    /// When that was taken back.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub revoked_at: Option<u64>,
}

/// What approving answers.
#[derive(Debug, Serialize, Deserialize)]
pub struct ApprovedView {
    /// Over which channel.
    pub channel: String,
    /// To which account.
    pub account: String,
    /// Who is let in from now on.
    pub sender: String,
}

/// What any other decision answers.
#[derive(Debug, Serialize, Deserialize)]
pub struct ChangedView {
    /// How many entries are others now; 0 where all was so already, or nothing is known of the
    /// sender.
    pub changed: u64,
}

/// What letting in many answers.
#[derive(Debug, Serialize, Deserialize)]
pub struct SeededView {
    /// How many are new.
    pub added: u64,
}

/// What the gate says of a message. Handle it only where `decision` is `admit`.
#[derive(Debug, Serialize, Deserialize)]
pub struct AdmissionView {
    /// `admit`, `challenge` or `drop`.
    pub decision: String,
    /// Who wrote it, in the channel's one spelling.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub sender: Option<String>,
    /// With what the operator lets in a sender that is challenged.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub code: Option<String>,
    /// Whether it is to be told so now; if not, it was just told.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub reply: Option<bool>,
    /// What it is to be told.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub text: Option<String>,
    /// Why a message is dropped: `not_a_sender`, `absent`, `blocked` or `full`.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub reason: Option<String>,
}

/// What sending a QR code answers.
#[derive(Debug, Serialize, Deserialize)]
pub struct SentView {
    /// Always; otherwise there is an error.
    pub sent: bool,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct ListQuery {
    channel: Option<String>,
    #[serde(default)]
    all: bool,
    #[serde(default)]
    include_revoked: bool,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct ApproveBody {
    code: String,
    until: Option<u64>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct SenderBody {
    channel: String,
    sender: String,
    account: Option<String>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct SeedBody {
    channel: String,
    account: String,
    senders: Vec<String>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct AdmitBody {
    channel: String,
    account: String,
    sender: Option<String>,
    meta: Option<Map<String, Value>>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct QrBody {
    account: String,
    to: String,
    png_base64: String,
}

pub(super) async fn list(
    State(gateway): State<Gateway>,
    caller: Caller,
    query: Result<Query<ListQuery>, QueryRejection>,
) -> Result<Json<SenderList>, Failure> {
    let Query(query) = query.map_err(|_| {
        Failure::Usage("give channel=NAME, all=true, include_revoked=true or none".to_owned())
    })?;
    let filter = SenderFilter {
        channel: query.channel,
        all: query.all || query.include_revoked,
        include_revoked: query.include_revoked,
    };
    let senders = gateway.gate().list(filter).await?;
    let mut senders: Vec<_> = senders.into_iter().map(view).collect();
    if caller.authority().is_viewer() {
        // Whoever knows the code can let its sender in.
        senders.iter_mut().for_each(|sender| sender.code = None);
    }
    Ok(Json(SenderList { senders }))
}

pub(super) async fn approve(
    State(gateway): State<Gateway>,
    caller: Caller,
    body: Bytes,
) -> Result<Json<ApprovedView>, Failure> {
    let ApproveBody { code, until } = parse(&body)?;
    let (via, maker) = by(&caller)?;
    let until = bounded(&caller, until.map(UnixTime::from_secs))?;
    let SenderName { channel, account, sender } =
        gateway.gate().approve(&code, &via, until).await?;
    gateway.check_maker(maker).await?;
    Ok(Json(ApprovedView { channel, account, sender }))
}

pub(super) async fn decide(
    State(gateway): State<Gateway>,
    Path(decision): Path<String>,
    body: Bytes,
) -> Result<Json<ChangedView>, Failure> {
    let change = match decision.as_str() {
        "reject" => SenderChange::Reject,
        "block" => SenderChange::Block,
        "unblock" => SenderChange::Unblock,
        "revoke" => SenderChange::Revoke,
        _ => return Err(Failure::NoRoute),
    };
    let SenderBody { channel, sender, account } = parse(&body)?;
    let changed = gateway.gate().change(&channel, account.as_deref(), &sender, change).await?;
    Ok(Json(ChangedView { changed }))
}

pub(super) async fn seed(
    State(gateway): State<Gateway>,
    caller: Caller,
    body: Bytes,
) -> Result<Json<SeededView>, Failure> {
    let SeedBody { channel, account, senders } = parse(&body)?;
    let (via, maker) = by(&caller)?;
    let via = if maker == Maker::Operator { "seed" } else { &via };
    let added = gateway
        .gate()
        .seed_until(&channel, &account, senders, via, bounded(&caller, None)?)
        .await?;
    gateway.check_maker(maker).await?;
    Ok(Json(SeededView { added }))
}

/// By which way a caller lets senders in, and who it is: whom a session lets in is let in until it
/// ends.
fn by(caller: &Caller) -> Result<(String, Maker), OperatorError> {
    let maker = caller.authority().maker()?;
    Ok((maker.session().map_or_else(|| VIA.to_owned(), via_session), maker))
}

fn bounded(caller: &Caller, until: Option<UnixTime>) -> Result<Option<UnixTime>, OperatorError> {
    Ok(Gateway::lets_in_until(caller.authority(), until)?)
}

pub(super) async fn admit(
    State(gateway): State<Gateway>,
    body: Bytes,
) -> Result<Json<AdmissionView>, Failure> {
    let AdmitBody { channel, account, sender, meta } = parse(&body)?;
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
        Admission::Admit(admitted) => AdmissionView {
            decision: "admit".to_owned(),
            sender: admitted.sender().map(str::to_owned),
            ..nothing
        },
        Admission::Challenge(challenge) => AdmissionView {
            decision: "challenge".to_owned(),
            sender: Some(challenge.sender.sender),
            code: Some(challenge.code.to_string()),
            reply: Some(challenge.reply),
            text: challenge.reply.then_some(challenge.text),
            ..nothing
        },
        Admission::Drop(dropped) => AdmissionView {
            decision: "drop".to_owned(),
            reason: Some(reason(dropped).to_owned()),
            ..nothing
        },
    }))
}

pub(super) async fn qr(
    State(gateway): State<Gateway>,
    Path(channel): Path<String>,
    body: Bytes,
) -> Result<Json<SentView>, Failure> {
    let QrBody { account, to, png_base64 } = parse(&body)?;
    let png = STANDARD
        .decode(png_base64)
        .map_err(|_| Failure::Usage("png_base64 is no base64".to_owned()))?;
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
        since: since.as_secs(),
        code: None,
        meta: None,
        via: None,
        until: None,
        revoked_at: None,
    };
    match listed.standing {
        SenderStanding::Pending { code, created_at, meta } => SenderView {
            code: Some(code.to_string()),
            // What was imported may be no JSON; it is shown all the same.
            meta: Some(serde_json::from_str(&meta).unwrap_or(Value::String(meta))),
            ..plain("pending", created_at)
        },
        SenderStanding::Allowed { at, via, until, revoked_at } => SenderView {
            via: Some(via),
            until: until.map(UnixTime::as_secs),
            revoked_at: revoked_at.map(UnixTime::as_secs),
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
