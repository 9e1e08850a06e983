//! The edge as a whole: one program, so that what the tests share is built once.

mod blocking;
mod decoder;
mod flash;
mod gateway;
mod memory;
mod native;
mod net;
mod node;
mod pump;
mod socket;
mod tcp;
