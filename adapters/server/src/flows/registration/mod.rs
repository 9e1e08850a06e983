//! Registration: nodes of the `missy` dialect over WebSockets.
//!
//! | module | content |
//! |---|---|
//! | `connection` | drives one connection of core's machine, and carries out its effects |

pub(crate) mod connection;
