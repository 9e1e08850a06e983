//! Connections for mutual TLS that end early, at whatever byte.

use std::io::{Read, Write};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;

use super::super::nodes::until;
use super::{RunningNode, World};

/// No cut.
const WHOLE: usize = usize::MAX;

/// A proxy that ends each connection once the server has said so many bytes.
struct Proxy {
    address: SocketAddr,
    most: Arc<AtomicUsize>,
    accepted: Arc<AtomicUsize>,
}

impl Proxy {
    fn before(server: &str) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let (most, accepted) = (Arc::new(AtomicUsize::new(WHOLE)), Arc::new(AtomicUsize::new(0)));
        let (limit, count) = (Arc::clone(&most), Arc::clone(&accepted));
        let server = server.to_owned();
        thread::spawn(move || {
            for client in listener.incoming().map_while(Result::ok) {
                count.fetch_add(1, Ordering::SeqCst);
                let Ok(server) = TcpStream::connect(&server) else { continue };
                let (from, to) = (client.try_clone().unwrap(), server.try_clone().unwrap());
                thread::spawn(move || pass(from, to, WHOLE));
                let most = limit.load(Ordering::SeqCst);
                thread::spawn(move || pass(server, client, most));
            }
        });
        Self { address, most, accepted }
    }

    fn cuts_after(&self, most: usize) {
        self.most.store(most, Ordering::SeqCst);
    }

    fn accepted(&self) -> usize {
        self.accepted.load(Ordering::SeqCst)
    }
}

fn pass(mut from: TcpStream, mut to: TcpStream, most: usize) {
    let (mut left, mut room) = (most, [0; 4096]);
    while left > 0 {
        let most = left.min(room.len());
        let read = from.read(&mut room[..most]).unwrap_or(0);
        if read == 0 || to.write_all(&room[..read]).is_err() {
            break;
        }
        left -= read;
    }
    // Either may have ended already.
    let _ = (from.shutdown(Shutdown::Both), to.shutdown(Shutdown::Both));
}

/// Returns what the node would lose if it erased anything.
fn kept(state: &Path) -> Vec<Vec<u8>> {
    let read = |name| std::fs::read(state.join(name)).unwrap();
    ["keys.json", "native.json", "certificate.json", "tokens.json"].map(read).to_vec()
}

#[test]
fn a_connection_for_mutual_tls_that_ends_early_makes_the_node_wait_and_erase_nothing() {
    let world = World::start();
    let sealed = Proxy::before(&world.gateway.address);
    let state = world.pair(&["--gateway", &format!("ws://{}", sealed.address)]);
    let before = kept(state.path());
    // From here on the node has no other way than the listener for certificates.
    sealed.cuts_after(0);
    let tls = Proxy::before(&world.mtls);
    let at = format!("mtls://{}", tls.address);
    // The server's part of the handshake has some 1 300 bytes, and its answer over HTTP follows.
    for most in [0, 1, 5, 90, 700, 1200, 1300, 1400, 1500] {
        tls.cuts_after(most);
        let accepted = tls.accepted();
        let mut node = RunningNode::start(state.path(), &["--gateway", &at]);
        node.says("trying again in");
        assert!(tls.accepted() > accepted, "it came here: {}", node.log());
        assert!(!node.log().contains(" linked "), "{most} bytes: {}", node.log());
        node.running.kill();
        assert!(kept(state.path()) == before, "something changed after {most} bytes");
    }
    // One that goes on trying waits longer each time.
    let node = RunningNode::start(state.path(), &["--gateway", &at]);
    until("it waits for the third time", || {
        let log = node.log();
        let waits: Vec<f32> = log
            .split("trying again in ")
            .skip(1)
            .map(|wait| wait.split(' ').next().unwrap().parse().unwrap())
            .collect();
        match waits[..] {
            [first, second, third, ..] => {
                assert!(first < second && second < third, "{waits:?}");
                Ok(())
            }
            _ => Err(log),
        }
    });
    tls.cuts_after(WHOLE);
    node.links("mtls", 1);
}
