//! Gateways that share one registry: what each may do by what it has read of the others' changes.
//!
//! What a gateway remembers of the registry is true as of its last complete reading of the log of
//! changes. [`Reach`] says what it may still do by that. [`links`] settles which of two gateways
//! has a node's newest link, [`elsewhere`] what a link hears of a change that another gateway made,
//! and [`bus`] which messages of another gateway are taken in.
//!
//! ```text
//! start ──everything read──▶ CatchingUp ──log read to its end──▶ Following
//!   ▲                            │ a reading failed                 │ 2 s without a reading
//!   └────────────────────────────┴──────────────────────────────────┘
//! ```

pub mod bus;
pub mod elsewhere;
pub mod links;

use crate::limits::CUT_OFF_AFTER;
use crate::time::{Instant, Span};

/// What a gateway may do by its contact with the log of changes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub enum Contact {
    /// What it remembers is as good as what it would read.
    InTouch,
    /// It admits nobody and dispatches nothing. Links that stand are kept for a while.
    CutOff,
    /// Links end as well, so that their peers go to another gateway.
    Over,
}

impl Contact {
    /// Returns `true` if a peer may be admitted and a task given out.
    #[must_use]
    pub const fn admits(self) -> bool {
        match self {
            Self::InTouch => true,
            Self::CutOff | Self::Over => false,
        }
    }

    /// Returns `true` if links that stand are kept.
    #[must_use]
    pub const fn keeps_links(self) -> bool {
        match self {
            Self::InTouch | Self::CutOff => true,
            Self::Over => false,
        }
    }

    /// Returns a word for the contact, for logs and listings.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::InTouch => "in touch",
            Self::CutOff => "cut off",
            Self::Over => "cut off for long",
        }
    }
}

/// What has to be read next.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
#[must_use = "what is not read is not known"]
pub enum NextReading {
    /// The end of the log, and then everything that is remembered.
    Everything,
    /// The changes after the last one that was read.
    Changes,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
enum State {
    /// What is remembered may be wrong, so changes to it do not mend it.
    Stale,
    CatchingUp,
    Following,
}

/// A gateway's contact with the log of changes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub struct Reach {
    grace: Span,
    state: State,
    /// The beginning of the last complete reading; before the first one, that of the gateway.
    latest: Instant,
}

impl Reach {
    /// Begins without contact. Links are kept for `grace` after a contact is lost.
    #[must_use]
    pub const fn new(grace: Span, now: Instant) -> Self {
        Self { grace, state: State::Stale, latest: now }
    }

    /// Returns what the gateway may do.
    #[must_use]
    pub fn contact(&self, now: Instant) -> Contact {
        let silent = self.behind(now);
        match self.state {
            State::Following if silent < CUT_OFF_AFTER => Contact::InTouch,
            State::Stale | State::CatchingUp | State::Following
                if silent.as_millis()
                    < CUT_OFF_AFTER.as_millis().saturating_add(self.grace.as_millis()) =>
            {
                Contact::CutOff
            }
            State::Stale | State::CatchingUp | State::Following => Contact::Over,
        }
    }

    /// Returns the time since the last complete reading began.
    #[must_use]
    pub const fn behind(&self, now: Instant) -> Span {
        now.since(self.latest)
    }

    /// Returns what has to be read now. After a lost contact that is everything, because nobody
    /// knows what the log on the other side of the gap was.
    pub fn next(&mut self, now: Instant) -> NextReading {
        match (self.state, self.contact(now)) {
            (State::Following, Contact::InTouch) | (State::CatchingUp, _) => NextReading::Changes,
            (State::Following, Contact::CutOff | Contact::Over) | (State::Stale, _) => {
                self.state = State::Stale;
                NextReading::Everything
            }
        }
    }

    /// Records that everything was read, after the end of the log was. Changes since then are not
    /// known yet.
    pub const fn read_everything(&mut self) {
        self.state = State::CatchingUp;
    }

    /// Records that the log was read to its end by a reading that began at this time. It says
    /// nothing about changes that were made while it ran.
    pub fn read_to_end(&mut self, begun: Instant) {
        match self.state {
            // These changes are changes to something that is not known.
            State::Stale => {}
            State::CatchingUp | State::Following => {
                self.state = State::Following;
                self.latest = self.latest.max(begun);
            }
        }
    }

    /// Records that the log lacks changes that were not read: everything has to be read anew.
    pub const fn lost_track(&mut self) {
        self.state = State::Stale;
    }

    /// Records that a reading failed. One failure is no loss of the contact.
    pub const fn failed(&mut self) {
        match self.state {
            State::Following => {}
            State::Stale | State::CatchingUp => self.state = State::Stale,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const GRACE: Span = Span::from_secs(30);

    fn at(millis: u64) -> Instant {
        Instant::from_millis(millis)
    }

    fn following(read: u64) -> Reach {
        let mut reach = Reach::new(GRACE, at(0));
        assert_eq!(reach.next(at(read)), NextReading::Everything);
        reach.read_everything();
        reach.read_to_end(at(read));
        reach
    }

    #[test]
    fn a_gateway_is_in_touch_for_two_seconds_then_cut_off_and_after_the_grace_over() {
        let reach = following(5_000);
        for (now, contact) in [
            (5_000, Contact::InTouch),
            (6_999, Contact::InTouch),
            (7_000, Contact::CutOff),
            (36_999, Contact::CutOff),
            (37_000, Contact::Over),
            (u64::MAX, Contact::Over),
        ] {
            assert_eq!(reach.contact(at(now)), contact, "at {now}");
        }
        assert!(Contact::InTouch.admits() && !Contact::CutOff.admits() && !Contact::Over.admits());
        assert!(Contact::CutOff.keeps_links() && !Contact::Over.keeps_links());
    }

    #[test]
    fn nobody_is_admitted_before_the_first_complete_reading() {
        let mut reach = Reach::new(GRACE, at(0));
        assert_eq!(reach.contact(at(0)), Contact::CutOff);
        assert_eq!(reach.next(at(1)), NextReading::Everything);
        // A reading of the log alone mends nothing.
        reach.read_to_end(at(1));
        assert_eq!(reach.contact(at(1)), Contact::CutOff);
        reach.read_everything();
        assert_eq!(reach.contact(at(1)), Contact::CutOff);
        assert_eq!(reach.next(at(2)), NextReading::Changes);
        reach.read_to_end(at(2));
        assert_eq!(reach.contact(at(2)), Contact::InTouch);
    }

    #[test]
    fn a_reading_counts_from_its_beginning_and_one_that_comes_late_takes_nothing_back() {
        let mut reach = following(5_000);
        reach.read_to_end(at(4_000));
        assert_eq!(reach.behind(at(5_000)), Span::from_millis(0));
        // It took longer than two seconds, so it says nothing about now.
        reach.read_to_end(at(6_000));
        assert_eq!(reach.contact(at(8_500)), Contact::CutOff);
    }

    #[test]
    fn after_a_lost_contact_everything_is_read_anew() {
        let mut reach = following(5_000);
        assert_eq!(reach.next(at(6_000)), NextReading::Changes);
        reach.failed();
        assert_eq!(reach.next(at(6_500)), NextReading::Changes, "one failure is none");
        assert_eq!(reach.next(at(7_000)), NextReading::Everything);
        reach.read_to_end(at(7_000));
        assert_eq!(reach.contact(at(7_000)), Contact::CutOff);
        // Reading everything may take longer than two seconds, and is not begun again by that.
        reach.read_everything();
        assert_eq!(reach.next(at(60_000)), NextReading::Changes);
        reach.failed();
        assert_eq!(reach.next(at(60_000)), NextReading::Everything, "another connection");
        reach.read_everything();
        reach.read_to_end(at(60_000));
        assert_eq!(reach.contact(at(60_000)), Contact::InTouch);
    }

    #[test]
    fn a_gateway_that_finds_a_gap_in_the_log_admits_nobody_until_it_has_read_everything() {
        let mut reach = following(5_000);
        reach.lost_track();
        assert_eq!(reach.contact(at(5_000)), Contact::CutOff);
        assert_eq!(reach.next(at(5_000)), NextReading::Everything);
    }
}
