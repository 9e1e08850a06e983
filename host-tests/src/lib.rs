//! Code that the tests and fuzz targets of Handfast share: a simulated world, the scripts that
//! drive it, and the properties that fuzzing checks.

pub mod budgets;
pub mod capability;
pub mod ceilings;
pub mod clocks;
#[cfg(feature = "serde")]
pub mod companion;
pub mod dispatches;
pub mod forwarded;
pub mod fuzz;
#[cfg(feature = "store")]
pub mod gate;
pub mod identity;
pub mod invite;
#[cfg(feature = "serde")]
pub mod json_against_serde;
pub mod models;
pub mod native;
pub mod native_wire;
pub mod prng;
pub mod provisioning;
pub mod scopes;
pub mod script;
#[cfg(feature = "serde")]
pub mod setup;
pub mod streams;
pub mod trusted_time;
#[cfg(feature = "url")]
pub mod urls;
pub mod web;
pub mod world;
