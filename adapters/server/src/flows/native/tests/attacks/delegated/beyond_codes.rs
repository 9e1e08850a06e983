//! What sessions do beside minting codes and approving: setup codes, pairing windows, nodes with a
//! token, and senders.

use super::*;
use crate::http::admin::Time;

#[tokio::test]
async fn a_session_makes_no_setup_code_of_a_wider_profile_and_what_its_codes_open_ends_with_it() {
    let world = world().await;
    let token = world.session_as("lights").await;
    is_wider(
        &post(&world, "/api/v1/setup", &token, json!({"profile": "everything"})).await,
        "read:/**",
    );
    is_wider(
        &post(&world, "/api/v1/setup", &token, json!({"profile": "gateway", "bound": true})).await,
        "admin:/gateway/**",
    );
    is_wider(
        &post(&world, "/api/v1/setup", &token, json!({"profile": "approver"})).await,
        "may_approve",
    );
    // A pattern for everything is not what is the gateway's own.
    let tricky = world.session_as("setup").await;
    is_wider(
        &post(&world, "/api/v1/setup", &tricky, json!({"profile": "gateway"})).await,
        "admin:/gateway/**",
    );
    assert_eq!(
        post(&world, "/api/v1/setup/rotate", &token, json!({"at_once": true})).await.status,
        403
    );

    let code = |answer: Answer| answer.json()["bootstrap_token"].as_str().unwrap().to_owned();
    let opened = world
        .shows(&code(post(&world, "/api/v1/setup", &token, json!({"profile": "lamp"})).await))
        .await
        .unwrap();
    let unspent = code(post(&world, "/api/v1/setup", &token, json!({"profile": "lamp"})).await);
    let (maker, made) = (world.id_of(&token).await, world.id_of(&opened).await);
    let [maker_ends, made_ends] = [maker, made].map(|id| world.gateway.inner.store.session(id));
    let (maker_ends, made_session) =
        (maker_ends.await.unwrap().unwrap().expires_at, made_ends.await.unwrap().unwrap());
    assert!(made_session.expires_at <= maker_ends && made_session.maker == Maker::Session(maker));
    assert_eq!(get(&world, "/api/v1/session", &opened).await.status, 200);
    world.gateway.revoke_companion(maker).await.unwrap();
    assert_eq!(
        get(&world, "/api/v1/session", &opened).await.code(),
        (401, "bearer_unknown".to_owned())
    );
    assert_eq!(world.shows(&unspent).await, Err("expired".to_owned()));
}

#[tokio::test]
async fn a_bound_setup_code_of_a_sessions_pairs_a_node_for_no_longer_than_the_session() {
    let world = world().await;
    let token = world.session_as("lights").await;
    let answer = post(&world, "/api/v1/setup", &token, json!({"profile": "lamp", "bound": true}))
        .await
        .json();
    let code = answer["bootstrap_token"].as_str().unwrap();
    let now = world.unix();
    let mut room = [0; handfast_core::grant::setup_code::VERIFY_SCRATCH];
    let keys_now = world.gateway.inner.setup.keys.now(now);
    let (gateway, verify) = (world.gateway.keys(), handfast_core::grant::setup_code::verify_bound);
    let verified = verify(&keys_now, gateway.channel.public(), code, &mut room).unwrap();
    let redeemable = crate::operator::bound_setup::OwnedSetup::from(verified.claims());
    let own = keys();
    let paired = world.gateway.settle_setup(&asks(&own, "lamp", Method::Setup), redeemable).await;
    assert!(matches!(paired, OwnedVerdict::Offered(_)), "{paired:?}");
    let link = links(&world, &own).await.unwrap();
    world.gateway.revoke_companion(world.id_of(&token).await).await.unwrap();
    is_out(&world, &own, link).await;
}

#[tokio::test]
async fn a_session_opens_pairing_only_for_what_it_has_and_sees_no_pins_but_its_own() {
    let refused = world().await;
    let token = refused.session_as("lights").await;
    is_wider(&post(&refused, "/api/v1/pairing", &token, json!({"open": true})).await, "read:/**");

    let settings = PairingSettings {
        default_permissions: scopes("read:/lights/**\n"),
        ..PairingSettings::default()
    };
    let world =
        World::of(Gateway::builder(MemoryStore::default()).setup(profiles()).pairing(settings))
            .await;
    let (token, other) = (world.session_as("lights").await, world.session_as("lights").await);
    is_wider(
        &post(&world, "/api/v1/pairing", &token, json!({"open": true, "for_seconds": 30 * 86_400}))
            .await,
        "longer",
    );
    assert_eq!(
        post(&world, "/api/v1/pairing", &token, json!({"open": true})).await.json()["open"],
        true
    );
    let mut streams = [events(&world, &token).await, events(&world, &other).await];
    let own = keys();
    let mut client =
        Client::stranger(Intent::Pair, Wire::websocket(world.address).await, &own).await;
    client.ask_by(&own, "phone", Method::Pin).await;
    assert!(matches!(hears(&mut client).await, Ok(Said::PinShown(_))));
    let mut pins = Vec::new();
    for stream in &mut streams {
        pins.push(next_pin(stream).await);
    }
    assert!(pins[0].is_string() && pins[1].is_null(), "{pins:?}");
    let pin = pins[0].as_str().unwrap();
    guesses(&mut client, &own, &world.gateway, pin, cpace::CodeOrigin::Pin).await.unwrap().unwrap();
    takes_the_grant(&mut client).await;
    let link = links(&world, &own).await.unwrap();
    world.gateway.revoke_companion(world.id_of(&token).await).await.unwrap();
    is_out(&world, &own, link).await;
    assert!(!world.gateway.pairing_status().await.unwrap().open, "what it opened closed with it");
}

async fn events(world: &World, token: &str) -> TcpStream {
    use tokio::io::AsyncWriteExt;
    let mut stream = world.tcp(HERE).await;
    let request = format!(
        "GET /api/v1/events HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {token}\r\nConnection: close\r\n\r\n"
    );
    stream.write_all(request.as_bytes()).await.unwrap();
    read_until(&mut stream, "listening").await;
    stream
}

async fn next_pin(stream: &mut TcpStream) -> Value {
    let text = read_until(stream, "\"ip_address\"").await;
    let (_, from) = text
        .split_once("{\"event\":\"pairing_request\"")
        .map_or_else(|| text.split_once('{').unwrap(), |(before, after)| (before, after));
    let line = from.lines().next().unwrap();
    let object = if text.contains("{\"event\":\"pairing_request\"") {
        format!("{{\"event\":\"pairing_request\"{line}")
    } else {
        format!("{{{line}")
    };
    serde_json::from_str::<Value>(&object).unwrap_or_else(|error| panic!("{error}: {text}"))["pin"]
        .clone()
}

/// Reads until a line with this text is whole.
async fn read_until(stream: &mut TcpStream, wanted: &str) -> String {
    use tokio::io::AsyncReadExt;
    let mut heard = Vec::new();
    loop {
        let text = String::from_utf8_lossy(&heard).into_owned();
        if let Some((_, behind)) = text.split_once(wanted)
            && behind.contains('\n')
        {
            return text;
        }
        let read = tokio::time::timeout(Duration::from_secs(10), stream.read_buf(&mut heard)).await;
        assert_ne!(read.expect("it comes").unwrap(), 0, "{text}");
    }
}

#[tokio::test]
async fn a_token_node_is_approved_by_a_session_only_if_its_profile_says_so_and_waits_again_after_it()
 {
    let world = world().await;
    let asked = |name: &'static str| {
        let gateway = world.gateway.clone();
        async move {
            let limits = gateway.inner.limits;
            let request = handfast_core::wire::registration::PairRequest {
                name: Label::parse(name).unwrap(),
                room: Label::parse("hall").unwrap(),
                profile: handfast_core::wire::registration::Profile::EMPTY,
            };
            let address = std::net::IpAddr::from([127, 0, 0, 1]);
            let asking = handfast_core::registry::admission::PendingRequest::new(
                &request,
                address,
                unix(),
                &limits,
                &entropy::draw(),
            );
            gateway
                .inner
                .store
                .admit(asking, "{}".to_owned(), limits, unix())
                .await
                .unwrap()
                .unwrap()
        }
    };
    let node_id = asked("pi").await;
    let path = format!("/api/v1/devices/{node_id}/pair");
    let (token, approver) = (world.session_as("lights").await, world.session_as("approver").await);
    is_wider(&post(&world, &path, &token, json!({})).await, "may_approve");
    let approved = post(&world, &path, &approver, json!({})).await.json();
    assert_eq!(approved["token"].as_str().map(str::len), Some(43), "{approved}");
    is_wider(&post(&world, &path, &token, json!({"reissue": true})).await, "may_approve");
    let shown = get(&world, &format!("/api/v1/devices/{node_id}"), &approver).await.json();
    let id = world.id_of(&approver).await;
    assert_eq!(shown["approved_by"], format!("session {}", crate::hex::hex(id.as_bytes())));
    world.gateway.revoke_companion(id).await.unwrap();
    let device = world.gateway.device_by_prefix(&node_id.to_string()).await.unwrap();
    assert!(
        matches!(
            device.entry.record.standing,
            handfast_core::registry::record::Standing::Unapproved { .. }
        ),
        "{device:?}"
    );
}

#[tokio::test]
async fn a_session_lets_a_sender_in_for_no_longer_than_itself() {
    let world = world().await;
    let token = world.session_as("lights").await;
    let path = "/api/v1/inbound/approve";
    let long = Time::from(in_seconds(10 * 86_400));
    let code = world.challenge("+491700000000").await;
    is_wider(&post(&world, path, &token, json!({"code": code, "until": long})).await, "longer");
    assert_eq!(post(&world, path, &token, json!({"code": code})).await.status, 200);
    let seed = json!({"channel": "signal", "account": "me", "senders": ["+491700000001"]});
    assert_eq!(post(&world, "/api/v1/inbound/seed", &token, seed).await.json()["added"], 1);
    let ends = world
        .gateway
        .inner
        .store
        .session(world.id_of(&token).await)
        .await
        .unwrap()
        .unwrap()
        .expires_at;
    let listed = get(&world, "/api/v1/inbound?all=true", &token).await.json();
    for sender in listed["items"].as_array().unwrap() {
        assert!(secs(&sender["until"]) <= ends.as_secs(), "{sender}");
    }
    assert_eq!(listed["items"].as_array().unwrap().len(), 2);
    world.gateway.revoke_companion(world.id_of(&token).await).await.unwrap();
    let left = world
        .gateway
        .gate()
        .list(handfast_store::SenderFilter { all: true, ..Default::default() })
        .await
        .unwrap();
    assert!(left.is_empty(), "{left:?}");
}
