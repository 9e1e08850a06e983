//! The gateways that share the registry.

use axum::Json;
use handfast_store::SharingGateway;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::caller::Acting;
use super::extract::Query;
use super::failure::AdminFailure;
use super::paging::{self, PageQuery};
use crate::gateway::sharing::{BusState, Sharing};

/// The answer to `GET /api/v1/gateways`.
#[derive(Debug, Default, Serialize, Deserialize, ToSchema)]
pub struct GatewayList {
    /// Gateways of the last day, this one included, by name; empty if the registry cannot be shared.
    #[serde(rename = "items")]
    pub gateways: Vec<GatewayView>,
    /// Cursor of the next page, as `after` of the next request; `null` on the last page.
    #[schema(required)]
    pub next: Option<String>,
    /// Number of items of all pages.
    pub total: usize,
}

/// A gateway that shares the registry, by its latest beat.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
pub struct GatewayView {
    /// Its name.
    pub name: String,
    /// `true` for the gateway that answers.
    pub is_this: bool,
    /// `true` while its lease runs: nodes count as linked there.
    pub is_present: bool,
    /// For the gateway that answers: `in touch` with the registry, `cut off`, or `cut off for long`,
    /// when its links are ended.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub contact: Option<String>,
    /// For the gateway that answers, if it has a bus: `connected`, or `away`.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub bus: Option<String>,
    /// Time for which the bus is away.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub bus_away_seconds: Option<f64>,
    /// Number of its links; 0 once its lease has ended.
    pub links: u32,
    /// Time since it last read what others have changed.
    pub behind_seconds: f64,
    /// Time since its latest beat.
    pub silent_seconds: f64,
    /// Version of its program.
    pub version: String,
    /// Address under which its operators find it; absent if it told none.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub address: Option<String>,
}

/// Lists the gateways that share the registry, by name.
#[utoipa::path(
    get,
    path = "/api/v1/gateways",
    tag = "State",
    params(PageQuery),
    responses((status = 200, body = GatewayList)),
)]
pub(super) async fn list(
    Acting(gateway): Acting,
    Query(query): Query<PageQuery>,
) -> Result<Json<GatewayList>, AdminFailure> {
    let all = gateway.sharing().map(views).unwrap_or_default();
    let page = paging::cut(all, query.limit, query.after.as_deref(), |one| one.name.clone())?;
    Ok(Json(GatewayList { gateways: page.items, next: page.next, total: page.total }))
}

/// Returns all gateways of a registry. What this one tells of itself is as of now.
fn views(sharing: Sharing) -> Vec<GatewayView> {
    let Sharing { gateway, contact, behind, gateways, bus, name_taken: _ } = sharing;
    let (bus, away) = match bus {
        Some(BusState::Connected) => (Some("connected"), None),
        Some(BusState::Away { lasts }) => (Some("away"), Some(lasts.as_secs_f64())),
        None => (None, None),
    };
    let view = |one: SharingGateway| {
        let is_this = one.name == gateway;
        GatewayView {
            is_this,
            is_present: one.is_present,
            contact: is_this.then(|| contact.as_str().to_owned()),
            bus: bus.filter(|_| is_this).map(str::to_owned),
            bus_away_seconds: away.filter(|_| is_this),
            links: if one.is_present { one.told.links } else { 0 },
            behind_seconds: if is_this { behind } else { one.told.behind }.as_secs_f64(),
            silent_seconds: one.silent.as_secs_f64(),
            version: one.told.program,
            address: one.told.address,
            name: one.name,
        }
    };
    gateways.into_iter().map(view).collect()
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use handfast_store::Beat;

    use super::*;
    use crate::Contact;

    #[test]
    fn the_gateway_that_answers_says_how_it_stands_now_and_the_others_as_they_told() {
        let one = |name: &str, is_present| SharingGateway {
            name: name.to_owned(),
            told: Beat { behind: Duration::from_secs(1), links: 7, ..Beat::default() },
            silent: Duration::from_millis(500),
            is_present,
        };
        let sharing = Sharing {
            gateway: "here".to_owned(),
            contact: Contact::CutOff,
            behind: Duration::from_secs(3),
            gateways: vec![one("here", true), one("there", false)],
            name_taken: false,
            bus: Some(BusState::Away { lasts: Duration::from_secs(4) }),
        };
        let [here, there] = views(sharing).try_into().unwrap();
        assert!(here.is_this && !there.is_this && here.is_present && !there.is_present);
        assert_eq!((here.contact.as_deref(), there.contact), (Some("cut off"), None));
        assert_eq!((here.bus.as_deref(), here.bus_away_seconds), (Some("away"), Some(4.0)));
        assert_eq!((there.bus, there.bus_away_seconds), (None, None));
        let behind = [here.behind_seconds, there.behind_seconds];
        assert_eq!((behind, there.silent_seconds), ([3.0, 1.0], 0.5));
        assert_eq!((here.links, there.links), (7, 0), "what has died has no links");
    }
}
