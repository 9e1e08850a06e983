//! The whole registration, through the driver.

use core::cell::RefCell;
use core::future::pending;
use core::pin::pin;

use handfast_core::Label;
use handfast_core::flow::registration::node::RegistrationNodeEvent;
use handfast_core::wire::registration::{PairRequest, Profile};
use handfast_core::wire::token::Token;
use handfast_edge::blocking::block_on;
use handfast_edge::ports::{Command, NoSensors, Owner, Report};
use handfast_edge::registration::driver::{
    self, RegistrationBuffers, RegistrationPorts, RegistrationSettings,
};
use handfast_edge::registration::memory::RegistrationFlash;
use handfast_edge::websocket::{Client, WebSocketTarget};

use super::gateway::{CHANCE, MissyPlayback, MissyScript};
use super::script;
use crate::props::{Always, PAGE, RamFlash, Still};
use crate::{Measured, Notes, in_place};

/// Maximum length of a message from the gateway in bytes.
pub const FRAME: usize = 1024;

/// Runs the flow once and notes the cost of each part, measured with `instructions`, an increasing
/// counter. `None` if the script was not played to its end.
pub fn flow(
    buffers: &mut RegistrationBuffers<FRAME>,
    measured: &mut Measured,
    instructions: fn() -> u32,
) -> Option<()> {
    let stage = MissyPlayback::default();
    let notes = RefCell::new(Notes::new(measured, instructions));
    let ports = RegistrationPorts {
        gateway: Client::new(MissyScript(&stage), target()?),
        clock: Still,
        keep: storage(RamFlash::erased())?,
        rng: Always(CHANCE),
        owner: MissyTypist { stage: &stage, notes: &notes, waits: false, linked: false },
        sensors: NoSensors,
        identity: PairRequest {
            name: Label::parse("Lamp")?,
            room: Label::parse("Kitchen")?,
            profile: Profile::EMPTY,
        },
    };
    let size = {
        let mut future =
            pin!(in_place(|| driver::run(ports, &RegistrationSettings::DEFAULT, buffers)));
        block_on(future.as_mut());
        size_of_val(&*future)
    };
    let mut notes = notes.try_borrow_mut().ok()?;
    notes.note("goodbye");
    notes.end(size);
    stage.heartbeat.get().then_some(())
}

/// Names the gateway. It is apart from what makes the driver's future: where that can fail in
/// between, the compiler stores the future twice.
#[inline(never)]
fn target() -> Option<WebSocketTarget<'static>> {
    WebSocketTarget::new("10.0.2.2:8765", "/").ok()
}

/// Makes the storage, as [`target`] does the target.
#[inline(never)]
fn storage(flash: RamFlash<{ 2 * PAGE }>) -> Option<RegistrationFlash<RamFlash<{ 2 * PAGE }>>> {
    RegistrationFlash::new(flash, 0).ok()
}

/// An owner that enters the token when it is awaited, and ends the driver after the heartbeat.
struct MissyTypist<'s> {
    stage: &'s MissyPlayback,
    notes: &'s RefCell<Notes<'s>>,
    waits: bool,
    linked: bool,
}

impl MissyTypist<'_> {
    fn note(&self, name: &'static str) {
        if let Ok(mut notes) = self.notes.try_borrow_mut() {
            notes.note(name);
        }
    }
}

impl Owner for MissyTypist<'_> {
    async fn command(&mut self) -> Command {
        if core::mem::take(&mut self.waits)
            && let Some(token) = Token::parse(script::TOKEN)
        {
            return Command::TokenEntered(token);
        }
        if self.linked && self.stage.heartbeat.get() {
            self.note("heartbeat");
            return Command::Stop;
        }
        pending().await
    }

    async fn tell(&mut self, report: Report<'_>) {
        match report {
            Report::News(RegistrationNodeEvent::WaitsForApproval(_)) => {
                self.note("boot, connect, ask, keep the id");
                self.waits = true;
            }
            Report::News(RegistrationNodeEvent::TokenKept) => {
                self.note("take the token and keep it");
            }
            Report::News(RegistrationNodeEvent::Linked { .. }) => {
                self.note("connect, authenticate");
                self.linked = true;
            }
            // The script causes no other reports; if one came, the heartbeat would be missing.
            _ => {}
        }
    }
}
