//! The sealed form of messages between gateways.
//! ```text
//! sealed = 1 ‖ run (16) ‖ number (8) ‖ sent (8) ‖ ChaCha20-Poly1305(sender, message) ‖ tag (16)
//! key    = HKDF-SHA256(bus key, label ‖ run), the nonce is the number
//! bound  = label ‖ the 33 bytes before ‖ receiver
//! ```
//! Each run of a gateway has a key of its own, because its name is random, and never uses a number
//! twice. A message to one gateway does not open at another.

use handfast_core::crypto::aead::{self, TAG_BYTES};
use handfast_core::crypto::hkdf_sha256::derive_two;
use handfast_core::crypto::labels::{BUS_MESSAGE, BUS_NAME};
use handfast_core::registry::sharing::bus::{BusRun, BusStamp};
use handfast_core::secret::Secret;
use handfast_core::{Entropy, UnixTime};
use zeroize::Zeroizing;

use super::FRAME_BYTES;
use super::message::BusMessage;
use crate::hex::hex;

const VERSION: u8 = 1;
const HEAD: usize = 1 + 16 + 8 + 8;
/// The most bytes of a message beside a frame.
const REST: usize = 1024;
/// The most bytes of a sealed message.
const MOST: usize = HEAD + FRAME_BYTES + REST + TAG_BYTES;
/// The receiver of a message to all gateways; none can have this name.
const ALL: &str = "*";

/// The keys of a registry's bus, and the name of this run.
pub(super) struct BusSeal {
    key: Secret<32>,
    /// The beginning of the subjects.
    name: String,
    run: BusRun,
    /// The key of this run.
    own: Secret<32>,
}

/// A message whose place and time are known, and that may be worth opening.
pub(super) struct SealedMessage<'a> {
    head: &'a [u8; HEAD],
    pub(super) stamp: BusStamp,
    inside: &'a [u8],
    tag: &'a [u8; TAG_BYTES],
}

impl BusSeal {
    /// Returns `None` for a key of another length.
    pub(super) fn new(key: &[u8], run: &Entropy<16>) -> Option<Self> {
        let key = Secret::new(*<&[u8; 32]>::try_from(key).ok()?);
        let run = BusRun::new(run);
        let name = hex(derive_two(&key, BUS_NAME).0.expose().get(..8)?);
        let own = of_run(&key, &run);
        Some(Self { key, name, run, own })
    }

    /// Returns the subject of messages to a gateway, or to all.
    pub(super) fn subject(&self, to: Option<&str>) -> String {
        match to {
            // No name has a slash, and a dot would part it.
            Some(gateway) => format!("handfast.{}.to.{}", self.name, gateway.replace('.', "/")),
            None => format!("handfast.{}.all", self.name),
        }
    }

    /// Seals a message; `None` for one that is too long.
    pub(super) fn seal(
        &self,
        from: &str,
        to: Option<&str>,
        number: u64,
        sent: UnixTime,
        message: &BusMessage<'_>,
    ) -> Option<Vec<u8>> {
        let mut sealed = Vec::with_capacity(HEAD + 256);
        sealed.push(VERSION);
        sealed.extend_from_slice(self.run.as_bytes());
        sealed.extend_from_slice(&number.to_be_bytes());
        sealed.extend_from_slice(&sent.as_secs().to_be_bytes());
        let bound = bound(&sealed, to);
        let mut inside = Zeroizing::new(postcard::to_extend(&(from, message), Vec::new()).ok()?);
        let tag = aead::seal(&self.own, number, &bound, &mut inside)?;
        sealed.extend_from_slice(&inside);
        sealed.extend_from_slice(&tag);
        (sealed.len() <= MOST).then_some(sealed)
    }

    /// Opens a message to this gateway, or to all. Returns the name of its sender with it.
    pub(super) fn open<'t>(
        &self,
        to: Option<&str>,
        sealed: &SealedMessage<'_>,
        text: &'t mut Vec<u8>,
    ) -> Option<(&'t str, BusMessage<'t>)> {
        let SealedMessage { head, stamp, inside, tag } = sealed;
        text.clear();
        text.extend_from_slice(inside);
        let key = of_run(&self.key, &stamp.run);
        aead::open(&key, stamp.number, &bound(*head, to), text, tag).ok()?;
        postcard::from_bytes(&*text).ok()
    }
}

impl<'a> SealedMessage<'a> {
    /// Reads what stands before the sealed part; `None` for what is no such message.
    pub(super) fn parse(bytes: &'a [u8]) -> Option<Self> {
        if bytes.len() > MOST {
            return None;
        }
        let (head, rest) = bytes.split_first_chunk::<HEAD>()?;
        let (inside, tag) = rest.split_last_chunk::<TAG_BYTES>()?;
        let (version, named) = head.split_first()?;
        let (run, named) = named.split_first_chunk::<16>()?;
        let (number, sent) = named.split_first_chunk::<8>()?;
        let sent = UnixTime::from_secs(u64::from_be_bytes(sent.try_into().ok()?));
        let run = BusRun::from_bytes(*run);
        let stamp = BusStamp { run, number: u64::from_be_bytes(*number), sent };
        (*version == VERSION).then_some(Self { head, stamp, inside, tag })
    }
}

fn of_run(key: &Secret<32>, run: &BusRun) -> Secret<32> {
    derive_two(key, &[BUS_MESSAGE, run.as_bytes()].concat()).0
}

fn bound(head: &[u8], to: Option<&str>) -> Vec<u8> {
    [BUS_MESSAGE, head, to.unwrap_or(ALL).as_bytes()].concat()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::entropy;

    const NOW: UnixTime = UnixTime::from_secs(1_800_000_000);
    const MESSAGE: BusMessage<'_> =
        BusMessage::Publish { ask: 7, address: "/lights/hall", bytes: b"on" };

    fn seal(key: u8) -> BusSeal {
        BusSeal::new(&[key; 32], &entropy::draw()).unwrap()
    }

    fn opens(seal: &BusSeal, to: Option<&str>, bytes: &[u8]) -> bool {
        let mut text = Vec::new();
        SealedMessage::parse(bytes)
            .is_some_and(|sealed| seal.open(to, &sealed, &mut text).is_some())
    }

    #[test]
    fn a_message_opens_unchanged_at_its_receiver_alone() {
        let (one, other) = (seal(1), seal(1));
        let sealed = one.seal("here", Some("there"), 3, NOW, &MESSAGE).unwrap();
        let mut text = Vec::new();
        let parsed = SealedMessage::parse(&sealed).unwrap();
        assert_eq!((parsed.stamp.number, parsed.stamp.sent), (3, NOW));
        assert_eq!(other.open(Some("there"), &parsed, &mut text), Some(("here", MESSAGE)));
        assert!(!opens(&other, Some("elsewhere"), &sealed) && !opens(&other, None, &sealed));
        assert!(!opens(&seal(2), Some("there"), &sealed), "a stranger");
        for at in 0..sealed.len() {
            let mut changed = sealed.clone();
            changed[at] ^= 1;
            assert!(!opens(&other, Some("there"), &changed), "byte {at}");
            assert!(!opens(&other, Some("there"), &sealed[..at]), "{at} bytes");
        }
    }

    #[test]
    fn a_message_that_is_too_long_is_neither_sealed_nor_opened() {
        let bytes = vec![0; FRAME_BYTES];
        let frame = |bytes| BusMessage::Frame { ask: 1, node_id: [1; 16], is_text: false, bytes };
        let sealed = seal(1).seal("here", Some("there"), 1, NOW, &frame(&bytes)).unwrap();
        assert!(opens(&seal(1), Some("there"), &sealed));
        let bytes = vec![0; FRAME_BYTES + REST];
        assert_eq!(seal(1).seal("here", Some("there"), 1, NOW, &frame(&bytes)), None);
        assert!(SealedMessage::parse(&vec![VERSION; MOST + 1]).is_none());
    }

    #[test]
    fn every_name_of_a_gateway_is_one_token_of_a_subject_and_another_one() {
        let seal = seal(1);
        let subject = |name| seal.subject(Some(name));
        assert_ne!(subject("a.b"), subject("a-b"));
        for name in ["a.b", "..", "a"] {
            assert_eq!(subject(name).split('.').count(), 4, "{name}");
            assert!(subject(name).split('.').all(|token| !token.is_empty()), "{name}");
        }
        assert_ne!(
            seal.subject(None),
            BusSeal::new(&[2; 32], &entropy::draw()).unwrap().subject(None)
        );
    }
}
