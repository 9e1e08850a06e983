//! The binary against a gateway of core's own machine, over real sockets.

mod support;

use handfast_core::NodeId;
use rustix::process::Signal;
use support::gateway::{Gateway, Seen};
use support::program::{Ended, Home, Program, outcome};

const TOKEN: &str = "HTrGwLwHno_hwtsvczbQgcFJdi-WS068rgQyr4fD2ZQ";

async fn pair(home: &Home, url: &str) -> Ended {
    let state = home.state();
    outcome(&[
        "pair",
        "--name",
        "Kitchen Pi",
        "--room",
        "Küche",
        "--gateway",
        url,
        "--state",
        &state,
    ])
    .await
}

/// Pairs and approves a node with its token in a file. Returns the id, the token and the file.
async fn approved(home: &Home, gateway: &mut Gateway) -> (NodeId, String, String) {
    let done = pair(home, &gateway.url()).await;
    assert_eq!(done.code, Some(0), "{}", done.said);
    let id = gateway.asked().await;
    let token = gateway.approve(id).await;
    let file = home.token(&format!("{token}\n"), 0o600);
    (id, token, file)
}

fn run(home: &Home, file: &str) -> Program {
    Program::start(&[
        "run",
        "--state",
        &home.state(),
        "--token-file",
        file,
        "--heartbeat-every-ms",
        "50",
    ])
}

#[tokio::test]
async fn a_node_asks_is_approved_links_sends_heartbeats_and_says_goodbye() {
    let (home, mut gateway) = (Home::new(), Gateway::start().await);
    let done = pair(&home, &gateway.url()).await;
    assert_eq!(done.code, Some(0), "{}", done.said);
    let id = gateway.asked().await;
    assert!(done.said.contains(&format!("handfast approve {id}")), "{}", done.said);

    let token = gateway.approve(id).await;
    let file = home.token(&format!("{token}\n"), 0o600);
    let mut node = run(&home, &file);
    node.says("linked").await;
    for _ in 0..3 {
        gateway.until(|seen| matches!(seen, Seen::Heartbeat(from, _) if *from == id)).await;
    }
    let status = outcome(&["status", "--json", "--state", &home.state()]).await;
    assert_eq!(status.code, Some(0), "{}", status.said);
    assert!(
        status.said.contains(&id.to_string()) && status.said.contains(r#""running":true"#),
        "{}",
        status.said
    );

    node.signal(Signal::TERM);
    assert_eq!(
        gateway.until(|seen| matches!(seen, Seen::Closed(_))).await,
        Seen::Closed(Some(1000))
    );
    let ended = node.end().await;
    assert_eq!(ended.code, Some(0), "{}", ended.said);
    for said in [&ended.said, &status.said, &done.said] {
        assert!(!said.contains(&token), "a token was shown:\n{said}");
    }
    let kept = std::fs::read_to_string(home.path("state/node.json")).unwrap();
    assert!(!kept.contains(&token), "the token is in its file, and in no other");
}

#[tokio::test]
async fn ctrl_c_ends_it_as_well() {
    let (home, mut gateway) = (Home::new(), Gateway::start().await);
    let (_, _, file) = approved(&home, &mut gateway).await;
    let mut node = run(&home, &file);
    node.says("linked").await;
    node.signal(Signal::INT);
    assert_eq!(
        gateway.until(|seen| matches!(seen, Seen::Closed(_))).await,
        Seen::Closed(Some(1000))
    );
    assert_eq!(node.end().await.code, Some(0));
}

#[tokio::test]
async fn a_gateway_that_goes_away_and_comes_back_is_linked_to_again() {
    let (home, mut gateway) = (Home::new(), Gateway::start().await);
    let (id, _, file) = approved(&home, &mut gateway).await;
    let mut node = run(&home, &file);
    node.says("linked").await;
    gateway.stop().await;
    node.says("code 1001").await;
    node.says("trying again").await;
    node.says("cannot connect to").await;
    gateway.come_back().await;
    node.says("linked").await;
    gateway.until(|seen| matches!(seen, Seen::Heartbeat(from, _) if *from == id)).await;
}

/// Returns the seconds in a line about the next attempt.
fn seconds(line: &str) -> f32 {
    let (_, wait) = line.rsplit_once("trying again in ").expect("it says how long");
    wait.trim_end_matches(" s").parse().expect("a number of seconds")
}

#[tokio::test]
async fn a_muted_node_is_told_at_once_and_waits_the_longest() {
    let (home, mut gateway) = (Home::new(), Gateway::start().await);
    let (id, _, file) = approved(&home, &mut gateway).await;
    let mut node = run(&home, &file);
    node.says("linked").await;
    gateway.mute(id);
    node.says("muted: the operator has to unmute this node").await;
    let wait = seconds(&node.says("trying again").await);
    assert!((48.0..=72.0).contains(&wait), "{wait}");
    drop(node);

    // The same refusal at the first message of a connection.
    let mut node = run(&home, &file);
    node.says("muted: the operator has to unmute this node").await;
    node.signal(Signal::TERM);
    assert_eq!(node.end().await.code, Some(0));
}

#[tokio::test]
async fn a_token_that_the_gateway_does_not_know_keeps_the_node_trying_and_says_what_to_do() {
    let (home, mut gateway) = (Home::new(), Gateway::start().await);
    approved(&home, &mut gateway).await;
    let file = home.token(TOKEN, 0o600);
    let mut node = run(&home, &file);
    let hint = node.says("ask to be paired again: handfast-node pair --state").await;
    assert!(hint.contains(&home.state()) && hint.contains("--name 'Kitchen Pi'"), "{hint}");
    let wait = seconds(&node.says("trying again").await);
    assert!((48.0..=72.0).contains(&wait), "{wait}");
    node.signal(Signal::TERM);
    let ended = node.end().await;
    assert_eq!(ended.code, Some(0));
    assert!(!ended.said.contains(TOKEN));
}

#[tokio::test]
async fn a_token_file_that_is_unfit_is_refused_before_anything_is_sent() {
    let (home, mut gateway) = (Home::new(), Gateway::start().await);
    let (_, token, file) = approved(&home, &mut gateway).await;
    for mode in [0o640, 0o604, 0o644] {
        home.token(&token, mode);
        let ended = run(&home, &file).end().await;
        assert_eq!(ended.code, Some(1));
        assert!(ended.said.contains(&format!("chmod 600 {file}")), "{}", ended.said);
        assert!(!ended.said.contains(&token));
    }
    // A mounted secret may be readable, if its owner says so, and is warned of.
    home.token(&token, 0o644);
    let mounted = "--token-file-readable-by-others";
    let mut node =
        Program::start(&["run", "--state", &home.state(), "--token-file", &file, mounted]);
    node.says("others may read the token file").await;
    node.says("linked").await;
    drop(node);

    home.token(&token[..42], 0o600);
    let ended = run(&home, &file).end().await;
    assert_eq!(ended.code, Some(1));
    assert!(ended.said.contains(&file) && ended.said.contains("42 characters"), "{}", ended.said);
    assert!(!ended.said.contains(&token[..42]));

    std::fs::remove_file(&file).unwrap();
    let ended = run(&home, &file).end().await;
    assert_eq!(ended.code, Some(1));
    assert!(
        ended.said.contains("does not exist") && ended.said.contains("install -D -m 600"),
        "{}",
        ended.said
    );
}

#[tokio::test]
async fn a_token_from_standard_input_is_kept_for_the_next_start() {
    let (home, mut gateway) = (Home::new(), Gateway::start().await);
    let (_, token, file) = approved(&home, &mut gateway).await;
    std::fs::remove_file(file).unwrap();
    let state = home.state();
    let mut node = Program::start_typing(
        &["run", "--state", &state, "--token-file", "-"],
        &format!("{token}\n"),
    )
    .await;
    node.says("linked").await;
    node.signal(Signal::TERM);
    let first = node.end().await;
    assert_eq!(first.code, Some(0));

    let mut node = Program::start(&["run", "--state", &state]);
    node.says("linked").await;
    node.signal(Signal::TERM);
    let second = node.end().await;
    for said in [first.said, second.said] {
        assert!(!said.contains(&token), "a token was shown:\n{said}");
    }
}

#[tokio::test]
async fn asking_again_replaces_the_id_only_when_the_gateway_has_given_a_new_one() {
    let (home, mut gateway) = (Home::new(), Gateway::start().await);
    let (first, _, _) = approved(&home, &mut gateway).await;
    gateway.stop().await;
    let failed = pair(&home, &gateway.url()).await;
    assert_eq!(failed.code, Some(1));
    assert!(failed.said.contains("not paired: cannot connect to"), "{}", failed.said);
    assert!(
        std::fs::read_to_string(home.path("state/node.json")).unwrap().contains(&first.to_string())
    );

    gateway.come_back().await;
    let done = pair(&home, &gateway.url()).await;
    let second = gateway.asked().await;
    assert!(done.said.contains(&format!("Until now this node was {first}")), "{}", done.said);
    assert!(
        std::fs::read_to_string(home.path("state/node.json"))
            .unwrap()
            .contains(&second.to_string())
    );
}

#[tokio::test]
async fn two_nodes_never_use_one_state_at_once() {
    let (home, mut gateway) = (Home::new(), Gateway::start().await);
    let (_, _, file) = approved(&home, &mut gateway).await;
    let mut node = run(&home, &file);
    node.says("linked").await;
    for ended in [run(&home, &file).end().await, pair(&home, &gateway.url()).await] {
        assert_eq!(ended.code, Some(1));
        assert!(ended.said.contains("another handfast-node uses"), "{}", ended.said);
    }
}

#[tokio::test]
async fn reset_asks_for_yes_and_then_nothing_is_left() {
    let (home, mut gateway) = (Home::new(), Gateway::start().await);
    approved(&home, &mut gateway).await;
    let state = home.state();
    let asked = outcome(&["reset", "--state", &state]).await;
    assert_eq!(asked.code, Some(2));
    assert!(asked.said.contains("--yes"), "{}", asked.said);
    assert_eq!(outcome(&["status", "--state", &state]).await.code, Some(0));
    assert_eq!(outcome(&["reset", "--yes", "--state", &state]).await.code, Some(0));
    assert_eq!(outcome(&["reset", "--yes", "--state", &state]).await.code, Some(1));
    let status = outcome(&["status", "--json", "--state", &state]).await;
    assert_eq!(status.code, Some(1));
    assert!(status.said.contains(r#""node_id":null"#), "{}", status.said);
    let run = outcome(&["run", "--state", &state]).await;
    assert_eq!(run.code, Some(1));
    assert!(run.said.contains("handfast-node pair"), "{}", run.said);
}

#[tokio::test]
async fn a_damaged_state_stops_every_verb_but_reset_and_is_left_as_it_is() {
    let (home, mut gateway) = (Home::new(), Gateway::start().await);
    approved(&home, &mut gateway).await;
    let (state, path) = (home.state(), home.path("state/node.json"));
    std::fs::write(&path, "{\"version\":1,").unwrap();
    for ended in [
        outcome(&["status", "--state", &state]).await,
        outcome(&["run", "--state", &state]).await,
        pair(&home, &gateway.url()).await,
    ] {
        assert_eq!(ended.code, Some(1));
        assert!(ended.said.contains(&path) && ended.said.contains("is damaged"), "{}", ended.said);
    }
    assert_eq!(std::fs::read_to_string(&path).unwrap(), "{\"version\":1,");
    assert_eq!(outcome(&["reset", "--yes", "--state", &state]).await.code, Some(0));
}

#[tokio::test]
async fn wrong_usage_ends_with_two_and_help_with_zero() {
    let home = Home::new();
    let state = home.state();
    let pair = ["pair", "--name", "a", "--room", "b", "--state", &state, "--gateway"];
    for rest in [
        vec!["pi.local"],
        vec!["ws://u:p@pi.local"],
        vec!["ws://127.0.0.1", "--profile", "[]"],
        vec!["ws://127.0.0.1", "--profile", "@/nowhere"],
        vec!["ws://127.0.0.1", "--ca", "/nowhere"],
    ] {
        let ended = outcome(&[&pair[..], &rest[..]].concat()).await;
        assert_eq!(ended.code, Some(2), "{rest:?}: {}", ended.said);
    }
    for arguments in [
        &["provision"][..],
        &["run", "--token", "x"],
        &["pair", "--name", "\u{1b}[2J", "--room", "b"],
        &[],
    ] {
        assert_eq!(outcome(arguments).await.code, Some(2), "{arguments:?}");
    }
    for arguments in [&["--help"][..], &["run", "--help"], &["--version"]] {
        assert_eq!(outcome(arguments).await.code, Some(0), "{arguments:?}");
    }
}
