//! A board that an operator may give tasks, on this machine: it reads a thermometer at once, and
//! closes a valve, which takes a while. First start a gateway: `handfast serve --listen-tcp
//! 127.0.0.1:8766`, and open pairing. Then `handfast nodes invoke NODE thermometer`.
//!
//! ```text
//! cargo run -p handfast-edge --example dispatch -- 127.0.0.1:8766
//! ```

#[path = "common/board.rs"]
mod board;
#[path = "common/console.rs"]
mod console;

use std::future::pending;
use std::time::{Duration, Instant};

use board::{BoardClock, Forgets, Gateway};
use console::Console;
use getrandom::SysRng;
use handfast_core::Label;
use handfast_core::flow::native::node::{CertificateWish, NodeIdentity};
use handfast_core::wire::native::link::DispatchId;
use handfast_core::wire::native::pair::AskedScopes;
use handfast_core::wire::registration::{PairRequest, Profile};
use handfast_edge::native::memory::keys;
use handfast_edge::native::{
    Capabilities, Capability, DispatchBuffers, Dispatching, NativeBuffers, NativePorts,
    NativeSettings, NoCertificate, Started, Task, TaskEnd, TaskEvent, run,
};
use handfast_edge::ports::NoSensors;
use rand_core::UnwrapErr;

/// The capabilities. One that does no more when it runs twice is idempotent: the gateway may send it
/// again if its outcome was lost.
const ALL: [Capability; 2] = [
    Capability { name: "thermometer", version: "1", available: true, idempotent: true },
    Capability { name: "valve.close", version: "1", available: true, idempotent: false },
];

/// The board's hardware, and the task that runs.
#[derive(Default)]
struct Hardware {
    closing: Option<(DispatchId, tokio::time::Instant)>,
}

/// Writes a result. Inputs and results are JSON, as operators type them.
fn result(text: &str, output: &mut [u8]) -> TaskEnd {
    match output.get_mut(..text.len()) {
        Some(place) => {
            place.copy_from_slice(text.as_bytes());
            TaskEnd::Succeeded(text.len())
        }
        None => TaskEnd::Failed("the result is too long"),
    }
}

impl Capabilities for Hardware {
    fn capability(&self, at: usize) -> Option<Capability> {
        ALL.get(at).copied()
    }

    fn start(&mut self, task: &Task<'_>, output: &mut [u8]) -> Started {
        match task.capability {
            "thermometer" => Started::Ended(result("21.5", output)),
            _ if self.closing.is_some() => Started::Ended(TaskEnd::Rejected("it closes already")),
            // The driver starts only what was announced.
            _ => {
                let done = tokio::time::Instant::now() + Duration::from_millis(200);
                self.closing = Some((task.id, done));
                Started::Runs
            }
        }
    }

    async fn next(&mut self, output: &mut [u8]) -> TaskEvent {
        let Some((id, done)) = self.closing else { return pending().await };
        tokio::time::sleep_until(done).await;
        self.closing = None;
        TaskEvent::Ended(id, result("\"closed\"", output))
    }

    fn cancel(&mut self, _id: DispatchId) {
        // A valve that closes cannot be stopped half-way, so its end is told as always.
    }
}

#[tokio::main(flavor = "current_thread")]
async fn main() {
    let gateway = std::env::args().nth(1).unwrap_or_else(|| "127.0.0.1:8766".to_owned());
    let own = keys(&mut Forgets, &mut UnwrapErr(SysRng)).await.expect("nothing is stored");
    let profile = Profile::parse("{}").expect("an object");
    let name = Label::parse("Board").unwrap_or(Label::UNKNOWN);
    let mut tasks = DispatchBuffers::<256>::new();
    let ports = NativePorts {
        gateway: Gateway(gateway),
        clock: BoardClock(Instant::now()),
        keep: Forgets,
        rng: UnwrapErr(SysRng),
        owner: Console::new(),
        sensors: NoSensors,
        capabilities: Dispatching::new(Hardware::default(), &mut tasks),
        certificate: NoCertificate,
        own: NodeIdentity {
            keys: &own,
            about: PairRequest { name, room: Label::UNKNOWN, profile },
            setup: None,
            wants: AskedScopes::NONE,
            certificate: CertificateWish::None,
            dispatch: true,
        },
    };
    run(ports, &NativeSettings::DEFAULT, &mut NativeBuffers::new()).await;
}
