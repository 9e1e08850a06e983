//! Tests of the edge as a whole, in one program, so that shared code is built once.

mod blocking;
mod decoder;
mod flash;
mod gateway;
mod memory;
mod native;
mod net;
mod node;
mod pages;
mod prototype;
mod pump;
mod socket;
mod tcp;
mod words;
