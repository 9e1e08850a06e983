//! Every state of the worlds of two gateways that decide about the same thing.

mod approval;
mod codes;
mod tasks;

use super::{always_possible, every_state, is_found};
