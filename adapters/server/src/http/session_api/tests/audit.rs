use handfast_core::registry::audit_tree::{leaf_hash, verify_consistency, verify_inclusion};

use super::*;
use crate::checkpoint::{Checkpoint, VerifierKey, read_hash};
use crate::hex::hex;

fn lines(answer: &Answer) -> Vec<Value> {
    // The answer is in chunks, whose lengths are lines of their own.
    let values = answer.body.lines().filter_map(|line| serde_json::from_str(line).ok());
    values.filter(Value::is_object).collect()
}

#[tokio::test]
async fn whatever_a_session_decides_is_recorded_as_its_own_and_from_where() {
    let world = world().await;
    let token = world.session_as("admin").await;
    let id = hex(world.id_of(&token).await.as_bytes());
    let before = world.gateway.audit_size().await.unwrap();
    let codes = r#"{"kind":"typed"}"#;
    for (path, body) in [
        ("/api/v1/pairing", r#"{"open":true}"#),
        ("/api/v1/pairing", r#"{"open":false}"#),
        ("/api/v1/pairing/codes", codes),
        ("/api/v1/setup", r#"{"profile":"none"}"#),
        ("/api/v1/inbound/block", r#"{"channel":"sms","sender":"+1"}"#),
        ("/api/v1/inbound/seed", r#"{"channel":"sms","account":"a","senders":["+2"]}"#),
        ("/api/v1/inbound/block", r#"{"channel":"sms","sender":"+3"}"#),
        ("/api/v1/certs/revoke-all", ""),
        ("/api/v1/session/refresh", ""),
    ] {
        let says = Saying { body, ..by(&token) };
        let answer = ask(&world, ELSEWHERE, "POST", path, says).await;
        // What its permissions do not cover is refused, and then nothing is decided.
        assert!(matches!(answer.status, 200 | 403), "{path} {answer:?}");
    }
    assert_eq!(ask(&world, ELSEWHERE, "DELETE", "/api/v1/session", by(&token)).await.status, 200);
    let reader = world.session_as("reader").await;
    let path = format!("/api/v1/audit/export?from={before}");
    let entries = lines(&get(&world, &path, &reader).await);
    let own: Vec<_> = entries.iter().filter(|entry| entry["who"] != "setup-code").collect();
    // Pairing and codes are wider than its right, and a prolongation of seconds is not recorded.
    assert!(own.len() >= 4, "{entries:?}");
    for entry in own {
        assert_eq!((&entry["who"], &entry["by"]), (&"session".into(), &id.clone().into()));
        assert_eq!(entry["from"], ELSEWHERE.to_string(), "{entry}");
    }
    assert!(entries.iter().any(|entry| entry["what"] == "revoke-session"), "{entries:?}");
}

#[tokio::test]
async fn who_may_read_the_log_reads_it_and_nobody_changes_it() {
    let world = world().await;
    for (profile, status) in [("reader", 200), ("admin", 200), ("one", 403), ("none", 403)] {
        let token = world.session_as(profile).await;
        for path in ["", "/checkpoint", "/export", "/0/proof"] {
            let path = format!("/api/v1/audit{path}");
            assert_eq!(get(&world, &path, &token).await.status, status, "{profile} {path}");
        }
        for (method, path) in [
            ("DELETE", "/api/v1/audit"),
            ("POST", "/api/v1/audit"),
            ("PUT", "/api/v1/audit/0/proof"),
        ] {
            let answer = ask(&world, HERE, method, path, by(&token)).await;
            assert!(matches!(answer.status, 403 | 405), "{profile} {method} {answer:?}");
        }
    }
    let token = world.session_as("reader").await;
    for wrong in
        ["?limit=0", "?limit=501", "?limit=x", "?since=1", "/checkpoint?since=999", "/x/proof"]
    {
        let answer = get(&world, &format!("/api/v1/audit{wrong}"), &token).await;
        assert_eq!(answer.status, 400, "{wrong} {answer:?}");
    }
    let missing = get(&world, "/api/v1/audit/999/proof", &token).await;
    assert_eq!(missing.code(), (404, "not_found".to_owned()));
}

#[tokio::test]
async fn a_long_log_is_exported_whole_and_every_proof_of_it_holds() {
    let world = world().await;
    for _ in 0..620 {
        world.gateway.open_pairing(None).await.unwrap();
    }
    let early = world.gateway.audit_checkpoint(None).await.unwrap().checkpoint;
    for _ in 0..620 {
        world.gateway.close_pairing().await.unwrap();
        world.gateway.open_pairing(None).await.unwrap();
    }
    let token = world.session_as("reader").await;
    let view = get(&world, "/api/v1/audit/checkpoint?since=620", &token).await.json();
    let key = VerifierKey::parse(view["key"].as_str().unwrap()).unwrap();
    let head = Checkpoint::open(view["checkpoint"].as_str().unwrap(), &key).unwrap();
    let hashes = |list: &Value| -> Vec<_> {
        let list = list.as_array().unwrap().iter();
        list.map(|hash| read_hash(hash.as_str().unwrap()).unwrap()).collect()
    };
    let proof = hashes(&view["consistency"]);
    assert_eq!(verify_consistency((620, &early.root), (head.size, &head.root), &proof), Ok(()));
    let exported = get(&world, "/api/v1/audit/export", &token).await;
    let entries = lines(&exported);
    let numbers: Vec<u64> = entries.iter().filter_map(|entry| entry["entry"].as_u64()).collect();
    assert_eq!(numbers, (0..head.size).collect::<Vec<_>>());
    for number in [0, 1, 499, 500, 501, head.size - 1] {
        let path = format!("/api/v1/audit/{number}/proof?size={}", head.size);
        let view = get(&world, &path, &token).await.json();
        let leaf = leaf_hash(view["line"].as_str().unwrap().as_bytes());
        let proof = hashes(&view["proof"]);
        assert_eq!(verify_inclusion(number, &leaf, head.size, &head.root, &proof), Ok(()));
    }
    let page = get(&world, "/api/v1/audit?limit=2&after=10", &token).await.json();
    assert_eq!((&page["items"][0]["entry"], &page["next"]), (&9.into(), &"8".into()));
    let last = get(&world, "/api/v1/audit?limit=5&after=2", &token).await.json();
    assert_eq!(last["items"].as_array().unwrap().len(), 2);
    assert!(last["next"].is_null(), "{last}");
}

#[tokio::test]
async fn names_stand_beside_the_entries_and_only_for_who_may_see_them() {
    let world = world().await;
    let admin = world.session_as("admin").await;
    let says = Saying { body: r#"{"channel":"sms","sender":"+1555"}"#, ..by(&admin) };
    let blocked = ask(&world, HERE, "POST", "/api/v1/inbound/block", says).await;
    assert_eq!(blocked.status, 200, "{blocked:?}");
    for (token, sees) in [(&admin, true), (&world.session_as("reader").await, false)] {
        let answer = get(&world, "/api/v1/audit?limit=10", token).await;
        assert_eq!(answer.body.contains("+1555"), sees, "{answer:?}");
        let exported = get(&world, "/api/v1/audit/export", token).await;
        assert!(exported.body.contains("block-sender") && !exported.body.contains("+1555"));
    }
}
