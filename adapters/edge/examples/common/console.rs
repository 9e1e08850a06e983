//! The owner of the examples: a person at this terminal, who pairs by PIN.

use handfast_core::crypto::code::Code;
use handfast_core::flow::native::node::{NativeNodeEvent, PairMethod};
use handfast_edge::native::{NativeCommand, NativeOwnerPort, NativeReport};
use tokio::io::{AsyncBufReadExt, BufReader, Lines, Stdin, stdin};

/// Gives the command to pair by itself; then each typed line is a PIN.
pub(crate) struct Console(Option<NativeCommand>, Lines<BufReader<Stdin>>);

impl Console {
    pub(crate) fn new() -> Self {
        let pair = NativeCommand::Pair(PairMethod::Pin, None);
        Self(Some(pair), BufReader::new(stdin()).lines())
    }
}

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
