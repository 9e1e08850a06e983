#![doc = include_str!("../README.md")]
#![deny(clippy::print_stdout, clippy::print_stderr)]
#![cfg_attr(not(test), warn(clippy::wildcard_enum_match_arm))]

pub mod capability;
mod clock;
pub mod companion;
mod connection;
#[cfg(feature = "discovery")]
pub mod discovery;
mod driver;
mod event;
mod gateway_url;
pub mod native;
#[cfg(feature = "provision")]
pub mod provisioning;
mod registration;
mod seal;
mod standing;
mod state;
mod tls;
pub mod token_file;
pub mod tokens;
mod waits;

pub use crate::registration::node::{LinuxNode, NodeError};
pub use crate::registration::record::Identity;
pub use event::{Events, Lost, Owner, RegistrationEvent, Vitals};
pub use gateway_url::{DEFAULT_PORT, GatewayUrl, UrlError};
pub use registration::config::NodeConfig;
pub use standing::{NodeStanding, Stands};
pub use state::{HeldState, StateDir, StateError};
pub use tls::NodeTlsError;
pub use waits::Waits;
