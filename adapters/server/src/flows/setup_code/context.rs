//! The state of a companion's connection outside core's machine, and the effects that need no
//! socket.

use std::sync::Arc;
use std::time::Duration;

use handfast_core::Instant;
use handfast_core::flow::setup_code::gateway::{
    CompanionFailure, CompanionRequest, Failed, SessionNotOpened,
};
use handfast_core::registry::sessions::{Ended, Session, SessionId};
use handfast_core::wire::companion::Word;
use handfast_store::StoreError;
use handfast_store::audit::Who;

use super::effects::{CompanionAnswer, CompanionJob};
use crate::application::CompanionInfo;
use crate::connection::hub::{Dialect, Mailbox};
use crate::connection::slot_state::SlotState;
use crate::events::Event;
use crate::gateway::Gateway;
use crate::gateway::common::interrupted;
use crate::proxies::PeerAddress;
use crate::telemetry::log_lines::{CausedBy, limited};
use crate::telemetry::{SessionEvent, Verification};

/// The state of one connection, without its socket.
pub(crate) struct CompanionContext {
    pub(super) gateway: Gateway,
    pub(super) peer: PeerAddress,
    /// The time of accept, from which the deadline of the first message counts.
    pub(super) since: Instant,
    pub(super) slot: SlotState,
    pub(super) mailbox: Arc<Mailbox>,
    /// `true` if the connection was opened by a program, or by a page that may be a companion.
    pub(super) origin_allowed: bool,
    /// `true` until the first frame has come.
    pub(super) is_new: bool,
    /// The time that reading the first frame took, until it is known whether it held a code.
    pub(super) judged: Option<Duration>,
    /// The session whose live connection this is.
    attached: Option<SessionId>,
    /// The companion's session and device, once it is linked.
    info: Option<Box<CompanionInfo>>,
}

impl CompanionContext {
    pub(super) fn new(
        gateway: Gateway,
        peer: PeerAddress,
        since: Instant,
        slot: SlotState,
        origin_allowed: bool,
    ) -> Self {
        gateway.inner.sessions.send_modify(|open| *open += 1);
        Self {
            gateway,
            peer,
            since,
            slot,
            mailbox: Mailbox::new(Dialect::Missy, peer.ip()),
            origin_allowed,
            is_new: true,
            judged: None,
            attached: None,
            info: None,
        }
    }

    /// Carries out a job.
    pub(super) async fn answer(&mut self, job: CompanionJob) -> Option<CompanionAnswer> {
        let inner = &self.gateway.inner;
        let request = match job {
            CompanionJob::Request(request) => request,
            CompanionJob::Redeem(code) => {
                self.code_was_judged();
                let gateway = self.gateway.by(Who::SetupCode(code.nonce), Some(self.peer.ip()));
                let redeemed = gateway.redeem(*code).await;
                return Some(CompanionAnswer::Redeemed(match redeemed {
                    Ok(redeemed) => redeemed.map_err(SessionNotOpened::No),
                    Err(error) => {
                        limited!(error, CausedBy::Any, { %error, } "a setup code could not be redeemed");
                        Err(SessionNotOpened::Failed)
                    }
                }));
            }
            // A slow application delays its own frames, but neither a revocation nor the shutdown.
            CompanionJob::App(frame) => {
                if let Some(info) = &self.info {
                    tokio::select! {
                        () = inner.application.companion(info, &frame) => {}
                        () = interrupted(&self.mailbox, inner) => {}
                    }
                }
                return None;
            }
        };
        match request {
            CompanionRequest::Resume(hash) => {
                Some(self.found(inner.store.session_by_hash(&hash).await).await)
            }
            CompanionRequest::Attach(session) => {
                // Before the look-up: a revocation that it misses reaches the mailbox.
                if !self.attach(session) {
                    return Some(CompanionAnswer::Full);
                }
                let answer = self.found(self.gateway.inner.store.session(session).await).await;
                if let CompanionAnswer::Found(Ok(Some(session))) = &answer {
                    self.info = Some(Box::new(CompanionInfo::of(session)));
                }
                Some(answer)
            }
            CompanionRequest::Recheck(session) => {
                let answer = self.found(inner.store.session(session).await).await;
                let now = inner.clock.unix();
                if let CompanionAnswer::Found(Ok(Some(session))) = &answer
                    && session.admits(now) == Err(Ended::Expired)
                {
                    inner.telemetry.sessions(SessionEvent::Expired, 1);
                }
                Some(answer)
            }
            CompanionRequest::Charge(failure) => {
                Some(CompanionAnswer::Charged(self.charge(failure)))
            }
            CompanionRequest::Linked(session) => {
                self.linked(session);
                None
            }
            CompanionRequest::Detach => {
                self.detach();
                None
            }
        }
    }

    /// Counts a failure. Returns `false` if its source has no attempt of this kind left.
    fn charge(&mut self, failure: CompanionFailure) -> bool {
        self.count(failure);
        match failure {
            CompanionFailure::Code(_) => self.code_was_judged(),
            CompanionFailure::Redeem(_) | CompanionFailure::Session(_) => {}
        }
        let inner = &self.gateway.inner;
        let budget = match failure {
            CompanionFailure::Code(_) | CompanionFailure::Redeem(_) => &inner.budgets.codes,
            CompanionFailure::Session(_) => &inner.budgets.sessions,
        };
        // The permit is dropped at once, so the failure stays counted.
        budget.permit(self.peer.source(), inner.clock.now()).is_some()
    }

    /// Counts the time that the first frame took, which held a code. Resuming verifies none.
    fn code_was_judged(&mut self) {
        if let Some(took) = self.judged.take() {
            self.gateway.inner.telemetry.verify_took(took);
        }
    }

    /// Frees the slot of the connection, which has authenticated, and reports the link.
    fn linked(&mut self, session: SessionId) {
        self.slot = SlotState::Free;
        self.gateway.event(Event::CompanionLinked { session });
    }

    /// Counts a failure in the metrics. A failed redemption is counted where the code is redeemed.
    fn count(&self, failure: CompanionFailure) {
        let telemetry = &self.gateway.inner.telemetry;
        match failure {
            CompanionFailure::Code(Word::UnknownCode) => {
                telemetry.bootstrap_token_verified(Verification::Malformed);
            }
            CompanionFailure::Code(Word::InvalidSignature) => {
                telemetry.bootstrap_token_verified(Verification::InvalidSignature);
            }
            CompanionFailure::Session(Word::UnknownSession) => {
                telemetry.sessions(SessionEvent::Refused, 1);
            }
            CompanionFailure::Code(_)
            | CompanionFailure::Redeem(_)
            | CompanionFailure::Session(_) => {}
        }
    }

    /// Makes this the session's live connection. Returns `false` if there is no room.
    fn attach(&mut self, session: SessionId) -> bool {
        let attached = self.gateway.inner.hub.attach_companion(session, &self.mailbox).is_ok();
        self.attached = attached.then_some(session);
        attached
    }

    /// Converts the result of a session's look-up to an answer for the machine.
    async fn found(&self, session: Result<Option<Session>, StoreError>) -> CompanionAnswer {
        let session = match session {
            Ok(session) => session,
            Err(error) => {
                limited!(error, CausedBy::Any, { %error, } "a session could not be read");
                return CompanionAnswer::Found(Err(Failed::Store));
            }
        };
        if let Some(session) = &session {
            if session.is_doubted(&self.gateway.inner.clock.moment()) {
                return CompanionAnswer::Found(Err(Failed::ClockInDoubt));
            }
            self.gateway.note_session(session).await;
        }
        CompanionAnswer::Found(Ok(session.map(Box::new)))
    }

    fn detach(&mut self) {
        if let Some(session) = self.attached.take()
            && self.gateway.inner.hub.detach(session, &self.mailbox)
        {
            self.gateway.event(Event::CompanionUnlinked { session });
        }
    }
}

impl Drop for CompanionContext {
    fn drop(&mut self) {
        self.detach();
        self.gateway.inner.sessions.send_modify(|open| *open -= 1);
    }
}
