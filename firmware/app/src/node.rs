//! The main loop: runs the driver of the selected wire, and restarts it when the settings change.

use core::cell::Cell;
use core::pin::pin;

use embedded_io_async::{ErrorKind, Read, Write};
use embedded_storage_async::nor_flash::NorFlash;
use handfast_edge::pages::KeepError;
use handfast_edge::ports::{Clock, Connector, Stream};
use rand_core::CryptoRng;

use crate::console::{Console, Sheet};
use crate::desk::Desk;
use crate::readings::Readings;
use crate::settings::{BoardSettings, GatewaySetting, SettingsStorage, WireSetting};
use crate::words::flash as flash_in_words;
use crate::{Board, Network, Pin};

/// Exit code when the board has no flash that the node can use.
pub(crate) const NO_FLASH: i32 = 3;

/// Static storage for the node's certificate.
#[cfg(all(feature = "native", feature = "identity"))]
pub(crate) struct CertificateSpace(handfast_edge::native::CertificateBuffers);

#[cfg(all(feature = "native", feature = "identity"))]
impl CertificateSpace {
    const fn new() -> Self {
        Self(handfast_edge::native::CertificateBuffers::new())
    }

    pub(crate) const fn port(&mut self) -> handfast_edge::native::Certificates<'_> {
        handfast_edge::native::Certificates::new(&mut self.0)
    }
}

/// Static storage for the node's certificate, of which there is none.
#[cfg(all(feature = "native", not(feature = "identity")))]
pub(crate) struct CertificateSpace;

#[cfg(all(feature = "native", not(feature = "identity")))]
impl CertificateSpace {
    const fn new() -> Self {
        Self
    }

    pub(crate) const fn port(&mut self) -> handfast_edge::native::NoCertificate {
        handfast_edge::native::NoCertificate
    }
}

/// Static storage for the node's large buffers: moving them would take their size of stack.
pub struct Space {
    #[cfg(feature = "missy")]
    missy: handfast_edge::registration::driver::RegistrationBuffers<{ crate::missy::FRAME }>,
    #[cfg(feature = "native")]
    native: handfast_edge::native::NativeBuffers,
    #[cfg(feature = "native")]
    tasks: handfast_edge::native::DispatchBuffers<{ crate::capabilities::OUTPUT }>,
    #[cfg(feature = "native")]
    certificate: CertificateSpace,
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
            tasks: handfast_edge::native::DispatchBuffers::new(),
            #[cfg(feature = "native")]
            certificate: CertificateSpace::new(),
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
pub async fn run<I, O, N, L, E, F, C, P>(
    board: Board<I, O, N, L, E, F, C, P>,
    space: &mut Space,
) -> i32
where
    I: Read,
    O: Write,
    N: Network,
    L: Stream,
    E: CryptoRng,
    F: NorFlash,
    C: Clock + Copy,
    P: Pin,
{
    let Board { input, output, mut network, mut line, mut entropy, mut flash, clock, .. } = board;
    let Board { mut pin, emulated, .. } = board;
    let Space { sheet, settings, current, .. } = space;
    let readings = Cell::new(Readings::default());
    let Some(kept) = SettingsStorage::new(&flash, two_pages::<F>(1)) else { return NO_FLASH };
    let loaded = pin!(in_place(|| kept.load(&mut flash, settings))).await;
    let mut desk = Desk::new(Console::new(input, output, sheet), settings, &readings, emulated);
    desk.say("Handfast node");
    match loaded {
        Ok(()) => {}
        // A flash that fails could not keep the keys, either.
        Err(KeepError::Flash) => return NO_FLASH,
        Err(error) => {
            desk.told(format_args!(
                "the settings in flash are not used: {}; they stay until you make new ones",
                flash_in_words(error)
            ))
            .await;
        }
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
        // The settings are stored first, so that a restart finds those that the driver runs with.
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
                let what = (settings, keys, &readings);
                let room = (&mut space.native, &mut space.tasks, &mut space.certificate);
                pin!(in_place(|| crate::native::run(&mut desk, parts, what, &mut pin, room))).await
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
                let what = (settings, keys, &readings);
                let room = (&mut space.native, &mut space.tasks, &mut space.certificate);
                pin!(in_place(|| crate::native::run(&mut desk, parts, what, &mut pin, room))).await
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
/// the settings, 2 the native wire's memory, 3 its keys, 4 its
/// tasks, and 5 its certificate.
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
