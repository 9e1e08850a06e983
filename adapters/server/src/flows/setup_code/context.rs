//! What the gateway keeps for a companion's connection, and what it does for it without the socket.

use std::sync::Arc;

use handfast_core::flow::setup_code::gateway::{Failed, Failure, NotOpened};
use handfast_core::limits::SETUP_CLAIMS_BYTES;
use handfast_core::registry::sessions::{Ended, Session, SessionId};
use handfast_core::time::UnixTime;
use handfast_core::wire::companion::{First, Word};
use handfast_store::StoreError;

use super::effects::{Action, Answer};
use crate::connection::common::interrupted;
use crate::connection::hub::{Dialect, Mailbox};
use crate::connection::slots::SeatGuard;
use crate::gateway::Gateway;
use crate::hook::{CompanionInfo, Event};
use crate::proxies::PeerAddress;
use crate::telemetry::log_lines::{CausedBy, limited};
use crate::telemetry::{SessionEvent, Verification};

/// One connection, as far as it is not its socket.
pub(super) struct Kept {
    pub(super) gateway: Gateway,
    pub(super) peer: PeerAddress,
    pub(super) seat: Option<SeatGuard>,
    pub(super) mailbox: Arc<Mailbox>,
    /// Whether the page that opened it, if it was one, may be a companion.
    pub(super) origin_allowed: bool,
    /// The session whose live connection this is.
    attached: Option<SessionId>,
    /// Whose it is, once it is let in.
    info: Option<Box<CompanionInfo>>,
}

impl Kept {
    pub(super) fn new(
        gateway: Gateway,
        peer: PeerAddress,
        seat: Option<SeatGuard>,
        origin_allowed: bool,
    ) -> Self {
        gateway.inner.sessions.send_modify(|open| *open += 1);
        Self {
            gateway,
            peer,
            seat,
            mailbox: Mailbox::new(Dialect::Missy),
            origin_allowed,
            attached: None,
            info: None,
        }
    }

    /// The time by which a first frame is judged.
    pub(super) fn setup_moment(&self, frame: &str) -> UnixTime {
        let mut room = [0; SETUP_CLAIMS_BYTES];
        match First::parse(frame, &mut room) {
            First::Bootstrap(token) => self.gateway.setup_moment(token),
            First::Resume(_) | First::Neither => self.gateway.inner.clock.unix(),
        }
    }

    /// Carries out what needs no socket.
    pub(super) async fn answer(&mut self, action: Action) -> Option<Answer> {
        let inner = &self.gateway.inner;
        match action {
            Action::Redeem(code) => {
                let redeemed = self.gateway.redeem(*code).await;
                return Some(Answer::Redeemed(match redeemed {
                    Ok(redeemed) => redeemed.map_err(NotOpened::No),
                    Err(error) => {
                        limited!(error, CausedBy::Any, { %error, } "a setup code could not be redeemed");
                        Err(NotOpened::Failed)
                    }
                }));
            }
            Action::Resume(hash) => {
                return Some(self.found(inner.store.session_by_hash(&hash).await).await);
            }
            Action::Attach(session) => {
                if !self.attach(session) {
                    return Some(Answer::Full);
                }
                let answer = self.found(self.gateway.inner.store.session(session).await).await;
                if let Answer::Found(Ok(Some(session))) = &answer {
                    self.info = Some(Box::new(CompanionInfo::of(session)));
                }
                return Some(answer);
            }
            Action::Recheck(session) => {
                let answer = self.found(inner.store.session(session).await).await;
                let now = inner.clock.unix();
                if let Answer::Found(Ok(Some(session))) = &answer
                    && session.admits(now) == Err(Ended::Expired)
                {
                    inner.telemetry.sessions(SessionEvent::Expired, 1);
                }
                return Some(answer);
            }
            Action::Detach => self.detach(),
            Action::Charge(failure) => return Some(Answer::Charged(self.charge(failure))),
            // A slow application holds up its own frames, but neither a revocation nor the
            // shutdown.
            Action::App(frame) => {
                if let Some(info) = &self.info {
                    tokio::select! {
                        () = inner.application.companion(info, &frame) => {}
                        () = interrupted(&self.mailbox, inner) => {}
                    }
                }
            }
            // Those that need the socket.
            Action::Send(_) | Action::Close(_) | Action::FinishClose | Action::Break(_) => {}
        }
        None
    }

    /// Counts a failure; `false` if its source has none left of this kind.
    fn charge(&self, failure: Failure) -> bool {
        let inner = &self.gateway.inner;
        self.count(failure);
        let budget = match failure {
            Failure::Code(_) | Failure::Redeem(_) => &inner.budgets.codes,
            Failure::Session(_) => &inner.budgets.sessions,
        };
        budget.permit(self.peer.source(), inner.clock.now()).is_some()
    }

    /// It was let in: the budget of those that have not authenticated is for others now.
    pub(super) fn linked(&mut self, session: SessionId) {
        self.seat = None;
        self.gateway.event(Event::CompanionLinked { session });
    }

    /// Whoever redeems counts what came of it.
    fn count(&self, failure: Failure) {
        let telemetry = &self.gateway.inner.telemetry;
        match failure {
            Failure::Code(Word::UnknownCode) => {
                telemetry.bootstrap_token_verified(Verification::Malformed);
            }
            Failure::Code(Word::InvalidSignature) => {
                telemetry.bootstrap_token_verified(Verification::InvalidSignature);
            }
            Failure::Code(Word::Expired) => {
                telemetry.bootstrap_token_verified(Verification::Expired);
            }
            Failure::Session(Word::UnknownSession) => telemetry.sessions(SessionEvent::Refused, 1),
            Failure::Code(_) | Failure::Redeem(_) | Failure::Session(_) => {}
        }
    }

    /// Companions take the places that nodes leave. They never keep a node out: those are counted
    /// without them.
    fn attach(&mut self, session: SessionId) -> bool {
        let inner = &self.gateway.inner;
        let all = usize::try_from(inner.limits.linked_total).unwrap_or(usize::MAX);
        let attached =
            inner.companions.attach(session, &self.mailbox, all.saturating_sub(inner.hub.count()));
        self.attached = attached.then_some(session);
        attached
    }

    /// What was read of a session, as the connection hears it.
    async fn found(&self, session: Result<Option<Session>, StoreError>) -> Answer {
        let session = match session {
            Ok(session) => session,
            Err(error) => {
                limited!(error, CausedBy::Any, { %error, } "a session could not be read");
                return Answer::Found(Err(Failed::Store));
            }
        };
        if let Some(session) = &session {
            if session.is_doubted(&self.gateway.inner.clock.moment()) {
                return Answer::Found(Err(Failed::ClockInDoubt));
            }
            self.gateway.note_session(session).await;
        }
        Answer::Found(Ok(session.map(Box::new)))
    }

    fn detach(&mut self) {
        if let Some(session) = self.attached.take()
            && self.gateway.inner.companions.detach(session, &self.mailbox)
        {
            self.gateway.event(Event::CompanionUnlinked { session });
        }
    }
}

impl Drop for Kept {
    fn drop(&mut self) {
        self.detach();
        self.gateway.inner.sessions.send_modify(|open| *open -= 1);
    }
}
