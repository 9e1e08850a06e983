use super::*;

#[tokio::test]
async fn a_stolen_get_of_the_login_link_spends_nothing() {
    let world = world().await;
    let secret = link(&world, Role::Operator);
    for method in ["GET", "HEAD"] {
        for path in
            ["/login".to_owned(), format!("/login?{secret}"), format!("/login/look?{secret}")]
        {
            let answer = ask(&world, ELSEWHERE, method, &path, ("", "")).await;
            assert!(answer.headers("set-cookie").is_empty(), "{answer:?}");
        }
    }
    let look = ask(&world, HERE, "POST", "/login/look", (&own(&world), &with(&secret))).await;
    let expected = json!({"name": "Ana", "role": "operator", "gateway": "this gateway"});
    assert_eq!((look.status, look.json()), (200, expected));
    assert!(look.headers("set-cookie").is_empty());
    assert_eq!(spend(&world, HERE, &secret).await.status, 200);
}

#[tokio::test]
async fn the_page_runs_its_own_script_alone_and_no_other_page_frames_it() {
    let world = world().await;
    let page = ask(&world, HERE, "GET", "/login", ("", "")).await;
    let policy = page.headers("content-security-policy")[0];
    assert!(policy.contains("default-src 'none'") && policy.contains("frame-ancestors 'none'"));
    assert!(!policy.contains("unsafe"), "{policy}");
    assert_eq!(page.headers("cache-control"), ["no-store"]);
    assert_eq!(page.headers("referrer-policy"), ["no-referrer"]);
    for inline in ["onclick", "onload", "style=", "<script>", "http:", "https:", "//"] {
        assert!(!page.body.contains(inline), "{inline}");
    }
    let script = ask(&world, HERE, "GET", "/login.js", ("", "")).await;
    assert_eq!(script.headers("content-type"), ["text/javascript; charset=utf-8"]);
    assert_eq!(ask(&world, HERE, "GET", "/login.css", ("", "")).await.status, 200);
}

#[tokio::test]
async fn a_secret_opens_one_session_however_many_show_it_at_once() {
    let world = std::sync::Arc::new(world().await);
    let secret = link(&world, Role::Operator);
    let mut tasks = tokio::task::JoinSet::new();
    for _ in 0..8 {
        let (world, secret) = (std::sync::Arc::clone(&world), secret.clone());
        tasks.spawn(async move { spend(&world, HERE, &secret).await.status });
    }
    let statuses = tasks.join_all().await;
    assert_eq!(statuses.iter().filter(|status| **status == 200).count(), 1, "{statuses:?}");
    assert_eq!(spend(&world, HERE, &secret).await.code(), (401, "login_used".to_owned()));
}

#[tokio::test]
async fn a_foreign_page_logs_nobody_in_and_changes_nothing() {
    let world = world().await;
    let secret = link(&world, Role::Owner);
    let json = "Content-Type: application/json\r\n";
    let address = world.address;
    for headers in [
        format!("Origin: https://evil.example\r\n{json}"),
        format!("Origin: null\r\n{json}"),
        format!("Origin: http://127.0.0.1:1\r\n{json}"),
        format!("Origin: http://{address}\r\nSec-Fetch-Site: cross-site\r\n{json}"),
        format!("Origin: http://{address}\r\nSec-Fetch-Site: same-site\r\n{json}"),
        json.to_owned(),
    ] {
        let answer = ask(&world, HERE, "POST", "/login", (&headers, &with(&secret))).await;
        assert_eq!(answer.code(), (403, "origin_not_allowed".to_owned()), "{headers}");
    }
    let form = format!("Origin: http://{address}\r\nContent-Type: text/plain\r\n");
    let answer = ask(&world, HERE, "POST", "/login", (&form, &with(&secret))).await;
    assert_eq!(answer.code(), (400, "usage".to_owned()), "a form sends no JSON");

    let browser = Browser::of(&world, Role::Owner).await;
    let other = Browser::of(&world, Role::Owner).await;
    let (own, cookie) = (own(&world), &browser.cookie);
    let csrf = |token: &str| format!("X-Handfast-CSRF: {token}\r\n");
    for (headers, code) in [
        (format!("{cookie}{own}"), "csrf"),
        (format!("{cookie}{own}{}", csrf("")), "csrf"),
        (format!("{cookie}{own}{}", csrf(&other.csrf)), "csrf"),
        (format!("{cookie}{own}{0}{0}", csrf(&browser.csrf)), "csrf"),
        (format!("{cookie}{}", csrf(&browser.csrf)), "origin_not_allowed"),
        (
            format!("{cookie}Origin: https://evil.example\r\n{}", csrf(&browser.csrf)),
            "origin_not_allowed",
        ),
        (
            format!("{cookie}{own}Sec-Fetch-Site: same-site\r\n{}", csrf(&browser.csrf)),
            "origin_not_allowed",
        ),
    ] {
        for path in ["/api/v1/pairing", "/logout"] {
            let answer = ask(&world, HERE, "POST", path, (&headers, r#"{"open":true}"#)).await;
            assert_eq!(answer.code(), (403, code.to_owned()), "{path} {headers}");
        }
    }
    assert!(!world.gateway.pairing_status().await.unwrap().open);
    let opened = browser.post(&world, "/api/v1/pairing", r#"{"open":true,"for_seconds":60}"#).await;
    assert_eq!(opened.status, 200, "{opened:?}");
}

#[tokio::test]
async fn guessing_is_429_per_source_and_keeps_nobody_else_out() {
    let limits = Limits { failures_per_minute: 3, ..Limits::DEFAULT };
    let builder = Gateway::builder(MemoryStore::default()).setup(settings()).limits(limits);
    let world = World::of(builder.logins(logins())).await;
    let (secret, browser) = (link(&world, Role::Operator), Browser::of(&world, Role::Viewer).await);
    let wrong = "AAAAAAAAAAAAAAAAAAAAAA";
    for attempt in 0..6 {
        let path = if attempt % 2 == 0 { "/login" } else { "/login/look" };
        let answer = ask(&world, ELSEWHERE, "POST", path, (&own(&world), &with(wrong))).await;
        let expected = if attempt < 3 { (401, "login_used") } else { (429, "rate_limited") };
        assert_eq!(answer.code(), (expected.0, expected.1.to_owned()), "{attempt}");
    }
    let right = spend(&world, ELSEWHERE, &secret).await;
    assert_eq!(right.status, 429, "not even the right one, so nothing is learnt by it");
    // A wrong cookie is charged to the same budget, and a right one is never limited.
    let forged = format!("Cookie: handfast-{}=AAAA.AAAA\r\n", world.address.port());
    let answer = ask(&world, ELSEWHERE, "GET", "/api/v1/status", (&forged, "")).await;
    assert_eq!(answer.code(), (429, "rate_limited".to_owned()));
    let answer = ask(&world, ELSEWHERE, "GET", "/api/v1/status", (&browser.cookie, "")).await;
    assert_eq!(answer.status, 200);
    for _ in 0..9 {
        let look = ask(&world, HERE, "POST", "/login/look", (&own(&world), &with(&secret))).await;
        assert_eq!(look.status, 200, "looking at a right one costs nothing");
    }
    assert_eq!(spend(&world, HERE, &secret).await.status, 200);
}

#[tokio::test]
async fn behind_a_listed_proxy_guessing_is_charged_to_the_client_that_it_names() {
    let limits = Limits { failures_per_minute: 2, ..Limits::DEFAULT };
    let proxies =
        ProxySettings { trusted: vec!["127.0.0.2".parse().unwrap()], ..ProxySettings::default() };
    let addresses =
        Candidates { public: Some("wss://gateway.example".to_owned()), ..Candidates::default() };
    let setup = SetupSettings { addresses, ..settings() };
    let builder = Gateway::builder(MemoryStore::default()).setup(setup).limits(limits);
    let world = World::of(builder.proxies(proxies).logins(logins())).await;
    let made = world.gateway.make_login_link(None, Role::Operator).unwrap();
    let (page, secret) = made.url.split_once('#').unwrap();
    assert_eq!(page, "https://gateway.example/login");
    let of = |client: &str| {
        format!(
            "Origin: https://gateway.example\r\nContent-Type: application/json\r\nX-Forwarded-For: {client}\r\n"
        )
    };
    for expected in [401, 401, 429] {
        let says = (&*of("192.0.2.1"), &*with("AAAAAAAAAAAAAAAAAAAAAA"));
        assert_eq!(ask(&world, ELSEWHERE, "POST", "/login", says).await.status, expected);
    }
    let answer = ask(&world, ELSEWHERE, "POST", "/login", (&of("192.0.2.2"), &with(secret))).await;
    assert_eq!(answer.status, 200, "{answer:?}");
    let set = answer.headers("set-cookie")[0];
    assert!(set.starts_with("__Host-handfast=") && set.ends_with("; Secure"), "{set}");
    let cookie = format!("Cookie: {}\r\n{}", answer.cookie(), of("192.0.2.2"));
    assert_eq!(ask(&world, ELSEWHERE, "GET", "/api/v1/status", (&cookie, "")).await.status, 200);
    let used = world.gateway.logins(handfast_core::registry::logins::LoginKind::Session).await;
    assert_eq!(used.unwrap()[0].used_from, Some("192.0.2.2".parse().unwrap()));
}

#[tokio::test]
async fn a_session_is_not_opened_or_used_over_a_plain_connection_from_elsewhere() {
    let world = world().await;
    let (secret, browser) = (link(&world, Role::Operator), Browser::of(&world, Role::Owner).await);
    // A proxy on this machine asks for somebody elsewhere, and no public URL says that it is
    // encrypted; what the proxy says itself plays no part.
    let elsewhere = "X-Forwarded-For: 192.0.2.7\r\nX-Forwarded-Proto: https\r\n";
    let headers = format!("{}{elsewhere}", own(&world));
    for path in ["/login", "/login/look"] {
        let answer = ask(&world, HERE, "POST", path, (&headers, &with(&secret))).await;
        assert_eq!(answer.code(), (403, "plain_connection".to_owned()));
    }
    let cookie = format!("{}{elsewhere}", browser.cookie);
    let answer = ask(&world, HERE, "GET", "/api/v1/status", (&cookie, "")).await;
    assert_eq!(answer.code(), (403, "plain_connection".to_owned()));
    assert_eq!(browser.get(&world, "/api/v1/status").await.status, 200);
    assert_eq!(spend(&world, HERE, &secret).await.status, 200, "nothing was spent");
}

#[tokio::test]
async fn no_link_is_made_that_leads_over_a_plain_connection_unless_that_is_forced() {
    let url = Some("http://192.168.1.10:8765".to_owned());
    let settings = LoginSettings { url, ..LoginSettings::default() };
    let builder = |settings| Gateway::builder(MemoryStore::default()).logins(settings);
    let gateway = builder(settings.clone()).start().await.unwrap();
    let refused = gateway.make_login_link(None, Role::Operator).unwrap_err().to_string();
    for mend in ["--tls-cert", "--public-url", "127.0.0.1", "--plain-login"] {
        assert!(refused.contains(mend), "{refused}");
    }
    let forced = builder(LoginSettings { plain: true, ..settings }).start().await.unwrap();
    let made = forced.make_login_link(None, Role::Operator).unwrap();
    assert_eq!(made.reach, crate::operator::LoginReach::Plain);
    assert!(made.url.starts_with("http://192.168.1.10:8765/login#"));
}

#[tokio::test]
async fn a_cookie_that_was_set_before_the_login_is_never_a_sessions() {
    let world = world().await;
    let attacker = Browser::of(&world, Role::Viewer).await;
    let chosen = format!("handfast-{}=AAAAAAAAAAAAAAAAAAAAAA.x", world.address.port());
    for planted in [format!("Cookie: {chosen}\r\n"), attacker.cookie.clone()] {
        let secret = link(&world, Role::Owner);
        let headers = format!("{planted}{}", own(&world));
        let answer = ask(&world, HERE, "POST", "/login", (&headers, &with(&secret))).await;
        assert_eq!(answer.status, 200);
        assert!(!planted.contains(&answer.cookie()), "{answer:?}");
        let cookie = format!("Cookie: {}\r\n", answer.cookie());
        let me = ask(&world, HERE, "GET", "/api/v1/operator", (&cookie, "")).await.json();
        assert_eq!(me["role"], "owner");
        assert_ne!(me["id"], crate::hex::hex(attacker.id.as_bytes()));
    }
    let me = attacker.get(&world, "/api/v1/operator").await.json();
    assert_eq!(me["role"], "viewer", "the attacker's session gained nothing");
    let chosen = format!("Cookie: {chosen}\r\n");
    let forged = ask(&world, HERE, "GET", "/api/v1/operator", (&chosen, "")).await;
    assert_eq!(forged.code(), (401, "login_needed".to_owned()));
}

#[tokio::test]
async fn a_cookie_of_another_port_or_host_or_gateway_is_none() {
    let (world, other) = (world().await, world().await);
    let browser = Browser::of(&world, Role::Owner).await;
    let value = browser.cookie.trim().split_once('=').unwrap().1.to_owned();
    let port = world.address.port();
    for cookie in [
        format!("handfast={value}"),
        format!("handfast-{}={value}", port.wrapping_add(1)),
        format!("__Host-handfast={value}"),
        format!("__Secure-handfast-{port}={value}"),
        // One of them may be another page's.
        format!("handfast-{port}={value}; handfast-{port}={value}"),
    ] {
        let headers = format!("Cookie: {cookie}\r\n");
        let answer = ask(&world, HERE, "GET", "/api/v1/status", (&headers, "")).await;
        assert_eq!(answer.code(), (401, "bearer_missing".to_owned()), "{cookie}");
    }
    let elsewhere = format!("Cookie: handfast-{}={value}\r\n", other.address.port());
    let answer = ask(&other, HERE, "GET", "/api/v1/status", (&elsewhere, "")).await;
    assert_eq!(answer.code(), (401, "login_needed".to_owned()), "another gateway's");
}

#[tokio::test]
async fn what_a_revoked_session_listens_to_ends_within_a_second() {
    let world = world().await;
    let browser = Browser::of(&world, Role::Operator).await;
    for path in ["/api/v1/events", "/api/v1/messages"] {
        let browser = Browser::of(&world, Role::Operator).await;
        let mut stream = open(&world, HERE, "GET", path, (&browser.cookie, "")).await;
        let mut heard = Vec::new();
        while !String::from_utf8_lossy(&heard).contains("listening") {
            assert_ne!(stream.read_buf(&mut heard).await.unwrap(), 0);
        }
        world.gateway.revoke_login(browser.id).await.unwrap();
        let rest = tokio::time::timeout(Duration::from_secs(1), stream.read_to_end(&mut heard));
        rest.await.expect("it ends at once").unwrap();
        assert_eq!(
            browser.get(&world, "/api/v1/status").await.code(),
            (401, "login_needed".to_owned())
        );
    }
    assert_eq!(browser.get(&world, "/api/v1/status").await.status, 200, "others go on");
}

/// Reads a stream until it contains a text.
async fn until(stream: &mut TcpStream, text: &str) -> String {
    let mut heard = Vec::new();
    while !String::from_utf8_lossy(&heard).contains(text) {
        let read = tokio::time::timeout(Duration::from_secs(5), stream.read_buf(&mut heard));
        assert_ne!(read.await.unwrap_or_else(|_| panic!("{heard:?}")).unwrap(), 0);
    }
    String::from_utf8(heard).unwrap()
}

const SSE: &str = "Accept: text/event-stream\r\n";

#[tokio::test]
async fn a_stream_of_changes_resumes_tells_no_pin_and_ends_with_its_session() {
    let world = world().await;
    let (viewer, operator) =
        (Browser::of(&world, Role::Viewer).await, Browser::of(&world, Role::Operator).await);
    let headers = format!("{}{SSE}", viewer.cookie);
    let mut stream = open(&world, HERE, "GET", "/api/v1/events", (&headers, "")).await;
    let ready = until(&mut stream, "event: ready").await;
    let head = ready.to_ascii_lowercase();
    for header in ["content-type: text/event-stream", "no-transform", "x-accel-buffering: no"] {
        assert!(head.contains(header), "{ready}");
    }
    operator.post(&world, "/api/v1/pairing", r#"{"open":true,"for_seconds":60}"#).await;
    let told = until(&mut stream, r#""kind":"window_opened"}"#).await;
    assert!(told.contains(r#"data: {"ids":{},"kind":"window_opened"}"#), "{told}");
    drop(stream);

    // Away, and back behind the last number: exactly what was missed is told.
    let last = told.rsplit("id: ").next().unwrap().lines().next().unwrap();
    operator.post(&world, "/api/v1/pairing", r#"{"open":false}"#).await;
    let again = format!("{headers}Last-Event-ID: {last}\r\n");
    let mut stream = open(&world, HERE, "GET", "/api/v1/events", (&again, "")).await;
    let missed = until(&mut stream, "window_closed").await;
    assert!(!missed.contains("window_opened") && !missed.contains("resync"), "{missed}");

    // A number of another run, one that is none, and one that lies ahead.
    for strange in ["0123456789ab-1", "x", &format!("{last}9")] {
        let headers = format!("{headers}Last-Event-ID: {strange}\r\n");
        let mut stream = open(&world, HERE, "GET", "/api/v1/events", (&headers, "")).await;
        until(&mut stream, "event: resync").await;
    }

    world.gateway.revoke_login(viewer.id).await.unwrap();
    let mut rest = Vec::new();
    let ended = tokio::time::timeout(Duration::from_secs(1), stream.read_to_end(&mut rest));
    ended.await.expect("it ends at once").unwrap();
}
