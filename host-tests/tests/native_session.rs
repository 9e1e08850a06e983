//! A recorded session of the native wire: a node pairs with a PIN, links and sends heartbeats. A
//! client in another language that is given the same keys and entropy must send the same frames.

use std::fmt::Write as _;

use handfast_core::crypto::code::Code;
use handfast_core::crypto::keys::OwnKeys;
use handfast_core::flow::native::node::{
    CertificateWish, Effect, Input, NativeMemory, Node, NodeIdentity, PairMethod, Timing,
};
use handfast_core::limits::NATIVE_SETUP_SCRATCH;
use handfast_core::secret::Secret;
use handfast_core::wire::native::pair::AskedScopes;
use handfast_core::wire::registration::{Heartbeat, PairRequest, Profile};
use handfast_core::{Entropy, Instant, Label, Machine, Span};
use handfast_host_tests::native::World;
use serde_json::{Value, json};

const PATH: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/vectors/native-session.json");

fn hex(bytes: &[u8]) -> String {
    bytes.iter().fold(String::new(), |mut text, byte| {
        let _ = write!(text, "{byte:02x}");
        text
    })
}

fn bytes(value: &Value) -> Vec<u8> {
    let text = value.as_str().unwrap_or_default();
    (0..text.len() / 2)
        .map(|at| u8::from_str_radix(&text[2 * at..2 * at + 2], 16).unwrap())
        .collect()
}

/// Plays the session between the real machines of a simulated world.
fn record() -> Value {
    let mut world = World::new(1, 7);
    world.identity.marks = true;
    world.recording = Some(Vec::new());
    world.open_window();
    world.pair_by_pin(0);
    world.run();
    let pin = world.pin_for(0).expect("a PIN is shown");
    world.type_pin(0, &pin);
    world.run();
    assert!(world.is_linked(0), "{}", world.story());
    world.pass(Span::from_secs(61));
    let steps = world.recording.take().unwrap().into_iter().map(|step| {
        // The other inputs bring no entropy.
        let draws = ["Connected", "Frame", "Code"].contains(&step.input.as_str());
        json!({
            "at": step.at,
            "input": step.input,
            "entropy": draws.then(|| hex(&step.entropy)),
            "bytes": (!step.bytes.is_empty()).then(|| hex(&step.bytes)),
            "sends": step.sends.iter().map(|frame| hex(frame)).collect::<Vec<_>>(),
        })
    });
    json!({
        "node_keys": hex(world.nodes[0].keys.to_stored().expose()),
        "gateway_keys": hex(world.identity.keys.to_stored().expose()),
        "name": "node 0",
        "room": "Kitchen",
        "pin": pin,
        "steps": steps.collect::<Vec<_>>(),
    })
}

#[test]
fn a_node_that_is_given_the_recorded_inputs_sends_the_recorded_frames_and_links() {
    if std::env::var_os("UPDATE_VECTORS").is_some() {
        let text = serde_json::to_string_pretty(&record()).unwrap() + "\n";
        std::fs::write(PATH, text).unwrap();
    }
    let session: Value = serde_json::from_str(&std::fs::read_to_string(PATH).unwrap()).unwrap();
    let stored = Secret::new(bytes(&session["node_keys"]).try_into().unwrap());
    let keys = OwnKeys::from_stored(&stored);
    let label = |name: &str| Label::parse(session[name].as_str().unwrap()).unwrap();
    let about = PairRequest { name: label("name"), room: label("room"), profile: Profile::EMPTY };
    let own = NodeIdentity {
        keys: &keys,
        about,
        setup: None,
        wants: AskedScopes::NONE,
        certificate: CertificateWish::None,
        dispatch: true,
    };

    let mut node = Node::boot(Instant::from_millis(0), NativeMemory::Blank, Timing::DEFAULT);
    let mut frames = 0;
    for (at, step) in session["steps"].as_array().unwrap().iter().enumerate() {
        let now = Instant::from_millis(step["at"].as_u64().unwrap());
        let entropy = || Entropy::from_recorded(bytes(&step["entropy"]).try_into().unwrap());
        let mut received = bytes(&step["bytes"]);
        let typed = String::from_utf8(received.clone()).unwrap_or_default();
        let input = match step["input"].as_str().unwrap() {
            "Pair" => Input::Pair(PairMethod::Pin, None),
            "Tick" => Input::Tick(Heartbeat { occupancy: Some(true), ..Heartbeat::default() }),
            "Connected" => Input::Connected(entropy(), own),
            "Frame" => Input::Frame { bytes: &mut received, entropy: entropy(), own },
            "Code" => Input::CodeEntered(Code::parse(&typed).unwrap(), entropy(), own),
            "Kept" => Input::Kept,
            "Disconnected" => Input::Disconnected(Entropy::from_recorded([0; 2])),
            other => panic!("step {at} has the unknown input {other}"),
        };
        let mut scratch = [0; NATIVE_SETUP_SCRATCH];
        let mut sends = Vec::new();
        for effect in node.step(now, input, &mut scratch) {
            if let Effect::Send(frame) = effect {
                sends.push(Value::from(hex(frame)));
            }
        }
        frames += sends.len();
        assert_eq!(&Value::from(sends), &step["sends"], "step {at}: {step}");
    }
    assert_eq!(node.state_name(), "Linked");
    assert!(frames > 6, "a session of {frames} frames has no pairing and no link");
}

#[test]
fn the_recording_is_what_two_real_peers_say_to_each_other_today() {
    let session: Value = serde_json::from_str(&std::fs::read_to_string(PATH).unwrap()).unwrap();
    assert_eq!(record(), session, "UPDATE_VECTORS=1 writes the file");
}
