//! What gateways share: the log of changes, their leases, and the claims of links.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use crate::value::params;
use async_trait::async_trait;
use handfast_core::NodeId;

use super::hints::{Board, Hints};
use super::reader::Readers;
use super::session::Use;
use super::tx::{PostgresTx, Row};
use super::{PostgresAddress, PostgresStore, changes, writer};
use crate::StoreError;
use crate::ops::RowResult;
use crate::shared::{
    Beat, BeatAnswer, Change, ChangeKind, ChangePlace, LEASE, LinkClaim, Shared, SharingGateway,
};

/// Shortest and longest time after which changes are looked for again that were committed and could
/// not be read yet.
const HELD_BACK: [u64; 2] = [5, 1000];

/// What a store has that shares its database.
#[derive(Debug)]
pub(super) struct Sharing {
    gateway: String,
    hints: Hints,
    /// A connection of their own, because a lease must not wait for the write lock.
    beats: Readers,
    /// Milliseconds after which changes that were held back are looked for again. 0 if none were.
    held_back: AtomicU64,
}

impl Sharing {
    /// Starts what a gateway with a name needs; `None` for one without.
    pub(super) fn start(
        address: &PostgresAddress,
        board: Option<Arc<Board>>,
    ) -> Result<Option<Self>, StoreError> {
        let Some(board) = board else { return Ok(None) };
        Ok(Some(Self {
            gateway: address.gateway().to_owned(),
            hints: Hints::start(address, board)?,
            beats: Readers::start(address, 1, Use::Writing)?,
            held_back: AtomicU64::new(0),
        }))
    }

    fn note_held_back(&self, are_some: bool) {
        let [first, longest] = HELD_BACK;
        let next = match (are_some, self.held_back.load(Ordering::Relaxed)) {
            (false, _) => 0,
            (true, 0) => first,
            (true, before) => (before * 2).min(longest),
        };
        self.held_back.store(next, Ordering::Relaxed);
    }
}

impl PostgresStore {
    fn sharing(&self) -> Result<&Sharing, StoreError> {
        self.sharing.as_ref().ok_or_else(|| {
            StoreError::Refused(
                "this gateway has no name, so it shares nothing with others".to_owned(),
            )
        })
    }

    /// Facts that were cached until now may be older than what others did.
    fn facts_are_old(&self) {
        self.inbound_epoch.fetch_add(1, Ordering::Release);
    }
}

#[async_trait]
impl Shared for PostgresStore {
    fn gateway(&self) -> &str {
        self.sharing.as_ref().map_or("", |sharing| &sharing.gateway)
    }

    async fn last_change(&self) -> Result<ChangePlace, StoreError> {
        let place = self.points.point(changes::last).await?;
        self.facts_are_old();
        Ok(place)
    }

    async fn changes(
        &self,
        after: ChangePlace,
        limit: usize,
    ) -> Result<Option<Vec<Change>>, StoreError> {
        let (read, are_held_back) =
            self.points.point(move |tx| changes::after_place(tx, after, limit)).await?;
        if let Some(sharing) = &self.sharing {
            sharing.note_held_back(are_held_back);
        }
        let is_foreign =
            |it: &Change| it.kind == ChangeKind::Sender && it.gateway != self.gateway();
        if read.as_ref().is_none_or(|read| read.iter().any(is_foreign)) {
            self.facts_are_old();
        }
        Ok(read)
    }

    async fn prune_changes(&self, most: u32) -> Result<usize, StoreError> {
        let prune = move |tx: &mut PostgresTx<'_>| {
            forget_silent(tx)?;
            changes::prune(tx, most)
        };
        writer::change_then(self.writer.queue()?, prune, |_, _| ()).await
    }

    async fn hinted(&self) {
        let Some(sharing) = &self.sharing else { return std::future::pending().await };
        match sharing.held_back.load(Ordering::Relaxed) {
            0 => sharing.hints.arrived().await,
            // Whatever comes first.
            pause => {
                let pause = Duration::from_millis(pause);
                let _ = tokio::time::timeout(pause, sharing.hints.arrived()).await;
            }
        }
    }

    async fn committed(&self) {
        match &self.sharing {
            Some(sharing) => sharing.hints.committed().await,
            None => std::future::pending().await,
        }
    }

    fn hint(&self) {
        if let Some(sharing) = &self.sharing {
            sharing.hints.hint();
        }
    }

    fn carries_hints(&self, is_carried: bool) {
        if let Some(sharing) = &self.sharing {
            sharing.hints.carried_elsewhere(is_carried);
        }
    }

    async fn beat(&self, told: Beat) -> Result<BeatAnswer, StoreError> {
        let sharing = self.sharing()?;
        let gateway = sharing.gateway.clone();
        let run = self.run.get();
        sharing.beats.point(move |tx| beat(tx, &gateway, &told, run)).await
    }

    async fn claim_links(&self, links: Vec<LinkClaim>) -> Result<(), StoreError> {
        let gateway = self.sharing()?.gateway.clone();
        let claim = move |tx: &mut PostgresTx<'_>| claim(tx, &gateway, &links);
        writer::change_then(self.writer.queue()?, claim, |_, _| ()).await
    }

    async fn release_links(&self, links: Vec<LinkClaim>) -> Result<(), StoreError> {
        let gateway = self.sharing()?.gateway.clone();
        let release = move |tx: &mut PostgresTx<'_>| release(tx, &gateway, &links);
        writer::change_then(self.writer.queue()?, release, |_, _| ()).await
    }

    async fn link_at(&self, node_id: NodeId) -> Result<Option<String>, StoreError> {
        self.points.point(move |tx| link_at(tx, node_id)).await
    }

    async fn links_at(&self, nodes: Vec<NodeId>) -> Result<Vec<(NodeId, String)>, StoreError> {
        self.points.point(move |tx| links_at(tx, &nodes)).await
    }
}

fn beat(
    tx: &mut PostgresTx<'_>,
    gateway: &str,
    told: &Beat,
    run: Option<i64>,
) -> RowResult<BeatAnswer> {
    let Beat { program, address, links, behind } = told;
    let sql = "WITH told AS (
                   INSERT INTO gateway AS it (name, program, address, links, behind, run, beat_at, lease_until)
                   VALUES ($1, left($2, 255), left($3, 255), $4, $5, $6, clock_timestamp(), clock_timestamp() + $7::bigint * interval '1 millisecond')
                   ON CONFLICT (name) DO UPDATE SET program = excluded.program, address = excluded.address, links = excluded.links,
                       behind = excluded.behind, run = coalesce(excluded.run, it.run), beat_at = excluded.beat_at, lease_until = excluded.lease_until
                   RETURNING *),
               known AS (SELECT *, TRUE AS is_present FROM told UNION ALL
                   SELECT *, EXISTS (SELECT FROM present WHERE present.name = gateway.name) FROM gateway
                   WHERE name <> $1 AND beat_at > clock_timestamp() - interval '1 day')
               SELECT (extract(epoch FROM clock_timestamp()) * 1000000)::bigint AS time, name, program, address, links, behind,
                   greatest(0, extract(epoch FROM clock_timestamp() - beat_at) * 1000)::bigint AS silent, is_present
               FROM known ORDER BY name";
    let told = params![gateway, program, address, links, millis(*behind), run, millis(LEASE)];
    let rows = tx.all(sql, told, |row| Ok((row.get::<_, i64>("time")?, sharing_gateway(row)?)))?;
    let time = rows.first().map_or(0, |(time, _)| *time);
    Ok(BeatAnswer {
        time: Duration::from_micros(time.try_into().unwrap_or(0)),
        gateways: rows.into_iter().map(|(_, gateway)| gateway).collect(),
    })
}

fn sharing_gateway(row: &Row) -> RowResult<SharingGateway> {
    let time = |column| {
        let millis: i64 = row.get(column)?;
        Ok::<_, StoreError>(Duration::from_millis(millis.try_into().unwrap_or(0)))
    };
    Ok(SharingGateway {
        name: row.get("name")?,
        told: Beat {
            program: row.get("program")?,
            address: row.get("address")?,
            links: row.get("links")?,
            behind: time("behind")?,
        },
        silent: time("silent")?,
        is_present: row.get("is_present")?,
    })
}

fn claim(tx: &mut PostgresTx<'_>, gateway: &str, links: &[LinkClaim]) -> RowResult<()> {
    // Of several links of one node, the last one counts.
    let sql = "WITH taken AS (
                   INSERT INTO claim AS held (node_id, gateway, number)
                   SELECT node_id, $3, max(number) FROM unnest($1::bytea[], $2::bigint[]) AS given(node_id, number) GROUP BY node_id ORDER BY node_id
                   ON CONFLICT (node_id) DO UPDATE SET gateway = excluded.gateway, number = excluded.number
                       WHERE held.gateway <> excluded.gateway OR held.number < excluded.number
                   RETURNING node_id, number)
               INSERT INTO change (kind, node, version) SELECT 'link', node_id, number FROM taken ORDER BY node_id";
    with_links(tx, sql, gateway, links)
}

fn release(tx: &mut PostgresTx<'_>, gateway: &str, links: &[LinkClaim]) -> RowResult<()> {
    let sql = "DELETE FROM claim USING unnest($1::bytea[], $2::bigint[]) AS given(node_id, number)
               WHERE claim.node_id = given.node_id AND claim.gateway = $3 AND claim.number = given.number";
    with_links(tx, sql, gateway, links)
}

fn with_links(
    tx: &mut PostgresTx<'_>,
    sql: &str,
    gateway: &str,
    links: &[LinkClaim],
) -> RowResult<()> {
    let nodes: Vec<&[u8]> = links.iter().map(|link| link.node_id.as_bytes().as_slice()).collect();
    let number = |link: &LinkClaim| i64::try_from(link.number).unwrap_or(i64::MAX);
    let numbers: Vec<i64> = links.iter().map(number).collect();
    tx.session().execute(sql, &[&nodes, &numbers, &gateway])?;
    Ok(())
}

/// Forgets gateways that were silent for a day, and their claims.
fn forget_silent(tx: &mut PostgresTx<'_>) -> RowResult<()> {
    let sql = "WITH gone AS (DELETE FROM gateway WHERE beat_at < clock_timestamp() - interval '1 day' RETURNING name)
               DELETE FROM claim USING gone WHERE claim.gateway = gone.name";
    tx.execute(sql, params![])?;
    Ok(())
}

fn link_at(tx: &mut PostgresTx<'_>, node_id: NodeId) -> RowResult<Option<String>> {
    let sql = "SELECT claim.gateway FROM claim JOIN present ON present.name = claim.gateway WHERE claim.node_id = $1";
    tx.find(sql, params![node_id.as_bytes()], |row| row.get(0))
}

fn links_at(tx: &mut PostgresTx<'_>, nodes: &[NodeId]) -> RowResult<Vec<(NodeId, String)>> {
    let sql = "SELECT claim.node_id, claim.gateway FROM claim JOIN present ON present.name = claim.gateway WHERE claim.node_id = ANY($1::bytea[])";
    let nodes: Vec<&[u8]> = nodes.iter().map(|node_id| node_id.as_bytes().as_slice()).collect();
    let rows = tx.session().query(sql, &[&nodes])?;
    let read = |row: &tokio_postgres::Row| {
        let bad = |error: tokio_postgres::Error| StoreError::Database(error.to_string());
        let node_id: &[u8] = row.try_get(0).map_err(bad)?;
        let node_id = node_id.try_into().map_err(|_| {
            StoreError::Database("a claim is of a node whose id has another length".to_owned())
        })?;
        Ok((NodeId::from_bytes(node_id), row.try_get(1).map_err(bad)?))
    };
    rows.iter().map(read).collect()
}

fn millis(time: Duration) -> i64 {
    i64::try_from(time.as_millis()).unwrap_or(i64::MAX)
}
