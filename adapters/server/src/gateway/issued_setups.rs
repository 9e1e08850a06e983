//! Setup codes that this run has made. Their life is measured in elapsed time, independent of the
//! wall clock.

use std::collections::VecDeque;
use std::sync::{Mutex, PoisonError};

use handfast_core::wire::setup::Nonce;
use handfast_core::{Instant, Span};

/// Maximum number of remembered codes; older ones are judged by the wall clock.
const MOST: usize = 1024;

/// The newest issued codes, each with the end of its life.
#[derive(Debug, Default)]
pub(crate) struct IssuedSetups(Mutex<VecDeque<(Nonce, Instant)>>);

impl IssuedSetups {
    /// Remembers a code with this lifetime.
    pub(crate) fn remember(&self, nonce: Nonce, elapsed: Instant, ttl: Span) {
        let mut all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if all.len() >= MOST {
            all.pop_front();
        }
        all.push_back((nonce, elapsed.after(ttl)));
    }

    /// Returns the remaining life of a code of this run; `None` for one of an earlier run.
    pub(crate) fn left(&self, nonce: &Nonce, elapsed: Instant) -> Option<Span> {
        let all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let ends = all.iter().rev().find(|(known, _)| known == nonce).map(|(_, ends)| *ends)?;
        Some(ends.since(elapsed))
    }
}
