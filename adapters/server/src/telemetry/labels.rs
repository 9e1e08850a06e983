//! Labels: their encoding, counters that are fetched once for each closed value, and open labels
//! with a bounded number of values.

use std::borrow::Cow;
use std::collections::HashMap;
use std::marker::PhantomData;
use std::sync::{Arc, OnceLock, RwLock};

use handfast_core::Label;

use super::counting::{Counter, Family};
use super::label_values::LabelValue;

/// The maximum number of distinct values of one open label.
pub(super) const MOST_VALUES: usize = 64;
/// The maximum number of characters of a value.
pub(super) const MOST_CHARACTERS: usize = 64;
/// The value that further values are counted under.
pub(super) const OTHER: &str = "other";
/// The value that an empty value is counted under.
pub(super) const UNKNOWN: &str = "unknown";

/// The labels of one series: an open one, a closed one, or both in this order.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) struct Labels {
    pub(super) open: Option<(&'static str, Arc<str>)>,
    pub(super) closed: Option<(&'static str, &'static str)>,
}

impl Labels {
    pub(super) fn open(key: &'static str, value: &Arc<str>) -> Self {
        Self { open: Some((key, Arc::clone(value))), closed: None }
    }

    pub(super) fn closed(key: &'static str, word: &'static str) -> Self {
        Self { open: None, closed: Some((key, word)) }
    }

    pub(super) fn with(self, key: &'static str, word: &'static str) -> Self {
        Self { closed: Some((key, word)), ..self }
    }
}

/// One counter for each word of a closed label. Each is exposed from the start, at zero.
#[derive(Debug)]
pub(super) struct Counters<W> {
    each: Box<[Counter]>,
    words: PhantomData<fn(W)>,
}

impl<W: LabelValue> Counters<W> {
    /// Creates the counters of a closed label alone.
    pub(super) fn closed(family: &Family<Labels, Counter>, key: &'static str) -> Self {
        Self::new(|word| family.get_or_create_owned(&Labels::closed(key, word)))
    }

    /// Creates the counters of a closed label for one value of an open label.
    pub(super) fn of(family: &Family<Labels, Counter>, open: &Labels, key: &'static str) -> Self {
        Self::new(|word| family.get_or_create_owned(&open.clone().with(key, word)))
    }

    fn new(counter: impl Fn(&'static str) -> Counter) -> Self {
        Self { each: W::ALL.iter().map(|word| counter(word.word())).collect(), words: PhantomData }
    }

    pub(super) fn add(&self, word: W, count: u64) {
        self.each[word.index()].inc_by(count);
    }
}

/// The state for each value of an open label: one for each of [`MOST_VALUES`] values, and one for
/// all others together.
#[derive(Debug)]
pub(super) struct BoundedLabels<T> {
    known: RwLock<HashMap<Arc<str>, Arc<T>>>,
    other: OnceLock<Arc<T>>,
}

impl<T> BoundedLabels<T> {
    /// Returns the state for a value. It is created if there is room; otherwise the shared one is
    /// returned.
    pub(super) fn get(&self, raw: &str, make: impl Fn(Arc<str>) -> T) -> Arc<T> {
        let value = tidy(raw);
        let other = || Arc::clone(self.other.get_or_init(|| Arc::new(make(Arc::from(OTHER)))));
        // A peer must not claim the shared value as its own.
        if value == OTHER {
            return other();
        }
        {
            // The value is nearly always known, so the lock for reading comes first.
            let known = self.known.read().expect("no thread panics while it holds the labels");
            match known.get(value.as_ref()) {
                Some(kept) => return Arc::clone(kept),
                None if known.len() >= MOST_VALUES => return other(),
                None => {}
            }
        }
        let mut known = self.known.write().expect("no thread panics while it holds the labels");
        // Checked again, because another thread may have added values between the two locks.
        if known.len() >= MOST_VALUES && !known.contains_key(value.as_ref()) {
            return other();
        }
        let value = Arc::<str>::from(value);
        Arc::clone(known.entry(Arc::clone(&value)).or_insert_with(|| Arc::new(make(value))))
    }

    /// Returns all states.
    pub(super) fn all(&self) -> Vec<Arc<T>> {
        let known = self.known.read().expect("no thread panics while it holds the labels");
        known.values().chain(self.other.get()).cloned().collect()
    }
}

impl<T> Default for BoundedLabels<T> {
    fn default() -> Self {
        Self { known: RwLock::default(), other: OnceLock::new() }
    }
}

/// Shortens a value to [`MOST_CHARACTERS`], without characters that move a cursor or reorder a
/// line. The result is never empty.
fn tidy(raw: &str) -> Cow<'_, str> {
    let end = raw.char_indices().nth(MOST_CHARACTERS).map_or(raw.len(), |(end, _)| end);
    match &raw[..end] {
        "" => Cow::Borrowed(UNKNOWN),
        short if short.contains(Label::forbids) => Cow::Owned(short.replace(Label::forbids, "_")),
        short => Cow::Borrowed(short),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_value_is_short_visible_and_never_empty() {
        assert_eq!(tidy(""), UNKNOWN);
        assert_eq!(tidy("whatsapp"), "whatsapp");
        assert_eq!(tidy("a\nb\u{202e}c"), "a_b_c");
        assert_eq!(tidy(&"𐍈".repeat(1000)), "𐍈".repeat(MOST_CHARACTERS));
    }

    #[test]
    fn what_finds_no_room_is_shared_and_what_was_there_stays() {
        let kept = BoundedLabels::default();
        let first = kept.get("first", |value| value);
        for number in 0..10_000 {
            kept.get(&format!("channel {number}"), |value| value);
        }
        assert_eq!(kept.all().len(), MOST_VALUES + 1);
        assert!(Arc::ptr_eq(&kept.get("first", |value| value), &first));
        assert_eq!(**kept.get("one more", |value| value), *OTHER);
        assert!(Arc::ptr_eq(&kept.get("one more", |value| value), &kept.get(OTHER, |value| value)));
    }

    #[test]
    fn many_threads_that_name_new_values_at_once_stay_within_the_bound() {
        let kept = BoundedLabels::default();
        std::thread::scope(|scope| {
            for thread in 0..8 {
                let kept = &kept;
                scope.spawn(move || {
                    (0..200).for_each(|number| {
                        drop(kept.get(&format!("{}", number + thread), |value| value));
                    });
                });
            }
        });
        assert_eq!(kept.all().len(), MOST_VALUES + 1);
    }
}
