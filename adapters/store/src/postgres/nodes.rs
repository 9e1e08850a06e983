//! The rows of nodes.

use std::ops::RangeInclusive;

use crate::value::params;
use handfast_core::crypto::x25519;
use handfast_core::grant::certificate::KeyHash;
use handfast_core::grant::scope::AskedScopesBuf;
use handfast_core::registry::record::Record;
use handfast_core::registry::sessions::Maker;
use handfast_core::{Name, NodeId, Source, UnixTime};

use super::tx::PostgresTx;
use crate::ops::{NewNode, NewStanding, NodeHead, NodeRows, RowResult};
use crate::rows::nodes::{DeliveryColumns, select_listed, select_stored, signing_key};
use crate::rows::{Columns, integer, listed, most, session, stored};
use crate::{Counts, Filter, Listed, Observation, Stored, Version};

impl NodeRows for PostgresTx<'_> {
    fn node(&mut self, id: NodeId) -> RowResult<Option<Stored>> {
        let sql = select_stored!("WHERE node_id = $1");
        Ok(self.find(sql, params![id.as_bytes()], stored)?.transpose()?)
    }

    fn node_by_key(&mut self, key: &x25519::PublicKey) -> RowResult<Option<Stored>> {
        let sql = select_stored!("WHERE static_key = $1");
        Ok(self.find(sql, params![key.as_bytes()], stored)?.transpose()?)
    }

    fn head(&mut self, id: NodeId) -> RowResult<Option<NodeHead>> {
        let sql = "SELECT version, static_key IS NOT NULL, coalesce(request_key, fallback_request), delivery_id IS NOT NULL
                   FROM node WHERE node_id = $1";
        self.find(sql, params![id.as_bytes()], |row| {
            Ok(NodeHead {
                version: Version(row.get::<_, i64>(0)?.cast_unsigned()),
                has_keys: row.get(1)?,
                request: row.get(2)?,
                is_under_delivery: row.get(3)?,
            })
        })
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
         VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10,
                 1, $11, $12, $13, $15, $16,
                 $17, $18, $19, $20, $21,
                 $22, $23, $24, $14)
         ON CONFLICT DO NOTHING";
        let entered = self.execute(
            sql,
            params![
                node_id.as_bytes(),
                name.as_str(),
                room.as_str(),
                address.to_string(),
                integer(*asked_at),
                columns.standing,
                columns.expires,
                columns.token_hash,
                columns.mode,
                columns.cause,
                integer(now),
                source.as_bytes(),
                request,
                profile,
                keys.as_ref().map(|keys| keys.channel.as_bytes()),
                keys.as_ref().map(signing_key),
                delivery.id,
                delivery.until,
                delivery.fallback,
                delivery.fallback_expires,
                delivery.fallback_token,
                asked.permissions.as_str(),
                asked.csr_key.as_ref().map(KeyHash::as_bytes),
                asked.method.as_str(),
            ],
        )?;
        Ok(entered == 1)
    }

    fn set_standing(&mut self, id: NodeId, new: &NewStanding<'_>, now: UnixTime) -> RowResult<()> {
        let NewStanding { standing, request, fallback_request } = new;
        let columns = Columns::of(standing);
        let delivery = DeliveryColumns::of(standing);
        let sql =
            "UPDATE node SET standing = $1, expires = $2, token_hash = $3, mode = $4, cause = $5,
                    request_key = $6, delivery_id = $7, delivery_until = $8, fallback = $9,
                    fallback_expires = $10, fallback_token = $11, fallback_request = $12,
                    version = version + 1, changed_at = $13
             WHERE node_id = $14";
        self.execute(
            sql,
            params![
                columns.standing,
                columns.expires,
                columns.token_hash,
                columns.mode,
                columns.cause,
                request,
                delivery.id,
                delivery.until,
                delivery.fallback,
                delivery.fallback_expires,
                delivery.fallback_token,
                fallback_request,
                integer(now),
                id.as_bytes(),
            ],
        )?;
        Ok(())
    }

    fn replace_node(&mut self, record: &Record, profile: &str, now: UnixTime) -> RowResult<bool> {
        let Record { node_id, name, room, address, keys, asked_at: _, asked, standing } = record;
        let Columns { standing, expires, token_hash, mode, cause } = Columns::of(standing);
        let sql = "UPDATE node SET name = $1, room = $2, address = $3, source = $5, profile = $4,
                    static_key = $6, signing_key = $7,
                    asked_permissions = $15, asked_csr_key = $16, asked_method = $17,
                    standing = $8, expires = $9, token_hash = $10, mode = $11, cause = $12,
                    request_key = CASE WHEN $8 = 'pending' THEN request_key END, delivery_id = NULL, delivery_until = NULL,
                    fallback = NULL, fallback_expires = NULL, fallback_token = NULL, fallback_request = NULL,
                    version = version + 1, changed_at = $13
             WHERE node_id = $14 AND NOT EXISTS (SELECT 1 FROM node AS other WHERE other.static_key = $6 AND other.node_id <> $14)";
        let replaced = self.execute(
            sql,
            params![
                name.as_str(),
                room.as_str(),
                address.to_string(),
                profile,
                Source::of(*address).as_bytes(),
                keys.as_ref().map(|keys| keys.channel.as_bytes()),
                keys.as_ref().map(signing_key),
                standing,
                expires,
                token_hash,
                mode,
                cause,
                integer(now),
                node_id.as_bytes(),
                asked.permissions.as_str(),
                asked.csr_key.as_ref().map(KeyHash::as_bytes),
                asked.method.as_str(),
            ],
        )?;
        Ok(replaced == 1)
    }

    fn relabel(
        &mut self,
        id: NodeId,
        name: Option<&Name>,
        profile: Option<&str>,
        now: UnixTime,
    ) -> RowResult<()> {
        let sql = "UPDATE node SET name = coalesce($2, name), profile = coalesce($3, profile),
                    version = version + 1, changed_at = $4
             WHERE node_id = $1";
        let name = name.map(Name::as_str);
        self.execute(sql, params![id.as_bytes(), name, profile, integer(now)])?;
        Ok(())
    }

    fn raise_version(&mut self, id: NodeId, now: UnixTime) -> RowResult<()> {
        let sql = "UPDATE node SET version = version + 1, changed_at = $2 WHERE node_id = $1";
        self.execute(sql, params![id.as_bytes(), integer(now)])?;
        Ok(())
    }

    fn set_approver(&mut self, id: NodeId, maker: Maker) -> RowResult<()> {
        let sql = "UPDATE node SET approved_by = $2 WHERE node_id = $1 AND approved_by IS DISTINCT FROM $2";
        self.execute(sql, params![id.as_bytes(), session(maker)])?;
        Ok(())
    }

    fn set_asks_more(&mut self, id: NodeId, more: &AskedScopesBuf) -> RowResult<bool> {
        let sql = "UPDATE node SET asks_more = $2
                   WHERE node_id = $1 AND asks_more <> $2 AND standing IN ('paired', 'muted')";
        Ok(self.execute(sql, params![id.as_bytes(), more.as_str()])? == 1)
    }

    fn remove_node(&mut self, id: NodeId) -> RowResult<()> {
        self.execute("DELETE FROM node WHERE node_id = $1", params![id.as_bytes()])?;
        Ok(())
    }

    fn observe(&mut self, id: NodeId, observation: &Observation) -> RowResult<()> {
        let Observation { last_seen, occupancy, noise_level, wake_word_fp } =
            observation.over(None);
        let sql = "INSERT INTO observation AS seen (node_id, last_seen, occupancy, noise_level, wake_word_fp)
             SELECT node_id, $2::bigint, $3::boolean, $4::double precision, $5::boolean FROM node WHERE node_id = $1
             ON CONFLICT (node_id) DO UPDATE SET last_seen = excluded.last_seen, occupancy = coalesce(excluded.occupancy, seen.occupancy),
                    noise_level = coalesce(excluded.noise_level, seen.noise_level), wake_word_fp = coalesce(excluded.wake_word_fp, seen.wake_word_fp)";
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
            select_listed!("", "node.node_id BETWEEN $1 AND $2 ORDER BY node.node_id LIMIT $3");
        let range = params![ids.start().as_bytes(), ids.end().as_bytes(), most(limit)];
        self.all(sql, range, listed)
    }

    fn nodes_named(&mut self, name: &str, limit: usize, now: UnixTime) -> RowResult<Vec<Listed>> {
        let sql = select_listed!(
            "",
            "standing <> 'revoked' AND name = $1 AND (expires IS NULL OR expires > $3) ORDER BY node.node_id LIMIT $2"
        );
        self.all(sql, params![name, most(limit), integer(now)], listed)
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
                "",
                "standing IN ('pending', 'unapproved') AND node.node_id > $1 AND (expires IS NULL OR expires > $3)
                 ORDER BY node.node_id LIMIT $2"
            ),
            Filter::AskingMore => select_listed!(
                "",
                "asks_more <> '' AND standing IN ('paired', 'muted') AND node.node_id > $1 AND $3::bigint IS NOT NULL
                 ORDER BY node.node_id LIMIT $2"
            ),
            Filter::Current => select_listed!(
                "",
                "standing <> 'revoked' AND node.node_id > $1 AND (expires IS NULL OR expires > $3)
                 ORDER BY node.node_id LIMIT $2"
            ),
            Filter::All => select_listed!(
                "",
                "node.node_id > $1 AND $3::bigint IS NOT NULL ORDER BY node.node_id LIMIT $2"
            ),
        };
        // The empty blob comes before every id.
        let after: &[u8] = after.as_ref().map_or(&[], |id| id.as_bytes());
        self.all(sql, params![after, most(limit), integer(now)], listed)
    }

    fn keyed_after(
        &mut self,
        after: Option<NodeId>,
        limit: usize,
        now: UnixTime,
    ) -> RowResult<Vec<Listed>> {
        let sql = select_listed!(
            "",
            "static_key IS NOT NULL AND standing <> 'revoked' AND node.node_id > $1 AND (expires IS NULL OR expires > $3)
             ORDER BY node.node_id LIMIT $2"
        );
        let after: &[u8] = after.as_ref().map_or(&[], |id| id.as_bytes());
        self.all(sql, params![after, most(limit), integer(now)], listed)
    }

    fn count_nodes(&mut self, now: UnixTime) -> RowResult<Counts> {
        // The schema's triggers keep the tallies. Only expired requests that no admission has
        // removed yet are counted one by one.
        let sql = "SELECT standing, nodes FROM tally UNION ALL SELECT 'expired', count(*) FROM node
         WHERE standing = 'pending' AND expires <= $1";
        let tallies = self.all(sql, params![integer(now)], |row| {
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
