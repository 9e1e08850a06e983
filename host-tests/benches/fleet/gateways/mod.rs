//! Several gateways over one registry in PostgreSQL, each a process: what they do a second and what
//! that costs, how fast one hears of a revocation at another, and how soon nodes are linked again
//! after a gateway has died. All of them share the processors of this machine with the database
//! and with the nodes.

mod database;
mod deaths;
mod rates;
mod revocations;
mod tokens;

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use handfast_core::crypto::x25519::PublicKey;
use handfast_host_tests::native::raw::Channel;

use crate::nodes::keys_of;
use crate::peer::{self, Framed};
use crate::process::Server;
use crate::{link_all, registry};
use database::Database;

/// The gateways among which links are spread.
const NAMES: [&str; 3] = ["north", "south", "west"];
/// The time for which the statements of idle gateways are counted.
const IDLE: Duration = Duration::from_secs(20);

/// Measures with this many links on each of three gateways.
pub(crate) async fn measure(links: u32) {
    rates::compare(links).await;
    let database = Database::start();
    println!("three gateways over PostgreSQL, {links} links each:");
    let mut trio = Trio::start(&database, links).await;
    let statements = database.statements_within(IDLE).await / IDLE.as_secs_f64();
    println!(
        "  with nothing to do: {:.1} statements a second of a gateway",
        statements / NAMES.len() as f64
    );
    revocations::measure(&mut trio, &database).await;
    deaths::measure(trio).await;
}

/// A node's link.
struct Link {
    number: u32,
    /// The number of its gateway.
    at: usize,
    wire: Framed,
    /// What seals it.
    _channel: Channel,
}

/// Three gateways with their nodes.
struct Trio {
    servers: Vec<Server>,
    addresses: Vec<SocketAddr>,
    /// The key of all of them.
    key: PublicKey,
    links: Vec<Link>,
}

impl Trio {
    async fn start(database: &Database, links: u32) -> Self {
        let all = links * NAMES.len() as u32;
        registry::fill_without_certificates(&database.open().await, all).await;
        let mut servers: Vec<_> =
            NAMES.iter().map(|name| Server::sharing(&database.url, name)).collect();
        let addresses: Vec<_> = servers.iter().map(|server| server.tcp).collect();
        let key = Framed::connect(addresses[0]).await.meet(&keys_of(all)).await.peer;
        let at: Arc<[SocketAddr]> = addresses.clone().into();
        let cpu = |servers: &[Server]| servers.iter().map(Server::cpu).sum::<f64>();
        let before = (cpu(&servers), database.cpu());
        let mut links = link_all(all, move |number| {
            let at_which = number as usize % NAMES.len();
            let address = at[at_which];
            async move {
                let (wire, channel) = peer::link_over_noise(address, key, number).await;
                Link { number, at: at_which, wire, _channel: channel }
            }
        })
        .await;
        links.sort_unstable_by_key(|link| link.number);
        for server in &mut servers {
            server.ask(&format!("linked {}", all / NAMES.len() as u32)).await;
        }
        let each = |spent: f64| spent * 1e6 / f64::from(all);
        println!(
            "  a link: {:.0} µs CPU of its gateway, {:.0} µs of the database",
            each(cpu(&servers) - before.0),
            each(database.cpu() - before.1)
        );
        Self { servers, addresses, key, links }
    }
}
