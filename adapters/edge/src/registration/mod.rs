//! Registration: a node of the `missy` dialect.

pub mod driver;
pub mod memory;
