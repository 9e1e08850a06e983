//! Dispatches: their queue, the life of each, and what nodes have announced.
#![allow(missing_docs, reason = "the names say it")]

use std::sync::Arc;

use handfast_core::flow::identity::clone_counter::Shown;
use handfast_core::link::dispatch::{
    DispatchAction, DispatchEnd, DispatchEvent, DispatchState, Known,
};
use handfast_core::registry::record::{Cause, Credential, Mode, Record, Standing};
use handfast_core::registry::sessions::Maker;
use handfast_core::wire::native::link::DispatchId;
use handfast_core::{NodeId, Span};
use tokio::task::JoinSet;

use super::{START, at, fresh, keyed, load, paired, record, session};
use crate::{
    CAPABILITIES, Capability, DISPATCHES_KEPT, DISPATCHES_QUEUED, DispatchReport, DispatchTask,
    Enqueued, LinkedFrom, NotQueued, SteppedDispatch, Store, StoredDispatch,
};

pub(super) const MINUTE: Span = Span::from_secs(60);
pub(super) const DAY: u64 = 24 * 3600;

/// The events that a node causes or that befall it, at the time of a case's beginning.
pub(super) const SENT: DispatchEvent = DispatchEvent::Pushed { now: START };
pub(super) const DONE: DispatchEvent = DispatchEvent::Outcome(DispatchEnd::Succeeded);

pub(super) fn capability(name: &str) -> Capability {
    let (name, version) = (name.to_owned(), "1".to_owned());
    Capability { name, version, available: true, idempotent: false }
}

pub(super) async fn node(store: &dyn Store) -> NodeId {
    let node = keyed();
    let id = node.node_id;
    store.insert(node, "{}".to_owned(), START).await.unwrap();
    assert!(store.announce(id, capability("echo")).await.unwrap());
    id
}

pub(super) fn task(node_id: NodeId) -> DispatchTask {
    DispatchTask {
        id: DispatchId::from_bytes(fresh()),
        node_id,
        capability: "echo".to_owned(),
        input: br#"{"a":1}"#.to_vec(),
        max_payload: 200,
        maker: Maker::Operator,
    }
}

pub(super) async fn queued(store: &dyn Store, node_id: NodeId) -> StoredDispatch {
    let task = task(node_id);
    let made = store.enqueue(task.clone(), MINUTE, START).await.unwrap().unwrap();
    assert!(matches!(made, Enqueued::New(_)), "{made:?}");
    let dispatch = made.into_dispatch();
    assert_eq!(dispatch.task, task);
    dispatch
}

pub(super) async fn step(
    store: &dyn Store,
    of: &StoredDispatch,
    event: DispatchEvent,
) -> SteppedDispatch {
    let DispatchTask { id, node_id, .. } = of.task;
    let stepped = store.step_dispatch(node_id, id, event, None, START).await.unwrap().unwrap();
    let kept = store.dispatch(node_id, id).await.unwrap();
    assert_eq!(kept.as_ref(), Some(&stepped.dispatch), "the answer is what is stored");
    stepped
}

pub(super) async fn state(store: &dyn Store, of: &StoredDispatch) -> DispatchState {
    store.dispatch(of.task.node_id, of.task.id).await.unwrap().unwrap().life.state
}

async fn refused(store: &dyn Store, task: DispatchTask) -> NotQueued {
    store.enqueue(task, MINUTE, START).await.unwrap().unwrap_err()
}

pub(super) fn ids(dispatches: &[StoredDispatch]) -> Vec<DispatchId> {
    dispatches.iter().map(|one| one.task.id).collect()
}

fn states(stepped: &[SteppedDispatch]) -> Vec<DispatchState> {
    stepped.iter().map(|one| one.dispatch.life.state).collect()
}

pub async fn a_dispatch_reads_back_as_it_was_queued(store: Arc<dyn Store>) {
    let id = node(&*store).await;
    let first = queued(&*store, id).await;
    assert_eq!((first.life.state, first.made_at), (DispatchState::Queued, START));
    assert!(first.life.deadline > START && first.life.deadline <= at(61));
    assert_eq!(store.dispatch(id, first.task.id).await.unwrap(), Some(first.clone()));
    let second = queued(&*store, id).await;
    assert!(second.life.number > first.life.number, "numbers rise");
    assert_eq!(store.open_dispatches(id).await.unwrap(), [first.clone(), second.clone()]);
    assert_eq!(store.dispatches_of(id, 9).await.unwrap(), [second.clone(), first]);
    assert_eq!(store.dispatches_of(id, 1).await.unwrap(), [second]);
    let other = node(&*store).await;
    assert_eq!(store.open_dispatches(other).await.unwrap(), []);
    assert_eq!(store.dispatch(other, task(other).id).await.unwrap(), None);
}

pub async fn a_request_that_is_repeated_is_queued_once(store: Arc<dyn Store>) {
    let id = node(&*store).await;
    let task = task(id);
    let mut all = JoinSet::new();
    for _ in 0..32 {
        let (store, task) = (Arc::clone(&store), task.clone());
        all.spawn(async move { store.enqueue(task, MINUTE, START).await.unwrap().unwrap() });
    }
    let made = all.join_all().await;
    let new = made.iter().filter(|one| matches!(one, Enqueued::New(_))).count();
    assert_eq!(new, 1);
    assert_eq!(store.dispatches_of(id, 99).await.unwrap().len(), 1);
    // What became of it is told again, even when the node takes nothing any more.
    let DispatchTask { id: dispatch, .. } = task;
    let report = Some(DispatchReport::Result(b"2".to_vec()));
    store.step_dispatch(id, dispatch, SENT, None, START).await.unwrap();
    store.step_dispatch(id, dispatch, DONE, report.clone(), at(1)).await.unwrap();
    let (_, version) = load(&*store, id).await.unwrap();
    let muted = Standing::Muted { credential: Credential::Keys, restore: Mode::Full };
    store.save(id, version, muted, at(2)).await.unwrap();
    let again = store.enqueue(task.clone(), MINUTE, at(3)).await.unwrap().unwrap();
    let Enqueued::Before(again) = again else { panic!("{again:?}") };
    assert_eq!((again.life.state, again.report), (DispatchState::Succeeded, report));
    for other in [
        DispatchTask { input: b"{}".to_vec(), ..task.clone() },
        DispatchTask { capability: "reboot".to_owned(), ..task.clone() },
        DispatchTask { node_id: node(&*store).await, ..task },
    ] {
        assert_eq!(refused(&*store, other).await, NotQueued::IdTaken);
    }
}

pub async fn only_what_a_node_has_announced_and_can_do_now_is_queued(store: Arc<dyn Store>) {
    let id = node(&*store).await;
    let of = |name: &str| DispatchTask { capability: name.to_owned(), ..task(id) };
    assert_eq!(refused(&*store, of("reboot")).await, NotQueued::NotAnnounced);
    let away = Capability { available: false, ..capability("reboot") };
    assert!(store.announce(id, away.clone()).await.unwrap());
    assert_eq!(refused(&*store, of("reboot")).await, NotQueued::NotAvailable);
    let back = Capability { version: "2".to_owned(), idempotent: true, ..capability("reboot") };
    assert!(store.announce(id, back.clone()).await.unwrap());
    let made = store.enqueue(of("reboot"), MINUTE, START).await.unwrap().unwrap();
    assert!(made.into_dispatch().life.idempotent);
    assert_eq!(store.capabilities(id).await.unwrap(), [capability("echo"), back]);
    let other = node(&*store).await;
    let others = DispatchTask { capability: "reboot".to_owned(), ..task(other) };
    assert_eq!(refused(&*store, others).await, NotQueued::NotAnnounced, "another node's");
}

pub async fn a_node_announces_so_much_and_no_more(store: Arc<dyn Store>) {
    let id = node(&*store).await;
    for number in 1..CAPABILITIES {
        assert!(store.announce(id, capability(&format!("c{number}"))).await.unwrap());
    }
    assert!(!store.announce(id, capability("one-more")).await.unwrap());
    let newer = Capability { version: "7".to_owned(), ..capability("c1") };
    assert!(store.announce(id, newer.clone()).await.unwrap(), "it replaces its own");
    assert!(store.capabilities(id).await.unwrap().contains(&newer));
    assert_eq!(store.capabilities(id).await.unwrap().len(), CAPABILITIES);
    assert!(!store.announce(keyed().node_id, capability("echo")).await.unwrap());
}

pub async fn only_a_paired_node_of_the_wire_takes_tasks(store: Arc<dyn Store>) {
    let of = |record: Record| {
        let store = Arc::clone(&store);
        async move {
            let id = record.node_id;
            store.insert(record, "{}".to_owned(), START).await.unwrap();
            store.announce(id, capability("echo")).await.unwrap();
            refused(&*store, task(id)).await
        }
    };
    let muted = Standing::Muted { credential: Credential::Keys, restore: Mode::Full };
    assert_eq!(of(Record { standing: muted, ..keyed() }).await, NotQueued::Muted);
    assert_eq!(of(record(paired())).await, NotQueued::TakesNone, "it has a token");
    let revoked = Standing::Revoked { cause: Cause::Unpaired };
    assert_eq!(of(Record { standing: revoked, ..keyed() }).await, NotQueued::NotPaired);
    assert_eq!(refused(&*store, task(keyed().node_id)).await, NotQueued::NotPaired, "nobody");

    let id = node(&*store).await;
    let link = |second| LinkedFrom { address: [192, 0, 2, 1].into(), at: at(second) };
    let offer = store.linked(id, Shown::Nothing, link(0)).await.unwrap().offer.unwrap();
    store.mark_stored(id, offer, START).await.unwrap();
    assert!(store.linked(id, Shown::Foreign, link(DAY)).await.unwrap().quarantined);
    assert_eq!(refused(&*store, task(id)).await, NotQueued::Quarantined);
    assert!(store.release(id, at(DAY)).await.unwrap());
    queued(&*store, id).await;
}

pub async fn a_nodes_queue_is_bounded_and_others_have_room(store: Arc<dyn Store>) {
    let (id, other) = (node(&*store).await, node(&*store).await);
    let mut all = JoinSet::new();
    for _ in 0..DISPATCHES_QUEUED + 16 {
        let (store, task) = (Arc::clone(&store), task(id));
        all.spawn(async move { store.enqueue(task, MINUTE, START).await.unwrap() });
    }
    let made = all.join_all().await;
    assert_eq!(made.iter().filter(|one| one.is_ok()).count(), DISPATCHES_QUEUED);
    assert!(made.iter().all(|one| one.is_ok() || *one == Err(NotQueued::Full)), "{made:?}");
    queued(&*store, other).await;
    let first = store.open_dispatches(id).await.unwrap().remove(0);
    step(&*store, &first, SENT).await;
    assert_eq!(refused(&*store, task(id)).await, NotQueued::Full, "what is sent still counts");
    step(&*store, &first, DONE).await;
    queued(&*store, id).await;
    assert_eq!(refused(&*store, task(id)).await, NotQueued::Full);
}

pub async fn of_pushes_at_once_exactly_one_sends(store: Arc<dyn Store>) {
    let dispatch = queued(&*store, node(&*store).await).await;
    let mut all = JoinSet::new();
    for _ in 0..32 {
        let (store, DispatchTask { id, node_id, .. }) = (Arc::clone(&store), dispatch.task.clone());
        all.spawn(async move {
            let stepped = store.step_dispatch(node_id, id, SENT, None, START).await.unwrap();
            stepped.unwrap().action
        });
    }
    let actions = all.join_all().await;
    let sent = |action: &Option<DispatchAction>| matches!(action, Some(DispatchAction::Send { remaining_ms }) if *remaining_ms >= 60_000);
    assert_eq!(actions.iter().filter(|action| sent(action)).count(), 1, "{actions:?}");
    assert_eq!(actions.iter().filter(|action| action.is_none()).count(), 31);
}

pub async fn what_another_node_says_of_a_dispatch_changes_nothing(store: Arc<dyn Store>) {
    let (id, other) = (node(&*store).await, node(&*store).await);
    let dispatch = queued(&*store, id).await;
    step(&*store, &dispatch, SENT).await;
    let report = Some(DispatchReport::Result(b"forged".to_vec()));
    for event in [DONE, DispatchEvent::Started, DispatchEvent::Cancel] {
        let said = store.step_dispatch(other, dispatch.task.id, event, report.clone(), START).await;
        assert_eq!(said.unwrap(), None);
    }
    assert_eq!(store.dispatch(other, dispatch.task.id).await.unwrap(), None);
    let kept = store.dispatch(id, dispatch.task.id).await.unwrap().unwrap();
    assert_eq!((kept.life.state, kept.report), (DispatchState::Sent, None));
    let nobodys = store.step_dispatch(id, task(id).id, DONE, report, START).await.unwrap();
    assert_eq!(nobodys, None);
}

pub async fn the_first_report_stays_and_a_late_one_stands_beside_the_end(store: Arc<dyn Store>) {
    let id = node(&*store).await;
    let (early, late) = (queued(&*store, id).await, queued(&*store, id).await);
    let told = |text: &str| Some(DispatchReport::Result(text.as_bytes().to_vec()));
    for of in [&early, &late] {
        step(&*store, of, SENT).await;
    }
    let report = |of: &StoredDispatch, text: &'static str| {
        let (store, dispatch) = (Arc::clone(&store), of.task.id);
        async move {
            let said = store.step_dispatch(id, dispatch, DONE, told(text), at(5)).await;
            said.unwrap().unwrap()
        }
    };
    assert!(report(&early, "first").await.changed);
    let again = report(&early, "second").await;
    assert!(!again.changed);
    assert_eq!((again.dispatch.report, again.dispatch.changed_at), (told("first"), at(5)));

    let over = step(&*store, &late, DispatchEvent::Tick { now: at(100) }).await;
    assert_eq!(over.dispatch.life.state, DispatchState::TimedOut);
    let kept = report(&late, "late").await.dispatch;
    assert_eq!(kept.life.state, DispatchState::TimedOut, "what was told as final stays");
    assert_eq!((kept.life.late, kept.report), (Some(DispatchEnd::Succeeded), told("late")));
    let reason = Some(DispatchReport::Reason("no such file".to_owned()));
    let failed = queued(&*store, id).await;
    step(&*store, &failed, SENT).await;
    let event = DispatchEvent::Outcome(DispatchEnd::Failed);
    store.step_dispatch(id, failed.task.id, event, reason.clone(), at(6)).await.unwrap();
    let kept = store.dispatch(id, failed.task.id).await.unwrap().unwrap();
    assert_eq!((kept.life.state, kept.report), (DispatchState::Failed, reason));
}

pub async fn a_result_that_is_longer_than_asked_is_a_failure(store: Arc<dyn Store>) {
    let dispatch = queued(&*store, node(&*store).await).await;
    step(&*store, &dispatch, SENT).await;
    let DispatchTask { id, node_id, max_payload, .. } = dispatch.task;
    let report = Some(DispatchReport::Result(vec![b'1'; usize::from(max_payload) + 1]));
    let said = store.step_dispatch(node_id, id, DONE, report, START).await.unwrap().unwrap();
    assert_eq!(said.dispatch.life.state, DispatchState::Failed);
    let Some(DispatchReport::Reason(reason)) = said.dispatch.report else { panic!("a reason") };
    assert!(reason.contains("201 bytes") && reason.contains("200"), "{reason}");
}

pub async fn after_a_lost_link_the_node_is_asked_and_its_answer_counts(store: Arc<dyn Store>) {
    let id = node(&*store).await;
    let mut all = Vec::new();
    for _ in 0..4 {
        all.push(queued(&*store, id).await);
    }
    for of in &all[..3] {
        step(&*store, of, SENT).await;
    }
    let other = queued(&*store, node(&*store).await).await;
    let lost = DispatchEvent::LinkLost;
    let stepped = store.step_open_dispatches(Some(id), lost, at(1)).await.unwrap();
    let unknown = DispatchState::Unknown { for_good: false };
    assert_eq!(states(&stepped), [unknown, unknown, unknown, DispatchState::Queued]);
    let linked = DispatchEvent::Linked;
    let stepped = store.step_open_dispatches(Some(id), linked, at(2)).await.unwrap();
    let query = Some(DispatchAction::Query);
    let actions: Vec<_> = stepped.iter().map(|one| one.action).collect();
    assert_eq!(actions, [query, query, query, None]);
    assert!(stepped.iter().all(|one| !one.changed), "asking changes nothing");
    assert_eq!(state(&*store, &other).await, DispatchState::Queued, "another node's is spared");
    let now = at(3);
    for (of, known, then) in [
        (&all[0], Known::Done(DispatchEnd::Succeeded), DispatchState::Succeeded),
        (&all[1], Known::NeverCame, DispatchState::Expired),
        (&all[2], Known::Forgotten, DispatchState::Unknown { for_good: true }),
    ] {
        step(&*store, of, DispatchEvent::Answered { known, now }).await;
        assert_eq!(state(&*store, of).await, then);
    }
    assert_eq!(store.open_dispatches(id).await.unwrap().len(), 1, "only the last one waits");
}

pub async fn a_start_of_the_gateway_loses_every_link(store: Arc<dyn Store>) {
    let mut all = Vec::new();
    for _ in 0..3 {
        let dispatch = queued(&*store, node(&*store).await).await;
        step(&*store, &dispatch, SENT).await;
        all.push(dispatch);
    }
    step(&*store, &all[0], DONE).await;
    let lost = store.step_open_dispatches(None, DispatchEvent::LinkLost, at(1)).await.unwrap();
    assert_eq!(lost.len(), 2);
    assert_eq!(state(&*store, &all[0]).await, DispatchState::Succeeded);
    for of in &all[1..] {
        assert_eq!(state(&*store, of).await, DispatchState::Unknown { for_good: false });
    }
}

pub async fn only_what_certainly_never_ran_is_queued_again(store: Arc<dyn Store>) {
    let id = node(&*store).await;
    let (expired, done) = (queued(&*store, id).await, queued(&*store, id).await);
    let retry = |dispatch, node_id| {
        let store = Arc::clone(&store);
        async move { store.retry_dispatch(node_id, dispatch, MINUTE, at(100)).await.unwrap() }
    };
    let waits = retry(expired.task.id, id).await;
    assert_eq!(waits, Err(NotQueued::MayHaveRun), "it is in the queue");
    step(&*store, &expired, DispatchEvent::Tick { now: at(100) }).await;
    for event in [SENT, DONE] {
        step(&*store, &done, event).await;
    }
    assert_eq!(retry(done.task.id, id).await, Err(NotQueued::MayHaveRun));
    assert_eq!(retry(task(id).id, id).await, Err(NotQueued::Unknown));
    let others = retry(expired.task.id, node(&*store).await).await;
    assert_eq!(others, Err(NotQueued::Unknown));
    let again = retry(expired.task.id, id).await.unwrap();
    assert_eq!((again.life.state, again.made_at), (DispatchState::Queued, at(100)));
    assert!(again.life.number > done.life.number && again.life.deadline > at(159));
    assert_eq!(store.dispatch(id, expired.task.id).await.unwrap(), Some(again.clone()));
    assert_eq!(retry(again.task.id, id).await, Err(NotQueued::MayHaveRun), "once");
}

pub async fn nothing_is_sent_for_a_session_that_has_ended(store: Arc<dyn Store>) {
    let id = node(&*store).await;
    let session = session();
    store.insert_session(session.clone()).await.unwrap();
    let by = |maker| DispatchTask { maker, ..task(id) };
    let mine = by(Maker::Session(session.id));
    let made = store.enqueue(mine.clone(), MINUTE, START).await.unwrap().unwrap();
    assert_eq!(made.into_dispatch().task.maker, Maker::Session(session.id));
    store.end_session(session.id, at(1)).await.unwrap();
    let pushed = store.step_dispatch(id, mine.id, SENT, None, at(2)).await.unwrap().unwrap();
    assert_eq!((pushed.action, pushed.dispatch.life.state), (None, DispatchState::Cancelled));
    let late = by(Maker::Session(session.id));
    let late = store.enqueue(late, MINUTE, at(2)).await.unwrap();
    assert_eq!(late, Err(NotQueued::MakerEnded));
}

pub async fn what_becomes_of_a_node_becomes_of_its_tasks(store: Arc<dyn Store>) {
    let id = node(&*store).await;
    let (waits, sent) = (queued(&*store, id).await, queued(&*store, id).await);
    step(&*store, &sent, SENT).await;
    let version = load(&*store, id).await.unwrap().1;
    let revoked = Standing::Revoked { cause: Cause::Unpaired };
    store.save(id, version, revoked, at(1)).await.unwrap();
    assert_eq!(state(&*store, &waits).await, DispatchState::Cancelled);
    assert_eq!(state(&*store, &sent).await, DispatchState::Unknown { for_good: true });

    // A released node is an older state of itself, so it is not asked.
    let id = node(&*store).await;
    let link = |second| LinkedFrom { address: [192, 0, 2, 1].into(), at: at(second) };
    let offer = store.linked(id, Shown::Nothing, link(0)).await.unwrap().offer.unwrap();
    store.mark_stored(id, offer, START).await.unwrap();
    let sent = queued(&*store, id).await;
    for event in [SENT, DispatchEvent::LinkLost] {
        step(&*store, &sent, event).await;
    }
    assert!(store.linked(id, Shown::Foreign, link(DAY)).await.unwrap().alarm);
    assert_eq!(state(&*store, &sent).await, DispatchState::Unknown { for_good: false });
    assert!(store.release(id, at(DAY)).await.unwrap());
    assert_eq!(state(&*store, &sent).await, DispatchState::Unknown { for_good: true });
}

pub async fn what_is_over_does_not_pile_up_and_numbers_go_on_rising(store: Arc<dyn Store>) {
    let id = node(&*store).await;
    let mut last = 0;
    for _ in 0..DISPATCHES_KEPT + 8 {
        let dispatch = queued(&*store, id).await;
        assert!(dispatch.life.number > last);
        last = dispatch.life.number;
        step(&*store, &dispatch, DispatchEvent::Cancel).await;
    }
    let kept = store.dispatches_of(id, usize::MAX).await.unwrap();
    assert_eq!(kept.len(), DISPATCHES_KEPT + 1, "the oldest made way when the last was queued");
    // After a month they are gone, at most 32 a call.
    let later = at(31 * DAY);
    for _ in 0..DISPATCHES_KEPT / 32 + 1 {
        let made = store.enqueue(task(id), MINUTE, later).await.unwrap().unwrap().into_dispatch();
        assert!(made.life.number > last);
        last = made.life.number;
    }
    let kept = store.dispatches_of(id, usize::MAX).await.unwrap();
    assert!(kept.iter().all(|one| one.made_at == later), "{}", kept.len());
}
