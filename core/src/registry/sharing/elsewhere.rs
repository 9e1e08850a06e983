//! What a link hears of a decision about its node that another gateway has made.
//!
//! The log says only that a record has changed. The notice follows from the record as it is now,
//! and from what the link has heard of it before; what happened in between does not matter.

use crate::grant::token::TokenHash;
use crate::registry::grants::{Grant, State, offer_again};
use crate::registry::lifecycle::Notice;
use crate::registry::record::Standing;
use crate::time::UnixTime;

/// What a node's link has heard of the node's record.
#[derive(Clone, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub struct Heard {
    /// The token that the link was opened with; `None` if the node has keys.
    token: Option<TokenHash>,
    is_muted: bool,
    is_quarantined: bool,
    epoch: u32,
}

impl Heard {
    /// Returns what a link has heard that was opened on this record.
    #[must_use]
    pub fn of(standing: &Standing, epoch: u32, is_quarantined: bool) -> Self {
        // The first use of a new token settles its delivery, so until then the older one is used.
        let token = standing.older_token().or_else(|| standing.token()).cloned();
        Self { token, is_muted: is_muted(standing), is_quarantined, epoch }
    }

    /// Takes in the node's record as it is now, and returns the notice that is due. `None` in place
    /// of the record says that it was removed.
    pub fn record(&mut self, now: Option<(&Standing, u32)>) -> Option<Notice> {
        let Some((standing, epoch)) = now else { return Some(Notice::Unpaired) };
        if !opens_a_link(standing) || !self.is_valid_under(standing) {
            return Some(Notice::Unpaired);
        }
        if core::mem::replace(&mut self.epoch, epoch) != epoch {
            return Some(Notice::Evicted);
        }
        match (core::mem::replace(&mut self.is_muted, is_muted(standing)), self.is_muted) {
            (false, true) => Some(Notice::Muted),
            (true, false) => Some(Notice::Unmuted),
            (false, false) | (true, true) => None,
        }
    }

    /// Takes in a notice that the link was given by its own gateway. The registry may have another
    /// decision by now, so the record is to be [read](Self::record) after that.
    pub const fn told(&mut self, notice: Notice) {
        match notice {
            Notice::Muted => self.is_muted = true,
            Notice::Unmuted => self.is_muted = false,
            Notice::Quarantined => self.is_quarantined = true,
            Notice::Released => self.is_quarantined = false,
            // The link ends, or reads the registry by itself.
            Notice::Unpaired
            | Notice::Replaced
            | Notice::Decided
            | Notice::Permissions
            | Notice::PinEnded(_)
            | Notice::Evicted => {}
        }
    }

    /// Takes in whether the node is in quarantine now, and returns the notice that is due.
    pub const fn quarantine(&mut self, is_quarantined: bool) -> Option<Notice> {
        match (core::mem::replace(&mut self.is_quarantined, is_quarantined), is_quarantined) {
            (false, true) => Some(Notice::Quarantined),
            (true, false) => Some(Notice::Released),
            (false, false) | (true, true) => None,
        }
    }

    /// Returns `true` if what the link was opened with still opens one.
    fn is_valid_under(&self, standing: &Standing) -> bool {
        match &self.token {
            Some(token) => standing.token() == Some(token) || standing.older_token() == Some(token),
            // A node with keys never has a token.
            None => standing.token().is_none(),
        }
    }
}

/// Returns the notice for a link whose node's grants have changed: another offer waits for it, or
/// the last one was revoked. The link looks its rights up again in any case.
#[must_use]
pub fn grants_notice(grants: &[Grant], now: UnixTime) -> Option<Notice> {
    match (offer_again(grants, now), grants.last()) {
        (Some(Grant { state: State::Offered { .. }, .. }), _) => Some(Notice::Permissions),
        (Some(Grant { state: State::Active | State::Ended, .. }), _) => None,
        (None, Some(Grant { state: State::Ended, .. })) => Some(Notice::Unpaired),
        // What has only run out may be renewed over the link.
        (None, Some(Grant { state: State::Offered { .. } | State::Active, .. }) | None) => None,
    }
}

/// Returns the notice for a link that has heard nothing of the record, because it was opened while
/// the record changed. It reads the record itself after it was entered.
#[must_use]
pub const fn unheard_notice(now: Option<&Standing>) -> Option<Notice> {
    match now {
        Some(standing) if opens_a_link(standing) => None,
        Some(_) | None => Some(Notice::Unpaired),
    }
}

const fn is_muted(standing: &Standing) -> bool {
    match standing {
        Standing::Muted { .. } => true,
        Standing::Pending { .. }
        | Standing::Unapproved { .. }
        | Standing::Paired { .. }
        | Standing::Revoked { .. } => false,
    }
}

const fn opens_a_link(standing: &Standing) -> bool {
    match standing {
        Standing::Paired { .. } | Standing::Muted { .. } => true,
        Standing::Pending { .. } | Standing::Unapproved { .. } | Standing::Revoked { .. } => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::grant::scope::ScopesBuf;
    use crate::id::NodeId;
    use crate::registry::delivery::{Before, DeliveryId, Ticket, Undelivered};
    use crate::registry::grants::GrantId;
    use crate::registry::record::{Cause, Credential, Mode};
    use crate::registry::sessions::Maker;

    fn token(byte: u8) -> TokenHash {
        TokenHash::from_bytes([byte; 32])
    }

    fn paired(credential: Credential) -> Standing {
        Standing::Paired { credential, mode: Mode::Full }
    }

    fn muted(credential: Credential) -> Standing {
        Standing::Muted { credential, restore: Mode::Full }
    }

    fn delivering(new: u8, old: u8) -> Credential {
        let ticket = Ticket { id: DeliveryId::from_bytes([1; 16]), until: UnixTime::from_secs(60) };
        Credential::Undelivered(Undelivered {
            token: token(new),
            ticket,
            before: Before::Token(token(old)),
        })
    }

    #[test]
    fn what_ends_a_node_ends_its_link_elsewhere() {
        let pending = Standing::Pending { expires: UnixTime::from_secs(9) };
        let revoked = Standing::Revoked { cause: Cause::Unpaired };
        let unapproved = Standing::Unapproved { token: token(1) };
        for now in [Some(&pending), Some(&revoked), Some(&unapproved), None] {
            let mut heard = Heard::of(&paired(Credential::Keys), 0, false);
            assert_eq!(heard.record(now.map(|now| (now, 0))), Some(Notice::Unpaired), "{now:?}");
            assert_eq!(unheard_notice(now), Some(Notice::Unpaired), "{now:?}");
        }
        assert_eq!(unheard_notice(Some(&muted(Credential::Keys))), None);
    }

    #[test]
    fn a_link_hears_once_that_its_node_is_muted_and_once_that_it_is_not() {
        let (full, mute) = (paired(Credential::Keys), muted(Credential::Keys));
        let mut heard = Heard::of(&full, 0, false);
        for (now, notice) in [
            (&full, None),
            (&mute, Some(Notice::Muted)),
            (&mute, None),
            (&full, Some(Notice::Unmuted)),
            (&full, None),
        ] {
            assert_eq!(heard.record(Some((now, 0))), notice, "{now:?}");
        }
        let mut heard = Heard::of(&mute, 0, false);
        assert_eq!(heard.record(Some((&full, 0))), Some(Notice::Unmuted));
    }

    #[test]
    fn a_link_hears_what_its_own_gateway_has_decided_in_between() {
        let (full, mute) = (paired(Credential::Keys), muted(Credential::Keys));
        let mut heard = Heard::of(&mute, 0, true);
        heard.told(Notice::Unmuted);
        heard.told(Notice::Released);
        // Muted again elsewhere.
        assert_eq!(heard.record(Some((&mute, 0))), Some(Notice::Muted));
        assert_eq!(heard.quarantine(true), Some(Notice::Quarantined));
        let mut heard = Heard::of(&full, 0, false);
        heard.told(Notice::Muted);
        heard.told(Notice::Quarantined);
        assert_eq!(heard.record(Some((&full, 0))), Some(Notice::Unmuted));
        assert_eq!(heard.quarantine(false), Some(Notice::Released));
    }

    #[test]
    fn an_evicted_node_loses_its_link_and_one_that_is_out_hears_that_instead() {
        let full = paired(Credential::Keys);
        let mut heard = Heard::of(&full, 3, false);
        assert_eq!(heard.record(Some((&full, 4))), Some(Notice::Evicted));
        assert_eq!(heard.record(Some((&full, 4))), None);
        let revoked = Standing::Revoked { cause: Cause::Unpaired };
        assert_eq!(heard.record(Some((&revoked, 5))), Some(Notice::Unpaired));
    }

    #[test]
    fn a_token_that_is_replaced_keeps_its_link_until_the_new_one_is_delivered() {
        let old = paired(Credential::Token(token(1)));
        let mut heard = Heard::of(&old, 0, false);
        assert_eq!(heard.record(Some((&paired(delivering(2, 1)), 0))), None);
        // Undone, and begun again.
        assert_eq!(heard.record(Some((&old, 0))), None);
        assert_eq!(heard.record(Some((&paired(delivering(3, 1)), 0))), None);
        let new = paired(Credential::Token(token(3)));
        assert_eq!(heard.record(Some((&new, 0))), Some(Notice::Unpaired));
        // One that was opened meanwhile rests on the old token.
        let mut heard = Heard::of(&paired(delivering(2, 1)), 0, false);
        assert_eq!(heard.record(Some((&old, 0))), None);
        assert_eq!(heard.record(Some((&new, 0))), Some(Notice::Unpaired));
    }

    #[test]
    fn a_link_hears_of_a_quarantine_and_of_its_end() {
        let mut heard = Heard::of(&paired(Credential::Keys), 0, false);
        assert_eq!(heard.quarantine(false), None);
        assert_eq!(heard.quarantine(true), Some(Notice::Quarantined));
        assert_eq!(heard.quarantine(true), None);
        assert_eq!(heard.quarantine(false), Some(Notice::Released));
    }
    #[test]
    fn a_link_hears_of_an_offer_that_waits_and_of_the_end_of_its_last_grant() {
        let (now, later) = (UnixTime::from_secs(1000), UnixTime::from_secs(2000));
        let grant = |id, state| Grant {
            id: GrantId::from_bytes([id; 16]),
            node_id: NodeId::from_bytes([1; 16]),
            capability: None,
            scopes: ScopesBuf::default(),
            not_before: now,
            expires: Some(later),
            moved: 0,
            state,
            maker: Maker::Operator,
        };
        let (active, ended) = (grant(1, State::Active), grant(1, State::Ended));
        let offered = grant(2, State::Offered { until: later });
        for (grants, at, notice) in [
            (both([&active, &offered]), now, Some(Notice::Permissions)),
            (both([&ended, &active]), now, None),
            (both([&ended, &ended]), now, Some(Notice::Unpaired)),
            (both([&ended, &active]), later, None),
            (both([&ended, &offered]), later, None),
        ] {
            assert_eq!(grants_notice(&grants, at), notice, "{grants:?}");
        }
        assert_eq!(grants_notice(&[], now), None);
    }

    fn both(grants: [&Grant; 2]) -> [Grant; 2] {
        grants.map(Grant::clone)
    }
}
