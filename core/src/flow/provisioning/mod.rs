//! The provisioning flow: a node without screen or keyboard gets its network, its keys and its
//! gateway from a phone.
//!
//! ```text
//!            request stored      joined              registered and stored
//!  ApMode ─────────▶ Connecting ───────▶ Registering ───────────▶ Provisioned ─▶ operation
//!    ▲                   │ failed             │ failed                              │ network lost
//!    │                   ▼                    ▼                                     ▼
//!    └── read, or late ─ Error: network and request undone, access point back    joins for 120 s,
//!                                                                                then 600 s ApMode
//! ```
//!
//! [`node::ProvisioningNode`] decides, and [`sealed`] has the exchange in which a phone proves that
//! its owner holds the node's label. The radio, the store and the command center belong to the
//! adapter. [`settings`] bounds what a phone pushes later. [`outcome`] infers from a radio's reports why a join failed.

pub mod contract;
pub mod node;
pub mod outcome;
pub mod radio;
pub mod retry;
pub mod sealed;
pub mod settings;
pub mod status;
