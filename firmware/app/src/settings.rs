//! The owner's settings, stored beside the node's memory, so that the node resumes by itself after
//! a power cut.
//!
//! Two pages are written in turn, by [`handfast_edge::pages`]: a power cut leaves the old settings
//! or the new ones. Settings that this firmware does not read are reported, and they stay until the
//! owner makes new ones.

use embedded_storage_async::nor_flash::NorFlash;
use handfast_core::flow::registration::node::Timing;
use handfast_core::limits::LABEL_BYTES;
use handfast_core::{Label, Span};
use handfast_edge::pages::{KeepError, Pages, RECORD_OVERHEAD, RecordBuffer, RecordKind};
use serde::{Deserialize, Serialize};

/// Maximum length of a host name or address in bytes.
pub(crate) const MAX_HOST: usize = 64;

/// The kind of the settings' record.
const SETTINGS: RecordKind = RecordKind::of_firmware(1);
/// Length of a record in bytes: whole words of any flash whose words have at most 32 bytes.
const RECORD: usize = 640;

const _: () = assert!(
    RECORD_OVERHEAD + 1 + 1 + (1 + MAX_HOST) + 3 + 2 * (2 + LABEL_BYTES) + 1 + 6 <= RECORD,
    "everything has its place in a record"
);

/// The owner's settings.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct BoardSettings {
    pub(crate) gateway: Option<GatewaySetting>,
    /// Text of a label; empty until it is set.
    pub(crate) name: heapless::String<LABEL_BYTES>,
    /// Text of a label; empty until it is set.
    pub(crate) room: heapless::String<LABEL_BYTES>,
    /// Makes a blank node ask to be paired.
    pub(crate) asks: bool,
    /// Interval of heartbeats; `None` for the default.
    pub(crate) heartbeat_every: Option<Span>,
}

/// The wire to the gateway. An enum's spare values would make settings without a gateway differ
/// from all zeros.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct WireSetting(u8);

impl WireSetting {
    /// The `missy` dialect over a WebSocket.
    pub(crate) const WEB_SOCKET: Self = Self(0);
    /// The native wire over TCP.
    pub(crate) const TCP: Self = Self(1);
    /// The native wire over the board's serial line.
    pub(crate) const UART: Self = Self(2);

    const fn from_bits(bits: u8) -> Option<Self> {
        if bits <= Self::UART.0 { Some(Self(bits)) } else { None }
    }
}

/// Address of the gateway.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct GatewaySetting {
    pub(crate) wire: WireSetting,
    /// Empty for a serial line, whose port is 0.
    pub(crate) host: heapless::String<MAX_HOST>,
    pub(crate) port: u16,
}

impl BoardSettings {
    /// Creates blank settings. They are all zeros, so a static of this type takes no flash.
    pub(crate) const fn new() -> Self {
        Self {
            gateway: None,
            name: heapless::String::new(),
            room: heapless::String::new(),
            asks: false,
            heartbeat_every: None,
        }
    }

    /// Sets the gateway. An empty host clears it, except for a serial line; so does a host that is
    /// too long, which no caller passes.
    pub(crate) fn set_gateway(&mut self, wire: WireSetting, host: &str, port: u16) {
        let named = host.try_into().ok().filter(|host: &heapless::String<MAX_HOST>| {
            !host.is_empty() || wire == WireSetting::UART
        });
        self.gateway = named.map(|host| GatewaySetting { wire, host, port });
    }

    pub(crate) fn name(&self) -> Label<'_> {
        // A name that was never set is empty, which is no label.
        Label::parse(&self.name).unwrap_or(Label::UNKNOWN)
    }

    pub(crate) fn room(&self) -> Label<'_> {
        Label::parse(&self.room).unwrap_or(Label::UNKNOWN)
    }

    pub(crate) fn heartbeat_every(&self) -> Span {
        self.heartbeat_every.unwrap_or(Timing::DEFAULT.heartbeat_every)
    }

    /// Copies `from` without a second copy on the caller's stack.
    #[inline(never)]
    pub(crate) fn copy(&mut self, from: &Self) {
        self.clone_from(from);
    }
}

/// The settings as their record holds them.
#[derive(Serialize, Deserialize)]
struct StoredSettings<'s> {
    #[serde(borrow)]
    gateway: Option<StoredGateway<'s>>,
    name: &'s str,
    room: &'s str,
    asks: bool,
    heartbeat_millis: Option<u32>,
}

#[derive(Serialize, Deserialize)]
struct StoredGateway<'s> {
    wire: u8,
    host: &'s str,
    port: u16,
}

impl<'s> StoredSettings<'s> {
    fn of(settings: &'s BoardSettings) -> Self {
        let heartbeat = settings.heartbeat_every;
        Self {
            gateway: settings.gateway.as_ref().map(|gateway| StoredGateway {
                wire: gateway.wire.0,
                host: &gateway.host,
                port: gateway.port,
            }),
            name: &settings.name,
            room: &settings.room,
            asks: settings.asks,
            heartbeat_millis: heartbeat
                .map(|every| u32::try_from(every.as_millis()).unwrap_or(u32::MAX)),
        }
    }

    /// Copies the values into `settings`. Returns `None`, with `settings` unchanged, if one is not
    /// allowed.
    fn copy_to(self, settings: &mut BoardSettings) -> Option<()> {
        let Self { gateway, name, room, asks, heartbeat_millis } = self;
        let host = gateway.as_ref().map_or("", |gateway| gateway.host);
        // Everything is checked first, so that the settings change as a whole.
        if host.len() > MAX_HOST || name.len() > LABEL_BYTES || room.len() > LABEL_BYTES {
            return None;
        }
        match gateway {
            Some(StoredGateway { wire, host, port }) => {
                settings.set_gateway(WireSetting::from_bits(wire)?, host, port);
            }
            None => settings.gateway = None,
        }
        set(&mut settings.name, name);
        set(&mut settings.room, room);
        settings.asks = asks;
        settings.heartbeat_every = heartbeat_millis.map(|millis| Span::from_millis(millis.into()));
        Some(())
    }
}

/// Storage of the settings in two flash pages.
pub(crate) struct SettingsStorage(Pages<RECORD>);

impl SettingsStorage {
    /// Uses the two pages at `start`. Returns `None` if the flash has no room for them.
    pub(crate) fn new<F: NorFlash>(flash: &F, start: u32) -> Option<Self> {
        Pages::new(flash, start).ok().map(Self)
    }

    /// Reads the settings. They stay blank if none were ever stored.
    ///
    /// # Errors
    /// [`KeepError`]: there may be settings, but this firmware does not read them.
    pub(crate) async fn load<F: NorFlash>(
        &self,
        flash: &mut F,
        settings: &mut BoardSettings,
    ) -> Result<(), KeepError> {
        let mut record = RecordBuffer::new();
        match self.0.load::<_, StoredSettings<'_>>(flash, SETTINGS, &mut record).await? {
            Some(stored) => stored.copy_to(settings).ok_or(KeepError::Unreadable),
            None => Ok(()),
        }
    }

    /// Makes the settings durable.
    ///
    /// # Errors
    /// [`KeepError`]: the flash may still hold the old ones.
    pub(crate) async fn keep<F: NorFlash>(
        &self,
        flash: &mut F,
        settings: &BoardSettings,
    ) -> Result<(), KeepError> {
        let stored = StoredSettings::of(settings);
        self.0.replace(flash, SETTINGS, &stored, &mut RecordBuffer::new(), false).await
    }
}

/// Replaces the string's content with `text`, which must fit.
pub(crate) fn set<const N: usize>(place: &mut heapless::String<N>, text: &str) {
    place.clear();
    let _ = place.push_str(text);
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Writes the settings as a record does, and reads them into others.
    fn read_back(settings: &BoardSettings, into: &mut BoardSettings) -> Option<()> {
        let mut place = [0; RECORD - RECORD_OVERHEAD];
        postcard::to_slice(&StoredSettings::of(settings), &mut place).unwrap();
        let (stored, _) = postcard::take_from_bytes::<StoredSettings<'_>>(&place).unwrap();
        stored.copy_to(into)
    }

    #[test]
    fn settings_read_back_as_they_were_written() {
        let longest: heapless::String<LABEL_BYTES> = core::iter::repeat_n('𐍈', 64).collect();
        let settings = BoardSettings {
            gateway: Some(GatewaySetting {
                wire: WireSetting::TCP,
                host: "gateway.local".try_into().unwrap(),
                port: 8765,
            }),
            name: longest.clone(),
            room: longest,
            asks: true,
            heartbeat_every: Some(Span::from_millis(250)),
        };
        let mut read = BoardSettings::new();
        assert_eq!(read_back(&settings, &mut read), Some(()));
        assert_eq!(read, settings);
        assert_eq!(read_back(&BoardSettings::new(), &mut read), Some(()));
        assert_eq!(read, BoardSettings::new());
    }

    #[test]
    fn settings_with_a_wire_that_this_firmware_does_not_know_are_not_read() {
        let mut other = BoardSettings::new();
        other.set_gateway(WireSetting::TCP, "gateway.local", 8765);
        if let Some(gateway) = &mut other.gateway {
            gateway.wire = WireSetting(3);
        }
        assert_eq!(read_back(&other, &mut BoardSettings::new()), None);
    }
}
