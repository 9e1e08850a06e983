//! The registry: the nodes that a gateway knows, by whichever flow they were paired.

pub mod admission;
pub mod audit_tree;
pub mod authority;
pub mod ceiling;
pub mod codes;
pub mod delivery;
pub mod gateway_keys;
pub mod grants;
pub mod inbound;
pub mod lifecycle;
pub mod logins;
pub mod policies;
pub mod provisioning;
pub mod record;
pub mod rejection;
pub mod renewal;
pub mod replacing;
pub mod sessions;
pub mod sharing;
pub mod trusted_time;
