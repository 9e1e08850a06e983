//! The rows of nodes.

use std::ops::RangeInclusive;

use handfast_core::crypto::x25519;
use handfast_core::grant::certificate::KeyHash;
use handfast_core::grant::scope::AskedScopesBuf;
use handfast_core::registry::record::Record;
use handfast_core::registry::sessions::Maker;
use handfast_core::{Name, NodeId, Source, UnixTime};
use rusqlite::{named_params, params};

use super::tx::SqliteTx;
use crate::ops::{NewNode, NewStanding, NodeHead, NodeRows, RowResult};
use crate::rows::nodes::{DeliveryColumns, select_listed, select_stored, signing_key};
use crate::rows::{Columns, integer, listed, most, session, stored};
use crate::{Counts, Filter, Listed, Observation, Stored, Version};

impl NodeRows for SqliteTx<'_> {
    fn node(&mut self, id: NodeId) -> RowResult<Option<Stored>> {
        let sql = select_stored!("WHERE node_id = ?1");
        Ok(self.find(sql, [id.as_bytes()], |row| stored(row))?.transpose()?)
    }

    fn node_by_key(&mut self, key: &x25519::PublicKey) -> RowResult<Option<Stored>> {
        let sql = select_stored!("INDEXED BY node_by_key WHERE static_key = ?1");
        Ok(self.find(sql, [key.as_bytes()], |row| stored(row))?.transpose()?)
    }

    fn head(&mut self, id: NodeId) -> RowResult<Option<NodeHead>> {
        let sql = "SELECT version, static_key IS NOT NULL, coalesce(request_key, fallback_request), delivery_id IS NOT NULL
                   FROM node WHERE node_id = ?1";
        Ok(self.find(sql, [id.as_bytes()], |row| {
            Ok(NodeHead {
                version: Version(row.get::<_, i64>(0)?.cast_unsigned()),
                has_keys: row.get(1)?,
                request: row.get(2)?,
                is_under_delivery: row.get(3)?,
            })
        })?)
    }

    fn add_node(&mut self, node: &NewNode<'_>, now: UnixTime) -> RowResult<bool> {
        let NewNode { record, profile, source, request } = node;
        let Record { node_id, name, room, address, keys, asked_at, asked, standing } = record;
        let columns = Columns::of(standing);
        let delivery = DeliveryColumns::of(standing);
        let sql = "INSERT INTO node (node_id, name, room, address, asked_at, standing, expires, token_hash, mode, cause,
                           version, changed_at, source, request_key, static_key, signing_key,
                           delivery_id, delivery_until, fallback, fallback_expires, fallback_token,
                           asked_permissions, asked_csr_key, asked_method, profile)
         VALUES (:node_id, :name, :room, :address, :asked_at, :standing, :expires, :token_hash, :mode, :cause,
                 1, :now, :source, :request_key, :static_key, :signing_key,
                 :delivery_id, :delivery_until, :fallback, :fallback_expires, :fallback_token,
                 :asked_permissions, :asked_csr_key, :asked_method, :profile)
         ON CONFLICT DO NOTHING";
        let entered = self.execute(sql, named_params! {
            ":node_id": node_id.as_bytes(), ":name": name.as_str(), ":room": room.as_str(), ":address": address.to_string(),
            ":asked_at": integer(*asked_at), ":standing": columns.standing, ":expires": columns.expires, ":token_hash": columns.token_hash,
            ":mode": columns.mode, ":cause": columns.cause, ":now": integer(now), ":source": source.as_bytes(),
            ":request_key": request, ":profile": profile,
            ":static_key": keys.as_ref().map(|keys| keys.channel.as_bytes()),
            ":signing_key": keys.as_ref().map(signing_key),
            ":delivery_id": delivery.id, ":delivery_until": delivery.until, ":fallback": delivery.fallback,
            ":fallback_expires": delivery.fallback_expires, ":fallback_token": delivery.fallback_token,
            ":asked_permissions": asked.permissions.as_str(), ":asked_csr_key": asked.csr_key.as_ref().map(KeyHash::as_bytes),
            ":asked_method": asked.method.as_str(),
        })?;
        Ok(entered == 1)
    }

    fn set_standing(&mut self, id: NodeId, new: &NewStanding<'_>, now: UnixTime) -> RowResult<()> {
        let NewStanding { standing, request, fallback_request } = new;
        let columns = Columns::of(standing);
        let delivery = DeliveryColumns::of(standing);
        let sql = "UPDATE node SET standing = :standing, expires = :expires, token_hash = :token_hash, mode = :mode, cause = :cause,
                    request_key = :request_key, delivery_id = :delivery_id, delivery_until = :delivery_until, fallback = :fallback,
                    fallback_expires = :fallback_expires, fallback_token = :fallback_token, fallback_request = :fallback_request,
                    version = version + 1, changed_at = :now
             WHERE node_id = :node_id";
        self.execute(sql, named_params! {
            ":standing": columns.standing, ":expires": columns.expires, ":token_hash": columns.token_hash, ":mode": columns.mode,
            ":cause": columns.cause, ":request_key": request, ":delivery_id": delivery.id, ":delivery_until": delivery.until,
            ":fallback": delivery.fallback, ":fallback_expires": delivery.fallback_expires,
            ":fallback_token": delivery.fallback_token, ":fallback_request": fallback_request,
            ":now": integer(now), ":node_id": id.as_bytes(),
        })?;
        Ok(())
    }

    fn replace_node(&mut self, record: &Record, profile: &str, now: UnixTime) -> RowResult<bool> {
        let Record { node_id, name, room, address, keys, asked_at: _, asked, standing } = record;
        let Columns { standing, expires, token_hash, mode, cause } = Columns::of(standing);
        let sql = "UPDATE OR IGNORE node SET name = :name, room = :room, address = :address, source = :source, profile = :profile,
                    static_key = :static_key, signing_key = :signing_key,
                    asked_permissions = :asked_permissions, asked_csr_key = :asked_csr_key, asked_method = :asked_method,
                    standing = :standing, expires = :expires, token_hash = :token_hash, mode = :mode, cause = :cause,
                    request_key = CASE :standing WHEN 'pending' THEN request_key END, delivery_id = NULL, delivery_until = NULL,
                    fallback = NULL, fallback_expires = NULL, fallback_token = NULL, fallback_request = NULL,
                    version = version + 1, changed_at = :now
             WHERE node_id = :node_id";
        let replaced = self.execute(sql, named_params! {
            ":name": name.as_str(), ":room": room.as_str(), ":address": address.to_string(), ":profile": profile,
            ":source": Source::of(*address).as_bytes(),
            ":static_key": keys.as_ref().map(|keys| keys.channel.as_bytes()),
            ":signing_key": keys.as_ref().map(signing_key),
            ":standing": standing, ":expires": expires, ":token_hash": token_hash, ":mode": mode, ":cause": cause,
            ":now": integer(now), ":node_id": node_id.as_bytes(),
            ":asked_permissions": asked.permissions.as_str(), ":asked_csr_key": asked.csr_key.as_ref().map(KeyHash::as_bytes),
            ":asked_method": asked.method.as_str(),
        })?;
        Ok(replaced == 1)
    }

    fn relabel(
        &mut self,
        id: NodeId,
        name: Option<&Name>,
        profile: Option<&str>,
        now: UnixTime,
    ) -> RowResult<()> {
        let sql = "UPDATE node SET name = coalesce(?2, name), profile = coalesce(?3, profile),
                    version = version + 1, changed_at = ?4
             WHERE node_id = ?1";
        let name = name.map(Name::as_str);
        self.execute(sql, params![id.as_bytes(), name, profile, integer(now)])?;
        Ok(())
    }

    fn raise_version(&mut self, id: NodeId, now: UnixTime) -> RowResult<()> {
        let sql = "UPDATE node SET version = version + 1, changed_at = ?2 WHERE node_id = ?1";
        self.execute(sql, params![id.as_bytes(), integer(now)])?;
        Ok(())
    }

    fn set_approver(&mut self, id: NodeId, maker: Maker) -> RowResult<()> {
        let sql = "UPDATE node SET approved_by = ?2 WHERE node_id = ?1 AND approved_by IS NOT ?2";
        self.execute(sql, params![id.as_bytes(), session(maker)])?;
        Ok(())
    }

    fn set_asks_more(&mut self, id: NodeId, more: &AskedScopesBuf) -> RowResult<bool> {
        let sql = "UPDATE node SET asks_more = ?2
                   WHERE node_id = ?1 AND asks_more <> ?2 AND standing IN ('paired', 'muted')";
        Ok(self.execute(sql, params![id.as_bytes(), more.as_str()])? == 1)
    }

    fn remove_node(&mut self, id: NodeId) -> RowResult<()> {
        self.execute("DELETE FROM node WHERE node_id = ?1", [id.as_bytes()])?;
        Ok(())
    }

    fn observe(&mut self, id: NodeId, observation: &Observation) -> RowResult<()> {
        let Observation { last_seen, occupancy, noise_level, wake_word_fp } =
            observation.over(None);
        let sql = "INSERT INTO observation (node_id, last_seen, occupancy, noise_level, wake_word_fp)
             SELECT node_id, ?2, ?3, ?4, ?5 FROM node WHERE node_id = ?1
             ON CONFLICT (node_id) DO UPDATE SET last_seen = excluded.last_seen, occupancy = coalesce(excluded.occupancy, occupancy),
                    noise_level = coalesce(excluded.noise_level, noise_level), wake_word_fp = coalesce(excluded.wake_word_fp, wake_word_fp)";
        let last_seen = integer(last_seen);
        self.execute(sql, params![id.as_bytes(), last_seen, occupancy, noise_level, wake_word_fp])?;
        Ok(())
    }

    fn nodes_between(
        &mut self,
        ids: &RangeInclusive<NodeId>,
        limit: usize,
    ) -> RowResult<Vec<Listed>> {
        let sql =
            select_listed!("", "node.node_id BETWEEN ?1 AND ?2 ORDER BY node.node_id LIMIT ?3");
        let range = params![ids.start().as_bytes(), ids.end().as_bytes(), most(limit)];
        Ok(self.all(sql, range, |row| listed(row))?)
    }

    fn nodes_named(&mut self, name: &str, limit: usize, now: UnixTime) -> RowResult<Vec<Listed>> {
        let sql = select_listed!(
            "INDEXED BY node_by_name",
            "standing <> 'revoked' AND name = ?1 AND (expires IS NULL OR expires > ?3) ORDER BY node.node_id LIMIT ?2"
        );
        Ok(self.all(sql, params![name, most(limit), integer(now)], |row| listed(row))?)
    }

    fn nodes_after(
        &mut self,
        filter: Filter,
        after: Option<NodeId>,
        limit: usize,
        now: UnixTime,
    ) -> RowResult<Vec<Listed>> {
        // Each filter has an index of exactly its nodes (and of expired ones, which are few), so
        // the cost of a page depends only on its length.
        let sql = match filter {
            Filter::Pending => select_listed!(
                "INDEXED BY node_waiting",
                "standing IN ('pending', 'unapproved') AND node.node_id > ?1 AND (expires IS NULL OR expires > ?3)
                 ORDER BY node.node_id LIMIT ?2"
            ),
            Filter::AskingMore => select_listed!(
                "INDEXED BY node_asking_more",
                "asks_more <> '' AND standing IN ('paired', 'muted') AND node.node_id > ?1 AND ?3 IS NOT NULL
                 ORDER BY node.node_id LIMIT ?2"
            ),
            Filter::Current => select_listed!(
                "INDEXED BY node_current",
                "standing <> 'revoked' AND node.node_id > ?1 AND (expires IS NULL OR expires > ?3)
                 ORDER BY node.node_id LIMIT ?2"
            ),
            Filter::All => select_listed!(
                "",
                "node.node_id > ?1 AND ?3 IS NOT NULL ORDER BY node.node_id LIMIT ?2"
            ),
        };
        // The empty blob comes before every id.
        let after: &[u8] = after.as_ref().map_or(&[], |id| id.as_bytes());
        Ok(self.all(sql, params![after, most(limit), integer(now)], |row| listed(row))?)
    }

    fn keyed_after(
        &mut self,
        after: Option<NodeId>,
        limit: usize,
        now: UnixTime,
    ) -> RowResult<Vec<Listed>> {
        let sql = select_listed!(
            "INDEXED BY node_keyed",
            "static_key IS NOT NULL AND standing <> 'revoked' AND node.node_id > ?1 AND (expires IS NULL OR expires > ?3)
             ORDER BY node.node_id LIMIT ?2"
        );
        let after: &[u8] = after.as_ref().map_or(&[], |id| id.as_bytes());
        Ok(self.all(sql, params![after, most(limit), integer(now)], |row| listed(row))?)
    }

    fn count_nodes(&mut self, now: UnixTime) -> RowResult<Counts> {
        // The schema's triggers keep the tallies. Only expired requests that no admission has
        // removed yet are counted one by one.
        let sql = "SELECT standing, nodes FROM tally UNION ALL SELECT 'expired', count(*) FROM node INDEXED BY node_by_expiry
         WHERE standing = 'pending' AND expires <= ?1";
        let tallies = self.all(sql, [integer(now)], |row| {
            Ok((row.get::<_, String>(0)?, u64::try_from(row.get::<_, i64>(1)?).unwrap_or(0)))
        })?;
        let (mut counts, mut expired) = (Counts::default(), 0);
        for (standing, number) in tallies {
            match standing.as_str() {
                "pending" | "unapproved" => counts.pending += number,
                "paired" => counts.paired = number,
                "muted" => counts.muted = number,
                "revoked" => counts.revoked = number,
                "forgotten" => counts.forgotten = number,
                _ => expired = number,
            }
        }
        counts.pending = counts.pending.saturating_sub(expired);
        Ok(counts)
    }
}
