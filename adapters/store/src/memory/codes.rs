//! PINs, codes and the window.

use std::collections::{BTreeMap, HashMap};

use handfast_core::crypto::x25519;
use handfast_core::id::Source;
use handfast_core::limits::GUESSES_PER_CODE;
use handfast_core::registry::codes::{
    CodeId, Counted, Guesser, Kind, LivePin, NoGuess, PinRoom, Reserved, Window, has_room,
    pin_room, reserve, spend,
};
use handfast_core::registry::sessions::{Maker, SessionId};
use handfast_core::time::UnixTime;
use handfast_core::wire::native::pair::Selector;

use super::time::moved;
use crate::{CODES, NotMinted, PINS, StoreError, StoredCode, rules};

#[derive(Clone, Debug, Default)]
pub(super) struct Codes {
    pub(super) window: Window,
    window_run: u64,
    /// Number of the current run.
    pub(super) run: u64,
    /// Wrong and reserved guesses of the window by source; a source without any has no entry.
    guesses: BTreeMap<Source, u8>,
    /// All codes, in the order in which they were minted.
    all: BTreeMap<u64, Minted>,
    minted: u64,
    by_id: HashMap<CodeId, u64>,
    /// Number of guesses at no existing code.
    strays: u64,
}

#[derive(Clone, Debug)]
struct Minted {
    code: StoredCode,
    dead_since: UnixTime,
    run: u64,
}

impl Minted {
    fn lives(&self, now: UnixTime) -> bool {
        now < self.dead_since && self.code.counted.uses_left > 0
    }

    fn pin_for(&self) -> Option<x25519::PublicKey> {
        match self.code.counted.kind {
            Kind::Pin(key) => Some(key),
            Kind::Code(_) => None,
        }
    }

    fn live_pin(&self) -> Option<LivePin> {
        self.code.counted.live_pin(self.code.source)
    }

    fn selector(&self) -> Option<Selector> {
        match self.code.counted.kind {
            Kind::Pin(_) => None,
            Kind::Code(selector) => Some(selector),
        }
    }

    fn erase(&mut self) {
        self.code.sealed.fill(0);
        self.code.sealed.clear();
    }

    fn kill(&mut self, now: UnixTime) {
        self.code.counted.uses_left = 0;
        self.code.counted.expires = self.code.counted.expires.min(now);
        self.dead_since = self.dead_since.min(now);
        self.erase();
    }
}

impl Codes {
    pub(super) fn mint(
        &mut self,
        code: StoredCode,
        now: UnixTime,
    ) -> Result<Result<(), NotMinted>, StoreError> {
        self.purge(now);
        if self.by_id.contains_key(&code.id) {
            return Err(StoreError::Database("the fresh id of a code is taken".to_owned()));
        }
        let live = self.all.values_mut().filter(|minted| minted.lives(now));
        match code.counted.kind {
            Kind::Pin(key) => {
                if let Err(no) = self.window.admits(now) {
                    return Ok(Err(no.into()));
                }
                let (older, mut others): (Vec<_>, Vec<_>) = live
                    .filter(|minted| minted.pin_for().is_some())
                    .partition(|minted| minted.pin_for() == Some(key));
                // A PIN that was guessed too often cannot be used any more, so it takes no place.
                others.retain(|minted| minted.live_pin().is_some());
                let shown: Vec<_> = others.iter().filter_map(|minted| minted.live_pin()).collect();
                match pin_room(&shown, code.source, PINS as usize) {
                    PinRoom::Free => {}
                    PinRoom::InPlaceOf(at) => {
                        if let Some(minted) = others.get_mut(at) {
                            minted.kill(now);
                        }
                    }
                    PinRoom::Full => return Ok(Err(NotMinted::TooMany)),
                }
                // Only now: if there was no room, the older PIN of the key stays live.
                older.into_iter().for_each(|minted| minted.kill(now));
            }
            Kind::Code(selector) => {
                let live: Vec<_> = live
                    .filter_map(|minted| {
                        minted.selector().map(|selector| (selector, minted.code.maker))
                    })
                    .collect();
                if live.iter().any(|(other, _)| *other == selector) {
                    return Ok(Err(NotMinted::Taken));
                }
                let of_sessions = live.iter().filter(|(_, maker)| maker.session().is_some());
                let count = |number| u32::try_from(number).unwrap_or(u32::MAX);
                if !has_room(code.maker, count(live.len()), count(of_sessions.count()), CODES) {
                    return Ok(Err(NotMinted::TooMany));
                }
            }
        }
        let dead_since = code.counted.expires;
        self.by_id.insert(code.id, self.minted);
        self.all.insert(self.minted, Minted { code, dead_since, run: self.run });
        self.minted += 1;
        Ok(Ok(()))
    }

    pub(super) fn code(&self, id: CodeId) -> Option<StoredCode> {
        Some(self.all.get(self.by_id.get(&id)?)?.code.clone())
    }

    pub(super) fn by_selector(&self, selector: Selector, now: UnixTime) -> Option<StoredCode> {
        let found = self
            .all
            .values()
            .find(|minted| minted.selector() == Some(selector) && minted.lives(now));
        found.map(|minted| minted.code.clone())
    }

    pub(super) fn live(&self, now: UnixTime) -> Vec<StoredCode> {
        let live = self.all.values().rev().filter(|minted| minted.lives(now));
        live.map(|minted| StoredCode { sealed: Vec::new(), ..minted.code.clone() }).collect()
    }

    pub(super) fn set_window(&mut self, window: Window) {
        // Setting the same window again, as a restart does, leaves its times with the earlier run.
        if window.opened != self.window.opened {
            self.window_run = self.run;
        }
        self.window = window;
        if window.guesses == 0 {
            self.guesses.clear();
        }
    }

    pub(super) fn guessers(&self) -> Vec<Guesser> {
        self.guesses
            .iter()
            .map(|(source, guesses)| Guesser { source: *source, guesses: *guesses })
            .collect()
    }

    fn of(&self, source: Source) -> u8 {
        self.guesses.get(&source).copied().unwrap_or_default()
    }

    fn count(&mut self, source: Source, guesses: u8) {
        match guesses {
            0 => self.guesses.remove(&source),
            some => self.guesses.insert(source, some),
        };
    }

    pub(super) fn reserve(
        &mut self,
        id: Option<CodeId>,
        source: Source,
        now: UnixTime,
    ) -> Result<u8, NoGuess> {
        let Some(id) = id else {
            // Counted, because the store in a file writes as much for a guess at no code.
            self.strays += 1;
            return Ok(GUESSES_PER_CODE - 1);
        };
        let before = self.of(source);
        let minted = self
            .by_id
            .get(&id)
            .and_then(|place| self.all.get_mut(place))
            .ok_or(NoGuess::Expired)?;
        let Reserved { guesses, window, of_source, left } =
            reserve(&minted.code.counted, &self.window, before, now)?;
        minted.code.counted.guesses = guesses;
        self.window = window;
        self.count(source, of_source);
        Ok(left)
    }

    pub(super) fn spend(
        &mut self,
        id: CodeId,
        source: Source,
        reserved_at: UnixTime,
        now: UnixTime,
    ) -> bool {
        let before = self.of(source);
        let Some(minted) = self.by_id.get(&id).and_then(|place| self.all.get_mut(place)) else {
            return false;
        };
        let Some((counted, window, of_source)) =
            spend(&minted.code.counted, &self.window, before, reserved_at)
        else {
            return false;
        };
        minted.code.counted = counted;
        self.window = window;
        if let Counted { uses_left: 0, .. } = counted {
            minted.dead_since = minted.dead_since.min(now);
            minted.erase();
        }
        self.count(source, of_source);
        true
    }

    pub(super) fn withdraw(&mut self, id: CodeId, now: UnixTime) -> bool {
        let minted = self.by_id.get(&id).and_then(|place| self.all.get_mut(place));
        let live = minted.filter(|minted| minted.code.counted.uses_left > 0);
        live.map(|minted| minted.kill(now)).is_some()
    }

    /// Moves the times of what this run made, and returns how many entries that were.
    pub(super) fn move_by(&mut self, by: i64) -> u64 {
        let mut count = 0;
        for minted in self.all.values_mut().filter(|minted| minted.run == self.run) {
            minted.code.created_at = moved(minted.code.created_at, by);
            minted.code.counted.expires = moved(minted.code.counted.expires, by);
            minted.dead_since = moved(minted.dead_since, by);
            count += 1;
        }
        if self.window_run == self.run {
            if let Some(opened) = &mut self.window.opened {
                opened.at = moved(opened.at, by);
                opened.closes = opened.closes.map(|closes| moved(closes, by));
            }
            count += 1;
        }
        count
    }

    /// Ends what earlier runs made later than `latest`, and returns how many entries that were.
    pub(super) fn end_later(&mut self, latest: UnixTime) -> u64 {
        let mut count = 0;
        let made_falsely = |minted: &&mut Minted| {
            minted.run != self.run
                && minted.code.counted.uses_left > 0
                && minted.code.created_at > latest
        };
        for minted in self.all.values_mut().filter(made_falsely) {
            minted.kill(latest);
            count += 1;
        }
        if self.window_run != self.run
            && self.window.opened.is_some_and(|opened| opened.at > latest)
        {
            self.window.opened = None;
            count += 1;
        }
        count
    }

    /// Returns the times at which this run made its entries.
    pub(super) fn made_last(&self) -> Vec<UnixTime> {
        let ours = self
            .all
            .values()
            .filter(|minted| minted.run == self.run)
            .map(|minted| minted.code.created_at);
        let window =
            self.window.opened.filter(|_| self.window_run == self.run).map(|opened| opened.at);
        ours.chain(window).collect()
    }

    pub(super) fn write_over(&mut self, id: CodeId, now: UnixTime) -> bool {
        let minted = self.by_id.get(&id).and_then(|place| self.all.get_mut(place));
        let over = minted.filter(|minted| {
            minted.code.counted.uses_left > 0 && minted.code.counted.expires <= now
        });
        over.map(|minted| minted.kill(now)).is_some()
    }

    pub(super) fn close_over(&mut self, now: UnixTime) -> bool {
        let is_over =
            self.window.opened.and_then(|opened| opened.closes).is_some_and(|closes| closes <= now);
        if is_over {
            self.window.opened = None;
        }
        is_over
    }

    /// Withdraws the codes that this session minted and that outlast its end. Returns their number.
    pub(super) fn end_made_by(
        &mut self,
        session: SessionId,
        outlasts: impl Fn(Option<UnixTime>) -> bool,
        now: UnixTime,
    ) -> u64 {
        let made =
            self.all.values_mut().filter(|minted| minted.code.maker == Maker::Session(session));
        let killed = made.filter(|minted| {
            minted.code.counted.uses_left > 0 && outlasts(Some(minted.dead_since))
        });
        killed.map(|minted| minted.kill(now)).count() as u64
    }

    /// Closes the window if this session opened it and it outlasts the session's end.
    pub(super) fn close_opened_by(
        &mut self,
        session: SessionId,
        outlasts: impl Fn(Option<UnixTime>) -> bool,
    ) -> bool {
        let opened = self
            .window
            .opened
            .filter(|opened| opened.by == Maker::Session(session) && outlasts(opened.closes));
        self.window.opened = self.window.opened.filter(|_| opened.is_none());
        opened.is_some()
    }

    /// Returns the makers of the live codes.
    pub(super) fn makers(&self, now: UnixTime) -> impl Iterator<Item = Maker> {
        self.all.values().filter(move |minted| minted.lives(now)).map(|minted| minted.code.maker)
    }

    fn purge(&mut self, now: UnixTime) {
        let first =
            |such: fn(&Minted, UnixTime) -> bool, at: UnixTime, all: &BTreeMap<u64, Minted>| {
                let mut found: Vec<_> = all
                    .iter()
                    .filter(|(_, m)| such(m, at))
                    .map(|(place, m)| (m.dead_since, *place))
                    .collect();
                found.sort_unstable();
                found.truncate(rules::PURGE as usize);
                found
            };
        // The dead are removed first, so that no call erases a secret that it then removes.
        for (_, place) in
            first(|minted, oldest| minted.dead_since < oldest, rules::oldest_death(now), &self.all)
        {
            if let Some(gone) = self.all.remove(&place) {
                self.by_id.remove(&gone.code.id);
            }
        }
        let expired =
            |minted: &Minted, now| minted.dead_since <= now && !minted.code.sealed.is_empty();
        for (_, place) in first(expired, now, &self.all) {
            if let Some(expired) = self.all.get_mut(&place) {
                expired.erase();
            }
        }
    }
}
