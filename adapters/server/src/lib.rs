//! The Handfast gateway as a library.
//!
//! ```no_run
//! use handfast_server::Gateway;
//! use handfast_store::SqliteStore;
//!
//! # async fn example() -> Result<(), Box<dyn std::error::Error>> {
//! let gateway = Gateway::builder(SqliteStore::in_memory()?).start().await?;
//! let listener = tokio::net::TcpListener::bind("127.0.0.1:8765").await?;
//! handfast_server::serve(gateway.clone(), listener, None, std::future::pending()).await;
//! # Ok(()) }
//! ```
//!
//! Embedders nest [`Gateway::router`] in an axum server of their own, decide about requests with a
//! [`PairingHandler`](policy::PairingHandler), take application frames with [`Application`], and
//! hear what happens with [`Observer`]. What an operator does goes through the methods of
//! [`Gateway`], or through [`admin`] over a Unix socket.
//!
//! What these name of other crates is exported here, so that a program needs this crate alone: the
//! plain types at the top, everything else in [`mod@core`], [`store`] and [`axum`]. A program of
//! its own server, with an own decision about lamps:
//!
//! ```no_run
#![doc = include_str!("../examples/own_server.rs")]
//! ```
//!
//! | feature | what it brings |
//! |---|---|
//! | `sqlite` | a registry in a file: `SqliteStore` |
//! | `tls` | HTTPS, mutual TLS, X.509 certificates for nodes |
//! | `serial` | the native wire over serial lines: `serve_serial` |
//! | `metrics` | `/metrics`, `serve_metrics` |
//! | `extensions` | programs beside the gateway: `extension` |
//! | `announce` | the gateway is found on its network: `Announcer` |
//!
//! All but `announce` are on by default. What a build has not is refused with the feature's name.
#![cfg_attr(not(test), warn(clippy::wildcard_enum_match_arm))]
// What serves an absent feature alone stays where it is, instead of a condition at each such place.
#![cfg_attr(
    not(all(
        feature = "extensions",
        feature = "metrics",
        feature = "serial",
        feature = "sqlite",
        feature = "tls"
    )),
    allow(dead_code)
)]

mod application;
mod builder;
pub mod ca;
pub mod checkpoint;
mod clock;
mod connection;
pub(crate) mod entropy;
mod events;
#[cfg(feature = "extensions")]
pub mod extension;
#[cfg(not(feature = "extensions"))]
#[path = "no_extensions.rs"]
mod extension;
mod flows;
mod gateway;
mod hex;
mod http;
pub mod inbound;
pub mod keys;
mod listen;
pub mod moving;
pub mod operator;
mod pairing;
pub mod policy;
pub mod proxies;
pub mod telemetry;

pub use crate::flows::provisioning::{NodeKeyCaller, NodeKeyRefused};
pub use crate::gateway::live_settings::LiveSettings;
pub use crate::gateway::requests::RequestSelection;
pub use crate::gateway::timekeeping::ClockStatus;
pub use crate::gateway::unstored::StoreStatus;
pub use crate::http::{admin, bearer};
pub use crate::listen::accept::Listening;
#[cfg(feature = "announce")]
pub use crate::listen::announce::{Announcer, NotAnnounced};
pub use crate::listen::over_tls::TlsAcceptor;
#[cfg(feature = "tls")]
pub use crate::listen::own_tls::OwnTlsError;
pub use crate::listen::serve::serve;
#[cfg(feature = "tls")]
pub use crate::listen::tls::{TlsError, TlsFiles, TlsPair};
pub use crate::operator::final_decisions::FEWEST_FOR_GOOD;
pub use crate::telemetry::log_observer::LogObserver;
pub use ::axum;
pub use application::{Application, CompanionInfo, NoApplication, PeerInfo};
pub use async_trait::async_trait;
pub use builder::GatewayBuilder;
pub use clock::{LocalClock, SYNCHRONISED_FILE, SystemClock};
pub use events::{Event, Observer, Pin};
pub use gateway::Gateway;
pub use gateway::delegates::Delegate;
pub use gateway::pairing_state::StartError;
#[cfg(feature = "nats")]
pub use gateway::sharing::bus::{BusAddress, BusSettings};
pub use gateway::sharing::delivery::{Delivered, Published};
pub use gateway::sharing::{BusState, Contact, Sharing, SharingSettings};
pub use handfast_core as core;
pub use handfast_core::grant::scope::{Action, ScopesBuf};
pub use handfast_core::limits::Limits;
pub use handfast_core::registry::record::Mode;
pub use handfast_core::registry::sessions::{LoginId, SessionId};
pub use handfast_core::secret::Secret;
pub use handfast_core::{Label, Name, NodeId, NotAnId, Refusal, Span, UnixTime};
pub use handfast_public_url as public_url;
pub use handfast_store as store;
pub use handfast_store::MemoryStore;
#[cfg(feature = "sqlite")]
pub use handfast_store::SqliteStore;
#[cfg(feature = "metrics")]
pub use listen::metrics::serve_metrics;
#[cfg(feature = "tls")]
pub use listen::mtls::{
    LINK_SUBPROTOCOL, MtlsError, MtlsListening, TlsLink, serve_mtls, serve_mtls_with,
};
#[cfg(feature = "serial")]
pub use listen::serial::serve_serial;
pub use listen::tcp::serve_tcp;
pub use operator::{Device, Issued, IssuedCredential, OperatorError, PingError, Summary};
pub use pairing::ReplacedNode;
pub use proxies::{OverTls, PeerAddress, ProxySettings};

/// The code of the README, so that it compiles.
#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct Readme;
