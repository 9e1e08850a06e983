//! Polling of extensions for new items.

use std::sync::Arc;
use std::time::Duration;

use serde::Deserialize;
use serde_json::json;
use serde_json::value::RawValue;
use tokio::sync::Semaphore;

use super::handle::{Extension, Problem};
use super::host::{Cursors, Items};
use super::rules::RestartBackoff;

/// Maximum number of extensions whose items are processed at once.
pub(super) const MOST_TICKS: usize = 4;
/// Maximum length of a cursor in bytes.
pub(super) const CURSOR_BYTES: usize = 4096;
/// Maximum number of items of one poll.
pub(super) const MOST_ITEMS: usize = 1000;
/// Maximum wait after failed polls, unless the interval is longer.
const MOST_WAIT: Duration = Duration::from_secs(600);
/// Limit for the gateway to store a cursor or process items.
const OURS_WITHIN: Duration = Duration::from_secs(60);

#[derive(Deserialize)]
struct Tick {
    cursor: String,
    // Kept as text until its turn: an invalid item costs only itself, and a waiting poll holds no
    // more than the length of its line.
    items: Vec<Box<RawValue>>,
}

/// Destinations of cursors and items, and the permits for processing them.
#[derive(Clone)]
pub(super) struct Poller {
    pub(super) cursors: Arc<dyn Cursors>,
    pub(super) items: Arc<dyn Items>,
    pub(super) ticks: Arc<Semaphore>,
}

impl Poller {
    /// Polls one extension forever: at once, then at each interval, and less and less often while
    /// that fails.
    pub(super) async fn run(self, extension: Extension, every: Duration) {
        let mut backoff = RestartBackoff::new(every, MOST_WAIT.max(every), Duration::MAX);
        loop {
            let wait = match self.tick(&extension).await {
                Ok(()) => {
                    backoff = RestartBackoff::new(every, MOST_WAIT.max(every), Duration::MAX);
                    every
                }
                Err(problem) => {
                    let wait = backoff.after(Duration::ZERO);
                    let extension = &extension.config().name;
                    tracing::warn!(
                        extension,
                        problem,
                        ?wait,
                        "an extension could not be polled; it is tried again"
                    );
                    wait
                }
            };
            tokio::time::sleep(wait).await;
        }
    }

    async fn tick(&self, extension: &Extension) -> Result<(), String> {
        let config = extension.config();
        let name = config.name.as_str();
        let cursor = ours(self.cursors.load(name)).await?;
        let asked = extension
            .ask(&extension.method("poll.tick"), &json!({ "cursor": cursor }), config.timeouts.poll)
            .await;
        let tick: Tick = asked.map_err(|error| error.problem.to_string())?;
        let wrong =
            |what: String| Err(extension.failed(Problem::Malformed(what)).problem.to_string());
        if tick.cursor.len() > CURSOR_BYTES {
            return wrong(format!("a cursor of more than {CURSOR_BYTES} bytes"));
        }
        if tick.items.len() > MOST_ITEMS {
            return wrong(format!("more than {MOST_ITEMS} items"));
        }
        // Acquired only for the gateway's own work, so that a slow extension takes no turn from
        // another one.
        let _turn = self.ticks.acquire().await.map_err(|error| error.to_string())?;
        let said = tick.items.len();
        let items: Vec<_> =
            tick.items.iter().filter_map(|item| serde_json::from_str(item.get()).ok()).collect();
        if items.len() < said {
            let dropped = said - items.len();
            tracing::warn!(
                extension = name,
                dropped,
                "items that are nested too deeply, or hold what is no Unicode, are dropped"
            );
        }
        if !items.is_empty() {
            ours(self.items.take(name, items)).await?;
        }
        // The cursor moves last, so items that were not taken come again.
        if cursor.as_deref() != Some(tick.cursor.as_str()) {
            ours(self.cursors.keep(name, tick.cursor)).await?;
        }
        Ok(())
    }
}

async fn ours<T>(work: impl Future<Output = Result<T, String>>) -> Result<T, String> {
    tokio::time::timeout(OURS_WITHIN, work).await.unwrap_or_else(|_| {
        Err(format!("the gateway did not get done with it within {OURS_WITHIN:?}"))
    })
}
