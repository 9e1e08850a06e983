//! Wrong guesses at a node's proof of possession, slowed down for each source.

use crate::id::Source;
use crate::time::{Instant, Span};

/// Sources that are remembered. A newcomer takes the place of the one that guessed longest ago.
const SOURCES: usize = 8;
const LONGEST: Span = Span::from_secs(60);

/// The sources that have guessed wrong, and the waits that follow.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub struct Guesses([Option<Guesser>; SOURCES]);

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
struct Guesser {
    source: Source,
    wrong: u8,
    guessed: Instant,
    until: Instant,
}

impl Guesses {
    /// Returns the time before a guess of this source is compared; `None` if it is compared now.
    #[must_use]
    pub fn wait(&self, source: Source, now: Instant) -> Option<Span> {
        let guesser = self.0.iter().flatten().find(|guesser| guesser.source == source)?;
        (now < guesser.until).then(|| guesser.until.since(now))
    }

    /// Counts a wrong guess. Returns the time before another guess of the source is compared: one
    /// second, and twice as long after each further one.
    pub fn wrong(&mut self, source: Source, now: Instant) -> Span {
        let known = self.0.iter().flatten().find(|guesser| guesser.source == source);
        let wrong = known.map_or(0, |guesser| guesser.wrong).saturating_add(1);
        let doubled = 1u64.checked_shl(u32::from(wrong).saturating_sub(1)).unwrap_or(u64::MAX);
        // The wait is bounded, so that nobody can lock the owner out by guessing.
        let wait = Span::from_secs(doubled).min(LONGEST);
        let entry = Guesser { source, wrong, guessed: now, until: now.after(wait) };
        // A place of its own, a free one, or the one that was used longest ago.
        let place = self.0.iter_mut().min_by_key(|place| match place {
            Some(guesser) if guesser.source == source => (0, Instant::from_millis(0)),
            None => (1, Instant::from_millis(0)),
            Some(guesser) => (2, guesser.guessed),
        });
        if let Some(place) = place {
            *place = Some(entry);
        }
        wait
    }

    /// Forgets the wrong guesses of a source that has guessed right.
    pub fn right(&mut self, source: Source) {
        for place in &mut self.0 {
            if place.is_some_and(|guesser| guesser.source == source) {
                *place = None;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn source(last: u8) -> Source {
        Source::of([192, 168, 4, last].into())
    }

    #[test]
    fn each_wrong_guess_doubles_the_wait_of_its_source_and_of_no_other() {
        let mut guesses = Guesses::default();
        let mut now = Instant::from_millis(5);
        for seconds in [1, 2, 4, 8, 16, 32, 60, 60] {
            let wait = guesses.wrong(source(10), now);
            assert_eq!(wait, Span::from_secs(seconds));
            assert_eq!(guesses.wait(source(10), now), Some(wait));
            assert_eq!(guesses.wait(source(11), now), None);
            now = now.after(wait);
            assert_eq!(guesses.wait(source(10), now), None);
        }
        guesses.right(source(10));
        assert_eq!(guesses.wrong(source(10), now), Span::from_secs(1));
    }

    #[test]
    fn a_crowd_of_guessers_displaces_the_one_that_guessed_longest_ago() {
        let mut guesses = Guesses::default();
        for last in 0..=8 {
            guesses.wrong(source(last), Instant::from_millis(u64::from(last)));
        }
        let now = Instant::from_millis(9);
        assert_eq!(guesses.wait(source(0), now), None);
        assert!((1..=8).all(|last| guesses.wait(source(last), now).is_some()));
    }
}
