//! Listeners: the accept loop, TLS, the router's paths, TCP and serial lines.
//!
//! A listener takes a slot for each connection and passes the connection to a flow. It decides
//! nothing about pairing.

pub(crate) mod accept;
#[cfg(feature = "announce")]
pub(crate) mod announce;
#[cfg(feature = "metrics")]
pub(crate) mod metrics;
#[cfg(feature = "tls")]
pub(crate) mod mtls;
#[cfg(feature = "tls")]
pub(crate) mod over_tls;
#[cfg(not(feature = "tls"))]
#[path = "no_tls.rs"]
pub(crate) mod over_tls;
#[cfg(feature = "tls")]
pub(crate) mod own_tls;
pub(crate) mod router;
#[cfg(feature = "serial")]
pub(crate) mod serial;
pub(crate) mod serve;
pub(crate) mod tcp;
#[cfg(feature = "tls")]
pub(crate) mod tls;
