#![doc = include_str!("../README.md")]
#![deny(clippy::print_stdout, clippy::print_stderr)]
#![cfg_attr(not(test), warn(clippy::wildcard_enum_match_arm))]

mod clock;
mod connection;
mod event;
mod gateway_url;
pub mod native;
mod registration;
mod standing;
mod state;
mod tls;
pub mod token_file;
pub mod tokens;
mod waits;

pub use crate::registration::driver::{LinuxNode, NodeError};
pub use crate::registration::record::Identity;
pub use event::{Events, Lost, Owner, RegistrationEvent, Vitals};
pub use gateway_url::{DEFAULT_PORT, GatewayUrl, UrlError};
pub use registration::config::NodeConfig;
pub use standing::{NodeStanding, Stands};
pub use state::{HeldState, StateDir, StateError};
pub use tls::NodeTlsError;
pub use waits::Waits;
