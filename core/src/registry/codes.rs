//! PINs and codes, the pairing window, and the budgets of guesses.
//!
//! ```text
//! window:  Closed ──open──▶ Open ──20 wrong PINs──▶ Locked ──open──▶ Open
//!             ▲──────────────┘ close, or its time is over
//! ```
//! A guess is **reserved before it is compared**: [`reserve`] returns the new counts, and the
//! comparison is made only once they are durable. A right guess is given back ([`spend`]). Each
//! source has a share of a window's guesses and of the live PINs, so that one stranger can neither
//! close the window for all nor use up all PINs. A crash, a new session, address or start, or a
//! thousand guesses at once therefore yields no extra guess.

use crate::crypto::x25519;
use crate::id::{Source, opaque_id};
use crate::limits::{GUESSES_PER_CODE, GUESSES_PER_SOURCE, GUESSES_PER_WINDOW, PINS_PER_SOURCE};
use crate::registry::sessions::Maker;
use crate::registry::trusted_time::Moment;
use crate::time::UnixTime;
use crate::wire::native::pair::Selector;

opaque_id! {
    /// The id of a PIN or code.
    CodeId
}

/// The kind of a code, and how it is found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub enum Kind {
    /// A PIN, shown for the node with this static key alone, while the window is open.
    Pin(x25519::PublicKey),
    /// A code that the operator minted beforehand, found by its selector. It needs no open window,
    /// because minting it was the operator's consent.
    Code(Selector),
    /// A [provisioning token](super::provisioning), found by its id. It is compared by its hash, so
    /// it is never guessed.
    Provisioning,
}

/// The state of a code that guesses depend on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub struct Counted {
    /// The kind of the code.
    pub kind: Kind,
    /// The code's expiry.
    pub expires: UnixTime,
    /// Guesses that were reserved and not given back.
    pub guesses: u8,
    /// The number of nodes that may still pair with the code. At zero it is spent, and its secret
    /// is erased.
    pub uses_left: u8,
}

/// The pairing window: it admits requests by PIN, and counts the wrong ones.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub struct Window {
    /// The opening and closing time; `None` if the window is closed.
    pub opened: Option<Opened>,
    /// Wrong PINs since the opening, over all PINs, with those under way. At [`GUESSES_PER_WINDOW`]
    /// the window is locked until the operator opens it again; a restart does not unlock it.
    pub guesses: u8,
}

/// The guesses of one source in a window: wrong ones and those under way.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub struct Guesser {
    /// The guessing source.
    pub source: Source,
    /// The number of guesses.
    pub guesses: u8,
}

impl Guesser {
    /// Returns `true` if the source has used up its guesses. PINs are locked for it until the
    /// window is opened anew.
    #[must_use]
    pub const fn is_locked(&self) -> bool {
        self.guesses >= GUESSES_PER_SOURCE
    }
}

/// The times and the maker of an open window.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub struct Opened {
    /// The opening time.
    pub at: UnixTime,
    /// The closing time; `None` if the window stays open.
    pub closes: Option<UnixTime>,
    /// The opener, who counts as the maker of the PINs shown in the window.
    pub by: Maker,
}

impl Counted {
    /// Returns the PIN's part in [`pin_room`]; `None` for an operator's code and for a PIN that may
    /// not be guessed any more.
    #[must_use]
    pub const fn live_pin(&self, source: Option<Source>) -> Option<LivePin> {
        match self.kind {
            Kind::Pin(_) if self.guesses < GUESSES_PER_CODE => {
                Some(LivePin { source, begun: self.guesses > 0 })
            }
            Kind::Pin(_) | Kind::Code(_) | Kind::Provisioning => None,
        }
    }
}

impl Window {
    /// Opens a window for an operator.
    #[must_use]
    pub const fn open(at: UnixTime, closes: Option<UnixTime>) -> Self {
        Self::open_by(at, closes, Maker::Operator)
    }

    /// Opens a window for a maker.
    #[must_use]
    pub const fn open_by(at: UnixTime, closes: Option<UnixTime>, by: Maker) -> Self {
        Self { opened: Some(Opened { at, closes, by }), guesses: 0 }
    }

    /// Returns `true` if only a jump of a clock in doubt would end the window.
    #[must_use]
    pub fn is_doubted(&self, moment: &Moment) -> bool {
        self.opened.is_some_and(|opened| {
            opened.closes.is_some_and(|closes| moment.doubts(opened.at, closes))
        })
    }

    /// Returns `true` if too many wrong PINs have locked the window.
    #[must_use]
    pub const fn is_locked(&self) -> bool {
        self.opened.is_some() && self.guesses >= GUESSES_PER_WINDOW
    }

    /// Checks that a PIN may be shown or guessed now.
    ///
    /// # Errors
    /// [`NoGuess::Closed`] or [`NoGuess::Locked`].
    pub fn admits(&self, now: UnixTime) -> Result<(), NoGuess> {
        match self.opened {
            Some(Opened { closes, .. }) if closes.is_none_or(|closes| now < closes) => {
                if self.is_locked() { Err(NoGuess::Locked) } else { Ok(()) }
            }
            Some(_) | None => Err(NoGuess::Closed),
        }
    }
}

impl Window {
    /// Checks the same for a source with `of_source` guesses in this window.
    ///
    /// # Errors
    /// [`NoGuess::Closed`], or [`NoGuess::Locked`] for all or for this source.
    pub fn admits_source(&self, of_source: u8, now: UnixTime) -> Result<(), NoGuess> {
        self.admits(now)?;
        if of_source >= GUESSES_PER_SOURCE { Err(NoGuess::Locked) } else { Ok(()) }
    }
}

/// The reason for refusing a guess.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub enum NoGuess {
    /// The code has expired, was spent, or was withdrawn by the operator.
    Expired,
    /// Too many guesses were wrong: of this code, of all PINs in the window, or of this source.
    Locked,
    /// The pairing window is closed.
    Closed,
}

/// A reserved guess, as the counts to be written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
#[must_use = "a guess that is not written is not reserved"]
pub struct Reserved {
    /// The code's new count.
    pub guesses: u8,
    /// The window's new state; unchanged for a code that is not a PIN.
    pub window: Window,
    /// The source's new count in the window; unchanged for a code that is not a PIN.
    pub of_source: u8,
    /// The number of guesses that remain if this one is wrong.
    pub left: u8,
}

/// Reserves a guess of a source with `of_source` guesses in this window. A store calls this inside
/// the transaction that writes the outcome.
///
/// # Errors
/// [`NoGuess`]; then the store writes nothing.
pub fn reserve(
    code: &Counted,
    window: &Window,
    of_source: u8,
    now: UnixTime,
) -> Result<Reserved, NoGuess> {
    // Expiry comes before the lock, so that a dead code is never reported as merely locked.
    if code.expires <= now || code.uses_left == 0 {
        return Err(NoGuess::Expired);
    }
    if code.guesses >= GUESSES_PER_CODE {
        return Err(NoGuess::Locked);
    }
    let guesses = code.guesses.saturating_add(1);
    let left = GUESSES_PER_CODE.saturating_sub(guesses);
    // Only PINs depend on the window; a minted code has a budget of its own.
    match code.kind {
        // A provisioning token is not guessed: this only tells that it lives.
        Kind::Code(_) | Kind::Provisioning => {
            Ok(Reserved { guesses, window: *window, of_source, left })
        }
        Kind::Pin(_) => {
            window.admits_source(of_source, now)?;
            let window = Window { guesses: window.guesses.saturating_add(1), ..*window };
            let of_source = of_source.saturating_add(1);
            // The window or the source may have fewer guesses left than the code.
            let left = left.min(GUESSES_PER_WINDOW.saturating_sub(window.guesses));
            Ok(Reserved {
                guesses,
                window,
                of_source,
                left: left.min(GUESSES_PER_SOURCE.saturating_sub(of_source)),
            })
        }
    }
}

/// Returns `true` if a source with `of_source` guesses in this window may guess the code now: it is
/// neither expired, spent nor locked, and for a PIN the window is open and not locked. Lists show
/// only such codes.
#[must_use]
pub fn is_live(code: &Counted, window: &Window, of_source: u8, now: UnixTime) -> bool {
    reserve(code, window, of_source, now).is_ok()
}

/// Gives back a right guess, and takes one use of the code. A store calls this inside the
/// transaction that writes the outcome. Returns `None` if another node spent the code meanwhile. If
/// the window was opened after the guess was reserved, its guesses and those of the source in it
/// stay unchanged.
#[must_use]
pub fn spend(
    code: &Counted,
    window: &Window,
    of_source: u8,
    reserved_at: UnixTime,
) -> Option<(Counted, Window, u8)> {
    let uses_left = code.uses_left.checked_sub(1)?;
    let code = Counted { guesses: code.guesses.saturating_sub(1), uses_left, ..*code };
    // A window that was opened after the reservation does not contain this guess.
    let counted_here = matches!(code.kind, Kind::Pin(_))
        && window.opened.is_some_and(|opened| opened.at <= reserved_at);
    let given_back = u8::from(counted_here);
    let window = Window { guesses: window.guesses.saturating_sub(given_back), ..*window };
    Some((code, window, of_source.saturating_sub(given_back)))
}

/// Returns `true` if `more` codes may live for their maker, beside `live` codes of which sessions
/// have made `of_sessions`, where `most` may live. Companions' sessions together have three
/// quarters of the places, so that an operator always has some.
#[must_use]
pub const fn has_room(maker: Maker, live: u32, of_sessions: u32, more: u32, most: u32) -> bool {
    // A quarter stays for operators, however many codes the sessions mint.
    let for_sessions = most.saturating_sub(most / 4);
    let fits = live.saturating_add(more) <= most;
    match maker {
        Maker::Operator | Maker::Login(_) => fits,
        Maker::Session(_) => fits && of_sessions.saturating_add(more) <= for_sessions,
    }
}

/// A PIN that lives, as far as the place of another depends on it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub struct LivePin {
    /// The source that asked for it, if known.
    pub source: Option<Source>,
    /// `true` if a guess of the PIN has begun.
    pub begun: bool,
}

/// The decision about one more live PIN.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub enum PinRoom {
    /// The PIN may live beside the others.
    Free,
    /// The PIN may live in place of the one at this index of the live PINs.
    InPlaceOf(usize),
    /// The PIN may not live.
    Full,
}

/// Decides about one more PIN for a source. `live` are the PINs that may still be guessed, oldest
/// first, without an earlier one of the same key.
///
/// A source has at most [`PINS_PER_SOURCE`] PINs; at its limit, its oldest PIN without a guess
/// makes room. If `most` PINs live in total, the source with the most PINs gives up its oldest one
/// without a guess, provided that it has more than the asking source would have.
#[must_use]
pub fn pin_room(live: &[LivePin], source: Option<Source>, most: usize) -> PinRoom {
    let of = |source: Option<Source>| live.iter().filter(|pin| pin.source == source).count();
    let oldest =
        |source: Option<Source>| live.iter().position(|pin| pin.source == source && !pin.begun);
    // A request without a source has no share, so no other PIN makes room for it.
    let own = if source.is_some() { of(source) } else { most };
    if source.is_some() && own >= PINS_PER_SOURCE {
        return oldest(source).map_or(PinRoom::Full, PinRoom::InPlaceOf);
    }
    if live.len() < most {
        return PinRoom::Free;
    }
    // A PIN that is being guessed keeps its place, or its owner would type in vain.
    let untouched = live.iter().filter(|pin| !pin.begun);
    // The fold keeps the first of equals, which is the oldest.
    let crowd = untouched.map(|pin| (of(pin.source), pin.source)).fold(
        None,
        |crowd: Option<(usize, Option<Source>)>, next| {
            if crowd.is_some_and(|(most, _)| most >= next.0) { crowd } else { Some(next) }
        },
    );
    match crowd {
        // Only a source with more PINs gives one up, so that two sources do not swap.
        Some((most, source)) if most > own.saturating_add(1) => {
            oldest(source).map_or(PinRoom::Full, PinRoom::InPlaceOf)
        }
        Some(_) | None => PinRoom::Full,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::limits::GUESSES_PER_CODE;

    const NOW: UnixTime = UnixTime::from_secs(1000);
    const LATER: UnixTime = UnixTime::from_secs(1300);

    fn pin() -> Counted {
        let key = x25519::PublicKey::parse(&[9; 32]).unwrap();
        Counted { kind: Kind::Pin(key), expires: LATER, guesses: 0, uses_left: 1 }
    }

    #[test]
    fn five_wrong_guesses_kill_a_pin_and_twenty_close_the_window_whatever_pins_they_were_of() {
        let mut window = Window::open(NOW, None);
        for of_window in 0..GUESSES_PER_WINDOW {
            let guessed = Counted { guesses: of_window % GUESSES_PER_CODE, ..pin() };
            window = reserve(&guessed, &window, 0, NOW).unwrap().window;
        }
        assert_eq!(reserve(&pin(), &window, 0, NOW), Err(NoGuess::Locked));
        assert!(window.is_locked());
        let dead = Counted { guesses: GUESSES_PER_CODE, ..pin() };
        assert_eq!(reserve(&dead, &Window::open(NOW, None), 0, NOW), Err(NoGuess::Locked));
    }

    #[test]
    fn what_is_left_is_the_less_of_the_codes_and_the_windows() {
        let nearly = Window { guesses: GUESSES_PER_WINDOW - 2, ..Window::open(NOW, None) };
        assert_eq!(reserve(&pin(), &nearly, 0, NOW).unwrap().left, 1);
        assert_eq!(
            reserve(&pin(), &Window::open(NOW, None), 0, NOW).unwrap().left,
            GUESSES_PER_CODE - 1
        );
    }

    #[test]
    fn a_window_closes_by_itself_and_a_code_dies_with_its_time() {
        let window = Window::open(NOW, Some(LATER));
        assert_eq!(window.admits(LATER), Err(NoGuess::Closed));
        assert_eq!(reserve(&pin(), &window, 0, LATER), Err(NoGuess::Expired));
        assert_eq!(
            reserve(&Counted { expires: UnixTime::from_secs(9999), ..pin() }, &window, 0, LATER),
            Err(NoGuess::Closed)
        );
        assert_eq!(Window::default().admits(NOW), Err(NoGuess::Closed));
    }

    #[test]
    fn a_right_guess_is_given_back_and_spends_the_code_once() {
        let window = Window::open(NOW, None);
        let Reserved { guesses, window, of_source, .. } = reserve(&pin(), &window, 7, NOW).unwrap();
        assert_eq!(of_source, 8);
        let (spent, window, of_source) =
            spend(&Counted { guesses, ..pin() }, &window, of_source, NOW).unwrap();
        assert_eq!((spent.guesses, spent.uses_left, window.guesses, of_source), (0, 0, 0, 7));
        assert_eq!(spend(&spent, &window, of_source, NOW), None);
        assert_eq!(reserve(&spent, &window, 0, NOW), Err(NoGuess::Expired));
    }

    #[test]
    fn a_code_of_the_operators_needs_no_window_and_counts_for_none() {
        let code = Counted { kind: Kind::Code(Selector::parse("K7QF").unwrap()), ..pin() };
        let reserved = reserve(&code, &Window::default(), 0, NOW).unwrap();
        assert_eq!((reserved.window, reserved.left), (Window::default(), GUESSES_PER_CODE - 1));
    }

    #[test]
    fn the_guesses_of_a_newer_window_are_not_given_back() {
        let newer = Window { guesses: 3, ..Window::open(LATER, None) };
        let (_, window, of_source) =
            spend(&Counted { guesses: 1, ..pin() }, &newer, 2, NOW).unwrap();
        assert_eq!((window.guesses, of_source), (3, 2));
    }

    #[test]
    fn a_source_that_has_used_its_eight_hears_locked_while_others_go_on() {
        let mut window = Window::open(NOW, None);
        let mut of_source = 0;
        for guess in 0..8 {
            let guessed = Counted { guesses: guess % GUESSES_PER_CODE, ..pin() };
            let reserved = reserve(&guessed, &window, of_source, NOW).unwrap();
            (window, of_source) = (reserved.window, reserved.of_source);
            assert!(reserved.left <= 7 - guess);
        }
        assert_eq!(reserve(&pin(), &window, of_source, NOW), Err(NoGuess::Locked));
        assert!(
            !window.is_locked() && Guesser { source: source(1), guesses: of_source }.is_locked()
        );
        assert_eq!(reserve(&pin(), &window, 0, NOW).unwrap().left, GUESSES_PER_CODE - 1);
        let code = Counted { kind: Kind::Code(Selector::parse("K7QF").unwrap()), ..pin() };
        assert!(
            reserve(&code, &window, of_source, NOW).is_ok(),
            "a code of the operator's is not a PIN"
        );
    }

    fn source(last: u8) -> Source {
        Source::of([192, 0, 2, last].into())
    }

    fn shown(last: u8, begun: bool) -> LivePin {
        LivePin { source: Some(source(last)), begun }
    }

    #[test]
    fn sessions_leave_the_operator_a_quarter_of_the_places_for_codes() {
        let session = Maker::Session(crate::registry::sessions::SessionId::from_bytes([1; 16]));
        assert!(has_room(session, 191, 191, 1, 256) && !has_room(session, 192, 192, 1, 256));
        assert!(has_room(Maker::Operator, 192, 192, 1, 256));
        assert!(has_room(Maker::Operator, 255, 0, 1, 256));
        assert!(!has_room(Maker::Operator, 256, 0, 1, 256) && !has_room(session, 256, 0, 1, 256));
        // Many at once have room together, or none of them has.
        assert!(has_room(Maker::Operator, 156, 0, 100, 256));
        assert!(!has_room(Maker::Operator, 157, 0, 100, 256));
        assert!(has_room(session, 92, 92, 100, 256) && !has_room(session, 93, 93, 100, 256));
        assert!(!has_room(Maker::Operator, 1, 0, u32::MAX, 256));
    }

    #[test]
    fn a_sources_newest_pin_takes_the_place_of_its_oldest_that_nobody_began_to_type() {
        let live =
            [shown(1, true), shown(2, false), shown(1, false), shown(1, false), shown(1, true)];
        assert_eq!(pin_room(&live, Some(source(1)), 64), PinRoom::InPlaceOf(2));
        assert_eq!(pin_room(&live[..3], Some(source(1)), 64), PinRoom::Free);
        assert_eq!(pin_room(&[shown(1, true); 4], Some(source(1)), 64), PinRoom::Full);
    }

    #[test]
    fn where_as_many_live_as_may_one_of_the_source_with_most_makes_room() {
        let live = [
            shown(1, false),
            shown(2, true),
            shown(2, false),
            shown(2, false),
            shown(3, false),
            shown(3, false),
        ];
        assert_eq!(pin_room(&live, Some(source(9)), 6), PinRoom::InPlaceOf(2));
        assert_eq!(pin_room(&live, Some(source(1)), 6), PinRoom::InPlaceOf(2));
        assert_eq!(
            pin_room(&live, Some(source(3)), 6),
            PinRoom::Full,
            "it would have as many itself"
        );
        assert_eq!(
            pin_room(&[shown(1, false), shown(2, false)], Some(source(9)), 2),
            PinRoom::Full
        );
        assert_eq!(
            (pin_room(&live, None, 6), pin_room(&live, None, 7)),
            (PinRoom::Full, PinRoom::Free)
        );
    }
}
