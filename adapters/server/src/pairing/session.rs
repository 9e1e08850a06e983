//! The effects of a native connection that pairs: preparing and settling a request.

use std::time::Duration;

use handfast_core::flow::native::settle::{
    Denial, PairedState, Plan, PolicyVerdict, ProofTerms, Proven, SettleRequest, Settlement,
    not_entered, offered_again, pair, plan, settle,
};
use handfast_core::grant::capability::Holder;
use handfast_core::grant::scope::AskedScopesBuf;
use handfast_core::limits::REASON_BYTES;
use handfast_core::registry::admission::{PendingRequest, RequestKey};
use handfast_core::registry::authority::{Authority, Maker, Wider};
use handfast_core::registry::ceiling::Ceiling;
use handfast_core::registry::codes::{CodeId, Kind};
use handfast_core::registry::grants::GrantId;
use handfast_core::registry::record::{Cause, Mode, Record, Standing};
use handfast_core::registry::rejection::Rejection;
use handfast_core::wire::registration::{PairRequest, Profile};
use handfast_core::{NodeId, Source, Span, UnixTime};
use handfast_store::{SaveError, StoreError, Stored};

use super::grants::{FreshGrant, offer_with};
use super::signing_key::SigningKeyNews;
use crate::entropy;
use crate::events::Event;
use crate::gateway::own_keys::KeysNow;
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
    pub(crate) fresh: FreshGrant,
    pub(crate) ceiling: Ceiling,
}

impl Gateway {
    /// Returns this gateway's keys as they are now.
    pub(crate) fn keys(&self) -> KeysNow {
        self.inner.pairing.keys.now()
    }

    /// Decides the next stage of a request, and prepares what that stage needs.
    pub(crate) async fn prepare(&self, request: &OwnedRequest) -> OwnedPrepared {
        let prepared = async {
            let known = self.known_key(&request.key).await?;
            Ok::<_, StoreError>(match plan(known.standing(), request.method) {
                Plan::RefuseRevoked => OwnedPrepared::Refused(OwnedRefusal::Revoked),
                Plan::Settle => OwnedPrepared::Settle,
                Plan::ShowPin => self.show_pin(request).await?,
                Plan::FindCode(selector) => self.find_code(selector).await?,
                Plan::AwaitSetup => OwnedPrepared::Setup,
            })
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
            // Only a panic or the end of the runtime breaks the task off.
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
        // The handler is asked once at most, however often the record changes.
        let mut decided = None;
        let mut conflicts = 0;
        while conflicts < MOST_CONFLICTS {
            let known = self.known_key(&request.key).await?;
            let (stored, standing) = (&known.stored, known.standing());
            // The maker may end while the handler decides, so its rights are read in each try.
            let authority = self.authority_of(maker).await?;
            let asked = SettleRequest {
                standing,
                rejection: self.rejection_of(request, standing).await?,
                method: request.method,
                proof: match (&shown, &authority) {
                    (None, _) => Proven::Key,
                    (Some(_), Some(_)) => Proven::Code,
                    // The code has ended with the session that made it.
                    (Some(_), None) => Proven::Void,
                },
            };
            let policy = decided.as_ref().map_or(PolicyVerdict::NotAsked, PairingDecision::policy);
            let mut settlement = settle(&asked, policy, inner.clock.unix());
            if matches!(settlement, Settlement::AskPolicy) {
                let handler = &inner.pairing.handler;
                let said = handler::ask(handler, request, shown.as_ref()).await;
                // What was read stays good enough meanwhile: the write finds out if it has changed.
                settlement = settle(&asked, said.policy(), inner.clock.unix());
                decided = Some(said);
            }
            let settled = match (settlement, &authority) {
                // With the handler's decision nobody is asked again.
                (Settlement::AskPolicy, _) => None,
                (Settlement::Refuse(denial), _) => {
                    let word = self.word_with(denial, request, stored.as_ref(), decided.as_ref());
                    return Ok(OwnedVerdict::Refused(OwnedRefusal::of(denial, word)));
                }
                (Settlement::OfferAgain, _) => {
                    self.note_asks_more(request, stored.as_ref()).await;
                    match self.with_signing_key(request, stored.as_ref()).await? {
                        SigningKeyNews::Nothing => return self.once_more(stored.as_ref()).await,
                        SigningKeyNews::Offered(verdict) => Some(*verdict),
                        SigningKeyNews::Conflict => None,
                    }
                }
                (Settlement::AskOperator, _) => {
                    let (terms, _) = terms_of(decided.as_ref());
                    let stored = stored.as_ref();
                    self.policy_or_operator(request, stored, terms, shown.as_ref()).await?
                }
                (Settlement::Pair, Some(authority)) => {
                    let (terms, mode) = terms_of(decided.as_ref());
                    let stored = stored.as_ref();
                    match self.approve_request(authority, request, stored, &terms, mode).await? {
                        Ok(verdict) => verdict,
                        // If the code's maker may not grant so much, the operator decides.
                        Err(wider) => {
                            let (from, name) =
                                (CausedBy::Source(Source::of(request.address)), &request.name);
                            limited!(warn, from, { ?name, %wider, } "a code brings more than its maker may give by now; the operator is asked");
                            decided = Some(PairingDecision::Propose(terms));
                            continue;
                        }
                    }
                }
                (Settlement::Pair, None) => Some(OwnedVerdict::Refused(OwnedRefusal::Expired)),
            };
            match settled {
                Some(verdict) => return Ok(verdict),
                // The record has changed meanwhile, so everything is read and decided anew.
                None => conflicts += 1,
            }
        }
        Ok(OwnedVerdict::Refused(OwnedRefusal::BUSY))
    }

    /// Stores what a paired node asks for beyond what it has, until the operator decides about its
    /// permissions. It gets what it has meanwhile.
    async fn note_asks_more(&self, request: &OwnedRequest, stored: Option<&Stored>) {
        let Some(Stored { record, ceiling: Some(ceiling), .. }) = stored else { return };
        // What it asked for when it was approved was decided then.
        let more = match request.wants == record.asked.permissions {
            true => AskedScopesBuf::EMPTY,
            false => request.wants.beyond(&ceiling.scopes.scopes()),
        };
        let node_id = record.node_id;
        let asks = !more.is_empty();
        match self.inner.store.set_asks_more(node_id, more).await {
            Ok(true) if asks => self.event(Event::Asked {
                node_id,
                name: request.name.to_string(),
                room: request.room.to_string(),
                address: request.address,
            }),
            Ok(_) => {}
            // The node asks again, and has what it has until then.
            Err(error) => {
                limited!(warn, CausedBy::Node(node_id), { %node_id, %error, } "that a node asks for more could not be written");
            }
        }
    }

    /// Returns the last rejection of a key whose request was rejected.
    async fn rejection_of(
        &self,
        request: &OwnedRequest,
        standing: Option<&Standing>,
    ) -> Result<Option<Rejection>, StoreError> {
        match standing {
            Some(Standing::Revoked { cause: Cause::Rejected }) => {
                self.inner.store.rejection(RequestKey::of_key(&request.key)).await
            }
            Some(_) | None => Ok(None),
        }
    }

    /// Returns the message that goes with a refusal: the operator's or the policy's.
    fn word_with(
        &self,
        denial: Denial,
        request: &OwnedRequest,
        stored: Option<&Stored>,
        decided: Option<&PairingDecision>,
    ) -> Option<String> {
        match denial {
            Denial::Rejected(_) => {
                stored.and_then(|stored| self.inner.pairing.noted(stored.record.node_id).word)
            }
            Denial::ByPolicy => {
                let (from, name, address) =
                    (CausedBy::Source(Source::of(request.address)), &request.name, request.address);
                limited!(info, from, { ?name, %address, } "the pairing handler turned a request down");
                match decided {
                    Some(PairingDecision::Reject { reason }) => reason.clone(),
                    Some(
                        PairingDecision::Approve { .. }
                        | PairingDecision::Ask
                        | PairingDecision::Propose(_),
                    )
                    | None => None,
                }
            }
            Denial::Revoked | Denial::Expired | Denial::Spent | Denial::Later => None,
        }
    }

    /// Returns what a handler may know of a proven code, and the code's maker.
    async fn shown(&self, id: CodeId) -> Result<(VerifiedCode, Maker), StoreError> {
        let gone = || StoreError::Database("the code that was just proven is gone".to_owned());
        let code = self.inner.store.code(id).await?.ok_or_else(gone)?;
        let permissions = match code.counted.kind {
            Kind::Pin(_) | Kind::Provisioning => None,
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
        let grant = match offered_again(&grants, &self.inner.clock.moment()) {
            Ok(grant) => grant,
            Err(denial) => return Ok(OwnedVerdict::Refused(OwnedRefusal::of(denial, None))),
        };
        let word = self.inner.pairing.noted(record.node_id).word;
        Ok(match self.offer_of(record, grant, word) {
            Some(offer) => OwnedVerdict::Offered(offer),
            // A token that comes out differently was made for other keys, so the node pairs again.
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
        let usual = self.inner.pairing.settings.token_expiry;
        let made = match self.to_be_paired(authority, request, stored, terms, usual, mode) {
            Ok(Some(made)) => made,
            Ok(None) => return Ok(Ok(Some(OwnedVerdict::Refused(OwnedRefusal::BUSY)))),
            Err(wider) => return Ok(Err(wider)),
        };
        if let Some(stored) = stored {
            // The certificates of an earlier pairing end before the new one begins.
            self.pairs_anew(&stored.record).await?;
        }
        let message = terms.message.clone();
        // A known node may have numbers already, so only a new one gets its certificate here.
        let stored = match (stored, self.first_certificate(request, &made)) {
            (None, Some(first)) => self.enter_certified(request, &made, first).await,
            (stored, _) => self.offer_made(request, &made, stored).await,
        };
        match stored {
            Ok(()) => Ok(Ok(Some(self.paired_now(made, message)))),
            Err(SaveError::Conflict | SaveError::Missing) => Ok(Ok(None)),
            Err(SaveError::Store(error)) => Err(error),
        }
    }

    /// Stores the pairing without a certificate.
    pub(super) async fn offer_made(
        &self,
        request: &OwnedRequest,
        made: &ToBePaired,
        stored: Option<&Stored>,
    ) -> Result<(), SaveError> {
        let ToBePaired { record, fresh, ceiling } = made.clone();
        let (read_at, profile) = (stored.map(|stored| stored.version), request.profile.clone());
        let (store, now) = (self.store(), self.inner.clock.unix());
        store.offer(record, profile, read_at, fresh.grant, Some(ceiling), now).await.map(drop)
    }

    /// Prepares the writes that pair a node. A grant without a named life lives for `usual` and is
    /// renewed. Returns `None` if no capability token can be issued with the terms.
    ///
    /// # Errors
    /// [`Wider`] if the terms exceed the rights.
    pub(crate) fn to_be_paired(
        &self,
        authority: &Authority,
        request: &OwnedRequest,
        stored: Option<&Stored>,
        terms: &ApprovalTerms,
        usual: Duration,
        mode: Mode,
    ) -> Result<Option<ToBePaired>, Box<Wider>> {
        let (now, bounds) = (self.inner.clock.unix(), &self.inner.pairing.settings.bounds);
        let node_id =
            stored.map_or_else(|| NodeId::new(&entropy::draw()), |stored| stored.record.node_id);
        let scopes = terms.permissions.clone().unwrap_or_default();
        let brings = ProofTerms {
            scopes: &scopes,
            asked: &request.wants,
            lives: terms.expires.map(grant_life),
            usual: grant_life(usual),
            longest: bounds.grant_for,
            mode,
        };
        if let Err(exceeded) = bounds.check_grant(brings.lives.unwrap_or(brings.usual)) {
            tracing::warn!(%node_id, ?exceeded, "a grant is to live longer than any may; it lives as long as it may");
        }
        let PairedState { standing, ceiling, maker, ends } = pair(
            stored.map(|stored| &stored.record.standing),
            stored.and_then(|stored| stored.ceiling.as_deref()),
            &brings,
            authority,
            now,
        )?;
        let keys = Holder { channel: request.key, signing: request.signing };
        let record = Record {
            node_id,
            name: request.name.clone(),
            room: request.room.clone(),
            address: request.address.to_canonical(),
            keys: Some(keys),
            asked_at: stored.map_or(now, |stored| stored.record.asked_at),
            asked: request.asked(),
            standing,
        };
        Ok(match self.fresh_grant(node_id, &keys, ceiling.scopes.clone(), (ends, maker), now) {
            Ok(fresh) => Some(ToBePaired { record, fresh, ceiling }),
            Err(error) => {
                tracing::error!(%node_id, ?error, "no capability can be issued with what was decided");
                None
            }
        })
    }

    /// Emits the events of a pairing that is stored, and returns the offer of the grant.
    pub(crate) fn paired_now(&self, made: ToBePaired, message: Option<String>) -> OwnedVerdict {
        let ToBePaired { record, fresh: FreshGrant { grant, chain }, .. } = made;
        self.is_paired(&record, grant.id);
        OwnedVerdict::Offered(offer_with(&record, &grant, chain, message))
    }

    /// Emits the events of a pairing that is stored.
    pub(crate) fn is_paired(&self, record: &Record, grant: GrantId) {
        // A link of an earlier pairing may allow more than the new one does.
        self.bounded(record);
        self.event(Event::Paired(record.node_id));
        self.event(Event::GrantOffered { node_id: record.node_id, grant });
    }

    /// Passes the request to the operator. Returns `None` if the record changed meanwhile.
    pub(super) async fn ask_operator(
        &self,
        request: &OwnedRequest,
        terms: ApprovalTerms,
        shown: Option<&VerifiedCode>,
    ) -> Result<Option<OwnedVerdict>, StoreError> {
        let inner = &self.inner;
        let now = inner.clock.unix();
        // The profile was parsed as JSON before it came here.
        let asked = PairRequest {
            name: request.name.label(),
            room: request.room.label(),
            profile: Profile::EMPTY,
        };
        let asking =
            PendingRequest::new(&asked, request.address, now, &inner.limits, &entropy::draw())
                .with_keys(
                    Holder { channel: request.key, signing: request.signing },
                    request.asked(),
                )
                .made_by(request.number);
        let node_id = match self.admit(asking, request.profile.clone()).await? {
            Ok(node_id) => node_id,
            Err(refusal) => {
                return Ok(not_entered(refusal).map(|denial| {
                    self.event(Event::AskRefused { address: request.address, refusal });
                    OwnedVerdict::Refused(OwnedRefusal::of(denial, None))
                }));
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
            // The terms are noted before anybody is asked, so that the operator decides with them.
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

/// Returns the terms and the mode of a decision that does not reject.
fn terms_of(decided: Option<&PairingDecision>) -> (ApprovalTerms, Mode) {
    match decided {
        Some(PairingDecision::Approve { permissions, expires_in, mode, message }) => {
            let terms = ApprovalTerms {
                permissions: Some(permissions.clone()),
                expires: *expires_in,
                message: message.clone(),
            };
            (terms, *mode)
        }
        Some(PairingDecision::Propose(terms)) => (terms.clone(), Mode::Full),
        Some(PairingDecision::Ask | PairingDecision::Reject { .. }) | None => {
            (ApprovalTerms::default(), Mode::Full)
        }
    }
}

impl OwnedRefusal {
    /// Creates the refusal of a request, with the message that goes with it. A rejected node is
    /// also told when it may ask again.
    pub(crate) fn of(denial: Denial, word: Option<String>) -> Self {
        match denial {
            Denial::Rejected(wait) => {
                let when = format!("ask again in {} s", wait.as_millis().div_ceil(1000));
                // A message that leaves no room for the time is sent alone.
                let both = word
                    .as_ref()
                    .map(|word| format!("{word}; {when}"))
                    .filter(|both| both.len() <= REASON_BYTES);
                Self::Denied { reason: both.or(word).or(Some(when)) }
            }
            Denial::ByPolicy => Self::Denied { reason: word },
            Denial::Revoked => Self::Revoked,
            Denial::Expired => Self::Expired,
            Denial::Spent => Self::Spent,
            Denial::Later => Self::BUSY,
        }
    }
}

/// Returns the life of a grant: whole seconds, and at least one.
pub(super) fn grant_life(lives: Duration) -> Span {
    Span::from_secs(lives.as_secs().max(1))
}

/// Returns the seconds until a time, as messages carry them.
pub(super) fn seconds_until(then: UnixTime, now: UnixTime) -> u32 {
    u32::try_from(then.as_secs().saturating_sub(now.as_secs())).unwrap_or(u32::MAX)
}
