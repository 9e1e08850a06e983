//! Refused stores: files that others can access, and damaged, changed or invalid ones.

use std::os::unix::fs::symlink;

use super::*;

#[test]
fn an_entry_that_is_changed_or_moved_does_not_open_and_says_to_pair_again() {
    let place = Place::new();
    place.sealed().put(ROUTER, entry(TOKEN)).unwrap();
    let good = place.text();
    let sealed = place.json()["routers"][ROUTER]["token"].as_str().unwrap().to_owned();
    let (head, tail) = sealed.split_at(20);
    let turned = if tail.starts_with('A') { "B" } else { "A" };
    let flipped = format!("{head}{turned}{}", &tail[1..]);
    for (changed, router) in [
        (good.replace(&sealed, &flipped), ROUTER),
        (good.replace(ROUTER, "10.0.0.1:7330"), "10.0.0.1:7330"),
    ] {
        write(&place.store, changed.as_bytes(), 0o600);
        let error = place.sealed().get(router).unwrap_err();
        assert!(matches!(error, TokensError::NotOpened { .. }));
        let shown = format!("{error} {error:?}");
        assert!(
            shown.contains("pair again") && !shown.contains("enc1:") && !shown.contains(TOKEN),
            "{shown}"
        );
    }
}

#[test]
fn a_damaged_file_is_told_of_and_never_overwritten() {
    for content in [
        "",
        "{",
        "[]",
        "null",
        "{\"routers\": []}",
        "{\"routers\": {\"secret:1\": \"secret\"}}",
        "{\"routers\": {}} secret",
        "{\"routers\": {\"a:1\": {\"token\": \"secret\" \"name\": 1}}}",
    ] {
        let place = Place::new();
        let store = place.sealed();
        write(&place.store, content.as_bytes(), 0o600);
        let errors = [
            store.put(ROUTER, entry(TOKEN)).unwrap_err(),
            store.remove(ROUTER).unwrap_err(),
            store.get(ROUTER).unwrap_err(),
            store.list().unwrap_err(),
            TokenStore::open_usual(&place.store).unwrap_err(),
        ];
        for error in errors {
            let shown = error.to_string();
            assert!(
                matches!(error, TokensError::Damaged { .. }) && shown.contains(".damaged"),
                "{content}: {shown}"
            );
            assert!(!shown.contains("secret") && !shown.contains(TOKEN), "{shown}");
        }
        assert_eq!(place.text(), content);
    }
    let place = Place::holding(&" ".repeat(MOST_BYTES + 1));
    assert!(matches!(
        TokenStore::open(&place.store, KeySource::Plain),
        Err(TokensError::Damaged { .. })
    ));
}

#[test]
fn a_damaged_entry_hinders_only_itself() {
    for (field, value) in [
        ("token", "7"),
        ("token", r#""""#),
        ("token", "null"),
        ("name", "null"),
        ("name", "[]"),
        ("paired_at", r#""yesterday""#),
        ("gateway_key", r#""AAAA""#),
        ("gateway_key", r#""__________________________________________8""#),
        ("fingerprint", r#""AAIS""#),
        ("node_id", r#""7""#),
        ("grant", r#""+00102030405060708090a0b0c0d0eff""#),
        ("grant", r#""00""#),
        ("expires_at", "1700000000"),
        ("permissions", r#""read:/**""#),
    ] {
        let place = Place::holding(
            &DOCUMENTED.replace(r#""eyJ"#, &format!(r#""", "{field}": {value}, "x": "eyJ"#)),
        );
        let mut other: serde_json::Value = place.json();
        if field != "token" {
            other["routers"][ROUTER]["token"] = "secret".into();
        }
        other["routers"][ROUTER][field] = serde_json::from_str(value).unwrap();
        write(&place.store, other.to_string().as_bytes(), 0o600);
        let error = place.plain().get(ROUTER).unwrap_err();
        let shown = error.to_string();
        assert!(
            matches!(error, TokensError::BadEntry { .. })
                && shown.contains(field)
                && shown.contains("pair again"),
            "{shown}"
        );
        assert!(!shown.contains("secret") && !shown.contains("yesterday"), "{shown}");
        place.plain().put("other.local:1", entry(TOKEN)).unwrap();
        assert_eq!(place.plain().list().unwrap().len(), 2);
        place.plain().put(ROUTER, entry(TOKEN)).unwrap();
        assert!(place.plain().get(ROUTER).is_ok(), "pairing again mends it");
    }
}

#[test]
fn everything_that_is_made_is_the_owners_alone() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("config/handfast/tokens.json");
    TokenStore::open(&path, KeySource::beside(&path)).unwrap().put(ROUTER, entry(TOKEN)).unwrap();
    assert_eq!(mode(path.parent().unwrap()), 0o700);
    assert_eq!(mode(path.parent().unwrap().parent().unwrap()), 0o700);
    let mut names = Vec::new();
    for file in fs::read_dir(path.parent().unwrap()).unwrap() {
        let file = file.unwrap();
        assert_eq!(mode(&file.path()), 0o600, "{file:?}");
        names.push(file.file_name().into_string().unwrap());
    }
    names.sort();
    assert_eq!(names, ["tokens.json", "tokens.json.lock", "tokens.key"]);
}

#[test]
fn what_others_can_use_is_refused_with_the_command_that_mends_it() {
    let place = Place::new();
    place.sealed().put(ROUTER, entry(TOKEN)).unwrap();
    let directory = place.store.parent().unwrap();
    for (path, open, mend) in [
        (place.store.as_path(), vec![0o640, 0o604, 0o660, 0o610, 0o666], 0o600),
        (place.key.as_path(), vec![0o640, 0o604, 0o620, 0o777], 0o600),
        (directory, vec![0o770, 0o702, 0o777], 0o700),
    ] {
        for mode in open {
            fs::set_permissions(path, Permissions::from_mode(mode)).unwrap();
            let error =
                TokenStore::open(&place.store, KeySource::beside(&place.store)).unwrap_err();
            let command = format!("chmod {mend:03o} {}", path.display());
            assert!(error.to_string().ends_with(&command), "{mode:o}: {error}");
        }
        fs::set_permissions(path, Permissions::from_mode(mend)).unwrap();
    }
    // Others may see that there is a store, as in a home directory.
    fs::set_permissions(directory, Permissions::from_mode(0o755)).unwrap();
    assert_eq!(token(&place.sealed(), ROUTER).as_deref(), Some(TOKEN));
}

#[test]
fn a_key_of_another_length_is_refused_and_left_alone() {
    for length in [0, 31, 33, 1000] {
        let place = Place::new();
        write(&place.key, &vec![7; length], 0o600);
        let error = TokenStore::open(&place.store, KeySource::beside(&place.store)).unwrap_err();
        assert!(error.to_string().contains(&format!("has {length} bytes")), "{error}");
        assert_eq!(fs::read(&place.key).unwrap().len(), length);
    }
}

#[test]
fn links_directories_and_devices_are_no_stores() {
    let place = Place::holding(DOCUMENTED);
    let link = place.store.with_file_name("link.json");
    symlink(&place.store, &link).unwrap();
    for path in [
        link.as_path(),
        place.store.parent().unwrap(),
        Path::new("/dev/null"),
        Path::new("/"),
        Path::new(".."),
    ] {
        let refused = TokenStore::open(path, KeySource::Plain).unwrap_err();
        let TokensError::File(refused) = refused else { panic!("{refused}") };
        assert!(
            matches!(refused.kind(), Kind::Irregular | Kind::Link | Kind::TooOpen),
            "{refused}"
        );
    }
}

#[test]
fn what_is_no_address_or_no_token_is_not_kept() {
    let place = Place::new();
    for router in [
        "",
        "host",
        ":1",
        "host:",
        "host:99999",
        "host:+1",
        "ws://host:1",
        "ho st:1",
        "host\n:1",
        &format!("{}:1", "h".repeat(300)),
    ] {
        let refused = place.plain().put(router, entry(TOKEN)).unwrap_err();
        assert!(matches!(refused, TokensError::NotARouter { .. }), "{router}: {refused}");
    }
    for token in ["", "enc1:AAAA", "two\nlines", &"t".repeat(TOKEN_BYTES + 1)] {
        let refused = place.plain().put(ROUTER, entry(token)).unwrap_err();
        assert!(matches!(refused, TokensError::NoToken { .. }), "{refused}");
    }
    assert!(!place.store.exists());
}
