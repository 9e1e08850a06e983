//! The main loop: runs the driver of the selected wire, and restarts it when the settings change.

use core::cell::Cell;
use core::pin::pin;

use embedded_io_async::{ErrorKind, Read, Write};
use embedded_storage_async::nor_flash::NorFlash;
use handfast_edge::ports::{Clock, Connector, Stream};
use rand_core::CryptoRng;

use crate::console::{Console, Sheet};
use crate::desk::Desk;
use crate::readings::Readings;
use crate::settings::{BoardSettings, GatewaySetting, SettingsStorage, WireSetting};
use crate::{Board, Network};

/// Exit code when the board has no flash that the node can use.
pub(crate) const NO_FLASH: i32 = 3;

/// Static storage for the node's large buffers: moving them would take their size of stack.
pub struct Space {
    #[cfg(feature = "missy")]
    missy: handfast_edge::registration::driver::RegistrationBuffers<{ crate::missy::FRAME }>,
    #[cfg(feature = "native")]
    native: handfast_edge::native::NativeBuffers,
    #[cfg(feature = "native")]
    keys: Option<handfast_core::crypto::keys::OwnKeys>,
    sheet: Sheet,
    /// The owner's current settings.
    settings: BoardSettings,
    /// The settings that the driver was started with.
    current: BoardSettings,
}

impl Space {
    /// Creates empty buffers.
    #[must_use]
    #[expect(clippy::new_without_default, reason = "it is for a static")]
    pub const fn new() -> Self {
        Self {
            #[cfg(feature = "missy")]
            missy: handfast_edge::registration::driver::RegistrationBuffers::new(),
            #[cfg(feature = "native")]
            native: handfast_edge::native::NativeBuffers::new(),
            #[cfg(feature = "native")]
            keys: None,
            sheet: Sheet::new(),
            settings: BoardSettings::new(),
            current: BoardSettings::new(),
        }
    }
}

/// Runs the node until the console receives `exit`, which only an emulated board accepts, and
/// returns the exit code: the one given there, or that of a flash failure.
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
    let Ok(mut kept) =
        pin!(in_place(|| SettingsStorage::load(&mut flash, two_pages::<F>(1), settings))).await
    else {
        return NO_FLASH;
    };
    let mut desk = Desk::new(Console::new(input, output, sheet), settings, &readings, emulated);
    desk.say("Handfast node");
    if let Some(version) = kept.other_version {
        desk.told(format_args!(
            "the settings in flash are of format {version}, which this firmware does not read; \
             they stay until you make new ones"
        ))
        .await;
    }
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
        // The driver borrows this copy, so the console can change the settings meanwhile.
        current.copy(desk.settings);
        let settings = &*current;
        let ended: Result<(), i32> = match &settings.gateway {
            #[cfg(feature = "missy")]
            Some(gateway @ GatewaySetting { wire: WireSetting::WEB_SOCKET, .. }) => {
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
            Some(gateway @ GatewaySetting { wire: WireSetting::TCP, .. }) => {
                let Some(keys) = &space.keys else { return NO_FLASH };
                let parts = (
                    NetworkConnector { network: &mut network, gateway },
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
            Some(GatewaySetting { wire: WireSetting::UART, .. }) => {
                let Some(keys) = &space.keys else { return NO_FLASH };
                let parts = (
                    SerialConnector(&mut line),
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

/// Returns the address of the n-th pair of pages. Pair 0 holds the memory of the `missy` dialect, 1
/// the settings, 2 the native wire's memory, and 3 its keys.
fn two_pages<F: NorFlash>(n: u32) -> u32 {
    u32::try_from(F::ERASE_SIZE).unwrap_or(u32::MAX).saturating_mul(2).saturating_mul(n)
}

/// Constructs a future in its final place. The caller would build it on its own stack in full size
/// and then move it.
#[inline(never)]
pub(crate) fn in_place<F: Future>(make: impl FnOnce() -> F) -> F {
    make()
}

/// A [`Connector`] to the gateway over the board's network.
pub(crate) struct NetworkConnector<'n, N> {
    pub(crate) network: &'n mut N,
    pub(crate) gateway: &'n GatewaySetting,
}

impl<N: Network> Connector for NetworkConnector<'_, N> {
    type Stream<'c>
        = N::Stream<'c>
    where
        Self: 'c;

    async fn connect(&mut self) -> Result<Self::Stream<'_>, ErrorKind> {
        self.network.connect(&self.gateway.host, self.gateway.port).await
    }
}

/// The board's serial line, which is always open.
#[cfg(feature = "native")]
struct SerialConnector<'l, L>(&'l mut L);

#[cfg(feature = "native")]
impl<L: Stream> Connector for SerialConnector<'_, L> {
    type Stream<'c>
        = &'c mut L
    where
        Self: 'c;

    async fn connect(&mut self) -> Result<Self::Stream<'_>, ErrorKind> {
        Ok(self.0)
    }
}
