//! Provisioning tokens.

use std::time::Duration;

use axum::Json;
use axum::http::StatusCode;
use handfast_core::rfc3339;
use serde::{Deserialize, Serialize};

use super::Caller;
use super::caller::Acting;
use super::extract::Body;
use super::failure::AdminFailure;
use super::permissions::PermissionsView;
use crate::hex::hex;
use crate::operator::provisioning::NewProvisioningToken;

/// The answer to minting a provisioning token: the only time the token is shown.
#[derive(Serialize, Deserialize)]
pub struct ProvisioningTokenView {
    /// Id of the token, by which it is listed among the codes and withdrawn: 32 hex digits.
    pub id: String,
    /// The token, for the phone that sets up the node.
    pub token: String,
    /// The name by which the node will register.
    pub node_id: String,
    /// End of the token's validity, as RFC 3339 writes it.
    pub expires_at: String,
    /// Time until then, in seconds.
    pub expires_in: u64,
}

// Fields of other systems are ignored, as the dialect of command centers wants it.
#[derive(Deserialize)]
pub(super) struct TokenBody {
    node_id: Option<String>,
    permissions: Option<PermissionsView>,
    grant_expires: Option<u64>,
    #[serde(default)]
    label: String,
}

pub(super) async fn mint(
    Acting(gateway): Acting,
    caller: Caller,
    Body(body): Body<TokenBody>,
) -> Result<(StatusCode, Json<ProvisioningTokenView>), AdminFailure> {
    let new = NewProvisioningToken {
        // An empty name is refused, with words that say what is missing.
        node: body.node_id.unwrap_or_default(),
        permissions: body.permissions.as_ref().map(PermissionsView::scopes).transpose()?,
        grant_for: body.grant_expires.map(Duration::from_secs),
        label: body.label,
    };
    let minted = gateway.mint_provisioning_token_by(caller.authority(), new).await?;
    let view = ProvisioningTokenView {
        id: hex(minted.id.as_bytes()),
        token: minted.text.as_str().to_owned(),
        node_id: minted.node.as_str().to_owned(),
        expires_at: rfc3339::write(minted.expires).as_str().to_owned(),
        expires_in: minted.lives.as_millis() / 1000,
    };
    Ok((StatusCode::CREATED, Json(view)))
}
