//! State of the clock, and the operator's confirmation of it.

use axum::Json;
use handfast_core::UnixTime;
use handfast_core::registry::trusted_time::ClockState;
use handfast_store::TakenOver;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::caller::Acting;
use super::extract::Body;
use super::failure::AdminFailure;
use super::time::Time;
use crate::gateway::timekeeping::ClockStatus;

/// State of the clock.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
pub struct ClockView {
    /// `good`, `behind` or `doubtful`.
    pub state: String,
    /// The time that the gateway uses.
    pub now: Time,
    /// The time of the system's clock.
    pub system: Time,
    /// The high-water mark: the latest time that is known to have passed.
    pub mark: Time,
    /// `true` if the system reports its clock as synchronised.
    pub synchronised: bool,
    /// Number of seconds for which a doubted clock has been synchronised without a step.
    #[serde(rename = "synchronised_for_seconds", skip_serializing_if = "Option::is_none", default)]
    pub synchronised_for: Option<u64>,
    /// The problem and its remedy.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub mend: Option<String>,
}

impl From<ClockStatus> for ClockView {
    fn from(status: ClockStatus) -> Self {
        let synchronised_for = match status.state {
            ClockState::Doubtful { synchronised, .. } => synchronised.map(|span| span.as_secs()),
            ClockState::Good { .. } | ClockState::Behind { .. } => None,
        };
        Self {
            state: status.state.as_str().to_owned(),
            now: status.now.into(),
            system: status.wall.into(),
            mark: status.mark.into(),
            synchronised: status.synchronised,
            synchronised_for,
            mend: status.mend(),
        }
    }
}

/// The answer to `POST /api/v1/clock`.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
pub struct AcceptedView {
    /// State of the clock after the change.
    pub clock: ClockView,
    /// Number of entries of this run whose times were moved, so that their remaining life is
    /// unchanged.
    pub moved: u64,
    /// Number of entries of earlier runs that ended, because they were made under a false time.
    pub ended: u64,
}

/// A confirmation of the clock.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct AcceptBody {
    /// The time that it is; left out, the system's clock is right.
    at: Option<Time>,
}

/// Reports on the gateway's clock.
#[utoipa::path(
    get,
    path = "/api/v1/clock",
    tag = "State",
    responses((status = 200, body = ClockView)),
)]
pub(super) async fn show(Acting(gateway): Acting) -> Json<ClockView> {
    Json(gateway.clock().into())
}

/// Confirms the system's clock, or sets the time that is given.
///
/// Remaining lives of this run are kept; what earlier runs made under a false time ends. The body
/// may be empty.
#[utoipa::path(
    post,
    path = "/api/v1/clock",
    tag = "State",
    request_body = AcceptBody,
    responses((status = 200, body = AcceptedView)),
)]
pub(super) async fn accept(
    Acting(gateway): Acting,
    Body(body): Body<AcceptBody>,
) -> Result<Json<AcceptedView>, AdminFailure> {
    let AcceptBody { at } = body;
    let TakenOver { moved, ended } = gateway.accept_clock(at.map(UnixTime::from)).await?;
    Ok(Json(AcceptedView { clock: gateway.clock().into(), moved, ended }))
}
