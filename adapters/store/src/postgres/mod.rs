//! The registry in a PostgreSQL database, for any number of gateways.
//!
//! An operation is synchronous, so it needs a thread for as long as it runs. These threads own the
//! connections: one that writes, and several that read, each waiting for its own connection alone.
//! A pool of connections beside them (deadpool) would bound the same number twice, and each answer
//! would wake two threads instead of one.
//!
//! Every wait is bounded: opening a connection, a statement, the write lock, and the queue before
//! it. What was not answered in time is [`StoreError::Timeout`], and was not done. Where a
//! connection is lost during a commit, the next one tells the outcome; it is
//! [`StoreError::OutcomeUnknown`] only if there is none in time.
//!
//! The clock is the caller's, as for every store: only the age of the log of changes and the leases
//! of gateways are by the database's. The number of a run is the database's, and each store has its
//! own, so a step of its clock moves what it made.
//!
//! | file | concern |
//! |---|---|
//! | `address` | address of the database, and TLS |
//! | `session` | a connection: statements, time-outs, errors |
//! | `migrations` | the tables |
//! | `writer` | the thread that commits groups of changes |
//! | `outcome` | the outcome of a commit whose answer was lost |
//! | `reader` | the threads that read |
//! | `tx` | the transaction that an operation runs in |
//! | `nodes` | statements for nodes |
//! | `requests` | statements for requests that wait, and rejections |
//! | `grants` | statements for grants and revocations |
//! | `codes` | statements for PINs, codes and the pairing window |
//! | `policies` | statements for approvals in advance |
//! | `provisioning` | statements for nodes that registered over HTTP |
//! | `logins` | operators' sessions and tokens |
//! | `makers` | statements for all that a session made |
//! | `sessions` | statements for companions' sessions and spent setup codes |
//! | `senders` | statements for senders on messaging channels |
//! | `time` | statements for the mark, the run and steps of the clock |
//! | `deliveries` | statements for secrets that are shown once |
//! | `changes` | the log of changes that other gateways must hear of |
//! | `hints` | the thread that sends and receives hints of them |
//! | `shared` | leases of gateways, and claims of links |
//! | `certificates` | statements for certificates and epochs |
//! | `clones` | statements for clone counters |
//! | `replacements` | statements for nodes that took the place of others |
//! | `addresses` | statements for the gateway's addresses as each node knows them |
//! | `known_keys` | statements for the gateway's key as each node knows it |
//! | `dispatches` | statements for tasks and capabilities |
//! | `audit` | statements for the audit log |
//! | `transfer` | the whole registry, as a copy reads and fills it |

mod address;
mod addresses;
mod audit;
mod certificates;
mod changes;
mod clones;
mod codes;
mod deliveries;
mod dispatches;
mod grants;
mod hints;
mod known_keys;
mod logins;
mod makers;
mod migrations;
mod nodes;
mod outcome;
mod policies;
mod provisioning;
mod reader;
mod replacements;
mod requests;
mod senders;
mod session;
mod sessions;
mod shared;
mod time;
#[cfg(feature = "sqlite")]
pub(crate) mod transfer;
mod tx;
mod writer;

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread::JoinHandle;

use tokio::sync::mpsc;

use crate::StoreError;
use crate::audit::Origin;
use crate::ops::{Database, Tx};
use crate::shared::Shared;
use hints::Board;
use outcome::Outcomes;
use reader::Readers;
use session::{Session, ThisRun, Use};
use shared::Sharing;
use tx::{Effects, PostgresTx};

pub use address::PostgresAddress;

/// Number of connections for point reads, so that the writer and these together are eight.
const POINTS: usize = 5;
/// Number of connections for listings, so that a long one delays no point read.
const PAGES: usize = 2;
/// Maximum number of changes that wait for the thread; further callers wait for a place.
const QUEUE: usize = 256;

/// A [`Store`](crate::Store) in a PostgreSQL database, which other gateways may use at the same
/// time.
///
/// All of it lies in the database's schema `handfast`. It opens up to eight connections, and opens
/// them again after they were lost. Dropping the store waits for the changes under way.
///
/// A gateway that shares the database has a name ([`PostgresAddress::with_gateway`]), and then
/// [`Shared`]: one connection more for its leases, and one for hints. The
/// [epoch of the facts](crate::Inbound::inbound_epoch) counts this gateway's changes, and those of
/// others once they were read.
#[derive(Debug)]
pub struct PostgresStore {
    points: Readers,
    pages: Readers,
    writer: Writer,
    sharing: Option<Sharing>,
    run: ThisRun,
    inbound_epoch: Arc<AtomicU64>,
}

impl PostgresStore {
    /// Opens the database, and creates or migrates the schema in it. Blocks until the database has
    /// answered.
    ///
    /// # Errors
    /// [`StoreError::Unreachable`] or [`StoreError::Timeout`] if the database does not answer, and
    /// [`StoreError::Refused`] if a newer version wrote the registry, the database is none that can
    /// hold one, or a pooler in between gives no session. Nothing is changed in any of these cases.
    pub fn open(address: &PostgresAddress) -> Result<Self, StoreError> {
        let run = ThisRun::default();
        let board = (!address.gateway().is_empty()).then(Arc::<Board>::default);
        Ok(Self {
            writer: Writer::start(address, run.clone(), board.clone())?,
            points: Readers::start(address, POINTS, Use::Reading)?,
            pages: Readers::start(address, PAGES, Use::Reading)?,
            sharing: Sharing::start(address, board)?,
            run,
            inbound_epoch: Arc::default(),
        })
    }
}

impl PostgresAddress {
    /// Looks whether the database answers, and whether this version can work on the registry in it,
    /// if there is one. Returns the registry's sealed [`GATEWAY_KEYS`](crate::GATEWAY_KEYS), if it
    /// has any. Nothing is changed. Blocks until the database has answered.
    ///
    /// # Errors
    /// As [`PostgresStore::open`].
    pub fn look(&self) -> Result<Option<Vec<u8>>, StoreError> {
        migrations::look(&mut Session::new(self.clone(), Use::Reading, ThisRun::default())?)
    }

    /// Returns `true` if a gateway with this address's name serves the registry, or has died
    /// within its lease. Two with one name would take each other's links for their own. Blocks until
    /// the database has answered.
    ///
    /// # Errors
    /// [`StoreError`] if it cannot be read.
    pub fn is_name_taken(&self) -> Result<bool, StoreError> {
        let mut session = Session::new(self.clone(), Use::Reading, ThisRun::default())?;
        session.ready()?;
        let sql = "SELECT FROM present WHERE name = $1";
        Ok(!session.query(sql, &[&self.gateway()])?.is_empty())
    }
}

/// The handle of the writing thread.
#[derive(Debug)]
struct Writer {
    queue: Option<mpsc::Sender<writer::Change>>,
    thread: Option<JoinHandle<()>>,
}

impl Writer {
    fn start(
        address: &PostgresAddress,
        run: ThisRun,
        board: Option<Arc<Board>>,
    ) -> Result<Self, StoreError> {
        let (queue, arriving) = mpsc::channel(QUEUE);
        let (tell, opened) = std::sync::mpsc::channel();
        let (address, patience) = (address.clone(), address.patience());
        let thread = reader::spawn(move || {
            let open = || {
                let mut session = Session::new(address, Use::Writing, run)?;
                session.refuse_pooler()?;
                migrations::migrate(&mut session)?;
                let outcomes = Outcomes::new(&mut session)?;
                Ok::<_, StoreError>((session, outcomes))
            };
            match open() {
                Ok((mut session, mut outcomes)) => {
                    // The opener waits for this answer.
                    let _ = tell.send(Ok(()));
                    let board = board.as_deref();
                    writer::serve(&mut session, &mut outcomes, arriving, patience, board);
                }
                Err(error) => {
                    let _ = tell.send(Err(error));
                }
            }
        })?;
        let writer = Self { queue: Some(queue), thread: Some(thread) };
        let stopped = || StoreError::Database("the writing thread has stopped".to_owned());
        opened.recv().map_err(|_| stopped())??;
        Ok(writer)
    }

    fn queue(&self) -> Result<&mpsc::Sender<writer::Change>, StoreError> {
        let stopped = || StoreError::Database("the writing thread has stopped".to_owned());
        self.queue.as_ref().ok_or_else(stopped)
    }
}

impl Drop for Writer {
    fn drop(&mut self) {
        // Dropping the sender ends the thread once the queue is empty.
        self.queue = None;
        if let Some(thread) = self.thread.take() {
            // The thread has panicked, or is done; either way it is gone.
            let _ = thread.join();
        }
    }
}

impl Database for PostgresStore {
    type Base = Self;

    fn base(self: Arc<Self>) -> Arc<Self> {
        self
    }

    fn origin(&self) -> Origin {
        Origin::GATEWAY
    }

    async fn change<T, E>(
        &self,
        operation: impl FnOnce(&mut dyn Tx) -> Result<T, E> + Send + 'static,
    ) -> Result<T, E>
    where
        T: Send + 'static,
        E: From<StoreError> + Send + 'static,
    {
        let queue = self.writer.queue()?;
        let (epoch, run) = (Arc::clone(&self.inbound_epoch), self.run.clone());
        let make = move |tx: &mut PostgresTx<'_>| Ok((operation(tx)?, tx.effects));
        let before_answer = move |(_, effects): &(T, Effects), is_committed| {
            // Facts cached under the new number were read when the change was visible.
            if effects.facts_changed {
                epoch.fetch_add(1, Ordering::Release);
            }
            // The connection has it already, and the next one takes it from here.
            if let (Some(begun), true) = (effects.begun, is_committed) {
                run.set(begun);
            }
        };
        writer::change_then(queue, make, before_answer).await.map(|(made, _)| made)
    }

    async fn point<T: Send + 'static>(
        &self,
        read: impl FnOnce(&mut dyn Tx) -> Result<T, StoreError> + Send + 'static,
    ) -> Result<T, StoreError> {
        self.points.point(|tx| read(tx)).await
    }

    async fn page<T: Send + 'static>(
        &self,
        read: impl FnOnce(&mut dyn Tx) -> Result<T, StoreError> + Send + 'static,
    ) -> Result<T, StoreError> {
        self.pages.page(|tx| read(tx)).await
    }

    fn epoch(&self) -> u64 {
        self.inbound_epoch.load(Ordering::Acquire)
    }

    fn forgets(&self) -> bool {
        false
    }

    fn shared(self: Arc<Self>) -> Option<Arc<dyn Shared>> {
        self.sharing.is_some().then_some(self as Arc<dyn Shared>)
    }
}
