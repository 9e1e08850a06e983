//! What the owner set, kept beside the node's memory, so that after a power cut the node goes on by itself.
//!
//! Two pages, written in turn, as in [`handfast_edge::memory`]: a cut leaves the old settings or the new ones.
//!
//! ```text
//!  version 1 | asks 1 | sequence 4 LE | every 4 LE | port 2 LE | 3 texts of length 2 LE and bytes: host, name, room | zeros | CRC-32 4 LE
//! ```

use embedded_storage_async::nor_flash::NorFlash;
use handfast_core::text::{Label, Name, UNKNOWN};
use handfast_core::time::Span;

/// The longest host name or address.
pub(crate) const MAX_HOST: usize = 64;

const VERSION: u8 = 1;
const BODY: usize = 636;
/// Whole words of any flash whose words are 32 bytes at most.
const RECORD: usize = BODY + 4;

const _: () = assert!(12 + 3 * 2 + MAX_HOST + 2 * 256 <= BODY, "everything has its place in a record");

/// What the owner set.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Settings {
    pub(crate) gateway: Option<Gateway>,
    pub(crate) name: Name,
    pub(crate) room: Name,
    /// Whether a node that remembers nothing is to ask.
    pub(crate) asks: bool,
    pub(crate) heartbeat_every: Span,
}

/// Where to pair.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Gateway {
    pub(crate) host: heapless::String<MAX_HOST>,
    pub(crate) port: u16,
}

impl Settings {
    /// Before anything was set.
    pub(crate) fn new() -> Self {
        let unknown = Name::from(UNKNOWN);
        Self { gateway: None, name: unknown.clone(), room: unknown, asks: false, heartbeat_every: Span::from_secs(60) }
    }
}

/// The settings could not be read or made durable.
#[derive(Debug)]
pub(crate) struct FlashFailed;

/// Settings in two pages of flash, from an address on.
pub(crate) struct Kept {
    sequence: u32,
    /// Where the next record goes.
    next: u32,
    other: u32,
}

impl Kept {
    /// Reads what is kept in the two pages from `start` on. Nothing that can be read counts as nothing set: nothing secret is lost with it.
    pub(crate) async fn load<F: NorFlash>(flash: &mut F, start: u32) -> Result<(Self, Settings), FlashFailed> {
        let page = u32::try_from(F::ERASE_SIZE).unwrap_or(u32::MAX);
        let second = start.saturating_add(page);
        if F::ERASE_SIZE < RECORD || flash.capacity() < second.saturating_add(page) as usize {
            return Err(FlashFailed);
        }
        let pages = (read(flash, start).await?, read(flash, second).await?);
        Ok(match pages {
            (Some((sequence, settings)), other) if other.as_ref().is_none_or(|(others, _)| *others < sequence) => {
                (Self { sequence, next: second, other: start }, settings)
            }
            (_, Some((sequence, settings))) => (Self { sequence, next: start, other: second }, settings),
            (_, None) => (Self { sequence: 0, next: start, other: second }, Settings::new()),
        })
    }

    /// Makes the settings durable.
    pub(crate) async fn keep<F: NorFlash>(&mut self, flash: &mut F, settings: &Settings) -> Result<(), FlashFailed> {
        let page = u32::try_from(F::ERASE_SIZE).unwrap_or(u32::MAX);
        let sequence = self.sequence.saturating_add(1);
        flash.erase(self.next, self.next.saturating_add(page)).await.map_err(|_| FlashFailed)?;
        flash.write(self.next, &encode(settings, sequence).0).await.map_err(|_| FlashFailed)?;
        match read(flash, self.next).await? {
            Some((_, written)) if written == *settings => {
                *self = Self { sequence, next: self.other, other: self.next };
                Ok(())
            }
            Some(_) | None => Err(FlashFailed),
        }
    }
}

/// A record's bytes, aligned because some flash controllers take words from RAM.
#[repr(align(4))]
struct Record([u8; RECORD]);

async fn read<F: NorFlash>(flash: &mut F, at: u32) -> Result<Option<(u32, Settings)>, FlashFailed> {
    let mut record = Record([0; RECORD]);
    flash.read(at, &mut record.0).await.map_err(|_| FlashFailed)?;
    Ok(decode(&record))
}

fn encode(settings: &Settings, sequence: u32) -> Record {
    let (host, port) = settings.gateway.as_ref().map_or(("", 0), |gateway| (&*gateway.host, gateway.port));
    let every = u32::try_from(settings.heartbeat_every.as_millis()).unwrap_or(u32::MAX);
    let texts = [host, settings.name.as_str(), settings.room.as_str()];
    let fields = [VERSION, settings.asks.into()]
        .into_iter()
        .chain(sequence.to_le_bytes())
        .chain(every.to_le_bytes())
        .chain(port.to_le_bytes())
        .chain(texts.into_iter().flat_map(|text| (text.len() as u16).to_le_bytes().into_iter().chain(text.bytes())));
    let mut record = Record([0; RECORD]);
    if let Some((body, checksum)) = record.0.split_first_chunk_mut::<BODY>() {
        for (place, byte) in body.iter_mut().zip(fields) {
            *place = byte;
        }
        checksum.copy_from_slice(&crc32(body).to_le_bytes());
    }
    record
}

fn decode(Record(record): &Record) -> Option<(u32, Settings)> {
    let (body, checksum) = record.split_first_chunk::<BODY>()?;
    if *checksum != crc32(body).to_le_bytes() {
        return None;
    }
    let ([version, asks], rest) = body.split_first_chunk()?;
    let (sequence, rest) = rest.split_first_chunk()?;
    let (every, rest) = rest.split_first_chunk()?;
    let (port, mut rest) = rest.split_first_chunk()?;
    let (host, name, room) = (text(&mut rest)?, text(&mut rest)?, text(&mut rest)?);
    let gateway = match host {
        "" => None,
        host => Some(Gateway { host: host.try_into().ok()?, port: u16::from_le_bytes(*port) }),
    };
    let settings = Settings {
        gateway,
        name: Label::parse(name)?.into(),
        room: Label::parse(room)?.into(),
        asks: *asks != 0,
        heartbeat_every: Span::from_millis(u32::from_le_bytes(*every).into()),
    };
    (*version == VERSION).then_some((u32::from_le_bytes(*sequence), settings))
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
        (0..8).fold(crc ^ u32::from(byte), |crc, _| crc >> 1 ^ (0xedb8_8320 & (crc & 1).wrapping_neg()))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn settings_read_back_as_they_were_written() {
        let longest: heapless::String<256> = core::iter::repeat_n('𐍈', 64).collect();
        let settings = Settings {
            gateway: Some(Gateway { host: "gateway.local".try_into().unwrap(), port: 8765 }),
            name: Label::parse(&longest).unwrap().into(),
            room: Label::parse(&longest).unwrap().into(),
            asks: true,
            heartbeat_every: Span::from_millis(250),
        };
        assert_eq!(decode(&encode(&settings, 7)), Some((7, settings)));
        assert_eq!(decode(&encode(&Settings::new(), 1)), Some((1, Settings::new())));
    }

    #[test]
    fn erased_and_damaged_pages_hold_nothing() {
        assert_eq!(decode(&Record([0xff; RECORD])), None);
        for at in 0..RECORD {
            let mut record = encode(&Settings::new(), 1);
            record.0[at] ^= 1;
            assert_eq!(decode(&record), None, "{at}");
        }
    }
}
