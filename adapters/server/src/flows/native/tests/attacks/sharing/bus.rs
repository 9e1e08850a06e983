//! Messages between gateways over a real NATS server, and what strangers on it can do: nothing.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Instant;

use futures_util::StreamExt;
use handfast_core::grant::scope::{Action, Address};
use handfast_core::registry::lifecycle::Decision;
use handfast_core::wire::native::Payload;
use handfast_core::wire::native::link::Policy;
use handfast_store::conformance::NatsServer;

use super::*;
use crate::gateway::operator_types::OperatorError;
use crate::{BusAddress, BusSettings, BusState, Delivered, Published};

fn with_bus(url: &str) -> impl FnOnce(GatewayBuilder) -> GatewayBuilder {
    let bus = BusSettings { address: BusAddress::parse(url).unwrap(), authorities: None };
    let sharing = SharingSettings { bus: Some(bus), ..SharingSettings::default() };
    |builder| builder.sharing(sharing)
}

/// Starts a gateway that is connected to the bus, and takes in what the others send.
async fn on_the_bus(registry: &Registry, nats: &NatsServer, name: &str) -> Served {
    let served = registry.gateway_of(name, with_bus(&nats.url())).await;
    until(|| bus(&served) == Some(BusState::Connected)).await;
    // What was sent before a start is never taken in, by a clock that counts seconds.
    tokio::time::sleep(Duration::from_millis(3200)).await;
    served
}

fn bus(served: &Served) -> Option<BusState> {
    served.gateway.sharing().unwrap().bus
}

async fn knows_the_link(served: &Served, node: &Paired, gateway: &str) {
    let finds = async {
        while served.gateway.linked_elsewhere(node.node_id).await.unwrap().as_deref()
            != Some(gateway)
        {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    };
    tokio::time::timeout(Duration::from_secs(10), finds).await.expect("it is claimed");
}

async fn says(served: &Served, node: &Paired, text: &str) -> Result<Delivered, OperatorError> {
    let address = Address::parse("/lights/hall").unwrap();
    let payload = Payload::new(text.as_bytes()).unwrap();
    served.gateway.deliver_app(node.node_id, Action::Write, &address, &payload).await
}

/// Hears the application messages until one says this. Returns those before it.
async fn hears_until(client: &mut Client, last: &str) -> Vec<String> {
    let mut heard = Vec::new();
    let hears = async {
        loop {
            let text = client.hear(|message| match message {
                FromGateway::App(app) => {
                    Some(String::from_utf8(app.bytes.as_bytes().to_vec()).unwrap())
                }
                _ => None,
            });
            match text.await.expect("the link stands") {
                Some(text) if text == last => return,
                Some(text) => heard.push(text),
                None => {}
            }
        }
    };
    tokio::time::timeout(Duration::from_secs(20), hears).await.expect("it is heard");
    heard
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs PostgreSQL and nats-server"]
async fn a_message_reaches_a_node_that_is_linked_at_another_gateway_over_the_bus() {
    let (registry, nats) = (Registry::new(), NatsServer::start());
    let here = on_the_bus(&registry, &nats, "here").await;
    let there = on_the_bus(&registry, &nats, "there.2").await;
    let node = here.paired("lamp").await;
    assert!(matches!(says(&here, &node, "nobody").await, Err(OperatorError::NotLinked(_))));
    let mut link = there.link(&node).await;
    knows_the_link(&here, &node, "there.2").await;
    let begun = Instant::now();
    let there_2 = Delivered::At("there.2".to_owned());
    assert_eq!(says(&here, &node, "one").await.unwrap(), there_2);
    println!("delivered, and answered, after {:?}", begun.elapsed());
    assert_eq!(says(&there, &node, "two").await.unwrap(), Delivered::Here);
    assert_eq!(hears_until(&mut link, "two").await, ["one"]);

    // A node on this wire takes no frame of the other one.
    let frame = here.gateway.deliver_binary(node.node_id, b"x").await;
    assert!(matches!(frame, Err(OperatorError::NotLinked(_))), "{frame:?}");
    link.subscribe("/lights/*").await;
    let (address, payload) = (Address::parse("/lights/a").unwrap(), Payload::new(b"all").unwrap());
    let reached = Published { here: 0, elsewhere: 1, unknown: Vec::new() };
    let subscribed = async {
        while here.gateway.publish_everywhere(&address, &payload).await != reached {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    tokio::time::timeout(Duration::from_secs(10), subscribed).await.expect("it is subscribed");
    assert_eq!(hears_until(&mut link, "all").await, [""; 0]);
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs PostgreSQL and nats-server"]
async fn while_the_bus_is_away_a_message_is_refused_and_names_the_gateway_and_all_else_goes_on() {
    let (registry, nats) = (Registry::new(), NatsServer::start());
    let here = on_the_bus(&registry, &nats, "here").await;
    let there = on_the_bus(&registry, &nats, "there").await;
    let node = here.paired("lamp").await;
    let mut link = there.link(&node).await;
    knows_the_link(&here, &node, "there").await;
    nats.stop();
    until(|| matches!(bus(&here), Some(BusState::Away { .. }))).await;
    let refused = says(&here, &node, "one").await;
    assert!(
        matches!(&refused, Err(OperatorError::Elsewhere { gateway, .. }) if gateway == "there"),
        "{refused:?}"
    );
    let begun = Instant::now();
    here.gateway.decide(node.node_id, &Decision::Mute).await.unwrap();
    let took = hears(&mut link, begun, |message| message == FromGateway::Policy(Policy::Mute));
    assert!(took.await < EVERYWHERE, "hints go over the database meanwhile");
    here.gateway.decide(node.node_id, &Decision::Unmute).await.unwrap();
    nats.start_again();
    until(|| [&here, &there].iter().all(|one| bus(one) == Some(BusState::Connected))).await;
    let again = async {
        while says(&here, &node, "two").await.is_err() {
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    };
    tokio::time::timeout(Duration::from_secs(10), again).await.expect("it is delivered again");
    assert_eq!(hears_until(&mut link, "two").await, [""; 0]);
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs PostgreSQL and nats-server"]
async fn a_gateway_that_does_not_answer_is_said_to_have_not() {
    let (registry, nats) = (Registry::new(), NatsServer::start());
    let here = on_the_bus(&registry, &nats, "here").await;
    // It has no bus.
    let there = registry.gateway("there").await;
    let node = here.paired("lamp").await;
    let _link = there.link(&node).await;
    knows_the_link(&here, &node, "there").await;
    let begun = Instant::now();
    let unanswered = says(&here, &node, "one").await;
    assert!(
        matches!(&unanswered, Err(OperatorError::NoAnswer { gateway, .. }) if gateway == "there"),
        "{unanswered:?}"
    );
    assert!(begun.elapsed() < Duration::from_secs(4), "{:?}", begun.elapsed());
    let (address, payload) = (Address::parse("/lights/a").unwrap(), Payload::new(b"all").unwrap());
    let published = here.gateway.publish_everywhere(&address, &payload).await;
    assert_eq!(published.unknown, ["there"]);
    let refused = says(&there, &node, "here").await;
    assert_eq!(refused.unwrap(), Delivered::Here);
}

/// A stranger on the NATS server who hears all, and repeats and reorders what was heard, and sends
/// things of its own.
async fn stranger(url: String, repeated: Arc<AtomicUsize>) {
    let client = async_nats::connect(url).await.unwrap();
    let mut all = client.subscribe(">").await.unwrap();
    let mut kept: Vec<async_nats::Message> = Vec::new();
    let mut sent = std::collections::HashSet::new();
    while let Some(message) = all.next().await {
        // Its own come back as well.
        if !sent.insert((message.subject.to_string(), message.payload.clone())) {
            continue;
        }
        kept.push(message.clone());
        for old in kept.iter().rev() {
            let mut forged = old.payload.to_vec();
            for at in [0, 20, forged.len() / 2, forged.len() - 1] {
                forged[at] ^= 1;
                let forged = axum::body::Bytes::from(forged.clone());
                sent.insert((old.subject.to_string(), axum::body::Bytes::clone(&forged)));
                client.publish(old.subject.clone(), forged).await.unwrap();
            }
            // To another receiver than it was sealed for, too.
            for subject in [&old.subject, &message.subject] {
                sent.insert((subject.to_string(), old.payload.clone()));
                for _ in 0..2 {
                    client.publish(subject.clone(), old.payload.clone()).await.unwrap();
                    repeated.fetch_add(1, Ordering::Relaxed);
                }
            }
        }
        for junk in [vec![1; 200], Vec::new()] {
            let junk = axum::body::Bytes::from(junk);
            sent.insert((message.subject.to_string(), axum::body::Bytes::clone(&junk)));
            client.publish(message.subject.clone(), junk).await.unwrap();
        }
        // More of them would be a flood, of which the gateways read only so much.
        if kept.len() > 16 {
            kept.remove(0);
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs PostgreSQL and nats-server"]
async fn a_stranger_who_repeats_reorders_and_forges_has_nothing_delivered_twice_and_a_mute_bites_in_time()
 {
    let (registry, nats) = (Registry::new(), NatsServer::start());
    let repeated = Arc::new(AtomicUsize::new(0));
    let hostile = tokio::spawn(stranger(nats.url(), Arc::clone(&repeated)));
    let here = on_the_bus(&registry, &nats, "here").await;
    let there = on_the_bus(&registry, &nats, "there").await;
    let node = here.paired("lamp").await;
    let mut link = there.link(&node).await;
    knows_the_link(&here, &node, "there").await;
    let all: Vec<String> = (0..10).map(|number| number.to_string()).collect();
    for text in &all {
        assert_eq!(says(&here, &node, text).await.unwrap(), Delivered::At("there".to_owned()));
    }
    // What was heard once does not come again, neither soon nor after the stamps are old.
    tokio::time::sleep(Duration::from_secs(2)).await;
    assert_eq!(says(&here, &node, "last").await.unwrap(), Delivered::At("there".to_owned()));
    assert_eq!(hears_until(&mut link, "last").await, all);
    let begun = Instant::now();
    here.gateway.decide(node.node_id, &Decision::Mute).await.unwrap();
    let took = hears(&mut link, begun, |message| message == FromGateway::Policy(Policy::Mute));
    assert!(took.await < EVERYWHERE);
    here.gateway.decide(node.node_id, &Decision::Unmute).await.unwrap();
    let unmuted = |message: FromGateway<'_>| message == FromGateway::Policy(Policy::Unmute);
    hears(&mut link, Instant::now(), unmuted).await;

    // Nor does it at a gateway that has started anew and remembers nothing.
    drop((link, there));
    let there = registry.gateway_of("there", with_bus(&nats.url())).await;
    let mut link = there.link(&node).await;
    knows_the_link(&here, &node, "there").await;
    let again = async {
        while says(&here, &node, "again").await.is_err() {
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
    };
    tokio::time::timeout(Duration::from_secs(20), again).await.expect("it is delivered");
    assert_eq!(hears_until(&mut link, "again").await, [""; 0]);
    let repeated = repeated.load(Ordering::Relaxed);
    println!("{repeated} repetitions");
    assert!(repeated > 100, "{repeated}");
    hostile.abort();
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs PostgreSQL and nats-server"]
async fn a_mute_bites_in_time_where_every_hint_of_the_bus_is_lost() {
    // Each gateway has a server of its own, so none hears a hint of the other; nor is there one of
    // the database while the bus is connected but at a slow pace.
    let (registry, one, other) = (Registry::new(), NatsServer::start(), NatsServer::start());
    let here = on_the_bus(&registry, &one, "here").await;
    let there = on_the_bus(&registry, &other, "there").await;
    let node = here.paired("lamp").await;
    let mut link = there.link(&node).await;
    for (decision, policy) in [
        (Decision::Mute, Policy::Mute),
        (Decision::Unmute, Policy::Unmute),
        (Decision::Mute, Policy::Mute),
    ] {
        let begun = Instant::now();
        here.gateway.decide(node.node_id, &decision).await.unwrap();
        let took = hears(&mut link, begun, |message| message == FromGateway::Policy(policy)).await;
        assert!(took < EVERYWHERE, "{took:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs PostgreSQL and nats-server"]
async fn a_login_of_the_bus_is_used_and_a_wrong_one_is_no_contact() {
    let registry = Registry::new();
    let nats = NatsServer::start_with("authorization { user: handfast, password: \"ge:heim\" }");
    let with = |login: &str| nats.url().replace("nats://", &format!("nats://{login}@"));
    let right = registry.gateway_of("right", with_bus(&with("handfast:ge%3Aheim"))).await;
    until(|| bus(&right) == Some(BusState::Connected)).await;
    let wrong = registry.gateway_of("wrong", with_bus(&with("handfast:falsch"))).await;
    tokio::time::sleep(Duration::from_secs(2)).await;
    assert!(matches!(bus(&wrong), Some(BusState::Away { .. })), "{:?}", bus(&wrong));
    assert!(contact(&wrong).admits(), "the gateway goes on");
}
