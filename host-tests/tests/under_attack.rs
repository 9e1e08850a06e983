//! The finished gateway under attack: a process of its own with its registry on disk, over real
//! sockets and behind the proxies that people put in front of it, flooded at real rates from
//! addresses of the loopback network.

mod clumsy;
mod crowds;
mod delegates;
mod displays;
pub(crate) mod operator;
mod peer;
mod pins;
mod proxied;
mod rights;
mod sealed;

use std::net::{IpAddr, SocketAddr};

use crate::cli::gateway::Gateway;

/// Where nodes and people are that mean well.
const HOME: IpAddr = IpAddr::V4(std::net::Ipv4Addr::new(127, 0, 0, 3));
/// Where somebody is who does not.
const STRANGER: IpAddr = IpAddr::V4(std::net::Ipv4Addr::new(127, 0, 0, 66));

/// Where a gateway listens.
fn address(gateway: &Gateway) -> SocketAddr {
    gateway.address.parse().unwrap()
}
