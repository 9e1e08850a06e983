//! The Handfast gateway as a library: router, WebSocket pump, admin API.
