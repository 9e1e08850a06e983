//! Links of one node at several gateways, and what reaches a node that is linked at another one.

use handfast_core::grant::scope::{Action, Address};
use handfast_core::registry::sessions::Maker;
use handfast_core::wire::native::Payload;
use handfast_core::wire::native::link::{DispatchOutcome, DispatchResult};

use super::super::tasks::{Order, echo, order, worker};
use super::*;
use crate::gateway::operator_types::OperatorError;
use crate::operator::PingError;

async fn holds(served: &Served, node: &Paired, gateway: &str) {
    let found = async || {
        let shown = served.gateway.device_by_prefix(&node.node_id.to_string()).await.unwrap();
        shown.linked_at.as_deref() == Some(gateway)
    };
    let waits = async {
        while !found().await {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    };
    tokio::time::timeout(Duration::from_secs(10), waits).await.expect("it is claimed");
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs PostgreSQL"]
async fn the_newest_link_of_a_node_wins_at_whichever_gateway_it_is_opened() {
    let registry = Registry::new();
    let (here, there) = (registry.gateway("here").await, registry.gateway("there").await);
    let node = here.paired("lamp").await;
    let mut older = here.link(&node).await;
    holds(&there, &node, "here").await;
    let gateways = [("there", &there, &here), ("here", &here, &there), ("there", &there, &here)];
    for (name, newer_at, older_at) in gateways {
        let newer = newer_at.link(&node).await;
        ends(&mut older).await;
        until(|| !older_at.gateway.inner.hub.is_live(node.node_id)).await;
        holds(older_at, &node, name).await;
        assert!(newer_at.gateway.inner.hub.is_live(node.node_id), "the newer one stands");
        older = newer;
    }
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs PostgreSQL"]
async fn of_links_that_open_at_two_gateways_at_once_exactly_one_stays() {
    let registry = Registry::new();
    let (here, there) = (registry.gateway("here").await, registry.gateway("there").await);
    for round in 0..4 {
        let node = here.paired(&format!("lamp {round}")).await;
        let (_one, _other) = tokio::join!(here.link(&node), there.link(&node));
        let live = || {
            [&here, &there]
                .iter()
                .filter(|served| served.gateway.inner.hub.is_live(node.node_id))
                .count()
        };
        until(|| live() == 1).await;
        tokio::time::sleep(Duration::from_millis(300)).await;
        assert_eq!(live(), 1, "and it stays");
    }
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs PostgreSQL"]
async fn a_message_to_a_node_that_is_linked_at_another_gateway_is_refused_and_names_it() {
    let registry = Registry::new();
    let (here, there) = (registry.gateway("here").await, registry.gateway("there").await);
    let node = here.paired("lamp").await;
    let link = there.link(&node).await;
    holds(&here, &node, "there").await;
    let (address, bytes) = (Address::parse("/lights/a").unwrap(), Payload::new(b"on").unwrap());
    assert!(!here.gateway.send_app(Peer::Node(node.node_id), Action::Write, &address, &bytes));
    let refused = here.gateway.not_linked(node.node_id).await;
    assert!(
        matches!(&refused, OperatorError::Elsewhere { gateway, .. } if gateway == "there"),
        "{refused}"
    );
    let pinged = here.gateway.ping(node.node_id).await;
    let gateway = "there".to_owned();
    assert_eq!(pinged, Err(PingError::Elsewhere { node_id: node.node_id, gateway }));
    drop(link);
    let waits = async {
        while !matches!(here.gateway.not_linked(node.node_id).await, OperatorError::NotLinked(_)) {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    };
    tokio::time::timeout(Duration::from_secs(10), waits).await.expect("the claim is given up");
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs PostgreSQL"]
async fn a_task_reaches_a_node_that_is_linked_at_another_gateway_and_its_result_comes_back() {
    let registry = Registry::new();
    let (here, there) = (registry.gateway("here").await, registry.gateway("there").await);
    let node = here.paired("lamp").await;
    let mut client = worker(&there, &node).await;
    let given = here.gateway.invoke(node.node_id, echo(60), Maker::Operator).await.unwrap();
    let id = given.stored.task.id;
    let begun = std::time::Instant::now();
    let heard = tokio::time::timeout(Duration::from_secs(10), order(&mut client)).await.unwrap();
    println!("the task was with the node after {:?}", begun.elapsed());
    assert!(matches!(&heard, Order::Run { id: run, .. } if *run == id), "{heard:?}");
    let outcome = DispatchOutcome::Succeeded(Payload::new(b"{}").unwrap());
    client.say(&FromNode::DispatchResult(DispatchResult { id, outcome })).await;
    let mut known = given;
    while !known.stored.life.state.is_over() {
        let within = Duration::from_secs(5);
        known = here.gateway.await_dispatch(&known, within).await.unwrap();
    }
    assert_eq!(known.stored.life.state.as_str(), "succeeded");
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs PostgreSQL"]
async fn a_task_that_is_cancelled_at_one_gateway_is_stopped_at_once_at_another() {
    let registry = Registry::new();
    let (here, there) = (registry.gateway("here").await, registry.gateway("there").await);
    let node = here.paired("lamp").await;
    let mut client = worker(&there, &node).await;
    let given = here.gateway.invoke(node.node_id, echo(60), Maker::Operator).await.unwrap();
    let id = given.stored.task.id;
    let soon = async |client: &mut Client| {
        tokio::time::timeout(EVERYWHERE, order(client)).await.expect("it is told at once")
    };
    assert!(matches!(soon(&mut client).await, Order::Run { id: run, .. } if run == id));
    let told = here.gateway.cancel_dispatch(node.node_id, id).await.unwrap();
    assert!(told.stored.life.cancelling);
    assert_eq!(soon(&mut client).await, Order::Cancel(id));
    // Another task repeats nothing.
    let other = here.gateway.invoke(node.node_id, echo(60), Maker::Operator).await.unwrap();
    let run = soon(&mut client).await;
    assert!(matches!(run, Order::Run { id, .. } if id == other.stored.task.id), "{run:?}");
    let outcome = DispatchOutcome::Cancelled;
    client.say(&FromNode::DispatchResult(DispatchResult { id, outcome })).await;
    let mut known = told;
    while !known.stored.life.state.is_over() {
        let within = Duration::from_secs(5);
        known = here.gateway.await_dispatch(&known, within).await.unwrap();
    }
    assert_eq!(known.stored.life.state.as_str(), "cancelled");
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs PostgreSQL"]
async fn a_task_that_was_sent_at_one_gateway_is_asked_for_at_the_next_and_never_runs_twice() {
    let registry = Registry::new();
    let (here, there) = (registry.gateway("here").await, registry.gateway("there").await);
    let node = here.paired("lamp").await;
    let mut client = worker(&here, &node).await;
    let given = here.gateway.invoke(node.node_id, echo(60), Maker::Operator).await.unwrap();
    let id = given.stored.task.id;
    assert!(matches!(order(&mut client).await, Order::Run { .. }));
    // The node goes to another gateway without an answer.
    let mut newer = worker(&there, &node).await;
    let heard = tokio::time::timeout(Duration::from_secs(10), order(&mut newer)).await.unwrap();
    assert!(matches!(&heard, Order::Query(asked, _) if *asked == id), "{heard:?}");
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs PostgreSQL"]
async fn of_two_gateways_with_one_name_the_earlier_one_yields_and_says_why() {
    let registry = Registry::new();
    let mut way = Way::to(&registry);
    let earlier = registry.gateway_at(&way.url(&registry), "here", grace(60_000)).await;
    // Its lease ends, and somebody starts another one in its place.
    way.cut();
    tokio::time::sleep(handfast_store::LEASE + Duration::from_secs(1)).await;
    let later = registry.gateway("here").await;
    way.mend();
    until(|| contact(&earlier).admits()).await;
    let node = later.paired("lamp").await;
    let link = later.link(&node).await;
    until(|| earlier.gateway.sharing().unwrap().name_taken).await;
    until(|| !contact(&earlier).admits()).await;
    let sharing = earlier.gateway.sharing().unwrap();
    assert!(sharing.name_taken && sharing.problem().unwrap().contains("name of its own"));
    assert!(contact(&later).admits() && later.gateway.inner.hub.is_live(node.node_id));
    drop(link);
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs PostgreSQL"]
async fn a_gateway_with_nothing_to_do_asks_the_registry_at_most_three_times_a_second() {
    let registry = Registry::alone();
    let server = registry.server();
    // The server's own counts come late, so it logs what it is asked.
    server.sql("postgres", "ALTER SYSTEM SET log_min_duration_statement = 0");
    server.sql("postgres", "ALTER SYSTEM SET log_line_prefix = '%d '");
    server.sql("postgres", "SELECT pg_reload_conf()");
    let _here = registry.gateway("here").await;
    let counted = || {
        let log = std::fs::read_to_string(server.folder().join("server.log")).unwrap();
        let of_it = log.lines().filter(|line| line.starts_with(&registry.database));
        of_it.filter(|line| line.contains("  execute ") || line.contains("  statement: ")).count()
    };
    // The start asks more.
    tokio::time::sleep(Duration::from_secs(2)).await;
    let before = counted();
    tokio::time::sleep(Duration::from_secs(10)).await;
    let asked = counted() - before;
    println!("{asked} statements in 10 s");
    assert!((10..=30).contains(&asked), "{asked}");
}
