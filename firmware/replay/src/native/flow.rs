//! Pairing and linking through the driver, from the generation of the keys on.

use core::cell::RefCell;
use core::pin::pin;

use handfast_core::Label;
use handfast_core::crypto::keys::OwnKeys;
use handfast_core::flow::native::node::{CertificateWish, NodeIdentity};
use handfast_core::wire::native::pair::{AskedScopes, BootstrapToken};
use handfast_core::wire::registration::{PairRequest, Profile};
use handfast_edge::blocking::block_on;
#[cfg(not(feature = "dispatch"))]
use handfast_edge::native::NoCapabilities;
#[cfg(not(feature = "identity"))]
use handfast_edge::native::NoCertificate;
#[cfg(feature = "identity")]
use handfast_edge::native::memory::CertificateFlash;
#[cfg(all(feature = "dispatch", not(feature = "identity")))]
use handfast_edge::native::memory::DispatchFlash;
use handfast_edge::native::memory::{NativeFlash, keys};
use handfast_edge::native::{self, NativeBuffers, NativePorts, NativeSettings};
#[cfg(feature = "dispatch")]
use handfast_edge::native::{
    Capabilities, Capability, DispatchBuffers, Dispatching, Started, Task, TaskEnd,
};
#[cfg(feature = "identity")]
use handfast_edge::native::{CertificateBuffers, Certificates};
use handfast_edge::ports::NoSensors;

use super::gateway::{NativePlayback, NativeScript, SAID_BYTES, SETUP_CODE};
use super::owner::{NativeTypist, choice};
use super::{CHANCE, Flow, NAME, ROOM};
use crate::props::{Always, PAGE, RamFlash, Still};
use crate::{Gauges, Measured, Notes, drive, in_place};

/// Storage for the node's keys.
pub type Keys = Option<OwnKeys>;

/// The flash of the board. It stands in for a chip, so it belongs to no stack.
pub type Flash = RamFlash<{ PAGES * PAGE }>;

/// Storage for the node's tasks.
#[cfg(feature = "dispatch")]
pub type Tasks = DispatchBuffers<256>;

/// Storage for the node's tasks, of which there are none.
#[cfg(not(feature = "dispatch"))]
pub type Tasks = ();

/// Storage for the node's certificate.
#[cfg(feature = "identity")]
pub type Certificate = CertificateBuffers;

/// Storage for the node's certificate, of which there is none.
#[cfg(not(feature = "identity"))]
pub type Certificate = ();

#[cfg(feature = "identity")]
type Storage<'f> = CertificateFlash<&'f mut Flash>;
#[cfg(all(feature = "dispatch", not(feature = "identity")))]
type Storage<'f> = DispatchFlash<&'f mut Flash>;
#[cfg(not(any(feature = "dispatch", feature = "identity")))]
type Storage<'f> = NativeFlash<&'f mut Flash>;

/// Name of the measurement of the stack that lies above the driver's.
pub const SCRIPT_STACK: &str = "bytes of stack of the script";

/// Four pages for the memory and the keys, and those of the board and of the certificate.
const PAGES: usize = 4
    + if cfg!(any(feature = "dispatch", feature = "identity")) { 2 * 11 } else { 0 }
    + if cfg!(feature = "identity") { 2 * 3 } else { 0 };

/// Runs a flow once and notes its cost, that of pairing by PIN in parts. `None` if the recording was
/// not played to its end.
#[inline(never)]
pub fn flow(
    flow: Flow,
    buffers: &mut NativeBuffers,
    own: &mut Keys,
    flash: &mut Flash,
    (tasks, certificate_buffers): (&mut Tasks, &mut Certificate),
    measured: &mut Measured,
    gauges: Gauges,
) -> Option<()> {
    flash.erase_all();
    let stage = NativePlayback::new(flow);
    let notes = RefCell::new(Notes::new(measured, gauges.instructions));
    make_keys(flash, own)?;
    if let Ok(mut notes) = notes.try_borrow_mut() {
        match stage.in_parts() {
            true => notes.note("first boot: make the keys and keep them"),
            false => notes.skip(),
        }
    }
    let ports = NativePorts {
        gateway: NativeScript { stage: &stage, notes: &notes },
        clock: Still,
        keep: Storage::new(flash, 0).ok()?,
        rng: Always(CHANCE),
        owner: NativeTypist { stage: &stage, notes: &notes, next: choice(flow), linked: false },
        sensors: NoSensors,
        capabilities: capabilities(tasks),
        certificate: certificate(certificate_buffers),
        own: NodeIdentity {
            keys: own.as_ref()?,
            about: PairRequest {
                name: Label::parse(NAME)?,
                room: Label::parse(ROOM)?,
                profile: Profile::EMPTY,
            },
            setup: BootstrapToken::new(SETUP_CODE),
            wants: AskedScopes::NONE,
            certificate: CertificateWish::None,
            dispatch: false,
        },
    };
    let (size, depth) = {
        let mut future = pin!(in_place(|| native::run(ports, &NativeSettings::DEFAULT, buffers)));
        let depth = (gauges.depth)();
        drive(future.as_mut());
        (u32::try_from(size_of_val(&*future)).ok()?, depth)
    };
    let mut notes = notes.try_borrow_mut().ok().filter(|_| stage.heartbeat())?;
    if !stage.in_parts() {
        notes.note("pair and link");
    }
    let measured = &mut *notes.measured;
    // The future lies in this frame, but is the driver's.
    measured.note(SCRIPT_STACK, depth.saturating_sub(size));
    if stage.in_parts() {
        measured.note("bytes of the driver's future", size);
        measured.note("bytes of flash for the recordings", SAID_BYTES);
        let stands_in = u32::try_from(PAGES * PAGE).ok()?;
        measured.note("bytes of static RAM that stand in for flash", stands_in);
    }
    Some(())
}

#[cfg(feature = "identity")]
fn certificate(buffers: &mut Certificate) -> Certificates<'_> {
    Certificates::new(buffers)
}

#[cfg(not(feature = "identity"))]
fn certificate(_buffers: &mut Certificate) -> NoCertificate {
    NoCertificate
}

#[cfg(not(feature = "dispatch"))]
fn capabilities(_tasks: &mut Tasks) -> NoCapabilities {
    NoCapabilities
}

#[cfg(feature = "dispatch")]
fn capabilities(tasks: &mut Tasks) -> Dispatching<'_, Echo> {
    Dispatching::new(Echo, tasks)
}

/// A node that returns what it is given.
#[cfg(feature = "dispatch")]
struct Echo;

#[cfg(feature = "dispatch")]
impl Capabilities for Echo {
    fn capability(&self, at: usize) -> Option<Capability> {
        let echo = Capability { name: "echo", version: "1", available: true, idempotent: true };
        (at == 0).then_some(echo)
    }

    fn start(&mut self, task: &Task<'_>, output: &mut [u8]) -> Started {
        for (place, byte) in output.iter_mut().zip(task.input) {
            *place = *byte;
        }
        Started::Ended(TaskEnd::Succeeded(task.input.len()))
    }
}

#[inline(never)]
fn make_keys(flash: &mut Flash, own: &mut Keys) -> Option<()> {
    *own = block_on(keys(&mut NativeFlash::new(flash, 0).ok()?, &mut Always(CHANCE))).ok();
    own.as_ref().map(|_| ())
}
