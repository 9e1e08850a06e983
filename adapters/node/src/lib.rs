//! The Handfast node for Linux.
