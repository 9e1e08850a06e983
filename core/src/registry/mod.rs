//! The registry: the nodes a gateway knows, whichever door they came through.

pub mod admission;
pub mod lifecycle;
pub mod record;
