//! Tasks for nodes over real sockets: each runs at most once, and only its own node has a say.

use handfast_core::Span;
use handfast_core::crypto::keys::OwnKeys;
use handfast_core::limits::PAYLOAD_BYTES;
use handfast_core::link::dispatch::DispatchState;
use handfast_core::registry::lifecycle::Decision;
use handfast_core::registry::sessions::Maker;
use handfast_core::secret::Secret;
use handfast_core::wire::native::link::{
    Announce, DispatchAnswer, DispatchId, DispatchOutcome, DispatchProgress, DispatchResult, Hello,
    KnownDispatch, Percent,
};
use handfast_core::wire::native::{CapabilityName, Features, Payload, ReasonText};
use handfast_store::{DISPATCHES_QUEUED, DispatchReport, NotQueued};

use super::failing::Failing;
use super::*;
use crate::flows::setup_code::tests::{HERE, World, settings};
use crate::gateway::operator_types::OperatorError;
use crate::http::session_api::tests::{Saying, ask, by};
use crate::operator::{DispatchStatus, NewDispatch};
use crate::policy::setup_settings::SetupSettings;

/// What a node hears about tasks.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Order {
    Run { id: DispatchId, number: u64, input: Vec<u8> },
    Cancel(DispatchId),
    Query(DispatchId, u64),
    Ping,
}

/// Links a node that takes tasks and can echo.
pub(super) async fn worker(served: &Served, node: &Paired) -> Client {
    let mut client = served.called(node).await.unwrap();
    let features = Features::APP.with(Features::PING).with(Features::DISPATCH);
    client.say(&FromNode::Hello(Hello { features, mark: None, holds: None })).await;
    served.is_live(node.node_id).await;
    announce(&mut client, true).await;
    let can = async || !served.gateway.capabilities(node.node_id).await.unwrap().is_empty();
    while !can().await {
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    client
}

async fn announce(client: &mut Client, available: bool) {
    let announce = Announce {
        capability: CapabilityName::parse("echo").unwrap(),
        version: Label::parse("1").unwrap(),
        available,
        idempotent: false,
    };
    client.say(&FromNode::Announce(announce)).await;
}

/// Hears the next message about a task, or a ping.
pub(super) async fn order(client: &mut Client) -> Order {
    loop {
        let heard = client.hear(|message| match message {
            FromGateway::Dispatch(dispatch) => Some(Order::Run {
                id: dispatch.id,
                number: dispatch.number,
                input: dispatch.input.as_bytes().to_vec(),
            }),
            FromGateway::Cancel { id } => Some(Order::Cancel(id)),
            FromGateway::Query { id, number } => Some(Order::Query(id, number)),
            FromGateway::Ping { .. } => Some(Order::Ping),
            _ => None,
        });
        if let Some(order) = heard.await.unwrap() {
            return order;
        }
    }
}

/// Pings the node, and returns what it hears first: the ping, if nothing was sent before.
async fn hears_first(served: &Served, node: &Paired, client: &mut Client) -> Order {
    let (gateway, node_id) = (served.gateway.clone(), node.node_id);
    let ping = tokio::spawn(async move { gateway.ping(node_id).await });
    let first = order(client).await;
    ping.abort();
    first
}

async fn says(client: &mut Client, id: DispatchId, outcome: DispatchOutcome<'_>) {
    client.say(&FromNode::DispatchResult(DispatchResult { id, outcome })).await;
}

pub(super) fn echo(seconds: u64) -> NewDispatch {
    NewDispatch {
        id: Some(DispatchId::new(&entropy::draw())),
        capability: "echo".to_owned(),
        input: b"{\"a\":1}".to_vec(),
        within: Span::from_secs(seconds),
        max_payload: 100,
    }
}

async fn invoke(served: &Served, node: &Paired, new: NewDispatch) -> DispatchStatus {
    served.gateway.invoke(node.node_id, new, Maker::Operator).await.unwrap()
}

async fn refused(served: &Served, node: &Paired, new: NewDispatch) -> NotQueued {
    match served.gateway.invoke(node.node_id, new, Maker::Operator).await {
        Err(OperatorError::NotDispatched { no, .. }) => no,
        other => panic!("{other:?}"),
    }
}

async fn state(served: &Served, of: &DispatchStatus) -> DispatchState {
    let task = &of.stored.task;
    served.gateway.dispatch(task.node_id, task.id).await.unwrap().stored.life.state
}

/// Waits until a task is in this state.
async fn becomes(served: &Served, of: &DispatchStatus, expected: DispatchState) {
    let task = &of.stored.task;
    loop {
        let known = served.gateway.dispatch(task.node_id, task.id).await.unwrap();
        if known.stored.life.state == expected {
            return;
        }
        assert!(!known.stored.life.state.is_over(), "{known:?}");
        served.gateway.await_dispatch(&known, Duration::from_secs(10)).await.unwrap();
    }
}

#[tokio::test]
async fn a_task_reaches_its_node_at_once_and_its_result_comes_back() {
    let served = Served::open().await;
    let lamp = served.paired("lamp").await;
    let mut link = worker(&served, &lamp).await;
    let new = echo(60);
    let task = invoke(&served, &lamp, new.clone()).await;
    let Order::Run { id, number, input } = order(&mut link).await else { panic!("a task") };
    assert_eq!((id, input), (task.stored.task.id, new.input.clone()));
    assert_eq!(number, task.stored.life.number);
    says(&mut link, id, DispatchOutcome::Started).await;
    becomes(&served, &task, DispatchState::Running).await;
    let note = ReasonText::parse("half of it");
    let progress = DispatchProgress { id, percent: Percent::new(50), note };
    link.say(&FromNode::Progress(progress)).await;
    let percent = async || {
        let now = served.gateway.dispatch(lamp.node_id, id).await.unwrap();
        now.progress.and_then(|progress| progress.percent)
    };
    while percent().await != Some(50) {
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    let result = Payload::new(b"{\"b\":2}").unwrap();
    says(&mut link, id, DispatchOutcome::Succeeded(result)).await;
    becomes(&served, &task, DispatchState::Succeeded).await;
    // The same request is answered with what became of it, and nothing is sent.
    let again = invoke(&served, &lamp, new).await;
    assert_eq!(again.stored.report, Some(DispatchReport::Result(b"{\"b\":2}".to_vec())));
    assert_eq!(hears_first(&served, &lamp, &mut link).await, Order::Ping);
}

#[tokio::test]
async fn another_node_answers_in_vain_and_so_does_who_was_never_asked() {
    let served = Served::open().await;
    let (lamp, fan) = (served.paired("lamp").await, served.paired("fan").await);
    let (mut own, mut other) = (worker(&served, &lamp).await, worker(&served, &fan).await);
    let task = invoke(&served, &lamp, echo(60)).await;
    let Order::Run { id, number, .. } = order(&mut own).await else { panic!("a task") };
    let forged = Payload::new(b"\"forged\"").unwrap();
    says(&mut other, id, DispatchOutcome::Succeeded(forged)).await;
    let known = KnownDispatch::NeverCame;
    other.say(&FromNode::Answer(DispatchAnswer { id, number, known })).await;
    let nobodys = DispatchId::new(&entropy::draw());
    says(&mut other, nobodys, DispatchOutcome::Succeeded(forged)).await;
    assert_eq!(hears_first(&served, &fan, &mut other).await, Order::Ping, "its link goes on");
    assert_eq!(state(&served, &task).await, DispatchState::Sent);
    says(&mut own, id, DispatchOutcome::Failed(ReasonText::parse("no bulb").unwrap())).await;
    becomes(&served, &task, DispatchState::Failed).await;
    let kept = served.gateway.dispatch(lamp.node_id, id).await.unwrap();
    assert_eq!(kept.stored.report, Some(DispatchReport::Reason("no bulb".to_owned())));
}

#[tokio::test]
async fn what_waits_is_sent_when_the_node_links_and_what_has_expired_never_is() {
    let served = Served::open().await;
    let lamp = served.paired("lamp").await;
    drop(worker(&served, &lamp).await);
    until(|| !served.gateway.inner.hub.is_live(lamp.node_id)).await;
    let (short, long) =
        (invoke(&served, &lamp, echo(1)).await, invoke(&served, &lamp, echo(60)).await);
    becomes_over(&served, &short).await;
    assert_eq!(state(&served, &short).await, DispatchState::Expired);
    let mut link = worker(&served, &lamp).await;
    let Order::Run { id, .. } = order(&mut link).await else { panic!("a task") };
    assert_eq!(id, long.stored.task.id);
    assert_eq!(hears_first(&served, &lamp, &mut link).await, Order::Ping);
    // It certainly never ran, so it may be sent again; the other one may have run.
    let again =
        served.gateway.retry_dispatch(lamp.node_id, short.stored.task.id, Span::from_secs(60));
    let again = again.await.unwrap();
    let Order::Run { id, number, .. } = order(&mut link).await else { panic!("a task") };
    assert_eq!((id, number), (short.stored.task.id, again.stored.life.number));
    let long =
        served.gateway.retry_dispatch(lamp.node_id, long.stored.task.id, Span::from_secs(60));
    let Err(OperatorError::NotDispatched { no, .. }) = long.await else { panic!("it may run") };
    assert_eq!(no, NotQueued::MayHaveRun);
}

async fn becomes_over(served: &Served, of: &DispatchStatus) {
    let task = &of.stored.task;
    loop {
        let known = served.gateway.dispatch(task.node_id, task.id).await.unwrap();
        if known.stored.life.state.is_over() {
            return;
        }
        served.gateway.await_dispatch(&known, Duration::from_secs(10)).await.unwrap();
    }
}

#[tokio::test]
async fn after_a_lost_link_the_node_is_asked_and_nothing_is_sent_twice() {
    let served = Served::open().await;
    let lamp = served.paired("lamp").await;
    let mut link = worker(&served, &lamp).await;
    let (one, two) =
        (invoke(&served, &lamp, echo(60)).await, invoke(&served, &lamp, echo(60)).await);
    let mut numbers = Vec::new();
    for _ in 0..2 {
        let Order::Run { id, number, .. } = order(&mut link).await else { panic!("a task") };
        numbers.push((id, number));
    }
    drop(link);
    let unknown = DispatchState::Unknown { for_good: false };
    becomes(&served, &one, unknown).await;
    becomes(&served, &two, unknown).await;
    let mut link = worker(&served, &lamp).await;
    for (id, number) in &numbers {
        assert_eq!(order(&mut link).await, Order::Query(*id, *number));
    }
    assert_eq!(hears_first(&served, &lamp, &mut link).await, Order::Ping);
    let known = KnownDispatch::NotKept;
    let ((id, number), (other, its)) = (numbers[0], numbers[1]);
    link.say(&FromNode::Answer(DispatchAnswer { id, number, known })).await;
    becomes(&served, &one, DispatchState::Succeeded).await;
    // An answer about another number is about another sending.
    let known = KnownDispatch::NeverCame;
    link.say(&FromNode::Answer(DispatchAnswer { id: other, number: its + 1, known })).await;
    assert_eq!(hears_first(&served, &lamp, &mut link).await, Order::Ping);
    assert_eq!(state(&served, &two).await, unknown);
    link.say(&FromNode::Answer(DispatchAnswer { id: other, number: its, known })).await;
    becomes_over(&served, &two).await;
    assert_eq!(state(&served, &two).await, DispatchState::Expired);
}

#[tokio::test]
async fn a_task_is_cancelled_at_once_or_when_its_node_agrees() {
    let served = Served::open().await;
    let lamp = served.paired("lamp").await;
    let mut link = worker(&served, &lamp).await;
    let task = invoke(&served, &lamp, echo(60)).await;
    let Order::Run { id, .. } = order(&mut link).await else { panic!("a task") };
    let told = served.gateway.cancel_dispatch(lamp.node_id, id).await.unwrap();
    assert!(told.stored.life.cancelling);
    assert_eq!(order(&mut link).await, Order::Cancel(id));
    says(&mut link, id, DispatchOutcome::Cancelled).await;
    becomes(&served, &task, DispatchState::Cancelled).await;
    // A result that comes after all is kept beside the end.
    says(&mut link, id, DispatchOutcome::Succeeded(Payload::new(b"7").unwrap())).await;
    let late = async || {
        let kept = served.gateway.dispatch(lamp.node_id, id).await.unwrap().stored;
        (kept.life.state, kept.life.late.is_some(), kept.report)
    };
    while !late().await.1 {
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    let kept = DispatchReport::Result(b"7".to_vec());
    assert_eq!(late().await, (DispatchState::Cancelled, true, Some(kept)));

    drop(link);
    until(|| !served.gateway.inner.hub.is_live(lamp.node_id)).await;
    let waits = invoke(&served, &lamp, echo(60)).await;
    let id = waits.stored.task.id;
    served.gateway.cancel_dispatch(lamp.node_id, id).await.unwrap();
    assert_eq!(state(&served, &waits).await, DispatchState::Cancelled, "it was never sent");
}

#[tokio::test]
async fn a_flood_fills_the_queue_of_its_node_alone_and_an_oversized_result_fails() {
    let served = Served::open().await;
    let (lamp, fan) = (served.paired("lamp").await, served.paired("fan").await);
    drop(worker(&served, &lamp).await);
    let mut other = worker(&served, &fan).await;
    until(|| !served.gateway.inner.hub.is_live(lamp.node_id)).await;
    for _ in 0..DISPATCHES_QUEUED {
        invoke(&served, &lamp, echo(60)).await;
    }
    assert_eq!(refused(&served, &lamp, echo(60)).await, NotQueued::Full);
    let task = invoke(&served, &fan, echo(60)).await;
    let Order::Run { id, .. } = order(&mut other).await else { panic!("a task") };
    says(&mut other, id, DispatchOutcome::Succeeded(Payload::new(&[b'1'; 101]).unwrap())).await;
    becomes(&served, &task, DispatchState::Failed).await;
    // All of the flood reaches its node, in order, once.
    let mut link = worker(&served, &lamp).await;
    let mut last = 0;
    for _ in 0..DISPATCHES_QUEUED {
        let Order::Run { number, .. } = order(&mut link).await else { panic!("a task") };
        assert!(number > last);
        last = number;
    }
    assert_eq!(hears_first(&served, &lamp, &mut link).await, Order::Ping);
}

#[tokio::test]
async fn the_longest_input_arrives_whole_and_a_longer_one_is_refused_before_it_is_queued() {
    let served = Served::open().await;
    let lamp = served.paired("lamp").await;
    let mut link = worker(&served, &lamp).await;
    let longest = NewDispatch { input: vec![b'1'; PAYLOAD_BYTES], ..echo(60) };
    invoke(&served, &lamp, longest.clone()).await;
    let Order::Run { input, .. } = order(&mut link).await else { panic!("a task") };
    assert_eq!(input, longest.input);
    let longer = NewDispatch { input: vec![b'1'; PAYLOAD_BYTES + 1], ..echo(60) };
    let refused = served.gateway.invoke(lamp.node_id, longer, Maker::Operator).await;
    assert!(matches!(refused, Err(OperatorError::Usage(_))), "{refused:?}");
    assert_eq!(hears_first(&served, &lamp, &mut link).await, Order::Ping);
    assert_eq!(served.gateway.open_dispatches(lamp.node_id).await.unwrap(), 1);
}

#[tokio::test]
async fn a_muted_node_gets_no_task_and_one_without_the_messages_rejects_it() {
    let served = Served::open().await;
    let lamp = served.paired("lamp").await;
    let mut link = worker(&served, &lamp).await;
    served.gateway.decide(lamp.node_id, &Decision::Mute).await.unwrap();
    assert_eq!(refused(&served, &lamp, echo(60)).await, NotQueued::Muted);
    served.gateway.decide(lamp.node_id, &Decision::Unmute).await.unwrap();
    announce(&mut link, false).await;
    assert_eq!(hears_first(&served, &lamp, &mut link).await, Order::Ping);
    assert_eq!(refused(&served, &lamp, echo(60)).await, NotQueued::NotAvailable);
    let reboot = NewDispatch { capability: "reboot".to_owned(), ..echo(60) };
    assert_eq!(refused(&served, &lamp, reboot).await, NotQueued::NotAnnounced);
    announce(&mut link, true).await;
    assert_eq!(hears_first(&served, &lamp, &mut link).await, Order::Ping);
    drop(link);
    until(|| !served.gateway.inner.hub.is_live(lamp.node_id)).await;
    // Another software of the same node takes no tasks.
    let task = invoke(&served, &lamp, echo(60)).await;
    let mut older = served.link(&lamp).await;
    becomes_over(&served, &task).await;
    assert_eq!(state(&served, &task).await, DispatchState::Rejected);
    assert_eq!(hears_first(&served, &lamp, &mut older).await, Order::Ping);
}

#[tokio::test]
async fn a_restart_neither_loses_a_task_nor_sends_it_twice() {
    let store = Failing::default();
    let start = async || {
        let builder = Gateway::builder(store.clone()).store_key(Secret::new([7; 32]));
        Served::of(builder.pairing(lets_in("read:/**\n"))).await
    };
    let served = start().await;
    let lamp = served.paired("lamp").await;
    drop(worker(&served, &lamp).await);
    until(|| !served.gateway.inner.hub.is_live(lamp.node_id)).await;
    let task = invoke(&served, &lamp, echo(60)).await;
    served.gateway.shut_down();
    // Queued, and the gateway ends: the next one sends it.
    let served = start().await;
    let mut link = worker(&served, &lamp).await;
    let Order::Run { id, number, .. } = order(&mut link).await else { panic!("a task") };
    assert_eq!(id, task.stored.task.id);
    served.gateway.shut_down();
    drop(link);
    // Sent, and the gateway ends: the next one asks.
    let served = start().await;
    assert_eq!(state(&served, &task).await, DispatchState::Unknown { for_good: false });
    let mut link = worker(&served, &lamp).await;
    assert_eq!(order(&mut link).await, Order::Query(id, number));
    let known = KnownDispatch::Running;
    link.say(&FromNode::Answer(DispatchAnswer { id, number, known })).await;
    becomes(&served, &task, DispatchState::Running).await;
    served.gateway.shut_down();
    drop(link);
    // Running, and the gateway ends: the result comes to the next one.
    let served = start().await;
    let mut link = worker(&served, &lamp).await;
    assert_eq!(order(&mut link).await, Order::Query(id, number));
    says(&mut link, id, DispatchOutcome::Succeeded(Payload::new(b"1").unwrap())).await;
    becomes(&served, &task, DispatchState::Succeeded).await;
    assert_eq!(hears_first(&served, &lamp, &mut link).await, Order::Ping);
}

#[tokio::test]
async fn a_session_gives_tasks_and_reads_results_only_where_its_scopes_name_the_node() {
    let lamp: OwnKeys = keys();
    let profiles = vec![
        ("reader".to_owned(), scopes("read:/gateway/**\n")),
        ("worker".to_owned(), scopes("write:/gateway/nodes/**\n")),
    ];
    let setup = SetupSettings { profiles, ..settings() };
    let builder = Gateway::builder(MemoryStore::default()).setup(setup).pairing(lets_in(""));
    let world = World::of(builder).await;
    let offer = match world.gateway.settle(&asks(&lamp, "lamp", Method::Approval), None).await {
        OwnedVerdict::Offered(offer) => offer,
        other => panic!("{other:?}"),
    };
    let node_id = offer.node_id;
    let store = &world.gateway.inner.store;
    store.activate(node_id, offer.id, unix()).await.unwrap();
    let echo = handfast_store::Capability {
        name: "echo".to_owned(),
        version: "1".to_owned(),
        available: true,
        idempotent: false,
    };
    assert!(store.announce(node_id, echo).await.unwrap());
    let (reads, works) = (world.session_as("reader").await, world.session_as("worker").await);
    let path = format!("/api/v1/nodes/{node_id}/dispatches");
    let body = r#"{"capability":"echo","input":{"secret":1}}"#;
    let refused = ask(&world, HERE, "POST", &path, Saying { body, ..by(&reads) }).await;
    assert_eq!(refused.status, 403);
    let made = ask(&world, HERE, "POST", &path, Saying { body, ..by(&works) }).await;
    assert_eq!(made.status, 200);
    let shown = ask(&world, HERE, "GET", &path, by(&reads)).await;
    assert_eq!(shown.status, 200);
    assert!(!shown.body.contains("secret") && shown.body.contains("echo"), "{}", shown.body);
    let shown = ask(&world, HERE, "GET", &path, by(&works)).await;
    assert!(shown.body.contains("secret"), "{}", shown.body);
}
