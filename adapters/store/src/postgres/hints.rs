//! Hints that there are changes to read.
//!
//! A notification inside a writing transaction takes a lock of the whole server at its commit, which
//! costs all writers most of their speed. So it is sent after the commit, over a connection that
//! writes nothing, and at most once in [`PACE`]: it says that there is something, not what.

use std::future::poll_fn;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle as Thread;
use std::time::Duration;

use tokio::sync::{Notify, oneshot};
use tokio::task::JoinHandle;
use tokio_postgres::{AsyncMessage, Client};
use tokio_postgres_rustls::MakeRustlsConnect;

use super::PostgresAddress;
use super::address::CONNECT;
use super::reader::spawn;
use crate::StoreError;

/// Minimum time between two hints of a store.
const PACE: Duration = Duration::from_millis(5);
/// The same while another carrier has the hints: for gateways that it does not reach.
const RARE: Duration = Duration::from_millis(100);
/// Time after which a statement on this connection is given up.
const PATIENCE: Duration = Duration::from_secs(5);
/// Shortest and longest time between two attempts to connect.
const RETRIES: [Duration; 2] = [Duration::from_millis(50), Duration::from_secs(1)];

/// The thread that sends and receives hints.
#[derive(Debug)]
pub(super) struct Hints {
    board: Arc<Board>,
    until: Option<oneshot::Sender<()>>,
    thread: Option<Thread<()>>,
}

/// What the thread and the others tell each other.
#[derive(Debug, Default)]
pub(super) struct Board {
    /// There may be changes to read.
    arrived: Notify,
    /// This store has committed a change that others must hear of.
    committed: Notify,
    /// The same, for another carrier of hints.
    elsewhere: Notify,
    /// Another carrier has the hints.
    is_carried: AtomicBool,
}

impl Board {
    /// Notes that this store has committed a change that others must hear of.
    pub(super) fn committed(&self) {
        self.arrived.notify_one();
        self.committed.notify_one();
        self.elsewhere.notify_one();
    }
}

impl Hints {
    /// Starts the thread. It connects by itself, again and again.
    pub(super) fn start(address: &PostgresAddress, board: Arc<Board>) -> Result<Self, StoreError> {
        let tls = address.tls()?;
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
        let runtime = runtime.map_err(|problem| {
            StoreError::Database(format!("no connection can be waited for: {problem}"))
        })?;
        let (until, ended) = oneshot::channel();
        let (address, of) = (address.clone(), Arc::clone(&board));
        let thread = spawn(move || {
            runtime.block_on(async {
                tokio::select! {
                    // The other half is dropped.
                    _ = ended => {}
                    () = serve(&address, &tls, &of) => {}
                }
            });
        })?;
        Ok(Self { board, until: Some(until), thread: Some(thread) })
    }

    /// Waits until there may be changes to read. One that was missed meanwhile counts.
    pub(super) async fn arrived(&self) {
        self.board.arrived.notified().await;
    }

    /// Waits until this store has committed a change, for another carrier of hints.
    pub(super) async fn committed(&self) {
        self.board.elsewhere.notified().await;
    }

    /// Notes a hint that came over another carrier.
    pub(super) fn hint(&self) {
        self.board.arrived.notify_one();
    }

    /// Notes whether another carrier has the hints.
    pub(super) fn carried_elsewhere(&self, is_carried: bool) {
        self.board.is_carried.store(is_carried, Ordering::Relaxed);
    }
}

impl Drop for Hints {
    fn drop(&mut self) {
        self.until = None;
        if let Some(thread) = self.thread.take() {
            // It has panicked, or is done; either way it is gone.
            let _ = thread.join();
        }
    }
}

/// Sends and receives hints, over one connection after the other.
async fn serve(address: &PostgresAddress, tls: &MakeRustlsConnect, board: &Arc<Board>) {
    let [first, longest] = RETRIES;
    let mut pause = first;
    loop {
        if let Some((client, driver)) = listen(address, tls, board).await {
            pause = first;
            // Others may have sent some while nobody listened.
            board.arrived.notify_one();
            carry(&client, driver, address.gateway(), board).await;
        }
        tokio::time::sleep(pause).await;
        pause = (pause * 2).min(longest);
    }
}

/// Opens a connection that listens. `None` if there is none at present.
async fn listen(
    address: &PostgresAddress,
    tls: &MakeRustlsConnect,
    board: &Arc<Board>,
) -> Option<(Client, JoinHandle<()>)> {
    let connecting = address.config().connect(tls.clone());
    let (client, mut connection) = tokio::time::timeout(CONNECT, connecting).await.ok()?.ok()?;
    let (own, of) = (address.gateway().to_owned(), Arc::clone(board));
    let driver = tokio::spawn(async move {
        while let Some(Ok(message)) = poll_fn(|context| connection.poll_message(context)).await {
            // Its own ones come back, and were noted when they were sent.
            if let AsyncMessage::Notification(hint) = message
                && hint.payload() != own
            {
                of.arrived.notify_one();
            }
        }
    });
    match run(&client, "LISTEN handfast_change").await {
        true => Some((client, driver)),
        false => {
            driver.abort();
            None
        }
    }
}

/// Sends this store's hints until the connection is lost.
async fn carry(client: &Client, mut driver: JoinHandle<()>, gateway: &str, board: &Board) {
    // The name has no character that would need care.
    let hint = format!("NOTIFY handfast_change, '{gateway}'");
    loop {
        tokio::select! {
            // It never panics, and is not aborted here.
            _ = &mut driver => return,
            () = board.committed.notified() => {}
        }
        if !run(client, &hint).await {
            // It is sent over the next connection.
            board.committed.notify_one();
            driver.abort();
            return;
        }
        let is_rare = board.is_carried.load(Ordering::Relaxed);
        tokio::time::sleep(if is_rare { RARE } else { PACE }).await;
    }
}

/// Runs a statement. `false` if the connection cannot be used any more.
async fn run(client: &Client, sql: &str) -> bool {
    matches!(tokio::time::timeout(PATIENCE, client.batch_execute(sql)).await, Ok(Ok(())))
}
