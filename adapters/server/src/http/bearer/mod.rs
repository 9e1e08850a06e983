//! Short-lived bearers for HTTP, which carry a link's permissions to servers without a sealed
//! channel.
//!
//! A node or a delegate requests a token over its link. For five minutes, or until its link would
//! expire, that token carries the scopes of the link in the header `Authorization: Bearer …`.
//! Revoking the node, its grant, or any block from which its chain was delegated ends the token at
//! once, and so does muting. Bearers are kept in memory only, as their SHA-256.
//!
//! ```no_run
//! use axum::{Router, routing::get};
//! use handfast_core::grant::scope::Action;
//! use handfast_server::Gateway;
//! use handfast_server::bearer::Bearer;
//!
//! # fn example(gateway: &Gateway) -> Router {
//! async fn who(permit: Bearer) -> String {
//!     format!("{:?} may read here", permit.holder())
//! }
//!
//! // A bearer that may read `/sensors/kitchen` may GET it.
//! Router::new()
//!     .route("/sensors/{name}", get(who))
//!     .route_layer(gateway.require(Action::Read))
//!     .with_state(gateway.clone())
//! # }
//! ```
//!
//! The token of a companion's session is a bearer as well. The profile of the session defines what
//! it allows ([`SetupSettings`](crate::policy::setup_settings::SetupSettings)), and it is valid until the session
//! ends. It is looked up in the registry at each request, so a session that any gateway has revoked
//! is refused at once. A [`Bearer`] takes both kinds, a [`CompanionBearer`] only sessions:
//!
//! ```no_run
//! use axum::{Router, routing::get};
//! use handfast_server::Gateway;
//! use handfast_server::bearer::CompanionBearer;
//!
//! # fn example(gateway: &Gateway) -> Router {
//! async fn greet(companion: CompanionBearer) -> String {
//!     let device = companion.info().device_label.as_ref();
//!     let device = device.map_or("companion", |label| label.as_str());
//!     format!("Hello, {device}. Your session ends at {}.", companion.expires_at().as_secs())
//! }
//!
//! Router::new().route("/greeting", get(greet)).with_state(gateway.clone())
//! # }
//! ```
//!
//! Where the request knows its peer ([`ConnectInfo`](axum::extract::ConnectInfo)), unknown tokens
//! use up the attempts of its source, as wrong proofs of nodes do. Once they are used up, requests
//! from there are answered 429 for a while, except those with bearers of links.

mod companion;
mod layer;
mod permit;

pub use crate::application::CompanionInfo;
pub use crate::gateway::bearers::{BearerHolder, LIFETIME};
pub use companion::CompanionBearer;
pub(crate) use layer::decoded;
pub use layer::{Require, Required};
pub(crate) use permit::bearer;
pub use permit::{Bearer, BearerRefused};

#[cfg(test)]
mod tests;
