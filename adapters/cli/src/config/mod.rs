//! Settings of `serve` from a configuration file and from options, with one schema for both. An
//! option overrides the file, and the file overrides the default.
//!
//! `keys` is the single table of all keys: place in the file, name of the option, help, reader and
//! printer. The default of a key is its value in [`ServeSettings::default`].

mod companions;
mod duration;
mod extensions;
mod file;
mod keys;
mod options;
mod print;
mod settings;
mod simple;
mod tables;
mod value;

#[cfg(test)]
mod tests;

pub use duration::{parse as length_of_time, show as time_in_words};
pub use options::Options;
pub use settings::{Listener, Serial, ServeSettings, SetupOptions};

/// All problems of a configuration, one per line, each with its place and its remedy.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub struct ConfigError(String);
