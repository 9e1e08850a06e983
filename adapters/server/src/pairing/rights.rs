//! The rights of makers, and the end of what they made.

use std::sync::{Arc, Weak};
use std::time::Duration;

use handfast_core::grant::scope::Scopes;
use handfast_core::registry::authority::{
    Authority, Delegated, Exceeded, Maker, Right, SESSION_DEPTH, Until, Wider, within,
};
use handfast_core::registry::codes::NoGuess;
use handfast_core::registry::grants::current;
use handfast_core::registry::lifecycle::Notice;
use handfast_core::registry::sessions::Session;
use handfast_core::{NodeId, UnixTime};
use handfast_store::{EndedWith, Entry, Filter, StoreError, node_id};

use crate::events::Event;
use crate::gateway::operator_types::OperatorError;
use crate::gateway::{Gateway, Inner};
use crate::telemetry::SessionEvent;

/// A time later than any end.
const FOREVER: UnixTime = UnixTime::from_secs(u64::MAX);
/// The number of nodes that are read from the store at once.
const PAGE: usize = 500;
/// The interval at which the sweep looks for things that outlived their maker. They end no later
/// than the maker by themselves, so it finds only what a clock that was set has left behind.
const LOOK_EVERY: Duration = Duration::from_secs(30);

impl Gateway {
    /// Returns the authority of a session. A session that another one made is bounded by that one.
    /// Returns `None` if one of the sessions in this chain has ended, or if the chain is too long.
    pub(crate) async fn right_of(
        &self,
        session: &Session,
    ) -> Result<Option<Delegated>, StoreError> {
        let settings = &self.inner.setup.settings;
        let mut right = Delegated {
            right: Right::Session(session.id),
            scopes: settings.permissions_of(session.profile.as_str()).clone(),
            ends: Some(session.expires_at),
            may_approve: settings.may_approve(session.profile.as_str()),
        };
        let mut maker = session.maker;
        for _ in 0..SESSION_DEPTH {
            let Maker::Session(id) = maker else { return Ok(Some(right)) };
            let Some(above) = self.inner.store.session(id).await? else { return Ok(None) };
            // A session ends with the one that made it.
            if above.admits(self.inner.clock.unix()).is_err() {
                return Ok(None);
            }
            // A session never has more than any of those above it, by their profiles as they are
            // now.
            right.scopes = within(settings.permissions_of(above.profile.as_str()), &right.scopes);
            right.may_approve &= settings.may_approve(above.profile.as_str());
            right.ends = right.ends.min(Some(above.expires_at));
            maker = above.maker;
        }
        Ok(None)
    }

    /// Returns the present authority of a maker; `None` if the maker has ended.
    pub(crate) async fn authority_of(&self, maker: Maker) -> Result<Option<Authority>, StoreError> {
        let id = match maker {
            Maker::Operator => return Ok(Some(Authority::OWNER)),
            Maker::Session(id) => id,
            Maker::Login(id) => {
                let login = self.inner.store.login(id).await?;
                let valid =
                    login.filter(|login| login.admits_at(&self.inner.clock.moment()).is_ok());
                return Ok(valid.map(|login| Authority::Login(login.role, login.id)));
            }
        };
        let Some(session) = self.inner.store.session(id).await? else { return Ok(None) };
        if session.admits(self.inner.clock.unix()).is_err() {
            return Ok(None);
        }
        Ok(self.right_of(&session).await?.map(Authority::Delegated))
    }

    /// Cuts at once the links and bearers of everything that has ended with its maker. The end is
    /// durable already, or held.
    pub(crate) async fn cut_what_ended(&self, ended: EndedWith) {
        let EndedWith {
            sessions,
            shortened,
            grants,
            capabilities,
            unapproved,
            codes,
            window,
            senders,
        } = ended;
        let (now, inner) = (self.inner.clock.unix(), &self.inner);
        for session in sessions {
            inner.hub.end_session(session);
            inner.telemetry.sessions(SessionEvent::Revoked, 1);
            self.event(Event::SessionRevoked { session });
        }
        // Their connections end too, so that the companions connect again and learn the new end.
        for (session, _) in shortened {
            inner.hub.end_session(session);
        }
        for (node_id, grant) in &grants {
            self.event(Event::GrantRevoked { node_id: *node_id, grant: Some(*grant) });
        }
        self.cut_blocks(&capabilities);
        for (node_id, _) in grants {
            // A node may hold a grant of another maker, and keeps its link then.
            match inner.store.grants(node_id).await.map(|grants| current(&grants, now).is_some()) {
                Ok(true) => inner.hub.look_again(node_id),
                Ok(false) => self.push(node_id, Some(Notice::Unpaired)),
                Err(error) => {
                    // A grant that cannot be read must not stay in force.
                    tracing::error!(%node_id, %error, "what a node has left could not be read; its link is cut");
                    self.push(node_id, Some(Notice::Unpaired));
                }
            }
        }
        for node_id in unapproved {
            self.push(node_id, Some(Notice::Unpaired));
            self.event(Event::Decided { node_id, decision: "unapproved" });
        }
        if window {
            self.event(Event::WindowClosed);
            // A node that shows a PIN must not wait for a window that is closed.
            self.inner.hub.all_pins_ended(NoGuess::Closed);
            inner.pairing.window_changed.notify_one();
        }
        if codes > 0 || !senders.is_empty() {
            tracing::info!(
                codes,
                senders = senders.len(),
                "codes died and senders were let out with the session that made them"
            );
        }
    }

    /// Returns the end of an admission by this authority: the given one, or the authority's own if
    /// none is given; `None` if neither has an end.
    ///
    /// # Errors
    /// [`Wider`] if the given end is later than the authority's.
    pub(crate) fn lets_in_until(
        authority: &Authority,
        until: Option<UnixTime>,
    ) -> Result<Option<UnixTime>, Box<Wider>> {
        let wanted = until.map_or(Until::AtMost(FOREVER), Until::Exactly);
        // An admission has no scopes, so only its end is bounded.
        Ok(Some(authority.mint(&Scopes::new(), wanted)?).filter(|ends| *ends != FOREVER))
    }

    /// Ends what a maker has just made if the maker has ended meanwhile. It is called after a write
    /// that the store does not tie to the maker in the same step.
    pub(crate) async fn check_maker(&self, maker: Maker) -> Result<(), OperatorError> {
        if self.authority_of(maker).await?.is_some() {
            return Ok(());
        }
        match maker {
            Maker::Operator => {}
            Maker::Session(id) => drop(self.revoke_companion(id).await?),
            Maker::Login(id) => drop(self.revoke_login(id).await?),
        }
        Err(self.has_ended(maker))
    }

    /// Describes the exceeded limit of codes or grants, with the remedy.
    pub(crate) fn exceeded(&self, which: Exceeded) -> OperatorError {
        let bounds = &self.inner.pairing.settings.bounds;
        let hours = bounds.code_for.as_secs() as f64 / 3600.0;
        let days = bounds.grant_for.as_secs() as f64 / 86_400.0;
        OperatorError::Usage(match which {
            Exceeded::CodeFor => format!(
                "a code lives for {hours} hours at most: ask for less, or raise code_longest in [pairing] of the gateway's configuration"
            ),
            Exceeded::CodeUses => format!(
                "a code is for {} nodes at most: mint several, or raise code_uses in [pairing] of the gateway's configuration",
                bounds.code_uses
            ),
            Exceeded::GrantFor => format!(
                "a grant lives for {days} days at most: ask for less, or raise grant_longest in [pairing] of the gateway's configuration"
            ),
        })
    }
}

impl Inner {
    /// Returns `true` if a node with a token must not link now: the session that approved it has
    /// ended, or only a jump of the clock would end it, and no sweep may write so while the clock
    /// is not good. What a session granted to a node with keys has its own end.
    pub(crate) async fn rests_on_doubt(&self, node_id: NodeId) -> Result<bool, StoreError> {
        // With a good clock the sweep ends what is over, and nothing is in doubt.
        if self.clock.sweeps_at().is_some() {
            return Ok(false);
        }
        let moment = self.clock.moment();
        let found = self.store.find(node_id.text().as_str(), 1).await?.pop();
        let Some(Ok(Entry { record, maker: Maker::Session(approver), .. })) = found else {
            return Ok(false);
        };
        if record.keys.is_some() {
            return Ok(false);
        }
        let approver = self.store.session(approver).await?;
        Ok(approver.is_none_or(|session| {
            session.admits(moment.now).is_err() || session.is_doubted(&moment)
        }))
    }
}

/// Ends what has outlived its maker, once at start and from then on regularly.
pub(crate) async fn watch(gateway: &Gateway) -> Result<(), StoreError> {
    // The first sweep is waited for, so that nothing outlived is in force when nodes arrive.
    sweep(gateway).await?;
    end_what_is_wider(gateway).await?;
    // A strong handle in the task would keep the gateway alive for ever.
    tokio::spawn(watcher(Arc::downgrade(&gateway.inner)));
    Ok(())
}

/// Ends what has outlived its maker. While the clock is not good, nothing is written, because a
/// session that has ended by it may be valid once the clock is right. Links that depend on such a
/// session check again then, and are cut.
pub(crate) async fn sweep(gateway: &Gateway) -> Result<(), StoreError> {
    match gateway.inner.clock.sweeps_at() {
        Some(now) => {
            let ended = gateway.store().end_orphans(now).await?;
            gateway.cut_what_ended(ended).await;
            Ok(())
        }
        None => have_those_look_again_that_sessions_approved(&gateway.inner).await,
    }
}

async fn have_those_look_again_that_sessions_approved(inner: &Inner) -> Result<(), StoreError> {
    let mut after = None;
    loop {
        let page = inner.store.list(Filter::Current, after, PAGE, inner.clock.unix()).await?;
        after = page.last().map(node_id);
        for entry in page
            .iter()
            .flatten()
            .filter(|entry| entry.maker != Maker::Operator && entry.record.keys.is_none())
        {
            inner.hub.look_again(entry.record.node_id);
        }
        if page.len() < PAGE {
            return Ok(());
        }
    }
}

/// Ends the grants that allow more than the sessions that made them allow by now: the configuration
/// may have narrowed their profiles.
async fn end_what_is_wider(gateway: &Gateway) -> Result<(), StoreError> {
    let (store, now) = (gateway.store(), gateway.inner.clock.unix());
    let mut after = None;
    loop {
        let page = store.list_granted(after, PAGE, now).await?;
        after = page.last().map(|(listed, _)| node_id(listed));
        let full = page.len() == PAGE;
        for grant in page
            .into_iter()
            .flat_map(|(_, grants)| grants)
            .filter(|grant| grant.maker != Maker::Operator)
        {
            let authority = gateway.authority_of(grant.maker).await?;
            let until = Until::AtMost(grant.expires.unwrap_or(now));
            let ends = match authority {
                Some(authority) => authority.mint(&grant.scopes.scopes(), until).is_err(),
                // The session has ended by a clock that may be wrong; a later sweep handles it.
                None => gateway.inner.clock.sweeps_at().is_some(),
            };
            if ends {
                tracing::warn!(node_id = %grant.node_id, "a grant ends: the session that made it may do less by now");
                let capabilities = store.end_grants(grant.node_id, Some(grant.id), now).await?;
                let grants = vec![(grant.node_id, grant.id)];
                // The end is durable, so what depends on the grant is cut.
                gateway
                    .cut_what_ended(EndedWith { grants, capabilities, ..EndedWith::default() })
                    .await;
            }
        }
        if !full {
            return Ok(());
        }
    }
}

async fn watcher(gateway: Weak<Inner>) {
    loop {
        // The start has made the first sweep.
        tokio::time::sleep(LOOK_EVERY).await;
        let Some(inner) = gateway.upgrade() else { return };
        if *inner.shutdown.borrow() {
            return;
        }
        let gateway = Gateway::new(inner);
        // A failed sweep does not end the watch, because the next one makes up for it.
        if let Err(error) = sweep(&gateway).await {
            tracing::error!(%error, "what has outlived its maker could not be ended; it is looked for again");
        }
    }
}
