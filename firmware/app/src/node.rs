//! The program: runs the pump of the chosen wire with what the owner set, and anew when that
//! changes.

use core::cell::Cell;
use core::pin::pin;

use embedded_io_async::{ErrorKind, Read, Write};
use embedded_storage_async::nor_flash::NorFlash;
use handfast_edge::ports::{Clock, Connector, Stream};
use rand_core::CryptoRng;

use crate::console::{Console, Sheet};
use crate::desk::Desk;
use crate::readings::Readings;
use crate::settings::{Gateway, Kept, Settings, Wire};
use crate::{Board, Network};

/// Why the program cannot run: the board has no flash to keep things in.
pub(crate) const NO_FLASH: i32 = 3;

/// The node's large buffers, apart from it so that they can be static: moving them about would take
/// their size of stack.
pub struct Space {
    #[cfg(feature = "missy")]
    missy: handfast_edge::pump::Buffers<{ crate::missy::FRAME }>,
    #[cfg(feature = "native")]
    native: handfast_edge::native::Buffers,
    #[cfg(feature = "native")]
    keys: Option<handfast_core::crypto::keys::OwnKeys>,
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
        Self {
            #[cfg(feature = "missy")]
            missy: handfast_edge::pump::Buffers::new(),
            #[cfg(feature = "native")]
            native: handfast_edge::native::Buffers::new(),
            #[cfg(feature = "native")]
            keys: None,
            sheet: Sheet::new(),
            settings: Settings::new(),
            current: Settings::new(),
        }
    }
}

/// Runs the node until the console says `exit`, which it can only on an emulated board, and returns
/// the code given there.
pub async fn run<I, O, N, L, E, F, C>(board: Board<I, O, N, L, E, F, C>, space: &mut Space) -> i32
where
    I: Read,
    O: Write,
    N: Network,
    L: Stream,
    E: CryptoRng,
    F: NorFlash,
    C: Clock + Copy,
{
    let Board { input, output, mut network, mut line, mut entropy, mut flash, clock, emulated } =
        board;
    let Space { sheet, settings, current, .. } = space;
    let readings = Cell::new(Readings::default());
    let Ok(mut kept) = pin!(in_place(|| Kept::load(&mut flash, two_pages::<F>(1), settings))).await
    else {
        return NO_FLASH;
    };
    let mut desk = Desk::new(Console::new(input, output, sheet), settings, &readings, emulated);
    desk.say("Handfast node");
    #[cfg(feature = "native")]
    {
        let parts = (&mut entropy, &mut flash, two_pages::<F>(2));
        if let Err(code) =
            pin!(in_place(|| crate::native::wake(&mut desk, parts, &mut space.keys))).await
        {
            return code;
        }
    }

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
        current.copy(desk.settings);
        let settings = &*current;
        let ended: Result<(), i32> = match &settings.gateway {
            #[cfg(feature = "missy")]
            Some(gateway @ Gateway { wire: Wire::WEB_SOCKET, .. }) => {
                let parts = (&mut network, &mut entropy, &mut flash, clock);
                let what = (settings, gateway);
                pin!(in_place(|| crate::missy::run(
                    &mut desk,
                    parts,
                    what,
                    &readings,
                    &mut space.missy
                )))
                .await
            }
            #[cfg(feature = "native")]
            Some(gateway @ Gateway { wire: Wire::TCP, .. }) => {
                let Some(keys) = &space.keys else { return NO_FLASH };
                let parts = (
                    Door { network: &mut network, gateway },
                    &mut entropy,
                    &mut flash,
                    two_pages::<F>(2),
                    clock,
                );
                let what = (settings, keys);
                pin!(in_place(|| crate::native::run(
                    &mut desk,
                    parts,
                    what,
                    &readings,
                    &mut space.native
                )))
                .await
            }
            #[cfg(feature = "native")]
            Some(Gateway { wire: Wire::UART, .. }) => {
                let Some(keys) = &space.keys else { return NO_FLASH };
                let parts = (Line(&mut line), &mut entropy, &mut flash, two_pages::<F>(2), clock);
                let what = (settings, keys);
                pin!(in_place(|| crate::native::run(
                    &mut desk,
                    parts,
                    what,
                    &readings,
                    &mut space.native
                )))
                .await
            }
            Some(_) => {
                desk.say("this image does not speak that wire");
                desk.idle().await;
                Ok(())
            }
            None => {
                desk.idle().await;
                Ok(())
            }
        };
        if let Err(code) = ended {
            return code;
        }
    }
}

/// Where the n-th pair of pages begins. The first is the memory with a token, then come the
/// settings, the native wire's memory, and its keys.
fn two_pages<F: NorFlash>(n: u32) -> u32 {
    u32::try_from(F::ERASE_SIZE).unwrap_or(u32::MAX).saturating_mul(2).saturating_mul(n)
}

/// Makes a future where it is to stay. Made by the caller itself, it would be made on the stack,
/// with its full size, and then moved.
#[inline(never)]
pub(crate) fn in_place<F: Future>(make: impl FnOnce() -> F) -> F {
    make()
}

/// The board's network, at the gateway's door.
pub(crate) struct Door<'n, N> {
    pub(crate) network: &'n mut N,
    pub(crate) gateway: &'n Gateway,
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

/// The board's serial line, which is always there.
#[cfg(feature = "native")]
struct Line<'l, L>(&'l mut L);

#[cfg(feature = "native")]
impl<L: Stream> Connector for Line<'_, L> {
    type Stream<'c>
        = &'c mut L
    where
        Self: 'c;

    async fn connect(&mut self) -> Result<Self::Stream<'_>, ErrorKind> {
        Ok(self.0)
    }
}
