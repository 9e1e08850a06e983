//! The board of a node: the dispatches that it has taken lately, so that it runs none twice and can
//! say after a lost link what became of each.
//!
//! ```text
//! take ─▶ Run ──(board stored)──▶ the handler runs ──finish──(board stored)──▶ the result is sent
//!      ├▶ Again    it is on the board: the answer is what the board knows
//!      ├▶ TooOld   it may have been run and forgotten: it is not run
//!      └▶ Full     too many run at once: it is not run, and nothing is noted
//! ```
//! The board is stored before a handler runs and before a result is sent. After a power cut,
//! whatever ran is [interrupted](Board::after_boot): it was begun and has no result.
//!
//! Numbers rise in the order in which the gateway made the dispatches. The board keeps the highest
//! number that it has forgotten, and takes nothing at or below it that it does not keep.

use heapless::Vec;
use serde::de::{Deserialize, Deserializer, Error, SeqAccess, Visitor};
use serde::ser::{Serialize, Serializer};

use crate::limits::BOARD_RESULT_BYTES;
use crate::link::dispatch::{DispatchEnd, Known};
use crate::wire::native::link::{
    DispatchId, DispatchOutcome as Outcome, FinalOutcome, KnownDispatch,
};
use crate::wire::native::{Payload, ReasonText};

/// The board of a node that keeps the last `N` dispatches.
#[derive(Clone, Debug, PartialEq, Eq, Hash, serde::Serialize, serde::Deserialize)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub struct Board<const N: usize> {
    /// The highest number that was forgotten; nothing at or below it is taken.
    forgotten: u64,
    entries: Entries<N>,
}

/// The answer of a board to a dispatch that arrives.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
#[must_use = "a dispatch runs only if its board says so"]
pub enum Taken {
    /// It is new. Store the board, and then run it.
    Run,
    /// It came before. Send what is known of it, and do not run it.
    Again(Known),
    /// It may have been run before and forgotten. Say that it is forgotten, and do not run it.
    TooOld,
    /// Every place of the board is taken by a dispatch that still runs. Reject it.
    Full,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, serde::Serialize, serde::Deserialize)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
struct Entry {
    number: u64,
    id: DispatchId,
    stage: Stage,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, serde::Serialize, serde::Deserialize)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
enum Stage {
    Running,
    AwaitingMediation,
    Interrupted,
    /// The end, and the result or the reason; `None` for a result that was too long to keep.
    Ended(DispatchEnd, Option<Kept>),
}

impl Stage {
    /// Returns `true` if a handler may still work on it.
    const fn is_open(&self) -> bool {
        match self {
            Self::Running | Self::AwaitingMediation => true,
            Self::Interrupted | Self::Ended(..) => false,
        }
    }

    const fn known(&self) -> Known {
        match self {
            Self::Running => Known::Running,
            Self::AwaitingMediation => Known::AwaitingMediation,
            Self::Interrupted => Known::Interrupted,
            Self::Ended(DispatchEnd::Succeeded, None) => Known::NotKept,
            Self::Ended(end, _) => Known::Done(*end),
        }
    }
}

impl<const N: usize> Board<N> {
    /// Maximum length of the stored form, in bytes: the mark, the number of entries, and for each
    /// its number, id, stage, end, and result behind its length.
    pub const STORED_BYTES: usize = 10 + 3 + N * (10 + 16 + 1 + 1 + 1 + 2 + BOARD_RESULT_BYTES);

    /// Makes the board of a node that has taken no dispatch yet.
    #[must_use]
    pub const fn new() -> Self {
        Self { forgotten: 0, entries: Entries(Vec::new()) }
    }

    /// Makes the board of a node whose board was lost. Whatever has at most this number may have
    /// run before, so it is not run; [`next_number`](super::dispatch::next_number) of the present
    /// time lies above all earlier ones.
    #[must_use]
    pub const fn after_loss(number: u64) -> Self {
        Self { forgotten: number, entries: Entries(Vec::new()) }
    }

    /// Reads the stored form. Returns `None` if the bytes are anything else.
    #[must_use]
    pub fn read(bytes: &[u8]) -> Option<Self> {
        let (board, rest) = postcard::take_from_bytes(bytes).ok()?;
        rest.is_empty().then_some(board)
    }

    /// Writes the stored form to the front of `out`; [`STORED_BYTES`](Self::STORED_BYTES) always
    /// suffice. Returns `None` if it does not fit.
    pub fn write<'o>(&self, out: &'o mut [u8]) -> Option<&'o [u8]> {
        postcard::to_slice(self, out).ok().map(|written| &*written)
    }

    /// Decides about a dispatch that arrives. The caller stores the board before it runs a
    /// dispatch, so that a power cut at any moment runs it once at most.
    pub fn take(&mut self, number: u64, id: DispatchId) -> Taken {
        // An open task may have a lower number than a forgotten one, so entries come first.
        if let Some(entry) = self.entry(id) {
            return Taken::Again(entry.stage.known());
        }
        if number <= self.forgotten {
            return Taken::TooOld;
        }
        // Only ended tasks are forgotten, because an open one still has a result to send.
        if self.entries.0.is_full() && !self.forget_one() {
            return Taken::Full;
        }
        match self.entries.0.push(Entry { number, id, stage: Stage::Running }) {
            Ok(()) => Taken::Run,
            Err(_) => Taken::Full,
        }
    }

    /// Records that a person has to agree before the task goes on.
    pub fn awaits_mediation(&mut self, id: DispatchId) {
        self.goes_on(id, Stage::AwaitingMediation);
    }

    /// Records that the task goes on.
    pub fn runs(&mut self, id: DispatchId) {
        self.goes_on(id, Stage::Running);
    }

    /// Records the end of a task with its result, or the reason for its failure or rejection.
    /// Returns `true` if it is the first end of a task that was running: the caller stores the
    /// board and then sends the outcome.
    ///
    /// A result longer than [`BOARD_RESULT_BYTES`] is sent now and not kept; a longer reason is
    /// kept up to there.
    pub fn finish(&mut self, id: DispatchId, end: DispatchEnd, result: &[u8]) -> bool {
        let Some(entry) = self.entry_mut(id).filter(|entry| entry.stage.is_open()) else {
            return false;
        };
        let kept = match end {
            // A shortened result would pass for the whole one, so it is kept whole or not.
            DispatchEnd::Succeeded => Kept::whole(result),
            DispatchEnd::Failed | DispatchEnd::Rejected => Some(Kept::beginning(result)),
            DispatchEnd::TimedOut | DispatchEnd::Cancelled => Some(Kept::EMPTY),
        };
        entry.stage = Stage::Ended(end, kept);
        true
    }

    /// Ends what ran when the node was switched off. Returns `true` if that changed the board.
    pub fn after_boot(&mut self) -> bool {
        let mut changed = false;
        for entry in self.entries.0.iter_mut().filter(|entry| entry.stage.is_open()) {
            entry.stage = Stage::Interrupted;
            changed = true;
        }
        changed
    }

    /// Answers the gateway's question about a dispatch, with its kept result.
    #[must_use]
    pub fn answer(&self, number: u64, id: DispatchId) -> KnownDispatch<'_> {
        let result = self.result(id).unwrap_or_default();
        let reason = || core::str::from_utf8(result).ok().and_then(ReasonText::parse);
        let outcome = match self.known(number, id) {
            Known::Running => return KnownDispatch::Running,
            Known::AwaitingMediation => return KnownDispatch::AwaitingMediation,
            Known::NotKept => return KnownDispatch::NotKept,
            Known::Interrupted => return KnownDispatch::Interrupted,
            Known::NeverCame => return KnownDispatch::NeverCame,
            Known::Forgotten => return KnownDispatch::Forgotten,
            Known::Done(DispatchEnd::Succeeded) => Payload::new(result).map(Outcome::Succeeded),
            Known::Done(DispatchEnd::Failed) => reason().map(Outcome::Failed),
            Known::Done(DispatchEnd::Rejected) => reason().map(Outcome::Rejected),
            Known::Done(DispatchEnd::TimedOut) => Some(Outcome::TimedOut),
            Known::Done(DispatchEnd::Cancelled) => Some(Outcome::Cancelled),
        };
        // A kept result fits into a payload, and a kept reason was one before it was shortened. A
        // reason that is only space up to there is as good as an interruption.
        let done = outcome.and_then(FinalOutcome::new);
        done.map_or(KnownDispatch::Interrupted, KnownDispatch::Done)
    }

    /// Returns what the board knows of a dispatch, without the result.
    #[must_use]
    pub fn known(&self, number: u64, id: DispatchId) -> Known {
        match self.entry(id) {
            Some(entry) => entry.stage.known(),
            None if number <= self.forgotten => Known::Forgotten,
            None => Known::NeverCame,
        }
    }

    /// Returns the kept result of a task that has succeeded, or the reason of one that failed or
    /// was rejected. A reason is text, cut between characters.
    #[must_use]
    pub fn result(&self, id: DispatchId) -> Option<&[u8]> {
        match &self.entry(id)?.stage {
            Stage::Ended(_, kept) => kept.as_ref().map(|kept| kept.0.as_slice()),
            Stage::Running | Stage::AwaitingMediation | Stage::Interrupted => None,
        }
    }

    fn goes_on(&mut self, id: DispatchId, stage: Stage) {
        if let Some(entry) = self.entry_mut(id).filter(|entry| entry.stage.is_open()) {
            entry.stage = stage;
        }
    }

    fn entry(&self, id: DispatchId) -> Option<&Entry> {
        self.entries.0.iter().find(|entry| entry.id == id)
    }

    fn entry_mut(&mut self, id: DispatchId) -> Option<&mut Entry> {
        self.entries.0.iter_mut().find(|entry| entry.id == id)
    }

    /// Forgets the ended dispatch with the lowest number, so that the mark rises least. Returns
    /// `false` if all are still open.
    fn forget_one(&mut self) -> bool {
        let ended = self.entries.0.iter().enumerate().filter(|(_, entry)| !entry.stage.is_open());
        let Some((at, number)) =
            ended.map(|(at, entry)| (at, entry.number)).min_by_key(|(_, number)| *number)
        else {
            return false;
        };
        // The order of the entries means nothing, so the last one may fill the gap.
        self.entries.0.swap_remove(at);
        self.forgotten = self.forgotten.max(number);
        true
    }
}

impl<const N: usize> Default for Board<N> {
    fn default() -> Self {
        Self::new()
    }
}

/// The entries, with no id twice.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
struct Entries<const N: usize>(Vec<Entry, N>);

impl<const N: usize> Serialize for Entries<N> {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        to.collect_seq(&self.0)
    }
}

impl<'de, const N: usize> Deserialize<'de> for Entries<N> {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        from.deserialize_seq(ReadEntries(Vec::new()))
    }
}

struct ReadEntries<const N: usize>(Vec<Entry, N>);

impl<'de, const N: usize> Visitor<'de> for ReadEntries<N> {
    type Value = Entries<N>;

    fn expecting(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.write_str("the entries of a board")
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut listed: A) -> Result<Self::Value, A::Error> {
        let Self(mut entries) = self;
        while let Some(entry) = listed.next_element::<Entry>()? {
            // A board with an id twice was not written by this code, and counts as lost.
            if entries.iter().any(|other| other.id == entry.id) {
                return Err(A::Error::custom("an id stands twice"));
            }
            entries.push(entry).map_err(|_| A::Error::custom("too many entries"))?;
        }
        Ok(Entries(entries))
    }
}

/// The kept result of a task, or the kept beginning of a reason.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
struct Kept(Vec<u8, BOARD_RESULT_BYTES>);

impl Kept {
    const EMPTY: Self = Self(Vec::new());

    fn whole(result: &[u8]) -> Option<Self> {
        Vec::from_slice(result).ok().map(Self)
    }

    fn beginning(reason: &[u8]) -> Self {
        let mut kept = Self::EMPTY;
        for chunk in reason.utf8_chunks() {
            // A cut inside a character would leave a reason that is no text.
            for character in chunk.valid().chars() {
                let mut bytes = [0; 4];
                if kept.0.extend_from_slice(character.encode_utf8(&mut bytes).as_bytes()).is_err() {
                    return kept;
                }
            }
        }
        kept
    }
}

impl Serialize for Kept {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        to.serialize_bytes(&self.0)
    }
}

impl<'de> Deserialize<'de> for Kept {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        let bytes = <&'de [u8]>::deserialize(from)?;
        Self::whole(bytes).ok_or_else(|| D::Error::custom("too long to keep"))
    }
}

#[cfg(test)]
mod tests;
