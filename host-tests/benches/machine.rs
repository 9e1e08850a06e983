//! Costs of the decisions: the machines alone, without sockets or stores.
//! `cargo bench -p handfast-host-tests --bench machine`

use divan::{Bencher, black_box};
use handfast_core::flow::registration::gateway::{
    Effect, Input, Lookup, RegistrationConnection, RegistrationRequest,
};
use handfast_core::grant::token::{HashJob, ProofKey, ProofTag, Token};
use handfast_core::limits::{Limits, SCRATCH};
use handfast_core::registry::record::{AskMethod, Asked, Credential, Mode, Record, Standing};
use handfast_core::wire::missy;
use handfast_core::{Entropy, Instant, Label, Machine, NodeId, UnixTime};

fn main() {
    divan::main();
}

const NOW: Instant = Instant::from_millis(0);
const TOKEN: &str = "HTrGwLwHno_hwtsvczbQgcFJdi-WS068rgQyr4fD2ZQ";
const AUTH: &str = r#"{"type":"auth","node_id":"caa4270d-912f-4099-ac2d-45e9d0253e3e","token":"HTrGwLwHno_hwtsvczbQgcFJdi-WS068rgQyr4fD2ZQ"}"#;

fn node_id() -> NodeId {
    NodeId::parse("caa4270d-912f-4099-ac2d-45e9d0253e3e").unwrap()
}

fn job() -> HashJob {
    HashJob { node_id: node_id(), token: Token::parse(TOKEN).unwrap() }
}

fn paired() -> Record {
    Record {
        node_id: node_id(),
        name: Label::parse("Kitchen Pi").unwrap().into(),
        room: Label::parse("Kitchen").unwrap().into(),
        address: [127, 0, 0, 1].into(),
        keys: None,
        asked_at: UnixTime::from_secs(0),
        asked: Asked::by(AskMethod::Token),
        standing: Standing::Paired {
            credential: Credential::Token(job().run().hash),
            mode: Mode::Full,
        },
    }
}

/// Measures an authentication from the frame to the welcome, with a token that this process has
/// verified before.
#[divan::bench]
fn authenticate_again(bencher: Bencher<'_, '_>) {
    let record = paired();
    let key = ProofKey::new(&Entropy::from_recorded([7; 32]));
    let kept = key.tag(node_id(), record.standing.token().unwrap(), &job().token);
    bencher.bench_local(|| authenticate(&record, &key, Some(kept.copy())));
}

/// Measures an authentication with a token that has to be hashed.
#[divan::bench]
fn authenticate_for_the_first_time(bencher: Bencher<'_, '_>) {
    let record = paired();
    let key = ProofKey::new(&Entropy::from_recorded([7; 32]));
    bencher.bench_local(|| authenticate(&record, &key, None));
}

fn authenticate(record: &Record, key: &ProofKey, kept: Option<ProofTag>) {
    let mut scratch = [0; SCRATCH];
    let mut connection = RegistrationConnection::accepted(NOW, Limits::DEFAULT);
    let _ = black_box(connection.step(NOW, Input::Text(black_box(AUTH)), &mut scratch));
    let lookup = Lookup { record: Ok(Some(record)), kept, key };
    let effects = connection.step(NOW, Input::Loaded(lookup), &mut []);
    let job = effects.into_iter().find_map(|effect| match effect {
        Effect::Request(RegistrationRequest::Hash(job, _)) => Some(job),
        _ => None,
    });
    if let Some(job) = job {
        let _ = black_box(connection.step(NOW, Input::Hashed(Ok(job.run())), &mut []));
    }
    let _ = black_box(connection.step(NOW, Input::Attached(Ok(Some(record))), &mut scratch));
    assert!(connection.linked().is_some());
}

#[divan::bench]
fn pbkdf2_100_000() {
    let _ = black_box(job().run());
}

#[divan::bench]
fn read_a_pair_request() {
    let frame = r#"{"type":"pair_request","friendly_name":"Kitchen Pi","room":"Kitchen","hardware_profile":{"model":"Raspberry Pi 5","mic":{"channels":4}}}"#;
    let mut scratch = [0; SCRATCH];
    assert!(missy::decode_from_node(black_box(frame), &mut scratch).is_ok());
}

#[divan::bench]
fn read_a_heartbeat() {
    let frame = r#"{"type":"heartbeat","occupancy":true,"noise_level":0.42,"wake_word_fp":false}"#;
    let mut scratch = [0; SCRATCH];
    assert!(missy::decode_from_node(black_box(frame), &mut scratch).is_ok());
}
