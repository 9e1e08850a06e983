//! Registration: nodes of the `missy` dialect over WebSockets.

pub(crate) mod connection;
