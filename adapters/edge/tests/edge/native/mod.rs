//! Tests of the native wire: a whole node against a whole gateway, in virtual time, over byte
//! streams.

mod board;
mod certificate;
mod dispatch;
mod gateway;
mod linking;
mod memory;
mod pairing;
mod power;
mod setup_code;
mod speaking;
mod workshop;
