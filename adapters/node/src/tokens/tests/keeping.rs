//! Storing of tokens, by one program and by several.

use handfast_core::NodeId;
use handfast_core::crypto::fingerprint::Fingerprint;
use handfast_core::crypto::x25519::PublicKey;

use super::*;

#[test]
fn the_documented_file_is_read() {
    let place = Place::holding(DOCUMENTED);
    for store in
        [place.sealed(), place.plain(), TokenStore::open(&place.store, KeySource::Keyring).unwrap()]
    {
        let entry = store.get(ROUTER).unwrap().unwrap();
        assert_eq!(entry.token.expose(), "eyJhbGciOi...");
        assert_eq!(entry.paired_at, UnixTime::from_secs(1_705_314_600));
        assert_eq!(entry.name, "Studio Router");
        assert!(
            entry.gateway_key.is_none() && entry.node_id.is_none() && entry.expires_at.is_none()
        );
        assert!(store.get("192.168.1.100:7331").unwrap().is_none());
    }
    assert!(!place.key.exists(), "reading makes no key");
}

#[test]
fn a_plain_store_is_written_in_the_documented_form() {
    let place = Place::new();
    place.plain().put(ROUTER, entry("eyJhbGciOi...")).unwrap();
    assert_eq!(place.json(), serde_json::from_str::<serde_json::Value>(DOCUMENTED).unwrap());
    assert!(!place.key.exists());
}

#[test]
fn everything_that_is_kept_comes_back() {
    let place = Place::new();
    let key = PublicKey::parse(&[9; 32]).unwrap();
    let kept = || TokenEntry {
        gateway_key: Some(key),
        fingerprint: Some(Fingerprint::of(&key)),
        node_id: Some(NodeId::from_bytes([0xab; 16])),
        grant: Some([0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 255]),
        expires_at: Some(UnixTime::from_secs(1_736_937_000)),
        permissions: Some(vec!["read:/lights/**".to_owned(), "write:/lights/room1".to_owned()]),
        ..entry(TOKEN)
    };
    place.sealed().put(ROUTER, kept()).unwrap();
    let (got, kept) = (place.sealed().get(ROUTER).unwrap().unwrap(), kept());
    assert_eq!(got.token.expose(), kept.token.expose());
    assert_eq!(
        (got.paired_at, &got.name, got.gateway_key),
        (kept.paired_at, &kept.name, kept.gateway_key)
    );
    assert_eq!(
        (got.fingerprint, got.node_id, got.grant),
        (kept.fingerprint, kept.node_id, kept.grant)
    );
    assert_eq!((got.expires_at, &got.permissions), (kept.expires_at, &kept.permissions));
    let written = &place.json()["routers"][ROUTER];
    assert_eq!(written["grant"], "000102030405060708090a0b0c0d0eff");
    assert_eq!(written["expires_at"], "2025-01-15T10:30:00Z");
    let end = kept.expires_at.unwrap().as_secs();
    assert!(
        !got.is_expired(UnixTime::from_secs(end - 1)) && got.is_expired(UnixTime::from_secs(end))
    );
}

#[test]
fn a_second_pairing_replaces_the_first_with_all_its_fields() {
    let place = Place::new();
    place.sealed().put(ROUTER, TokenEntry { grant: Some([1; 16]), ..entry("first") }).unwrap();
    place.sealed().put(ROUTER, entry("second")).unwrap();
    let got = place.sealed().get(ROUTER).unwrap().unwrap();
    assert_eq!((got.token.expose(), got.grant), ("second", None));
}

#[test]
fn removing_and_listing_need_no_key() {
    let place = Place::new();
    for router in ["b.local:1", "a.local:1"] {
        place.sealed().put(router, entry(TOKEN)).unwrap();
    }
    fs::remove_file(&place.key).unwrap();
    let listed = place.sealed().list().unwrap();
    assert_eq!(
        listed.iter().map(|it| it.router.as_str()).collect::<Vec<_>>(),
        ["a.local:1", "b.local:1"]
    );
    assert!(listed.iter().all(|it| it.sealed
        && it.name.as_deref() == Some("Studio Router")
        && it.paired_at.is_some()));
    assert!(place.sealed().remove("a.local:1").unwrap());
    assert!(!place.sealed().remove("a.local:1").unwrap());
    assert_eq!(place.sealed().list().unwrap().len(), 1);
}

#[test]
fn the_token_stands_nowhere_in_the_directory() {
    let place = Place::new();
    place.sealed().put(ROUTER, entry(TOKEN)).unwrap();
    place.sealed().put("other.local:1", entry("something else")).unwrap();
    assert!(place.json()["routers"][ROUTER]["token"].as_str().unwrap().starts_with("enc1:"));
    for file in fs::read_dir(place.store.parent().unwrap()).unwrap() {
        let bytes = fs::read(file.unwrap().path()).unwrap();
        for piece in TOKEN.as_bytes().windows(8) {
            assert!(!bytes.windows(8).any(|window| window == piece));
        }
    }
}

#[test]
fn a_lost_key_says_to_pair_again_and_pairing_again_mends_it() {
    let place = Place::new();
    place.sealed().put(ROUTER, entry(TOKEN)).unwrap();
    place.sealed().put("other.local:1", entry(TOKEN)).unwrap();
    fs::remove_file(&place.key).unwrap();
    let error = place.sealed().get(ROUTER).unwrap_err();
    assert!(
        matches!(error, TokensError::LostKey { .. }) && error.to_string().contains("pair again"),
        "{error}"
    );
    place.sealed().put(ROUTER, entry("fresh")).unwrap();
    assert_eq!(token(&place.sealed(), ROUTER).as_deref(), Some("fresh"));
    assert!(matches!(place.sealed().get("other.local:1"), Err(TokensError::NotOpened { .. })));
}

#[test]
fn tokens_are_plain_only_where_that_is_asked_for() {
    let place = Place::new();
    place.plain().put("plain.local:1", entry(TOKEN)).unwrap();
    place.sealed().put(ROUTER, entry(TOKEN)).unwrap();
    let usual = TokenStore::open_usual(&place.store).unwrap();
    usual.put("usual.local:1", entry(TOKEN)).unwrap();
    assert_eq!(place.text().matches(TOKEN).count(), 1);
    // A store with a key reads plain tokens, too, but not the other way round.
    assert_eq!(token(&place.sealed(), "plain.local:1").as_deref(), Some(TOKEN));
    assert!(matches!(place.plain().get(ROUTER), Err(TokensError::Sealed { .. })));
    let sealed: Vec<_> = place
        .plain()
        .list()
        .unwrap()
        .into_iter()
        .filter(|it| it.sealed)
        .map(|it| it.router)
        .collect();
    assert_eq!(sealed, [ROUTER, "usual.local:1"]);
}

#[test]
fn the_usual_source_is_where_the_key_was_so_far() {
    let place = Place::new();
    place.sealed().put(ROUTER, entry(TOKEN)).unwrap();
    assert_eq!(place.json()["key_source"], "file");
    assert_eq!(
        TokenStore::open_usual(&place.store).unwrap().key_source(),
        &KeySource::File(place.key.clone())
    );
    // A lost key must not make the store look elsewhere.
    fs::remove_file(&place.key).unwrap();
    assert!(matches!(
        TokenStore::open_usual(&place.store).unwrap().get(ROUTER),
        Err(TokensError::LostKey { .. })
    ));
    write(&place.store, place.text().replace(r#""file""#, r#""keyring""#).as_bytes(), 0o600);
    assert_eq!(TokenStore::open_usual(&place.store).unwrap().key_source(), &KeySource::Keyring);
}

#[test]
fn writers_at_the_same_time_lose_nothing_of_each_other() {
    let place = Place::new();
    std::thread::scope(|threads| {
        for writer in 0..4 {
            // Each thread opens the store for itself, as a program does; the lock belongs to the
            // opened file, not to the process.
            let store = place.sealed();
            threads.spawn(move || {
                for number in 0..50 {
                    store
                        .put(
                            &format!("writer{writer}.local:{number}"),
                            entry(&format!("{TOKEN}{writer}.{number}")),
                        )
                        .unwrap();
                }
            });
        }
    });
    assert_eq!(place.sealed().list().unwrap().len(), 200);
    for (writer, number) in (0..4).flat_map(|writer| (0..50).map(move |number| (writer, number))) {
        let router = format!("writer{writer}.local:{number}");
        assert_eq!(token(&place.sealed(), &router), Some(format!("{TOKEN}{writer}.{number}")));
    }
}

#[test]
fn a_write_that_was_cut_off_leaves_the_old_file_and_hinders_no_later_one() {
    let place = Place::new();
    place.sealed().put(ROUTER, entry(TOKEN)).unwrap();
    write(&place.store.with_file_name("tokens.json.tmp"), br#"{"routers": {"192.168."#, 0o600);
    assert_eq!(token(&place.sealed(), ROUTER).as_deref(), Some(TOKEN));
    place.sealed().put("other.local:1", entry(TOKEN)).unwrap();
    assert_eq!(place.sealed().list().unwrap().len(), 2);
    assert!(!place.store.with_file_name("tokens.json.tmp").exists());
}

#[test]
fn a_key_that_was_cut_off_while_it_was_made_is_none() {
    let place = Place::new();
    write(&place.store.with_file_name("tokens.key.1-0.new"), &[7; 12], 0o600);
    place.sealed().put(ROUTER, entry(TOKEN)).unwrap();
    assert_eq!(token(&place.sealed(), ROUTER).as_deref(), Some(TOKEN));
}

#[test]
fn what_other_programs_keep_there_stays_letter_by_letter() {
    let place = Place::holding(
        r#"{"version": 1.50, "theme": {"b": [1e400, "\u00e4"], "a": 18446744073709551616},
            "routers": {"192.168.1.100:7330": {"token": "old", "paired_at": "2024-01-15T10:30:00Z", "name": "A", "colour": {"z": 1.0}},
                        "b.local:1": {"icon": 7.10, "token": "b", "paired_at": "2024-01-15T12:30:00+02:00", "name": "B"}}}"#,
    );
    place.sealed().put(ROUTER, entry("new")).unwrap();
    let text = place.text();
    for kept in [
        r#""version": 1.50"#,
        r#"{"b": [1e400, "\u00e4"], "a": 18446744073709551616}"#,
        r#"{"z": 1.0}"#,
        "7.10",
        "12:30:00+02:00",
    ] {
        assert!(text.contains(kept), "{kept} in {text}");
    }
    assert_eq!(token(&place.sealed(), "b.local:1").as_deref(), Some("b"));
    assert!(!text.contains(r#""old""#));
}

#[test]
fn nothing_secret_is_shown() {
    let shown = format!("{:?}", entry(TOKEN));
    assert!(
        shown.contains("redacted") && shown.contains("Studio Router") && !shown.contains(TOKEN),
        "{shown}"
    );
}

#[test]
#[ignore = "needs an unlocked keyring on the session's D-Bus"]
fn the_keyring_keeps_the_key_of_each_store() {
    let (place, other) = (Place::new(), Place::new());
    let open = |place: &Place| TokenStore::open(&place.store, KeySource::Keyring).unwrap();
    assert_eq!(TokenStore::open_usual(&place.store).unwrap().key_source(), &KeySource::Keyring);
    open(&place).put(ROUTER, entry(TOKEN)).unwrap();
    open(&place).put("second.local:1", entry("second")).unwrap();
    open(&other).put(ROUTER, entry("other")).unwrap();
    assert_eq!(token(&open(&place), ROUTER).as_deref(), Some(TOKEN));
    assert_eq!(token(&open(&place), "second.local:1").as_deref(), Some("second"));
    assert_eq!(token(&open(&other), ROUTER).as_deref(), Some("other"));
    assert!(!place.key.exists() && !place.text().contains(TOKEN));
    // The key belongs to the store's path.
    write(&other.store, place.text().as_bytes(), 0o600);
    assert!(matches!(open(&other).get(ROUTER), Err(TokensError::NotOpened { .. })));
    let third = Place::holding(&place.text());
    assert!(matches!(open(&third).get(ROUTER), Err(TokensError::LostKey { .. })));
    // The calls must work within an asynchronous runtime, too.
    let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
    assert_eq!(runtime.block_on(async { token(&open(&place), ROUTER) }).as_deref(), Some(TOKEN));
}
