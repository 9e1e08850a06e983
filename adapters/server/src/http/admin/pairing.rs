//! The pairing window, and the PINs and codes that are valid.

use std::time::Duration;

use axum::Json;
use handfast_core::crypto::fingerprint::Fingerprint;
use handfast_core::limits::GUESSES_PER_CODE;
use handfast_core::registry::codes::{CodeId, Guesser, Kind};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::Caller;
use super::caller::{Acting, by_operator, made_by};
use super::extract::{Body, Path, Query};
use super::failure::AdminFailure;
use super::paging::{self, PageQuery};
use super::permissions::PermissionsView;
use super::time::Time;
use crate::gateway::Gateway;
use crate::hex::hex;
use crate::operator::codes::{CodeKind, LiveCode, MintedCode, NewCode};
use crate::operator::pins::ShownPin;
use crate::operator::window::PairingStatus;

/// The answer to `GET /api/v1/pairing`.
#[derive(Debug, Serialize, Deserialize, ToSchema)]
pub struct PairingView {
    /// `true` while PINs are shown and may be entered.
    pub open: bool,
    /// `true` if too many wrong PINs have closed pairing, until it is opened again.
    pub locked: bool,
    /// Time when pairing was opened.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub since: Option<Time>,
    /// Time when pairing closes by itself; absent if it does not.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub closes_at: Option<Time>,
    /// Number of wrong PINs since pairing was opened.
    pub wrong_pins: u8,
    /// Sources of the wrong PINs.
    #[serde(default)]
    pub guessers: Vec<GuesserView>,
    /// Fingerprint of this gateway, for nodes to compare.
    pub fingerprint: String,
}

/// A source of wrong PINs since pairing was opened.
#[derive(Debug, Serialize, Deserialize, ToSchema)]
pub struct GuesserView {
    /// An IPv4 address, or the /64 of an IPv6 address.
    pub source: String,
    /// Number of wrong PINs from this source.
    pub wrong_pins: u8,
    /// `true` if this source is locked out, while pairing is open to others.
    pub locked: bool,
}

/// The answer to `GET /api/v1/pairing/codes`.
#[derive(Debug, Serialize, Deserialize, ToSchema)]
pub struct CodeList {
    /// PINs and codes, the newest first.
    #[serde(rename = "items")]
    pub codes: Vec<CodeView>,
    /// Cursor of the next page, as `after` of the next request; `null` on the last page.
    #[schema(required)]
    pub next: Option<String>,
    /// Number of items of all pages.
    pub total: usize,
}

/// A valid PIN or code, without its secret.
#[derive(Debug, Serialize, Deserialize, ToSchema)]
pub struct CodeView {
    /// Id of the PIN or code: 32 hex digits.
    pub id: String,
    /// `pin`, `code`, or `provisioning` for a token.
    pub kind: String,
    /// The name of the node that may register by a provisioning token.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub node_id: Option<String>,
    /// The public part of a code.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub selector: Option<String>,
    /// Fingerprint of the node that a PIN was shown for.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub fingerprint: Option<String>,
    /// The label for people.
    pub label: String,
    /// Permissions of a node that pairs with the code; absent for a PIN.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub permissions: Option<PermissionsView>,
    /// Time when it was minted.
    pub created_at: Time,
    /// End of its validity.
    pub expires_at: Time,
    /// Number of wrong guesses that are left.
    pub guesses_left: u8,
    /// Number of nodes that may still use it.
    pub uses_left: u8,
    /// The maker of a code, or the opener of pairing for a PIN: `operator`, or `session ID`; it
    /// ends with that session.
    #[serde(default = "by_operator")]
    pub made_by: String,
}

/// The answer to `GET /api/v1/pairing/pins`.
#[derive(Serialize, Deserialize, ToSchema)]
pub struct PinList {
    /// PINs that nodes show or wait for, the oldest first.
    #[serde(rename = "items")]
    pub pins: Vec<PinView>,
    /// Cursor of the next page, as `after` of the next request; `null` on the last page.
    #[schema(required)]
    pub next: Option<String>,
    /// Number of items of all pages.
    pub total: usize,
}

/// A PIN that pairs the node with this key.
#[derive(Serialize, Deserialize, ToSchema)]
pub struct PinView {
    /// Id of the PIN: 32 hex digits.
    pub id: String,
    /// The digits or letters; absent for callers that may not pair with it.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub pin: Option<String>,
    /// The node's own name for itself, and its room.
    pub label: String,
    /// Fingerprint of the node's static key, for comparison.
    pub fingerprint: String,
    /// The address that it asked from: an IPv4 address, or the /64 of an IPv6 address.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub source: Option<String>,
    /// End of its validity.
    pub expires_at: Time,
    /// Number of wrong guesses that are left.
    pub guesses_left: u8,
}

/// The answer to minting a code: the only time the code is shown.
#[derive(Serialize, Deserialize, ToSchema)]
pub struct MintedView {
    /// Id of the code: 32 hex digits.
    pub id: String,
    /// The public part of the code.
    pub selector: String,
    /// The whole code, for typing.
    pub code: String,
    /// End of its validity.
    pub expires_at: Time,
    /// Fingerprint of this gateway.
    pub fingerprint: String,
    /// Text of the QR code, or for copying; absent for a typed code, and if no address of the
    /// gateway is known.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub invitation: Option<String>,
    /// Addresses at which nodes reach this gateway, as far as it knows them.
    #[serde(default)]
    pub addresses: Vec<String>,
    /// Permissions of a node that pairs with the code.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub permissions: Option<PermissionsView>,
    /// Id of the delivery, to be confirmed once the code was shown.
    #[serde(skip_serializing_if = "String::is_empty", default)]
    pub delivery: String,
}

/// The answer to minting many codes at once: the only time they are shown.
#[derive(Serialize, Deserialize, ToSchema)]
pub struct MintedList {
    /// The codes, each with a delivery of its own.
    pub codes: Vec<MintedView>,
}

/// Whether pairing by PIN is open.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct WindowBody {
    /// Opens or closes it.
    open: bool,
    /// Time for which it is open, in seconds.
    #[serde(rename = "for_seconds")]
    open_for: Option<u64>,
}

/// The terms of a code.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct MintBody {
    /// Permissions of nodes that pair with it; the usual ones if left out.
    permissions: Option<PermissionsView>,
    /// Life of the code in seconds.
    #[serde(rename = "expires_seconds")]
    expires: Option<u64>,
    /// Number of nodes that may use it; 1 if left out.
    uses: Option<u64>,
    /// Life of what it grants, in seconds.
    #[serde(rename = "grant_expires_seconds")]
    grant_expires: Option<u64>,
    /// A label for people.
    #[serde(default)]
    label: String,
    /// Form of the code.
    #[serde(default)]
    kind: KindBody,
    /// Number of codes, only where many are made at once.
    count: Option<usize>,
    /// Addresses that the invitation names; those of the gateway if left out.
    #[serde(default)]
    addresses: Vec<String>,
}

/// The form of a code.
#[derive(Deserialize, Default, Clone, Copy, ToSchema)]
#[serde(rename_all = "lowercase")]
pub(super) enum KindBody {
    /// Scanned or copied: a secret of 130 bits.
    #[default]
    Qr,
    /// Typed: letters and digits, a secret of 40 bits.
    Letters,
    /// Typed: as long as a PIN, but at least six characters.
    Typed,
}

/// Reports on pairing by PIN.
#[utoipa::path(
    get,
    path = "/api/v1/pairing",
    tag = "Pairing",
    responses((status = 200, body = PairingView)),
)]
pub(in crate::http) async fn show(
    Acting(gateway): Acting,
) -> Result<Json<PairingView>, AdminFailure> {
    Ok(Json(view(&gateway, gateway.pairing_status().await?)))
}

/// Opens pairing by PIN for a time, or closes it.
#[utoipa::path(
    post,
    path = "/api/v1/pairing",
    tag = "Pairing",
    request_body = WindowBody,
    responses((status = 200, body = PairingView)),
)]
pub(super) async fn set(
    Acting(gateway): Acting,
    caller: Caller,
    Body(body): Body<WindowBody>,
) -> Result<Json<PairingView>, AdminFailure> {
    let status = match body {
        WindowBody { open: true, open_for } => {
            gateway.open_pairing_by(caller.authority(), open_for.map(Duration::from_secs)).await?
        }
        WindowBody { open: false, open_for: None } => gateway.close_pairing().await?,
        WindowBody { open: false, open_for: Some(_) } => {
            return Err(AdminFailure::Usage(
                "pairing is opened for a time, and closed for good: leave out `for_seconds`"
                    .to_owned(),
            ));
        }
    };
    Ok(Json(view(&gateway, status)))
}

/// Lists usable PINs, codes and provisioning tokens, without their secrets.
#[utoipa::path(
    get,
    path = "/api/v1/pairing/codes",
    tag = "Pairing",
    params(PageQuery),
    responses((status = 200, body = CodeList)),
)]
pub(super) async fn codes(
    Acting(gateway): Acting,
    Query(query): Query<PageQuery>,
) -> Result<Json<CodeList>, AdminFailure> {
    let codes = read(&gateway).await?;
    let page = paging::cut(codes, query.limit, query.after.as_deref(), |code| code.id.clone())?;
    Ok(Json(CodeList { codes: page.items, next: page.next, total: page.total }))
}

/// Lists the PINs that pair a node now, for callers that may pair with them.
#[utoipa::path(
    get,
    path = "/api/v1/pairing/pins",
    tag = "Pairing",
    params(PageQuery),
    responses((status = 200, body = PinList)),
)]
pub(super) async fn pins(
    Acting(gateway): Acting,
    caller: Caller,
    Query(query): Query<PageQuery>,
) -> Result<Json<PinList>, AdminFailure> {
    let pins = read_pins(&gateway, &caller).await?;
    let page = paging::cut(pins, query.limit, query.after.as_deref(), |pin| pin.id.clone())?;
    Ok(Json(PinList { pins: page.items, next: page.next, total: page.total }))
}

/// Mints a code, which this answer alone tells: confirm its delivery. The body may be empty.
#[utoipa::path(
    post,
    path = "/api/v1/pairing/codes",
    tag = "Pairing",
    request_body = MintBody,
    responses((status = 200, body = MintedView)),
)]
pub(super) async fn mint(
    Acting(gateway): Acting,
    caller: Caller,
    Body(body): Body<MintBody>,
) -> Result<Json<MintedView>, AdminFailure> {
    if body.count.is_some() {
        return Err(AdminFailure::Usage(
            "one code is made here; POST /api/v1/pairing/codes/batch makes many".to_owned(),
        ));
    }
    let minted = gateway.mint_code_by(caller.authority(), body.new_code()?).await?;
    Ok(Json(body.shown(&gateway, minted).await?))
}

/// Makes many codes on the same terms, all of them or none.
#[utoipa::path(
    post,
    path = "/api/v1/pairing/codes/batch",
    tag = "Pairing",
    request_body = MintBody,
    responses((status = 200, body = MintedList)),
)]
pub(super) async fn mint_many(
    Acting(gateway): Acting,
    caller: Caller,
    Body(each): Body<MintBody>,
) -> Result<Json<MintedList>, AdminFailure> {
    let count = each.count.ok_or_else(|| {
        AdminFailure::Usage("say how many codes are to be made: `count` is missing".to_owned())
    })?;
    let minted = gateway.mint_codes_by(caller.authority(), each.new_code()?, count).await?;
    let deliveries: Vec<_> = minted.iter().map(|minted| minted.delivery.id).collect();
    let mut codes = Vec::with_capacity(minted.len());
    for minted in minted {
        match each.shown(&gateway, minted).await {
            Ok(view) => codes.push(view),
            Err(wrong) => {
                // The answer is an error, so nobody would ever see these codes.
                gateway.settle_deliveries(deliveries, false).await?;
                return Err(wrong);
            }
        }
    }
    Ok(Json(MintedList { codes }))
}

impl MintBody {
    fn new_code(&self) -> Result<NewCode, AdminFailure> {
        Ok(NewCode {
            permissions: self.permissions.as_ref().map(PermissionsView::scopes).transpose()?,
            expires: self.expires.map(Duration::from_secs),
            uses: self.uses.unwrap_or(NewCode::default().uses),
            grant_for: self.grant_expires.map(Duration::from_secs),
            label: self.label.clone(),
            kind: match self.kind {
                KindBody::Qr => CodeKind::Qr,
                KindBody::Letters => CodeKind::Letters,
                KindBody::Typed => CodeKind::Typed,
            },
        })
    }

    /// Returns the view of a minted code, with its invitation if it is scanned. A code that has none
    /// for a wrong address is withdrawn.
    async fn shown(
        &self,
        gateway: &Gateway,
        minted: MintedCode,
    ) -> Result<MintedView, AdminFailure> {
        let delivery = hex(minted.delivery.id.as_bytes());
        let (id, selector, text, expires) =
            // Read here, because the invitation takes the code.
            (minted.id, minted.code.selector, minted.text(), minted.expires);
        let permissions = PermissionsView::of(&minted.permissions);
        let addresses = gateway.addresses(&self.addresses);
        // A typed code needs no invitation, and without an address there can be none.
        let invites = matches!(self.kind, KindBody::Qr) && !addresses.is_empty();
        let invitation =
            match invites.then(|| gateway.invitation(minted, &self.addresses)).transpose() {
                Ok(invitation) => invitation,
                Err(wrong) => {
                    // The answer is an error, so nobody would ever see this code.
                    gateway.withdraw_code(id).await?;
                    return Err(wrong.into());
                }
            };
        Ok(MintedView {
            id: hex(id.as_bytes()),
            selector: selector.as_str().to_owned(),
            code: text,
            expires_at: expires.into(),
            fingerprint: gateway.fingerprint().to_string(),
            invitation,
            addresses: addresses.to_vec(),
            permissions: Some(permissions),
            delivery,
        })
    }
}

/// Withdraws a PIN, code or provisioning token, and lists those that are left.
#[utoipa::path(
    delete,
    path = "/api/v1/pairing/codes/{id}",
    tag = "Pairing",
    responses((status = 200, body = CodeList)),
)]
pub(super) async fn withdraw(
    Acting(gateway): Acting,
    Path(id): Path<String>,
) -> Result<Json<CodeList>, AdminFailure> {
    let named = code_id(&id).ok_or_else(|| {
        AdminFailure::Usage(format!("{id:?} is no id of a code: it has 32 hex digits"))
    })?;
    gateway.withdraw_code(named).await?;
    codes(Acting(gateway), Query(PageQuery { limit: None, after: None })).await
}

/// Returns all usable PINs and codes, without their secrets.
pub(in crate::http) async fn read(gateway: &Gateway) -> Result<Vec<CodeView>, AdminFailure> {
    Ok(gateway.codes().await?.iter().map(code).collect())
}

/// Returns all PINs that pair a node now, as far as the caller may know them.
pub(in crate::http) async fn read_pins(
    gateway: &Gateway,
    caller: &Caller,
) -> Result<Vec<PinView>, AdminFailure> {
    let shown = gateway.shown_pins(caller.authority()).await?;
    Ok(shown.iter().map(pin).collect())
}

fn guesser(guesser: &Guesser) -> GuesserView {
    GuesserView {
        source: guesser.source.to_string(),
        wrong_pins: guesser.guesses,
        locked: guesser.is_locked(),
    }
}

fn view(gateway: &Gateway, status: PairingStatus) -> PairingView {
    PairingView {
        open: status.open,
        locked: status.locked,
        since: status.since.map(Time::from),
        closes_at: status.closes.map(Time::from),
        wrong_pins: status.wrong,
        guessers: status.guessers.iter().map(guesser).collect(),
        fingerprint: gateway.fingerprint().to_string(),
    }
}

fn code(live: &LiveCode) -> CodeView {
    let (kind, selector, fingerprint) = match live.counted.kind {
        Kind::Pin(key) => ("pin", None, Some(Fingerprint::of(&key).to_string())),
        Kind::Code(selector) => ("code", Some(selector.as_str().to_owned()), None),
        Kind::Provisioning => ("provisioning", None, None),
    };
    CodeView {
        id: hex(live.id.as_bytes()),
        kind: kind.to_owned(),
        node_id: live.provisions.as_ref().map(|name| name.as_str().to_owned()),
        // A PIN brings what its node asks for and an operator decides.
        permissions: fingerprint.is_none().then(|| PermissionsView::of(&live.permissions)),
        selector,
        fingerprint,
        label: live.label.clone(),
        created_at: live.created.into(),
        expires_at: live.counted.expires.into(),
        guesses_left: GUESSES_PER_CODE.saturating_sub(live.counted.guesses),
        uses_left: live.counted.uses_left,
        made_by: made_by(live.maker),
    }
}

fn pin(shown: &ShownPin) -> PinView {
    PinView {
        id: hex(shown.id.as_bytes()),
        pin: shown.pin.as_ref().map(|pin| pin.expose().to_owned()),
        label: shown.label.clone(),
        fingerprint: shown.fingerprint.to_string(),
        source: shown.source.map(|source| source.to_string()),
        expires_at: shown.expires.into(),
        guesses_left: shown.left,
    }
}

fn code_id(text: &str) -> Option<CodeId> {
    let all_hex = text.len() == 32 && text.bytes().all(|byte| byte.is_ascii_hexdigit());
    let number = all_hex.then(|| u128::from_str_radix(text, 16).ok())??;
    Some(CodeId::from_bytes(number.to_be_bytes()))
}
