//! The rows of requests that wait, and of rejections.

use crate::value::params;
use handfast_core::budget::Pending;
use handfast_core::grant::certificate::KeyHash;
use handfast_core::registry::admission::{Repetitions, RequestKey};
use handfast_core::registry::record::{Asked, Record};
use handfast_core::registry::rejection::Rejection;
use handfast_core::{NodeId, Source, UnixTime};

use super::tx::PostgresTx;
use crate::ops::{RequestRows, RowResult};
use crate::rows::{integer, rejection, seconds};

impl RequestRows for PostgresTx<'_> {
    fn waiting_with(&mut self, key: &[u8; 32]) -> RowResult<Option<(NodeId, UnixTime)>> {
        let sql =
            "SELECT node_id, expires FROM node WHERE standing = 'pending' AND request_key = $1";
        self.find(sql, params![key], |row| {
            Ok((NodeId::from_bytes(row.get(0)?), seconds(row.get(1)?)))
        })
    }

    fn falling_back_to(&mut self, key: &[u8; 32], now: UnixTime) -> RowResult<Option<NodeId>> {
        let sql = "SELECT node_id FROM node
                   WHERE fallback_request = $1 AND fallback_expires > $2 AND token_hash IS NOT NULL LIMIT 1";
        self.find(sql, params![key, integer(now)], |row| row.get(0).map(NodeId::from_bytes))
    }

    fn remove_expired(
        &mut self,
        source: Option<Source>,
        most: u32,
        now: UnixTime,
    ) -> RowResult<u32> {
        let gone = match source {
            Some(source) => {
                let sql = "DELETE FROM node WHERE seq IN (SELECT seq FROM node
                           WHERE standing = 'pending' AND source = $1 AND expires <= $2 ORDER BY expires LIMIT $3)";
                self.execute(sql, params![source.as_bytes(), integer(now), most])?
            }
            None => {
                let sql = "DELETE FROM node WHERE seq IN (SELECT seq FROM node
                           WHERE standing = 'pending' AND expires <= $1 ORDER BY expires LIMIT $2)";
                self.execute(sql, params![integer(now), most])?
            }
        };
        Ok(u32::try_from(gone).unwrap_or(most))
    }

    fn count_waiting(&mut self, source: Source) -> RowResult<Pending> {
        let sql = "SELECT (SELECT nodes FROM tally WHERE standing = 'pending'),
                          coalesce((SELECT nodes FROM pending_of_source WHERE source = $1), 0)";
        let count = |number: i64| u32::try_from(number).unwrap_or(u32::MAX);
        self.one(sql, params![source.as_bytes()], |row| {
            Ok(Pending { total: count(row.get(0)?), of_source: count(row.get(1)?) })
        })
    }

    fn largest_source(&mut self) -> RowResult<Option<(Source, u32)>> {
        let sql = "SELECT source, nodes FROM pending_of_source ORDER BY nodes DESC LIMIT 1";
        self.find(sql, params![], |row| Ok((Source::from_bytes(row.get(0)?), row.get(1)?)))
    }

    fn stalest_of(&mut self, source: Source) -> RowResult<Option<(NodeId, UnixTime)>> {
        let sql = "SELECT node.node_id, coalesce(asked.last, asked_at) AS since FROM node LEFT JOIN asked USING (node_id)
             WHERE standing = 'pending' AND source = $1 AND static_key IS NULL ORDER BY since, node.node_id LIMIT 1";
        self.find(sql, params![source.as_bytes()], |row| {
            Ok((NodeId::from_bytes(row.get(0)?), seconds(row.get(1)?)))
        })
    }

    fn asked(&mut self, id: NodeId) -> RowResult<Option<Repetitions>> {
        let sql = "SELECT times, last, request FROM asked WHERE node_id = $1";
        self.find(sql, params![id.as_bytes()], |row| {
            Ok(Repetitions {
                times: row.get(0)?,
                last: seconds(row.get(1)?),
                request: row.get::<_, i64>(2)?.cast_unsigned(),
            })
        })
    }

    fn set_asked(&mut self, id: NodeId, asked: &Repetitions) -> RowResult<()> {
        let Repetitions { times, last, request } = asked;
        let sql =
            "INSERT INTO asked (node_id, times, last, request) VALUES ($1, $2, $3, $4)
                   ON CONFLICT (node_id) DO UPDATE SET times = $2, last = $3, request = $4, run = excluded.run";
        self.execute(sql, params![id.as_bytes(), times, integer(*last), request.cast_signed()])?;
        Ok(())
    }

    fn describe(
        &mut self,
        id: NodeId,
        asked: &Record,
        profile: &str,
        now: UnixTime,
    ) -> RowResult<()> {
        let sql = "UPDATE node SET name = $2, room = $3, profile = $4, version = version + 1, changed_at = $5,
                    asked_permissions = $6, asked_csr_key = $7, asked_method = $8
             WHERE node_id = $1 AND standing IN ('pending', 'unapproved') AND (name <> $2 OR room <> $3 OR profile <> $4
                OR asked_permissions <> $6 OR asked_csr_key IS DISTINCT FROM $7 
                OR coalesce(asked_method, CASE WHEN static_key IS NULL THEN 'token' ELSE 'approval' END) <> $8)";
        let (name, room) = (asked.name.as_str(), asked.room.as_str());
        let Asked { permissions, csr_key, method } = &asked.asked;
        let csr_key = csr_key.as_ref().map(KeyHash::as_bytes);
        let (permissions, method) = (permissions.as_str(), method.as_str());
        let row =
            params![id.as_bytes(), name, room, profile, integer(now), permissions, csr_key, method];
        self.execute(sql, row)?;
        Ok(())
    }

    fn rejection(&mut self, key: &RequestKey) -> RowResult<Option<Rejection>> {
        let sql = "SELECT times, until FROM rejection WHERE request_key = $1";
        self.find(sql, params![key.as_bytes()], |row| Ok(rejection(row.get(0)?, row.get(1)?)))
    }

    fn set_rejection(
        &mut self,
        key: &RequestKey,
        id: NodeId,
        Rejection { times, until }: Rejection,
        now: UnixTime,
    ) -> RowResult<()> {
        let sql = "INSERT INTO rejection (request_key, node_id, times, until, rejected_at) VALUES ($1, $2, $3, $4, $5)
                   ON CONFLICT (request_key) DO UPDATE SET node_id = $2, times = $3, until = $4, rejected_at = $5, run = excluded.run";
        let until = until.map(integer);
        self.execute(sql, params![key.as_bytes(), id.as_bytes(), times, until, integer(now)])?;
        Ok(())
    }

    fn forget_rejections(&mut self, before: UnixTime, most: u32) -> RowResult<()> {
        let sql = "DELETE FROM rejection WHERE request_key IN (SELECT request_key FROM rejection WHERE until < $1 ORDER BY until LIMIT $2)";
        self.execute(sql, params![integer(before), most])?;
        Ok(())
    }
}
