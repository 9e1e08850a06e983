//! The handfast command.
