//! Settles requests by core's rules, and makes grants.

use handfast_core::crypto::keys::OwnKeys;
use handfast_core::flow::native::settle::{
    self, Denial, NamedTerms, OperatorApproval, PairedState, PolicyVerdict, ProofTerms, Proven,
    Settlement, approve, not_redeemed, offered_again, pair,
};
use handfast_core::grant::capability::{self, BlockTerms};
use handfast_core::grant::scope::{AskedScopesBuf, ScopesBuf};
use handfast_core::limits::{CAPABILITY_BYTES, OFFERED_FOR};
use handfast_core::link::dispatch::DispatchEvent;
use handfast_core::registry::authority::{Authority, Maker};
use handfast_core::registry::ceiling::Ceiling;
use handfast_core::registry::grants::{Grant, GrantId, State};
use handfast_core::registry::lifecycle::{self, Change, Decision};
use handfast_core::registry::record::{Asked, Cause, Mode, Record, Standing};
use handfast_core::registry::rejection::Rejection;
use handfast_core::registry::renewal::{Renewal, renewal};
use handfast_core::registry::sessions::redeem;
use handfast_core::registry::trusted_time::Moment;
use handfast_core::{Label, NodeId, Span, UnixTime};

use super::{Offered, Registry, Request, Settled, Shown};

/// The ids of a node and a grant that may have to be made.
type Ids = ([u8; 16], [u8; 16]);

impl Registry {
    /// Settles a request without a proof, or with a code. The policy: a code suffices, and without
    /// one the operator decides.
    pub fn settle(
        &mut self,
        request: &Request,
        proof: Proven,
        ids: Ids,
        own: &OwnKeys,
        moment: &Moment,
    ) -> Settled {
        let settled = match self.settlement(request, proof, PolicyVerdict::NotAsked, moment.now) {
            Settlement::AskPolicy => {
                let policy = match proof {
                    Proven::Code => PolicyVerdict::Approves,
                    Proven::Key | Proven::Setup | Proven::Void => PolicyVerdict::Asks,
                };
                self.settlement(request, proof, policy, moment.now)
            }
            settled => settled,
        };
        match settled {
            Settlement::Refuse(denial) => Settled::Refused(denial),
            Settlement::OfferAgain => self.once_more(request, own, moment),
            Settlement::Pair => self.paired(request, ids, own, moment.now),
            Settlement::AskOperator => self.waits(request, ids, moment.now),
            Settlement::AskPolicy => unreachable!("the policy was asked"),
        }
    }

    /// Settles a request with a setup code: the code is spent and its yield written in one step. A
    /// node that was paired by it and shows it again gets the same offer.
    pub fn settle_setup(
        &mut self,
        request: &Request,
        code: Shown,
        ids: Ids,
        own: &OwnKeys,
        moment: &Moment,
    ) -> Settled {
        let now = moment.now;
        let settled = match self.settlement(request, Proven::Setup, PolicyVerdict::NotAsked, now) {
            Settlement::Pair => {
                let spent = self.setup_spent.contains_key(&code.nonce);
                match redeem(code.expires_at, self.setup_mark, spent, now) {
                    Ok(()) => {
                        let settled = self.paired(request, ids, own, now);
                        self.setup_spent.insert(code.nonce, code.expires_at);
                        self.forget_setup(now);
                        return settled;
                    }
                    Err(reason) => not_redeemed(self.standing(request), reason),
                }
            }
            settled => settled,
        };
        match settled {
            Settlement::Refuse(denial) => Settled::Refused(denial),
            Settlement::OfferAgain => self.once_more(request, own, moment),
            Settlement::AskPolicy | Settlement::AskOperator | Settlement::Pair => {
                unreachable!("making the code was the approval")
            }
        }
    }

    fn standing(&self, request: &Request) -> Option<&Standing> {
        self.by_key(&request.holder.channel).map(|record| &record.standing)
    }

    fn settlement(
        &self,
        request: &Request,
        proof: Proven,
        policy: PolicyVerdict,
        now: UnixTime,
    ) -> Settlement {
        let asked = settle::SettleRequest {
            standing: self.standing(request),
            rejection: self.rejections.get(request.holder.channel.as_bytes()).copied(),
            method: request.method,
            proof,
        };
        settle::settle(&asked, policy, now)
    }

    fn once_more(&self, request: &Request, own: &OwnKeys, moment: &Moment) -> Settled {
        let Some(record) = self.by_key(&request.holder.channel) else {
            return Settled::Refused(Denial::Expired);
        };
        match offered_again(&self.grants_of(record.node_id), moment) {
            Ok(grant) => Settled::Offered(self.offered(grant, own)),
            Err(denial) => Settled::Refused(denial),
        }
    }

    fn paired(&mut self, request: &Request, ids: Ids, own: &OwnKeys, now: UnixTime) -> Settled {
        let node_id = self.id_for(request, ids);
        let key = request.holder.channel.as_bytes();
        let again = matches!(
            self.standing(request),
            Some(Standing::Paired { .. } | Standing::Muted { .. })
        );
        if let Some(counter) = self.clones.get_mut(key).filter(|_| again) {
            *counter = counter.paired_anew(now);
            self.paired_anew.push(*key);
        }
        let terms = ProofTerms {
            scopes: &self.scopes,
            asked: &AskedScopesBuf::EMPTY,
            lives: None,
            usual: self.usual(),
            longest: self.usual(),
            mode: Mode::Full,
        };
        let before = self.ceilings.get(&node_id);
        let paired = pair(self.standing(request), before, &terms, &Authority::OWNER, now);
        let Ok(PairedState { standing, ceiling, .. }) = paired else {
            return Settled::Refused(Denial::Later);
        };
        let new = record(node_id, request, standing.clone(), now);
        self.records.entry(node_id).or_insert(new).standing = standing;
        let grant = GrantId::from_bytes(ids.1);
        Settled::Offered(self.decided(node_id, ceiling, grant, own, now))
    }

    /// Enters a request among those that wait, unless it waits already.
    fn waits(&mut self, request: &Request, ids: Ids, now: UnixTime) -> Settled {
        let is_entered = self.standing(request).is_some_and(
            |standing| matches!(standing, Standing::Pending { expires } if now < *expires),
        );
        if !is_entered {
            let expires = now.after(Span::from_secs(600));
            let node_id = self.id_for(request, ids);
            self.records
                .insert(node_id, record(node_id, request, Standing::Pending { expires }, now));
        }
        Settled::Waits
    }

    fn id_for(&self, request: &Request, ids: Ids) -> NodeId {
        let known = self.by_key(&request.holder.channel);
        known.map_or_else(|| NodeId::from_bytes(ids.0), |record| record.node_id)
    }

    /// Returns the life of a grant for which nobody named one.
    fn usual(&self) -> Span {
        self.grant_for.unwrap_or(Span::from_secs(u64::MAX))
    }

    /// Forgets expired setup codes and raises the mark over them.
    fn forget_setup(&mut self, now: UnixTime) {
        let over = self.setup_spent.values().copied().filter(|end| *end <= now).max();
        self.setup_mark = self.setup_mark.max(over.unwrap_or(self.setup_mark));
        self.setup_spent.retain(|_, end| *end > now);
    }

    /// Sets a node's ceiling and makes a grant from it, in one step.
    pub fn decided(
        &mut self,
        node_id: NodeId,
        ceiling: Ceiling,
        id: GrantId,
        own: &OwnKeys,
        now: UnixTime,
    ) -> Offered {
        let (scopes, ends_by) = (ceiling.scopes.clone(), ceiling.expires);
        self.ceilings.insert(node_id, ceiling);
        self.grant(node_id, id, scopes, ends_by, own, now)
    }

    /// Renews a node's grant, or makes the one that it is owed.
    pub fn renew(
        &mut self,
        node_id: NodeId,
        id: GrantId,
        within: Span,
        own: &OwnKeys,
        now: UnixTime,
    ) -> Option<Offered> {
        let standing = &self.records.get(&node_id)?.standing;
        if !matches!(standing, Standing::Paired { .. } | Standing::Muted { .. }) {
            return None;
        }
        let grants = self.grants_of(node_id);
        let ceiling = self.ceilings.get(&node_id).cloned();
        match renewal(&grants, ceiling.as_ref(), within, now) {
            Renewal::Again(waits) => Some(self.offered(waits, own)),
            Renewal::Fresh(fresh) => {
                let (scopes, ends_by) = (fresh.scopes.clone(), fresh.ends_by);
                Some(self.grant(node_id, id, scopes, ends_by, own, now))
            }
            Renewal::TooOften | Renewal::Nothing => None,
        }
    }

    /// Makes a grant for a node, in place of unconfirmed ones.
    fn grant(
        &mut self,
        node_id: NodeId,
        id: GrantId,
        scopes: ScopesBuf,
        ends_by: Option<UnixTime>,
        own: &OwnKeys,
        now: UnixTime,
    ) -> Offered {
        for older in self.grants.iter_mut().filter(|grant| grant.node_id == node_id) {
            if matches!(older.state, State::Offered { .. }) {
                older.state = State::Ended;
            }
        }
        let ends = self.grant_for.map(|span| now.after(span));
        let mut grant = Grant {
            id,
            node_id,
            capability: None,
            scopes,
            not_before: now,
            expires: ends.into_iter().chain(ends_by).min(),
            moved: 0,
            state: State::Offered { until: now.after(OFFERED_FOR) },
            maker: Maker::Operator,
        };
        let mut room = [0; CAPABILITY_BYTES];
        grant.capability = self.issue(&grant, own, &mut room).map(|chain| *chain.leaf().id());
        self.grants.push(grant.clone());
        self.offered(&grant, own)
    }

    fn issue<'o>(
        &self,
        grant: &Grant,
        own: &OwnKeys,
        room: &'o mut [u8; CAPABILITY_BYTES],
    ) -> Option<capability::Chain<'o>> {
        let holder = self.records.get(&grant.node_id)?.keys?;
        let (not_before, expires) = grant.as_issued();
        let expires = expires?;
        let terms =
            BlockTerms { scopes: grant.scopes.scopes(), not_before, expires, audience: None };
        capability::issue(&own.signing, &holder, &terms, room).ok()
    }

    fn offered(&self, grant: &Grant, own: &OwnKeys) -> Offered {
        let mut room = [0; CAPABILITY_BYTES];
        let chain = self.issue(grant, own, &mut room).map(|chain| chain.as_bytes().to_vec());
        Offered { id: grant.id, node_id: grant.node_id, chain }
    }

    /// Activates a grant that the node has stored, and ends older ones. `None` if there is no such
    /// offer.
    pub fn activate(
        &mut self,
        node_id: NodeId,
        id: GrantId,
        now: UnixTime,
    ) -> Option<Option<UnixTime>> {
        let paired = matches!(
            self.records.get(&node_id)?.standing,
            Standing::Paired { .. } | Standing::Muted { .. }
        );
        let at = self.grants.iter().position(|grant| grant.id == id && grant.node_id == node_id)?;
        if !paired || !self.grants.get(at)?.counts(now) {
            return None;
        }
        for older in self.grants.iter_mut().take(at).filter(|grant| grant.node_id == node_id) {
            older.state = State::Ended;
        }
        let grant = self.grants.get_mut(at)?;
        grant.state = State::Active;
        Some(grant.expires)
    }

    /// Applies a decision about a node. `None` if it is not possible.
    pub fn decide(
        &mut self,
        node_id: NodeId,
        decision: Decision,
        new: GrantId,
        own: &OwnKeys,
        now: UnixTime,
    ) -> Option<Change> {
        let record = self.records.get_mut(&node_id)?;
        let approves = matches!(decision, Decision::Approve(_));
        let change = lifecycle::decide(&record.standing, decision, now).ok()?;
        record.standing = change.standing.clone();
        if let (Standing::Revoked { cause: Cause::Rejected }, Some(keys)) =
            (&record.standing, &record.keys)
        {
            let earlier = self.rejections.get(keys.channel.as_bytes()).copied();
            self.rejections.insert(*keys.channel.as_bytes(), Rejection::once_more(earlier, now));
        }
        if matches!(record.standing, Standing::Revoked { .. }) {
            for task in self.tasks.values_mut().filter(|task| task.node_id == node_id) {
                task.life = task.life.step(DispatchEvent::NodeRevoked).0;
            }
            self.grants
                .iter_mut()
                .filter(|grant| grant.node_id == node_id)
                .for_each(|grant| grant.state = State::Ended);
        }
        if approves {
            let approval = OperatorApproval {
                said: NamedTerms::default(),
                proposed: NamedTerms::default(),
                before: None,
                asked: &AskedScopesBuf::EMPTY,
                endless: false,
                named: false,
                usual_scopes: &self.scopes,
                usual: self.usual(),
            };
            let (ceiling, _) = approve(&approval, &Authority::OWNER, now).ok()?;
            let _ = self.decided(node_id, ceiling, new, own, now);
        }
        Some(change)
    }
}

fn record(node_id: NodeId, request: &Request, standing: Standing, now: UnixTime) -> Record {
    let label = |text| Label::parse(text).unwrap_or(handfast_core::Label::UNKNOWN);
    Record {
        node_id,
        name: label(&request.name).into(),
        room: label("Hall").into(),
        address: core::net::IpAddr::from([192, 0, 2, 1]),
        keys: Some(request.holder),
        asked_at: now,
        asked: Asked::by(request.method.into()),
        standing,
    }
}
