//! The Handfast gateway as a library.
//!
//! ```no_run
//! use handfast_server::Gateway;
//! use handfast_store::MemoryStore;
//!
//! # async fn example() -> std::io::Result<()> {
//! let gateway = Gateway::builder(MemoryStore::default()).start()?;
//! let listener = tokio::net::TcpListener::bind("127.0.0.1:8765").await?;
//! handfast_server::serve(gateway.clone(), listener, None, std::future::pending()).await;
//! # Ok(()) }
//! ```
//!
//! Embedders nest [`Gateway::router`] in an axum server of their own, take application frames with [`Application`], and hear what happens with
//! [`Observer`]. What an operator does goes through the methods of [`Gateway`], or through [`admin`] over a Unix socket.

pub mod admin;
mod chance;
mod clock;
mod connection;
mod failures;
mod gateway;
mod hashing;
mod hook;
mod hub;
mod meter;
mod proven;
mod router;
mod seats;
mod serve;
mod tls;

pub use gateway::{Device, Gateway, GatewayBuilder, Issued, OperatorError, Summary};
pub use hook::{Application, Event, LogObserver, NoApplication, Observer};
pub use serve::serve;
pub use tls::{TlsError, acceptor};
pub use tokio_rustls::TlsAcceptor;
