//! The flows by which devices are paired, one folder each.
//!
//! A folder holds core's effects in owned form (`effects`), the connection's state outside core's
//! machine (`context`), and what events mean to that machine (`flow`). The driver in `connection`
//! runs every connection. The flows use `gateway`, `connection` and `pairing`; the router and the
//! other listeners start their connections. A further flow adds its effects and its context.

pub(crate) mod native;
pub(crate) mod provisioning;
pub(crate) mod registration;
pub(crate) mod setup_code;
