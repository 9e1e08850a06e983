//! Setup codes from Python against core's reader and writer: see `interop/setup_codes.py`.

use handfast_core::crypto::fingerprint::Fingerprint;
use handfast_core::grant::setup_code::{NotValid, SetupKey, Terms, issue};
use handfast_core::limits::{SETUP_PAYLOAD_CHARS, SETUP_TOKEN_CHARS};
use handfast_core::registry::sessions::redeem;
use handfast_core::secret::Secret;
use handfast_core::wire::setup::{Payload, ProfileName};
use handfast_core::{Entropy, Label, Span, UnixTime};
use handfast_host_tests::setup::{Said, read_payload, read_token, verdict};
use serde_json::Value;

fn vectors() -> Value {
    serde_json::from_str(include_str!("../interop/setup_codes.json")).expect("JSON")
}

fn hex<const N: usize>(text: &Value) -> [u8; N] {
    let text = text.as_str().expect("hex digits");
    assert_eq!(text.len(), 2 * N);
    core::array::from_fn(|at| {
        u8::from_str_radix(&text[2 * at..2 * at + 2], 16).expect("hex digits")
    })
}

fn text(value: &Value) -> &str {
    value.as_str().expect("a text")
}

fn keys(vectors: &Value) -> [[u8; 32]; 2] {
    [hex(&vectors["key"]), hex(&vectors["older_key"])]
}

fn ours(keys: &[[u8; 32]]) -> Vec<SetupKey> {
    keys.iter().map(|key| SetupKey::new(&Secret::new(*key)).expect("a key")).collect()
}

#[test]
fn tokens_that_python_made_say_what_they_say() {
    let vectors = vectors();
    let (keys, now) = (keys(&vectors), vectors["now"].as_u64().expect("seconds"));
    let good = vectors["good"].as_array().expect("a list");
    assert!(good.len() > 10);
    for vector in good {
        let said = Said {
            profile: text(&vector["profile"]).to_owned(),
            expires_at: vector["expires_at"].as_u64().expect("seconds"),
            nonce: hex(&vector["nonce"]),
            device_label: vector["device_label"].as_str().map(str::to_owned),
        };
        let token = text(&vector["token"]);
        assert_eq!(verdict(&ours(&keys), token), Ok(said.clone()), "{}", vector["name"]);
        assert_eq!(read_token(&keys, token), Ok(said), "{}", vector["name"]);
    }
    for vector in vectors["bad"].as_array().expect("a list") {
        let token = text(&vector["token"]);
        let said = verdict(&ours(&keys), token);
        let why = match &said {
            Ok(said) => {
                let end = UnixTime::from_secs(said.expires_at);
                let spent = redeem(end, UnixTime::from_secs(0), false, UnixTime::from_secs(now));
                format!("{:?}", spent.expect_err("bad"))
            }
            Err(why) => format!("{why:?}"),
        };
        assert_eq!(why, text(&vector["why"]), "{}", vector["name"]);
        assert_eq!(read_token(&keys, token), said, "{}", vector["name"]);
    }
}

#[test]
fn the_token_that_we_issue_is_to_the_last_byte_the_one_that_python_made() {
    let vectors = vectors();
    let key = ours(&keys(&vectors)).remove(0);
    let now = UnixTime::from_secs(vectors["now"].as_u64().expect("seconds"));
    let issued_by_us =
        vectors["good"].as_array().expect("a list").iter().filter(|vector| vector["ours"] == true);
    let mut count = 0;
    for vector in issued_by_us {
        let terms = Terms {
            profile: ProfileName::parse(text(&vector["profile"])).expect("a profile"),
            device_label: vector["device_label"].as_str().and_then(Label::parse),
            ttl: Span::from_secs(600),
            bound: false,
        };
        let mut out = [0; SETUP_TOKEN_CHARS];
        let issued =
            issue(&key, &terms, now, &Entropy::from_recorded(hex(&vector["nonce"])), &mut out)
                .expect("a code");
        assert_eq!(issued.token, text(&vector["token"]), "{}", vector["name"]);
        count += 1;
    }
    assert!(count >= 5);
}

#[test]
fn payloads_that_python_made_are_read_and_those_of_our_form_are_written_to_the_last_byte() {
    let vectors = vectors();
    for vector in vectors["payloads"].as_array().expect("a list") {
        let mut scratch = vec![0; 2 * SETUP_PAYLOAD_CHARS];
        let fingerprint = vector["fingerprint"]
            .as_str()
            .map(|text| Fingerprint::parse(text).expect("a fingerprint"));
        let expected = Payload {
            url: text(&vector["url"]),
            bootstrap_token: text(&vector["bootstrap_token"]),
            expires_at: UnixTime::from_secs(vector["expires_at"].as_u64().expect("seconds")),
            fingerprint,
        };
        let payload = text(&vector["payload"]);
        assert_eq!(Payload::decode(payload, &mut scratch), Some(expected), "{}", vector["name"]);
        assert!(
            read_payload(payload).is_some_and(|read| read.url == expected.url),
            "{}",
            vector["name"]
        );
        if vector["ours"] == true {
            let (mut room, mut out) = ([0; SETUP_PAYLOAD_CHARS], [0; SETUP_PAYLOAD_CHARS]);
            assert_eq!(expected.encode(&mut room, &mut out), Some(payload), "{}", vector["name"]);
        }
    }
}

#[test]
fn a_token_that_python_made_for_later_is_worth_nothing_once_its_key_is_gone() {
    let vectors = vectors();
    let keys = keys(&vectors);
    let older = vectors["good"]
        .as_array()
        .expect("a list")
        .iter()
        .find(|vector| vector["name"] == "of the older key");
    let token = text(&older.expect("there is one")["token"]);
    assert!(verdict(&ours(&keys), token).is_ok());
    assert_eq!(verdict(&ours(&keys[..1]), token), Err(NotValid::Signature));
}

#[test]
#[ignore = "needs Python"]
fn the_script_still_makes_these_codes() {
    let script = concat!(env!("CARGO_MANIFEST_DIR"), "/interop/setup_codes.py");
    let made = std::process::Command::new("python3").arg(script).output().expect("python3 starts");
    assert_eq!(String::from_utf8_lossy(&made.stdout), include_str!("../interop/setup_codes.json"));
}
