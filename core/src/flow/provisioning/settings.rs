//! Settings that a phone pushes to a node under K2: each is taken once and in order.

use crate::entropy::Entropy;
use crate::limits::PUSH_NONCES;

/// Length of a nonce of AES-GCM, in bytes.
pub const NONCE_BYTES: usize = 12;
/// First revisions are below this, so that all are exact in every reader of JSON.
const FIRST_BELOW: u64 = 1 << 40;

/// The revision of a node's settings, and the nonces of the last pushes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SettingsLog {
    revision: u64,
    nonces: heapless::Deque<[u8; NONCE_BYTES], PUSH_NONCES>,
}

#[cfg(feature = "defmt")]
impl defmt::Format for SettingsLog {
    fn format(&self, f: defmt::Formatter<'_>) {
        defmt::write!(f, "SettingsLog({=u64}, {=usize} nonces)", self.revision, self.nonces.len());
    }
}

/// The reason for refusing settings that are sealed by the right key for the right node.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub enum PushRefusal {
    /// They do not follow on the node's revision: they were pushed before, or another phone was
    /// faster.
    Stale,
    /// An earlier push had the same nonce. Under one key that tells a listener what both say, so the
    /// key is no longer good.
    NonceReused,
}

impl SettingsLog {
    /// Begins at a revision that nobody can foretell, so that no push to an earlier life of the node
    /// fits again.
    #[must_use]
    pub fn new(entropy: &Entropy<8>) -> Self {
        let revision = u64::from_le_bytes(*entropy.expose()) & (FIRST_BELOW - 1);
        Self { revision, nonces: heapless::Deque::new() }
    }

    /// Reads what was stored. Of more nonces than are remembered the last ones count.
    pub fn stored(revision: u64, nonces: impl IntoIterator<Item = [u8; NONCE_BYTES]>) -> Self {
        let mut log = Self { revision, nonces: heapless::Deque::new() };
        for nonce in nonces {
            log.remember(nonce);
        }
        log
    }

    /// Returns the revision of the settings in force.
    #[must_use]
    pub const fn revision(&self) -> u64 {
        self.revision
    }

    /// Iterates over the nonces of the last pushes, the oldest first.
    pub fn nonces(&self) -> impl Iterator<Item = &[u8; NONCE_BYTES]> {
        self.nonces.iter()
    }

    /// Takes a push whose tag has opened.
    ///
    /// # Errors
    /// [`PushRefusal`]; nothing has changed then.
    pub fn push(&mut self, revision: u64, nonce: [u8; NONCE_BYTES]) -> Result<(), PushRefusal> {
        if self.revision.checked_add(1) != Some(revision) {
            return Err(PushRefusal::Stale);
        }
        if self.nonces.iter().any(|known| *known == nonce) {
            return Err(PushRefusal::NonceReused);
        }
        self.revision = revision;
        self.remember(nonce);
        Ok(())
    }

    /// Counts a change that the node's own application has made.
    pub fn changed(&mut self) {
        self.revision = self.revision.saturating_add(1);
    }

    fn remember(&mut self, nonce: [u8; NONCE_BYTES]) {
        if self.nonces.is_full() {
            let _ = self.nonces.pop_front();
        }
        // There is room now.
        let _ = self.nonces.push_back(nonce);
    }
}

/// The requests that a node takes at its port.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub enum Openness {
    /// All.
    Setup,
    /// Those that are sealed under K2.
    Settings,
    /// None.
    Closed,
}

impl Openness {
    /// Decides for a node in or outside its setup window. `settled` is `true` if it is provisioned
    /// and in normal operation, `shares` if its owner lets phones share settings at any time.
    #[must_use]
    pub const fn of(window_open: bool, settled: bool, shares: bool) -> Self {
        match (window_open || !settled, shares) {
            (true, _) => Self::Setup,
            (false, true) => Self::Settings,
            (false, false) => Self::Closed,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn log() -> SettingsLog {
        SettingsLog::new(&Entropy::from_recorded([0xff; 8]))
    }

    #[test]
    fn a_push_is_taken_once_and_only_behind_the_revision_in_force() {
        let mut log = log();
        let first = log.revision();
        assert_eq!(first, FIRST_BELOW - 1);
        for wrong in [first, first + 2, 0, u64::MAX] {
            assert_eq!(log.push(wrong, [1; 12]), Err(PushRefusal::Stale), "{wrong}");
        }
        assert_eq!(log.push(first + 1, [1; 12]), Ok(()));
        assert_eq!(log.push(first + 1, [1; 12]), Err(PushRefusal::Stale), "it comes again");
        log.changed();
        assert_eq!(log.push(first + 2, [2; 12]), Err(PushRefusal::Stale), "the node was faster");
        assert_eq!(log.push(first + 3, [2; 12]), Ok(()));
        let mut last = SettingsLog::stored(u64::MAX, []);
        assert_eq!(last.push(0, [1; 12]), Err(PushRefusal::Stale));
    }

    #[test]
    fn a_nonce_of_one_of_the_last_pushes_is_refused_and_changes_nothing() {
        let mut log = SettingsLog::stored(0, []);
        for number in 1..=70_u8 {
            assert_eq!(log.push(number.into(), [number; 12]), Ok(()));
        }
        let before = log.clone();
        for known in 7..=70 {
            assert_eq!(log.push(71, [known; 12]), Err(PushRefusal::NonceReused), "{known}");
        }
        assert_eq!(log, before);
        let read = SettingsLog::stored(log.revision(), log.nonces().copied());
        assert_eq!(read, log);
        assert_eq!(log.push(71, [6; 12]), Ok(()), "64 are remembered");
    }

    #[test]
    fn outside_the_setup_window_a_settled_node_takes_what_k2_seals_if_its_owner_wants_that() {
        for (window, settled, shares, expected) in [
            (true, true, false, Openness::Setup),
            (false, false, true, Openness::Setup),
            (false, true, true, Openness::Settings),
            (false, true, false, Openness::Closed),
        ] {
            assert_eq!(Openness::of(window, settled, shares), expected);
        }
    }
}
