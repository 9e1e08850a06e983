//! Handshakes with certificates a second: the gateway's listener, rustls alone with the same keys,
//! and mosquitto, one after the other in several rounds.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use rustls::ClientConfig;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::task::JoinSet;

use crate::mosquitto::{self, Broker};
use crate::nodes::Fleet;
use crate::process::{Server, bare};
use crate::{CLIENTS, COMPARED, peer};

const ROUNDS: usize = 5;
const ROUND: Duration = Duration::from_secs(3);
const REQUEST: &[u8] = b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n";

pub(crate) async fn compare() {
    let (_home, fleet) = Fleet::new();
    let server = Server::gateway(&fleet, COMPARED, CLIENTS);
    let (process, address) = bare(&fleet);
    let broker = Broker::start(&fleet);
    let ours: Vec<_> = (0..CLIENTS).map(|number| fleet.client(number, None)).collect();
    let theirs: Vec<_> =
        (0..CLIENTS).map(|number| fleet.client(number, Some(broker.roots()))).collect();
    let mut rates: [Vec<(f64, f64)>; 3] = Default::default();
    for _ in 0..ROUNDS {
        rates[0].push(round(server.mtls, &ours, REQUEST, || server.cpu()).await);
        rates[1].push(round(address, &ours, REQUEST, || process.cpu()).await);
        let connect = mosquitto::connect_packet();
        rates[2].push(round(broker.address, &theirs, &connect, || broker.cpu()).await);
    }
    let [handfast, rustls, mosquitto] = rates.map(median);
    println!("handshakes with certificates, {CLIENTS} clients, median of {ROUNDS} rounds:");
    for (name, (rate, spent)) in
        [("handfast", handfast), ("rustls alone", rustls), ("mosquitto", mosquitto)]
    {
        println!("  {name}: {rate:.0} a second, {spent:.0} µs CPU of the server each");
    }
    println!(
        "  handfast / rustls alone: {:.2} by the rate, {:.2} by the server's CPU",
        handfast.0 / rustls.0,
        rustls.1 / handfast.1
    );
}

fn median(mut all: Vec<(f64, f64)>) -> (f64, f64) {
    all.sort_by(|a, b| a.0.total_cmp(&b.0));
    all[all.len() / 2]
}

/// Makes handshakes for a while. Returns how many a second, and the server's CPU of each in
/// microseconds. In TLS 1.3 the answer to a request shows that the certificate was accepted.
async fn round(
    address: SocketAddr,
    configs: &[Arc<ClientConfig>],
    request: &[u8],
    cpu: impl Fn() -> f64,
) -> (f64, f64) {
    let (begun, spent) = (Instant::now(), cpu());
    let mut clients = JoinSet::new();
    for config in configs {
        let (config, request) = (Arc::clone(config), request.to_vec());
        clients.spawn(async move {
            let mut made = 0_u32;
            while begun.elapsed() < ROUND {
                shake(address, &config, &request).await;
                made += 1;
            }
            made
        });
    }
    let made = f64::from(clients.join_all().await.into_iter().sum::<u32>());
    (made / begun.elapsed().as_secs_f64(), (cpu() - spent) * 1e6 / made)
}

async fn shake(address: SocketAddr, config: &Arc<ClientConfig>, request: &[u8]) {
    let mut stream = peer::connect(address, Arc::clone(config)).await.unwrap();
    stream.write_all(request).await.unwrap();
    let length = stream.read(&mut [0; 512]).await.unwrap();
    assert!(length > 0, "the server answers");
}
