//! The guide, whose database, proxy and settings are those that run here.

use super::super::guides::{blocks, guide};
use super::*;
use crate::conformance::proxies::real::{found, free};

const GUIDE: &str = "several-gateways.md";

#[test]
#[ignore = "needs PostgreSQL"]
fn the_database_of_the_guide_holds_a_registry() {
    let server = PostgresServer::start();
    let guide = guide(GUIDE);
    let [made] = blocks(&guide, "sql")[..] else { panic!("one block") };
    // The server has a role of the usual name, which may do everything.
    let made = made.replace("handfast", "guided");
    for statement in made.split(';').map(str::trim).filter(|statement| !statement.is_empty()) {
        server.sql("postgres", statement);
    }
    let registry = Registry { user: "guided", ..Registry::of(server, "guided".to_owned()) };
    let gateway = registry.gateway("gateway-a");
    assert_eq!(gateway.verb(&["status"]).0, 0);
    let owner = "SELECT pg_get_userbyid(datdba) FROM pg_database WHERE datname = 'guided'";
    assert_eq!(registry.sql(owner), "guided");
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs PostgreSQL and haproxy"]
async fn the_proxy_of_the_guide_sends_nodes_to_a_gateway_that_is_ready() {
    let registry = Registry::new();
    let [web, native] = [free().await.port(), free().await.port()];
    let of = |name: &str, host: &str| {
        let [listen, tcp] = [web, native].map(|port| format!("{host}:{port}"));
        let tcp = format!("{tcp},proxy_protocol");
        let proxy = ["--proxy-protocol", "--trusted-proxy", "127.0.0.0/8", "--listen-tcp", &tcp];
        registry.gateway_at(name, &listen, &proxy)
    };
    let mut gateways =
        [("a", "127.0.0.11"), ("b", "127.0.0.12"), ("c", "127.0.0.13")].map(|(n, h)| of(n, h));
    let guide = guide(GUIDE);
    let [block] = blocks(&guide, "haproxy")[..] else { panic!("one haproxy") };
    let configuration = block
        .replace("bind 192.0.2.1:", "bind 127.0.0.10:")
        .replace("192.0.2.", "127.0.0.")
        .replace("8765", &web.to_string())
        .replace("7331", &native.to_string());
    let place = private_dir();
    let file = place.path().join("haproxy.cfg");
    std::fs::write(&file, configuration).unwrap();
    let mut haproxy = std::process::Command::new(found("haproxy"));
    haproxy.arg("-db").arg("-f").arg(&file).stdout(Stdio::null()).stderr(Stdio::null());
    let _haproxy = Running(haproxy.spawn().unwrap());

    let state = pair_at(&gateways[0], &format!("tcp://127.0.0.10:{native}"));
    let at = format!("tcp://127.0.0.10:{native}");
    let node = RunningNode::start(state.path(), &["--gateway", &at]);
    node.links("tcp", 1);
    let linked = until("one of them has its link", || {
        let has = |gateway: &Gateway| gateway.answer(&["status"])["linked"] == json!(1);
        gateways.iter().position(has).ok_or_else(|| node.log())
    });
    gateways[linked].running.kill();
    node.links("tcp", 2);
}
