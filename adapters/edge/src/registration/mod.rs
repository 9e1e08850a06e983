//! Registration: a node of the `missy` dialect.

pub mod driver;
mod effects;
pub mod memory;
mod words;
