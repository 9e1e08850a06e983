//! The setup code flow: a companion shows a code and gets a session, or shows its session and is
//! linked.
//!
//! Each role has its machine. On the native wire, a device proves its own key with the code, so
//! that a copied token is useless: see [`Method::Setup`](crate::wire::native::pair::Method::Setup).

pub mod companion;
pub mod gateway;
