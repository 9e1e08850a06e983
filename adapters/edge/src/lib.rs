//! Drives the Handfast node machine over embedded-io.
