//! Setup codes: a companion shows one and gets a session, or shows its session and is let in.
//!
//! Each role has its machine. That a device proves itself with its own key, so that a copied token
//! is worth nothing, is the native wire's: see
//! [`Method::Setup`](crate::wire::native::pair::Method::Setup).

pub mod companion;
pub mod gateway;
