//! The channel after a handshake: one key and one counter per direction (sections 5.1 and 11.3),
//! sealing in place.

use super::{Error, SEALED_BYTES};
use crate::crypto::aead::{self, TAG_BYTES};
use crate::secret::Secret;

/// Maximum length of the text in one sealed message, in bytes.
pub const TEXT_BYTES: usize = SEALED_BYTES - TAG_BYTES;
/// Number of messages of a direction after which its key is replaced. The old key cannot be derived
/// from the new one.
pub const REKEY_EVERY: u64 = 1 << 16;
/// The nonce that only rekeying uses (section 4.2).
const RESERVED: u64 = u64::MAX;

/// The direction of a channel from this side to the peer.
#[derive(Debug)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub struct Sending(Direction);

impl Sending {
    pub(super) const fn new(key: Secret<32>) -> Self {
        Self(Direction::new(key))
    }

    /// Seals the first `text` bytes of `buffer` in place, and returns the message, which is 16
    /// bytes longer.
    ///
    /// # Errors
    /// [`Error::Buffer`] if the message does not fit the buffer or exceeds [`SEALED_BYTES`];
    /// [`Error::Exhausted`], permanently, once the counters are used up. In both cases nothing was
    /// sealed and no counter used.
    pub fn seal<'b>(&mut self, buffer: &'b mut [u8], text: usize) -> Result<&'b [u8], Error> {
        if text > TEXT_BYTES {
            return Err(Error::Buffer);
        }
        let message = buffer.get_mut(..text.saturating_add(TAG_BYTES)).ok_or(Error::Buffer)?;
        let (body, tag) = message.split_last_chunk_mut::<TAG_BYTES>().ok_or(Error::Buffer)?;
        let counter = self.0.counter.take()?;
        *tag = aead::seal(&self.0.key, counter, &[], body).ok_or(Error::Buffer)?;
        self.0.rekey_when_due()?;
        Ok(message)
    }
}

/// The direction of a channel from the peer to this side.
#[derive(Debug)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub struct Receiving(Direction);

impl Receiving {
    pub(super) const fn new(key: Secret<32>) -> Self {
        Self(Direction::new(key))
    }

    /// Opens a message in place, and returns its text. It consumes the direction, because any
    /// failure ends the channel: after a message that is not the peer's next one, no key remains.
    ///
    /// # Errors
    /// [`Error::Length`], [`Error::Forged`], [`Error::Exhausted`].
    pub fn open(mut self, message: &mut [u8]) -> Result<(Self, &mut [u8]), Error> {
        let text = self.open_in_place(message)?;
        Ok((self, text))
    }

    /// Opens a message like [`open`](Self::open), without moving the direction: a move costs a
    /// device stack. After a failure no further message opens.
    pub(crate) fn open_in_place<'m>(
        &mut self,
        message: &'m mut [u8],
    ) -> Result<&'m mut [u8], Error> {
        let opened = self.0.open(message);
        if opened.is_err() {
            // A message that does not open ends the channel, so no later one may open.
            self.0.counter = Counter::USED_UP;
        }
        opened
    }
}

#[derive(Debug)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
struct Direction {
    key: Secret<32>,
    counter: Counter,
}

impl Direction {
    const fn new(key: Secret<32>) -> Self {
        Self { key, counter: Counter::ZERO }
    }

    fn open<'m>(&mut self, message: &'m mut [u8]) -> Result<&'m mut [u8], Error> {
        if message.len() > SEALED_BYTES {
            return Err(Error::Length);
        }
        let (body, tag) = message.split_last_chunk_mut::<TAG_BYTES>().ok_or(Error::Length)?;
        let counter = self.counter.take()?;
        aead::open(&self.key, counter, &[], body, tag).map_err(|_| Error::Forged)?;
        self.rekey_when_due()?;
        Ok(body)
    }

    /// Performs `Rekey` (section 4.2) after each [`REKEY_EVERY`] messages; the counter continues.
    fn rekey_when_due(&mut self) -> Result<(), Error> {
        if self.counter.0.is_multiple_of(REKEY_EVERY) {
            let mut next = [0; 32];
            // Sealing 32 bytes cannot fail. If it did, the error keeps the zeros from becoming the
            // key.
            aead::seal(&self.key, RESERVED, &[], &mut next).ok_or(Error::Exhausted)?;
            self.key = Secret::new(next);
            zeroize::Zeroize::zeroize(&mut next);
        }
        Ok(())
    }
}

/// The number of messages so far; each number serves once as a nonce.
#[derive(Debug)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub(super) struct Counter(u64);

impl Counter {
    pub(super) const ZERO: Self = Self(0);
    /// No message follows; section 5.1 reserves this number.
    const USED_UP: Self = Self(u64::MAX);

    pub(super) fn take(&mut self) -> Result<u64, Error> {
        let now = self.0;
        // The addition fails at 2^64 - 1, which section 5.1 reserves.
        self.0 = now.checked_add(1).ok_or(Error::Exhausted)?;
        Ok(now)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn channel(counter: u64) -> (Sending, Receiving) {
        let direction = || Direction { key: Secret::new([1; 32]), counter: Counter(counter) };
        (Sending(direction()), Receiving(direction()))
    }

    #[test]
    fn the_last_counter_but_one_serves_and_then_the_direction_is_closed() {
        let (mut sending, receiving) = channel(u64::MAX - 1);
        let mut buffer = [0; 20];
        assert_eq!(sending.seal(&mut buffer, 4).map(<[u8]>::len), Ok(20));
        let (receiving, _) = receiving.open(&mut buffer).unwrap();
        let before = buffer;
        for _ in 0..3 {
            assert_eq!(sending.seal(&mut buffer, 4), Err(Error::Exhausted));
        }
        assert_eq!(buffer, before, "nothing was sealed");
        assert_eq!(receiving.open(&mut buffer).err(), Some(Error::Exhausted));
    }

    #[test]
    fn a_message_that_does_not_fit_uses_no_counter() {
        let (mut sending, receiving) = channel(0);
        assert_eq!(sending.seal(&mut [0; 19], 4), Err(Error::Buffer));
        assert_eq!(sending.seal(&mut [0; 2000], TEXT_BYTES + 1), Err(Error::Buffer));
        assert_eq!(sending.seal(&mut [0; 2000], usize::MAX), Err(Error::Buffer));
        let mut buffer = [5; SEALED_BYTES];
        sending.seal(&mut buffer, TEXT_BYTES).unwrap();
        let (_, text) = receiving.open(&mut buffer).unwrap();
        assert_eq!(text, [5; TEXT_BYTES]);
    }

    #[test]
    fn the_key_changes_after_every_65536_messages_and_the_counter_goes_on() {
        let (mut sending, mut receiving) = channel(0);
        let mut keys = std::collections::BTreeSet::new();
        for number in 0..=2 * REKEY_EVERY {
            keys.insert(*sending.0.key.expose());
            let mut buffer = [0; 16];
            sending.seal(&mut buffer, 0).unwrap();
            (receiving, _) = receiving.open(&mut buffer).unwrap();
            assert_eq!(sending.0.counter.0, number + 1);
            assert_eq!(keys.len() as u64, 1 + number / REKEY_EVERY);
        }
    }

    #[test]
    fn a_message_that_does_not_open_in_place_is_the_last_one_even_if_the_next_one_is_genuine() {
        for bad in [&mut [7; 24][..], &mut [7; TAG_BYTES - 1], &mut [7; SEALED_BYTES + 1]] {
            let (mut sending, mut receiving) = channel(0);
            let mut genuine = [0; 20];
            sending.seal(&mut genuine, 4).unwrap();
            assert!(receiving.open_in_place(bad).is_err());
            assert_eq!(receiving.open_in_place(&mut genuine).err(), Some(Error::Exhausted));
        }
    }

    #[test]
    fn messages_out_of_order_repeated_or_cut_end_the_direction() {
        let seal = |sending: &mut Sending| {
            let mut buffer = [7; 24];
            sending.seal(&mut buffer, 8).unwrap();
            buffer
        };
        let (mut sending, receiving) = channel(0);
        let (mut first, mut second) = (seal(&mut sending), seal(&mut sending));
        assert_eq!(receiving.open(&mut second).err(), Some(Error::Forged), "skipped one");
        let (receiving, _) = channel(0).1.open(&mut first.clone()).unwrap();
        assert_eq!(receiving.open(&mut first).err(), Some(Error::Forged), "repeated");
        for end in 0..24 {
            let expected = if end < TAG_BYTES { Error::Length } else { Error::Forged };
            assert_eq!(
                channel(0).1.open(&mut seal(&mut channel(0).0)[..end]).err(),
                Some(expected),
                "cut at {end}"
            );
        }
        assert_eq!(channel(0).1.open(&mut [0; SEALED_BYTES + 1]).err(), Some(Error::Length));
    }
}
