//! The connection to the NATS server: hints go out, and messages come in.

use std::sync::{Arc, Weak};
use std::time::Duration;

use async_nats::{Client, ConnectOptions, Event, Message};
use axum::extract::ws;
use futures_util::StreamExt;
use futures_util::stream::select;
use handfast_core::NodeId;
use handfast_core::flow::native::gateway::Peer;
use handfast_core::grant::scope::{Action, Address};
use handfast_core::wire::native::Payload;
use tokio::time::Instant;

use super::message::{BusAnswer, BusMessage};
use super::sealed::SealedMessage;
use super::{Bus, BusContact};
use crate::gateway::{Gateway, Inner};

/// The shortest time between two hints.
const PACE: Duration = Duration::from_millis(5);
/// The longest time between two attempts to connect.
const LONGEST_PAUSE: Duration = Duration::from_secs(1);
/// The time after which an outage is told. A shorter one is a reconnection.
const TOLD_AFTER: Duration = Duration::from_secs(1);
/// The most messages that wait to be read, or to be sent.
const QUEUE: usize = 1024;

/// Keeps the connection, and takes in what arrives, as long as the gateway lives.
pub(in crate::gateway::sharing) async fn carry(gateway: Weak<Inner>, bus: Arc<Bus>) {
    let Some(inner) = gateway.upgrade() else { return };
    let mut shutdown = inner.shutdown.subscribe();
    drop(inner);
    let carried = async {
        let Some(client) = connect(&gateway, &bus).await else { return };
        let own = client.subscribe(bus.seal.subject(Some(&bus.own))).await;
        let all = client.subscribe(bus.seal.subject(None)).await;
        let (Ok(own), Ok(all)) = (own, all) else {
            tracing::error!("the bus takes no subscriptions");
            return;
        };
        // It is set once, and nobody sends before.
        let _ = bus.client.set(client);
        let own = own.map(|message| (true, message));
        let mut arriving = select(own, all.map(|message| (false, message)));
        let mut looks = tokio::time::interval(TOLD_AFTER / 2);
        loop {
            tokio::select! {
                arrived = arriving.next() => {
                    let (Some((is_own, message)), Some(inner)) = (arrived, gateway.upgrade()) else {
                        return;
                    };
                    take(&Gateway::new(inner), &bus, is_own, &message).await;
                }
                _ = looks.tick() => bus.tell_outage(),
            }
        }
    };
    tokio::select! {
        () = carried => {}
        // An error says that the gateway is gone.
        _ = shutdown.wait_for(|down| *down) => {}
    }
}

/// Sends hints of this gateway's changes as long as the gateway lives.
pub(in crate::gateway::sharing) async fn tell(gateway: Weak<Inner>, bus: Arc<Bus>) {
    loop {
        let Some(inner) = gateway.upgrade() else { return };
        let Some(services) = inner.sharing.clone() else { return };
        let mut shutdown = inner.shutdown.subscribe();
        drop(inner);
        tokio::select! {
            () = services.shared.committed() => {}
            _ = shutdown.wait_for(|down| *down) => return,
        }
        let Some(inner) = gateway.upgrade() else { return };
        // One that is lost is made up for by the next reading.
        let _ = bus.send(&inner, None, &BusMessage::Hint).await;
        drop(inner);
        tokio::time::sleep(PACE).await;
    }
}

async fn connect(gateway: &Weak<Inner>, bus: &Arc<Bus>) -> Option<Client> {
    let (servers, options) = match bus.settings.options() {
        Ok(made) => made,
        Err(problem) => {
            tracing::error!("the bus cannot be used: {problem}");
            return None;
        }
    };
    let (of, gateway) = (Arc::downgrade(bus), gateway.clone());
    let options: ConnectOptions = options
        .name(format!("handfast {}", bus.own))
        .retry_on_initial_connect()
        .no_echo()
        .ignore_discovered_servers()
        .connection_timeout(Duration::from_secs(3))
        .ping_interval(Duration::from_secs(5))
        .subscription_capacity(QUEUE)
        .client_capacity(QUEUE)
        .reconnect_delay_callback(|attempts| {
            let doubled = 50_u64.saturating_mul(1 << attempts.min(8));
            Duration::from_millis(doubled).min(LONGEST_PAUSE)
        })
        .event_callback(move |event| {
            if let (Some(bus), Some(inner)) = (of.upgrade(), gateway.upgrade()) {
                bus.noted(&inner, &event);
            }
            std::future::ready(())
        });
    match options.connect(servers).await {
        Ok(client) => Some(client),
        Err(error) => {
            tracing::error!(%error, "the bus cannot be used");
            None
        }
    }
}

impl Bus {
    /// Takes in an event of the connection.
    fn noted(&self, inner: &Inner, event: &Event) {
        let is_connected = match event {
            Event::Connected => true,
            Event::Disconnected | Event::Closed => false,
            Event::LameDuckMode | Event::Draining => return,
            Event::SlowConsumer(_) => {
                tracing::debug!("messages came over the bus faster than they were read");
                return;
            }
            Event::ServerError(error) => {
                tracing::debug!(%error, "the NATS server refuses");
                return;
            }
            Event::ClientError(error) => {
                tracing::debug!(%error, "the NATS server cannot be reached");
                return;
            }
        };
        let mut contact = self.contact();
        if contact.is_connected != is_connected {
            let seconds = contact.since.elapsed().as_secs();
            match (is_connected, contact.is_told) {
                (true, true) => tracing::info!("the bus is back after {seconds} s"),
                (true, false) => tracing::info!("the bus is connected"),
                (false, _) => {}
            }
            *contact = BusContact { is_connected, since: Instant::now(), is_told: false };
        }
        drop(contact);
        if let Some(services) = &inner.sharing {
            services.shared.carries_hints(is_connected);
            // Some may have been lost.
            services.shared.hint();
        }
    }

    /// Tells once of an outage that lasts.
    fn tell_outage(&self) {
        let mut contact = self.contact();
        if contact.is_connected || contact.is_told || contact.since.elapsed() < TOLD_AFTER {
            return;
        }
        contact.is_told = true;
        tracing::warn!(
            "the NATS server of the bus cannot be reached: messages to nodes that are linked at \
             other gateways are refused until it can"
        );
    }
}

/// Takes in a message, and answers it.
async fn take(gateway: &Gateway, bus: &Bus, is_own: bool, message: &Message) {
    let inner = &gateway.inner;
    let now = inner.clock.read().wall;
    let Some(sealed) = SealedMessage::parse(&message.payload) else { return };
    if bus.replays().may_open(sealed.stamp.sent, now).is_err() {
        return;
    }
    let mut text = Vec::new();
    let to = is_own.then_some(bus.own.as_str());
    let Some((from, message)) = bus.seal.open(to, &sealed, &mut text) else { return };
    if let Err(why) = bus.replays().take(sealed.stamp, now) {
        tracing::debug!(?why, from, "a message of the bus is not taken in");
        return;
    }
    let (ask, answer) = match message {
        BusMessage::Hint => {
            if let Some(services) = &inner.sharing {
                services.shared.hint();
            }
            return;
        }
        BusMessage::Answer { ask, answer } => {
            let found = bus.asked().remove(&ask);
            if let Some((_, tell)) = found.filter(|(asked, _)| asked == from) {
                // Nobody waits any more if it came too late.
                let _ = tell.send(answer);
            }
            return;
        }
        BusMessage::App { ask, node_id, action, address, bytes } => {
            (ask, app(gateway, node_id, action, address, bytes))
        }
        BusMessage::Frame { ask, node_id, is_text, bytes } => {
            (ask, frame(gateway, node_id, is_text, bytes))
        }
        BusMessage::Publish { ask, address, bytes } => (ask, publish(gateway, address, bytes)),
    };
    // A message to all has no answer.
    if is_own {
        let answer = BusMessage::Answer { ask, answer: answer.unwrap_or(BusAnswer::Refused) };
        // Whoever asked waits for a time and says that there was none.
        let _ = bus.send(inner, Some(from), &answer).await;
    }
}

fn app(
    gateway: &Gateway,
    node_id: [u8; 16],
    action: &str,
    address: &str,
    bytes: &[u8],
) -> Option<BusAnswer> {
    gateway.in_touch().ok()?;
    let (action, address) = (Action::parse(action).ok()?, Address::parse(address).ok()?);
    let peer = Peer::Node(NodeId::from_bytes(node_id));
    let taken = gateway.send_app(peer, action, &address, &Payload::new(bytes)?);
    taken.then_some(BusAnswer::Taken(1))
}

fn frame(gateway: &Gateway, node_id: [u8; 16], is_text: bool, bytes: &[u8]) -> Option<BusAnswer> {
    gateway.in_touch().ok()?;
    let frame = match is_text {
        true => ws::Message::Text(std::str::from_utf8(bytes).ok()?.to_owned().into()),
        false => ws::Message::Binary(bytes.to_vec().into()),
    };
    let taken = gateway.inner.hub.send(NodeId::from_bytes(node_id), frame);
    taken.then_some(BusAnswer::Taken(1))
}

fn publish(gateway: &Gateway, address: &str, bytes: &[u8]) -> Option<BusAnswer> {
    gateway.in_touch().ok()?;
    let taken = gateway.publish(&Address::parse(address).ok()?, &Payload::new(bytes)?);
    Some(BusAnswer::Taken(u32::try_from(taken).unwrap_or(u32::MAX)))
}
