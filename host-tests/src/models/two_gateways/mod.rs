//! Worlds of two gateways over one registry, each about one kind of decision. Who is linked where,
//! and what a gateway that is cut off may do, is the world of [`sharing`](super::sharing).

pub mod approval;
pub mod codes;
pub mod tasks;
