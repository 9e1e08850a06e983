//! The program: runs the pump with what the owner set, and anew when that changes.

use core::cell::Cell;
use core::fmt::Write as _;
use core::pin::pin;

use embedded_io_async::{ErrorKind, Read, Write};
use embedded_storage_async::nor_flash::NorFlash;
use handfast_core::flow::registration::node::{Memory, Timing};
use handfast_core::wire::registration::{PairRequest, Profile};
use handfast_edge::memory::{Flash, Keep as _};
use handfast_edge::ports::{Clock, Command, Connector, Owner, Report};
use handfast_edge::pump::{self, Buffers, Ports};
use handfast_edge::websocket::{Client, Target};
use rand_core::CryptoRng;

use crate::console::{Console, Sheet};
use crate::desk::Desk;
use crate::readings::{FromConsole, Readings};
use crate::settings::{Gateway, Kept, MAX_HOST, Settings};
use crate::{Board, Network};

/// The longest message a gateway may send.
const FRAME: usize = 1024;

/// A host, a colon, a port.
const MAX_TARGET: usize = MAX_HOST + 6;

/// Why the program cannot run: the board has no flash to keep things in.
const NO_FLASH: i32 = 3;

/// The node's large buffers, apart from it so that they can be static: moving them about would take their size of stack.
pub struct Space {
    pump: Buffers<FRAME>,
    sheet: Sheet,
    /// As the owner has them now.
    settings: Settings,
    /// As the pump was started with them.
    current: Settings,
}

impl Space {
    /// Empty buffers.
    #[must_use]
    #[expect(clippy::new_without_default, reason = "it is for a static")]
    pub const fn new() -> Self {
        Self { pump: Buffers::new(), sheet: Sheet::new(), settings: Settings::new(), current: Settings::new() }
    }
}

/// Runs the node until the console says `exit`, which it can only on an emulated board, and returns the code given there.
pub async fn run<I, O, N, E, F, C>(board: Board<I, O, N, E, F, C>, space: &mut Space) -> i32
where
    I: Read,
    O: Write,
    N: Network,
    E: CryptoRng,
    F: NorFlash,
    C: Clock + Copy,
{
    let Board { input, output, mut network, mut entropy, mut flash, clock, emulated } = board;
    let Space { pump: buffers, sheet, settings, current } = space;
    let readings = Cell::new(Readings::default());
    // The node's memory has the first two pages, the settings have the next two.
    let after_memory = u32::try_from(Flash::<F>::LENGTH).unwrap_or(u32::MAX);
    let Ok(mut kept) = pin!(in_place(|| Kept::load(&mut flash, after_memory, settings))).await else { return NO_FLASH };
    let mut desk = Desk::new(Console::new(input, output, sheet), settings, &readings, emulated);
    desk.say("Handfast node");

    loop {
        if core::mem::take(&mut desk.changed) {
            let saved = pin!(in_place(|| kept.keep(&mut flash, desk.settings))).await;
            match saved {
                Ok(()) => desk.say("settings kept"),
                Err(_) => desk.say("the settings are used, but flash could not keep them"),
            }
        }
        if let Some(code) = desk.exit {
            desk.leave().await;
            return code;
        }
        let Some(mut keep) = Flash::new(&mut flash, 0) else { return NO_FLASH };
        let memory = keep.load().await;
        current.copy(desk.settings);
        let settings = &*current;
        // A node that remembers nothing keeps silent until its owner lets it ask.
        let gateway = settings.gateway.as_ref().filter(|_| settings.asks || memory != Ok(Memory::Blank));
        let Some(gateway) = gateway else {
            desk.idle().await;
            continue;
        };
        desk.starts(&memory);
        drop(memory);

        let mut authority = heapless::String::<MAX_TARGET>::new();
        // There is room for the longest host.
        let _ = write!(authority, "{}:{}", gateway.host, gateway.port);
        // Nor do settings hold a host that is none.
        let Some(target) = Target::new(&authority, "/") else { return NO_FLASH };
        let ports = Ports {
            gateway: Client::new(Door { network: &mut network, gateway }, target),
            clock,
            keep,
            rng: &mut entropy,
            owner: Seat(&mut desk),
            sensors: FromConsole::new(&readings),
            identity: PairRequest { name: settings.name(), room: settings.room(), profile: Profile::EMPTY },
        };
        let timing = Timing { heartbeat_every: settings.heartbeat_every(), ..Timing::DEFAULT };
        let pump_settings = pump::Settings { timing, ..pump::Settings::DEFAULT };
        pin!(in_place(|| pump::run(ports, &pump_settings, buffers))).await;
    }
}

/// Makes a future where it is to stay. Made by the caller itself, it would be made on the stack, with its full size, and then moved.
#[inline(never)]
fn in_place<F: Future>(make: impl FnOnce() -> F) -> F {
    make()
}

/// The board's network, at the gateway's door.
struct Door<'n, N> {
    network: &'n mut N,
    gateway: &'n Gateway,
}

impl<N: Network> Connector for Door<'_, N> {
    type Stream<'c>
        = N::Stream<'c>
    where
        Self: 'c;

    async fn connect(&mut self) -> Result<Self::Stream<'_>, ErrorKind> {
        self.network.connect(&self.gateway.host, self.gateway.port).await
    }
}

/// The desk, lent to the pump.
struct Seat<'d, 'r, I, O>(&'d mut Desk<'r, I, O>);

impl<I: Read, O: Write> Owner for Seat<'_, '_, I, O> {
    async fn command(&mut self) -> Command {
        self.0.command().await
    }

    async fn tell(&mut self, report: Report<'_>) {
        self.0.tell(report).await;
    }
}
