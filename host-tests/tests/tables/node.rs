use handfast_core::flow::registration::node::{
    Input, RegistrationMemory, RegistrationNode, Timing,
};
use handfast_core::limits::SCRATCH;
use handfast_core::wire::registration::{Heartbeat, PairRequest, Profile};
use handfast_core::wire::token::Token;
use handfast_core::{Entropy, Instant, Label, Machine, NodeId};

use super::{Table, deadline};

const ID: &str = "caa4270d-912f-4099-ac2d-45e9d0253e3e";

fn node_id() -> NodeId {
    NodeId::parse(ID).unwrap()
}

fn token() -> Token {
    Token::parse("HTrGwLwHno_hwtsvczbQgcFJdi-WS068rgQyr4fD2ZQ").unwrap()
}

fn request() -> PairRequest<'static> {
    let label = |text| Label::parse(text).unwrap();
    PairRequest { name: label("lamp"), room: label("Küche"), profile: Profile::EMPTY }
}

type Make = fn() -> Input<'static>;

const INPUTS: &[(&str, Make)] = &[
    ("tick", || Input::Tick(Heartbeat { occupancy: Some(true), ..Heartbeat::default() })),
    ("connected", || Input::Connected(request())),
    ("text pair_pending", || {
        Input::Text(r#"{"type":"pair_pending","node_id":"caa4270d-912f-4099-ac2d-45e9d0253e3e"}"#)
    }),
    ("text auth_ok", || {
        Input::Text(
            r#"{"type":"auth_ok","node_id":"caa4270d-912f-4099-ac2d-45e9d0253e3e","room":"Küche"}"#,
        )
    }),
    ("text auth_ok for another", || {
        Input::Text(
            r#"{"type":"auth_ok","node_id":"00000000-0000-4000-8000-000000000000","room":"Küche"}"#,
        )
    }),
    ("text auth_fail, credentials", || {
        Input::Text(r#"{"type":"auth_fail","reason":"invalid credentials"}"#)
    }),
    ("text auth_fail, not approved", || {
        Input::Text(r#"{"type":"auth_fail","reason":"node is not yet approved"}"#)
    }),
    ("text muted", || Input::Text(r#"{"type":"muted"}"#)),
    ("text error", || Input::Text(r#"{"type":"error","message":"Malformed JSON"}"#)),
    ("text of another type", || Input::Text(r#"{"type":"tts"}"#)),
    ("text that is no JSON", || Input::Text("{")),
    ("disconnected", || Input::Disconnected(Entropy::from_recorded([0, 128]))),
    ("kept blank", || Input::Kept(RegistrationMemory::Blank)),
    ("kept asked", || Input::Kept(RegistrationMemory::Asked { node_id: node_id() })),
    ("kept paired", || {
        Input::Kept(RegistrationMemory::Paired { node_id: node_id(), token: token() })
    }),
    ("token entered", || Input::TokenEntered(token())),
    ("ask again", || Input::AskAgain),
    ("forget", || Input::Forget),
];

/// Inputs that lead to each state from each memory, and the time of the next input in milliseconds.
const STATES: &[(&str, &[&str], u64)] = &[
    ("Waiting, blank", &[], 0),
    ("Waiting after a failure, blank", &["tick", "disconnected"], 500),
    ("Opening, blank", &["tick"], 0),
    ("AwaitPending", &["tick", "connected"], 5_000),
    ("AwaitPending, time is up", &["tick", "connected"], 10_000),
    ("AwaitPending, complained of", &["tick", "connected", "text error"], 5_000),
    ("Keeping", &["tick", "connected", "text pair_pending"], 0),
    ("AwaitToken", &["tick", "connected", "text pair_pending", "kept asked"], 0),
    ("Waiting, paired", &["tick", "connected", "text pair_pending", "kept paired"], 0),
    ("Opening, paired", &["tick", "connected", "text pair_pending", "kept paired", "tick"], 0),
    (
        "AwaitAuth",
        &["tick", "connected", "text pair_pending", "kept paired", "tick", "connected"],
        5_000,
    ),
    (
        "AwaitAuth, time is up",
        &["tick", "connected", "text pair_pending", "kept paired", "tick", "connected"],
        10_000,
    ),
    (
        "AwaitAuth, muted",
        &[
            "tick",
            "connected",
            "text pair_pending",
            "kept paired",
            "tick",
            "connected",
            "text muted",
        ],
        5_000,
    ),
    (
        "Linked",
        &[
            "tick",
            "connected",
            "text pair_pending",
            "kept paired",
            "tick",
            "connected",
            "text auth_ok",
        ],
        0,
    ),
    (
        "Linked, told how it is",
        &[
            "tick",
            "connected",
            "text pair_pending",
            "kept paired",
            "tick",
            "connected",
            "text auth_ok",
            "tick",
        ],
        5_000,
    ),
];

fn feed(mut node: RegistrationNode, at: u64, input: Input<'_>) -> (RegistrationNode, Vec<String>) {
    let mut scratch = [0; SCRATCH];
    let effects = node.step(Instant::from_millis(at), input, &mut scratch);
    (node, effects.iter().map(|effect| format!("{effect:?}")).collect())
}

fn reach(path: &[&str]) -> RegistrationNode {
    let start =
        RegistrationNode::boot(Instant::from_millis(0), RegistrationMemory::Blank, Timing::DEFAULT);
    path.iter().fold(start, |node, wanted| {
        let (_, make) = INPUTS.iter().find(|(name, _)| name == wanted).expect("a known input");
        feed(node, 0, make()).0
    })
}

#[test]
fn a_node_does_in_every_state_what_its_table_says() {
    let mut table = Table::about("flow::registration::node::Node");
    for (state, path, at) in STATES {
        let before = reach(path);
        table.state(&format!("{state}{}", deadline(before.deadline())));
        let unchanged = format!("{before:?}");
        for (name, make) in INPUTS {
            let (after, effects) = feed(reach(path), *at, make());
            if effects.is_empty() && format!("{after:?}") == unchanged {
                table.ignored(name);
            } else {
                table.row(
                    name,
                    &format!("{}{}", after.state_name(), deadline(after.deadline())),
                    &effects,
                );
            }
        }
    }
    table.check("node.txt");
}
