//! PINs and codes, the pairing window, and how often either may be guessed.
//!
//! ```text
//! window:  Closed ──open──▶ Open ──20 wrong PINs──▶ Locked ──open──▶ Open
//!             ▲──────────────┘ close, or its time is over
//! ```
//! A guess is **reserved before it is compared**: [`reserve`] answers what to write, and only when that is durable may the comparison be made. What was
//! right is given back ([`spend`]). So neither a crash, nor a new session, address or start, nor a thousand guesses at once gains one more.

use crate::crypto::x25519;
use crate::id::opaque_id;
use crate::limits::{GUESSES_PER_CODE, GUESSES_PER_WINDOW};
use crate::registry::sessions::Maker;
use crate::time::UnixTime;
use crate::wire::native::pair::Selector;

opaque_id! {
    /// Which PIN or code.
    CodeId
}

/// What a code is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// A PIN, shown for the node with this static key alone, while pairing is open.
    Pin(x25519::PublicKey),
    /// A code that the operator minted beforehand, found by its selector. It needs no open window: minting it was the operator's word.
    Code(Selector),
}

/// What is counted of a code.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Counted {
    /// What it is for.
    pub kind: Kind,
    /// From then on it is dead.
    pub expires: UnixTime,
    /// Guesses that were reserved and not given back.
    pub guesses: u8,
    /// How many nodes may still pair with it. None: it is spent, and its secret erased.
    pub uses_left: u8,
}

/// Whether requests by PIN are let in, and how many wrong PINs there were meanwhile.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub struct Window {
    /// Since when and until when it is open, if the operator opened it.
    pub opened: Option<Opened>,
    /// Wrong PINs since then, over all PINs, and those under way. [`GUESSES_PER_WINDOW`] of them lock it: only the operator opens it again; a restart
    /// does not.
    pub guesses: u8,
}

/// An open window.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Opened {
    /// Since when.
    pub at: UnixTime,
    /// It closes by itself then; never, if there is no time.
    pub closes: Option<UnixTime>,
    /// Who opened it, and so has made the PINs that are shown meanwhile.
    pub by: Maker,
}

impl Window {
    /// One that the operator opens now.
    #[must_use]
    pub const fn open(at: UnixTime, closes: Option<UnixTime>) -> Self {
        Self::open_by(at, closes, Maker::Operator)
    }

    /// One that somebody opens now.
    #[must_use]
    pub const fn open_by(at: UnixTime, closes: Option<UnixTime>, by: Maker) -> Self {
        Self { opened: Some(Opened { at, closes, by }), guesses: 0 }
    }

    /// Whether too many wrong PINs have closed it.
    #[must_use]
    pub const fn is_locked(&self) -> bool {
        self.opened.is_some() && self.guesses >= GUESSES_PER_WINDOW
    }

    /// Lets a PIN be shown or guessed now.
    ///
    /// # Errors
    /// [`NoGuess::Closed`] or [`NoGuess::Locked`].
    pub fn admits(&self, now: UnixTime) -> Result<(), NoGuess> {
        match self.opened {
            Some(Opened { closes, .. }) if closes.is_none_or(|closes| now < closes) => {
                if self.is_locked() {
                    Err(NoGuess::Locked)
                } else {
                    Ok(())
                }
            }
            Some(_) | None => Err(NoGuess::Closed),
        }
    }
}

/// Why no guess may be made.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub enum NoGuess {
    /// Its time is over, or it was spent, or the operator withdrew it.
    Expired,
    /// Guessed wrong too often: this code, or all PINs of the window together.
    Locked,
    /// Pairing is not open.
    Closed,
}

/// A reserved guess, as it is to be written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[must_use = "a guess that is not written is not reserved"]
pub struct Reserved {
    /// The code's new count.
    pub guesses: u8,
    /// The window as it is from now on; the same as before for a code that is no PIN.
    pub window: Window,
    /// How many more guesses there are if this one is wrong.
    pub left: u8,
}

/// Reserves a guess. A store calls this inside the transaction that writes its outcome.
///
/// # Errors
/// [`NoGuess`]; then nothing is to be written.
pub fn reserve(code: &Counted, window: &Window, now: UnixTime) -> Result<Reserved, NoGuess> {
    if code.expires <= now || code.uses_left == 0 {
        return Err(NoGuess::Expired);
    }
    if code.guesses >= GUESSES_PER_CODE {
        return Err(NoGuess::Locked);
    }
    let guesses = code.guesses.saturating_add(1);
    let left = GUESSES_PER_CODE.saturating_sub(guesses);
    match code.kind {
        Kind::Code(_) => Ok(Reserved { guesses, window: *window, left }),
        Kind::Pin(_) => {
            window.admits(now)?;
            let window = Window { guesses: window.guesses.saturating_add(1), ..*window };
            Ok(Reserved { guesses, window, left: left.min(GUESSES_PER_WINDOW.saturating_sub(window.guesses)) })
        }
    }
}

/// Gives a guess back that was right, and takes one use of the code. A store calls this inside the transaction that writes its outcome. `None` if the code
/// was spent by another node meanwhile. The guesses of a window that was opened after the guess was reserved stay as they are.
#[must_use]
pub fn spend(code: &Counted, window: &Window, reserved_at: UnixTime) -> Option<(Counted, Window)> {
    let uses_left = code.uses_left.checked_sub(1)?;
    let code = Counted { guesses: code.guesses.saturating_sub(1), uses_left, ..*code };
    let counted_here = matches!(code.kind, Kind::Pin(_)) && window.opened.is_some_and(|opened| opened.at <= reserved_at);
    let guesses = if counted_here { window.guesses.saturating_sub(1) } else { window.guesses };
    Some((code, Window { guesses, ..*window }))
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
            window = reserve(&guessed, &window, NOW).unwrap().window;
        }
        assert_eq!(reserve(&pin(), &window, NOW), Err(NoGuess::Locked));
        assert!(window.is_locked());
        let dead = Counted { guesses: GUESSES_PER_CODE, ..pin() };
        assert_eq!(reserve(&dead, &Window::open(NOW, None), NOW), Err(NoGuess::Locked));
    }

    #[test]
    fn what_is_left_is_the_less_of_the_codes_and_the_windows() {
        let nearly = Window { guesses: GUESSES_PER_WINDOW - 2, ..Window::open(NOW, None) };
        assert_eq!(reserve(&pin(), &nearly, NOW).unwrap().left, 1);
        assert_eq!(reserve(&pin(), &Window::open(NOW, None), NOW).unwrap().left, GUESSES_PER_CODE - 1);
    }

    #[test]
    fn a_window_closes_by_itself_and_a_code_dies_with_its_time() {
        let window = Window::open(NOW, Some(LATER));
        assert_eq!(window.admits(LATER), Err(NoGuess::Closed));
        assert_eq!(reserve(&pin(), &window, LATER), Err(NoGuess::Expired));
        assert_eq!(reserve(&Counted { expires: UnixTime::from_secs(9999), ..pin() }, &window, LATER), Err(NoGuess::Closed));
        assert_eq!(Window::default().admits(NOW), Err(NoGuess::Closed));
    }

    #[test]
    fn a_right_guess_is_given_back_and_spends_the_code_once() {
        let window = Window::open(NOW, None);
        let Reserved { guesses, window, .. } = reserve(&pin(), &window, NOW).unwrap();
        let (spent, window) = spend(&Counted { guesses, ..pin() }, &window, NOW).unwrap();
        assert_eq!((spent.guesses, spent.uses_left, window.guesses), (0, 0, 0));
        assert_eq!(spend(&spent, &window, NOW), None);
        assert_eq!(reserve(&spent, &window, NOW), Err(NoGuess::Expired));
    }

    #[test]
    fn a_code_of_the_operators_needs_no_window_and_counts_for_none() {
        let code = Counted { kind: Kind::Code(Selector::parse("K7QF").unwrap()), ..pin() };
        let reserved = reserve(&code, &Window::default(), NOW).unwrap();
        assert_eq!((reserved.window, reserved.left), (Window::default(), GUESSES_PER_CODE - 1));
    }

    #[test]
    fn the_guesses_of_a_newer_window_are_not_given_back() {
        let newer = Window { guesses: 3, ..Window::open(LATER, None) };
        assert_eq!(spend(&Counted { guesses: 1, ..pin() }, &newer, NOW).unwrap().1.guesses, 3);
    }
}
