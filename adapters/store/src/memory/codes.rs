//! The rows of PINs and codes, of the window, and of the guesses of each source.

use handfast_core::registry::codes::{CodeId, Guesser, Kind, Window};
use handfast_core::wire::native::pair::Selector;
use handfast_core::{Source, UnixTime};

use super::MemoryTx;
use crate::StoredCode;
use crate::ops::{CodeRows, PinRow, RowResult};

/// A code, the time from which it is dead, and the run that minted it.
#[derive(Clone, Debug)]
pub(super) struct CodeRow {
    pub(super) code: StoredCode,
    pub(super) dead_since: UnixTime,
    pub(super) run: u64,
}

impl CodeRow {
    pub(super) fn has_uses(&self) -> bool {
        self.code.counted.uses_left > 0
    }

    pub(super) fn lives(&self, now: UnixTime) -> bool {
        now < self.dead_since && self.has_uses()
    }

    fn selector(&self) -> Option<Selector> {
        match self.code.counted.kind {
            Kind::Pin(_) | Kind::Provisioning => None,
            Kind::Code(selector) => Some(selector),
        }
    }

    fn is_pin(&self) -> bool {
        matches!(self.code.counted.kind, Kind::Pin(_))
    }

    fn erase(&mut self) {
        // The secret is wiped before its memory is given back.
        self.code.sealed.fill(0);
        self.code.sealed.clear();
    }

    pub(super) fn kill(&mut self, now: UnixTime) {
        self.code.counted.uses_left = 0;
        self.code.counted.expires = self.code.counted.expires.min(now);
        self.dead_since = self.dead_since.min(now);
        self.erase();
    }
}

impl CodeRows for MemoryTx {
    fn window(&mut self) -> RowResult<Window> {
        Ok(self.singles.window)
    }

    fn set_window(&mut self, window: &Window) -> RowResult<()> {
        let times = |window: &Window| window.opened.map(|opened| (opened.at, opened.closes));
        // Setting the same window again, as a restart does, leaves its times with the earlier run.
        if times(window) != times(&self.singles.window) {
            self.singles.window_run = self.singles.run;
        }
        self.singles.window = *window;
        Ok(())
    }

    fn guesses_of(&mut self, source: Source) -> RowResult<u8> {
        Ok(self.guesses.get(&source).copied().unwrap_or_default())
    }

    fn set_guesses(&mut self, source: Source, guesses: u8) -> RowResult<()> {
        match guesses {
            0 => {
                self.guesses.remove(&source);
            }
            some => self.guesses.put(source, some),
        }
        Ok(())
    }

    fn forget_guesses(&mut self) -> RowResult<()> {
        self.guesses.remove_all(|_, _| true);
        Ok(())
    }

    fn guessers(&mut self) -> RowResult<Vec<Guesser>> {
        let guesses = self.guesses.iter();
        Ok(guesses
            .map(|(source, guesses)| Guesser { source: *source, guesses: *guesses })
            .collect())
    }

    fn count_stray(&mut self) -> RowResult<()> {
        // Only where a write takes time must a guess at no code write as much as any other.
        Ok(())
    }

    fn code(&mut self, id: CodeId) -> RowResult<Option<StoredCode>> {
        Ok(self.codes.values().map(|row| &row.code).find(|code| code.id == id).cloned())
    }

    fn code_by_selector(
        &mut self,
        selector: Selector,
        now: UnixTime,
    ) -> RowResult<Option<StoredCode>> {
        let mut live = self.codes.values().filter(|row| row.lives(now));
        let found = live.find(|row| row.selector() == Some(selector));
        Ok(found.map(|row| row.code.clone()))
    }

    fn live_codes(&mut self, now: UnixTime) -> RowResult<Vec<StoredCode>> {
        let live = self.codes.values().rev().filter(|row| row.lives(now));
        Ok(live.map(|row| StoredCode { sealed: Vec::new(), ..row.code.clone() }).collect())
    }

    fn live_pins(&mut self, now: UnixTime) -> RowResult<Vec<PinRow>> {
        let live = self.codes.values().filter(|row| row.lives(now)).map(|row| &row.code);
        let pins = live.filter_map(|code| match code.counted.kind {
            Kind::Pin(key) => Some(PinRow {
                id: code.id,
                key: *key.as_bytes(),
                source: code.source,
                guesses: code.counted.guesses,
            }),
            Kind::Code(_) | Kind::Provisioning => None,
        });
        Ok(pins.collect())
    }

    fn count_codes(&mut self, now: UnixTime) -> RowResult<(u32, u32)> {
        let (mut all, mut of_sessions) = (0, 0);
        for row in self.codes.values().filter(|row| row.lives(now) && !row.is_pin()) {
            all += 1;
            of_sessions += u32::from(row.code.maker.session().is_some());
        }
        Ok((all, of_sessions))
    }

    fn add_code(&mut self, code: &StoredCode) -> RowResult<()> {
        let dead_since = code.counted.expires;
        let mut row = CodeRow { code: code.clone(), dead_since, run: self.singles.run };
        // A code without uses is dead, and a dead code has no secret.
        if !row.has_uses() {
            row.erase();
        }
        self.codes.append(row);
        Ok(())
    }

    fn set_counters(
        &mut self,
        id: CodeId,
        guesses: u8,
        uses_left: u8,
        now: UnixTime,
    ) -> RowResult<()> {
        self.codes.change_all(
            |_, row| row.code.id == id,
            |row| {
                row.code.counted.guesses = guesses;
                row.code.counted.uses_left = uses_left;
                if uses_left == 0 {
                    row.dead_since = row.dead_since.min(now);
                    row.erase();
                }
            },
        );
        Ok(())
    }

    fn kill_code(&mut self, id: CodeId, now: UnixTime) -> RowResult<bool> {
        let such = |_: &u64, row: &CodeRow| row.code.id == id && row.has_uses();
        Ok(!self.codes.change_all(such, |row| row.kill(now)).is_empty())
    }

    fn forget_codes(&mut self, before: UnixTime, most: u32) -> RowResult<()> {
        let order = |place: &u64, row: &CodeRow| {
            (row.dead_since < before).then_some((row.dead_since, *place))
        };
        for place in self.codes.first(most, order) {
            self.codes.remove(&place);
        }
        Ok(())
    }

    fn erase_dead_codes(&mut self, most: u32, now: UnixTime) -> RowResult<()> {
        let order = |place: &u64, row: &CodeRow| {
            let is_left = row.dead_since <= now && !row.code.sealed.is_empty();
            is_left.then_some((row.dead_since, *place))
        };
        for place in self.codes.first(most, order) {
            self.codes.change(&place, CodeRow::erase);
        }
        Ok(())
    }
}
