//! Table of a node that is provisioned.

use handfast_core::flow::provisioning::contract::{
    Effect, Input, NoAccessPoint, NotStored, ProvisioningMemory, ProvisioningSettings, Unfinished,
};
use handfast_core::flow::provisioning::node::ProvisioningNode;
use handfast_core::flow::provisioning::radio::{DeviceState, RadioReport, Reason, Security, Seen};
use handfast_core::flow::provisioning::retry::RegisterFailure;
use handfast_core::wire::provisioning::{
    K2Request, NetworkRequest, ProvisionRequest, RegisterAnswer, Ssid,
};
use handfast_core::{Entropy, Instant, Label, Machine};
use handfast_host_tests::provisioning::{body, k2_body, network_body};

use super::{Table, deadline};

/// Texts from which inputs borrow.
struct Given {
    request: String,
    abroad: String,
    network: String,
    k2: String,
    no_k2: String,
    answer: String,
}

type Make = for<'g> fn(&'g Given, &'g mut [u8]) -> Input<'g>;

fn changed(state: u32, reason: u32) -> Input<'static> {
    Input::Radio(RadioReport::Changed {
        state: DeviceState::from_number(state),
        reason: Reason::from_number(reason),
    })
}

fn not_registered(status: u16) -> Input<'static> {
    let failure = RegisterFailure::Status { status, detail: Label::parse("no") };
    Input::Registered(Err(failure), Entropy::from_recorded([0; 2]))
}

const INPUTS: &[(&str, Make)] = &[
    ("tick", |_, _| Input::Tick),
    ("provision", |g, room| {
        Input::Provision(ProvisionRequest::read(&g.request, room).expect("a request"))
    }),
    ("provision, with its country", |g, room| {
        Input::Provision(ProvisionRequest::read(&g.abroad, room).expect("a request"))
    }),
    ("change network", |g, room| {
        Input::ChangeNetwork(NetworkRequest::read(&g.network, room).expect("a request"))
    }),
    ("k2", |g, room| Input::K2(K2Request::read(&g.k2, room).expect("a request"))),
    ("k2 that is none", |g, room| Input::K2(K2Request::read(&g.no_k2, room).expect("a request"))),
    ("factory reset", |_, _| Input::FactoryReset),
    ("status read", |_, _| Input::StatusRead),
    ("button", |_, _| Input::Button),
    ("access point", |_, _| Input::AccessPoint(Ok(()))),
    ("radio blocked, no access point", |_, _| Input::AccessPoint(Err(NoAccessPoint::Blocked))),
    ("access point, not started", |_, _| Input::AccessPoint(Err(NoAccessPoint::NotStarted))),
    ("no access point", |_, _| Input::AccessPoint(Err(NoAccessPoint::Refused))),
    ("radio, seen", |_, _| {
        Input::Radio(RadioReport::Scanned(Some(Seen { security: Security::Wpa3, signal: -50 })))
    }),
    ("radio, needs authentication", |_, _| changed(60, 8)),
    ("radio, joined", |_, _| changed(100, 0)),
    ("radio, no secrets", |_, _| changed(120, 7)),
    ("radio, not found", |_, _| changed(120, 53)),
    ("radio, refused", |_, _| Input::Radio(RadioReport::Refused)),
    ("checked", |_, _| Input::Checked { captive: false }),
    ("checked, captive", |_, _| Input::Checked { captive: true }),
    ("registered", |g, room| {
        let answer = RegisterAnswer::read(&g.answer, room).expect("an answer");
        Input::Registered(Ok(answer), Entropy::from_recorded([0; 2]))
    }),
    ("not registered, 401", |_, _| not_registered(401)),
    ("not registered, 503", |_, _| not_registered(503)),
    ("stored", |_, _| Input::Stored(Ok(()))),
    ("not stored", |_, _| Input::Stored(Err(NotStored))),
];

const WAITING: &[&str] = &["tick", "access point"];
const JOINING: &[&str] = &["tick", "access point", "provision", "stored", "tick in 1 h"];
const CHECKING: &[&str] =
    &["tick", "access point", "provision", "stored", "tick in 1 h", "radio, joined"];
const REGISTERING: &[&str] =
    &["tick", "access point", "provision", "stored", "tick in 1 h", "radio, joined", "checked"];

/// Inputs that lead to each state, whether the node was provisioned before, and the time of the
/// next input in milliseconds.
const STATES: &[(&str, bool, &[&str], u64)] = &[
    ("Booting", false, &[], 0),
    ("Booting, provisioned", true, &[], 0),
    ("ApMode, starting", false, &["tick"], 0),
    ("ApMode", false, WAITING, 0),
    ("ApMode, the window is closed", false, WAITING, 600_000),
    ("ApMode, no access point", false, &["tick", "no access point"], 10_000),
    (
        "ApMode, starting an open one instead",
        false,
        &[
            "tick",
            "access point, not started",
            "tick in 1 h",
            "access point, not started",
            "later tick",
        ],
        3_700_001,
    ),
    ("ApMode, storing K2", false, &["tick", "access point", "k2"], 0),
    ("SavingRequest", false, &["tick", "access point", "provision"], 0),
    (
        "SavingRequest, with its country",
        false,
        &["tick", "radio blocked, no access point", "provision, with its country"],
        0,
    ),
    ("Leaving", false, &["tick", "access point", "provision", "stored"], 1_500),
    ("Joining", false, JOINING, 3_600_001),
    ("Joining, too late", false, JOINING, 3_660_000),
    ("Checking", false, CHECKING, 3_600_001),
    ("Registering", false, REGISTERING, 3_600_001),
    ("SavingAnswer", false, &["to registering", "registered"], 3_600_001),
    ("Committing", false, &["to registering", "registered", "stored"], 3_600_001),
    ("Pausing", false, &["to registering", "not registered, 503"], 3_700_000),
    ("Undoing", false, &["to registering", "not registered, 401"], 3_600_001),
    (
        "Failed",
        false,
        &["to registering", "not registered, 401", "stored", "access point"],
        3_600_001,
    ),
    ("Provisioned", false, &["to registering", "registered", "stored", "stored"], 3_602_000),
    ("Operating", true, &["tick", "radio, joined"], 0),
    ("Rejoining", true, &["tick"], 0),
    ("Rejoining, too late", true, &["tick"], 120_000),
    ("ApMode, provisioned", true, &["tick", "tick in 1 h", "access point"], 4_200_000),
    ("SavingRequest, of a network", true, &["tick", "radio, joined", "change network"], 0),
    (
        "Checking, of a network",
        true,
        &["tick", "radio, joined", "change network", "stored", "tick in 1 h", "radio, joined"],
        3_600_001,
    ),
    (
        "Committing, of a network",
        true,
        &[
            "tick",
            "radio, joined",
            "change network",
            "stored",
            "tick in 1 h",
            "radio, joined",
            "checked",
        ],
        3_600_001,
    ),
    ("Erasing", false, &["tick", "access point", "factory reset"], 0),
];

fn feed(node: &mut ProvisioningNode, given: &Given, make: Make, at: u64) -> Vec<String> {
    let mut room = [0; 1024];
    let input = make(given, &mut room);
    let mut scratch = [0; 16];
    let words = |effect: &Effect<'_>| format!("{effect:?}");
    node.step(Instant::from_millis(at), input, &mut scratch).iter().map(words).collect()
}

fn find(name: &str) -> Make {
    INPUTS.iter().find(|(other, _)| *other == name).expect("a known input").1
}

fn reach(given: &Given, known: bool, path: &[&str]) -> ProvisioningNode {
    let memory = ProvisioningMemory {
        known: Ssid::parse("HomeNetwork").filter(|_| known),
        country: None,
        unfinished: Unfinished::Nothing,
    };
    let start = Instant::from_millis(0);
    let mut node = ProvisioningNode::boot(start, memory, ProvisioningSettings::default());
    let whole = path.iter().flat_map(|step| match *step {
        "to registering" => REGISTERING.to_vec(),
        other => vec![other],
    });
    let mut at = 0;
    for step in whole {
        let make = if step == "tick in 1 h" {
            at = 3_600_000;
            find("tick")
        } else if step == "later tick" {
            at = 3_700_000;
            find("tick")
        } else {
            find(step)
        };
        feed(&mut node, given, make, at);
    }
    node
}

#[test]
fn a_node_that_is_provisioned_does_in_every_state_what_its_table_says() {
    let given = Given {
        request: body("HomeNetwork", "right", "prov_1"),
        abroad: body("HomeNetwork", "right", "prov_1").replacen('{', r#"{"wifi_country":"DE","#, 1),
        network: network_body("IoT_Network", "right"),
        k2: k2_body("jarvis-1a2b3c4d"),
        no_k2: k2_body("jarvis-1a2b3c4d").replace("BwcHBwcHBwcH", "AA"),
        answer: r#"{"node_id":"jarvis-1a2b3c4d","node_key":"id.secret"}"#.to_owned(),
    };
    let mut table = Table::about("flow::provisioning::node::ProvisioningNode");
    for (state, known, path, at) in STATES {
        let before = reach(&given, *known, path);
        assert_eq!(Some(before.state_name()), state.split(',').next());
        table.state(&format!("{state}{}", deadline(before.deadline())));
        let unchanged = format!("{before:?}");
        for (name, make) in INPUTS {
            let mut node = reach(&given, *known, path);
            let effects = feed(&mut node, &given, *make, *at);
            if effects.is_empty() && format!("{node:?}") == unchanged {
                table.ignored(name);
            } else {
                let next = format!("{}{}", node.state_name(), deadline(node.deadline()));
                table.row(name, &next, &effects);
            }
        }
    }
    table.check("provisioning.txt");
}
