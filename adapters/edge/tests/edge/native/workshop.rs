//! The capabilities of the test's node. They note at the gateway what they have run, so that it is
//! known over all lives of the node.

use core::future::pending;
use core::time::Duration;

use handfast_core::wire::native::link::{DispatchId, Percent};
use handfast_edge::native::{
    Capabilities, Capability, CapabilityError, Started, Task, TaskEnd, TaskEvent,
};
use tokio::time::Instant;

use super::gateway::Gateway;

/// Time that a slow task takes.
pub(crate) const SLOW: Duration = Duration::from_secs(5);

/// Length of a result that a board does not keep.
pub(crate) const LONG: usize = 150;

pub(crate) struct Workshop {
    gateway: Gateway,
    slow: Option<SlowTask>,
}

struct SlowTask {
    id: DispatchId,
    ends: Instant,
    told: bool,
    cancelled: bool,
}

impl Workshop {
    pub(crate) fn new(gateway: &Gateway) -> Self {
        Self { gateway: gateway.clone(), slow: None }
    }
}

const fn capability(name: &'static str, available: bool) -> Capability {
    Capability { name, version: "1", available, idempotent: false }
}

impl Capabilities for Workshop {
    fn capability(&self, at: usize) -> Option<Capability> {
        let all = [
            capability("echo", true),
            capability("long", true),
            capability("slow", true),
            capability("away", false),
            capability("Not A Name", true),
        ];
        all.get(at).copied()
    }

    fn start(&mut self, task: &Task<'_>, output: &mut [u8]) -> Started {
        self.gateway.registry().ran.push(task.id.as_bytes()[0]);
        match task.capability {
            "echo" => {
                output[..task.input.len()].copy_from_slice(task.input);
                Started::Ended(TaskEnd::Succeeded(task.input.len()))
            }
            "long" => {
                output[..LONG].fill(b'x');
                Started::Ended(TaskEnd::Succeeded(LONG))
            }
            "slow" => {
                let ends = Instant::now() + SLOW;
                self.slow = Some(SlowTask { id: task.id, ends, told: false, cancelled: false });
                Started::Runs
            }
            other => panic!("{other} was dispatched"),
        }
    }

    async fn next(&mut self, output: &mut [u8]) -> TaskEvent {
        let Some(slow) = &mut self.slow else { return pending().await };
        if !slow.told {
            tokio::time::sleep_until(slow.ends - SLOW / 2).await;
            slow.told = true;
            return TaskEvent::Progress { id: slow.id, percent: Percent::new(50), note: 0 };
        }
        let (id, cancelled) = (slow.id, slow.cancelled);
        if !cancelled {
            tokio::time::sleep_until(slow.ends).await;
        }
        self.slow = None;
        output[..4].copy_from_slice(b"done");
        let end = if cancelled { TaskEnd::Cancelled } else { TaskEnd::Succeeded(4) };
        TaskEvent::Ended(id, end)
    }

    fn cancel(&mut self, id: DispatchId) {
        if let Some(slow) = self.slow.as_mut().filter(|slow| slow.id == id) {
            (slow.cancelled, slow.told) = (true, true);
        }
    }
}

#[test]
fn a_capability_that_cannot_be_announced_says_which_field_is_wrong() {
    let capability =
        |name, version| Capability { name, version, available: true, idempotent: true };
    assert_eq!(capability("saw.cut", "1").check(), Ok(()));
    assert_eq!(capability("Saw", "1").check(), Err(CapabilityError::Name));
    assert_eq!(capability("saw", "1\n").check(), Err(CapabilityError::Version));
}
