//! The driver loop of a node, the same for every flow: carries out the machine's effects and feeds
//! events back.
//!
//! ```text
//!             deadline: Connect           open
//!  ┌▶ nothing open ────────▶ opening ─────────────▶ open ──┐
//!  │                            │ fails, takes too long     │ closed, lost, silent
//!  └───────── Disconnected ◀────┴───────────────────────────┘
//! ```
//!
//! Each of the three phases waits for the owner, the node's tasks, the deadline and one more event:
//! none, the opening, the next message. Only reads are ever dropped half-way; a write either completes or
//! ends the link. The machine is stored in a [`Slot`], where its steps change it in place.

mod effects;
pub(crate) mod role;

use core::convert::Infallible;
use core::future::{Future, pending};
use core::pin::{Pin, pin};

use handfast_core::wire::close::Close;
use handfast_core::{Effects, Instant, Machine, Span};

use self::effects::{EffectPorts, NextAction};
use self::role::{
    Commanded, Dialer, EffectOf, InputOf, Link, Received, Refused, Role, Senses, Wake,
};
use crate::ports::Clock;
use crate::select::{Woken, in_place};
use crate::transport::Broken;

/// Time limits of the driver.
#[derive(Clone, Copy)]
pub(crate) struct TimeLimits {
    /// Limit for opening a link.
    pub(crate) open: Span,
    /// Limit for handing one message to the stream.
    pub(crate) write: Span,
    /// Limit for closing a link.
    pub(crate) close: Span,
    /// Delay before the flash is tried again after an error.
    pub(crate) flash_again: Span,
}

/// Storage for a machine; empty until the first run. The empty variant is all zeros, which `Option`
/// does not guarantee, so a static of this type takes no flash.
#[derive(Debug)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
#[repr(u8)]
#[allow(clippy::large_enum_variant, reason = "there is one of these")]
pub(crate) enum Slot<M> {
    Empty = 0,
    Holds(M) = 1,
}

/// The memory that a run works in; all of it is static storage of the board.
pub(crate) struct Workspace<'s, 't, M> {
    pub(crate) slot: &'s mut Slot<M>,
    pub(crate) scratch: &'s mut [u8],
    /// Room for the longest message from the gateway.
    pub(crate) frame: &'s mut [u8],
    /// Room for the longest result of a task.
    pub(crate) output: &'t mut [u8],
}

/// The machine, which stays where it is stored, and the scratch buffer for its steps.
struct MachineInPlace<'s, M> {
    machine: &'s mut M,
    scratch: &'s mut [u8],
}

impl<M: Machine> MachineInPlace<'_, M> {
    /// Returns the time of the machine's next tick.
    fn deadline(&self) -> Option<Instant> {
        self.machine.deadline().map(|(at, _)| at)
    }

    /// Performs one step, and returns the machine with the effects, which do not borrow it. It is
    /// never inlined, so that its stack frame does not become its caller's.
    #[inline(never)]
    fn step<'b>(
        &'b mut self,
        now: Instant,
        input: InputOf<'b, M>,
    ) -> (&'b M, Effects<EffectOf<'b, M>>) {
        let effects = self.machine.step(now, input, self.scratch);
        (self.machine, effects)
    }
}

/// Runs a node from boot until the owner ends it. Nothing else does: failures are reported to the
/// owner and retried.
pub(crate) fn run<R: Role, D: Dialer, C: Clock>(
    (role, clock): (R, C),
    mut dialer: D,
    mut senses: impl Senses<R::Machine, R::Command, D>,
    workspace: Workspace<'_, '_, R::Machine>,
) -> impl Future<Output = ()> {
    // An async function's future would hold all of this twice.
    let mut ports = EffectPorts { role, clock, held: None, kept: None, refused: None };
    let Workspace { slot, scratch, frame, output } = workspace;
    async move {
        let Some(memory) = pin!(in_place(|| ports.load())).await else { return };
        *slot = Slot::Holds(ports.role.boot(ports.clock.now(), memory));
        // From here to its end the run has the machine, and no slot.
        let Slot::Holds(machine) = slot else { return };
        let mut body = MachineInPlace { machine, scratch };
        let mut after = NextAction::Wait;
        loop {
            if !pin!(in_place(|| ports.settle())).await {
                return;
            }
            let (input, otherwise) = match (ports.kept.take(), after) {
                // A stored memory is fed first: the machine defers everything else until it
                // arrives.
                (Some(memory), after) => (ports.role.kept(memory), after),
                (None, NextAction::Stop) => return,
                // The link borrows the dialer, so its life ends before the next one is opened.
                (None, NextAction::Open) => {
                    let opening = pin!(in_place(|| dialer.open()));
                    after = pin!(in_place(|| attend(
                        &mut ports,
                        &mut body,
                        &mut senses,
                        opening,
                        (frame, output)
                    )))
                    .await;
                    continue;
                }
                (None, NextAction::Closed) => {
                    ports.role.left();
                    (senses.disconnected(&mut dialer), NextAction::Wait)
                }
                (None, NextAction::Wait) => {
                    let never = pin!(pending::<Infallible>());
                    match ports.wait(body.deadline(), never, Some(&mut *output)).await {
                        Woken::Deadline => (senses.tick(), NextAction::Wait),
                        Woken::Command(Wake::Command(command)) => {
                            match ports.admit(command).map(|command| senses.command(command)) {
                                Some(Commanded::Input(input)) => (input, NextAction::Wait),
                                Some(Commanded::Stop) => return,
                                Some(Commanded::Nothing) | None => continue,
                            }
                        }
                        Woken::Command(Wake::Task) => continue,
                        Woken::Event(never) => match never {},
                    }
                }
            };
            let (machine, effects) = body.step(ports.clock.now(), input);
            // A step without a link has none to give; the type parameter still needs a value.
            let nothing = &mut None::<D::Link<'_>>;
            after = pin!(in_place(|| ports.carry_out(machine, effects, nothing, otherwise, None)))
                .await;
            R::wipe(body.scratch, &mut []);
        }
    }
}

/// Drives one link, from the attempt to open it to its end. Returns [`NextAction::Closed`] or
/// [`NextAction::Stop`].
async fn attend<R: Role, C: Clock, L: Link, D>(
    ports: &mut EffectPorts<R, C>,
    body: &mut MachineInPlace<'_, R::Machine>,
    senses: &mut impl Senses<R::Machine, R::Command, D>,
    mut opening: Pin<&mut impl Future<Output = Result<L, Broken>>>,
    (frame, output): (&mut [u8], &mut [u8]),
) -> NextAction {
    // One limit covers the whole attempt, however many commands interrupt the wait.
    let overdue = ports.clock.now().after(ports.role.limits().open);
    let mut link = None;
    let mut after = NextAction::Wait;
    // What went wrong with the link; nothing if the owner ends it.
    let broken = loop {
        if after != NextAction::Wait {
            return after;
        }
        if !pin!(in_place(|| ports.settle())).await {
            return NextAction::Stop;
        }
        // The report borrows the output, which a task must not write meanwhile.
        let now = ports.clock.now();
        if let Some(report) = link.as_ref().and_then(|_| ports.role.report(now)) {
            let (machine, effects) = body.step(now, R::reported(report, output));
            after = pin!(in_place(|| {
                ports.carry_out(machine, effects, &mut link, NextAction::Wait, None)
            }))
            .await;
            continue;
        }
        // Bytes of `frame` that this round's message takes.
        let mut length = 0;
        let input = match (ports.kept.take(), &mut link) {
            (Some(memory), _) => ports.role.kept(memory),
            (None, None) => {
                match ports.wait(Some(overdue), opening.as_mut(), Some(&mut *output)).await {
                    Woken::Event(Ok(opened)) => {
                        link = Some(opened);
                        senses.connected()
                    }
                    Woken::Event(Err(broken)) => break Some(broken),
                    Woken::Deadline => break Some(Broken::Overdue),
                    Woken::Command(Wake::Task) => continue,
                    Woken::Command(Wake::Command(command)) => {
                        match ports.admit(command).map(|command| senses.command(command)) {
                            Some(Commanded::Input(input)) => input,
                            Some(Commanded::Stop) => break None,
                            Some(Commanded::Nothing) | None => continue,
                        }
                    }
                }
            }
            (None, Some(open)) => {
                let until = earlier(body.deadline(), open.deadline(ports.clock.now()));
                let woken = ports.wait(until, pin!(open.receive(frame)), Some(&mut *output)).await;
                let now = ports.clock.now();
                match woken {
                    Woken::Command(Wake::Task) => continue,
                    Woken::Command(Wake::Command(command)) => {
                        match ports.admit(command).map(|command| senses.command(command)) {
                            Some(Commanded::Input(input)) => input,
                            Some(Commanded::Stop) => break None,
                            Some(Commanded::Nothing) => {
                                ports.refused = Some(Refused::Nothing);
                                continue;
                            }
                            None => continue,
                        }
                    }
                    // The deadline may have been the link's or the machine's; a tick too early is
                    // harmless to either.
                    Woken::Deadline => {
                        let alive = match open.tick(now) {
                            Ok(true) => ports.bounded(pin!(open.settle())).await,
                            Ok(false) => Ok(()),
                            Err(broken) => Err(broken),
                        };
                        match alive {
                            Ok(()) => senses.tick(),
                            Err(broken) => break Some(broken),
                        }
                    }
                    Woken::Event(Ok(received)) => {
                        // Anything that came proves that the gateway is alive.
                        open.heard(now);
                        let message = match received {
                            Received::Message(message) => message,
                            Received::Nothing => continue,
                            Received::Due => match ports.bounded(pin!(open.settle())).await {
                                Ok(()) => continue,
                                Err(broken) => break Some(broken),
                            },
                        };
                        length = message.length();
                        match senses.message(message) {
                            Some(input) => input,
                            None => continue,
                        }
                    }
                    Woken::Event(Err(broken)) => break Some(broken),
                }
            }
        };
        let (machine, effects) = body.step(ports.clock.now(), input);
        let output = Some(&mut *output);
        after = pin!(in_place(|| {
            ports.carry_out(machine, effects, &mut link, NextAction::Wait, output)
        }))
        .await;
        // Bytes of a partly received message are left alone.
        R::wipe(body.scratch, frame.get_mut(..length).unwrap_or_default());
    };
    // A gateway that violated the protocol is told why before the link is dropped.
    let goodbye = broken.map_or(Some(Close::GOODBYE), Broken::farewell);
    if let (Some(close), Some(open)) = (goodbye, &mut link) {
        ports.say_goodbye(open, close).await;
    }
    match broken {
        Some(broken) => ports.lost(broken).await,
        None => NextAction::Stop,
    }
}

/// Returns the earlier of two times, where `None` never comes.
fn earlier(one: Option<Instant>, other: Option<Instant>) -> Option<Instant> {
    match (one, other) {
        (Some(one), Some(other)) => Some(one.min(other)),
        (one, other) => one.or(other),
    }
}
