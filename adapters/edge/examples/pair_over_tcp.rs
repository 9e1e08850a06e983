//! A board's node on this machine, with TCP and this console in place of the board's drivers.
//! First start a gateway: `handfast serve --listen-tcp 127.0.0.1:8766`, and open pairing.
//!
//! ```text
//! cargo run -p handfast-edge --example pair_over_tcp -- 127.0.0.1:8766
//! ```

#[path = "common/board.rs"]
mod board;

use std::time::Instant;

use board::{BoardClock, Forgets, Gateway};
use getrandom::SysRng;
use handfast_core::Label;
use handfast_core::crypto::code::Code;
use handfast_core::flow::native::node::{NativeNodeEvent, NodeIdentity, PairMethod};
use handfast_core::wire::registration::{PairRequest, Profile};
use handfast_edge::native::memory::keys;
use handfast_edge::native::{
    NativeBuffers, NativeCommand, NativeOwnerPort, NativePorts, NativeReport, NativeSettings, run,
};
use handfast_edge::ports::NoSensors;
use rand_core::UnwrapErr;
use tokio::io::{AsyncBufReadExt, BufReader, Lines, Stdin, stdin};

/// Gives the first command by itself; then each typed line is a PIN.
struct Console(Option<NativeCommand>, Lines<BufReader<Stdin>>);

impl NativeOwnerPort for Console {
    async fn command(&mut self) -> NativeCommand {
        if let Some(first) = self.0.take() {
            return first;
        }
        loop {
            match self.1.next_line().await.ok().flatten().map(|line| Code::parse(line.trim())) {
                Some(Ok(pin)) => return NativeCommand::EnterCode(pin),
                Some(Err(_)) => println!("that is no PIN"),
                None => return NativeCommand::Stop,
            }
        }
    }

    async fn tell(&mut self, report: NativeReport<'_>) {
        match report {
            NativeReport::News(NativeNodeEvent::TypeThePin { .. }) => println!("Type the PIN:"),
            NativeReport::News(NativeNodeEvent::Linked(id)) => println!("Linked as {id}."),
            other => println!("{other:?}"),
        }
    }
}

#[tokio::main(flavor = "current_thread")]
async fn main() {
    let gateway = std::env::args().nth(1).unwrap_or_else(|| "127.0.0.1:8766".to_owned());
    let own = keys(&mut Forgets, &mut UnwrapErr(SysRng)).await.expect("nothing is stored");
    let profile = Profile::parse("{}").expect("an object");
    let name = Label::parse("Board").unwrap_or(Label::UNKNOWN);
    let pair = NativeCommand::Pair(PairMethod::Pin, None);
    let ports = NativePorts {
        gateway: Gateway(gateway),
        clock: BoardClock(Instant::now()),
        keep: Forgets,
        rng: UnwrapErr(SysRng),
        owner: Console(Some(pair), BufReader::new(stdin()).lines()),
        sensors: NoSensors,
        own: NodeIdentity {
            keys: &own,
            about: PairRequest { name, room: Label::UNKNOWN, profile },
            setup: None,
        },
    };
    run(ports, &NativeSettings::DEFAULT, &mut NativeBuffers::new()).await;
}
