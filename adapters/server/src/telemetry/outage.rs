//! Outages, of which the log tells once.

use handfast_core::{Instant, Span};

/// A time in which something failed, of which the log tells twice: of the beginning and of the end.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Outage(Option<Instant>);

impl Outage {
    /// Takes in a failure. Returns `true` if it is the first.
    pub(crate) const fn begins(&mut self, now: Instant) -> bool {
        let is_first = self.0.is_none();
        if is_first {
            self.0 = Some(now);
        }
        is_first
    }

    /// Takes in a success. Returns how long the outage has lasted that ends with it.
    pub(crate) fn ends(&mut self, now: Instant) -> Option<Span> {
        self.0.take().map(|begun| now.since(begun))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_outage_is_told_at_its_beginning_and_at_its_end_however_often_it_is_noticed() {
        let at = Instant::from_millis;
        let mut outage = Outage::default();
        assert_eq!(outage.ends(at(1000)), None, "there was none");
        assert!(outage.begins(at(2000)));
        assert!(!outage.begins(at(3000)) && !outage.begins(at(4000)));
        assert_eq!(outage.ends(at(5500)), Some(Span::from_millis(3500)));
        assert_eq!(outage.ends(at(6000)), None);
        assert!(outage.begins(at(7000)), "another one");
    }
}
