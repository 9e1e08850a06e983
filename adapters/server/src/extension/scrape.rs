//! What extensions add to the gateway's metrics, asked of all of them at once.

use std::time::Duration;

use futures_util::future::join_all;
use serde::Deserialize;
use serde_json::json;
use tokio::time::Instant;

use super::handle::Extension;
use super::prometheus;

#[derive(Deserialize)]
struct Scraped {
    text: String,
}

/// The metrics of all extensions that have any, in the order of the configuration, each line with
/// its end. Who does not answer within this time, or within its own scrape timeout, has none this
/// time.
///
/// Of what they say, only well-formed lines pass whose metric begins with their own prefix and `_`,
/// each series once, at most 256 KiB an extension: the text fits into a Prometheus or OpenMetrics
/// exposition, before its `# EOF`, whatever they say.
pub async fn scrape(extensions: &[Extension], within: Duration) -> String {
    let until = Instant::now() + within;
    let all = extensions.iter().filter(|extension| extension.config().metrics).map(
        |extension| async move {
            let within = extension
                .config()
                .timeouts
                .scrape
                .min(until.saturating_duration_since(Instant::now()));
            let scraped: Scraped = match extension
                .ask(&extension.method("metrics.scrape"), &json!({}), within)
                .await
            {
                Ok(scraped) => scraped,
                Err(error) => {
                    tracing::debug!(%error, "an extension says no metrics");
                    return String::new();
                }
            };
            let cleaned =
                prometheus::clean(&scraped.text, &format!("{}_", extension.config().prefix));
            if cleaned.dropped > 0 {
                extension.dropped_metrics(cleaned.dropped);
                let name = &extension.config().name;
                tracing::debug!(
                    extension = name,
                    dropped = cleaned.dropped,
                    "lines of metrics were dropped"
                );
            }
            cleaned.text
        },
    );
    join_all(all).await.concat()
}
