//! The answer to a call: the time of the next deadline, and records, each a kind, a length and
//! bytes.
//!
//! ```text
//! answer = deadline *record         deadline: milliseconds from now, f64 LE; infinity: none
//! record = kind length bytes        kind: u8; length: u32 LE
//! ```

use handfast_core::crypto::fingerprint::Fingerprint;
use handfast_core::wire::json_write::ObjectWriter;

/// The kind of a record. The host carries out records in their order.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub(crate) enum Kind {
    /// Open a connection.
    Connect = 0,
    /// Send these bytes as one binary message.
    Send = 1,
    /// Close the connection: the code (u16 LE), and the reason.
    Close = 2,
    /// Store these bytes durably, then call `Kept`.
    Keep = 3,
    /// Nothing is worth storing any more but these bytes, the keys; otherwise as `Keep`.
    KeepBlank = 4,
    /// An event for the owner, as JSON.
    Event = 5,
    /// A message for the application: the action (u8), the length of the address (u8), the address,
    /// the payload.
    App = 6,
    /// The call is refused, as JSON.
    Refused = 7,
    /// Send this text as one text message.
    SendText = 8,
    /// Post these bytes to open a sealed exchange, and answer with a phone's `Answer`.
    Open = 32,
    /// Post to a sealed exchange, and answer likewise: the handle (16 bytes), the message.
    Post = 33,
    /// A part of the node's answer to a phone's call: the status (u16 LE), 1 if it is the last part,
    /// the part.
    Answer = 34,
}

/// Length of the deadline.
const HEAD: usize = 8;
/// Length of a record's kind and length.
const RECORD_HEAD: usize = 5;

/// Writes an answer into a buffer that is never too small: see [`crate::OUTPUT_BYTES`].
pub(crate) struct Reply<'o> {
    out: &'o mut [u8],
    length: usize,
    /// `false` once a record did not fit. The whole answer is void then.
    fits: bool,
}

impl<'o> Reply<'o> {
    pub(crate) fn new(out: &'o mut [u8]) -> Self {
        Self { fits: out.len() >= HEAD, out, length: HEAD }
    }

    /// Returns the place of the next record's bytes.
    pub(crate) fn room(&mut self) -> &mut [u8] {
        self.length
            .checked_add(RECORD_HEAD)
            .and_then(|from| self.out.get_mut(from..))
            .unwrap_or_default()
    }

    /// Adds the record whose bytes are in [`room`](Self::room); `None` if they did not fit.
    #[inline(never)]
    pub(crate) fn add(&mut self, kind: Kind, written: Option<usize>) {
        if written.and_then(|written| self.added(kind, written)).is_none() {
            self.fits = false;
        }
    }

    fn added(&mut self, kind: Kind, written: usize) -> Option<()> {
        let [a, b, c, d] = u32::try_from(written).ok()?.to_le_bytes();
        let head = self.out.get_mut(self.length..)?.first_chunk_mut::<RECORD_HEAD>()?;
        *head = [kind as u8, a, b, c, d];
        self.length = self.length.checked_add(RECORD_HEAD)?.checked_add(written)?;
        Some(())
    }

    /// Adds a record of these pieces.
    #[inline(never)]
    pub(crate) fn bytes(&mut self, kind: Kind, pieces: &[&[u8]]) {
        let written = joined(self.room(), pieces);
        self.add(kind, written);
    }

    /// Adds a record with a JSON object.
    pub(crate) fn object(
        &mut self,
        kind: Kind,
        members: impl FnOnce(ObjectWriter<'_>) -> ObjectWriter<'_>,
    ) {
        let written = members(ObjectWriter::new(self.room())).finish().map(str::len);
        self.add(kind, written);
    }

    /// Adds an event that has nothing but its name.
    #[inline(never)]
    pub(crate) fn event(&mut self, name: &str) {
        self.object(Kind::Event, |object| object.text("event", name));
    }

    /// Adds a refusal of the call: a code, for which the host has a sentence, and core's reason; an
    /// empty one is none.
    #[inline(never)]
    pub(crate) fn refuse(&mut self, code: &str, reason: &str) {
        self.object(Kind::Refused, |object| object.text("code", code).text("reason", reason));
    }

    /// Ends the answer, and returns its length; 0 if a record did not fit.
    pub(crate) fn finish(self, deadline_millis: f64) -> usize {
        match self.out.first_chunk_mut::<HEAD>() {
            Some(head) if self.fits => *head = deadline_millis.to_le_bytes(),
            // An answer that does not fit is none, because half of one would mislead the host.
            Some(_) | None => return 0,
        }
        self.length
    }
}

/// Writes the pieces one behind the other, and returns their length.
fn joined(mut room: &mut [u8], pieces: &[&[u8]]) -> Option<usize> {
    let mut length = 0usize;
    for piece in pieces {
        let (here, rest) = room.split_at_mut_checked(piece.len())?;
        here.copy_from_slice(piece);
        room = rest;
        length = length.checked_add(piece.len())?;
    }
    Some(length)
}

pub(crate) fn number<'o>(object: ObjectWriter<'o>, key: &str, value: u64) -> ObjectWriter<'o> {
    object.verbatim(key, Digits::of(value).as_str())
}

pub(crate) fn with_fingerprint<'o>(
    object: ObjectWriter<'o>,
    key: &str,
    fingerprint: &Fingerprint,
) -> ObjectWriter<'o> {
    // A fingerprint is ASCII; the fallback is never taken.
    object.text(key, core::str::from_utf8(&fingerprint.text()).unwrap_or(""))
}

/// The decimal digits of a number.
struct Digits {
    digits: [u8; 20],
    from: usize,
}

impl Digits {
    fn of(mut number: u64) -> Self {
        let (mut digits, mut from) = ([b'0'; 20], 20usize);
        for place in digits.iter_mut().rev() {
            *place = b'0'.saturating_add((number % 10).to_le_bytes()[0]);
            from = from.saturating_sub(1);
            number /= 10;
            if number == 0 {
                break;
            }
        }
        Self { digits, from }
    }

    fn as_str(&self) -> &str {
        // These are digits; the fallback is never taken.
        self.digits
            .get(self.from..)
            .and_then(|digits| core::str::from_utf8(digits).ok())
            .unwrap_or("0")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_number_is_written_with_all_its_digits() {
        for number in [0, 7, 10, 300, u64::from(u32::MAX), u64::MAX] {
            assert_eq!(Digits::of(number).as_str(), number.to_string());
        }
    }

    #[test]
    fn an_answer_with_a_record_that_does_not_fit_is_void() {
        let mut out = [0; HEAD + 2 * RECORD_HEAD + 4];
        let mut reply = Reply::new(&mut out);
        reply.bytes(Kind::Send, &[b"ab"]);
        reply.bytes(Kind::Send, &[b"c"]);
        assert_eq!(reply.finish(1.0), HEAD + 2 * RECORD_HEAD + 3);
        assert_eq!(out[HEAD..], *b"\x01\x02\0\0\0ab\x01\x01\0\0\0c\0");
        let mut reply = Reply::new(&mut out);
        reply.bytes(Kind::Send, &[b"abcdef"]);
        reply.bytes(Kind::Send, &[b"gh"]);
        assert_eq!(reply.finish(1.0), 0);
    }
}
