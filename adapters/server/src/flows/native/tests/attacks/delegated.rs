//! A session that was delegated a little of the operator's API tries to mint more than it has,
//! longer than it lives, or what outlives it; over real sockets.

mod beyond_codes;

use std::sync::atomic::Ordering;

use handfast_core::crypto::cpace;
use handfast_core::grant::session::{SessionHash, Token};
use handfast_core::grant::token;
use handfast_core::registry::sessions::{Maker, Session, SessionId};
use handfast_core::wire::native::pair::Selector;
use handfast_core::wire::registration::Heartbeat;
use handfast_store::{Sessions, Store};
use serde_json::{Value, json};

use super::codes::{Said, guesses, hears, takes_the_grant};
use super::failing::Failing;
use super::*;
use crate::flows::setup_code::tests::{HERE, Heard, World, hear, settings};
use crate::gateway::operator_types::OperatorError;
use crate::http::session_api::tests::{Answer, Saying, ask, by, secs};
use crate::policy::setup_settings::SetupSettings;

/// What sessions of each profile may do.
fn profiles() -> SetupSettings {
    let lights = "admin:/gateway/pairing/**\nadmin:/gateway/devices/**\nadmin:/gateway/sessions/**\nadmin:/gateway/setup\n\
                  admin:/gateway/inbound/**\nadmin:/gateway/events\nread:/lights/**\nwrite:/lights/**\n";
    let profile = |name: &str, text| (name.to_owned(), scopes(text));
    SetupSettings {
        profiles: vec![
            profile("codes", "admin:/gateway/pairing/codes\n"),
            profile("lights", lights),
            profile("lamp", "read:/lights/lamp\n"),
            profile("everything", "read:/**\nwrite:/**\nadmin:/**\n"),
            profile("approver", "admin:/gateway/devices/**\n"),
            profile("setup", "admin:/gateway/setup\nadmin:/**\n"),
            profile("gateway", "admin:/gateway/**\n"),
        ],
        approvers: vec!["approver".to_owned()],
        ..settings()
    }
}

async fn world() -> World {
    World::over(Failing::default(), profiles()).await
}

async fn post(world: &World, path: &str, token: &str, body: Value) -> Answer {
    ask(world, HERE, "POST", path, Saying { body: &body.to_string(), ..by(token) }).await
}

async fn get(world: &World, path: &str, token: &str) -> Answer {
    ask(world, HERE, "GET", path, by(token)).await
}

/// Refused as wider, and the message names this.
fn is_wider(answer: &Answer, named: &str) {
    assert_eq!(answer.code(), (403, "wider_than_yours".to_owned()), "{}", answer.body);
    let message = answer.json()["error"]["message"].as_str().unwrap().to_owned();
    assert!(message.contains(named), "{message}");
}

/// A session of a profile that ends in so many seconds.
async fn ending_in(world: &World, profile: &str, seconds: u64) -> (SessionId, String) {
    let token = loop {
        if let Some(token) = token::issue(&entropy::draw()) {
            break token;
        }
    };
    let id = SessionId::new(&entropy::draw());
    let session = Session {
        id,
        hash: SessionHash::of(&token),
        profile: Name::from(Label::parse(profile).unwrap()),
        device_label: None,
        issued_at: unix(),
        expires_at: in_seconds(seconds),
        revoked_at: None,
        over: false,
        maker: Maker::Operator,
        prolonged: None,
    };
    world.gateway.inner.store.insert_session(session).await.unwrap();
    (id, token.expose().to_owned())
}

/// Pairs a node by a code over the WebSocket: its keys, or what the gateway said.
async fn pairs(world: &World, minted: &Value) -> Result<OwnKeys, Said> {
    let text = minted["code"].as_str().unwrap();
    let (selector, secret) = text.split_once('-').unwrap();
    let own = keys();
    let mut client =
        Client::stranger(Intent::Pair, Wire::websocket(world.address).await, &own).await;
    client
        .ask_by(&own, "lamp", Method::Code { selector: Selector::parse(selector).unwrap() })
        .await;
    guesses(&mut client, &own, &world.gateway, secret, cpace::CodeOrigin::Code).await.unwrap()?;
    takes_the_grant(&mut client).await;
    Ok(own)
}

async fn links(world: &World, own: &OwnKeys) -> Result<Client, u16> {
    let wire = Wire::websocket(world.address).await;
    let mut client = Client::link(wire, own, world.gateway.keys().channel.public()).await?;
    client.greet(None).await;
    Ok(client)
}

async fn node_of(world: &World, own: &OwnKeys) -> NodeId {
    world.gateway.inner.store.by_key(own.channel.public()).await.unwrap().unwrap().record.node_id
}

/// Its link ends, and it gets none any more.
async fn is_out(world: &World, own: &OwnKeys, mut client: Client) {
    let ended = async {
        while client.hear(|_| ()).await.is_ok() {
            client.say(&FromNode::Heartbeat(Heartbeat::default())).await;
        }
    };
    tokio::time::timeout(Duration::from_secs(10), ended).await.expect("its link ends at once");
    is_not_let_in(world, own).await;
}

async fn is_not_let_in(world: &World, own: &OwnKeys) {
    let wire = Wire::websocket(world.address).await;
    let open = handfast_core::wire::native::open::Open::new(Intent::Link);
    let mut wire = wire;
    wire.send(open.as_bytes()).await;
    let mut room = [0; handfast_core::limits::MESSAGE_BYTES];
    let key = *world.gateway.keys().channel.public();
    let started = handfast_core::crypto::noise::ik::Initiator::start(
        open.prologue(),
        &own.channel,
        &key,
        &entropy::draw(),
        &[],
        &mut room,
    );
    let (initiator, first) = started.unwrap();
    wire.send(first).await;
    if let Ok(mut second) = wire.recv().await
        && let Ok((_, admission)) = initiator.read_second(&own.channel, &mut second)
    {
        let admitted = Admitted::parse(admission).unwrap();
        assert_ne!(admitted.admission, Admission::Welcome, "it is let in");
    }
}

#[tokio::test]
async fn a_session_that_may_only_mint_codes_mints_none_that_is_wider_or_lasts_longer_than_itself() {
    let world = world().await;
    let token = world.session_as("codes").await;
    let ten_years = 10 * 365 * 86_400;
    let all = json!({"permissions": {"admin": ["/**"]}, "uses": 255, "expires_seconds": ten_years, "grant_expires_seconds": ten_years});
    is_wider(&post(&world, "/api/v1/pairing/codes", &token, all).await, "admin:/**");
    // What is left out is what everybody gets, and that is more than it has, too.
    is_wider(&post(&world, "/api/v1/pairing/codes", &token, json!({})).await, "read:/**");
    let hidden =
        json!({"permissions": {"admin": ["/gateway/pairing/codes", "/gateway/pairing/*"]}});
    is_wider(
        &post(&world, "/api/v1/pairing/codes", &token, hidden).await,
        "admin:/gateway/pairing/*",
    );

    let lights = world.session_as("lights").await;
    let own = json!({"read": ["/lights/**"]});
    for (body, named) in [
        (json!({"permissions": own, "expires_seconds": ten_years}), "longer"),
        (json!({"permissions": own, "grant_expires_seconds": 2 * 86_400}), "longer"),
        (
            json!({"permissions": {"read": ["/lights/**"], "write": ["/lights/**", "/doors/**"]}}),
            "write:/doors/**",
        ),
    ] {
        is_wider(&post(&world, "/api/v1/pairing/codes", &lights, body).await, named);
    }
    let too_many =
        post(&world, "/api/v1/pairing/codes", &lights, json!({"permissions": own, "uses": 256}))
            .await;
    assert_eq!(too_many.code(), (400, "usage".to_owned()));
    assert!(too_many.body.contains("255 nodes at most"), "{}", too_many.body);
    assert_eq!(
        get(&world, "/api/v1/pairing/codes", &lights).await.json()["items"],
        json!([]),
        "nothing was minted"
    );
    assert_eq!(
        post(&world, "/api/v1/pairing/codes", &lights, json!({"permissions": own})).await.status,
        200
    );
}

#[tokio::test]
async fn whoever_mints_has_upper_bounds() {
    let gateway = Gateway::builder(MemoryStore::default()).start().await.unwrap();
    let minted = |new: crate::operator::codes::NewCode| {
        let gateway = gateway.clone();
        async move { gateway.mint_code(new).await.map(drop).map_err(|error| error.to_string()) }
    };
    let (day, new) = (Duration::from_secs(86_400), crate::operator::codes::NewCode::default);
    for (wanted, named) in [
        (
            crate::operator::codes::NewCode {
                expires: Some(day + Duration::from_secs(1)),
                ..new()
            },
            "24 hours",
        ),
        (crate::operator::codes::NewCode { uses: 256, ..new() }, "255 nodes"),
        (crate::operator::codes::NewCode { grant_for: Some(401 * day), ..new() }, "400 days"),
    ] {
        let problem = minted(wanted).await.unwrap_err();
        assert!(problem.contains(named), "{problem}");
    }
    let most = crate::operator::codes::NewCode {
        expires: Some(day),
        uses: 255,
        grant_for: Some(400 * day),
        ..new()
    };
    assert_eq!(minted(most).await, Ok(()));
}

#[tokio::test]
async fn what_a_session_minted_is_out_with_it_at_once_and_after_a_restart() {
    let store = Failing::default();
    let world = World::over(store.clone(), profiles()).await;
    let token = world.session_as("lights").await;
    let body = json!({"permissions": {"read": ["/lights/**"]}, "uses": 2});
    let minted = post(&world, "/api/v1/pairing/codes", &token, body.clone()).await.json();
    let unspent = post(&world, "/api/v1/pairing/codes", &token, body).await.json();
    let listed = get(&world, "/api/v1/pairing/codes", &token).await.json();
    let id = world.id_of(&token).await;
    let hex = crate::hex::hex(id.as_bytes());
    assert_eq!(listed["items"][0]["made_by"], format!("session {hex}"));
    let own = pairs(&world, &minted).await.unwrap();
    let node_id = node_of(&world, &own).await;
    let grant = store.grants(node_id).await.unwrap().remove(0);
    let ends =
        world.gateway.session_of(&Token::parse(&token).unwrap()).await.unwrap().unwrap().expires_at;
    assert!(grant.expires.unwrap() <= ends && grant.maker == Maker::Session(id), "{grant:?}");
    let link = links(&world, &own).await.unwrap();

    assert!(world.gateway.revoke_companion(id).await.unwrap());
    is_out(&world, &own, link).await;
    for code in [&minted, &unspent] {
        assert!(pairs(&world, code).await.is_err(), "it lets nobody in");
    }
    let world = World::over(store, profiles()).await;
    is_not_let_in(&world, &own).await;
    for code in [&minted, &unspent] {
        assert!(pairs(&world, code).await.is_err(), "nor after a restart");
    }
}

#[tokio::test]
async fn what_a_session_made_and_what_that_made_is_out_with_it_at_once_although_that_cannot_be_stored()
 {
    let store = Failing::in_calls(&["end_session", "probe"]);
    let world = World::over(store.clone(), profiles()).await;
    let first = world.session_as("lights").await;
    let mut makers = vec![first.clone()];
    for _ in 0..2 {
        let made =
            post(&world, "/api/v1/setup", makers.last().unwrap(), json!({"profile": "lights"}))
                .await
                .json();
        makers.push(world.shows(made["bootstrap_token"].as_str().unwrap()).await.unwrap());
    }
    let (second, third) = (makers[1].clone(), makers[2].clone());
    let body = json!({"permissions": {"read": ["/lights/**"]}});
    let minted = post(&world, "/api/v1/pairing/codes", &third, body.clone()).await.json();
    let unspent = post(&world, "/api/v1/pairing/codes", &second, body).await.json();
    let own = pairs(&world, &minted).await.unwrap();
    let link = links(&world, &own).await.unwrap();
    let sockets = [world.links(&second).await, world.links(&third).await];

    store.left.store(1, Ordering::SeqCst);
    let id = world.id_of(&first).await;
    for _ in 0..2 {
        let revoked = world.gateway.revoke_companion(id).await;
        assert!(matches!(revoked, Err(OperatorError::CutNotStored { .. })), "{revoked:?}");
    }
    is_out(&world, &own, link).await;
    for mut socket in sockets {
        while !matches!(hear(&mut socket).await, Heard::Close(..)) {}
    }
    for token in &makers {
        assert_eq!(get(&world, "/api/v1/session", token).await.status, 401);
    }
    assert!(pairs(&world, &unspent).await.is_err(), "it lets nobody in");
    assert!(store.session(id).await.unwrap().unwrap().revoked_at.is_none(), "it is not stored yet");

    store.left.store(-1, Ordering::SeqCst);
    assert!(world.gateway.store_the_rest(Duration::from_secs(10)).await.is_empty());
    let world = World::over(store, profiles()).await;
    is_not_let_in(&world, &own).await;
    for token in &makers {
        assert_eq!(get(&world, "/api/v1/session", token).await.status, 401, "nor after a restart");
    }
}

#[tokio::test]
async fn a_grant_ends_at_a_start_whose_configuration_gives_its_maker_less() {
    let store = Failing::default();
    let world = World::over(store.clone(), profiles()).await;
    let token = world.session_as("lights").await;
    let body = json!({"permissions": {"read": ["/lights/**"]}});
    let minted = post(&world, "/api/v1/pairing/codes", &token, body).await.json();
    let own = pairs(&world, &minted).await.unwrap();
    drop(links(&world, &own).await.unwrap());
    let mut narrower = profiles();
    narrower.profiles[1].1 = scopes("read:/lights/hall\n");
    let world = World::over(store, narrower).await;
    is_not_let_in(&world, &own).await;
}

#[tokio::test]
async fn what_a_session_minted_ends_when_its_time_is_over() {
    let key = handfast_core::secret::Secret::new([7; 32]);
    let limits = handfast_core::limits::Limits {
        ping_every: handfast_core::Span::from_millis(500),
        ..Default::default()
    };
    let builder =
        Gateway::builder(Failing::default()).store_key(key).setup(profiles()).limits(limits);
    let world = World::of(builder).await;
    let (_, token) = ending_in(&world, "lights", 3).await;
    let body = json!({"permissions": {"read": ["/lights/**"]}, "expires_seconds": 2});
    let minted = post(&world, "/api/v1/pairing/codes", &token, body).await.json();
    let own = pairs(&world, &minted).await.unwrap();
    let node_id = node_of(&world, &own).await;
    let link = links(&world, &own).await.unwrap();
    let grant = world.gateway.inner.store.grants(node_id).await.unwrap().remove(0);
    assert!(grant.expires.unwrap() <= in_seconds(3), "{grant:?}");
    is_out(&world, &own, link).await;
}

#[tokio::test]
async fn an_approval_gives_no_more_than_whoever_approves_has_and_ends_with_it() {
    let world = world().await;
    let token = world.session_as("lights").await;
    let own = keys();
    let asked = world.gateway.settle(&asks(&own, "lamp", Method::Approval), None).await;
    assert!(matches!(asked, OwnedVerdict::Waits { .. }), "{asked:?}");
    let node_id = node_of(&world, &own).await;
    let path = format!("/api/v1/devices/{node_id}/pair");
    is_wider(&post(&world, &path, &token, json!({})).await, "read:/**");
    is_wider(
        &post(&world, &path, &token, json!({"permissions": {"admin": ["/lights/**"]}})).await,
        "admin:/lights/**",
    );
    let own_lights = json!({"read": ["/lights/**"]});
    is_wider(
        &post(
            &world,
            &path,
            &token,
            json!({"permissions": own_lights, "expires_seconds": 30 * 86_400}),
        )
        .await,
        "longer",
    );
    let approved = post(&world, &path, &token, json!({"permissions": own_lights})).await.json();
    let id = world.id_of(&token).await;
    let ends = world.gateway.inner.store.session(id).await.unwrap().unwrap().expires_at;
    assert!(secs(&approved["offered"]["expires_at"]) <= ends.as_secs(), "{approved}");
    let link = links(&world, &own).await.unwrap();
    // Nor by a new grant in place of it.
    is_wider(
        &post(&world, &path, &token, json!({"reissue": true, "permissions": {"write": ["/**"]}}))
            .await,
        "write:/**",
    );
    world.gateway.revoke_companion(id).await.unwrap();
    is_out(&world, &own, link).await;
}

#[tokio::test]
async fn what_an_operator_approved_survives_the_sessions_that_look_after_it() {
    let world = world().await;
    let token = world.session_as("lights").await;
    let own = keys();
    world.gateway.settle(&asks(&own, "lamp", Method::Approval), None).await;
    let node_id = node_of(&world, &own).await;
    let terms = crate::policy::ApprovalTerms {
        permissions: Some(scopes("read:/lights/**\n")),
        ..crate::policy::ApprovalTerms::default()
    };
    let purpose = handfast_core::flow::registration::operator::Purpose::Approve;
    world.gateway.pair_on(node_id, purpose, terms).await.unwrap();
    world.gateway.revoke_companion(world.id_of(&token).await).await.unwrap();
    let _link = links(&world, &own).await.unwrap();
    until(|| world.gateway.inner.hub.is_live(node_id)).await;
}

#[tokio::test]
async fn a_grant_that_a_session_made_is_renewed_no_longer_than_to_its_end() {
    let world = world().await;
    let (id, token) = ending_in(&world, "lights", 100).await;
    let body = json!({"permissions": {"read": ["/lights/**"]}, "grant_expires_seconds": 60});
    let minted = post(&world, "/api/v1/pairing/codes", &token, body).await.json();
    let own = pairs(&world, &minted).await.unwrap();
    let node_id = node_of(&world, &own).await;
    let renew = || {
        let gateway = world.gateway.clone();
        async move {
            let peer = handfast_core::flow::native::gateway::Peer::Node(node_id);
            gateway
                .renew(
                    peer,
                    handfast_core::flow::native::gateway::RenewKind::Chain,
                    None,
                    None,
                    &[],
                )
                .await
        }
    };
    // The node's time is over by its session, not by the sixty seconds that it would get anew.
    for _ in 0..3 {
        renew().await;
    }
    let grants = world.gateway.inner.store.grants(node_id).await.unwrap();
    assert!(grants.iter().all(
        |grant| grant.maker == Maker::Session(id) && grant.expires.unwrap() <= in_seconds(100)
    ));
    world.gateway.revoke_companion(id).await.unwrap();
    assert!(renew().await.is_none(), "what has ended is not renewed");
}

#[tokio::test]
async fn a_session_prolongs_no_other_that_is_wider_and_none_beyond_its_own_end() {
    let world = world().await;
    let (_, token) = ending_in(&world, "lights", 7200).await;
    let (wide, _) = ending_in(&world, "everything", 60).await;
    let (lamp, lamps) = ending_in(&world, "lamp", 60).await;
    let path =
        |id: SessionId| format!("/api/v1/sessions/{}/refresh", crate::hex::hex(id.as_bytes()));
    is_wider(&post(&world, &path(wide), &token, json!({})).await, "read:/**");
    let longer = post(&world, &path(lamp), &token, json!({})).await.json();
    assert!(secs(&longer["expires_at"]) <= in_seconds(7200).as_secs(), "{longer}");
    // What was added ends with whoever added it; what it had of its own does not.
    world.gateway.revoke_companion(world.id_of(&token).await).await.unwrap();
    let left = get(&world, "/api/v1/session", &lamps).await.json();
    assert!(secs(&left["expires_at"]) <= in_seconds(60).as_secs(), "{left}");
}
