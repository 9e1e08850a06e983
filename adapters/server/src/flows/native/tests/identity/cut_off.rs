//! Links that are cut at each byte while a mark goes to the node and its confirmation comes back.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use handfast_core::Instant;
use handfast_core::wire::native::link::{Admission, CloneMark, FromGateway, FromNode, Policy};
use handfast_store::MemoryStore;
use tokio::io::AsyncReadExt;
use tokio::net::{TcpListener, TcpStream};

use super::super::client::Wire;
use super::super::unix;
use super::*;
use crate::clock::{LocalClock, SystemClock};
use crate::connection::framed::FramedTransport;

const LINKS: u64 = 1000;

/// The clocks of this system, after so many hours.
#[derive(Clone, Default)]
struct HoursLater(Arc<AtomicU64>);

impl HoursLater {
    fn seconds(&self) -> u64 {
        self.0.load(Ordering::SeqCst) * 3600
    }
}

impl SystemClock for HoursLater {
    fn wall(&self) -> Duration {
        LocalClock::default().wall() + Duration::from_secs(self.seconds())
    }

    fn elapsed(&self) -> Instant {
        Instant::from_millis(LocalClock::default().elapsed().as_millis() + self.seconds() * 1000)
    }

    fn is_synchronised(&self) -> bool {
        true
    }
}

/// Passes one connection on until one end has sent so many bytes, and then cuts it.
async fn cut_after(server: std::net::SocketAddr, up: u64, down: u64) -> Wire {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move {
        let (mut client, _) = listener.accept().await.unwrap();
        let mut server = TcpStream::connect(server).await.unwrap();
        client.set_nodelay(true).unwrap();
        server.set_nodelay(true).unwrap();
        let (mut from_client, mut to_client) = client.split();
        let (mut from_server, mut to_server) = server.split();
        let (mut up, mut down) = ((&mut from_client).take(up), (&mut from_server).take(down));
        tokio::select! {
            _ = tokio::io::copy(&mut up, &mut to_server) => {}
            _ = tokio::io::copy(&mut down, &mut to_client) => {}
        }
    });
    let stream = TcpStream::connect(address).await.unwrap();
    stream.set_nodelay(true).unwrap();
    Wire::Tcp(FramedTransport::new(stream))
}

/// Links as a node does that stores each mark before it confirms it, until the link is cut or the
/// gateway has heard the confirmation. Returns `true` in the second case.
async fn is_confirmed(world: &World, wire: Wire, stored: &mut Option<CloneMark>) -> bool {
    let Ok((mut client, admission)) = Client::call(wire, &world.keys, &world.key()).await else {
        return false;
    };
    assert_eq!(admission, Admission::Welcome);
    let features = Features::APP.with(Features::CLONE_COUNTER);
    let store = &world.gateway.inner.store;
    let holds = store.grants(world.node_id).await.unwrap().pop().map(|grant| grant.id);
    client.say(&FromNode::Hello(Hello { features, mark: *stored, holds })).await;
    loop {
        let heard = client.hear(|message| match message {
            FromGateway::Mark(mark) => Some(Some(mark)),
            FromGateway::Policy(Policy::Mute) => panic!("it is in quarantine"),
            FromGateway::NotAllowed { .. } => Some(None),
            _ => None,
        });
        match heard.await {
            Ok(Some(Some(mark))) => {
                *stored = Some(mark);
                client.say(&FromNode::MarkStored(mark)).await;
                // Its answer shows that the gateway has heard what was said before.
                client.app("/audio/room1", b"").await;
            }
            Ok(Some(None)) => return true,
            Ok(None) => {}
            Err(_) => return false,
        }
    }
}

#[tokio::test]
async fn a_thousand_links_that_are_cut_at_each_byte_of_the_exchange_of_marks_raise_no_alarm() {
    let clock = HoursLater::default();
    let gateway = Gateway::builder(MemoryStore::default()).clock(clock.clone());
    let world = World::of(gateway, unix().moved(100 * 86_400)).await;
    let store = &world.gateway.inner.store;
    let grant = store.grants(world.node_id).await.unwrap().pop().unwrap();
    store.activate(world.node_id, grant.id, unix()).await.unwrap();
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let server = listener.local_addr().unwrap();
    tokio::spawn(crate::serve_tcp(world.gateway.clone(), listener, std::future::pending()));
    let (mut stored, mut confirmed, mut cut, mut marks) = (None, 0, 0, 0);
    for link in 0..LINKS {
        // A new mark is offered once an hour.
        clock.0.fetch_add(1, Ordering::SeqCst);
        let (most, whole) = (link / 2, u64::MAX);
        let (up, down) = if link % 2 == 0 { (most, whole) } else { (whole, most) };
        let before = stored;
        match is_confirmed(&world, cut_after(server, up, down).await, &mut stored).await {
            true => confirmed += 1,
            false => cut += 1,
        }
        marks += u32::from(stored != before);
        assert!(world.gateway.quarantined().await.unwrap().is_empty(), "link {link}");
    }
    assert!(cut > 300 && confirmed > 300, "{cut} were cut, and {confirmed} were not");
    assert!(marks > confirmed, "some were cut between the mark and its confirmation");
    assert_eq!(world.gateway.older_than_nodes(), None);
}
