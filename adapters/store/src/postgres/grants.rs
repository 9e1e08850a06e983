//! The rows of grants and of revocations.

use crate::value::params;
use handfast_core::crypto::x25519;
use handfast_core::grant::capability::{self, Held};
use handfast_core::registry::ceiling::Ceiling;
use handfast_core::registry::grants::{Grant, GrantId, State};
use handfast_core::{NodeId, UnixTime};

use super::tx::PostgresTx;
use crate::ops::{EndedGrant, GrantRows, RowResult, Which};
use crate::rows::{grant, integer, seconds, session};
use crate::{BadRecord, Revoked};

impl GrantRows for PostgresTx<'_> {
    fn grant(&mut self, node_id: NodeId, id: GrantId) -> RowResult<Option<Grant>> {
        let sql = "SELECT * FROM granted WHERE grant_id = $1 AND node_id = $2";
        Ok(self.find(sql, params![id.as_bytes(), node_id.as_bytes()], grant)?.transpose()?)
    }

    fn grants(&mut self, node_id: NodeId) -> RowResult<Vec<Grant>> {
        let sql = "SELECT * FROM granted WHERE node_id = $1 ORDER BY seq";
        let grants = self.all(sql, params![node_id.as_bytes()], grant)?;
        Ok(grants.into_iter().collect::<Result<_, _>>()?)
    }

    fn open_grants(&mut self, node_id: NodeId) -> RowResult<Result<Vec<Grant>, BadRecord>> {
        let sql = "SELECT * FROM granted WHERE node_id = $1 AND state <> 'ended' ORDER BY seq";
        let grants = self.all(sql, params![node_id.as_bytes()], grant)?;
        Ok(grants.into_iter().collect())
    }

    fn grant_of(&mut self, capability: &capability::Id) -> RowResult<Option<Grant>> {
        let sql = "SELECT * FROM granted WHERE capability = $1
                   ORDER BY state = 'ended', seq DESC LIMIT 1";
        Ok(self.find(sql, params![capability.as_bytes()], grant)?.transpose()?)
    }

    fn add_grant(&mut self, grant: &Grant, now: UnixTime) -> RowResult<bool> {
        let Grant { id, node_id, capability, scopes, not_before, expires, moved: _, state, maker } =
            grant;
        let (state, until, ended_at) = match state {
            State::Offered { until } => ("offered", Some(integer(*until)), None),
            State::Active => ("active", None, None),
            State::Ended => ("ended", None, Some(integer(now))),
        };
        let sql = "INSERT INTO granted (grant_id, node_id, state, until, ended_at, capability, not_before, expires, scopes, maker)
             VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10) ON CONFLICT (grant_id) DO NOTHING";
        let added = self.execute(
            sql,
            params![
                id.as_bytes(),
                node_id.as_bytes(),
                state,
                until,
                ended_at,
                capability.as_ref().map(capability::Id::as_bytes),
                integer(*not_before),
                expires.map(integer),
                scopes.as_str(),
                session(*maker),
            ],
        )?;
        Ok(added == 1)
    }

    fn confirm_grant(&mut self, id: GrantId) -> RowResult<()> {
        let sql = "UPDATE granted SET state = 'active', until = NULL WHERE grant_id = $1";
        self.execute(sql, params![id.as_bytes()])?;
        Ok(())
    }

    fn end_grants(
        &mut self,
        node_id: NodeId,
        which: Which,
        now: UnixTime,
    ) -> RowResult<Vec<capability::Id>> {
        let (one, before, unconfirmed) = match &which {
            Which::All => (None, None, false),
            Which::One(id) => (Some(id.as_bytes()), None, false),
            Which::Unconfirmed => (None, None, true),
            Which::Before(id) => (None, Some(id.as_bytes()), false),
        };
        let sql = "UPDATE granted SET state = 'ended', until = NULL, ended_at = $2
             WHERE node_id = $1 AND state <> 'ended' AND ($4::bytea IS NULL OR grant_id = $4) AND (NOT $5 OR state = 'offered')
               AND ($3::bytea IS NULL OR seq < (SELECT seq FROM granted WHERE grant_id = $3))
             RETURNING seq, capability";
        let ended = params![node_id.as_bytes(), integer(now), before, one, unconfirmed];
        let mut ended = self.all(sql, ended, |row| {
            Ok((row.get::<_, i64>(0)?, row.get::<_, Option<[u8; 32]>>(1)?))
        })?;
        // `RETURNING` gives no order, but the answer is in the order in which the grants were made.
        ended.sort_unstable();
        let ended = ended.into_iter().filter_map(|(_, capability)| capability);
        Ok(ended.map(capability::Id::from_bytes).collect())
    }

    fn is_continued(&mut self, capability: &capability::Id) -> RowResult<bool> {
        let sql = "SELECT EXISTS (SELECT 1 FROM granted
                                  WHERE capability = $1 AND state IN ('offered', 'active'))";
        self.one(sql, params![capability.as_bytes()], |row| row.get(0))
    }

    fn ended_grants(&mut self, before: UnixTime, most: u32) -> RowResult<Vec<EndedGrant>> {
        let sql = "SELECT grant_id, capability, expires FROM granted
                   WHERE state = 'ended' AND ended_at < $1 ORDER BY ended_at, seq LIMIT $2";
        self.all(sql, params![integer(before), most], |row| {
            Ok(EndedGrant {
                id: GrantId::from_bytes(row.get(0)?),
                capability: row.get::<_, Option<_>>(1)?.map(capability::Id::from_bytes),
                expires: row.get::<_, Option<_>>(2)?.map(seconds),
            })
        })
    }

    fn remove_grant(&mut self, id: GrantId) -> RowResult<()> {
        self.execute("DELETE FROM granted WHERE grant_id = $1", params![id.as_bytes()])?;
        Ok(())
    }

    fn set_ceiling(&mut self, id: NodeId, ceiling: &Ceiling, now: UnixTime) -> RowResult<()> {
        let Ceiling { scopes, expires, named, maker } = ceiling;
        let sql = "UPDATE node SET ceiling = $2, ceiling_expires = $3, ceiling_named = $4, ceiling_by = $5,
                    ceiling_at = CASE WHEN ceiling_expires IS NOT DISTINCT FROM $3 THEN ceiling_at ELSE $6 END WHERE node_id = $1";
        let (expires, maker) = (expires.map(integer), session(*maker));
        let ceiling = params![id.as_bytes(), scopes.as_str(), expires, named, maker, integer(now)];
        self.execute(sql, ceiling)?;
        Ok(())
    }

    fn revoke(&mut self, what: &Revoked, now: UnixTime) -> RowResult<()> {
        let (word, id) = match what {
            Revoked::Block(id) => ("block", id.as_bytes()),
            Revoked::Key(key) => ("key", key.as_bytes()),
        };
        let sql = "INSERT INTO revocation VALUES ($1, $2, $3) ON CONFLICT DO NOTHING";
        self.execute(sql, params![word, id, integer(now)])?;
        Ok(())
    }

    fn is_key_revoked(&mut self, key: &x25519::PublicKey) -> RowResult<bool> {
        let sql = "SELECT EXISTS (SELECT 1 FROM revocation WHERE what = 'key' AND id = $1)";
        self.one(sql, params![key.as_bytes()], |row| row.get(0))
    }

    fn is_revoked(&mut self, Held { id, by }: &Held) -> RowResult<bool> {
        let sql = "SELECT EXISTS (SELECT 1 FROM revocation WHERE what = 'block' AND id = $1)
             OR EXISTS (SELECT 1 FROM revocation WHERE what = 'key' AND id = $2)
             OR EXISTS (SELECT 1 FROM node WHERE static_key = $2 AND standing = 'revoked' AND cause <> 'rejected')
             OR (EXISTS (SELECT 1 FROM granted WHERE capability = $1 AND state = 'ended')
                 AND NOT EXISTS (SELECT 1 FROM granted
                                 WHERE capability = $1 AND state IN ('offered', 'active')))";
        self.one(sql, params![id.as_bytes(), by.as_bytes()], |row| row.get(0))
    }
}
