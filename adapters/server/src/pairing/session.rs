//! The effects of a native connection that pairs: preparing and settling a request.

use std::time::Duration;

use handfast_core::crypto::keys::OwnKeys;
use handfast_core::error::Refusal;
use handfast_core::flow::native::gateway::{Plan, plan};
use handfast_core::grant::capability::Holder;
use handfast_core::id::{NodeId, Source};
use handfast_core::limits::REASON_BYTES;
use handfast_core::registry::admission::{PendingRequest, RequestKey};
use handfast_core::registry::authority::{Authority, Maker, Until, Wider};
use handfast_core::registry::ceiling::{Ceiling, paired_anew};
use handfast_core::registry::codes::{CodeId, Kind};
use handfast_core::registry::grants::{Grant, offer_again};
use handfast_core::registry::record::{Cause, Credential, Mode, Record, Standing};
use handfast_core::time::{Span, UnixTime};
use handfast_core::wire::native::pair;
use handfast_core::wire::registration::{PairRequest, Profile};
use handfast_store::{SaveError, StoreError, Stored};

use crate::entropy;
use crate::events::Event;
use crate::gateway::{Gateway, MOST_CONFLICTS};
use crate::policy::handler;
use crate::policy::handler::{PairingDecision, VerifiedCode};
use crate::policy::request::{OwnedPrepared, OwnedRefusal, OwnedRequest, OwnedVerdict};
use crate::policy::rules::ApprovalTerms;
use crate::telemetry::log_lines::{CausedBy, limited};

/// The writes that pair a node.
#[derive(Clone, Debug)]
pub(crate) struct ToBePaired {
    pub(crate) record: Record,
    pub(crate) grant: Grant,
    pub(crate) ceiling: Ceiling,
}

impl Gateway {
    /// Returns this gateway's keys.
    pub(crate) fn keys(&self) -> &OwnKeys {
        &self.inner.pairing.keys
    }

    /// Decides the next stage of a request, and prepares what that stage needs.
    pub(crate) async fn prepare(&self, request: &OwnedRequest) -> OwnedPrepared {
        let prepared = async {
            let stored = self.inner.store.by_key(&request.key).await?;
            Ok::<_, StoreError>(
                match plan(stored.as_ref().map(|stored| &stored.record.standing), request.method) {
                    Plan::RefuseRevoked => OwnedPrepared::Refused(OwnedRefusal::Revoked),
                    Plan::OfferAgain | Plan::Settle => OwnedPrepared::Settle,
                    Plan::ShowPin => self.show_pin(request).await?,
                    Plan::FindCode(selector) => self.find_code(selector).await?,
                    Plan::AwaitSetup => OwnedPrepared::Setup,
                },
            )
        };
        prepared.await.unwrap_or_else(|error| {
            limited!(error, CausedBy::Any, { %error, } "a pairing request could not be prepared");
            OwnedPrepared::Refused(OwnedRefusal::CANNOT_STORE)
        })
    }

    /// Decides about a request, or passes it to the operator. If it came with a code, that code was
    /// proven and is spent.
    ///
    /// It runs to completion even if the connection is lost: an approved node is paired, and gets
    /// its grant when it asks again.
    pub(crate) async fn settle(
        &self,
        request: &OwnedRequest,
        code: Option<CodeId>,
    ) -> OwnedVerdict {
        let (gateway, request) = (self.clone(), request.clone());
        // A task of its own goes on when the connection is dropped.
        let settled = tokio::spawn(async move { gateway.settle_now(&request, code).await });
        match settled.await {
            Ok(Ok(verdict)) => verdict,
            Ok(Err(error)) => {
                limited!(error, CausedBy::Any, { %error, } "a pairing request could not be settled");
                OwnedVerdict::Refused(OwnedRefusal::CANNOT_STORE)
            }
            Err(_) => OwnedVerdict::Refused(OwnedRefusal::BUSY),
        }
    }

    async fn settle_now(
        &self,
        request: &OwnedRequest,
        code: Option<CodeId>,
    ) -> Result<OwnedVerdict, StoreError> {
        let inner = &self.inner;
        let (shown, maker) = match code {
            Some(id) => self.shown(id).await.map(|(shown, maker)| (Some(shown), maker))?,
            None => (None, Maker::Operator),
        };
        let mut decided = None;
        for _ in 0..MOST_CONFLICTS {
            let stored = inner.store.by_key(&request.key).await?;
            match stored.as_ref().map(|stored| (&stored.record.standing, &shown)) {
                Some((Standing::Revoked { cause: Cause::Unpaired | Cause::Barred }, _)) => {
                    return Ok(OwnedVerdict::Refused(OwnedRefusal::Revoked));
                }
                // A rejected node may ask again later; a code that was just proven is an approval.
                Some((Standing::Revoked { cause: Cause::Rejected }, None)) => {
                    let node_id = stored.as_ref().map(|stored| stored.record.node_id);
                    let rejection = inner.store.rejection(RequestKey::of_key(&request.key)).await?;
                    if let Some(Err(refusal)) =
                        rejection.map(|rejection| rejection.admits(inner.clock.unix()))
                    {
                        let word = node_id.and_then(|node_id| inner.pairing.noted(node_id).word);
                        return Ok(OwnedVerdict::Refused(turned_down(word, refusal)));
                    }
                    if has_code(request) {
                        return Ok(OwnedVerdict::Refused(OwnedRefusal::Expired));
                    }
                }
                Some((Standing::Paired { .. } | Standing::Muted { .. }, None)) => {
                    return self.once_more(stored.as_ref()).await;
                }
                // The node has shown its code before and waits, or its waiting entry is gone.
                Some((Standing::Pending { .. } | Standing::Unapproved { .. }, None))
                    if has_code(request) =>
                {
                    decided = Some(PairingDecision::Ask);
                }
                None if shown.is_none() && has_code(request) => {
                    return Ok(OwnedVerdict::Refused(OwnedRefusal::Expired));
                }
                Some(_) | None => {}
            }
            let decision = match &decided {
                Some(decision) => decision.clone(),
                None => decided
                    .insert(handler::ask(&inner.pairing.handler, request, shown.as_ref()).await)
                    .clone(),
            };
            let Some(authority) = self.authority_of(maker).await? else {
                // The code has ended with the session that made it.
                return Ok(OwnedVerdict::Refused(OwnedRefusal::Expired));
            };
            let settled = match decision {
                PairingDecision::Approve { permissions, expires_in, mode, message } => {
                    let terms = ApprovalTerms {
                        permissions: Some(permissions),
                        expires: expires_in,
                        message,
                    };
                    match self
                        .approve_request(&authority, request, stored.as_ref(), &terms, mode)
                        .await?
                    {
                        Ok(verdict) => verdict,
                        // If the code's maker may not grant so much, the operator decides.
                        Err(wider) => {
                            let (from, name) =
                                (CausedBy::Source(Source::of(request.address)), &request.name);
                            limited!(warn, from, { ?name, %wider, } "a code brings more than its maker may give by now; the operator is asked");
                            self.ask_operator(request, stored.as_ref(), terms, shown.as_ref())
                                .await?
                        }
                    }
                }
                PairingDecision::Reject { reason } => {
                    let (from, name, address) = (
                        CausedBy::Source(Source::of(request.address)),
                        &request.name,
                        request.address,
                    );
                    limited!(info, from, { ?name, %address, } "the pairing handler turned a request down");
                    Some(OwnedVerdict::Refused(OwnedRefusal::Denied { reason }))
                }
                PairingDecision::Ask => {
                    self.ask_operator(
                        request,
                        stored.as_ref(),
                        ApprovalTerms::default(),
                        shown.as_ref(),
                    )
                    .await?
                }
                PairingDecision::Propose(terms) => {
                    self.ask_operator(request, stored.as_ref(), terms, shown.as_ref()).await?
                }
            };
            if let Some(verdict) = settled {
                return Ok(verdict);
            }
        }
        Ok(OwnedVerdict::Refused(OwnedRefusal::BUSY))
    }

    /// Returns what a handler may know of a proven code, and the code's maker.
    async fn shown(&self, id: CodeId) -> Result<(VerifiedCode, Maker), StoreError> {
        let gone = || StoreError::Database("the code that was just proven is gone".to_owned());
        let code = self.inner.store.code(id).await?.ok_or_else(gone)?;
        let permissions = match code.counted.kind {
            Kind::Pin(_) => None,
            Kind::Code(_) => Some(code.scopes),
        };
        let expires_in = code.grant_for.map(std::time::Duration::from_secs);
        Ok((VerifiedCode { label: code.label, permissions, expires_in }, code.maker))
    }

    /// Offers a paired node its newest grant that is not over.
    pub(crate) async fn once_more(
        &self,
        stored: Option<&Stored>,
    ) -> Result<OwnedVerdict, StoreError> {
        let Some(Stored { record, .. }) = stored else {
            return Ok(OwnedVerdict::Refused(OwnedRefusal::Expired));
        };
        let grants = self.inner.store.grants(record.node_id).await?;
        if self.doubts(&grants) {
            return Ok(OwnedVerdict::Refused(OwnedRefusal::BUSY));
        }
        let word = self.inner.pairing.noted(record.node_id).word;
        let offer = offer_again(&grants, self.inner.clock.unix())
            .and_then(|grant| self.offer_of(record, grant, word));
        Ok(match offer {
            Some(offer) => OwnedVerdict::Offered(offer),
            None => OwnedVerdict::Refused(OwnedRefusal::Expired),
        })
    }

    /// Pairs the node and offers it its grant, in one step, by the rights of the maker of its
    /// proof. Returns `None` if the record changed meanwhile. The inner error means that the grant
    /// exceeds these rights.
    async fn approve_request(
        &self,
        authority: &Authority,
        request: &OwnedRequest,
        stored: Option<&Stored>,
        terms: &ApprovalTerms,
        mode: Mode,
    ) -> Result<Result<Option<OwnedVerdict>, Box<Wider>>, StoreError> {
        let made = match self.to_be_paired(authority, request, stored, terms, None, mode) {
            Ok(Some(made)) => made,
            Ok(None) => return Ok(Ok(Some(OwnedVerdict::Refused(OwnedRefusal::BUSY)))),
            Err(wider) => return Ok(Err(wider)),
        };
        let (read_at, ToBePaired { record, grant, ceiling }) =
            (stored.map(|stored| stored.version), made.clone());
        let (profile, now) = (request.profile.clone(), self.inner.clock.unix());
        match self.inner.store.offer(record, profile, read_at, grant, Some(ceiling), now).await {
            Ok(_) => Ok(Ok(Some(self.paired_now(&made, terms.message.clone())))),
            Err(SaveError::Conflict | SaveError::Missing) => Ok(Ok(None)),
            Err(SaveError::Store(error)) => Err(error),
        }
    }

    /// Prepares the writes that pair a node. If the terms have no end, the grants have the default
    /// life and are renewed. Returns `None` if no capability token can be issued with the terms.
    ///
    /// # Errors
    /// [`Wider`] if the terms exceed the rights.
    pub(crate) fn to_be_paired(
        &self,
        authority: &Authority,
        request: &OwnedRequest,
        stored: Option<&Stored>,
        terms: &ApprovalTerms,
        lives: Option<Duration>,
        mode: Mode,
    ) -> Result<Option<ToBePaired>, Box<Wider>> {
        let now = self.inner.clock.unix();
        let keys = Holder { channel: request.key, signing: request.signing };
        let credential = Credential::Keys;
        let standing = match stored.map(|stored| &stored.record.standing) {
            // The operator's decisions about the node stay: pairing again ends neither muting nor a
            // mode.
            Some(Standing::Muted { restore, .. }) => {
                Standing::Muted { credential, restore: *restore }
            }
            Some(Standing::Paired { mode, .. }) => Standing::Paired { credential, mode: *mode },
            Some(
                Standing::Pending { .. } | Standing::Unapproved { .. } | Standing::Revoked { .. },
            )
            | None => Standing::Paired { credential, mode },
        };
        let record = Record {
            node_id: stored
                .map_or_else(|| NodeId::new(&entropy::draw()), |stored| stored.record.node_id),
            name: request.name.clone(),
            room: request.room.clone(),
            address: request.address.to_canonical(),
            keys: Some(keys),
            asked_at: stored.map_or(now, |stored| stored.record.asked_at),
            standing,
        };
        let node_id = record.node_id;
        let settings = &self.inner.pairing.settings;
        let lives = terms.expires.or(lives).unwrap_or(settings.token_expiry);
        let lives = Span::from_secs(lives.as_secs().max(1));
        if let Err(exceeded) = settings.bounds.check_grant(lives) {
            tracing::warn!(%node_id, ?exceeded, "a grant is to live longer than any may; it lives as long as it may");
        }
        let until = now.after(lives.min(settings.bounds.grant_for));
        let maker = authority.maker()?;
        let (scopes, said) =
            (terms.permissions.clone().unwrap_or_default(), terms.expires.is_some());
        let brings = Ceiling { scopes, expires: said.then_some(until), named: false, maker };
        let mut ceiling =
            paired_anew(stored.and_then(|stored| stored.ceiling.as_deref()), brings, now);
        let until = ceiling.expires.map_or(until, |ends_by| ends_by.min(until));
        let ends = authority.mint(&ceiling.scopes.scopes(), Until::AtMost(until))?;
        if authority.is_delegated() && !ceiling.named {
            ceiling.expires = Some(ends);
        }
        Ok(match self.fresh_grant(node_id, &keys, ceiling.scopes.clone(), (ends, maker), now) {
            Ok(grant) => Some(ToBePaired { record, grant, ceiling }),
            Err(error) => {
                tracing::error!(%node_id, ?error, "no capability can be issued with what was decided");
                None
            }
        })
    }

    /// Emits the event of a pairing that is stored, and returns the offer of the grant.
    pub(crate) fn paired_now(&self, made: &ToBePaired, message: Option<String>) -> OwnedVerdict {
        let ToBePaired { record, grant, .. } = made;
        self.bounded(record);
        self.event(Event::Paired(record.node_id));
        self.event(Event::GrantOffered { node_id: record.node_id, grant: grant.id });
        match self.offer_of(record, grant, message) {
            Some(offer) => OwnedVerdict::Offered(offer),
            None => OwnedVerdict::Refused(OwnedRefusal::BUSY),
        }
    }

    /// Passes the request to the operator. Returns `None` if the record changed meanwhile.
    async fn ask_operator(
        &self,
        request: &OwnedRequest,
        stored: Option<&Stored>,
        terms: ApprovalTerms,
        shown: Option<&VerifiedCode>,
    ) -> Result<Option<OwnedVerdict>, StoreError> {
        let inner = &self.inner;
        if matches!(
            stored.map(|s| &s.record.standing),
            Some(Standing::Paired { .. } | Standing::Muted { .. })
        ) {
            // The operator has approved this key before, and can renew a grant that has expired.
            return self.once_more(stored).await.map(Some);
        }
        let now = inner.clock.unix();
        // The profile was parsed as JSON before it came here.
        let asked = PairRequest {
            name: request.name.label(),
            room: request.room.label(),
            profile: Profile::EMPTY,
        };
        let asking =
            PendingRequest::new(&asked, request.address, now, &inner.limits, &entropy::draw())
                .with_keys(Holder { channel: request.key, signing: request.signing })
                .made_by(request.number);
        let node_id = match self.admit(asking, request.profile.clone()).await? {
            Ok(node_id) => node_id,
            Err(Refusal::AlreadyPaired | Refusal::Revoked) => return Ok(None),
            Err(refusal @ (Refusal::Rejected { .. } | Refusal::Barred)) => {
                self.event(Event::AskRefused { address: request.address, refusal });
                return Ok(Some(OwnedVerdict::Refused(turned_down(None, refusal))));
            }
            Err(refusal) => {
                self.event(Event::AskRefused { address: request.address, refusal });
                return Ok(Some(OwnedVerdict::Refused(OwnedRefusal::BUSY)));
            }
        };
        let entered = inner.store.load(node_id).await?;
        let Some(Standing::Pending { expires }) = entered.map(|stored| stored.record.standing)
        else {
            return Ok(None);
        };
        let proposed = ApprovalTerms {
            permissions: terms.permissions.or_else(|| shown?.permissions.clone()),
            expires: terms.expires.or_else(|| shown?.expires_in),
            message: terms.message,
        };
        if proposed != ApprovalTerms::default() {
            inner.pairing.note(node_id, |note| note.proposed = proposed);
        }
        self.event(Event::Asked {
            node_id,
            name: request.name.to_string(),
            room: request.room.to_string(),
            address: request.address,
        });
        Ok(Some(OwnedVerdict::Waits { node_id, expires_in: seconds_until(expires, now) }))
    }
}

/// Returns the refusal of a rejected node: the operator's message, and the time until it may ask
/// again.
fn turned_down(word: Option<String>, refusal: Refusal) -> OwnedRefusal {
    match refusal {
        Refusal::Rejected { wait } => {
            let when = format!("ask again in {} s", wait.as_millis().div_ceil(1000));
            // A message that leaves no room for the time is sent alone.
            let both = word
                .as_ref()
                .map(|word| format!("{word}; {when}"))
                .filter(|both| both.len() <= REASON_BYTES);
            OwnedRefusal::Denied { reason: both.or(word).or(Some(when)) }
        }
        _ => OwnedRefusal::Revoked,
    }
}

const fn has_code(request: &OwnedRequest) -> bool {
    match request.method {
        pair::Method::Pin | pair::Method::Code { .. } => true,
        // A setup code is spent in the step that pairs, so it is never pending.
        pair::Method::Approval | pair::Method::Setup => false,
    }
}

/// Returns the seconds until a time, as messages carry them.
pub(super) fn seconds_until(then: UnixTime, now: UnixTime) -> u32 {
    u32::try_from(then.as_secs().saturating_sub(now.as_secs())).unwrap_or(u32::MAX)
}
