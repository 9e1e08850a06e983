use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use axum::body::{Body, to_bytes};
use axum::extract::Request;
use axum::http::{HeaderMap, StatusCode};
use axum::response::Response;
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use futures_util::FutureExt;
use futures_util::future::join_all;
use serde_json::{Value, json};

use super::super::{BODY_BYTES, Extension, ExtensionConfig, Proxy};
use super::{LONG, bare, extension, served};
use crate::proxies::PeerAddress;

fn with_mounts(mut config: ExtensionConfig, mounts: &[&str]) -> Extension {
    config.mounts = mounts.iter().map(|mount| (*mount).to_owned()).collect();
    extension(config)
}

async fn answering(answer: Value) -> Proxy {
    Proxy::new(&[with_mounts(served(bare("mail"), move |_, _| answer.clone()).await, &["/mail"])])
}

async fn get(proxy: &Proxy, path: &str) -> Option<Response> {
    proxy.serve(Request::get(path).body(Body::empty()).unwrap()).await
}

async fn body(response: Response) -> String {
    String::from_utf8(to_bytes(response.into_body(), usize::MAX).await.unwrap().to_vec()).unwrap()
}

#[test]
fn the_longest_mount_that_ends_with_a_segment_wins() {
    let proxy = Proxy::new(&[
        with_mounts(bare("a"), &["/pai", "/mail"]),
        with_mounts(bare("b"), &["/mail/in"]),
    ]);
    let found = |path: &str| proxy.find(path).map(|extension| extension.config().name.as_str());
    for (path, name) in [
        ("/mail", Some("a")),
        ("/mail/", Some("a")),
        ("/mail/inn", Some("a")),
        ("/mail/in", Some("b")),
        ("/mail/in/x", Some("b")),
        ("/pai", Some("a")),
        ("/pair", None),
        ("/mails", None),
        ("/Mail", None),
        ("//mail", None),
        ("/%6dail", None),
        ("/", None),
        ("", None),
    ] {
        assert_eq!(found(path), name, "{path}");
    }
}

#[tokio::test]
async fn a_request_is_passed_on_without_what_proves_who_somebody_is() {
    let seen = Arc::new(Mutex::new(Value::Null));
    let asked = seen.clone();
    let config = served(bare("mail"), move |method, params| {
        *asked.lock().unwrap() = json!([method, params]);
        json!({"status": 201, "headers": {"X-Seen": "yes"}, "body_base64": STANDARD.encode("done")})
    });
    let proxy = Proxy::new(&[with_mounts(config.await, &["/mail"])]);
    let request = Request::post("/mail/in%20box?a=1&b=%2e%2e")
        .header("Content-Type", "text/plain")
        .header("X-Two", "1")
        .header("X-Two", "2")
        .header("Authorization", "Bearer secret")
        .header("Cookie", "session=secret")
        .header("Proxy-Authorization", "secret")
        .header("Proxy-Anything", "secret")
        .header("Connection", "keep-alive, X-Hop")
        .header("X-Hop", "hop")
        .header("TE", "trailers")
        .header("Transfer-Encoding", "chunked")
        .header("X-Binary", axum::http::HeaderValue::from_bytes(b"\xff").unwrap())
        .body(Body::from("hello"))
        .unwrap();
    let response = proxy.serve(request).await.unwrap();
    assert_eq!(
        (response.status(), response.headers()["x-seen"].to_str().unwrap()),
        (StatusCode::CREATED, "yes")
    );
    assert_eq!(body(response).await, "done");
    let expected = json!(["mail.http.request", {
        "method": "POST",
        "path": "/mail/in%20box",
        "query": "a=1&b=%2e%2e",
        "headers": {"content-type": "text/plain", "x-two": "1, 2"},
        "body_base64": "aGVsbG8=",
    }]);
    assert_eq!(*seen.lock().unwrap(), expected);
    assert!(get(&proxy, "/other").await.is_none());
    let upgrade = Request::get("/mail").header("Upgrade", "websocket").body(Body::empty()).unwrap();
    assert!(proxy.serve(upgrade).await.is_none(), "a WebSocket is the gateway's");
}

#[tokio::test]
async fn paths_that_could_mean_another_one_never_reach_the_extension() {
    let asked = Arc::new(Mutex::new(Vec::new()));
    let seen = asked.clone();
    let config = served(bare("mail"), move |_, params| {
        seen.lock().unwrap().push(params["path"].clone());
        json!({"status": 200})
    });
    let proxy = Proxy::new(&[with_mounts(config.await, &["/mail"])]);
    for path in [
        "/mail/../pair",
        "/mail/%2e%2e/pair",
        "/mail/..%2fpair",
        "/mail/..%5cpair",
        "/mail/%252e%252e/x",
        "/mail//x",
        "/mail/%00",
    ] {
        assert_eq!(get(&proxy, path).await.unwrap().status(), StatusCode::BAD_REQUEST, "{path}");
    }
    assert_eq!(*asked.lock().unwrap(), Vec::<Value>::new());
    assert_eq!(get(&proxy, "/mail/fine").await.unwrap().status(), StatusCode::OK);
    for method in ["TRACE", "CONNECT"] {
        let request = Request::builder().method(method).uri("/mail").body(Body::empty()).unwrap();
        assert_eq!(proxy.serve(request).await.unwrap().status(), StatusCode::METHOD_NOT_ALLOWED);
    }
    assert_eq!(asked.lock().unwrap().len(), 1);
}

#[tokio::test]
async fn an_answer_cannot_touch_the_gateways_origin() {
    let headers = json!({
        "Content-Type": "text/html",
        "Set-Cookie": "session=stolen",
        "set-cookie2": "x",
        "Connection": "close",
        "Transfer-Encoding": "chunked",
        "Content-Length": "9999",
        "Content-Security-Policy": "default-src *",
        "Strict-Transport-Security": "max-age=1",
        "Clear-Site-Data": "\"*\"",
        "Service-Worker-Allowed": "/",
        "Alt-Svc": "h2=\"evil.example:443\"",
        "Reporting-Endpoints": "a=\"https://evil.example\"",
        "Accept-CH": "UA",
        "Proxy-Authenticate": "Basic",
        "WWW-Authenticate": "Basic",
        "connection": ["X-Hop, close", "x-other"],
        "X-Hop": "1",
        "x-other": "1",
        "X-Accel-Redirect": "/etc/passwd",
        "X-Sendfile": "/etc/passwd",
        "X-LIGHTTPD-send-file": "/etc/passwd",
        "X-Bad": "a\r\nSet-Cookie: b",
        "bad name": "x",
        "": "x",
        "X-Many": ["1", "2", "\n"],
    });
    let proxy = answering(json!({"status": 200, "headers": headers, "body_base64": "PGI+"})).await;
    let response = get(&proxy, "/mail").await.unwrap();
    let mut expected = HeaderMap::new();
    expected.insert("content-type", "text/html".parse().unwrap());
    expected.append("x-many", "1".parse().unwrap());
    expected.append("x-many", "2".parse().unwrap());
    expected
        .insert("content-security-policy", "sandbox allow-forms allow-scripts".parse().unwrap());
    expected.insert("x-content-type-options", "nosniff".parse().unwrap());
    assert_eq!(*response.headers(), expected);
    assert_eq!(body(response).await, "<b>");
}

#[tokio::test]
async fn what_is_no_answer_becomes_502_and_says_nothing_of_the_extension() {
    let many: serde_json::Map<String, Value> =
        (0..65).map(|n| (format!("x-{n}"), json!("1"))).collect();
    for lie in [
        json!(null),
        json!({}),
        json!({"status": "200"}),
        json!({"status": 99}),
        json!({"status": 101}),
        json!({"status": 600}),
        json!({"status": 70000}),
        json!({"status": -1}),
        json!({"status": 200, "body_base64": "***"}),
        json!({"status": 200, "body_base64": 5}),
        json!({"status": 200, "headers": {"a": 1}}),
        json!({"status": 200, "headers": ["a"]}),
        json!({"status": 200, "headers": {"a": "x".repeat(20_000)}}),
        json!({"status": 200, "headers": many}),
        json!({"status": 200, "body_base64": STANDARD.encode(vec![0; BODY_BYTES + 1])}),
        json!("RAW{\"id\":1,\"ok\":false,\"error\":\"secret reason\"}"),
        json!("RAWsecret"),
    ] {
        let proxy = answering(lie.clone()).await;
        let response = get(&proxy, "/mail").await.unwrap();
        assert_eq!(response.status(), StatusCode::BAD_GATEWAY, "{lie}");
        assert_eq!(body(response).await, "The extension gave no answer that can be passed on.\n");
    }
    let empty = answering(json!({"status": 204, "body_base64": "aGVsbG8="})).await;
    let response = get(&empty, "/mail").await.unwrap();
    assert_eq!((response.status(), body(response).await.as_str()), (StatusCode::NO_CONTENT, ""));
}

#[tokio::test]
async fn bodies_are_bounded_in_size_and_in_time() {
    let config = served(bare("mail"), |_, params| {
        let length = STANDARD.decode(params["body_base64"].as_str().unwrap()).unwrap().len();
        json!({"status": 200, "body_base64": STANDARD.encode(length.to_string())})
    });
    let mut config = config.await;
    let proxy = Proxy::new(&[with_mounts(config.clone(), &["/mail"])]);
    let post = async |length: usize| {
        let request = Request::post("/mail").body(Body::from(vec![0; length])).unwrap();
        proxy.serve(request).await.unwrap()
    };
    assert_eq!(body(post(BODY_BYTES).await).await, BODY_BYTES.to_string());
    assert_eq!(post(BODY_BYTES + 1).await.status(), StatusCode::PAYLOAD_TOO_LARGE);

    config.timeouts.call = Duration::from_millis(50);
    let proxy = Proxy::new(&[with_mounts(config, &["/mail"])]);
    let endless =
        Body::from_stream(futures_util::stream::pending::<Result<&'static str, std::io::Error>>());
    let slow = proxy.serve(Request::post("/mail").body(endless).unwrap()).await.unwrap();
    assert_eq!(slow.status(), StatusCode::REQUEST_TIMEOUT);
}

#[tokio::test]
async fn a_dead_a_slow_and_a_busy_extension_have_statuses_of_their_own() {
    let dead = Proxy::new(&[with_mounts(bare("mail"), &["/mail"])]);
    assert_eq!(get(&dead, "/mail").await.unwrap().status(), StatusCode::BAD_GATEWAY);

    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}/", listener.local_addr().unwrap());
    let mut config = ExtensionConfig::http("mail", "mail", &url);
    config.timeouts.call = Duration::from_millis(50);
    let slow = Proxy::new(&[with_mounts(config.clone(), &["/mail"])]);
    assert_eq!(get(&slow, "/mail").await.unwrap().status(), StatusCode::GATEWAY_TIMEOUT);

    config.timeouts.call = LONG;
    let extension = with_mounts(config, &["/mail"]);
    let full = Proxy::new(std::slice::from_ref(&extension));
    let full = &full;
    let mut floods: Vec<_> = (0..32).map(|_| Box::pin(get(full, "/mail"))).collect();
    let (beyond, ()) = tokio::select! {
        _ = join_all(&mut floods) => panic!("nobody answers them"),
        both = async {
            super::until(|| extension.status().calls_in_flight == 32).await;
            (get(full, "/mail").await.unwrap(), ())
        } => both,
    };
    assert_eq!(beyond.status(), StatusCode::SERVICE_UNAVAILABLE);
    assert_eq!(beyond.headers()["retry-after"], "1");
    assert_eq!(extension.status().calls_in_flight, 32, "half of its calls are left to others");
}

#[tokio::test]
async fn slow_bodies_take_no_place_from_requests_that_are_whole_nor_from_bodies_of_others() {
    let proxy = answering(json!({"status": 200})).await;
    let post = |last: u8, body: Body| {
        let peer = SocketAddr::from(([192, 0, 2, last], 9));
        proxy.serve(
            Request::post("/mail").extension(PeerAddress::new(peer.ip())).body(body).unwrap(),
        )
    };
    let endless = || {
        Body::from_stream(futures_util::stream::pending::<Result<&'static str, std::io::Error>>())
    };
    let mut slow: Vec<_> = (0..40).map(|n| Box::pin(post(n / 8, endless()))).collect();
    for request in &mut slow {
        assert!(request.as_mut().now_or_never().is_none());
    }
    assert_eq!(get(&proxy, "/mail").await.unwrap().status(), StatusCode::OK);
    assert_eq!(post(9, Body::from("all of it")).await.unwrap().status(), StatusCode::OK);
    let ninth = post(0, endless()).await.unwrap();
    assert_eq!(ninth.status(), StatusCode::SERVICE_UNAVAILABLE);
    drop(slow.remove(0));
    assert_eq!(post(0, Body::from("now")).await.unwrap().status(), StatusCode::OK);
}
