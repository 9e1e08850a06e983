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
//!
//! # Example
//!
//! ```
//! use handfast_core::flow::provisioning::contract::{AccessPoint, Change, Effect, Input};
//! use handfast_core::flow::provisioning::contract::{ProvisioningMemory, Unfinished};
//! use handfast_core::flow::provisioning::node::ProvisioningNode;
//! use handfast_core::wire::provisioning::ProvisionRequest;
//! use handfast_core::{Instant, Machine};
//!
//! // A node that knows no network offers an access point.
//! let now = Instant::from_millis(0);
//! let memory = ProvisioningMemory { known: None, country: None, unfinished: Unfinished::Nothing };
//! let mut node = ProvisioningNode::boot(now, memory, Default::default());
//! let effects = node.step(now, Input::Tick, &mut []);
//! let protected = |effect: &Effect<'_>| {
//!     matches!(effect, Effect::StartAccessPoint(AccessPoint::Protected))
//! };
//! assert!(effects.iter().any(protected));
//! let _ = node.step(now, Input::AccessPoint(Ok(())), &mut []);
//!
//! // A phone sends the network and the command center; the request is stored before it is tried.
//! let body = r#"{"wifi_ssid":"home","wifi_password":"correct horse","room":"Kitchen",
//!     "node_id":"kitchen-1","command_center_url":"http://192.0.2.7:7703",
//!     "household_id":"h1","provisioning_token":"t1"}"#;
//! let mut scratch = [0; 4096];
//! let request = ProvisionRequest::read(body, &mut scratch).expect("a whole request");
//! let effects = node.step(now, Input::Provision(request), &mut []);
//! assert!(effects.iter().any(|effect| matches!(effect, Effect::Store(Change::Request(_)))));
//! ```

pub mod contract;
pub mod node;
pub mod outcome;
pub mod radio;
pub mod retry;
pub mod sealed;
pub mod settings;
pub mod status;
