//! Companions' sessions: opened by a code, presented at each visit, ended by the operator or by
//! time.

use std::time::Duration;

use handfast_core::grant::session::{SessionHash, Token};
use handfast_core::grant::token;
use handfast_core::registry::authority::{Authority, Until};
use handfast_core::registry::sessions::{
    CodeEnd, Ended, LoginId, Maker, NotRedeemed, Prolonging, Session, SessionId,
};
use handfast_core::wire::setup::{Claims, MadeBy, Nonce};
use handfast_core::{Name, Span, UnixTime};
use handfast_store::held::{Cut, HeldTicket};
use handfast_store::{EndedWith, Over, SaveError, SessionFilter, SetupCode, StoreError, Yield};

use crate::entropy;
use crate::events::Event;
use crate::gateway::operator_types::OperatorError;
use crate::gateway::{Gateway, to_its_end};
use crate::hex::hex;
use crate::operator::final_decisions::FEWEST_FOR_GOOD;
use crate::telemetry::{SessionEvent, Verification};

/// Number of sessions that a listing reads at once.
const PAGE: usize = 500;
/// Maximum number of matches in an error for an ambiguous prefix.
const MOST_MATCHES: usize = 5;

/// The claims of a verified code, owned, so that they outlive an await.
#[derive(Clone, Debug)]
pub(crate) struct Redeemable {
    pub(crate) nonce: Nonce,
    pub(crate) expires_at: UnixTime,
    pub(crate) profile: Name,
    pub(crate) device_label: Option<Name>,
    /// The maker of the code.
    pub(crate) maker: Maker,
}

impl From<&Claims<'_>> for Redeemable {
    fn from(claims: &Claims<'_>) -> Self {
        Self {
            nonce: claims.nonce,
            expires_at: claims.expires_at,
            profile: claims.profile.label().into(),
            device_label: claims.device_label.map(Name::from),
            maker: match claims.by {
                None => Maker::Operator,
                Some(MadeBy::Session(id)) => Maker::Session(SessionId::from_bytes(id)),
                Some(MadeBy::Login(id)) => Maker::Login(LoginId::from_bytes(id)),
            },
        }
    }
}

impl Gateway {
    /// Spends a code and opens a session, in one durable step. It runs to completion even if the
    /// connection is lost.
    ///
    /// # Errors
    /// [`StoreError`]; the inner error is the reason for which the code is not accepted.
    pub(crate) async fn redeem(
        &self,
        code: Redeemable,
    ) -> Result<Result<Token, NotRedeemed>, StoreError> {
        let gateway = self.clone();
        // A task of its own goes on when the connection is dropped, so a spent code always has its
        // session.
        let redeemed = tokio::spawn(async move { gateway.redeem_now(code).await }).await;
        redeemed.unwrap_or_else(|error| Err(StoreError::Database(error.to_string())))
    }

    async fn redeem_now(&self, code: Redeemable) -> Result<Result<Token, NotRedeemed>, StoreError> {
        let inner = &self.inner;
        let begun = std::time::Instant::now();
        let now = inner.clock.unix();
        let token = loop {
            // One token in 64 begins with a dash and would be taken for an option where it is
            // typed.
            if let Some(token) = token::issue(&entropy::draw()) {
                break token;
            }
        };
        let lives = Until::AtMost(now.after(span(inner.setup.settings.session_ttl)));
        let permissions = inner.setup.settings.permissions_of(code.profile.as_str());
        // The maker of the code may have ended, or may have fewer permissions by now.
        let authority = self.authority_of(code.maker).await?;
        let ends =
            authority.and_then(|authority| authority.mint(&permissions.scopes(), lives).ok());
        let Some(expires_at) = ends else {
            inner.telemetry.bootstrap_token_verified(Verification::Expired);
            return Ok(Err(NotRedeemed::Expired));
        };
        let session = Session {
            id: SessionId::new(&entropy::draw()),
            hash: SessionHash::of(&token),
            profile: code.profile.clone(),
            device_label: code.device_label.clone(),
            issued_at: now,
            expires_at,
            revoked_at: None,
            over: false,
            maker: code.maker.lasting(),
            prolonged: None,
        };
        let id = session.id;
        let redeemed = self.spend_setup(&code, Yield::Session(session)).await;
        inner.telemetry.redeem_took(begun.elapsed());
        let redeemed = redeemed.map_err(|error| match error {
            SaveError::Store(error) => error,
            // The 128 random bits collide with another session's.
            SaveError::Conflict | SaveError::Missing => {
                StoreError::Database("the id of a new session is taken".to_owned())
            }
        });
        inner.telemetry.bootstrap_token_verified(match &redeemed {
            Ok(Ok(())) => Verification::Ok,
            Ok(Err(reason)) => Verification::of(*reason),
            Err(_) => Verification::Error,
        });
        Ok(redeemed?.map(|()| {
            inner.telemetry.sessions(SessionEvent::Opened, 1);
            self.event(Event::SessionOpened { session: id, profile: code.profile.to_string() });
            token
        }))
    }

    /// Spends a verified code for this yield, unless it has expired: one of this run when its
    /// lifetime has elapsed, any other one by the clock. An end that the clock has shown is written.
    ///
    /// # Errors
    /// As for [`handfast_store::Sessions::redeem`].
    pub(crate) async fn spend_setup(
        &self,
        code: &Redeemable,
        yields: Yield,
    ) -> Result<Result<(), NotRedeemed>, SaveError> {
        let inner = &self.inner;
        let moment = inner.clock.moment();
        let left = inner.setup.issued.left(&code.nonce, inner.clock.elapsed());
        let end = match CodeEnd::of(code.expires_at, left, &moment) {
            Ok(end) => end,
            Err(no) => return Ok(Err(no)),
        };
        let spent = SetupCode { nonce: code.nonce, expires_at: end.at(), maker: code.maker };
        let redeemed = self.store().redeem(spent, yields, moment.now).await?;
        if let (Err(NotRedeemed::Expired), Some(end)) = (redeemed, end.reached(moment.now)) {
            self.note_over(Over::SetupCode(end)).await;
        }
        Ok(redeemed)
    }

    /// Returns the session of this token, if it is valid now.
    ///
    /// # Errors
    /// [`StoreError`] if that cannot be determined; the companion must not be admitted then. The
    /// inner error is the reason for which the session is not valid; `None` means that there is no
    /// such session.
    pub async fn session_of(
        &self,
        token: &Token,
    ) -> Result<Result<Session, Option<Ended>>, StoreError> {
        let found = self.inner.store.session_by_hash(&SessionHash::of(token)).await?;
        let Some(session) = found else { return Ok(Err(None)) };
        if session.is_doubted(&self.inner.clock.moment()) {
            return Ok(Err(Some(Ended::ClockInDoubt)));
        }
        self.note_session(&session).await;
        Ok(session.admits(self.inner.clock.unix()).map_err(Some).map(|()| session))
    }

    /// Records that a session has expired, if it has.
    pub(crate) async fn note_session(&self, session: &Session) {
        if !session.over && session.admits(self.inner.clock.unix()) == Err(Ended::Expired) {
            self.note_over(Over::Session(session.id)).await;
        }
    }

    /// Returns sessions in order of their ids: valid ones, or all.
    ///
    /// # Errors
    /// [`OperatorError::Store`].
    pub async fn companions(&self, filter: SessionFilter) -> Result<Vec<Session>, OperatorError> {
        let (mut all, mut after) = (Vec::new(), None);
        loop {
            let page = self.companions_after(filter, after, PAGE).await?;
            after = page.last().map(|session| session.id);
            let full = page.len() == PAGE;
            all.extend(page);
            if !full {
                return Ok(all);
            }
        }
    }

    /// Returns the next sessions, at most `limit`, in order of their ids.
    pub(crate) async fn companions_after(
        &self,
        filter: SessionFilter,
        after: Option<SessionId>,
        limit: usize,
    ) -> Result<Vec<Session>, OperatorError> {
        Ok(self.inner.store.sessions(filter, after, limit, self.inner.clock.unix()).await?)
    }

    /// Returns the only session whose id begins with this prefix, in hex, whether or not it has
    /// ended.
    ///
    /// # Errors
    /// [`OperatorError::NoSuchSession`], [`OperatorError::SeveralSessions`] or
    /// [`OperatorError::Store`].
    pub async fn companion_by_prefix(&self, prefix: &str) -> Result<Session, OperatorError> {
        let lower = prefix.to_ascii_lowercase();
        let well_formed = !lower.is_empty()
            && lower.len() <= 32
            && lower.bytes().all(|byte| byte.is_ascii_hexdigit());
        let mut found = match well_formed {
            true => self.companions(SessionFilter::All).await?,
            false => Vec::new(),
        };
        found.retain(|session| hex(session.id.as_bytes()).starts_with(&lower));
        match found.len() {
            0 => Err(OperatorError::NoSuchSession(prefix.to_owned())),
            1 => Ok(found.remove(0)),
            _ => Err(OperatorError::SeveralSessions {
                prefix: prefix.to_owned(),
                matches: found
                    .iter()
                    .take(MOST_MATCHES)
                    .map(|session| hex(session.id.as_bytes()))
                    .collect(),
            }),
        }
    }

    /// Returns the only valid session with exactly this device label, or the only session whose id
    /// begins with these [`FEWEST_FOR_GOOD`] or more characters.
    ///
    /// # Errors
    /// As for [`Gateway::companion_by_prefix`], and [`OperatorError::Usage`] for a shorter prefix.
    pub async fn companion_for_good(&self, which: &str) -> Result<Session, OperatorError> {
        let lower = which.to_ascii_lowercase();
        let begins = lower.len() >= FEWEST_FOR_GOOD
            && lower.len() <= 32
            && lower.bytes().all(|byte| byte.is_ascii_hexdigit());
        let now = self.inner.clock.unix();
        let mut found = self.companions(SessionFilter::All).await?;
        found.retain(|session| {
            let labelled =
                session.device_label.as_ref().is_some_and(|label| label.as_str() == which);
            // An ended session keeps its label, but a label means the session that is in use.
            (labelled && session.admits(now).is_ok())
                || (begins && hex(session.id.as_bytes()).starts_with(&lower))
        });
        match found.len() {
            0 if begins => Err(OperatorError::NoSuchSession(which.to_owned())),
            0 => Err(OperatorError::Usage(format!(
                "what is ended for good takes the label of a device, or {FEWEST_FOR_GOOD} or more characters of a session's id; {which:?} is neither"
            ))),
            1 => Ok(found.remove(0)),
            _ => Err(OperatorError::SeveralSessions {
                prefix: which.to_owned(),
                matches: found
                    .iter()
                    .take(MOST_MATCHES)
                    .map(|session| hex(session.id.as_bytes()))
                    .collect(),
            }),
        }
    }

    /// Ends a session permanently, with its live connection and everything it has made. Returns
    /// `false` if it had ended before.
    ///
    /// # Errors
    /// [`OperatorError::Store`], or [`OperatorError::CutNotStored`] if the session has ended but
    /// that is not stored yet.
    pub async fn revoke_companion(&self, session: SessionId) -> Result<bool, OperatorError> {
        let gateway = self.clone();
        to_its_end(async move { gateway.revoke_companion_now(session).await }).await
    }

    async fn revoke_companion_now(&self, session: SessionId) -> Result<bool, OperatorError> {
        let (inner, now) = (&self.inner, self.inner.clock.unix());
        let what = format!("session {} is out", hex(session.as_bytes()));
        // Earlier attempts may have ended some of its works already; these must not end twice.
        let known = inner.held.held().of_session(session);
        let ticket =
            self.hold(Cut::Session { id: session, with: Box::new(known.clone()) }, &what)?;
        // A connection that might still be open gets the notice, even if the session ended before.
        inner.hub.end_session(session);
        let (revoked, ended) = match self.store().end_session(session, now).await {
            Ok(ended) => ended,
            Err(error) => {
                let ticket =
                    self.end_unstored_works(session, now, &what, &known).await.unwrap_or(ticket);
                self.event(Event::SessionRevoked { session });
                return Err(self.not_stored(&ticket, what, error));
            }
        };
        inner.held.held().release(&ticket);
        if revoked {
            self.inner.telemetry.sessions(SessionEvent::Revoked, 1);
            self.event(Event::SessionRevoked { session });
        }
        self.cut_what_ended(ended).await;
        Ok(revoked)
    }

    /// Ends what a session has made, and what that has made, although the session's end could not
    /// be stored. `known` is what was held to end with it already.
    async fn end_unstored_works(
        &self,
        session: SessionId,
        now: UnixTime,
        what: &str,
        known: &EndedWith,
    ) -> Option<HeldTicket> {
        let with = match self.inner.store.ending_with(session, now).await {
            Ok(with) => with,
            Err(error) => {
                tracing::error!(%error, "{what}; what it has made cannot be read and ends once that is stored");
                return None;
            }
        };
        let ticket =
            self.hold(Cut::Session { id: session, with: Box::new(with.clone()) }, what).ok()?;
        self.cut_what_ended(with.without(known)).await;
        Some(ticket)
    }

    /// Ends all sessions for good, whatever the clock says. Returns the number of sessions that
    /// were valid.
    ///
    /// # Errors
    /// [`OperatorError::Store`]; the sessions before the failing one have ended.
    pub async fn revoke_all_companions(&self) -> Result<usize, OperatorError> {
        let mut revoked = 0;
        // Expired sessions are included: the clock may be ahead, and set back later.
        for session in self
            .companions(SessionFilter::All)
            .await?
            .into_iter()
            .filter(|session| session.revoked_at.is_none())
        {
            let is_live = session.admits(self.inner.clock.unix()).is_ok();
            revoked += usize::from(self.revoke_companion(session.id).await? && is_live);
        }
        Ok(revoked)
    }

    /// Prolongs a session and returns its new end. Its token stays the same.
    ///
    /// # Errors
    /// [`OperatorError::NoSuchSession`] if it has ended or never existed, [`OperatorError::Clock`]
    /// if the clock is in doubt, or [`OperatorError::Store`].
    pub async fn refresh_companion(&self, session: SessionId) -> Result<UnixTime, OperatorError> {
        self.refresh_companion_by(&Authority::OWNER, session).await
    }

    /// Prolongs a session with an authority. A delegated one prolongs only a session whose
    /// permissions it covers, no further than to its own end, and the added time ends with it.
    ///
    /// # Errors
    /// As for [`Gateway::refresh_companion`], and [`OperatorError::Wider`].
    pub async fn refresh_companion_by(
        &self,
        authority: &Authority,
        session: SessionId,
    ) -> Result<UnixTime, OperatorError> {
        if self
            .inner
            .store
            .session(session)
            .await?
            .is_some_and(|session| session.is_doubted(&self.inner.clock.moment()))
        {
            return Err(OperatorError::Clock(self.clock().mend().unwrap_or_default()));
        }
        let (settings, now) = (&self.inner.setup.settings, self.inner.clock.unix());
        let (ttl, longest) = (span(settings.session_ttl), span(settings.session_longest));
        // A session that prolongs itself is bounded by the configuration, not by itself.
        let by = authority.maker()?.session().filter(|by| *by != session);
        let mut ends = None;
        if by.is_some() {
            let found = self.inner.store.session(session).await?;
            let found =
                found.ok_or_else(|| OperatorError::NoSuchSession(hex(session.as_bytes())))?;
            // Prolonging such a session prolongs its right to approve, which the authority must
            // have, too.
            if settings.may_approve(found.profile.as_str()) {
                authority.approve_unbounded()?;
            }
            let permissions = settings.permissions_of(found.profile.as_str());
            ends = Some(authority.mint(&permissions.scopes(), Until::AtMost(now.after(ttl)))?);
        }
        let how = Prolonging { ttl, longest, ends, by };
        let refreshed = self.store().prolong_session(session, how, now).await?;
        match refreshed {
            Some(Ok(until)) => {
                self.inner.telemetry.sessions(SessionEvent::Refreshed, 1);
                Ok(until)
            }
            Some(Err(_)) | None => Err(OperatorError::NoSuchSession(hex(session.as_bytes()))),
        }
    }
}

const fn span(duration: Duration) -> Span {
    Span::from_secs(duration.as_secs())
}
