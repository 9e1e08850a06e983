//! The owner's settings, stored beside the node's memory, so that the node resumes by itself after
//! a power cut.
//!
//! Two pages are written in turn, as in [`handfast_edge::registration::memory`]: a power cut leaves the old
//! settings or the new ones.
//!
//! ```text
//!  version 1 | asks and 2 × wire 1 | sequence 4 LE | every 4 LE | port 2 LE |
//!  3 texts of length 2 LE and bytes: host, name, room | zeros | CRC-32 4 LE
//! ```

use embedded_storage_async::nor_flash::NorFlash;
use handfast_core::flow::registration::node::Timing;
use handfast_core::limits::LABEL_BYTES;
use handfast_core::text::{Label, UNKNOWN};
use handfast_core::time::Span;

/// Maximum length of a host name or address in bytes.
pub(crate) const MAX_HOST: usize = 64;

const VERSION: u8 = 1;
const BODY: usize = 636;
/// Length of a record in bytes: whole words of any flash whose words have at most 32 bytes.
const RECORD: usize = BODY + 4;

const _: () = assert!(
    12 + 3 * 2 + MAX_HOST + 2 * LABEL_BYTES <= BODY,
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
        Label::parse(&self.name).unwrap_or(UNKNOWN)
    }

    pub(crate) fn room(&self) -> Label<'_> {
        Label::parse(&self.room).unwrap_or(UNKNOWN)
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

/// Storage of the settings in two flash pages.
pub(crate) struct SettingsStorage {
    sequence: u32,
    /// Address of the page for the next record.
    next: u32,
    other: u32,
}

impl SettingsStorage {
    /// Reads the settings from the two pages at `start`. Unreadable settings count as blank,
    /// because they hold no secret.
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
        let first_sequence = read(flash, start, settings).await?;
        let second_sequence = read(flash, second, settings).await?;
        // `None` orders before `Some`, so a page without a record never wins.
        if first_sequence <= second_sequence {
            return Ok(Self { sequence: second_sequence.unwrap_or(0), next: start, other: second });
        }
        // The second page may have overwritten `settings`, so the first is read again.
        let sequence = read(flash, start, settings).await?.unwrap_or(0);
        Ok(Self { sequence, next: second, other: start })
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
        if read(flash, self.next, settings).await? != Some(sequence) {
            return Err(FlashFailed);
        }
        *self = Self { sequence, next: self.other, other: self.next };
        Ok(())
    }
}

/// The bytes of a record, aligned because some flash controllers read words from RAM.
#[repr(align(4))]
struct SettingsRecord([u8; RECORD]);

/// Reads one page into `settings` and returns its sequence number. `None`, with `settings`
/// unchanged, if the page holds no whole record.
async fn read<F: NorFlash>(
    flash: &mut F,
    at: u32,
    settings: &mut BoardSettings,
) -> Result<Option<u32>, FlashFailed> {
    let mut record = SettingsRecord([0; RECORD]);
    flash.read(at, &mut record.0).await.map_err(|_| FlashFailed)?;
    Ok(decode(&record, settings))
}

async fn write<F: NorFlash>(
    flash: &mut F,
    at: u32,
    settings: &BoardSettings,
    sequence: u32,
) -> Result<(), FlashFailed> {
    let mut record = SettingsRecord([0; RECORD]);
    encode(settings, sequence, &mut record);
    flash.write(at, &record.0).await.map_err(|_| FlashFailed)
}

fn encode(settings: &BoardSettings, sequence: u32, record: &mut SettingsRecord) {
    let gateway = settings.gateway.as_ref();
    let (wire, host, port) = gateway.map_or((WireSetting::WEB_SOCKET, "", 0), |gateway| {
        (gateway.wire, &*gateway.host, gateway.port)
    });
    let every = settings
        .heartbeat_every
        .map_or(0, |every| u32::try_from(every.as_millis()).unwrap_or(u32::MAX));
    let texts = [host, &*settings.name, &*settings.room];
    let fields =
        [VERSION, u8::from(settings.asks) | wire.0 << 1]
            .into_iter()
            .chain(sequence.to_le_bytes())
            .chain(every.to_le_bytes())
            .chain(port.to_le_bytes())
            .chain(texts.into_iter().flat_map(|text| {
                (text.len() as u16).to_le_bytes().into_iter().chain(text.bytes())
            }));
    if let Some((body, checksum)) = record.0.split_first_chunk_mut::<BODY>() {
        for (place, byte) in body.iter_mut().zip(fields) {
            *place = byte;
        }
        for (place, byte) in checksum.iter_mut().zip(crc32(body).to_le_bytes()) {
            *place = byte;
        }
    }
}

/// Decodes a record into `settings` and returns its sequence number. `None`, with `settings`
/// unchanged, if the record is invalid.
fn decode(SettingsRecord(record): &SettingsRecord, settings: &mut BoardSettings) -> Option<u32> {
    let (body, checksum) = record.split_first_chunk::<BODY>()?;
    let ([version, asks], rest) = body.split_first_chunk()?;
    if *checksum != crc32(body).to_le_bytes() || *version != VERSION {
        return None;
    }
    let (sequence, rest) = rest.split_first_chunk()?;
    let (every, rest) = rest.split_first_chunk()?;
    let (port, mut rest) = rest.split_first_chunk()?;
    let (host, name, room) = (text(&mut rest)?, text(&mut rest)?, text(&mut rest)?);
    if host.len() > MAX_HOST || name.len() > LABEL_BYTES || room.len() > LABEL_BYTES {
        return None;
    }
    settings.set_gateway(WireSetting::from_bits(asks >> 1)?, host, u16::from_le_bytes(*port));
    set(&mut settings.name, name);
    set(&mut settings.room, room);
    settings.asks = asks & 1 != 0;
    settings.heartbeat_every = Some(u32::from_le_bytes(*every))
        .filter(|&every| every != 0)
        .map(|every| Span::from_millis(every.into()));
    Some(u32::from_le_bytes(*sequence))
}

/// Replaces the string's content with `text`, which must fit.
pub(crate) fn set<const N: usize>(place: &mut heapless::String<N>, text: &str) {
    place.clear();
    let _ = place.push_str(text);
}

fn text<'r>(rest: &mut &'r [u8]) -> Option<&'r str> {
    let (length, after) = rest.split_first_chunk()?;
    let (text, after) = after.split_at_checked(u16::from_le_bytes(*length).into())?;
    *rest = after;
    core::str::from_utf8(text).ok()
}

/// CRC-32 as in Ethernet and zip.
fn crc32(bytes: &[u8]) -> u32 {
    !bytes.iter().fold(u32::MAX, |crc, &byte| {
        (0..8).fold(crc ^ u32::from(byte), |crc, _| {
            crc >> 1 ^ (0xedb8_8320 & (crc & 1).wrapping_neg())
        })
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn encoded(settings: &BoardSettings, sequence: u32) -> SettingsRecord {
        let mut record = SettingsRecord([0; RECORD]);
        encode(settings, sequence, &mut record);
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
        assert_eq!(decode(&encoded(&settings, 7), &mut read), Some(7));
        assert_eq!(read, settings);
        assert_eq!(decode(&encoded(&BoardSettings::new(), 8), &mut read), Some(8));
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
}
