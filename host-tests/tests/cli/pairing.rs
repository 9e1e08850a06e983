//! Pairing by PIN, code and approval, through the commands on both sides.

use std::io::{BufRead, BufReader};
use std::process::Stdio;

use serde_json::{Value, json};

use super::gateway::{Gateway, other};
use crate::binaries::{Running, program};

#[test]
fn a_node_is_paired_by_pin_and_the_gateway_prints_what_the_documentation_says() {
    let gateway = Gateway::start_with(&["--pairing"]);
    let mut phone = gateway.node("My Phone", &["--pin"]);
    let pin = gateway.pin(1);
    phone.types(&other(&pin));
    gateway.shows("Wrong PIN from 127.0.0.1 (4 attempts left)\n");
    phone.types(&pin);
    let (code, said) = phone.ends();
    assert_eq!(code, 0, "{said}");
    let shown = gateway.shows("Paired \"My Phone\": read /**, write /**, for 90 days\n");
    assert!(
        shown.contains(&format!(
            "\nPairing request from \"My Phone\"\nPIN: {pin}\nExpires in 5:00\nWrong PIN"
        )),
        "{shown}"
    );
    assert!(!gateway.log().contains(&pin), "no PIN is in the log");

    let own =
        said.split("This node").nth(1).and_then(|rest| rest.split_whitespace().next()).unwrap();
    let paired = &gateway.answer(&["paired", "list"])["items"][0];
    assert_eq!(
        (paired["device"]["fingerprint"].as_str(), paired["device"]["flow"].as_str()),
        (Some(own), Some("native"))
    );
    let (_, out, _) = gateway.verb(&["paired", "list"]);
    assert!(
        out.contains("My Phone")
            && out.contains(own)
            && out.contains("read /**, write /**")
            && out.contains("days"),
        "{out}"
    );
    let (code, out, _) = gateway.devices(&["show", paired["device"]["node_id"].as_str().unwrap()]);
    assert!(code == 0 && out.contains(own) && out.contains("native"), "{out}");

    let (code, out, _) = gateway.verb(&["paired", "revoke", "My Phone", "--yes"]);
    assert!(code == 0 && out.contains("revoked"), "{out}");
    let (code, _, err) = gateway.verb(&["paired", "revoke", "My Phone", "--yes"]);
    assert!(code == 1 && err.contains("My Phone") && err.contains("whole name"), "{err}");
    assert_eq!(gateway.answer(&["paired", "list"])["items"], json!([]));
}

#[test]
fn a_node_stops_asking_when_its_pin_can_no_longer_be_typed() {
    let gateway = Gateway::start();
    for (number, open, ends, told) in [
        (1, &["pairing", "open"][..], Some(&["pairing", "close"][..]), "pairing is closed"),
        (2, &["pairing", "open", "--for", "2s"], None, "not paired"),
    ] {
        gateway.answer(open);
        let node = gateway.node("Desk", &["--pin"]);
        gateway.pin(number);
        if let Some(verb) = ends {
            gateway.answer(verb);
        }
        let (code, said) = node.ends_by_itself();
        assert!(code == 1 && said.contains(told), "{said}");
    }
    gateway.answer(&["pairing", "open"]);
    let node = gateway.node("Desk", &["--pin"]);
    gateway.pin(3);
    let codes = gateway.answer(&["codes", "list"]);
    let id = codes["codes"][0]["id"].as_str().unwrap_or_else(|| panic!("{codes}")).to_owned();
    assert_eq!(gateway.verb(&["codes", "withdraw", &id]).0, 0);
    let (code, said) = node.ends_by_itself();
    assert!(code == 1 && said.contains("withdrawn"), "{said}");
}

#[test]
fn pairing_is_closed_until_it_is_opened_and_closes_by_itself() {
    let gateway = Gateway::start();
    assert!(
        gateway
            .shown()
            .contains("pairing by PIN is closed; open it with: handfast pairing open --data")
    );
    let (code, said) = gateway.node("Early", &["--pin"]).ends();
    assert!(code == 1 && said.contains("pairing is closed"), "{said}");
    let (code, out, _) = gateway.verb(&["pairing", "open"]);
    assert!(code == 0 && out.contains("closes in ") && out.contains("handfast watch"), "{out}");
    gateway.shows("Pairing is open for ");
    assert_eq!(gateway.answer(&["pairing", "open", "--for", "1s"])["open"], true);
    gateway.shows("Pairing is closed\n");
    assert_eq!(gateway.answer(&["pairing", "list"])["pairing"]["open"], false);
    assert_eq!(gateway.verb(&["pairing", "close"]).0, 0, "what is closed may be closed");
}

#[test]
fn pins_that_one_address_guessed_too_often_stay_locked_for_it_over_a_restart_until_pairing_is_opened()
 {
    let gateway = Gateway::start_with(&["--pairing"]);
    for (number, guesses) in [(1, 5), (2, 3)] {
        let mut stranger = gateway.node("Stranger", &["--pin"]);
        let wrong = other(&gateway.pin(number));
        for _ in 0..guesses {
            stranger.types(&wrong);
        }
        let (code, said) = stranger.ends();
        assert_eq!(code, 1, "{said}");
    }
    let shown = gateway.shows("Too many wrong PINs from 127.0.0.1");
    assert_eq!(shown.matches("Wrong PIN from 127.0.0.1").count(), 8, "{shown}");
    assert!(shown.contains("handfast codes create --data"), "what to do instead: {shown}");
    let gateway = gateway.crash_and_restart_with(&["--pairing"]);
    let window = &gateway.answer(&["pairing", "list"])["pairing"];
    assert_eq!(
        (&window["open"], &window["locked"], &window["wrong_pins"]),
        (&json!(true), &json!(false), &json!(8))
    );
    assert_eq!(
        window["guessers"],
        json!([{ "source": "127.0.0.1", "wrong_pins": 8, "locked": true }])
    );
    let (_, out, _) = gateway.verb(&["pairing", "list"]);
    assert!(
        out.contains("8 wrong from 127.0.0.1; PINs are locked for it")
            && out.contains("handfast codes create"),
        "{out}"
    );
    let (code, said) = gateway.node("Late", &["--pin"]).ends();
    assert!(code == 1 && said.contains("locked"), "{said}");
    let window = gateway.answer(&["pairing", "open"]);
    assert_eq!(
        (&window["open"], &window["wrong_pins"], &window["guessers"]),
        (&json!(true), &json!(0), &json!([]))
    );
}

#[test]
fn a_code_is_shown_once_as_picture_and_text_and_pairs_one_node() {
    let gateway = Gateway::start();
    let (code, out, err) = gateway.verb(&[
        "pairing",
        "qr",
        "--read",
        "/sensors/**",
        "--label",
        "tablets",
        "--expires",
        "10m",
    ]);
    assert!(
        code == 0 && out.contains('█') && (out.contains("for 10:00") || out.contains("for 9:5")),
        "{out}{err}"
    );
    assert!(
        err.contains("this machine alone") && err.contains("--address"),
        "a warning that this is loopback: {err}"
    );
    let invitation = out.lines().find(|line| line.starts_with("handfast:1?")).unwrap().to_owned();
    let (selector, secret) = invitation.rsplit_once("c=").unwrap().1.split_once('-').unwrap();

    let (_, listed, _) = gateway.verb(&["pairing", "list"]);
    assert!(
        listed.contains(selector)
            && listed.contains("tablets")
            && listed.contains("read /sensors/**"),
        "{listed}"
    );
    assert!(
        !listed.contains(secret)
            && !gateway.answer(&["pairing", "list"]).to_string().contains(secret)
    );
    let mut tablet = gateway.node("Tablet", &["--qr", "-"]);
    tablet.types(&invitation);
    let (code, said) = tablet.ends();
    assert_eq!(code, 0, "{said}");
    gateway.shows("Paired \"Tablet\": read /sensors/**, for 90 days\n");
    let mut second = gateway.node("Second", &["--qr", "-"]);
    second.types(&invitation);
    let (code, said) = second.ends();
    assert_eq!(code, 1, "{said}");
    assert_eq!(gateway.answer(&["paired", "list"])["items"].as_array().unwrap().len(), 1);
    assert!(!gateway.log().contains(secret), "no secret is in the log");
}

#[test]
fn a_typed_code_pairs_as_often_as_it_says_and_a_withdrawn_one_not_at_all() {
    let gateway = Gateway::start();
    let (code, out, _) =
        gateway.verb(&["pairing", "code", "--uses", "2", "--read", "/a", "--grant-for", "30d"]);
    let typed = out.lines().next().unwrap().to_owned();
    assert!(code == 0 && typed.len() == 11 && typed.as_bytes()[4] == b'-', "{out}");
    for name in ["One", "Two"] {
        let mut node = gateway.node(name, &["--code"]);
        node.types(&typed);
        let (code, said) = node.ends();
        assert_eq!(code, 0, "{said}");
        gateway.shows(&format!("Paired \"{name}\": read /a, for 30 days\n"));
    }
    let minted = gateway.answer(&["pairing", "code"]);
    let selector = minted["selector"].as_str().unwrap();
    let (code, out, _) = gateway.verb(&["pairing", "withdraw", &selector.to_lowercase()]);
    assert!(code == 0 && out.contains(selector), "{out}");
    assert_eq!(gateway.verb(&["pairing", "withdraw", selector]).0, 1);
    let mut late = gateway.node("Late", &["--code"]);
    late.types(minted["code"].as_str().unwrap());
    let (code, said) = late.ends();
    assert_eq!(code, 1, "{said}");
    let by_id = gateway.answer(&["pairing", "code"])["id"].as_str().unwrap()[..8].to_owned();
    assert_eq!(gateway.verb(&["pairing", "withdraw", &by_id]).0, 0);
}

#[test]
fn an_operator_approves_by_fingerprint_and_no_token_is_carried() {
    let gateway = Gateway::start();
    let own =
        gateway.answer(&["gateway", "fingerprint"])["fingerprint"].as_str().unwrap().to_owned();
    assert!(gateway.shown().contains(&format!("fingerprint: {own}\n")));
    let desk = gateway.node("Desk", &["--approval", "--gateway-key", &own]);
    let shown = gateway.shows("Approve it with: handfast approve");
    assert!(
        shown.contains("Pairing request from \"Desk\"\n") && shown.contains("Fingerprint: "),
        "{shown}"
    );
    let waiting = gateway.json(&["list", "--pending"])["devices"][0].clone();
    let (id, fingerprint) =
        (waiting["node_id"].as_str().unwrap(), waiting["fingerprint"].as_str().unwrap());
    let (code, out, _) = gateway.devices(&["list", "--pending"]);
    assert!(code == 0 && out.contains(fingerprint), "{out}");

    let (code, _, err) = gateway.devices(&["pair", id, "--fingerprint", &own]);
    assert!(code == 1 && err.contains(fingerprint) && err.contains("nothing was decided"), "{err}");
    assert_eq!(
        gateway.devices(&["pair", id, "--fingerprint", "AAAA-BBBB"]).0,
        2,
        "half of one is none"
    );
    let (code, out, err) = gateway.devices(&[
        "pair",
        id,
        "--fingerprint",
        &fingerprint.to_lowercase(),
        "--read",
        "/a/**",
        "--write",
        "/a/b",
        "--expires",
        "30d",
    ]);
    assert!(
        code == 0
            && out.contains(fingerprint)
            && out.contains(&own)
            && out.contains("read /a/**, write /a/b"),
        "{out}{err}"
    );
    let (code, said) = desk.ends();
    assert_eq!(code, 0, "{said}");
    gateway.shows("Paired \"Desk\": read /a/**, write /a/b, for 30 days\n");
}

#[tokio::test(flavor = "multi_thread")]
async fn permissions_for_a_node_without_keys_are_refused_and_it_stays_as_it_was() {
    let gateway = Gateway::start();
    let id = gateway.ask("Kitchen Pi").await;
    let (code, _, err) = gateway.devices(&["pair", &id, "--read", "/a"]);
    assert!(code != 0 && err.contains("token"), "{err}");
    let (code, _, err) =
        gateway.devices(&["pair", &id, "--fingerprint", "AAIS-EM2E-KVTH-PCEZ-VK54-ZXPO"]);
    assert!(code == 1 && err.contains("no keys"), "{err}");
    assert_eq!(gateway.json(&["status", &id])["standing"], "pending");
    let (code, out, _) = gateway.devices(&["pair", &id]);
    assert!(code == 0 && out.lines().next().unwrap().len() == 43, "{out}");
}

#[test]
fn rules_of_the_configuration_decide_and_their_words_reach_the_node() {
    let rule =
        r#"name = "*unauthorized*", decision = "reject", reason = "Device name not allowed""#;
    let gateway = Gateway::start_with(&[
        "--pairing",
        "--pairing-rule",
        rule,
        "--default-permissions",
        "read:/public/**",
    ]);
    let mut node = gateway.node("an unauthorized one", &["--pin"]);
    node.types(&gateway.pin(1));
    let (code, said) = node.ends();
    assert!(code == 1 && said.contains("Device name not allowed"), "{said}");
    let mut node = gateway.node("fine", &["--pin"]);
    node.types(&gateway.pin(2));
    let (code, said) = node.ends();
    assert_eq!(code, 0, "{said}");
    gateway.shows("Paired \"fine\": read /public/**, for 90 days\n");
}

#[test]
fn revoking_all_asks_and_where_nobody_can_answer_it_wants_to_be_told() {
    let gateway = Gateway::start_with(&["--pairing"]);
    let mut phone = gateway.node("My Phone", &["--pin"]);
    phone.types(&gateway.pin(1));
    assert_eq!(phone.ends().0, 0);
    let (code, _, err) = gateway.verb(&["paired", "revoke-all"]);
    assert!(code == 2 && err.contains("--yes"), "{err}");
    assert_eq!(gateway.answer(&["paired", "list"])["items"].as_array().unwrap().len(), 1);
    let (code, out, _) = gateway.verb(&["paired", "revoke-all", "--yes"]);
    assert!(code == 0 && out == "1 node revoked\n", "{out}");
    assert_eq!(gateway.answer(&["paired", "list"])["items"], json!([]));
}

#[test]
fn what_cannot_be_meant_is_a_usage_error() {
    let gateway = Gateway::start();
    for args in [
        &["pairing", "open", "--for", "0"][..],
        &["pairing", "open", "--for", "soon"],
        &["pairing", "qr", "--read", "lights"],
        &["pairing", "qr", "--uses", "0"],
        &["pairing", "qr", "--address", "http://gateway"],
        &["pairing", "qr", "--text", "--invert"],
        &["pairing", "code", "--label", "two\nlines"],
        &["pairing", "withdraw"],
        &["paired", "revoke", ""],
        &["devices", "pair", "x", "--expires", "0"],
    ] {
        let (code, _, err) = gateway.verb(args);
        assert_eq!(code, 2, "{args:?}: {err}");
    }
}

#[test]
fn whoever_watches_sees_requests_with_their_pins_until_the_gateway_ends() {
    let mut gateway = Gateway::start_with(&["--pairing"]);
    let watch = |more: &[&str]| {
        let mut command = program("handfast");
        command.args(["watch", "--data", gateway.data()]).args(more);
        Running(command.stdout(Stdio::piped()).stderr(Stdio::null()).spawn().unwrap())
    };
    let (mut words, mut lines) = (watch(&[]), watch(&["--json"]));
    let mut lines_out = BufReader::new(lines.0.stdout.take().unwrap()).lines();
    let mut event = || serde_json::from_str::<Value>(&lines_out.next().unwrap().unwrap()).unwrap();
    assert_eq!(event()["event"], "listening");
    // The other program has no such line; its output begins with an event.
    let mut words_out = BufReader::new(words.0.stdout.take().unwrap()).lines();
    let opened = std::thread::spawn(move || (words_out.next().unwrap().unwrap(), words_out));
    while !opened.is_finished() {
        assert_eq!(gateway.verb(&["pairing", "open"]).0, 0);
        std::thread::sleep(std::time::Duration::from_millis(20));
    }
    let (first, words_out) = opened.join().unwrap();
    assert!(first.starts_with("Pairing is open for "), "{first}");
    let mut phone = gateway.node("My Phone", &["--pin"]);
    let pin = gateway.pin(1);
    let request = std::iter::from_fn(|| Some(event()))
        .find(|event| event["event"] == "pairing_request")
        .unwrap();
    assert_eq!(
        (request["pin"].as_str(), request["friendly_name"].as_str()),
        (Some(pin.as_str()), Some("My Phone"))
    );
    phone.types(&pin);
    assert_eq!(phone.ends().0, 0);
    gateway.running.kill();
    let rest: Vec<String> = words_out.map(Result::unwrap).collect();
    assert!(
        rest.contains(&format!("PIN: {pin}"))
            && rest.contains(&"\"My Phone\" is linked".to_owned()),
        "{rest:?}"
    );
    assert_eq!(lines.0.wait().unwrap().code(), Some(1));
    assert_eq!(words.0.wait().unwrap().code(), Some(1));
}
