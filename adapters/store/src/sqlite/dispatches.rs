//! The rows of dispatches and of capabilities.

use handfast_core::link::dispatch::DispatchEnd;
use handfast_core::wire::native::link::DispatchId;
use handfast_core::{NodeId, UnixTime};
use rusqlite::{named_params, params};

use super::tx::SqliteTx;
use crate::ops::{DispatchRows, RowResult, ends_by_time};
use crate::rows::dispatches::{columns, is_for_good, stored, unreadable, whole};
use crate::rows::{integer, most, seconds, session};
use crate::{Capability, DispatchTask, StoredDispatch};

impl DispatchRows for SqliteTx<'_> {
    fn dispatch(&mut self, id: DispatchId) -> RowResult<Option<StoredDispatch>> {
        let sql = "SELECT * FROM dispatch WHERE dispatch_id = ?1";
        self.find(sql, [id.as_bytes()], |row| stored(row))?.transpose().map_err(unreadable)
    }

    fn dispatches_of(&mut self, id: NodeId, limit: usize) -> RowResult<Vec<StoredDispatch>> {
        let sql = "SELECT * FROM dispatch INDEXED BY dispatch_of WHERE node_id = ?1 ORDER BY number DESC LIMIT ?2";
        whole(self.all(sql, params![id.as_bytes(), most(limit)], |row| stored(row))?)
    }

    fn open_dispatches(&mut self, id: Option<NodeId>) -> RowResult<Vec<StoredDispatch>> {
        whole(match id {
            Some(id) => {
                let sql = "SELECT * FROM dispatch INDEXED BY dispatch_open
                           WHERE is_open = 1 AND node_id = ?1 ORDER BY number";
                self.all(sql, [id.as_bytes()], |row| stored(row))?
            }
            None => {
                let sql = "SELECT * FROM dispatch INDEXED BY dispatch_open
                           WHERE is_open = 1 ORDER BY node_id, number";
                self.all(sql, [], |row| stored(row))?
            }
        })
    }

    fn last_dispatch(&mut self, id: NodeId) -> RowResult<Option<u64>> {
        let sql = "SELECT max(number) FROM dispatch WHERE node_id = ?1";
        let last: Option<i64> = self.one(sql, [id.as_bytes()], |row| row.get(0))?;
        Ok(last.map(i64::cast_unsigned))
    }

    fn add_dispatch(&mut self, dispatch: &StoredDispatch) -> RowResult<bool> {
        let StoredDispatch { task, life, report, made_at, changed_at } = dispatch;
        let DispatchTask { id, node_id, capability, input, max_payload, maker } = task;
        let (told, told_as) = columns(report.as_ref());
        let sql = "INSERT INTO dispatch (dispatch_id, node_id, capability, input, max_payload, maker, number, state, for_good, is_open,
                           ends_by_time, deadline, idempotent, cancelling, late, told, told_as, made_at, changed_at)
             VALUES (:id, :node_id, :capability, :input, :max_payload, :maker, :number, :state, :for_good, :is_open,
                     :ends_by_time, :deadline, :idempotent, :cancelling, :late, :told, :told_as, :made_at, :changed_at)
             ON CONFLICT DO NOTHING";
        let added = self.execute(sql, named_params! {
            ":id": id.as_bytes(), ":node_id": node_id.as_bytes(), ":capability": capability, ":input": input,
            ":max_payload": max_payload, ":maker": session(*maker), ":number": life.number.cast_signed(),
            ":state": life.state.as_str(), ":for_good": is_for_good(life.state), ":is_open": !life.state.is_over(),
            ":ends_by_time": ends_by_time(life.state), ":deadline": integer(life.deadline),
            ":idempotent": life.idempotent, ":cancelling": life.cancelling, ":late": life.late.map(DispatchEnd::as_str),
            ":told": told, ":told_as": told_as, ":made_at": integer(*made_at), ":changed_at": integer(*changed_at),
        })?;
        Ok(added == 1)
    }

    fn set_dispatch(&mut self, dispatch: &StoredDispatch) -> RowResult<()> {
        let StoredDispatch { task, life, report, made_at, changed_at } = dispatch;
        let (told, told_as) = columns(report.as_ref());
        let sql = "UPDATE dispatch SET number = :number, state = :state, for_good = :for_good, is_open = :is_open,
                          ends_by_time = :ends_by_time, deadline = :deadline, idempotent = :idempotent, cancelling = :cancelling,
                          late = :late, told = :told, told_as = :told_as, made_at = :made_at, changed_at = :changed_at
             WHERE dispatch_id = :id";
        self.execute(sql, named_params! {
            ":id": task.id.as_bytes(), ":number": life.number.cast_signed(),
            ":state": life.state.as_str(), ":for_good": is_for_good(life.state), ":is_open": !life.state.is_over(),
            ":ends_by_time": ends_by_time(life.state), ":deadline": integer(life.deadline),
            ":idempotent": life.idempotent, ":cancelling": life.cancelling, ":late": life.late.map(DispatchEnd::as_str),
            ":told": told, ":told_as": told_as, ":made_at": integer(*made_at), ":changed_at": integer(*changed_at),
        })?;
        Ok(())
    }

    fn dispatches_due(&mut self, now: UnixTime, limit: usize) -> RowResult<Vec<StoredDispatch>> {
        let sql = "SELECT * FROM dispatch INDEXED BY dispatch_due
                   WHERE ends_by_time = 1 AND deadline <= ?1 ORDER BY deadline, seq LIMIT ?2";
        whole(self.all(sql, params![integer(now), most(limit)], |row| stored(row))?)
    }

    fn next_due(&mut self) -> RowResult<Option<UnixTime>> {
        let sql =
            "SELECT min(deadline) FROM dispatch INDEXED BY dispatch_due WHERE ends_by_time = 1";
        Ok(self.one(sql, [], |row| row.get::<_, Option<i64>>(0))?.map(seconds))
    }

    fn forget_dispatches(&mut self, before: UnixTime, most: u32) -> RowResult<()> {
        let sql = "DELETE FROM dispatch WHERE seq IN (SELECT seq FROM dispatch INDEXED BY dispatch_by_change
                   WHERE changed_at < ?1 ORDER BY changed_at, seq LIMIT ?2)";
        self.execute(sql, params![integer(before), most])?;
        Ok(())
    }

    fn forget_dispatches_of(&mut self, id: NodeId, kept: usize, most: u32) -> RowResult<()> {
        let sql = "DELETE FROM dispatch WHERE seq IN (SELECT seq FROM dispatch INDEXED BY dispatch_over_of
                   WHERE is_open = 0 AND node_id = ?1 ORDER BY number DESC LIMIT ?3 OFFSET ?2)";
        self.execute(sql, params![id.as_bytes(), crate::rows::most(kept), most])?;
        Ok(())
    }

    fn capabilities(&mut self, id: NodeId) -> RowResult<Vec<Capability>> {
        let sql = "SELECT name, version, available, idempotent FROM capability WHERE node_id = ?1 ORDER BY name";
        Ok(self.all(sql, [id.as_bytes()], |row| {
            Ok(Capability {
                name: row.get(0)?,
                version: row.get(1)?,
                available: row.get(2)?,
                idempotent: row.get(3)?,
            })
        })?)
    }

    fn set_capability(&mut self, id: NodeId, capability: &Capability) -> RowResult<bool> {
        let Capability { name, version, available, idempotent } = capability;
        let sql =
            "INSERT OR REPLACE INTO capability (node_id, name, version, available, idempotent)
                   SELECT node_id, ?2, ?3, ?4, ?5 FROM node WHERE node_id = ?1";
        Ok(self.execute(sql, params![id.as_bytes(), name, version, available, idempotent])? == 1)
    }
}
