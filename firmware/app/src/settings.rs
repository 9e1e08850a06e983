//! The owner's settings, stored beside the node's memory, so that the node resumes by itself after
//! a power cut.
//!
//! Two pages are written in turn, as in [`handfast_edge::registration::memory`]: a power cut leaves the old
//! settings or the new ones.
//!
//! ```text
//!  version 1 | 0 | sequence 4 LE | the settings 630, by postcard, then zeros | CRC-32 4 LE
//! ```
//!
//! Version 2. Version 1 was in no released firmware, so nothing migrates it; the board reports
//! settings of another version, and they stay until the owner makes new ones.

use embedded_storage_async::nor_flash::NorFlash;
use handfast_core::flow::registration::node::Timing;
use handfast_core::limits::LABEL_BYTES;
use handfast_core::wire::frame::crc32;
use handfast_core::{Label, Span};
use serde::{Deserialize, Serialize};

/// Maximum length of a host name or address in bytes.
pub(crate) const MAX_HOST: usize = 64;

const VERSION: u8 = 2;
/// Length of the header in bytes; the sequence number has its place in every version.
const HEAD: usize = 6;
const BODY: usize = 636;
/// Length of a record in bytes: whole words of any flash whose words have at most 32 bytes.
const RECORD: usize = BODY + 4;

const _: () = assert!(
    HEAD + 1 + 1 + (1 + MAX_HOST) + 3 + 2 * (2 + LABEL_BYTES) + 1 + 6 <= BODY,
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

/// The settings could not be read or made durable.
#[derive(Debug)]
pub(crate) struct FlashFailed;

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

/// Storage of the settings in two flash pages.
pub(crate) struct SettingsStorage {
    sequence: u32,
    /// Address of the page for the next record.
    next: u32,
    other: u32,
    /// The version of the newest record, if this firmware does not read it.
    pub(crate) other_version: Option<u8>,
}

impl SettingsStorage {
    /// Reads the settings from the two pages at `start`. Settings of another version leave
    /// `settings` blank and are reported as [`other_version`](Self::other_version).
    pub(crate) async fn load<F: NorFlash>(
        flash: &mut F,
        start: u32,
        settings: &mut BoardSettings,
    ) -> Result<Self, FlashFailed> {
        let page = u32::try_from(F::ERASE_SIZE).unwrap_or(u32::MAX);
        let second = start.saturating_add(page);
        if F::ERASE_SIZE < RECORD || flash.capacity() < second.saturating_add(page) as usize {
            return Err(FlashFailed);
        }
        let heads = [read(flash, start, None).await?, read(flash, second, None).await?];
        let sequence_of = |head: Option<Head>| head.map(|head| head.sequence);
        // `None` orders before `Some`, so a page without a record never wins.
        let (newest, at, next) = match heads {
            [first, last] if sequence_of(first) <= sequence_of(last) => (last, second, start),
            [first, _] => (first, start, second),
        };
        let other_version = newest.map(|head| head.version).filter(|version| *version != VERSION);
        if newest.is_some() && other_version.is_none() {
            read(flash, at, Some(settings)).await?;
        }
        Ok(Self { sequence: sequence_of(newest).unwrap_or(0), next, other: at, other_version })
    }

    /// Makes the settings durable. They are read back into `settings`, so the caller sees what the
    /// flash really holds.
    pub(crate) async fn keep<F: NorFlash>(
        &mut self,
        flash: &mut F,
        settings: &mut BoardSettings,
    ) -> Result<(), FlashFailed> {
        let page = u32::try_from(F::ERASE_SIZE).unwrap_or(u32::MAX);
        let sequence = self.sequence.saturating_add(1);
        flash.erase(self.next, self.next.saturating_add(page)).await.map_err(|_| FlashFailed)?;
        write(flash, self.next, settings, sequence).await?;
        // A record that is whole equals the one written, by its checksum.
        let written = Head { version: VERSION, sequence };
        if read(flash, self.next, Some(settings)).await? != Some(written) {
            return Err(FlashFailed);
        }
        *self = Self { sequence, next: self.other, other: self.next, other_version: None };
        Ok(())
    }
}

/// The bytes of a record, aligned because some flash controllers read words from RAM.
#[repr(align(4))]
struct SettingsRecord([u8; RECORD]);

/// The header of a whole record.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Head {
    version: u8,
    sequence: u32,
}

/// Reads one page, and into `settings` if they are wanted. `None`, with `settings` unchanged, if
/// the page holds no whole record.
async fn read<F: NorFlash>(
    flash: &mut F,
    at: u32,
    settings: Option<&mut BoardSettings>,
) -> Result<Option<Head>, FlashFailed> {
    let mut record = SettingsRecord([0; RECORD]);
    flash.read(at, &mut record.0).await.map_err(|_| FlashFailed)?;
    Ok(match settings {
        Some(settings) => decode(&record, settings),
        None => head(&record).map(|(head, _)| head),
    })
}

async fn write<F: NorFlash>(
    flash: &mut F,
    at: u32,
    settings: &BoardSettings,
    sequence: u32,
) -> Result<(), FlashFailed> {
    let mut record = SettingsRecord([0; RECORD]);
    encode(settings, sequence, &mut record).ok_or(FlashFailed)?;
    flash.write(at, &record.0).await.map_err(|_| FlashFailed)
}

/// Writes a record. Returns `None` if the settings are too long, which the assertion above excludes.
fn encode(settings: &BoardSettings, sequence: u32, record: &mut SettingsRecord) -> Option<()> {
    let gateway = settings.gateway.as_ref();
    let stored = StoredSettings {
        gateway: gateway.map(|gateway| StoredGateway {
            wire: gateway.wire.0,
            host: &gateway.host,
            port: gateway.port,
        }),
        name: &settings.name,
        room: &settings.room,
        asks: settings.asks,
        heartbeat_millis: settings
            .heartbeat_every
            .map(|every| u32::try_from(every.as_millis()).unwrap_or(u32::MAX)),
    };
    let (body, checksum) = record.0.split_first_chunk_mut::<BODY>()?;
    let (head, place) = body.split_first_chunk_mut::<HEAD>()?;
    let [a, b, c, d] = sequence.to_le_bytes();
    *head = [VERSION, 0, a, b, c, d];
    postcard::to_slice(&stored, place).ok()?;
    // Unlike `copy_from_slice`, this has no path that panics.
    for (place, byte) in checksum.iter_mut().zip(crc32(body).to_le_bytes()) {
        *place = byte;
    }
    Some(())
}

/// Returns the header of a whole record, whatever its version, and the bytes behind the header.
fn head(SettingsRecord(record): &SettingsRecord) -> Option<(Head, &[u8])> {
    let (body, checksum) = record.split_first_chunk::<BODY>()?;
    if *checksum != crc32(body).to_le_bytes() {
        return None;
    }
    let ([version, _, a, b, c, d], value) = body.split_first_chunk::<HEAD>()?;
    let sequence = u32::from_le_bytes([*a, *b, *c, *d]);
    Some((Head { version: *version, sequence }, value))
}

/// Decodes a record into `settings` and returns its header. `None`, with `settings` unchanged, if
/// the record is invalid or of another version.
fn decode(record: &SettingsRecord, settings: &mut BoardSettings) -> Option<Head> {
    let (head, value) = head(record)?;
    if head.version != VERSION {
        return None;
    }
    let (stored, padding): (StoredSettings<'_>, _) = postcard::take_from_bytes(value).ok()?;
    let StoredSettings { gateway, name, room, asks, heartbeat_millis } = stored;
    let host = gateway.as_ref().map_or("", |gateway| gateway.host);
    if host.len() > MAX_HOST
        || name.len() > LABEL_BYTES
        || room.len() > LABEL_BYTES
        || padding.iter().any(|byte| *byte != 0)
    {
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
    Some(head)
}

/// Replaces the string's content with `text`, which must fit.
pub(crate) fn set<const N: usize>(place: &mut heapless::String<N>, text: &str) {
    place.clear();
    let _ = place.push_str(text);
}

#[cfg(test)]
mod tests {
    use super::*;

    fn encoded(settings: &BoardSettings, sequence: u32) -> SettingsRecord {
        let mut record = SettingsRecord([0; RECORD]);
        encode(settings, sequence, &mut record).unwrap();
        record
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
        let whole = |sequence| Some(Head { version: VERSION, sequence });
        assert_eq!(decode(&encoded(&settings, 7), &mut read), whole(7));
        assert_eq!(read, settings);
        assert_eq!(decode(&encoded(&BoardSettings::new(), 8), &mut read), whole(8));
        assert_eq!(read, BoardSettings::new());
    }

    #[test]
    fn erased_and_damaged_pages_hold_nothing() {
        assert_eq!(decode(&SettingsRecord([0xff; RECORD]), &mut BoardSettings::new()), None);
        for at in 0..RECORD {
            let mut record = encoded(&BoardSettings::new(), 1);
            record.0[at] ^= 1;
            assert_eq!(decode(&record, &mut BoardSettings::new()), None, "{at}");
        }
    }

    #[test]
    fn settings_of_another_version_are_seen_but_not_read() {
        for version in (0..=u8::MAX).filter(|version| *version != VERSION) {
            let mut record = encoded(&BoardSettings::new(), 7);
            record.0[0] = version;
            let sum = crc32(&record.0[..BODY]).to_le_bytes();
            record.0[BODY..].copy_from_slice(&sum);
            assert_eq!(head(&record).map(|(head, _)| head), Some(Head { version, sequence: 7 }));
            assert_eq!(decode(&record, &mut BoardSettings::new()), None);
        }
    }
}
