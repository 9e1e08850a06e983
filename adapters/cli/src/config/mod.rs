//! What `serve` can be told, by a configuration file and by options: one schema for both. An option
//! beats the file, and the file beats the default.
//!
//! `keys` is the one table of all keys: where each stands in the file, what its option is called,
//! its help, how it is read and how it is printed. The default of a key is what
//! [`Settings::default`] has in its place.

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
pub use settings::{Listener, Serial, Settings, Setup};

/// Everything that is wrong with a configuration, one finding a line, each with the place where it
/// stands and what would be right.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub struct ConfigError(String);
