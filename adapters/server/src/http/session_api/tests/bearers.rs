use axum::Router;
use axum::routing::get as on_get;
use handfast_core::NodeId;
use handfast_core::grant::scope::Action;
use tokio::net::TcpListener;

use super::*;
use crate::gateway::bearers::BearerHolder;
use crate::http::bearer::{Bearer, CompanionBearer};

async fn greet(companion: CompanionBearer) -> String {
    companion.info().profile.to_string()
}

async fn who(permit: Bearer) -> String {
    match permit.holder() {
        BearerHolder::Companion(session) => crate::hex::hex(session.as_bytes()),
        BearerHolder::Node(_) | BearerHolder::Delegate(_) => "a node".to_owned(),
    }
}

/// Returns the routes of an embedder, with or without the peers' addresses.
async fn embedded(mut world: World, with_peer: bool) -> World {
    let gateway = &world.gateway;
    let router = Router::new()
        .route("/lights/{name}", on_get(who).route_layer(gateway.require(Action::Write)))
        .route("/greeting", on_get(greet))
        .with_state(gateway.clone());
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move {
        match with_peer {
            true => {
                axum::serve(
                    listener,
                    router.into_make_service_with_connect_info::<std::net::SocketAddr>(),
                )
                .await
            }
            false => axum::serve(listener, router).await,
        }
    });
    world.address = address;
    world
}

#[tokio::test]
async fn a_sessions_token_is_a_bearer_for_whoever_embeds_the_gateway() {
    for with_peer in [false, true] {
        let world = world().await;
        let (token, reader) = (world.session_as("none").await, world.session_as("reader").await);
        let id = world.id_of(&token).await;
        let bearers = &world.gateway.inner.pairing.bearers;
        let scopes = ScopesBuf::parse("write:/lights/**\n").unwrap();
        let nodes = (BearerHolder::Node(NodeId::from_bytes([1; 16])), &[][..]);
        let nodes = bearers.issue(nodes, scopes, None, world.gateway.inner.clock.now()).unwrap();
        let world = embedded(world, with_peer).await;
        let hex = crate::hex::hex(id.as_bytes());
        assert_eq!(get(&world, "/lights/a", &token).await.body, hex);
        assert_eq!(get(&world, "/lights/a", &reader).await.code(), (403, "not_allowed".to_owned()));
        assert_eq!(get(&world, "/lights/a", nodes.expose()).await.body, "a node");
        assert_eq!(get(&world, "/greeting", &token).await.body, "none");
        assert_eq!(
            get(&world, "/greeting", nodes.expose()).await.status,
            401,
            "a node is no companion"
        );
        world.gateway.revoke_companion(id).await.unwrap();
        for path in ["/lights/a", "/greeting"] {
            assert_eq!(get(&world, path, &token).await.code(), (401, "bearer_unknown".to_owned()));
        }
    }
}

#[tokio::test]
async fn a_flood_of_wrong_bearers_stops_nobody_who_has_a_right_one() {
    let world = limited(Limits { failures_per_minute: 3, ..Limits::DEFAULT }).await;
    let token = world.session_as("none").await;
    let scopes = ScopesBuf::parse("write:/lights/**\n").unwrap();
    let holder = (BearerHolder::Node(NodeId::from_bytes([1; 16])), &[][..]);
    let nodes = world
        .gateway
        .inner
        .pairing
        .bearers
        .issue(holder, scopes, None, world.gateway.inner.clock.now())
        .unwrap();
    let world = embedded(world, true).await;
    for _ in 0..3 {
        assert_eq!(get(&world, "/lights/a", "wrong").await.status, 401);
    }
    assert_eq!(get(&world, "/lights/a", "wrong").await.code(), (429, "rate_limited".to_owned()));
    assert_eq!(get(&world, "/lights/a", &token).await.status, 200);
    assert_eq!(get(&world, "/lights/a", nodes.expose()).await.status, 200);
    assert_eq!(ask(&world, ELSEWHERE, "GET", "/lights/a", by(&token)).await.status, 200);
}
