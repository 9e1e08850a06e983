//! An owner who chooses a method, and types the PIN.

use core::cell::RefCell;
use core::future::pending;

use handfast_core::crypto::code::Code;
use handfast_core::crypto::fingerprint::Fingerprint;
use handfast_core::flow::native::node::{NativeNodeEvent, PairMethod};
use handfast_core::wire::native::pair::Selector;
use handfast_edge::native::{NativeCommand, NativeOwnerPort, NativeReport};

use super::gateway::{GATEWAY, NativePlayback};
use super::{Flow, PIN, SELECTOR};
use crate::Notes;

/// Makes the command that starts a flow.
pub(super) fn choice(flow: Flow) -> Option<NativeCommand> {
    let (method, expect) = match flow {
        Flow::Pin => (PairMethod::Pin, None),
        Flow::Code => {
            let (selector, code) = (Selector::parse(SELECTOR)?, Code::parse(PIN).ok()?);
            (PairMethod::Code { selector, code }, None)
        }
        Flow::Setup => (PairMethod::Setup, Some(Fingerprint::parse(GATEWAY).ok()?)),
        Flow::Approval => (PairMethod::Approval, None),
    };
    Some(NativeCommand::Pair(method, expect))
}

/// An owner that enters the PIN when it is awaited, and ends the driver after the heartbeat.
pub(super) struct NativeTypist<'s> {
    pub(super) stage: &'s NativePlayback,
    pub(super) notes: &'s RefCell<Notes<'s>>,
    pub(super) next: Option<NativeCommand>,
    pub(super) linked: bool,
}

impl NativeTypist<'_> {
    fn note(&self, name: &'static str) {
        if self.stage.in_parts()
            && let Ok(mut notes) = self.notes.try_borrow_mut()
        {
            notes.note(name);
        }
    }
}

impl NativeOwnerPort for NativeTypist<'_> {
    async fn command(&mut self) -> NativeCommand {
        if let Some(command) = self.next.take() {
            return command;
        }
        if self.linked && self.stage.heartbeat() {
            self.note("first heartbeat");
            return NativeCommand::Stop;
        }
        pending().await
    }

    async fn tell(&mut self, report: NativeReport<'_>) {
        match report {
            NativeReport::News(NativeNodeEvent::TypeThePin { .. }) => {
                self.note("pair by PIN: connect, handshake, ask");
                self.next = Code::parse(PIN).ok().map(NativeCommand::EnterCode);
            }
            NativeReport::News(NativeNodeEvent::CodeConfirmed) => {
                self.note("pair by PIN: prove it both ways");
            }
            NativeReport::News(NativeNodeEvent::Granted { .. }) => {
                self.note("pair by PIN: remember the gateway, take the grant");
            }
            NativeReport::News(NativeNodeEvent::Linked(_)) => {
                self.note("link: connect, handshake");
                self.linked = true;
            }
            // The recording causes no other reports; if one came, the heartbeat would be missing.
            _ => {}
        }
    }
}
