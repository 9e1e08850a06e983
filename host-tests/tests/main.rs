//! All integration tests in one binary, so that they link once.

mod architecture;
mod binaries;
mod capability;
mod cli;
mod conformance;
mod firmware;
mod frames;
mod interop;
mod json;
mod machines;
mod native_vectors;
mod native_wire;
mod scopes;
mod simulation;
mod snapshot;
mod tables;
mod two_peers;
mod vectors;
