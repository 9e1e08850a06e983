//! Running handlers: each in a task of its own, within its deadline, and stopped when the operator
//! cancels it.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use handfast_core::wire::native::link::DispatchId;
use tokio::sync::{mpsc, watch};
use tokio::time::Instant;

use super::{Capabilities, CapabilityCall, CapabilityHandler, CapabilityOutcome};

/// Time that a handler has to follow a cancellation before its future is dropped.
const CANCEL_WITHIN: Duration = Duration::from_secs(5);
/// Number of reports that wait before progress is dropped.
const REPORTS: usize = 64;

/// A dispatch to run.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Task {
    pub(crate) id: DispatchId,
    pub(crate) number: u64,
    pub(crate) capability: String,
    pub(crate) input: Vec<u8>,
    /// Time in which the result is due.
    pub(crate) remaining: Duration,
    /// Maximum length of the result in bytes.
    pub(crate) max_result: usize,
}

/// An event of a task that was started.
#[derive(Debug)]
pub(crate) struct TaskEvent {
    pub(crate) id: DispatchId,
    pub(crate) report: TaskReport,
}

/// The content of a [`TaskEvent`].
#[derive(Debug)]
pub(crate) enum TaskReport {
    Progress {
        percent: Option<u8>,
        note: Option<String>,
    },
    AwaitsPerson,
    GoesOn,
    /// The task has ended; `None` if its deadline came first.
    Ended(Option<CapabilityOutcome>),
}

/// The tasks that run.
#[derive(Debug)]
pub(crate) struct CapabilityRunner {
    capabilities: Capabilities,
    running: HashMap<DispatchId, watch::Sender<bool>>,
    reports: mpsc::Sender<TaskEvent>,
    events: mpsc::Receiver<TaskEvent>,
}

impl CapabilityRunner {
    pub(crate) fn new(capabilities: Capabilities) -> Self {
        let (reports, events) = mpsc::channel(REPORTS);
        Self { capabilities, running: HashMap::new(), reports, events }
    }

    pub(crate) const fn capabilities(&self) -> &Capabilities {
        &self.capabilities
    }

    /// Returns the handler of a capability that is available, or the reason for which a dispatch to
    /// it is rejected.
    pub(crate) fn handler(&self, name: &str) -> Result<Arc<dyn CapabilityHandler>, &'static str> {
        let handler = self.capabilities.get(name).ok_or("this node has no such capability")?;
        if !handler.is_available() {
            return Err("this capability is not available at the moment");
        }
        Ok(handler.clone())
    }

    /// Starts a task. Its end is among the [events](Self::next).
    pub(crate) fn start(&mut self, handler: Arc<dyn CapabilityHandler>, task: Task) {
        let (cancel, cancelled) = watch::channel(false);
        self.running.insert(task.id, cancel);
        let reports = self.reports.clone();
        tokio::spawn(async move {
            let id = task.id;
            let outcome = run(handler, task, reports.clone(), cancelled).await;
            // The node may have ended.
            let _ = reports.send(TaskEvent { id, report: TaskReport::Ended(outcome) }).await;
        });
    }

    /// Asks the handler of a task to stop. Returns `false` if it does not run.
    pub(crate) fn cancel(&self, id: &DispatchId) -> bool {
        self.running.get(id).is_some_and(|cancel| cancel.send(true).is_ok())
    }

    /// Waits for the next event. Dropping the future loses nothing.
    pub(crate) async fn next(&mut self) -> TaskEvent {
        match self.events.recv().await {
            Some(event) => {
                if let TaskReport::Ended(_) = event.report {
                    self.running.remove(&event.id);
                }
                event
            }
            // This value holds a sender, so the channel never closes.
            None => std::future::pending().await,
        }
    }
}

/// Runs a task to its end; `None` if its deadline came first.
async fn run(
    handler: Arc<dyn CapabilityHandler>,
    task: Task,
    reports: mpsc::Sender<TaskEvent>,
    mut cancelled: watch::Receiver<bool>,
) -> Option<CapabilityOutcome> {
    let Task { id, input, max_result, remaining, .. } = task;
    let deadline = Instant::now() + remaining;
    let cancel = cancelled.clone();
    let call = CapabilityCall { id, input, max_result, deadline, reports, cancelled: cancel };
    // A task of its own, so that a handler that panics ends only itself. It is aborted with the
    // guard.
    let mut running = AbortOnDrop(tokio::spawn(async move { handler.call(call).await }));
    let stopped = async {
        if cancelled.wait_for(|cancelled| *cancelled).await.is_err() {
            // Nobody is left to cancel the task, and its deadline still counts.
            std::future::pending::<()>().await;
        }
        tokio::time::sleep(CANCEL_WITHIN).await;
    };
    tokio::select! {
        ended = &mut running.0 => Some(match ended {
            Ok(CapabilityOutcome::Succeeded(result)) if result.len() > max_result => {
                CapabilityOutcome::Failed(format!(
                    "the result has {} bytes, and at most {max_result} were asked for",
                    result.len()
                ))
            }
            Ok(outcome) => outcome,
            Err(_) => CapabilityOutcome::Failed("the handler panicked; its log says why".to_owned()),
        }),
        () = stopped => Some(CapabilityOutcome::Cancelled),
        () = tokio::time::sleep_until(deadline) => None,
    }
}

/// A task that ends when this is dropped.
struct AbortOnDrop(tokio::task::JoinHandle<CapabilityOutcome>);

impl Drop for AbortOnDrop {
    fn drop(&mut self) {
        self.0.abort();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Does what its input says.
    struct Obeys;

    #[async_trait::async_trait]
    impl CapabilityHandler for Obeys {
        fn name(&self) -> &str {
            "obeys"
        }

        fn version(&self) -> &str {
            "1"
        }

        async fn call(&self, call: CapabilityCall) -> CapabilityOutcome {
            match call.input() {
                b"long" => CapabilityOutcome::Succeeded(vec![0; call.max_result() + 1]),
                b"panic" => panic!("as asked"),
                b"report" => {
                    call.progress(Some(200), Some("half-way"));
                    call.awaits_person();
                    CapabilityOutcome::Succeeded(b"done".to_vec())
                }
                b"follow" => {
                    call.cancelled().await;
                    CapabilityOutcome::Cancelled
                }
                _ => std::future::pending().await,
            }
        }
    }

    fn task(input: &[u8]) -> Task {
        Task {
            id: DispatchId::from_bytes([1; 16]),
            number: 7,
            capability: "obeys".to_owned(),
            input: input.to_vec(),
            remaining: Duration::from_secs(60),
            max_result: 16,
        }
    }

    fn started(input: &[u8]) -> CapabilityRunner {
        let mut runner = CapabilityRunner::new(Capabilities::none().with(Obeys).unwrap());
        let handler = runner.handler("obeys").unwrap();
        runner.start(handler, task(input));
        runner
    }

    async fn end(runner: &mut CapabilityRunner) -> Option<CapabilityOutcome> {
        loop {
            if let TaskEvent { report: TaskReport::Ended(outcome), .. } = runner.next().await {
                return outcome;
            }
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_task_ends_at_its_deadline_whatever_its_handler_does() {
        let begun = Instant::now();
        assert_eq!(end(&mut started(b"stay")).await, None);
        assert_eq!(begun.elapsed(), Duration::from_secs(60));
    }

    #[tokio::test(start_paused = true)]
    async fn a_handler_may_follow_a_cancellation_and_is_dropped_if_it_does_not() {
        for (input, waited) in [(&b"follow"[..], Duration::ZERO), (b"stay", CANCEL_WITHIN)] {
            let (begun, mut runner) = (Instant::now(), started(input));
            assert!(runner.cancel(&DispatchId::from_bytes([1; 16])));
            assert_eq!(end(&mut runner).await, Some(CapabilityOutcome::Cancelled));
            assert_eq!(begun.elapsed(), waited);
            assert!(!runner.cancel(&DispatchId::from_bytes([1; 16])), "it has ended");
        }
    }

    #[tokio::test]
    async fn too_long_a_result_and_a_panic_are_failures() {
        for (input, why) in [(&b"long"[..], "17 bytes"), (b"panic", "panicked")] {
            let Some(CapabilityOutcome::Failed(said)) = end(&mut started(input)).await else {
                panic!("{why}")
            };
            assert!(said.contains(why), "{said}");
        }
    }

    #[tokio::test]
    async fn reports_come_before_the_end_and_shares_end_at_a_hundred() {
        let mut runner = started(b"report");
        let TaskReport::Progress { percent, note } = runner.next().await.report else {
            panic!("progress")
        };
        assert_eq!((percent, note.as_deref()), (Some(100), Some("half-way")));
        assert!(matches!(runner.next().await.report, TaskReport::AwaitsPerson));
        assert_eq!(end(&mut runner).await, Some(CapabilityOutcome::Succeeded(b"done".to_vec())));
    }

    #[test]
    fn what_this_node_cannot_do_is_rejected() {
        let runner = CapabilityRunner::new(Capabilities::none());
        assert!(runner.handler("obeys").is_err_and(|why| why.contains("no such capability")));
    }
}
