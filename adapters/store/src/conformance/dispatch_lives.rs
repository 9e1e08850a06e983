//! Long random lives of dispatches, on this store and on the one in memory.
#![allow(missing_docs, reason = "the names say it")]

use std::sync::Arc;

use handfast_core::Span;
use handfast_core::link::dispatch::{DispatchEnd, DispatchEvent, Known};

use super::dispatches::{DAY, DONE, MINUTE, capability, task};
use super::reading::Chance;
use super::{START, keyed};
use crate::{Capability, DispatchReport, MemoryStore, Store};

/// Makes the same random calls on this store and on the one in memory.
pub async fn a_long_random_life_of_dispatches_is_the_same_as_in_memory(store: Arc<dyn Store>) {
    let memory = MemoryStore::new();
    let model: &dyn Store = &memory;
    let mut chance = Chance(0xd15_9a7c);
    let mut nodes = Vec::new();
    for _ in 0..3 {
        let record = keyed();
        nodes.push(record.node_id);
        for store in [&*store, model] {
            store.insert(record.clone(), "{}".to_owned(), START).await.unwrap();
            store.announce(record.node_id, capability("echo")).await.unwrap();
        }
    }
    let (mut now, mut tasks) = (START, vec![task(nodes[0])]);
    for round in 0..400 {
        let seconds = if chance.below(60) == 0 { 40 * DAY } else { chance.below(20) };
        now = now.after(Span::from_secs(seconds));
        let node_id = nodes[chance.below(3) as usize];
        let of = tasks[tasks.len() - 1 - chance.below(tasks.len().min(8) as u64) as usize].clone();
        let known = [Known::Running, Known::NeverCame, Known::Forgotten, Known::NotKept];
        let known = known[chance.below(4) as usize];
        let event = match chance.below(9) {
            0 | 1 => DispatchEvent::Pushed { now },
            2 => DispatchEvent::Started,
            3 => DispatchEvent::Outcome(DispatchEnd::Failed),
            4 => DispatchEvent::Cancel,
            5 => DispatchEvent::LinkLost,
            6 => DispatchEvent::Answered { known, now },
            7 => DispatchEvent::Tick { now },
            _ => DONE,
        };
        match chance.below(8) {
            0..=2 => {
                let idempotent = chance.below(2) == 0;
                let announced = Capability { idempotent, ..capability("echo") };
                let task = task(node_id);
                tasks.push(task.clone());
                let here = store.announce(node_id, announced.clone()).await.unwrap();
                assert_eq!(here, model.announce(node_id, announced).await.unwrap());
                let here = store.enqueue(task.clone(), MINUTE, now).await.unwrap();
                assert_eq!(here, model.enqueue(task, MINUTE, now).await.unwrap(), "{round}");
            }
            3 => {
                let here = store.step_open_dispatches(Some(node_id), event, now).await.unwrap();
                let there = model.step_open_dispatches(Some(node_id), event, now).await.unwrap();
                assert_eq!(here, there, "{round}");
            }
            4 => {
                let (of, id) = (of.node_id, of.id);
                let here = store.retry_dispatch(of, id, MINUTE, now).await.unwrap();
                assert_eq!(here, model.retry_dispatch(of, id, MINUTE, now).await.unwrap());
            }
            _ => {
                let report = Some(DispatchReport::Result(vec![chance.below(9) as u8]));
                let (of, id) = (of.node_id, of.id);
                let here = store.step_dispatch(of, id, event, report.clone(), now).await.unwrap();
                let there = model.step_dispatch(of, id, event, report, now).await.unwrap();
                assert_eq!(here, there, "{round}");
            }
        }
        for id in &nodes {
            let here = store.dispatches_of(*id, usize::MAX).await.unwrap();
            assert_eq!(here, model.dispatches_of(*id, usize::MAX).await.unwrap(), "{round}");
            let here = store.open_dispatches(*id).await.unwrap();
            assert_eq!(here, model.open_dispatches(*id).await.unwrap(), "{round}");
        }
        let here = store.dispatches_due(now, 9).await.unwrap();
        assert_eq!(here, model.dispatches_due(now, 9).await.unwrap(), "{round}");
        let here = store.next_dispatch_deadline().await.unwrap();
        assert_eq!(here, model.next_dispatch_deadline().await.unwrap(), "{round}");
    }
}
