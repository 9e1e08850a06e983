use std::sync::Mutex;
use std::sync::atomic::{AtomicU32, Ordering};

use handfast_core::Label;
use handfast_core::link::dispatch::Known;

use super::*;
use crate::capability::{CapabilityCall, CapabilityHandler, Echo};
use crate::native::record::NativeIdentity;
use crate::state::StateDir;

/// A state directory, and what a node that starts with it has.
struct Home(tempfile::TempDir);

impl Home {
    fn new() -> Self {
        Self(tempfile::tempdir().unwrap())
    }

    fn keeper(&self) -> Arc<NativeKeeper> {
        let state = StateDir::at(self.0.path().join("state")).hold().unwrap();
        let identity = NativeIdentity {
            gateways: vec!["tcp://127.0.0.1:1".parse().unwrap()],
            name: Label::UNKNOWN.into(),
            room: Label::UNKNOWN.into(),
            tokens: self.0.path().join("tokens.json"),
            plain_tokens: true,
        };
        let keys = state.keys().unwrap();
        Arc::new(NativeKeeper::new(state, &identity, &keys).unwrap())
    }

    fn boots(&self, offered: Capabilities) -> NativeDispatches {
        let keeper = self.keeper();
        let board = keeper.load_board().unwrap();
        NativeDispatches::new(keeper, board, offered)
    }
}

fn task(number: u64, capability: &str) -> DispatchWork {
    DispatchWork::Run(Task {
        id: id(number),
        number,
        capability: capability.to_owned(),
        input: b"{}".to_vec(),
        remaining: Duration::from_secs(60),
        max_result: 864,
    })
}

fn id(number: u64) -> DispatchId {
    DispatchId::from_bytes([u8::try_from(number).unwrap(); 16])
}

fn outcome(requests: Vec<NativeRequest>) -> TaskOutcome {
    match requests.into_iter().next() {
        Some(NativeRequest::Outcome(_, outcome)) => outcome,
        _ => panic!("an outcome"),
    }
}

fn known(requests: Vec<NativeRequest>) -> (Known, Vec<u8>) {
    match requests.into_iter().next() {
        Some(NativeRequest::Answer(TaskAnswer { id, number, board })) => {
            (board.known(number, id), board.result(id).unwrap_or_default().to_vec())
        }
        _ => panic!("an answer"),
    }
}

async fn end(dispatches: &mut NativeDispatches) -> TaskOutcome {
    let event = dispatches.next().await;
    outcome(dispatches.happened(event).await.unwrap().into_iter().collect())
}

/// Notes what the board on disk says of its task while it runs.
struct Looks {
    keeper: Arc<Mutex<Option<Arc<NativeKeeper>>>>,
    runs: Arc<AtomicU32>,
}

#[async_trait::async_trait]
impl CapabilityHandler for Looks {
    fn name(&self) -> &str {
        "looks"
    }

    fn version(&self) -> &str {
        "1"
    }

    async fn call(&self, call: CapabilityCall) -> CapabilityOutcome {
        self.runs.fetch_add(1, Ordering::Relaxed);
        let keeper = self.keeper.lock().unwrap().clone().unwrap();
        let board = keeper.read_board().unwrap();
        CapabilityOutcome::Succeeded(format!("{:?}", board.known(1, call.id())).into_bytes())
    }
}

#[tokio::test]
async fn a_task_is_on_the_disk_before_it_runs_and_its_result_before_it_is_told() {
    let home = Home::new();
    let (keeper, runs) = (Arc::new(Mutex::new(None)), Arc::new(AtomicU32::new(0)));
    let looks = Looks { keeper: keeper.clone(), runs: runs.clone() };
    let mut dispatches = home.boots(Capabilities::none().with(looks).unwrap());
    *keeper.lock().unwrap() = Some(dispatches.keeper.clone());
    assert_eq!(
        outcome(dispatches.carry_out(task(1, "looks")).await.unwrap()),
        TaskOutcome::Started
    );
    assert_eq!(end(&mut dispatches).await, TaskOutcome::Succeeded(b"Running".to_vec()));
    let board = dispatches.keeper.read_board().unwrap();
    assert_eq!(board.known(1, id(1)), Known::Done(DispatchEnd::Succeeded));
    assert_eq!(board.result(id(1)), Some(&b"Running"[..]));
    let again = dispatches.carry_out(task(1, "looks")).await.unwrap();
    assert_eq!(known(again), (Known::Done(DispatchEnd::Succeeded), b"Running".to_vec()));
    assert_eq!(runs.load(Ordering::Relaxed), 1, "it runs once");
}

/// Never ends by itself.
struct Stays;

#[async_trait::async_trait]
impl CapabilityHandler for Stays {
    fn name(&self) -> &str {
        "stays"
    }

    fn version(&self) -> &str {
        "1"
    }

    async fn call(&self, _: CapabilityCall) -> CapabilityOutcome {
        std::future::pending().await
    }
}

#[tokio::test]
async fn what_ran_when_the_node_ended_is_interrupted_and_is_not_run_again() {
    let home = Home::new();
    let offered = || Capabilities::none().with(Stays).unwrap();
    let mut dispatches = home.boots(offered());
    dispatches.carry_out(task(1, "stays")).await.unwrap();
    let query = |number| DispatchWork::Query(id(number), number);
    assert_eq!(known(dispatches.carry_out(query(1)).await.unwrap()).0, Known::Running);
    drop(dispatches);
    let mut dispatches = home.boots(offered());
    assert_eq!(known(dispatches.carry_out(query(1)).await.unwrap()).0, Known::Interrupted);
    assert_eq!(known(dispatches.carry_out(query(2)).await.unwrap()).0, Known::NeverCame);
    let again = dispatches.carry_out(task(1, "stays")).await.unwrap();
    assert_eq!(known(again).0, Known::Interrupted);
}

#[tokio::test(start_paused = true)]
async fn a_task_ends_when_it_is_cancelled_or_its_time_is_over() {
    for cancels in [true, false] {
        let home = Home::new();
        let mut dispatches = home.boots(Capabilities::none().with(Stays).unwrap());
        dispatches.carry_out(task(1, "stays")).await.unwrap();
        if cancels {
            dispatches.carry_out(DispatchWork::Cancel(id(1))).await.unwrap();
        }
        let expected = if cancels { TaskOutcome::Cancelled } else { TaskOutcome::TimedOut };
        assert_eq!(end(&mut dispatches).await, expected);
    }
}

#[tokio::test]
async fn what_the_node_does_not_offer_is_rejected_and_kept_as_such() {
    let home = Home::new();
    let mut dispatches = home.boots(Capabilities::none());
    let told = outcome(dispatches.carry_out(task(1, "echo")).await.unwrap());
    assert!(matches!(told, TaskOutcome::Rejected(_)), "{told:?}");
    drop(dispatches);
    // What is offered later does not make it run: the gateway was told that it did not.
    let mut dispatches = home.boots(Capabilities::none().with(Echo).unwrap());
    let (known, why) = known(dispatches.carry_out(task(1, "echo")).await.unwrap());
    assert_eq!(known, Known::Done(DispatchEnd::Rejected));
    assert!(String::from_utf8(why).unwrap().contains("no such capability"));
}

#[tokio::test]
async fn the_board_forgets_the_oldest_and_takes_nothing_below_it() {
    let home = Home::new();
    let mut dispatches = home.boots(Capabilities::none());
    let mut board = NodeBoard::new();
    for number in 1..=300_u64 {
        let mut bytes = [0; 16];
        bytes[..8].copy_from_slice(&number.to_be_bytes());
        assert_eq!(board.take(number, DispatchId::from_bytes(bytes)), Taken::Run);
        board.finish(DispatchId::from_bytes(bytes), DispatchEnd::Succeeded, &[7; 128]);
    }
    dispatches.keeper.keep_board(&board).unwrap();
    drop(dispatches);
    dispatches = home.boots(Capabilities::none());
    let told = known(dispatches.carry_out(task(44, "echo")).await.unwrap());
    assert_eq!(told.0, Known::Forgotten);
}

#[test]
fn a_board_that_was_changed_or_is_of_another_node_is_damage() {
    let (home, other) = (Home::new(), Home::new());
    let keeper = home.keeper();
    keeper.keep_board(&NodeBoard::new()).unwrap();
    let path = home.0.path().join("state/board.sealed");
    let bytes = std::fs::read(&path).unwrap();
    let foreign = other.keeper();
    foreign.keep_board(&NodeBoard::new()).unwrap();
    let others = std::fs::read(other.0.path().join("state/board.sealed")).unwrap();
    let mut flipped = bytes.clone();
    *flipped.last_mut().unwrap() ^= 1;
    for wrong in [others, flipped, bytes[..10].to_vec(), Vec::new()] {
        std::fs::write(&path, wrong).unwrap();
        let error = keeper.load_board().unwrap_err().to_string();
        assert!(error.contains("board.sealed") && error.contains("damaged"), "{error}");
    }
    std::fs::write(&path, bytes).unwrap();
    assert!(keeper.load_board().is_ok());
}
