//! Pairings with certificates: how many a second are durable, and what one costs the gateway
//! beside its primitives.

use std::hint::black_box;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use handfast_core::Label;
use handfast_core::crypto::keys::OwnKeys;
use handfast_core::crypto::x25519::KeyPair;
use handfast_core::secret::Secret;
use handfast_core::wire::native::Features;
use handfast_core::wire::native::pair::{
    Ask, AskedScopes, Csr, Method, NativeProfile, PairFromGateway, PairFromNode, Request,
};
use handfast_server::ca::{Authority, CertificateSettings, RequestedKey};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinSet;

use crate::nodes::{Fleet, STORE_KEY, chance, id_of, keys_of, now};
use crate::peer::Framed;
use crate::process::{Server, cpu};
use crate::registry;

/// Number of nodes that pair, and how many of them at the same time.
const PAIRINGS: u32 = 4_000;
const AT_ONCE: usize = 256;
/// The first number of a node that pairs.
pub(crate) const FIRST: u32 = 1_000_000;

/// Returns the median of many measurements of one call.
fn of(mut call: impl FnMut()) -> Duration {
    let mut all: Vec<Duration> = (0..400)
        .map(|_| {
            let begun = Instant::now();
            call();
            begun.elapsed()
        })
        .collect();
    all.sort_unstable();
    all[all.len() / 2]
}

/// Returns what the primitives of a pairing cost the gateway in microseconds, and prints them: its
/// cryptography, the registry's part, and the frames over a bare connection.
pub(crate) async fn primitives() -> f64 {
    let (registry, frames) = (registry::cost(PAIRINGS).await, frames().await);
    let cryptography = cryptography();
    println!("  the registry's part: {registry:.0} µs; the same frames over TCP: {frames:.0} µs");
    cryptography.as_secs_f64() * 1e6 + registry + frames
}

/// Returns the CPU time, in microseconds, of one side of a connection over which frames of a
/// pairing's lengths go.
async fn frames() -> f64 {
    const THERE: [usize; 4] = [2 + 32, 64, 800, 40];
    const BACK: [usize; 4] = [96, 900, 300, 40];
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            stream.set_nodelay(true).unwrap();
            tokio::spawn(async move {
                for (there, back) in THERE.into_iter().zip(BACK) {
                    stream.read_exact(&mut vec![0; there]).await.unwrap();
                    stream.write_all(&vec![0; back]).await.unwrap();
                }
            });
        }
    });
    let spent = cpu("self");
    let mut clients = JoinSet::new();
    for _ in 0..PAIRINGS {
        if clients.len() >= AT_ONCE {
            clients.join_next().await.unwrap().unwrap();
        }
        clients.spawn(async move {
            let mut stream = TcpStream::connect(address).await.unwrap();
            stream.set_nodelay(true).unwrap();
            for (there, back) in THERE.into_iter().zip(BACK) {
                stream.write_all(&vec![0; there]).await.unwrap();
                stream.read_exact(&mut vec![0; back]).await.unwrap();
            }
        });
    }
    clients.join_all().await;
    (cpu("self") - spent) * 1e6 / f64::from(PAIRINGS) / 2.0
}

fn cryptography() -> Duration {
    let (_home, fleet) = Fleet::new();
    let (node, gateway, csr) = (keys_of(1), keys_of(2), fleet.csr());
    let settings = CertificateSettings::default();
    let authority = Authority::open(settings, &Secret::new(STORE_KEY), now()).unwrap();
    let asked = RequestedKey::from_csr(&csr).unwrap();
    let signature = node.signing.sign(b"label", [&[1; 32], &[2; 32]]);
    let agree = of(|| drop(black_box(gateway.channel.agree(node.channel.public()))));
    let make = of(|| drop(black_box(KeyPair::generate(&chance()))));
    let verify = of(|| {
        let _ = black_box(node.signing.public().verify(b"label", [&[1; 32], &[2; 32]], &signature));
    });
    let sign = of(|| {
        let _ = black_box(gateway.signing.sign(b"label", [&[1; 32], &[2; 32]]));
    });
    let request = of(|| drop(black_box(RequestedKey::from_csr(&csr))));
    let issue = of(|| drop(black_box(authority.issue(id_of(1), &asked, now()))));
    // The node's request is verified, and a capability token signed.
    let sum = agree * 3 + make + verify + sign + request + issue;
    println!(
        "the cryptography of a pairing at the gateway: {sum:.0?} (X25519 {agree:.0?} three times, \
         a key {make:.0?}, Ed25519 {verify:.0?} and {sign:.0?}, the certificate request \
         {request:.0?}, the certificate {issue:.0?})"
    );
    sum
}

/// Pairs nodes that ask for certificates, and confirms both.
pub(crate) async fn measure(server: &Server, fleet: &Fleet, primitives: f64) {
    let csr: Arc<[u8]> = fleet.csr().into();
    let own: Vec<_> = (FIRST..FIRST + PAIRINGS).map(|number| (number, keys_of(number))).collect();
    let (begun, gateway, client) = (Instant::now(), server.cpu(), cpu("self"));
    let mut under_way = JoinSet::new();
    for (number, own) in own {
        if under_way.len() >= AT_ONCE {
            under_way.join_next().await.unwrap().unwrap();
        }
        under_way.spawn(pair(server.tcp, number, own, Arc::clone(&csr)));
    }
    under_way.join_all().await;
    let took = begun.elapsed();
    let each = |spent: f64| spent * 1e6 / f64::from(PAIRINGS);
    let (gateway, client) = (each(server.cpu() - gateway), each(cpu("self") - client));
    println!(
        "  durable pairings with a certificate: {:.0} a second, {gateway:.0} µs CPU of the gateway \
         and {client:.0} µs of the node each; gateway / primitives {:.2}",
        f64::from(PAIRINGS) / took.as_secs_f64(),
        gateway / primitives
    );
}

/// Pairs a node that asks for a certificate, and confirms both.
pub(crate) async fn pair(address: SocketAddr, number: u32, own: OwnKeys, csr: Arc<[u8]>) {
    let mut wire = Framed::connect(address).await;
    let mut channel = wire.meet(&own).await;
    let name = format!("node {number}");
    let request = Request {
        features: Features::NONE,
        name: Label::parse(&name).unwrap(),
        room: Label::parse("hall").unwrap(),
        profile: NativeProfile::EMPTY,
        method: Method::Approval,
        wants: AskedScopes::NONE,
        csr: Csr::new(&csr),
    };
    let ask = Ask::sign(request, &own.signing, &channel.hash);
    wire.send(&channel.seal(&PairFromNode::Ask(ask))).await;
    let (mut parts, mut grant) = (0, None);
    while grant.is_none() {
        let said = channel.open(wire.recv().await).unwrap();
        match PairFromGateway::parse(&said).unwrap() {
            PairFromGateway::Part(_) => parts += 1,
            PairFromGateway::Grant(offered) => grant = Some(offered.id),
            PairFromGateway::Refused(refusal) => panic!("{refusal:?}"),
            _ => {}
        }
    }
    assert!(parts > 0, "a certificate came ahead of the grant");
    wire.send(&channel.seal(&PairFromNode::Stored(grant.unwrap()))).await;
    loop {
        let said = channel.open(wire.recv().await).unwrap();
        if let PairFromGateway::Active(_) = PairFromGateway::parse(&said).unwrap() {
            return;
        }
    }
}
