//! Pairings, requests and authentications a second: one gateway over a file, and one, two and four
//! over PostgreSQL. Where the processors of this machine end the rate, the CPU time of one tells more.

use std::sync::Arc;
use std::time::Instant;

use handfast_store::{SqliteStore, Store};
use tokio::task::JoinSet;

use super::database::Database;
use super::tokens::{self, TokenNode};
use crate::nodes::{Fleet, keys_of};
use crate::pairing;
use crate::process::Server;

/// Numbers of gateways over PostgreSQL.
const GATEWAYS: [usize; 3] = [1, 2, 4];
/// The most links of a gateway at which everything is done as often as the following say.
const FULL: u32 = 3_000;
const PAIRINGS: u32 = 1_500;
const REQUESTS: u32 = 6_000;
/// Number of nodes that authenticate for the first time, and how often each does so again.
const TOKENS: u32 = 300;
const AGAIN: u32 = 10;
/// Number of nodes that pair at the same time, and of those that do anything else.
const PAIRING_AT_ONCE: usize = 256;
const AT_ONCE: usize = 64;

const TITLES: [&str; 4] =
    ["pair with a certificate", "ask, durably", "authenticate, first", "authenticate again"];

/// Compares the rates, with numbers for this many links of a gateway.
pub(super) async fn compare(links: u32) {
    let scaled = |number: u32| (number * links.min(FULL) / FULL).next_multiple_of(20).max(20);
    let nodes = TokenNode::make(scaled(TOKENS)).await;
    let mut all = Vec::new();
    let (_home, fleet) = Fleet::new();
    let store = SqliteStore::open(&fleet.file("handfast.db")).unwrap();
    TokenNode::enter(&(Arc::new(store) as Arc<dyn Store>), &nodes).await;
    let file = Gateways { servers: vec![Server::gateway(&fleet, 0, 0)], database: None };
    all.push(("a file, 1 gateway".to_owned(), file.measure(&nodes, scaled).await));
    for number in GATEWAYS {
        let database = Database::start();
        TokenNode::enter(&database.open().await, &nodes).await;
        let start = |nth| Server::sharing(&database.url, &format!("gateway-{nth}"));
        let servers = (1..=number).map(start).collect();
        let shared = Gateways { servers, database: Some(database) };
        let name = format!("PostgreSQL, {number} gateway{}", if number == 1 { "" } else { "s" });
        all.push((name, shared.measure(&nodes, scaled).await));
    }
    println!("a second, and CPU of each in µs, of all gateways and of the database:");
    for (at, title) in TITLES.iter().enumerate() {
        println!("  {title:<28} {:>9} {:>9} {:>9}", "a second", "gateways", "database");
        for (name, rates) in &all {
            let Rate { per_second, gateways, database } = rates[at];
            println!("    {name:<26} {per_second:>9.0} {gateways:>9.0} {database:>9.0}");
        }
    }
}

#[derive(Clone, Copy)]
struct Rate {
    per_second: f64,
    gateways: f64,
    database: f64,
}

/// Gateways over one registry.
struct Gateways {
    servers: Vec<Server>,
    /// `None` for one gateway over a file.
    database: Option<Database>,
}

impl Gateways {
    /// Measures everything, in the order of the titles.
    async fn measure(&self, nodes: &Arc<[TokenNode]>, scaled: impl Fn(u32) -> u32) -> [Rate; 4] {
        let (fleet_home, fleet) = Fleet::new();
        let csr: Arc<[u8]> = fleet.csr().into();
        drop(fleet_home);
        let pairings = scaled(PAIRINGS);
        let mut keys: Vec<_> = (0..pairings).map(|nth| keys_of(pairing::FIRST + nth)).collect();
        let pair = self.rate(pairings, PAIRING_AT_ONCE, |server, nth| {
            let own = keys.pop().expect("keys for each");
            pairing::pair(server.tcp, pairing::FIRST + nth, own, Arc::clone(&csr))
        });
        let pair = pair.await;
        let ask = self.rate(scaled(REQUESTS), AT_ONCE, |server, nth| tokens::ask(server.web, nth));
        let ask = ask.await;
        let number = u32::try_from(nodes.len()).unwrap();
        // A node always comes to the same gateway, which has verified its token.
        let authenticate = |server: &Server, nth: u32| {
            let (nodes, address) = (Arc::clone(nodes), server.web);
            async move { nodes[(nth % number) as usize].authenticate(address).await }
        };
        let first = self.rate(number, AT_ONCE, authenticate).await;
        let again = self.rate(number * AGAIN, AT_ONCE, authenticate).await;
        [pair, ask, first, again]
    }

    fn cpu(&self) -> (f64, f64) {
        let gateways = self.servers.iter().map(Server::cpu).sum();
        (gateways, self.database.as_ref().map_or(0.0, Database::cpu))
    }

    /// Does something so often, at the gateways in turn.
    async fn rate<F: Future<Output = ()> + Send + 'static>(
        &self,
        times: u32,
        at_once: usize,
        mut work: impl FnMut(&Server, u32) -> F,
    ) -> Rate {
        let (begun, before, mut under_way) = (Instant::now(), self.cpu(), JoinSet::new());
        for nth in 0..times {
            if under_way.len() >= at_once {
                under_way.join_next().await.unwrap().unwrap();
            }
            under_way.spawn(work(&self.servers[nth as usize % self.servers.len()], nth));
        }
        under_way.join_all().await;
        let (took, after) = (begun.elapsed(), self.cpu());
        let each = |spent: f64| spent * 1e6 / f64::from(times);
        Rate {
            per_second: f64::from(times) / took.as_secs_f64(),
            gateways: each(after.0 - before.0),
            database: each(after.1 - before.1),
        }
    }
}
