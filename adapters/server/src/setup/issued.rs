//! The setup codes that this run has made: their time is what elapses, whatever becomes of the wall
//! clock.

use std::collections::VecDeque;
use std::sync::{Mutex, PoisonError};

use handfast_core::grant::setup_code::{SetupKey, VERIFY_SCRATCH, verify};
use handfast_core::time::{Instant, Span, UnixTime};
use handfast_core::wire::setup::Nonce;

/// Most codes that are remembered; of older ones the wall clock decides.
const MOST: usize = 1024;

/// The newest codes that were issued, each with the moment at which it is over.
#[derive(Debug, Default)]
pub(crate) struct IssuedSetups(Mutex<VecDeque<(Nonce, Instant)>>);

impl IssuedSetups {
    /// Remembers one that is good for so long.
    pub(crate) fn remember(&self, nonce: Nonce, elapsed: Instant, ttl: Span) {
        let mut all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if all.len() >= MOST {
            all.pop_front();
        }
        all.push_back((nonce, elapsed.after(ttl)));
    }

    /// How long one of this run is still good for; nothing for one of an earlier run.
    pub(crate) fn left(&self, nonce: &Nonce, elapsed: Instant) -> Option<Span> {
        let all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let ends = all.iter().rev().find(|(known, _)| known == nonce).map(|(_, ends)| *ends)?;
        Some(ends.since(elapsed))
    }
}

/// A code that one of our keys signed, whether or not its time is over.
pub(super) fn signed(keys: &[SetupKey], token: &str) -> Option<(Nonce, UnixTime)> {
    let mut scratch = [0; VERIFY_SCRATCH];
    let verified = verify(keys, token, UnixTime::from_secs(0), &mut scratch).ok()?;
    Some((verified.claims().nonce, verified.claims().expires_at))
}
