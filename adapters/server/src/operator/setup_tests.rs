//! Tests of setup codes and sessions by the operator's methods. [`crate::flows::setup_code`] tests
//! their use over connections.

mod keys;
mod sessions;

use std::time::Duration;

use handfast_core::UnixTime;
use handfast_core::grant::setup_code::{NotValid, VERIFY_SCRATCH, verify, verify_bound};
use handfast_store::{MemoryStore, Store};

use super::sessions::Redeemable;
use crate::gateway::Gateway;
use crate::gateway::operator_types::OperatorError;
use crate::keys::setup::{KEY_FILE, PREVIOUS_KEY_FILE};
use crate::operator::NewSetup;
use crate::policy::SetupSettings;
use crate::public_url::Candidates;

fn settings() -> SetupSettings {
    let addresses =
        Candidates { public: Some("wss://gateway.example".to_owned()), ..Candidates::default() };
    SetupSettings { addresses, ..SetupSettings::default() }
}

async fn gateway_with(store: impl Store, settings: SetupSettings) -> Gateway {
    let key = handfast_core::secret::Secret::new([7; 32]);
    Gateway::builder(store).store_key(key).setup(settings).start().await.unwrap()
}

async fn gateway() -> Gateway {
    gateway_with(MemoryStore::default(), settings()).await
}

/// Returns the gateway's verdict about a token, with the keys of this time.
fn read(gateway: &Gateway, token: &str, now: UnixTime) -> Result<Redeemable, NotValid> {
    let mut scratch = [0; VERIFY_SCRATCH];
    verify(&gateway.inner.setup.keys.now(now), token, &mut scratch)
        .map(|verified| verified.claims().into())
}

/// Returns the gateway's verdict about a token that is to be bound to its key.
fn read_bound(gateway: &Gateway, token: &str, now: UnixTime) -> Result<Redeemable, NotValid> {
    let (mut scratch, own) = ([0; VERIFY_SCRATCH], gateway.keys());
    let keys = gateway.inner.setup.keys.now(now);
    verify_bound(&keys, own.channel.public(), token, &mut scratch)
        .map(|verified| verified.claims().into())
}

fn started(gateway: &Gateway) -> String {
    gateway.start_setup(&NewSetup::default()).unwrap().bootstrap_token
}

#[tokio::test]
async fn a_code_says_what_the_operator_wished_or_else_what_the_settings_say() {
    let gateway = gateway().await;
    let plain = gateway.start_setup(&NewSetup::default()).unwrap();
    let now = gateway.inner.clock.unix();
    let read_plain = read(&gateway, &plain.bootstrap_token, now).unwrap();
    assert_eq!((read_plain.profile.as_str(), &read_plain.device_label), ("companion-v1", &None));
    assert!((598..=600).contains(&(plain.expires_at.as_secs() - now.as_secs())));
    assert_eq!(
        (plain.url.as_str(), plain.url_source.to_string().as_str()),
        ("wss://gateway.example/pair", "public")
    );

    let new = NewSetup {
        for_device: Some("Ada's phone".to_owned()),
        profile: Some("guest".to_owned()),
        ttl: Some(Duration::from_secs(30)),
        public_url: Some("wss://other.example/x".to_owned()),
        bound: true,
    };
    let wished = gateway.start_setup(&new).unwrap();
    let read_wished = read_bound(&gateway, &wished.bootstrap_token, now).unwrap();
    assert_eq!(read_wished.profile.as_str(), "guest");
    assert_eq!(read_wished.device_label.unwrap().as_str(), "Ada's phone");
    assert_eq!(wished.url, "wss://other.example/x/pair");
    assert_ne!(read_plain.nonce, read_wished.nonce);
    let shown = format!("{wished:?}");
    assert!(
        !shown.contains(&wished.bootstrap_token) && !shown.contains(&wished.payload),
        "{shown}"
    );
}

#[tokio::test]
async fn a_bound_code_ends_with_the_key_that_it_names_and_a_plain_one_stays() {
    let gateway = gateway().await;
    let made = |bound| gateway.start_setup(&NewSetup { bound, ..NewSetup::default() }).unwrap();
    let (bound, plain) = (made(true), made(false));
    let now = gateway.inner.clock.unix();
    assert!(read_bound(&gateway, &bound.bootstrap_token, now).is_ok());
    gateway.rotate_key(None).await.unwrap();
    assert!(matches!(read_bound(&gateway, &bound.bootstrap_token, now), Err(NotValid::Signature)));
    assert!(read(&gateway, &plain.bootstrap_token, now).is_ok());
    // A code that is made now names the key that nodes are shown from now on.
    assert!(read_bound(&gateway, &made(true).bootstrap_token, now).is_ok());
}

#[tokio::test]
async fn what_cannot_be_is_refused_with_what_mends_it() {
    let gateway = gateway().await;
    let refused = |new: NewSetup| gateway.start_setup(&new).unwrap_err();
    let long = "x".repeat(65);
    for (new, part) in [
        (NewSetup { ttl: Some(Duration::from_secs(29)), ..NewSetup::default() }, "30 seconds"),
        (NewSetup { ttl: Some(Duration::from_secs(86_401)), ..NewSetup::default() }, "24 hours"),
        (NewSetup { profile: Some(String::new()), ..NewSetup::default() }, "profile"),
        (NewSetup { profile: Some(long.clone()), ..NewSetup::default() }, "profile"),
        (NewSetup { for_device: Some(" ".to_owned()), ..NewSetup::default() }, "blank"),
        (NewSetup { for_device: Some(long), ..NewSetup::default() }, "64 characters"),
    ] {
        match refused(new) {
            OperatorError::Usage(text) => assert!(text.contains(part), "{text}"),
            other => panic!("{other}"),
        }
    }
    for url in ["", "ftp://gateway.example", "ws://evil.example", "ws://127.0.0.1:x@evil.example"] {
        let new = NewSetup { public_url: Some(url.to_owned()), ..NewSetup::default() };
        assert!(matches!(refused(new), OperatorError::NoUrl(_)), "{url}");
    }
}
