//! The bounded pool in which tokens are hashed, off the async threads: 15 ms each would stall every connection there.

use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::sync::{Arc, Mutex};

use handfast_core::grant::token::{HashJob, Hashed};
use tokio::sync::oneshot;

/// A job and where its answer goes.
type Order = (HashJob, oneshot::Sender<Hashed>);

/// Threads that hash, behind a queue of fixed length. They end when the pool is dropped.
#[derive(Debug)]
pub(crate) struct HashPool {
    orders: SyncSender<Order>,
}

impl HashPool {
    /// As many threads as there are cores less one, at least one, so that hashing never takes the whole machine.
    ///
    /// # Errors
    /// If no thread can be started.
    pub(crate) fn start(queue: u32) -> std::io::Result<Self> {
        let cores = std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
        let (orders, inbox) = sync_channel(usize::try_from(queue).unwrap_or(usize::MAX).max(1));
        let inbox = Arc::new(Mutex::new(inbox));
        for n in 0..cores.saturating_sub(1).max(1) {
            let inbox = Arc::clone(&inbox);
            std::thread::Builder::new().name(format!("handfast-hash-{n}")).spawn(move || work(&inbox))?;
        }
        Ok(Self { orders })
    }

    /// Hashes; `None` if too many wait already.
    pub(crate) async fn hash(&self, job: HashJob) -> Option<Hashed> {
        let (answer, result) = oneshot::channel();
        self.orders.try_send((job, answer)).ok()?;
        result.await.ok()
    }
}

fn work(inbox: &Mutex<Receiver<Order>>) {
    loop {
        let order = inbox.lock().map(|inbox| inbox.recv());
        let Ok(Ok((job, answer))) = order else { return };
        // Whoever no longer waits for the answer is not worth the work.
        if !answer.is_closed() {
            let _ = answer.send(job.run());
        }
    }
}
