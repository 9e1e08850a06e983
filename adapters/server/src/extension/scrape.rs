//! Collection of extensions' metrics, from all of them concurrently.

use std::time::Duration;

use futures_util::future::join_all;
use serde::Deserialize;
use serde_json::json;
use tokio::time::Instant;

use super::handle::Extension;
use crate::telemetry::ForeignMetrics;

#[derive(Deserialize)]
struct Scraped {
    text: String,
}

/// Returns the metrics of all extensions that have any, in the order of the configuration. An extension that does not answer within this time, or within its own scrape
/// timeout, contributes nothing.
///
/// Only well-formed lines pass whose metric begins with the extension's own prefix and `_`, each
/// series once, at most 256 KiB per extension.
pub async fn scrape(extensions: &[Extension], within: Duration) -> ForeignMetrics {
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
                    return ForeignMetrics::default();
                }
            };
            let prefix = format!("{}_", extension.config().prefix);
            let (metrics, dropped) = ForeignMetrics::parse(&scraped.text, &prefix);
            if dropped > 0 {
                extension.dropped_metrics(dropped);
                let name = &extension.config().name;
                tracing::debug!(extension = name, dropped, "lines of metrics were dropped");
            }
            metrics
        },
    );
    join_all(all).await.into_iter().fold(ForeignMetrics::default(), |mut all, metrics| {
        all.append(metrics);
        all
    })
}
