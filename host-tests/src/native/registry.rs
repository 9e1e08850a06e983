//! The gateway's registry with its transactions: a simple model in memory that uses core's rules.

use std::collections::BTreeMap;

use handfast_core::crypto::code::Code;
use handfast_core::crypto::keys::OwnKeys;
use handfast_core::crypto::x25519::PublicKey;
use handfast_core::grant::capability::{self, BlockTerms, Holder};
use handfast_core::grant::scope::ScopesBuf;
use handfast_core::id::{NodeId, Source};
use handfast_core::limits::{CAPABILITY_BYTES, OFFERED_FOR};
use handfast_core::registry::ceiling::{Ceiling, Renewal, paired_anew, renewal};
use handfast_core::registry::codes::{self, CodeId, Counted, Kind, NoGuess, PinRoom, Window};
use handfast_core::registry::grants::{self, Grant, GrantId, State};
use handfast_core::registry::lifecycle::{self, Change, Decision};
use handfast_core::registry::record::{Cause, Credential, Mode, Record, Standing};
use handfast_core::registry::rejection::Rejection;
use handfast_core::registry::sessions::Maker;
use handfast_core::registry::sessions::{NotRedeemed, redeem};
use handfast_core::text::Label;
use handfast_core::time::{Span, UnixTime};
use handfast_core::wire::native::pair::Selector;
use handfast_core::wire::setup::Nonce;

/// A code as it is stored.
#[derive(Clone, Debug)]
pub struct Kept {
    /// The code's kind, end and counters.
    pub counted: Counted,
    /// The secret; `None` once it is spent.
    pub secret: Option<String>,
    /// Time of the latest reserved guess.
    pub reserved_at: UnixTime,
    /// The source that asked for it.
    pub source: Option<Source>,
    /// Number of codes that were minted before it.
    pub minted: usize,
}

/// Maximum number of live PINs.
const MOST_PINS: usize = 64;

/// A request, as the gateway stores it from `Ask` on.
#[derive(Clone, Debug)]
pub struct Request {
    /// Public keys of the node.
    pub holder: Holder,
    /// The node's name for people.
    pub name: String,
}

/// An offer that is durable.
#[derive(Clone, Debug)]
pub struct Offered {
    /// Id of the grant.
    pub id: GrantId,
    /// Id of the node.
    pub node_id: NodeId,
    /// The capability token.
    pub chain: Option<Vec<u8>>,
}

/// The outcome of a request.
#[derive(Clone, Debug)]
pub enum Settled {
    /// The node is paired, and gets this offer.
    Offered(Offered),
    /// The operator has to decide.
    Waits,
    /// The earlier grant is no longer valid.
    Expired,
    /// The operator revoked the key.
    Revoked,
    /// The operator rejected the request; it may be repeated later.
    Denied,
    /// Another node has spent the setup code.
    Spent,
}

/// A setup code that was shown and verified.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Shown {
    /// Nonce of the code.
    pub nonce: Nonce,
    /// End of the code.
    pub expires_at: UnixTime,
}

/// All state that survives a power cut of the gateway.
#[derive(Clone, Debug, Default)]
pub struct Registry {
    /// The nodes by id.
    pub records: BTreeMap<NodeId, Record>,
    /// The grants, in the order in which they were made.
    pub grants: Vec<Grant>,
    /// Ceilings that the operator set.
    pub ceilings: BTreeMap<NodeId, Ceiling>,
    /// PINs and codes by id.
    pub codes: BTreeMap<CodeId, Kept>,
    /// Number of minted codes.
    pub minted: usize,
    /// Every secret that was ever minted, for the audit: a code that is replaced while a guess is
    /// being counted is no longer among the codes.
    pub secrets: BTreeMap<CodeId, String>,
    /// The pairing window.
    pub window: Window,
    /// Number of wrong PINs of each source in this window.
    pub guesses: BTreeMap<Source, u8>,
    /// Scopes of new grants.
    pub scopes: ScopesBuf,
    /// Lifetime of new grants.
    pub grant_for: Option<Span>,
    /// Spent setup codes with their ends.
    pub setup_spent: BTreeMap<Nonce, UnixTime>,
    /// Latest end of the forgotten setup codes.
    pub setup_mark: UnixTime,
    /// Rejections of requests by key.
    pub rejections: BTreeMap<[u8; 32], Rejection>,
}

impl Registry {
    /// Returns the record with this static key.
    #[must_use]
    pub fn by_key(&self, key: &PublicKey) -> Option<&Record> {
        self.records.values().find(|record| record.keys.is_some_and(|keys| keys.channel == *key))
    }

    /// Returns `true` if this key was rejected and may not ask again yet.
    #[must_use]
    pub fn turned_down(&self, key: &PublicKey, now: UnixTime) -> bool {
        self.rejections.get(key.as_bytes()).is_some_and(|rejection| rejection.admits(now).is_err())
    }

    /// Returns the grants of a node.
    #[must_use]
    pub fn grants_of(&self, node_id: NodeId) -> Vec<Grant> {
        self.grants.iter().filter(|grant| grant.node_id == node_id).cloned().collect()
    }

    /// Mints a PIN for this key. It replaces an older one of the key, and may displace another of
    /// the same source. `false` if there is no room.
    pub fn mint_pin(
        &mut self,
        id: CodeId,
        key: PublicKey,
        source: Source,
        pin: &str,
        now: UnixTime,
    ) -> bool {
        let lives = |kept: &Kept| {
            kept.counted.expires > now
                && kept.counted.uses_left > 0
                && kept.counted.kind != Kind::Pin(key)
        };
        let mut live: Vec<_> = self.codes.iter().filter(|(_, kept)| lives(kept)).collect();
        live.sort_by_key(|(_, kept)| kept.minted);
        let live: Vec<_> = live
            .into_iter()
            .filter_map(|(id, kept)| Some((*id, kept.counted.live_pin(kept.source)?)))
            .collect();
        let pins: Vec<_> = live.iter().map(|(_, pin)| *pin).collect();
        match codes::pin_room(&pins, Some(source), MOST_PINS) {
            PinRoom::Free => {}
            PinRoom::InPlaceOf(at) => {
                if let Some(kept) = live.get(at).and_then(|(id, _)| self.codes.get_mut(id)) {
                    kept.counted.expires = kept.counted.expires.min(now);
                    kept.secret = None;
                }
            }
            PinRoom::Full => return false,
        }
        for kept in self.codes.values_mut().filter(|kept| kept.counted.kind == Kind::Pin(key)) {
            kept.counted.expires = kept.counted.expires.min(now);
            kept.secret = None;
        }
        self.mint(id, Kind::Pin(key), pin, now.after(Span::from_secs(300)));
        if let Some(kept) = self.codes.get_mut(&id) {
            kept.source = Some(source);
        }
        true
    }

    /// Mints a code.
    pub fn mint(&mut self, id: CodeId, kind: Kind, secret: &str, expires: UnixTime) {
        let counted = Counted { kind, expires, guesses: 0, uses_left: 1 };
        let minted = self.minted;
        self.minted += 1;
        let kept = Kept {
            counted,
            secret: Some(secret.to_owned()),
            reserved_at: UnixTime::from_secs(0),
            source: None,
            minted,
        };
        self.codes.insert(id, kept);
        self.secrets.insert(id, secret.to_owned());
    }

    /// Finds the code with this selector.
    #[must_use]
    pub fn find_code(&self, selector: Selector) -> Option<(CodeId, Code)> {
        let found =
            self.codes.iter().find(|(_, kept)| kept.counted.kind == Kind::Code(selector))?;
        Some((*found.0, Code::parse(found.1.secret.as_deref()?).ok()?))
    }

    /// Returns the number of wrong PINs of a source.
    #[must_use]
    pub fn guesses_of(&self, source: Source) -> u8 {
        self.guesses.get(&source).copied().unwrap_or_default()
    }

    /// Opens or closes the pairing window.
    pub fn set_window(&mut self, window: Window) {
        self.window = window;
        if window.guesses == 0 {
            self.guesses.clear();
        }
    }

    /// Reserves a guess of a source.
    ///
    /// # Errors
    /// [`NoGuess`] with the reason.
    pub fn reserve(&mut self, id: CodeId, source: Source, now: UnixTime) -> Result<u8, NoGuess> {
        let of_source = self.guesses_of(source);
        let kept = self.codes.get_mut(&id).ok_or(NoGuess::Expired)?;
        let reserved = codes::reserve(&kept.counted, &self.window, of_source, now)?;
        self.guesses.insert(source, reserved.of_source);
        kept.counted.guesses = reserved.guesses;
        kept.reserved_at = now;
        self.window = reserved.window;
        Ok(reserved.left)
    }

    /// Gives a right guess back and spends the code.
    pub fn spend(&mut self, id: CodeId, source: Source) -> bool {
        let of_source = self.guesses_of(source);
        let Some(kept) = self.codes.get_mut(&id) else { return false };
        let Some((counted, window, of_source)) =
            codes::spend(&kept.counted, &self.window, of_source, kept.reserved_at)
        else {
            return false;
        };
        self.guesses.insert(source, of_source);
        kept.counted = counted;
        if counted.uses_left == 0 {
            kept.secret = None;
        }
        self.window = window;
        true
    }

    /// Settles a request without a proof, or with a code.
    pub fn settle(
        &mut self,
        request: &Request,
        proven: bool,
        ids: ([u8; 16], [u8; 16]),
        own: &OwnKeys,
        now: UnixTime,
    ) -> Settled {
        let known = self
            .by_key(&request.holder.channel)
            .map(|record| (record.node_id, record.standing.clone()));
        let standing = known.as_ref().map(|(_, standing)| standing);
        match (standing, proven) {
            (Some(Standing::Revoked { cause: Cause::Barred | Cause::Unpaired }), _) => {
                Settled::Revoked
            }
            (Some(Standing::Revoked { cause: Cause::Rejected }), false)
                if self.turned_down(&request.holder.channel, now) =>
            {
                Settled::Denied
            }
            (Some(Standing::Paired { .. } | Standing::Muted { .. }), false) => {
                let node_id = known.map_or(NodeId::from_bytes([0; 16]), |(node_id, _)| node_id);
                match grants::offer_again(&self.grants_of(node_id), now) {
                    Some(grant) => Settled::Offered(self.offered(grant, own)),
                    None => Settled::Expired,
                }
            }
            (_, true) => {
                let node_id =
                    known.map_or_else(|| NodeId::from_bytes(ids.0), |(node_id, _)| node_id);
                let paired = Standing::Paired { credential: Credential::Keys, mode: Mode::Full };
                let record = self
                    .records
                    .entry(node_id)
                    .or_insert_with(|| record(node_id, request, paired.clone(), now));
                if !matches!(record.standing, Standing::Muted { .. }) {
                    record.standing = paired;
                }
                let brings = Ceiling {
                    scopes: self.scopes.clone(),
                    expires: None,
                    named: false,
                    maker: Maker::Operator,
                };
                let ceiling = paired_anew(self.ceilings.get(&node_id), brings, now);
                Settled::Offered(self.decided(
                    node_id,
                    ceiling,
                    GrantId::from_bytes(ids.1),
                    own,
                    now,
                ))
            }
            (Some(Standing::Pending { expires }), false) if now < *expires => Settled::Waits,
            (
                Some(
                    Standing::Pending { .. }
                    | Standing::Unapproved { .. }
                    | Standing::Revoked { cause: Cause::Rejected },
                )
                | None,
                false,
            ) => {
                let expires = now.after(Span::from_secs(600));
                let node_id =
                    known.map_or_else(|| NodeId::from_bytes(ids.0), |(node_id, _)| node_id);
                self.records
                    .insert(node_id, record(node_id, request, Standing::Pending { expires }, now));
                Settled::Waits
            }
        }
    }

    /// Settles a request with a setup code: the code is spent and its yield written in one step. A
    /// node that was paired by it and shows it again gets the same offer.
    pub fn settle_setup(
        &mut self,
        request: &Request,
        code: Shown,
        ids: ([u8; 16], [u8; 16]),
        own: &OwnKeys,
        now: UnixTime,
    ) -> Settled {
        if self.by_key(&request.holder.channel).is_some_and(|record| record.standing.bars()) {
            return Settled::Revoked;
        }
        match redeem(
            code.expires_at,
            self.setup_mark,
            self.setup_spent.contains_key(&code.nonce),
            now,
        ) {
            Ok(()) => {
                let settled = self.settle(request, true, ids, own, now);
                self.setup_spent.insert(code.nonce, code.expires_at);
                self.forget_setup(now);
                settled
            }
            Err(NotRedeemed::Expired | NotRedeemed::ClockInDoubt) => Settled::Expired,
            Err(NotRedeemed::AlreadyUsed) => {
                match self.by_key(&request.holder.channel).map(|record| record.standing.clone()) {
                    Some(Standing::Paired { .. } | Standing::Muted { .. }) => {
                        self.settle(request, false, ids, own, now)
                    }
                    Some(
                        Standing::Pending { .. }
                        | Standing::Unapproved { .. }
                        | Standing::Revoked { .. },
                    )
                    | None => Settled::Spent,
                }
            }
        }
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
        let grants = self.grants_of(node_id);
        let ceiling = self.ceilings.get(&node_id).cloned();
        match renewal(&grants, ceiling.as_ref(), within, now) {
            Renewal::Again(waits) => Some(self.offered(waits, own)),
            Renewal::Fresh { scopes, ends_by, newest: _, lives: _, maker: _ } => {
                Some(self.grant(node_id, id, scopes.clone(), ends_by, own, now))
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
            self.grants
                .iter_mut()
                .filter(|grant| grant.node_id == node_id)
                .for_each(|grant| grant.state = State::Ended);
        }
        if approves {
            let ceiling = Ceiling {
                scopes: self.scopes.clone(),
                expires: None,
                named: false,
                maker: Maker::Operator,
            };
            let _ = self.decided(node_id, ceiling, new, own, now);
        }
        Some(change)
    }
}

fn record(node_id: NodeId, request: &Request, standing: Standing, now: UnixTime) -> Record {
    let label = |text| Label::parse(text).unwrap_or(handfast_core::text::UNKNOWN);
    Record {
        node_id,
        name: label(&request.name).into(),
        room: label("Hall").into(),
        address: core::net::IpAddr::from([192, 0, 2, 1]),
        keys: Some(request.holder),
        asked_at: now,
        standing,
    }
}
