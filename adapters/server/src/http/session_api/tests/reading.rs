use super::*;

#[tokio::test]
async fn the_metrics_tell_what_is_and_what_was() {
    let world = world().await;
    assert!(world.shows("nodot").await.is_err());
    let _session = world.session().await;
    let answer = get(&world, "/metrics", &world.session_as("reader").await).await;
    assert_eq!(answer.status, 200);
    assert!(
        answer.head.contains("content-type: application/openmetrics-text; version=1.0.0"),
        "{}",
        answer.head
    );
    for line in [
        "pairing_sessions_live 2\n",
        "pairing_bootstrap_tokens_issued_total{profile=\"companion-v1\"} 1\n",
        "pairing_bootstrap_tokens_verified_total{result=\"ok\"} 2\n",
        "pairing_bootstrap_tokens_verified_total{result=\"malformed\"} 1\n",
        "pairing_sessions_total{event=\"opened\"} 2\n",
        "pairing_verify_seconds_count 3\n",
        "pairing_redeem_seconds_count 2\n",
        "handfast_nodes{standing=\"pending\"} 0\n",
        "handfast_links 0\n",
    ] {
        assert!(answer.body.contains(line), "{line} is not in\n{}", answer.body);
    }
    assert!(answer.body.ends_with("# EOF\n"));
}

#[tokio::test]
async fn on_the_main_listener_only_bearers_that_may_read_the_metrics_read_them() {
    let world = world().await;
    for headers in ["Host: localhost\r\n", "X-Forwarded-For: 127.0.0.1\r\n", ""] {
        let answer =
            ask(&world, HERE, "GET", "/metrics", Saying { headers, ..Saying::default() }).await;
        assert_eq!(answer.status, 401, "{headers}");
        assert!(answer.head.contains("www-authenticate: bearer"), "{}", answer.head);
        assert!(
            answer.body.contains("/gateway/metrics") && answer.body.contains("--listen-metrics"),
            "{}",
            answer.body
        );
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

#[tokio::test]
async fn a_listener_of_the_metrics_has_them_for_everybody_and_nothing_else_in_the_format_that_is_asked_for()
 {
    let mut world = world().await;
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    world.address = listener.local_addr().unwrap();
    tokio::spawn(crate::serve_metrics(world.gateway.clone(), listener, std::future::pending()));
    let with = async |headers: &str| {
        ask(&world, ELSEWHERE, "GET", "/metrics", Saying { headers, ..Saying::default() }).await
    };

    let open = with("").await;
    assert!(
        open.head.contains("content-type: application/openmetrics-text; version=1.0.0"),
        "{}",
        open.head
    );
    assert!(
        open.body.contains("# TYPE pairing_sessions counter\n") && open.body.ends_with("# EOF\n"),
        "{}",
        open.body
    );
    let text = with("Accept: text/plain; version=0.0.4\r\n").await;
    assert!(text.head.contains("content-type: text/plain; version=0.0.4"), "{}", text.head);
    assert!(
        text.body.contains("# TYPE pairing_sessions_total counter\n")
            && !text.body.contains("# EOF"),
        "{}",
        text.body
    );
    assert_eq!(
        with("Host: evil.example\r\n").await.status,
        403,
        "a page that gave its name our address"
    );

    for path in ["/", "/health", "/api/v1/status", "/api/v1/session", "/pair", "/admin"] {
        assert_eq!(ask(&world, HERE, "GET", path, Saying::default()).await.status, 404, "{path}");
    }
}
