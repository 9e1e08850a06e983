//! The Handfast gateway as a library.
//!
//! ```no_run
//! use handfast_server::Gateway;
//! use handfast_store::MemoryStore;
//!
//! # async fn example() -> Result<(), Box<dyn std::error::Error>> {
//! let gateway = Gateway::builder(MemoryStore::default()).start().await?;
//! let listener = tokio::net::TcpListener::bind("127.0.0.1:8765").await?;
//! handfast_server::serve(gateway.clone(), listener, None, std::future::pending()).await;
//! # Ok(()) }
//! ```
//!
//! Embedders nest [`Gateway::router`] in an axum server of their own, take application frames with
//! [`Application`], and hear what happens with [`Observer`]. What an operator does goes through the
//! methods of [`Gateway`], or through [`admin`] over a Unix socket.

mod accept;
pub mod admin;
mod api;
pub mod bearer;
mod bridge;
mod chance;
mod clock;
mod companion;
mod connection;
mod delivery;
pub mod extension;
mod failures;
mod final_decisions;
mod flow_budgets;
mod gateway;
mod hashing;
mod hook;
mod hub;
mod in_force;
pub mod inbound;
mod log_lines;
mod log_observer;
mod message_rate;
mod meter;
mod native;
mod operator;
pub mod pairing;
mod proven;
pub mod proxies;
mod pump;
mod readings;
mod requests;
mod rights;
mod router;
mod seats;
mod serve;
pub mod setup;
pub mod telemetry;
mod timekeeping;
mod tls;
mod unstored;

pub use accept::Listening;
pub use api::metrics::serve_metrics;
pub use clock::{LocalClock, SYNCHRONISED_FILE, SystemClock};
pub use final_decisions::FEWEST_FOR_GOOD;
pub use gateway::{Gateway, GatewayBuilder};
pub use hook::{Application, CompanionInfo, Event, NoApplication, Observer, PeerInfo, Pin};
pub use log_observer::LogObserver;
pub use native::{serve_serial, serve_tcp};
pub use operator::{Device, Issued, IssuedCredential, OperatorError, Summary};
pub use proxies::{PeerAddress, ProxySettings};
pub use requests::Waiting;
pub use serve::serve;
pub use timekeeping::ClockStatus;
pub use tls::{TlsError, acceptor};
pub use tokio_rustls::TlsAcceptor;
pub use unstored::StoreStatus;
