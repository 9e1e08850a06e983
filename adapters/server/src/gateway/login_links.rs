//! Login links that were not spent yet. They are in memory alone: a restart ends them.
//!
//! ```text
//! made ──confirmed──▶ waits ──spent──▶ used
//!   │ not confirmed and not used in time, cancelled, or five minutes over
//!   └──▶ ended
//! ```

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::{Mutex, MutexGuard, PoisonError};

use handfast_core::grant::login_link::LoginSecretHash;
use handfast_core::registry::authority::Role;
use handfast_core::registry::delivery::DeliveryId;
use handfast_core::{Instant, Name, Span, UnixTime};
use tokio::sync::watch;

/// Maximum number of links that wait at once.
const MOST: usize = 32;
/// Time for which the outcome of a link can be asked for.
const KEPT_FOR: Span = Span::from_secs(600);

/// Who logs in with a link.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct LoginOffer {
    pub(crate) name: Name,
    pub(crate) role: Role,
}

/// The state of a link for the command that made it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum LinkState {
    /// The link waits for the button.
    Waits,
    /// The link was used at this time from this address.
    Used(UnixTime, Option<IpAddr>),
    /// The time of the link is over, or it was cancelled.
    Ended,
}

#[derive(Debug)]
struct LoginLink {
    hash: LoginSecretHash,
    offer: LoginOffer,
    state: LinkState,
    /// End of the link.
    until: Instant,
    /// Time by which the command must have shown it; `None` once it has.
    unshown_until: Option<Instant>,
}

impl LoginLink {
    fn state(&self, now: Instant) -> LinkState {
        let over = now >= self.until || self.unshown_until.is_some_and(|until| now >= until);
        match self.state {
            LinkState::Waits if over => LinkState::Ended,
            state @ (LinkState::Waits | LinkState::Used(..) | LinkState::Ended) => state,
        }
    }
}

/// All links of the last minutes.
#[derive(Debug)]
pub(crate) struct LoginLinks {
    all: Mutex<HashMap<DeliveryId, LoginLink>>,
    /// Raised with every change of a state.
    changes: watch::Sender<u64>,
}

impl Default for LoginLinks {
    fn default() -> Self {
        Self { all: Mutex::default(), changes: watch::Sender::new(0) }
    }
}

impl LoginLinks {
    /// Adds a link that ends after `lives`, and after `shown_within` unless it is confirmed or
    /// used. Returns `false` if too many wait.
    pub(crate) fn add(
        &self,
        id: DeliveryId,
        hash: LoginSecretHash,
        offer: LoginOffer,
        (lives, shown_within): (Span, Span),
        now: Instant,
    ) -> bool {
        let mut all = self.all();
        all.retain(|_, link| now < link.until.after(KEPT_FOR));
        let waiting = all.values().filter(|link| link.state(now) == LinkState::Waits).count();
        if waiting >= MOST {
            return false;
        }
        // Of those that are over, only the latest are kept for their commands.
        if all.len() >= 2 * MOST {
            all.retain(|_, link| link.state(now) == LinkState::Waits);
        }
        let link = LoginLink {
            hash,
            offer,
            state: LinkState::Waits,
            until: now.after(lives),
            unshown_until: Some(now.after(shown_within)),
        };
        all.insert(id, link);
        true
    }

    /// Returns who would log in with a secret. Spends nothing.
    pub(crate) fn look(&self, hash: &LoginSecretHash, now: Instant) -> Option<LoginOffer> {
        let all = self.all();
        let mut waiting = all.values().filter(|link| link.state(now) == LinkState::Waits);
        waiting.find(|link| link.hash == *hash).map(|link| link.offer.clone())
    }

    /// Spends a secret. Of several calls at once exactly one succeeds.
    pub(crate) fn spend(
        &self,
        hash: &LoginSecretHash,
        (at, from): (UnixTime, Option<IpAddr>),
        now: Instant,
    ) -> Option<(DeliveryId, LoginOffer)> {
        let mut all = self.all();
        let mut waiting = all.iter_mut().filter(|(_, link)| link.state(now) == LinkState::Waits);
        let (id, link) = waiting.find(|(_, link)| link.hash == *hash)?;
        link.state = LinkState::Used(at, from);
        let spent = (*id, link.offer.clone());
        drop(all);
        self.changed();
        Some(spent)
    }

    /// Makes a link wait again whose session could not be stored.
    pub(crate) fn give_back(&self, id: DeliveryId) {
        if let Some(link) = self.all().get_mut(&id) {
            link.state = LinkState::Waits;
        }
        self.changed();
    }

    /// Notes that a link was shown. `None` if there is no such link, `Some(false)` if it has ended.
    pub(crate) fn confirm(&self, id: DeliveryId, now: Instant) -> Option<bool> {
        let mut all = self.all();
        let link = all.get_mut(&id)?;
        let lives = link.state(now) != LinkState::Ended;
        if lives {
            link.unshown_until = None;
        }
        Some(lives)
    }

    /// Ends a link. `None` if there is no such link, `Some(false)` if it was used.
    pub(crate) fn cancel(&self, id: DeliveryId) -> Option<bool> {
        let mut all = self.all();
        let link = all.get_mut(&id)?;
        let cancelled = match link.state {
            LinkState::Waits | LinkState::Ended => {
                link.state = LinkState::Ended;
                true
            }
            LinkState::Used(..) => false,
        };
        drop(all);
        self.changed();
        Some(cancelled)
    }

    /// Returns the state of a link; `None` if there is no such link.
    pub(crate) fn state(&self, id: DeliveryId, now: Instant) -> Option<LinkState> {
        self.all().get(&id).map(|link| link.state(now))
    }

    /// Returns a receiver that hears of every change of a state.
    pub(crate) fn changes(&self) -> watch::Receiver<u64> {
        self.changes.subscribe()
    }

    fn changed(&self) {
        self.changes.send_modify(|number| *number = number.wrapping_add(1));
    }

    fn all(&self) -> MutexGuard<'_, HashMap<DeliveryId, LoginLink>> {
        self.all.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use handfast_core::Label;

    const TIMES: (Span, Span) = (Span::from_secs(300), Span::from_secs(60));

    fn at(secs: u64) -> Instant {
        Instant::from_millis(secs * 1000)
    }

    fn offer() -> LoginOffer {
        LoginOffer { name: Label::parse("Ana").unwrap().into(), role: Role::Operator }
    }

    const fn hash(byte: u8) -> LoginSecretHash {
        LoginSecretHash::from_bytes([byte; 32])
    }

    fn spent(links: &LoginLinks, byte: u8, now: u64) -> bool {
        links.spend(&hash(byte), (UnixTime::from_secs(1), None), at(now)).is_some()
    }

    fn id(byte: u8) -> DeliveryId {
        DeliveryId::from_bytes([byte; 16])
    }

    #[test]
    fn a_link_is_spent_once_and_looking_at_it_spends_nothing() {
        let links = LoginLinks::default();
        assert!(links.add(id(1), hash(1), offer(), TIMES, at(0)));
        for _ in 0..3 {
            assert_eq!(links.look(&hash(1), at(1)), Some(offer()));
        }
        assert!(!spent(&links, 2, 1), "another secret");
        assert!(spent(&links, 1, 1) && !spent(&links, 1, 1));
        assert_eq!(links.look(&hash(1), at(1)), None);
        assert_eq!(links.state(id(1), at(1)), Some(LinkState::Used(UnixTime::from_secs(1), None)));
        assert_eq!(links.cancel(id(1)), Some(false), "it was used");
    }

    #[test]
    fn a_link_ends_after_five_minutes_and_after_one_if_nobody_was_shown_it() {
        let links = LoginLinks::default();
        for byte in [1, 2, 3] {
            assert!(links.add(id(byte), hash(byte), offer(), TIMES, at(0)));
        }
        assert_eq!(links.confirm(id(1), at(59)), Some(true));
        assert_eq!(links.confirm(id(2), at(60)), Some(false));
        assert!(!spent(&links, 2, 60) && links.look(&hash(2), at(60)).is_none());
        assert_eq!(links.state(id(1), at(299)), Some(LinkState::Waits));
        assert!(!spent(&links, 1, 300));
        assert_eq!(links.cancel(id(3)), Some(true));
        assert!(!spent(&links, 3, 1));
        assert_eq!(links.confirm(id(9), at(0)), None);
    }

    #[test]
    fn only_so_many_links_wait_and_those_that_are_over_leave_their_place() {
        let links = LoginLinks::default();
        let add = |byte: u8, now| links.add(id(byte), hash(byte), offer(), TIMES, at(now));
        assert!((0..32).all(|byte| add(byte, 0)) && !add(32, 59));
        assert!(spent(&links, 7, 59) && add(32, 59) && !add(33, 59));
        assert!((40..72).all(|byte| add(byte, 120)), "nobody was shown the others");
        assert!(links.all().len() <= 2 * MOST);
    }
}
