//! Listeners: accepting, TLS, the router's paths, TCP and serial lines.

pub(crate) mod accept;
pub(crate) mod router;
pub(crate) mod serial;
pub(crate) mod serve;
pub(crate) mod tcp;
pub(crate) mod tls;
