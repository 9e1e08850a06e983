//! Registration: nodes of the `missy` dialect over WebSockets.
//!
//! | module | content |
//! |---|---|
//! | `flow` | what events mean to a node's machine |
//! | `effects` | core's effects and their answers in owned form |
//! | `context` | a connection's state outside core's machine, and the effects without I/O |

mod context;
mod effects;
pub(crate) mod flow;
