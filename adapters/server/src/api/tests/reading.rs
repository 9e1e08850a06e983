use super::*;

async fn metrics(world: &World, headers: &str) -> Answer {
    ask(world, HERE, "GET", "/metrics", Saying { headers, ..Saying::default() }).await
}

#[tokio::test]
async fn the_metrics_tell_what_is_and_what_was() {
    let world = world().await;
    assert!(world.shows("nodot").await.is_err());
    let _session = world.session().await;
    let answer = metrics(&world, "").await;
    assert_eq!(answer.status, 200);
    assert!(answer.head.contains("content-type: application/openmetrics-text; version=1.0.0"), "{}", answer.head);
    for line in [
        "pairing_sessions_live 1\n",
        "pairing_bootstrap_tokens_issued_total{profile=\"companion-v1\"} 1\n",
        "pairing_bootstrap_tokens_verified_total{result=\"ok\"} 1\n",
        "pairing_bootstrap_tokens_verified_total{result=\"malformed\"} 1\n",
        "pairing_sessions_total{event=\"opened\"} 1\n",
        "pairing_verify_seconds_count 2\n",
        "pairing_redeem_seconds_count 1\n",
        "handfast_nodes{standing=\"pending\"} 0\n",
        "handfast_links 0\n",
    ] {
        assert!(answer.body.contains(line), "{line} is not in\n{}", answer.body);
    }
    assert!(answer.body.ends_with("# EOF\n"));
}

#[tokio::test]
async fn only_this_machine_and_sessions_that_may_read_the_metrics() {
    let world = world().await;
    for headers in ["Host: localhost\r\n", "Host: [::1]:1\r\n", ""] {
        assert_eq!(metrics(&world, headers).await.status, 200, "{headers}");
    }
    for headers in [
        "X-Forwarded-For: 127.0.0.1\r\n",
        "Forwarded: for=127.0.0.1\r\n",
        "Via: 1.1 proxy\r\n",
        "Host: evil.example\r\n",
        "Host: localhost.evil.example:8765\r\n",
    ] {
        let answer = metrics(&world, headers).await;
        assert_eq!(answer.status, 403, "{headers}");
        assert!(answer.body.contains("/gateway/metrics"));
    }
    for (profile, status) in [("reader", 200), ("admin", 200), ("one", 403), ("none", 403)] {
        let token = world.session_as(profile).await;
        let says = Saying { headers: "X-Forwarded-For: 192.0.2.1\r\n", ..by(&token) };
        assert_eq!(ask(&world, HERE, "GET", "/metrics", says).await.status, status, "{profile}");
    }
    assert_eq!(get(&world, "/metrics", "wrong").await.code(), (401, "bearer_unknown".to_owned()));
    assert_eq!(ask(&world, HERE, "GET", "/metrics", by("")).await.status, 401);
    assert_eq!(ask(&world, HERE, "POST", "/metrics", Saying::default()).await.status, 405);
}
