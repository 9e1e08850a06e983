//! Costs of a gateway with a fleet of nodes over real sockets, beside bare rustls and mosquitto in
//! the same run: pairings with certificates, handshakes with certificates, tasks, memory of idle
//! links, the time from a revocation to the end of the link, the operators' surface, and several
//! gateways over one PostgreSQL. Servers are separate processes.
//!
//! `cargo bench -p handfast-host-tests --bench fleet -- [LINKS [PART…]]`: by default 10 000 links,
//! or as many as this system allows file descriptors, and all parts: `pairings`, `handshakes`,
//! `noise`, `tls`, `rustls`, `operators`, `mosquitto`, `gateways`, `brokers`. The comparisons need
//! mosquitto, and several gateways PostgreSQL: `host-tests/benches/fleet.sh` installs both and
//! starts this.

mod gateways;
mod handshakes;
mod mosquitto;
mod nodes;
mod operators;
mod pairing;
mod peer;
mod process;
mod registry;
mod server;

use std::time::{Duration, Instant};

use nodes::Fleet;
use peer::TlsNode;
use process::Server;
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use tokio::task::JoinSet;

/// Numbers of nodes in the registry.
const SIZES: [u32; 3] = [10, 3_000, 100_000];
/// The fleet beside the comparisons.
const COMPARED: u32 = 3_000;
/// Number of tasks, and of revocations, whose times are taken.
const SAMPLES: u32 = 300;
/// Number of clients that connect at the same time.
const CLIENTS: u32 = 64;
/// Number of links by default.
const LINKS: u32 = 10_000;
/// Number of file descriptors of a process besides those of its links.
const OTHER_FILES: u64 = 200;

fn main() {
    let args: Vec<String> = std::env::args().skip(1).filter(|arg| arg != "--bench").collect();
    let words: Vec<&str> = args.iter().map(String::as_str).collect();
    let runtime = tokio::runtime::Runtime::new().unwrap();
    match &words[..] {
        ["gateway", directory, nodes, linking, waiting] => runtime.block_on(server::gateway(
            &Fleet::at(directory),
            nodes.parse().unwrap(),
            linking.parse().unwrap(),
            waiting.parse().unwrap(),
        )),
        ["sharing", url, name] => runtime.block_on(server::sharing(url, name)),
        ["rustls", directory] => runtime.block_on(server::bare(&Fleet::at(directory))),
        [] => runtime.block_on(measure(LINKS, &[])),
        [links, parts @ ..] => {
            runtime.block_on(measure(links.parse().expect("a number of links"), parts));
        }
    }
}

/// Measures these parts; without any, all of them.
async fn measure(links: u32, parts: &[&str]) {
    let wants = |part| parts.is_empty() || parts.contains(&part);
    let links = that_fit(links);
    println!("up to {links} links");
    if wants("handshakes") || wants("mosquitto") || wants("brokers") {
        mosquitto::is_there();
    }
    if wants("pairings") {
        let primitives = pairing::primitives().await;
        for nodes in SIZES {
            let (_home, fleet) = Fleet::new();
            let mut server = Server::gateway(&fleet, nodes, nodes.min(SAMPLES));
            println!("{nodes} nodes in the registry:");
            pairing::measure(&server, &fleet, primitives).await;
            tasks(&mut server, &fleet).await;
        }
    }
    if wants("handshakes") {
        handshakes::compare().await;
    }
    if wants("noise") {
        idle_over_noise(links).await;
    }
    if wants("tls") {
        idle_and_revoked_over_tls(links).await;
    }
    if wants("rustls") {
        idle_over_rustls_alone(links).await;
    }
    if wants("operators") {
        operators::measure(links).await;
    }
    if wants("mosquitto") {
        mosquitto::revoke(links).await;
    }
    // As many on each of three as fit together.
    let of_one = (links * 3 / 10).max(1);
    if wants("gateways") {
        gateways::measure(of_one).await;
    }
    if wants("brokers") {
        mosquitto::revoke_on_two(of_one).await;
    }
}

/// Raises the limit on file descriptors of this process and of those that it starts, as far as the
/// system lets it, and returns how many links fit.
fn that_fit(links: u32) -> u32 {
    let needed = u64::from(links) + OTHER_FILES;
    let before = getrlimit(Resource::Nofile);
    let hard = before.maximum.map(|hard| hard.max(needed));
    // Only a privileged process may raise the upper limit.
    let raised = Rlimit { current: hard, maximum: hard };
    if setrlimit(Resource::Nofile, raised).is_err() {
        let _ = setrlimit(Resource::Nofile, Rlimit { current: before.maximum, ..before });
    }
    let files = getrlimit(Resource::Nofile).current.unwrap_or(u64::MAX);
    u32::try_from(files.saturating_sub(OTHER_FILES)).map_or(links, |most| most.min(links))
}

/// Returns the value below which this share of all values lies.
fn quantile(sorted: &[Duration], percent: usize) -> Duration {
    sorted[(sorted.len() * percent / 100).min(sorted.len() - 1)]
}

/// Prints the median and the 99th percentile of some times.
fn print(what: &str, mut times: Vec<Duration>) {
    times.sort_unstable();
    let (p50, p99) = (quantile(&times, 50), quantile(&times, 99));
    println!("  {what}: p50 {p50:.2?}, p99 {p99:.2?} of {}", times.len());
}

/// Measures the time from an operator's request until the node has its task, and until the gateway
/// has stored the outcome.
async fn tasks(server: &mut Server, fleet: &Fleet) {
    let mut node = TlsNode::link(server.mtls, fleet, 0).await;
    node.announce().await;
    server.ask("capable 0").await;
    let (mut until_there, mut until_over) = (Vec::new(), Vec::new());
    for _ in 0..SAMPLES {
        let begun = Instant::now();
        server.tell("invoke 0");
        let id = node.task().await;
        until_there.push(begun.elapsed());
        node.succeed(id).await;
        let over = server.answer().await;
        until_over.push(Duration::from_nanos(over.parse().unwrap()));
    }
    print("a task reaches its linked node", until_there);
    print("a task is over, its result stored", until_over);
}

/// Links nodes, some at the same time.
async fn link_all<T: Send + 'static, F: Future<Output = T> + Send + 'static>(
    links: u32,
    link: impl Fn(u32) -> F,
) -> Vec<T> {
    let (mut all, mut under_way) = (Vec::new(), JoinSet::new());
    for number in 0..links {
        if under_way.len() >= CLIENTS as usize {
            all.push(under_way.join_next().await.unwrap().unwrap());
        }
        under_way.spawn(link(number));
    }
    while let Some(linked) = under_way.join_next().await {
        all.push(linked.unwrap());
    }
    all
}

async fn idle_over_noise(links: u32) {
    let (_home, fleet) = Fleet::new();
    let mut server = Server::gateway(&fleet, links, 1);
    let tcp = server.tcp;
    let key = peer::Framed::connect(tcp).await.meet(&nodes::keys_of(links)).await.peer;
    let before = server.resident();
    let all = link_all(links, move |number| peer::link_over_noise(tcp, key, number)).await;
    server.ask(&format!("linked {links}")).await;
    println!(
        "an idle link over TCP, sealed by Noise: {:.2} KiB of {links}",
        (server.resident() - before) / f64::from(links)
    );
    drop(all);
}

async fn idle_and_revoked_over_tls(links: u32) {
    let (_home, fleet) = Fleet::new();
    let mut server = Server::gateway(&fleet, links, links);
    let (mtls, before) = (server.mtls, server.resident());
    let at = fleet.clone();
    let mut all = link_all(links, move |number| {
        let fleet = at.clone();
        async move { TlsNode::link(mtls, &fleet, number).await }
    })
    .await;
    server.ask(&format!("linked {links}")).await;
    println!(
        "an idle link over TLS: {:.2} KiB of {links}",
        (server.resident() - before) / f64::from(links)
    );
    let mut times = Vec::new();
    for _ in 0..SAMPLES.min(links) {
        let node = all.pop().unwrap();
        let number = node.number;
        let cut = tokio::spawn(node.until_cut());
        tokio::time::sleep(Duration::from_millis(5)).await;
        let begun = Instant::now();
        server.tell(&format!("revoke {number}"));
        times.push(cut.await.unwrap().duration_since(begun));
        server.answer().await;
    }
    print("from a revocation to the end of the link, handfast", times);
}

async fn idle_over_rustls_alone(links: u32) {
    let (_home, fleet) = Fleet::new();
    drop(Server::gateway(&fleet, links, links));
    let (process, address) = process::bare(&fleet);
    let (before, at) = (process.resident(), fleet.clone());
    let all = link_all(links, move |number| {
        let config = at.client(number, None);
        async move { peer::connect(address, config).await.unwrap() }
    })
    .await;
    // A client's handshake ends before the server's.
    tokio::time::sleep(Duration::from_secs(2)).await;
    println!(
        "an idle connection of rustls alone: {:.2} KiB of {links}",
        (process.resident() - before) / f64::from(links)
    );
    drop(all);
}
