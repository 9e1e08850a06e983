//! The rows of dispatches and of capabilities.

use crate::value::params;
use handfast_core::link::dispatch::DispatchEnd;
use handfast_core::wire::native::link::DispatchId;
use handfast_core::{NodeId, UnixTime};

use super::tx::PostgresTx;
use crate::ops::{DispatchRows, RowResult, ends_by_time};
use crate::rows::dispatches::{columns, is_for_good, stored, unreadable, whole};
use crate::rows::{integer, most, seconds, session};
use crate::{Capability, DispatchTask, StoredDispatch};

impl DispatchRows for PostgresTx<'_> {
    fn dispatch(&mut self, id: DispatchId) -> RowResult<Option<StoredDispatch>> {
        let sql = "SELECT * FROM dispatch WHERE dispatch_id = $1";
        self.find(sql, params![id.as_bytes()], stored)?.transpose().map_err(unreadable)
    }

    fn dispatches_of(&mut self, id: NodeId, limit: usize) -> RowResult<Vec<StoredDispatch>> {
        let sql = "SELECT * FROM dispatch WHERE node_id = $1 ORDER BY number DESC LIMIT $2";
        whole(self.all(sql, params![id.as_bytes(), most(limit)], stored)?)
    }

    fn open_dispatches(&mut self, id: Option<NodeId>) -> RowResult<Vec<StoredDispatch>> {
        whole(match id {
            Some(id) => {
                let sql = "SELECT * FROM dispatch
                           WHERE is_open AND node_id = $1 ORDER BY number";
                self.all(sql, params![id.as_bytes()], stored)?
            }
            None => {
                let sql = "SELECT * FROM dispatch
                           WHERE is_open ORDER BY node_id, number";
                self.all(sql, params![], stored)?
            }
        })
    }

    fn last_dispatch(&mut self, id: NodeId) -> RowResult<Option<u64>> {
        let sql = "SELECT max(number) FROM dispatch WHERE node_id = $1";
        let last: Option<i64> = self.one(sql, params![id.as_bytes()], |row| row.get(0))?;
        Ok(last.map(i64::cast_unsigned))
    }

    fn add_dispatch(&mut self, dispatch: &StoredDispatch) -> RowResult<bool> {
        let StoredDispatch { task, life, report, made_at, changed_at } = dispatch;
        let DispatchTask { id, node_id, capability, input, max_payload, maker } = task;
        let (told, told_as) = columns(report.as_ref());
        let sql = "INSERT INTO dispatch (dispatch_id, node_id, capability, input, max_payload, maker, number, state, for_good, is_open,
                           ends_by_time, deadline, idempotent, cancelling, late, told, told_as, made_at, changed_at)
             VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10,
                     $11, $12, $13, $14, $15, $16, $17, $18, $19)
             ON CONFLICT DO NOTHING";
        let added = self.execute(
            sql,
            params![
                id.as_bytes(),
                node_id.as_bytes(),
                capability,
                input,
                max_payload,
                session(*maker),
                life.number.cast_signed(),
                life.state.as_str(),
                is_for_good(life.state),
                !life.state.is_over(),
                ends_by_time(life.state),
                integer(life.deadline),
                life.idempotent,
                life.cancelling,
                life.late.map(DispatchEnd::as_str),
                told,
                told_as,
                integer(*made_at),
                integer(*changed_at),
            ],
        )?;
        Ok(added == 1)
    }

    fn set_dispatch(&mut self, dispatch: &StoredDispatch) -> RowResult<()> {
        let StoredDispatch { task, life, report, made_at, changed_at } = dispatch;
        let (told, told_as) = columns(report.as_ref());
        // A cancellation, and a task that is to be sent again, are for the gateway that has the
        // node's link. One that only goes on under way says nothing new.
        let sql =
            "WITH before AS (SELECT node_id, cancelling, state FROM dispatch WHERE dispatch_id = $1),
                   told AS (INSERT INTO change (kind, node) SELECT 'dispatch', node_id FROM before
                            WHERE $9 AND NOT cancelling OR $3 = 'queued' AND state <> 'queued')
             UPDATE dispatch SET number = $2, state = $3, for_good = $4, is_open = $5,
                          ends_by_time = $6, deadline = $7, idempotent = $8, cancelling = $9,
                          late = $10, told = $11, told_as = $12, made_at = $13, changed_at = $14
             WHERE dispatch_id = $1";
        self.execute(
            sql,
            params![
                task.id.as_bytes(),
                life.number.cast_signed(),
                life.state.as_str(),
                is_for_good(life.state),
                !life.state.is_over(),
                ends_by_time(life.state),
                integer(life.deadline),
                life.idempotent,
                life.cancelling,
                life.late.map(DispatchEnd::as_str),
                told,
                told_as,
                integer(*made_at),
                integer(*changed_at),
            ],
        )?;
        Ok(())
    }

    fn dispatches_due(&mut self, now: UnixTime, limit: usize) -> RowResult<Vec<StoredDispatch>> {
        let sql = "SELECT * FROM dispatch
                   WHERE ends_by_time AND deadline <= $1 ORDER BY deadline, seq LIMIT $2";
        whole(self.all(sql, params![integer(now), most(limit)], stored)?)
    }

    fn next_due(&mut self) -> RowResult<Option<UnixTime>> {
        let sql = "SELECT min(deadline) FROM dispatch WHERE ends_by_time";
        Ok(self.one(sql, params![], |row| row.get::<_, Option<i64>>(0))?.map(seconds))
    }

    fn forget_dispatches(&mut self, before: UnixTime, most: u32) -> RowResult<()> {
        let sql = "DELETE FROM dispatch WHERE seq IN (SELECT seq FROM dispatch
                   WHERE changed_at < $1 ORDER BY changed_at, seq LIMIT $2)";
        self.execute(sql, params![integer(before), most])?;
        Ok(())
    }

    fn forget_dispatches_of(&mut self, id: NodeId, kept: usize, most: u32) -> RowResult<()> {
        let sql = "DELETE FROM dispatch WHERE seq IN (SELECT seq FROM dispatch
                   WHERE NOT is_open AND node_id = $1 ORDER BY number DESC LIMIT $3 OFFSET $2)";
        self.execute(sql, params![id.as_bytes(), crate::rows::most(kept), most])?;
        Ok(())
    }

    fn capabilities(&mut self, id: NodeId) -> RowResult<Vec<Capability>> {
        let sql = "SELECT name, version, available, idempotent FROM capability WHERE node_id = $1 ORDER BY name";
        self.all(sql, params![id.as_bytes()], |row| {
            Ok(Capability {
                name: row.get(0)?,
                version: row.get(1)?,
                available: row.get(2)?,
                idempotent: row.get(3)?,
            })
        })
    }

    fn set_capability(&mut self, id: NodeId, capability: &Capability) -> RowResult<bool> {
        let Capability { name, version, available, idempotent } = capability;
        let sql =
            "INSERT INTO capability (node_id, name, version, available, idempotent)
                   SELECT node_id, $2::text, $3::text, $4::boolean, $5::boolean FROM node WHERE node_id = $1
                   ON CONFLICT (node_id, name) DO UPDATE SET version = $3, available = $4, idempotent = $5";
        Ok(self.execute(sql, params![id.as_bytes(), name, version, available, idempotent])? == 1)
    }
}
