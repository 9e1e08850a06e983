use std::time::Duration;

use handfast_core::Span;
use handfast_core::grant::setup_code::{SetupKey, Terms, issue};
use handfast_core::limits::{COMPANION_FIRST_BYTES, Limits, SETUP_TOKEN_CHARS};
use handfast_core::secret::Secret;
use handfast_core::wire::setup::ProfileName;
use handfast_store::SessionFilter;

use super::*;

/// A code that was signed with this key at that time, for half a minute.
fn signed(key: &SetupKey, at: UnixTime) -> String {
    let terms = Terms {
        profile: ProfileName::parse("companion-v1").unwrap(),
        device_label: None,
        ttl: Span::from_secs(30),
        bound: false,
    };
    let mut out = [0; SETUP_TOKEN_CHARS];
    issue(key, &terms, at, &entropy(), &mut out).unwrap().token.to_owned()
}

#[tokio::test]
async fn a_setup_code_becomes_a_session_and_the_session_lets_its_companion_in() {
    let world = World::new().await;
    let new = NewSetup { for_device: Some("Ada's \"phone\"".to_owned()), ..NewSetup::default() };
    let token =
        world.shows(&world.gateway.start_setup(&new).unwrap().bootstrap_token).await.unwrap();
    assert_eq!(token.len(), 43);
    let (_socket, welcome) = world.resumes(&token).await;
    let Heard::Text(welcome) = welcome else { panic!("{welcome:?}") };
    let welcome: Value = serde_json::from_str(&welcome).unwrap();
    let id = crate::hex::hex(world.id_of(&token).await.as_bytes());
    assert_eq!((&welcome["session_id"], &welcome["profile"]), (&json!(id), &json!("companion-v1")));
    assert_eq!(welcome["device_label"], "Ada's \"phone\"");
    assert!(welcome["expires_at"].as_str().unwrap().ends_with('Z'));
    assert!(world.gateway.inner.hub.is_live(world.id_of(&token).await));
    assert_eq!(
        world.gateway.inner.seats.taken(),
        0,
        "who is let in has no seat among the strangers"
    );
}

#[tokio::test]
async fn a_code_opens_one_session_one_after_the_other_and_all_at_once() {
    let world = World::new().await;
    let code = world.code();
    assert!(world.shows(&code).await.is_ok());
    assert_eq!(world.shows(&code).await.unwrap_err(), "already used");

    let code = world.code();
    let shown = futures_util::future::join_all((0..50).map(|_| world.shows(&code))).await;
    assert_eq!(shown.iter().filter(|shown| shown.is_ok()).count(), 1);
    assert!(
        shown.iter().filter_map(|shown| shown.as_ref().err()).all(|word| word == "already used")
    );
    assert_eq!(world.gateway.companions(SessionFilter::All).await.unwrap().len(), 2);
    world.is_at_rest().await;
    assert_eq!(world.gateway.inner.seats.taken(), 0);
}

#[tokio::test]
async fn whoever_is_not_let_in_hears_why() {
    let world = World::of(
        Gateway::builder(MemoryStore::default())
            .setup(settings())
            .limits(Limits { failures_per_minute: 10_000, ..Limits::DEFAULT }),
    );
    let world = world.await;
    let own = world.gateway.inner.setup.keys.now(world.unix());
    let foreign = SetupKey::new(&Secret::new([9; 32])).unwrap();
    let past = UnixTime::from_secs(world.unix().as_secs() - 31);
    let good = world.code();
    let flipped: String = good
        .chars()
        .rev()
        .enumerate()
        .map(|(at, c)| if at == 5 { if c == 'A' { 'B' } else { 'A' } } else { c })
        .collect();
    for (code, expected) in [
        ("", "unknown code"),
        ("nodot", "unknown code"),
        ("!.!", "unknown code"),
        (&signed(&foreign, world.unix()), "invalid signature"),
        (&flipped.chars().rev().collect::<String>(), "invalid signature"),
        (&signed(&own[0], past), "expired"),
    ] {
        assert_eq!(world.shows(code).await.unwrap_err(), expected, "{code}");
    }
    let (gone, gone_token) = world.short_session(0).await;
    let ended = world.session().await;
    world.gateway.revoke_companion(world.id_of(&ended).await).await.unwrap();
    for (token, expected) in [
        ("short", "unknown session"),
        ("HTrGwLwHno_hwtsvczbQgcFJdi-WS068rgQyr4fD2ZQ", "unknown session"),
        (ended.as_str(), "unknown session"),
        (gone_token.as_str(), "expired"),
    ] {
        let (mut socket, heard) = world.resumes(token).await;
        assert_eq!(heard, Heard::Text(json!({"error": expected}).to_string()), "{token}");
        assert_eq!(hear(&mut socket).await, Heard::Close(1008, "Not let in".to_owned()));
    }
    assert!(!world.gateway.inner.hub.is_live(gone.id));
    for (frame, expected) in [
        ("", "unknown code"),
        ("{", "unknown code"),
        ("[]", "unknown code"),
        (r#"{"type":"#, "unknown code"),
        (r#"{"bootstrap_token":7}"#, "unknown code"),
    ] {
        let mut socket = world.open("/pair").await;
        say(&mut socket, frame).await;
        assert_eq!(word(&mut socket).await.unwrap_err(), expected, "{frame}");
    }
    let mut socket = world.open("/pair").await;
    socket.send(Message::Binary(good.clone().into_bytes().into())).await.unwrap();
    assert_eq!(word(&mut socket).await.unwrap_err(), "expected text frame");
    assert!(world.shows(&good).await.is_ok(), "none of it has spent anything");
    world.is_at_rest().await;
    let text = world.metrics().await;
    for line in [
        "pairing_bootstrap_tokens_verified_total{result=\"ok\"} 2",
        "pairing_bootstrap_tokens_verified_total{result=\"malformed\"} 8",
        "pairing_bootstrap_tokens_verified_total{result=\"invalid_signature\"} 2",
        "pairing_bootstrap_tokens_verified_total{result=\"expired\"} 1",
        "pairing_sessions_total{event=\"refused\"} 3",
    ] {
        assert!(text.contains(line), "{line} is not in\n{text}");
    }
}

#[tokio::test]
async fn a_code_of_a_key_that_was_replaced_at_once_is_worth_nothing() {
    let dir = tempfile::tempdir().unwrap();
    let file = SetupSettings {
        key_file: Some(dir.path().join(crate::keys::setup::KEY_FILE)),
        ..settings()
    };
    let world = World::of(Gateway::builder(MemoryStore::default()).setup(file)).await;
    let (old, stolen) = (world.code(), world.code());
    world.gateway.rotate_setup_key(false).await.unwrap();
    assert!(world.shows(&old).await.is_ok());
    world.gateway.rotate_setup_key(true).await.unwrap();
    assert_eq!(world.shows(&stolen).await.unwrap_err(), "invalid signature");
    assert!(world.shows(&world.code()).await.is_ok());
}

#[tokio::test]
async fn a_first_frame_has_at_most_64_kib() {
    let world = World::new().await;
    let code = world.code();
    let padded = |bytes: usize| {
        let frame = json!({"bootstrap_token": code}).to_string();
        " ".repeat(bytes - frame.len()) + &frame
    };
    let mut socket = world.open("/pair").await;
    say(&mut socket, &padded(COMPANION_FIRST_BYTES + 1)).await;
    assert_eq!(word(&mut socket).await.unwrap_err(), "unknown code");
    let mut socket = world.open("/pair").await;
    say(&mut socket, &padded(COMPANION_FIRST_BYTES)).await;
    assert!(word(&mut socket).await.is_ok());
}

#[tokio::test]
async fn a_web_page_of_another_origin_is_no_companion_and_uses_nothing_up() {
    let setup = SetupSettings { origins: vec!["https://console.example".to_owned()], ..settings() };
    let limits = Limits { failures_per_minute: 1, ..Limits::DEFAULT };
    let world =
        World::of(Gateway::builder(MemoryStore::default()).setup(setup).limits(limits)).await;
    let own = format!("http://{}", world.address);
    let code = world.code();
    for origin in
        ["https://evil.example", "null", "http://127.0.0.1", "https://console.example.evil.example"]
    {
        let mut socket = world.open_from(HERE, "/pair", Some(origin)).await;
        say(&mut socket, &json!({"bootstrap_token": code}).to_string()).await;
        assert_eq!(word(&mut socket).await.unwrap_err(), "origin not allowed", "{origin}");
    }
    for origin in [own.as_str(), "https://console.example"] {
        let mut socket = world.open_from(HERE, "/pair", Some(origin)).await;
        say(&mut socket, &json!({"bootstrap_token": world.code()}).to_string()).await;
        assert!(word(&mut socket).await.is_ok(), "{origin}");
    }
    assert!(world.shows(&code).await.is_ok());
}

#[tokio::test]
async fn a_node_of_the_missy_dialect_pairs_on_the_same_path_whatever_page_it_is() {
    let world = World::new().await;
    for origin in [None, Some("https://evil.example")] {
        let mut socket = world.open_from(HERE, "/pair", origin).await;
        say(
            &mut socket,
            r#"{"type":"pair_request","friendly_name":"a","room":"b","hardware_profile":{}}"#,
        )
        .await;
        let heard = hear(&mut socket).await;
        assert!(matches!(&heard, Heard::Text(text) if text.contains("pair_pending")), "{heard:?}");
        assert_eq!(hear(&mut socket).await, Heard::Close(1000, "Pairing pending".to_owned()));
    }
    let mut socket = world.open("/pair").await;
    say(&mut socket, r#"{"type":"no such thing"}"#).await;
    let heard = hear(&mut socket).await;
    assert!(
        matches!(&heard, Heard::Text(text) if text.contains("auth or pair_request")),
        "{heard:?}"
    );
    assert_eq!(hear(&mut socket).await, Heard::Close(1008, "Protocol violation".to_owned()));
    // On every other path, all is a node's.
    for (path, frame) in [("/", "{"), ("/pair/", "{"), ("/nodes/pair", "")] {
        let mut socket = world.open(path).await;
        say(&mut socket, frame).await;
        assert_eq!(
            hear(&mut socket).await,
            Heard::Close(1008, "Malformed JSON".to_owned()),
            "{path}"
        );
    }
    world.is_at_rest().await;
}

#[tokio::test]
async fn a_router_that_is_nested_has_companions_below_its_own_path() {
    let world = World::new().await;
    let router = axum::Router::new().nest("/devices", world.gateway.router());
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let service = router.into_make_service_with_connect_info::<SocketAddr>();
    tokio::spawn(async move { axum::serve(listener, service).await });
    let nested =
        World { gateway: world.gateway.clone(), address, heard: mpsc::unbounded_channel().1 };
    let mut socket = nested.open("/devices/pair").await;
    say(&mut socket, &json!({"bootstrap_token": world.code()}).to_string()).await;
    assert!(word(&mut socket).await.is_ok());
}

#[tokio::test]
async fn who_says_nothing_is_let_go_after_the_time_for_a_first_message() {
    let limits = Limits { first_message: Span::from_millis(50), ..Limits::DEFAULT };
    let world =
        World::of(Gateway::builder(MemoryStore::default()).setup(settings()).limits(limits)).await;
    let mut socket = world.open("/pair").await;
    let heard = tokio::time::timeout(Duration::from_secs(5), hear(&mut socket)).await.unwrap();
    assert_eq!(heard, Heard::Close(1008, "Authentication timeout".to_owned()));
}
