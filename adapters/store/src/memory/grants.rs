//! The rows of grants and of revocations.

use handfast_core::crypto::x25519;
use handfast_core::grant::capability::{self, Held};
use handfast_core::registry::ceiling::Ceiling;
use handfast_core::registry::grants::{Grant, GrantId, State};
use handfast_core::{NodeId, UnixTime};

use super::MemoryTx;
use crate::ops::{EndedGrant, GrantRows, RowResult, Which};
use crate::{BadRecord, Revoked};

/// A grant, the time at which it ended, and the run that made it.
#[derive(Clone, Debug)]
pub(super) struct GrantRow {
    pub(super) grant: Grant,
    pub(super) ended_at: Option<UnixTime>,
    pub(super) run: u64,
}

impl GrantRow {
    pub(super) fn is_open(&self) -> bool {
        self.grant.state != State::Ended
    }

    pub(super) fn end(&mut self, now: UnixTime) {
        self.grant.state = State::Ended;
        self.ended_at = Some(now);
    }
}

impl MemoryTx {
    fn place(&self, id: GrantId) -> Option<u64> {
        self.grants.iter().find(|(_, row)| row.grant.id == id).map(|(place, _)| *place)
    }

    fn newest(&self, capability: &capability::Id) -> Option<&GrantRow> {
        let such =
            self.grants.iter().filter(|(_, row)| row.grant.capability.as_ref() == Some(capability));
        such.max_by_key(|(place, row)| (row.is_open(), **place)).map(|(_, row)| row)
    }
}

impl GrantRows for MemoryTx {
    fn grant(&mut self, node_id: NodeId, id: GrantId) -> RowResult<Option<Grant>> {
        let found = self.grants.values().map(|row| &row.grant).find(|grant| grant.id == id);
        Ok(found.filter(|grant| grant.node_id == node_id).cloned())
    }

    fn grants(&mut self, node_id: NodeId) -> RowResult<Vec<Grant>> {
        let grants = self.grants.values().map(|row| &row.grant);
        Ok(grants.filter(|grant| grant.node_id == node_id).cloned().collect())
    }

    fn open_grants(&mut self, node_id: NodeId) -> RowResult<Result<Vec<Grant>, BadRecord>> {
        let open = self.grants.values().filter(|row| row.is_open()).map(|row| &row.grant);
        Ok(Ok(open.filter(|grant| grant.node_id == node_id).cloned().collect()))
    }

    fn grant_of(&mut self, capability: &capability::Id) -> RowResult<Option<Grant>> {
        Ok(self.newest(capability).map(|row| row.grant.clone()))
    }

    fn add_grant(&mut self, grant: &Grant, now: UnixTime) -> RowResult<bool> {
        if self.place(grant.id).is_some() {
            return Ok(false);
        }
        let ended_at = (grant.state == State::Ended).then_some(now);
        self.grants.append(GrantRow { grant: grant.clone(), ended_at, run: self.singles.run });
        Ok(true)
    }

    fn confirm_grant(&mut self, id: GrantId) -> RowResult<()> {
        if let Some(place) = self.place(id) {
            self.grants.change(&place, |row| row.grant.state = State::Active);
        }
        Ok(())
    }

    fn end_grants(
        &mut self,
        node_id: NodeId,
        which: Which,
        now: UnixTime,
    ) -> RowResult<Vec<capability::Id>> {
        let before = match which {
            Which::Before(id) => self.place(id).unwrap_or(0),
            Which::All | Which::One(_) | Which::Unconfirmed => u64::MAX,
        };
        let such = |place: &u64, row: &GrantRow| {
            row.grant.node_id == node_id
                && row.is_open()
                && match which {
                    Which::All => true,
                    Which::One(id) => row.grant.id == id,
                    Which::Unconfirmed => matches!(row.grant.state, State::Offered { .. }),
                    Which::Before(_) => *place < before,
                }
        };
        let ended = self.grants.change_all(such, |row| row.end(now));
        Ok(ended.iter().filter_map(|place| self.grants.get(place)?.grant.capability).collect())
    }

    fn is_continued(&mut self, capability: &capability::Id) -> RowResult<bool> {
        Ok(self.newest(capability).is_some_and(GrantRow::is_open))
    }

    fn ended_grants(&mut self, before: UnixTime, most: u32) -> RowResult<Vec<EndedGrant>> {
        let order =
            |place: &u64, row: &GrantRow| Some((row.ended_at.filter(|at| *at < before)?, *place));
        let ended = self.grants.first(most, order);
        let ended = ended.iter().filter_map(|place| self.grants.get(place)).map(|row| EndedGrant {
            id: row.grant.id,
            capability: row.grant.capability,
            expires: row.grant.expires,
        });
        Ok(ended.collect())
    }

    fn remove_grant(&mut self, id: GrantId) -> RowResult<()> {
        if let Some(place) = self.place(id) {
            self.grants.remove(&place);
        }
        Ok(())
    }

    fn set_ceiling(&mut self, id: NodeId, ceiling: &Ceiling, now: UnixTime) -> RowResult<()> {
        let run = self.singles.run;
        self.nodes.change(&id, |node| {
            let before = node.entry.ceiling.as_ref().and_then(|ceiling| ceiling.expires);
            if ceiling.expires != before {
                node.ceiling_at = Some(now);
                if ceiling.expires.is_some() {
                    node.ceiling_run = run;
                }
            }
            node.entry.ceiling = Some(Box::new(ceiling.clone()));
        });
        Ok(())
    }

    fn revoke(&mut self, what: &Revoked, _now: UnixTime) -> RowResult<()> {
        match what {
            Revoked::Block(id) => self.revoked_blocks.add(*id, ()),
            Revoked::Key(key) => self.revoked_keys.add(*key.as_bytes(), ()),
        };
        Ok(())
    }

    fn is_key_revoked(&mut self, key: &x25519::PublicKey) -> RowResult<bool> {
        Ok(self.revoked_keys.has(key.as_bytes()))
    }

    fn is_revoked(&mut self, Held { id, by }: &Held) -> RowResult<bool> {
        let mut its = self.nodes.values().filter(|node| node.key() == Some(*by));
        Ok(self.revoked_blocks.has(id)
            || self.revoked_keys.has(by.as_bytes())
            || its.any(|node| node.entry.record.standing.bars())
            || self.newest(id).is_some_and(|row| !row.is_open()))
    }
}
