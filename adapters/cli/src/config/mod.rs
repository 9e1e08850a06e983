//! Settings of `serve` from a configuration file, the environment and options, with one schema for
//! all. An option overrides a variable of the environment, which overrides the file, which
//! overrides the default.
//!
//! `keys` is the single table of all keys. Each is declared once, and from the declaration follow
//! its option, its variable, its entry in the file, its help and its line in a printed file. The
//! default of a key is its value in [`ServeSettings::default`].

mod bus;
mod companions;
mod duration;
mod environment;
mod extensions;
mod file;
mod key;
mod keys;
mod kinds;
mod live;
mod options;
mod print;
mod settings;
mod simple;
mod store;
mod tables;
mod value;

#[cfg(test)]
mod tests;

pub use bus::BusUrl;
pub use duration::{parse as length_of_time, show as time_in_words};
pub use live::Changes;
pub use options::Options;
pub use settings::{Listener, LogFormat, MtlsOptions, Serial, ServeSettings, SetupOptions};
pub use store::{StoreAddress, is_gateway_id};

/// All problems of a configuration, one per line, each with its place and its remedy.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub struct ConfigError(String);
