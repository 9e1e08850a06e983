//! All integration tests in one binary, so that they link once.

mod architecture;
mod attacks;
mod binaries;
mod capability;
mod cli;
mod conformance;
mod firmware;
mod frames;
mod interop;
mod invite;
mod json;
mod machines;
mod native_machines;
mod native_peers;
mod native_simulation;
mod native_vectors;
mod native_wire;
mod scopes;
mod setup_codes;
mod setup_urls;
mod setup_vectors;
mod simulation;
mod snapshot;
mod tables;
mod two_peers;
mod vectors;
