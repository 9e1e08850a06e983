//! PINs, codes and the pairing window.

use handfast_core::limits::GUESSES_PER_CODE;
use handfast_core::registry::codes::{
    self, CodeId, Counted, Guesser, Kind, LivePin, NoGuess, PinRoom, Reserved, Window,
};
use handfast_core::registry::delivery::{Settled, Ticket};
use handfast_core::wire::native::pair::Selector;
use handfast_core::{Source, UnixTime};

use super::{Decided, RowResult, Subject, Tx, deliveries, makers};
use crate::audit::{Detail, Entry, What};
use crate::{
    CODES, CODES_AT_ONCE, Delivered, Delivery, NotMinted, PINS, StoreError, StoredCode, rules,
};

/// A PIN that is alive.
pub(crate) struct PinRow {
    pub(crate) id: CodeId,
    /// The key that the PIN is for.
    pub(crate) key: [u8; 32],
    pub(crate) source: Option<Source>,
    pub(crate) guesses: u8,
}

/// The rows of PINs and codes, of the window, and of the guesses of each source.
///
/// A code is alive while it has uses and has not been dead: it is dead from the earliest of its
/// expiry, its last use and its withdrawal on. A code without uses has no secret.
pub(crate) trait CodeRows {
    /// Returns the window.
    fn window(&mut self) -> RowResult<Window>;

    /// Sets the window.
    fn set_window(&mut self, window: &Window) -> RowResult<()>;

    /// Returns the number of guesses of a source.
    fn guesses_of(&mut self, source: Source) -> RowResult<u8>;

    /// Sets the number of guesses of a source. A source without any has no row.
    fn set_guesses(&mut self, source: Source, guesses: u8) -> RowResult<()>;

    /// Removes the guesses of all sources.
    fn forget_guesses(&mut self) -> RowResult<()>;

    /// Returns the guesses of all sources, ordered by source.
    fn guessers(&mut self) -> RowResult<Vec<Guesser>>;

    /// Counts a guess at no code, so that it writes as much as one at a code.
    fn count_stray(&mut self) -> RowResult<()>;

    /// Returns a code, alive or dead.
    fn code(&mut self, id: CodeId) -> RowResult<Option<StoredCode>>;

    /// Returns the live code with this selector.
    fn code_by_selector(
        &mut self,
        selector: Selector,
        now: UnixTime,
    ) -> RowResult<Option<StoredCode>>;

    /// Returns all live codes without their secrets, the newest first.
    fn live_codes(&mut self, now: UnixTime) -> RowResult<Vec<StoredCode>>;

    /// Returns the live PINs, the oldest first.
    fn live_pins(&mut self, now: UnixTime) -> RowResult<Vec<PinRow>>;

    /// Counts the live codes that are no PINs: all, and those that sessions made.
    fn count_codes(&mut self, now: UnixTime) -> RowResult<(u32, u32)>;

    /// Adds a code, which is dead from its expiry on.
    fn add_code(&mut self, code: &StoredCode) -> RowResult<()>;

    /// Sets the guesses and the uses of a code. Without uses it is dead, and its secret is erased.
    fn set_counters(
        &mut self,
        id: CodeId,
        guesses: u8,
        uses_left: u8,
        now: UnixTime,
    ) -> RowResult<()>;

    /// Takes a code's uses, makes it expired and dead, and erases its secret; `false` if it had no
    /// uses.
    fn kill_code(&mut self, id: CodeId, now: UnixTime) -> RowResult<bool>;

    /// Removes at most `most` codes that died before this time, the earliest first.
    fn forget_codes(&mut self, before: UnixTime, most: u32) -> RowResult<()>;

    /// Erases the secrets of at most `most` dead codes, the earliest first.
    fn erase_dead_codes(&mut self, most: u32, now: UnixTime) -> RowResult<()>;
}

/// Sets the window for a caller. A window without counted guesses resets those of every source.
pub(super) fn set_window(tx: &mut dyn Tx, window: &Window) -> Result<Decided<()>, StoreError> {
    let before = tx.window()?;
    tx.set_window(window)?;
    if window.guesses == 0 {
        tx.forget_guesses()?;
    }
    Ok(match (before.opened, window.opened) {
        (_, Some(opened)) => {
            let until = opened.closes.map(Detail::Until);
            let entry = Entry::new(What::OpenPairing, Vec::from_iter(until)).at(opened.at);
            Decided::by((), entry)
        }
        (Some(_), None) => Decided::by((), Entry::new(What::ClosePairing, [])),
        (None, None) => Decided::nothing(()),
    })
}

pub(super) fn mint(
    tx: &mut dyn Tx,
    code: &StoredCode,
    now: UnixTime,
) -> Result<Decided<Result<(), NotMinted>>, StoreError> {
    clear(tx, now)?;
    let minted = may_mint(tx, code, 1, now)?;
    if minted.is_err() {
        return Ok(Decided::nothing(minted));
    }
    tx.add_code(code)?;
    Ok(Decided::all(minted, Vec::from_iter(entry(code, now))))
}

/// Returns the audit log's entry about a code that was minted.
fn entry(code: &StoredCode, now: UnixTime) -> Option<Entry> {
    let mut details = vec![Detail::Code(code.id), Detail::Until(code.counted.expires)];
    let what = match code.counted.kind {
        Kind::Code(_) => {
            details.push(Detail::Count(code.counted.uses_left.into()));
            What::MintCode
        }
        Kind::Provisioning => What::MintToken,
        // A PIN is what a stranger asks for; the operator decided when the window was opened.
        Kind::Pin(_) => return None,
    };
    Some(Entry::new(what, details).at(now))
}

/// Mints many codes, each with its delivery: all of them or none.
pub(super) fn mint_all(
    tx: &mut dyn Tx,
    minted: &[(StoredCode, Ticket)],
    now: UnixTime,
) -> Result<Decided<Result<(), NotMinted>>, StoreError> {
    let [(first, _), ..] = minted else { return Ok(Decided::nothing(Ok(()))) };
    let more = u32::try_from(minted.len()).unwrap_or(u32::MAX);
    if minted.len() > CODES_AT_ONCE {
        return Ok(Decided::nothing(Err(NotMinted::TooMany)));
    }
    clear(tx, now)?;
    // Everything is checked before anything is added, so that a refusal leaves nothing behind.
    let mut selectors = Vec::new();
    for (code, _) in minted {
        let selector = match code.counted.kind {
            Kind::Code(selector) if code.maker == first.maker => selector,
            Kind::Code(_) | Kind::Pin(_) | Kind::Provisioning => {
                return Err(StoreError::Database(
                    "many codes at once are no PINs or tokens, and have one maker".to_owned(),
                ));
            }
        };
        if selectors.contains(&selector) {
            return Ok(Decided::nothing(Err(NotMinted::Taken)));
        }
        selectors.push(selector);
    }
    for (code, _) in minted {
        if let Err(no) = may_mint(tx, code, more, now)? {
            return Ok(Decided::nothing(Err(no)));
        }
    }
    let mut entries = Vec::new();
    for (code, ticket) in minted {
        tx.add_code(code)?;
        deliveries::begin(tx, &Delivery { ticket: *ticket, of: Delivered::Code(code.id) }, now)?;
        entries.extend(entry(code, now));
    }
    Ok(Decided::all(Ok(()), entries))
}

/// Withdraws a code by a decision.
pub(super) fn withdraw(
    tx: &mut dyn Tx,
    id: CodeId,
    now: UnixTime,
) -> Result<Decided<bool>, StoreError> {
    Ok(match tx.kill_code(id, now)? {
        true => {
            let entry = Entry::new(What::WithdrawCode, [Detail::Code(id)]);
            Decided::by(true, entry.at(now))
        }
        false => Decided::nothing(false),
    })
}

/// Removes what has been dead for long, and the secrets of the dead.
fn clear(tx: &mut dyn Tx, now: UnixTime) -> Result<(), StoreError> {
    // The dead are removed first, so that no call erases a secret that it then removes.
    tx.forget_codes(rules::oldest_death(now), rules::PURGE)?;
    tx.erase_dead_codes(rules::PURGE, now)
}

/// Checks that a code may be added, as one of `more`, and makes room for a PIN.
fn may_mint(
    tx: &mut dyn Tx,
    code: &StoredCode,
    more: u32,
    now: UnixTime,
) -> Result<Result<(), NotMinted>, StoreError> {
    if tx.code(code.id)?.is_some() {
        return Err(StoreError::Database("the fresh id of a code is taken".to_owned()));
    }
    if makers::end_of(tx, code.maker, now)?.is_none() {
        return Ok(Err(NotMinted::MakerEnded));
    }
    // The checks and the changes share a transaction, so concurrent calls cannot exceed the limit.
    match code.counted.kind {
        Kind::Pin(key) => make_room(tx, key.as_bytes(), code.source, now),
        Kind::Code(selector) if tx.code_by_selector(selector, now)?.is_some() => {
            Ok(Err(NotMinted::Taken))
        }
        Kind::Code(_) | Kind::Provisioning => has_room(tx, code, more, now),
    }
}

/// Checks that so many more codes or tokens of this maker may live.
fn has_room(
    tx: &mut dyn Tx,
    code: &StoredCode,
    more: u32,
    now: UnixTime,
) -> Result<Result<(), NotMinted>, StoreError> {
    let (all, of_sessions) = tx.count_codes(now)?;
    Ok(match codes::has_room(code.maker, all, of_sessions, more, CODES) {
        true => Ok(()),
        false => Err(NotMinted::TooMany),
    })
}

/// Makes room for a PIN for this key.
fn make_room(
    tx: &mut dyn Tx,
    key: &[u8; 32],
    source: Option<Source>,
    now: UnixTime,
) -> Result<Result<(), NotMinted>, StoreError> {
    if let Err(no) = tx.window()?.admits(now) {
        return Ok(Err(no.into()));
    }
    let (older, mut others): (Vec<_>, Vec<_>) =
        tx.live_pins(now)?.into_iter().partition(|pin| pin.key == *key);
    // A PIN that was guessed too often cannot be used any more, so it takes no place.
    others.retain(|pin| pin.guesses < GUESSES_PER_CODE);
    let shown = |pin: &PinRow| LivePin { source: pin.source, begun: pin.guesses > 0 };
    let shown: Vec<_> = others.iter().map(shown).collect();
    match codes::pin_room(&shown, source, PINS as usize) {
        PinRoom::Free => {}
        PinRoom::InPlaceOf(at) => {
            if let Some(pin) = others.get(at) {
                tx.kill_code(pin.id, now)?;
            }
        }
        PinRoom::Full => return Ok(Err(NotMinted::TooMany)),
    }
    // Only now: if there was no room, the older PIN of the key stays live.
    for pin in older {
        tx.kill_code(pin.id, now)?;
    }
    Ok(Ok(()))
}

pub(super) fn reserve(
    tx: &mut dyn Tx,
    id: Option<CodeId>,
    source: Source,
    now: UnixTime,
) -> Result<Result<u8, NoGuess>, StoreError> {
    // A guess at no code looks one up too, and reads the window: each path costs three reads and
    // writes one row, so their times match.
    let code = tx.code(id.unwrap_or(CodeId::from_bytes([0; 16])))?;
    let (window, before) = (tx.window()?, tx.guesses_of(source)?);
    let Some(id) = id else {
        tx.count_stray()?;
        return Ok(Ok(GUESSES_PER_CODE - 1));
    };
    let Some(StoredCode { counted, .. }) = code else { return Ok(Err(NoGuess::Expired)) };
    let Reserved { guesses, window: counting, of_source, left } =
        match codes::reserve(&counted, &window, before, now) {
            Ok(reserved) => reserved,
            Err(no) => return Ok(Err(no)),
        };
    tx.set_counters(id, guesses, counted.uses_left, now)?;
    // A guess at an operator's code changes neither the window nor the source's count.
    if counting != window {
        tx.set_window(&counting)?;
        tx.set_guesses(source, of_source)?;
    }
    Ok(Ok(left))
}

pub(super) fn spend(
    tx: &mut dyn Tx,
    id: CodeId,
    source: Source,
    reserved_at: UnixTime,
    now: UnixTime,
) -> Result<bool, StoreError> {
    let Some(StoredCode { counted, .. }) = tx.code(id)? else { return Ok(false) };
    let (window, before) = (tx.window()?, tx.guesses_of(source)?);
    let Some((Counted { guesses, uses_left, .. }, given_back, of_source)) =
        codes::spend(&counted, &window, before, reserved_at)
    else {
        return Ok(false);
    };
    tx.set_counters(id, guesses, uses_left, now)?;
    // The code was used, so its delivery has arrived.
    tx.settle_deliveries_of(Subject::Code(id), None, Settled::Delivered)?;
    if given_back != window {
        tx.set_window(&given_back)?;
        tx.set_guesses(source, of_source)?;
    }
    Ok(true)
}
