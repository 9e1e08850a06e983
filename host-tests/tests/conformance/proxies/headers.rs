//! Headers of a listed proxy.

use futures_util::StreamExt;
use handfast_core::limits::Limits;
use handfast_server::proxies::ForwardedHeader;
use serde_json::json;
use tokio::net::TcpListener;
use tokio_tungstenite::tungstenite::Message;

use super::super::eventually;
use super::{PROXY, behind, builder, from, get, recorded, websocket};

const X: &str = "X-Forwarded-For";
const F: &str = "Forwarded";
/// A bearer token that is valid for nobody.
const WRONG: (&str, &str) = ("Authorization", "Bearer nobodys");

#[tokio::test]
async fn the_record_of_a_node_has_the_address_that_its_proxy_names_last() {
    for (header, headers, address) in [
        (ForwardedHeader::XForwardedFor, &[(X, "203.0.113.7")][..], "203.0.113.7"),
        (
            ForwardedHeader::XForwardedFor,
            &[(X, "6.6.6.6"), (X, "6.6.6.6, 203.0.113.7, 10.0.0.5")],
            "203.0.113.7",
        ),
        (
            ForwardedHeader::XForwardedFor,
            &[(X, "203.0.113.7"), (F, "for=6.6.6.6"), (F, "for=6.6.6.6")],
            "203.0.113.7",
        ),
        (ForwardedHeader::XForwardedFor, &[(X, "2001:db8::7")], "2001:db8::7"),
        (ForwardedHeader::XForwardedFor, &[(F, "for=6.6.6.6"), ("X-Real-IP", "6.6.6.6")], PROXY),
        (ForwardedHeader::XForwardedFor, &[(X, "6.6.6.6, unknown")], PROXY),
        (
            ForwardedHeader::Forwarded,
            &[(F, "for=6.6.6.6"), (F, "for=203.0.113.7;proto=https"), (X, "6.6.6.6")],
            "203.0.113.7",
        ),
        (
            ForwardedHeader::Forwarded,
            &[(F, "for=\"[2001:db8::7]:80\", for=10.0.0.5")],
            "2001:db8::7",
        ),
        (ForwardedHeader::Forwarded, &[(X, "6.6.6.6"), (X, "6.6.6.6")], PROXY),
    ] {
        let served = behind(header, Limits::DEFAULT).await;
        let client = websocket(from(PROXY, served.address).await, "/", headers).await;
        assert_eq!(
            recorded(&served, client, "Kitchen Pi").await.to_string(),
            address,
            "{headers:?}"
        );
    }
}

#[tokio::test]
async fn whoever_is_no_listed_proxy_counts_for_the_address_that_it_comes_from_whatever_it_says() {
    let served = behind(ForwardedHeader::XForwardedFor, Limits::DEFAULT).await;
    let headers = [(X, "203.0.113.7"), (X, "10.0.0.5"), (F, "for=203.0.113.7")];
    let client = websocket(from("127.0.0.3", served.address).await, "/", &headers).await;
    assert_eq!(recorded(&served, client, "Kitchen Pi").await.to_string(), "127.0.0.3");
    // The same holds on the path where the first frame authenticates.
    let client = websocket(from("127.0.0.3", served.address).await, "/pair", &headers).await;
    assert_eq!(recorded(&served, client, "Bath Pi").await.to_string(), "127.0.0.3");
}

#[tokio::test]
async fn requests_that_wait_are_counted_for_whom_the_proxy_asks() {
    let served =
        behind(ForwardedHeader::XForwardedFor, Limits { pending_per_source: 2, ..Limits::DEFAULT })
            .await;
    for number in 0..2 {
        let client = websocket(from(PROXY, served.address).await, "/", &[(X, "203.0.113.7")]).await;
        recorded(&served, client, &format!("Junk {number}")).await;
    }
    let mut client = websocket(from(PROXY, served.address).await, "/", &[(X, "203.0.113.7")]).await;
    client.say(json!({"type": "pair_request", "friendly_name": "Junk", "room": "R", "hardware_profile": {}})).await;
    client.expect_close(1013, "Server at capacity").await;
    let client = websocket(from(PROXY, served.address).await, "/", &[(X, "203.0.113.8")]).await;
    recorded(&served, client, "Kitchen Pi").await;
}

#[tokio::test]
async fn wrong_bearers_over_one_connection_are_counted_for_whom_each_request_is() {
    let served = behind(
        ForwardedHeader::XForwardedFor,
        Limits { failures_per_minute: 3, ..Limits::DEFAULT },
    )
    .await;
    let mut proxy = from(PROXY, served.address).await;
    for _ in 0..3 {
        assert_eq!(get(&mut proxy, "/api/v1/session", &[WRONG, (X, "203.0.113.7")]).await.0, 401);
    }
    assert_eq!(
        get(&mut proxy, "/api/v1/session", &[WRONG, (X, "6.6.6.6, 203.0.113.7")]).await.0,
        429
    );
    assert_eq!(
        get(&mut proxy, "/api/v1/session", &[WRONG, (X, "203.0.113.7, 203.0.113.8")]).await.0,
        401
    );
    assert_eq!(
        get(&mut proxy, "/api/v1/session", &[WRONG]).await.0,
        401,
        "for itself it has attempts of its own"
    );
}

#[tokio::test]
async fn connections_of_a_listed_proxy_are_not_limited_by_source_when_they_are_accepted_but_in_total()
 {
    let limits = Limits { waiting_per_source: 2, waiting_total: 12, ..Limits::DEFAULT };
    let served = behind(ForwardedHeader::XForwardedFor, limits).await;
    let mut proxied = Vec::new();
    for _ in 0..12 {
        proxied.push(from(PROXY, served.address).await);
    }
    eventually(async || served.gateway.summary().await.unwrap().waiting == 12).await;
    for stream in &mut proxied {
        assert_eq!(
            get(stream, "/health", &[(X, "203.0.113.7")]).await.0,
            200,
            "one request after the other needs one place"
        );
    }
    // One more than the total takes the slot of the connection that has been silent longest.
    let mut more = from(PROXY, served.address).await;
    assert_eq!(get(&mut more, "/health", &[]).await.0, 200);
    assert_eq!(served.gateway.summary().await.unwrap().waiting, 12);
}

#[tokio::test]
async fn the_share_of_a_source_is_taken_when_the_headers_are_read_and_others_keep_theirs() {
    let limits = Limits { waiting_per_source: 2, ..Limits::DEFAULT };
    let served = behind(ForwardedHeader::XForwardedFor, limits).await;
    let mut silent = Vec::new();
    for _ in 0..3 {
        silent.push(websocket(from(PROXY, served.address).await, "/", &[(X, "203.0.113.7")]).await);
    }
    // The third of that source displaces the first of it, and no other.
    silent.remove(0).expect_close(1013, "Server at capacity").await;
    let mut other = websocket(from(PROXY, served.address).await, "/", &[(X, "203.0.113.8")]).await;
    other.say(json!({"type": "pair_request", "friendly_name": "Kitchen Pi", "room": "R", "hardware_profile": {}})).await;
    assert_eq!(other.hear().await["type"], "pair_pending");
}

#[tokio::test]
async fn a_request_for_a_source_that_has_its_share_takes_the_place_of_what_stalls_in_it_and_of_nobody_else()
 {
    let served =
        behind(ForwardedHeader::XForwardedFor, Limits { waiting_per_source: 1, ..Limits::DEFAULT })
            .await;
    let native = |source| [(X, source), ("Sec-WebSocket-Protocol", "handfast.v1")];
    let mut begun = websocket(from(PROXY, served.address).await, "/", &native("203.0.113.7")).await;
    begun.send(Message::binary(vec![1, 1])).await;
    let mut other = websocket(from(PROXY, served.address).await, "/", &native("203.0.113.9")).await;
    let mut proxy = from(PROXY, served.address).await;
    assert_eq!(get(&mut proxy, "/health", &[(X, "203.0.113.8")]).await.0, 200);
    assert_eq!(get(&mut proxy, "/health", &[(X, "203.0.113.7")]).await.0, 200);
    begun.expect_close(1013, "Server at capacity").await;
    // The other one is still served: its message is answered, and then it is closed, because the
    // message is not an Open.
    other.send(Message::binary(vec![9; 20])).await;
    assert!(matches!(other.socket.next().await, Some(Ok(Message::Binary(_)))));
}

#[tokio::test]
async fn an_embedders_router_reads_the_header_too_and_takes_an_address_that_is_given() {
    use axum::extract::Request;
    use axum::middleware::{Next, from_fn};

    let gateway = builder(
        ForwardedHeader::XForwardedFor,
        Limits { failures_per_minute: 1, ..Limits::DEFAULT },
    )
    .start()
    .await
    .unwrap();
    let given = async |mut request: Request, next: Next| {
        if let Some(address) =
            request.headers().get("my-own").and_then(|own| own.to_str().ok()?.parse().ok())
        {
            request.extensions_mut().insert(handfast_server::PeerAddress::new(address));
        }
        next.run(request).await
    };
    let router = gateway
        .router()
        .layer(from_fn(given))
        .into_make_service_with_connect_info::<std::net::SocketAddr>();
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move { axum::serve(listener, router).await });

    let mut proxy = from(PROXY, address).await;
    for (headers, status) in [
        (&[WRONG, (X, "203.0.113.7")][..], 401),
        (&[WRONG, (X, "203.0.113.7")], 429),
        (&[WRONG, (X, "203.0.113.8")], 401),
        (&[WRONG, (X, "203.0.113.8"), ("My-Own", "203.0.113.9")], 401),
        (&[WRONG, (X, "203.0.113.10"), ("My-Own", "203.0.113.9")], 429),
    ] {
        assert_eq!(get(&mut proxy, "/api/v1/session", headers).await.0, status, "{headers:?}");
    }
}
