//! Pairing and linking through the driver, from the generation of the keys on.

use core::cell::RefCell;
use core::future::pending;
use core::pin::pin;

use handfast_core::Label;
use handfast_core::crypto::code::Code;
use handfast_core::crypto::keys::OwnKeys;
use handfast_core::flow::native::node::{NativeNodeEvent, NodeIdentity, PairMethod};
use handfast_core::wire::registration::{PairRequest, Profile};
use handfast_edge::blocking::block_on;
use handfast_edge::native::memory::{NativeFlash, keys};
use handfast_edge::native::{
    self, NativeBuffers, NativeCommand, NativeOwnerPort, NativePorts, NativeReport, NativeSettings,
};
use handfast_edge::ports::NoSensors;

use super::gateway::{NativePlayback, NativeScript, SAID_BYTES};
use super::{CHANCE, NAME, PIN, ROOM};
use crate::props::{Always, PAGE, RamFlash, Still};
use crate::{Measured, Notes, in_place};

/// Storage for the node's keys.
pub type Keys = Option<OwnKeys>;

/// Runs the flow once and returns the cost of each part, measured with `instructions`, an
/// increasing counter. `None` if the recording was not played to its end.
pub fn flow(
    buffers: &mut NativeBuffers,
    own: &mut Keys,
    instructions: fn() -> u32,
) -> Option<Measured> {
    let stage = NativePlayback::default();
    let mut flash = RamFlash::<{ 4 * PAGE }>::erased();
    let notes = RefCell::new(Notes::new(instructions));
    make_keys(&mut flash, own)?;
    notes.borrow_mut().note("first boot: make the keys and keep them");
    let ports = NativePorts {
        gateway: NativeScript { stage: &stage, notes: &notes },
        clock: Still,
        keep: NativeFlash::new(&mut flash, 0)?,
        rng: Always(CHANCE),
        owner: NativeTypist {
            stage: &stage,
            notes: &notes,
            next: Some(NativeCommand::Pair(PairMethod::Pin, None)),
            linked: false,
        },
        sensors: NoSensors,
        own: NodeIdentity {
            keys: own.as_ref()?,
            about: PairRequest {
                name: Label::parse(NAME)?,
                room: Label::parse(ROOM)?,
                profile: Profile::EMPTY,
            },
            setup: None,
        },
    };
    let size = {
        let mut future = pin!(in_place(|| native::run(ports, &NativeSettings::DEFAULT, buffers)));
        block_on(future.as_mut());
        size_of_val(&*future)
    };
    let mut measured = stage.heartbeat().then(|| notes.into_inner().end(size))?;
    measured.note("bytes of flash for the recording", SAID_BYTES);
    Some(measured)
}

#[inline(never)]
fn make_keys(flash: &mut RamFlash<{ 4 * PAGE }>, own: &mut Keys) -> Option<()> {
    *own = block_on(keys(&mut NativeFlash::new(flash, 0)?, &mut Always(CHANCE))).ok();
    own.as_ref().map(|_| ())
}

/// An owner that enters the PIN when it is awaited, and ends the driver after the heartbeat.
struct NativeTypist<'s> {
    stage: &'s NativePlayback,
    notes: &'s RefCell<Notes>,
    next: Option<NativeCommand>,
    linked: bool,
}

impl NativeTypist<'_> {
    fn note(&self, name: &'static str) {
        if let Ok(mut notes) = self.notes.try_borrow_mut() {
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
