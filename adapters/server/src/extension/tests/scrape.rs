use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use futures_util::FutureExt;
use futures_util::future::join_all;
use serde_json::json;

use super::super::{ExtensionConfig, Extensions, Services};
use super::{LONG, bare, served};

fn with_metrics(mut config: ExtensionConfig) -> ExtensionConfig {
    config.metrics = true;
    config
}

#[tokio::test]
async fn all_are_asked_at_once_and_a_silent_or_lying_one_takes_nothing_from_the_others() {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let silent = ExtensionConfig::http(
        "silent",
        "silent",
        &format!("http://{}/", listener.local_addr().unwrap()),
    );
    let good = served(bare("good"), |method, _| {
        assert_eq!(method, "good.metrics.scrape");
        json!({"text": "# TYPE good_things gauge\ngood_things 3\n# EOF\n"})
    });
    let lying = served(
        bare("liar"),
        |_, _| json!({"text": "good_things 9\npairing_approvals_total 1\nliar_x 1\n# EOF\nx"}),
    );
    let unasked = served(bare("unasked"), |_, _| json!({"text": "unasked_x 1\n"}));
    let malformed = served(bare("malformed"), |_, _| json!({"text": 5}));
    let (good, lying, unasked, malformed) = tokio::join!(good, lying, unasked, malformed);
    let mut configs: Vec<_> =
        [silent, lying, malformed, bare("dead"), good].into_iter().map(with_metrics).collect();
    configs[0].timeouts.scrape = Duration::from_millis(300);
    configs.push(unasked);
    let extensions = Extensions::new(configs, Services::default()).unwrap();
    let text = extensions.scrape(LONG).await.text();
    assert_eq!(text, "liar_x 1\n# TYPE good_things gauge\ngood_things 3\n");
    let dropped: Vec<u64> =
        extensions.status().iter().map(|status| status.metrics_dropped).collect();
    assert_eq!(dropped, [0, 4, 0, 0, 1, 0]);
    assert!(extensions.status()[0].last_error.as_ref().unwrap().contains("did not answer within"));
}

#[tokio::test]
async fn whoever_asks_at_the_same_time_or_right_after_has_the_same_metrics() {
    let asked = Arc::new(AtomicUsize::new(0));
    let counted = asked.clone();
    let config = served(
        bare("good"),
        move |_, _| json!({"text": format!("good_x {}\n", counted.fetch_add(1, Ordering::SeqCst))}),
    );
    let extensions =
        Extensions::new(vec![with_metrics(config.await)], Services::default()).unwrap();
    let all = join_all((0..20).map(|_| extensions.scrape(LONG))).await;
    assert!(all.iter().all(|metrics| metrics.text() == "good_x 0\n"), "{all:?}");
    // The first caller is gone, but the others get the result all the same.
    tokio::time::pause();
    tokio::time::advance(Duration::from_secs(1)).await;
    tokio::time::resume();
    assert!(extensions.scrape(LONG).now_or_never().is_none());
    assert_eq!(extensions.scrape(LONG).await.text(), "good_x 1\n");
    assert_eq!(asked.load(Ordering::SeqCst), 2);
}
