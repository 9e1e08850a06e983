//! The registration flow: a node asks, an operator approves, a token authenticates.

pub mod gateway;
pub mod node;
pub mod operator;
