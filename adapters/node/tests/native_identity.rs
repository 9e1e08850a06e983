//! What the binary does for its gateway: dispatched tasks, the mark on its state, the gateway's
//! name, certificates, and links over mutual TLS.

mod support;

use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::sync::atomic::Ordering;
use std::time::Duration;

use handfast_core::NodeId;
use handfast_core::wire::native::link::CloneMark;
use rustix::process::Signal;
use support::native::{NativeGateway, Push, Seen, Task};
use support::program::{Home, Program, outcome};

/// Returns a home whose node is paired by PIN.
async fn paired(gateway: &mut NativeGateway) -> (Home, NodeId) {
    paired_with(gateway, &[]).await
}

async fn paired_with(gateway: &mut NativeGateway, more: &[&str]) -> (Home, NodeId) {
    let home = Home::new();
    let (state, url) = (home.state(), gateway.url());
    let pair = ["pair", "--pin", "--gateway", &url, "--state", &state];
    let mut program = Program::start_asked(&[&pair, more].concat());
    let pin = gateway.pin().await;
    program.types(&pin).await;
    let done = program.end().await;
    assert_eq!(done.code, Some(0), "{}", done.said);
    let id = gateway.linked().await;
    gateway.sees(Seen::Gone(Some(id))).await;
    (home, id)
}

fn run(home: &Home, more: &[&str]) -> Program {
    Program::start(&[&["run", "--json", "--state", &home.state()], more].concat())
}

/// Writes a program that appends a line to a file in this home each time that it runs.
fn handler(home: &Home, script: &str) -> String {
    let path = home.path("handler");
    let runs = home.path("runs");
    std::fs::write(&path, format!("#!/bin/sh\ncat >> {runs}\necho >> {runs}\n{script}\n")).unwrap();
    std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o755)).unwrap();
    format!("lamp={path}")
}

/// Returns how often the handler ran with this input.
fn runs(home: &Home, input: &str) -> usize {
    let runs = std::fs::read_to_string(home.path("runs")).unwrap_or_default();
    runs.lines().filter(|line| *line == input).count()
}

#[tokio::test]
async fn a_node_announces_what_it_offers_and_runs_what_is_dispatched() {
    let mut gateway = NativeGateway::start().await;
    let (home, id) = paired(&mut gateway).await;
    let lamp = handler(&home, "echo on");
    let _node = run(&home, &["--handler", &lamp]);
    gateway.sees(Seen::Linked(id)).await;
    for capability in ["echo", "system.health", "system.identity", "lamp"] {
        gateway.sees(Seen::Announced(capability.to_owned())).await;
    }
    gateway.pushes(Push::Dispatch(Task::new(1, "echo", "{\"a\":1}")));
    gateway.sees(Seen::Outcome(1, "Started".to_owned())).await;
    assert_eq!(gateway.outcome(1).await, "Succeeded {\"a\":1}");
    gateway.pushes(Push::Dispatch(Task::new(2, "system.health", "")));
    assert!(gateway.outcome(2).await.contains("\"uptime_seconds\":"));
    gateway.pushes(Push::Dispatch(Task::new(3, "system.identity", "")));
    assert!(gateway.outcome(3).await.contains("\"fingerprint\":"));
    gateway.pushes(Push::Dispatch(Task::new(4, "lamp", "four")));
    assert_eq!(gateway.outcome(4).await, "Succeeded on\n");
    gateway.pushes(Push::Dispatch(Task::new(5, "kettle", "")));
    assert!(gateway.outcome(5).await.starts_with("Rejected"));
    // A repeated dispatch is answered, and not run again.
    gateway.pushes(Push::Dispatch(Task::new(4, "lamp", "four")));
    gateway.sees(Seen::Answered(4, "Done(Succeeded)".to_owned())).await;
    assert_eq!(runs(&home, "four"), 1);
    gateway.pushes(Push::Query(6));
    gateway.sees(Seen::Answered(6, "NeverCame".to_owned())).await;
}

#[tokio::test]
async fn a_task_ends_at_its_deadline_or_when_it_is_cancelled() {
    let mut gateway = NativeGateway::start().await;
    let (home, id) = paired(&mut gateway).await;
    let lamp = handler(&home, "sleep 1000");
    let _node = run(&home, &["--handler", &lamp]);
    gateway.sees(Seen::Linked(id)).await;
    gateway.pushes(Push::Dispatch(Task { remaining_ms: 300, ..Task::new(1, "lamp", "") }));
    assert_eq!(gateway.outcome(1).await, "TimedOut");
    gateway.pushes(Push::Dispatch(Task::new(2, "lamp", "")));
    gateway.sees(Seen::Outcome(2, "Started".to_owned())).await;
    gateway.pushes(Push::Cancel(2));
    assert_eq!(gateway.outcome(2).await, "Cancelled");
}

#[tokio::test]
async fn a_node_without_capabilities_takes_no_dispatch() {
    let mut gateway = NativeGateway::start().await;
    let (home, id) = paired(&mut gateway).await;
    let _node = run(&home, &["--no-capabilities"]);
    gateway.sees(Seen::Linked(id)).await;
    gateway.pushes(Push::Dispatch(Task::new(1, "echo", "")));
    gateway.sees(Seen::NotDispatched(1)).await;
}

#[tokio::test]
async fn a_handler_that_is_no_program_is_a_mistake_of_usage() {
    let mut gateway = NativeGateway::start().await;
    let (home, _) = paired(&mut gateway).await;
    for wrong in ["lamp=/nowhere", "lamp", "Lamp=/bin/true", "echo=/bin/true"] {
        let ended = outcome(&["run", "--state", &home.state(), "--handler", wrong]).await;
        assert_eq!(ended.code, Some(2), "{wrong}: {}", ended.said);
    }
}

/// The binary is killed at moments that cover every step between a dispatch and its result: before
/// it is stored, while the handler runs, and before and after the result is stored and sent. In
/// none of them a task runs twice, and none that ran is said never to have come.
#[tokio::test]
async fn a_node_that_is_killed_at_any_moment_runs_nothing_twice_and_denies_nothing() {
    let mut gateway = NativeGateway::start().await;
    let (home, id) = paired(&mut gateway).await;
    let lamp = handler(&home, "sleep 0.01; echo on");
    let mut answers = std::collections::BTreeMap::<String, u32>::new();
    for number in 1..=24_u64 {
        let node = run(&home, &["--handler", &lamp]);
        gateway.sees(Seen::Linked(id)).await;
        gateway.sees(Seen::Announced("lamp".to_owned())).await;
        let input = format!("task-{number}");
        gateway.pushes(Push::Dispatch(Task::new(number, "lamp", &input)));
        // From at once to well after the handler has ended.
        tokio::time::sleep(Duration::from_micros(2500 * (number - 1))).await;
        node.signal(Signal::KILL);
        node.end().await;
        gateway.sees(Seen::Gone(Some(id))).await;
        let node = run(&home, &["--handler", &lamp]);
        gateway.sees(Seen::Linked(id)).await;
        gateway.pushes(Push::Query(number));
        let known = gateway
            .until("an answer", |seen| match seen {
                Seen::Answered(of, known) if *of == number => Some(known.clone()),
                _ => None,
            })
            .await;
        let ran = runs(&home, &input);
        match known.as_str() {
            "NeverCame" => assert_eq!(ran, 0, "{number} ran, and is denied"),
            "Interrupted" => assert!(ran <= 1, "{number} ran twice"),
            "Done(Succeeded)" => assert_eq!(ran, 1, "{number}"),
            other => panic!("{number}: {other}"),
        }
        // Even if the gateway sends it again, it runs once at most.
        gateway.pushes(Push::Dispatch(Task::new(number, "lamp", &input)));
        if known == "NeverCame" {
            assert_eq!(gateway.outcome(number).await, "Succeeded on\n");
        } else {
            gateway.sees(Seen::Answered(number, known.clone())).await;
        }
        assert!(runs(&home, &input) <= 1, "{number} ran twice");
        *answers.entry(known).or_default() += 1;
        node.signal(Signal::KILL);
        node.end().await;
        gateway.sees(Seen::Gone(Some(id))).await;
    }
    assert!(answers.len() >= 2, "the moments cover too little: {answers:?}");
}

#[tokio::test]
async fn the_gateways_mark_is_stored_before_it_is_confirmed_and_shown_with_the_next_link() {
    let mut gateway = NativeGateway::start().await;
    let (home, id) = paired(&mut gateway).await;
    let mark = CloneMark::from_bytes([7; 24]);
    gateway.registry(|registry| registry.mark = Some(mark));
    let node = run(&home, &[]);
    gateway.sees(Seen::Showed(None)).await;
    gateway.sees(Seen::MarkStored(mark)).await;
    // Nothing is lost with the power once it is confirmed.
    node.signal(Signal::KILL);
    node.end().await;
    gateway.sees(Seen::Gone(Some(id))).await;
    let _node = run(&home, &[]);
    gateway.sees(Seen::Showed(Some(mark))).await;
}

#[tokio::test]
async fn the_gateways_name_is_kept_and_shown() {
    let mut gateway = NativeGateway::start().await;
    let (home, id) = paired(&mut gateway).await;
    let node = run(&home, &[]);
    gateway.sees(Seen::Linked(id)).await;
    let shown = "The gateway of the tests";
    for _ in 0..200 {
        let tokens = std::fs::read_to_string(home.path("state/tokens.json")).unwrap();
        if tokens.contains(shown) {
            break;
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    node.signal(Signal::TERM);
    node.end().await;
    let status = outcome(&["status", "--state", &home.state()]).await;
    assert!(status.said.contains(shown), "{}", status.said);
}

fn certificate(home: &Home) -> serde_json::Value {
    let text = std::fs::read_to_string(home.path("state/certificate.json")).unwrap();
    serde_json::from_str(&text).unwrap()
}

#[tokio::test]
async fn a_certificate_comes_with_the_pairing_and_opens_a_link_over_mutual_tls() {
    let mut gateway = NativeGateway::start().await;
    let mtls = gateway.issues_certificates().await;
    let (home, id) = paired(&mut gateway).await;
    assert!(certificate(&home)["fresh"].is_object(), "no link has used it yet");
    let mode = Path::new(&home.path("state/certificate.json")).metadata().unwrap().permissions();
    assert_eq!(mode.mode() & 0o777, 0o600);
    let status = outcome(&["status", "--state", &home.state()]).await;
    assert!(status.said.contains("serial "), "{}", status.said);
    let node = run(&home, &["--gateway", &format!("mtls://{mtls}")]);
    gateway.sees(Seen::Tls).await;
    gateway.sees(Seen::Linked(id)).await;
    gateway.pushes(Push::Dispatch(Task::new(1, "echo", "over TLS")));
    assert_eq!(gateway.outcome(1).await, "Succeeded over TLS");
    assert!(certificate(&home)["current"].is_object(), "a link has used it");
    node.signal(Signal::TERM);
    assert_eq!(node.end().await.code, Some(0));
}

#[tokio::test]
async fn a_refused_certificate_makes_the_node_fetch_another_one_over_its_other_address() {
    let mut gateway = NativeGateway::start().await;
    let mtls = gateway.issues_certificates().await;
    let (home, id) = paired(&mut gateway).await;
    gateway.shared.accepts_certificates.store(false, Ordering::SeqCst);
    let before = certificate(&home);
    let at = format!("mtls://{mtls}");
    let node = run(&home, &["--gateway", &at]);
    gateway.sees(Seen::Linked(id)).await;
    gateway
        .until("another one", |seen| matches!(seen, Seen::CertificateStored(_)).then_some(()))
        .await;
    assert_ne!(certificate(&home)["fresh"]["leaf"], before["fresh"]["leaf"]);
    // That one is refused as well. The node keeps it, and does not ask for a third one at once.
    gateway.sees(Seen::Gone(Some(id))).await;
    gateway.sees(Seen::Linked(id)).await;
    let kept = certificate(&home);
    node.signal(Signal::TERM);
    node.end().await;
    assert_eq!(certificate(&home), kept);
    gateway.shared.accepts_certificates.store(true, Ordering::SeqCst);
    let _node = run(&home, &["--gateway", &at]);
    gateway.sees(Seen::Tls).await;
    gateway.sees(Seen::Linked(id)).await;
}

#[tokio::test]
async fn a_certificate_for_another_key_is_neither_kept_nor_confirmed() {
    let mut gateway = NativeGateway::start().await;
    gateway.issues_certificates().await;
    let (home, id) = paired_with(&mut gateway, &["--no-certificate"]).await;
    gateway.registry(|registry| registry.authority.as_mut().unwrap().mistakes_keys = true);
    let _node = run(&home, &[]);
    gateway.sees(Seen::Linked(id)).await;
    while gateway.registry(|registry| registry.authority.as_ref().unwrap().issued) == 0 {
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    // The first task may have been sent ahead of the certificate, the second one is behind it.
    for number in [1, 2] {
        gateway.pushes(Push::Dispatch(Task::new(number, "echo", "done")));
        gateway
            .until("the outcome", |seen| {
                assert!(!matches!(seen, Seen::CertificateStored(_)), "it is not confirmed");
                let over = |outcome: &str| outcome.starts_with("Succeeded");
                matches!(seen, Seen::Outcome(of, outcome) if *of == number && over(outcome))
                    .then_some(())
            })
            .await;
    }
    assert!(certificate(&home)["fresh"].is_null() && certificate(&home)["current"].is_null());
}

#[tokio::test]
async fn a_certificate_is_renewed_at_two_thirds_of_its_life_and_after_its_end() {
    for lasts in [12, 1] {
        let mut gateway = NativeGateway::start().await;
        let mtls = gateway.issues_certificates().await;
        let lives = |seconds| {
            gateway.registry(|registry| registry.authority.as_mut().unwrap().lasts = seconds);
        };
        lives(lasts);
        let (home, id) = paired(&mut gateway).await;
        let first = certificate(&home)["fresh"]["leaf"].clone();
        gateway.registry(|registry| registry.authority.as_mut().unwrap().lasts = 3600);
        let node = run(&home, &["--gateway", &format!("mtls://{mtls}")]);
        gateway.sees(Seen::Linked(id)).await;
        // On a slow machine one may have been renewed while the node was paired.
        gateway
            .until("a renewal", |seen| matches!(seen, Seen::CertificateStored(_)).then_some(()))
            .await;
        let renewed = certificate(&home);
        assert_ne!(renewed["fresh"]["leaf"], first, "{lasts} s");
        node.signal(Signal::TERM);
        node.end().await;
        gateway.sees(Seen::Gone(Some(id))).await;
        // The new one works, and takes the place of the old one.
        let _node = run(&home, &["--gateway", &format!("mtls://{mtls}")]);
        gateway.sees(Seen::Tls).await;
        gateway.sees(Seen::Linked(id)).await;
    }
}

#[tokio::test]
async fn pairing_without_a_certificate_and_pairing_at_its_listener_are_said() {
    let mut gateway = NativeGateway::start().await;
    let mtls = gateway.issues_certificates().await;
    let home = Home::new();
    let (state, url) = (home.state(), gateway.url());
    let at = format!("mtls://{mtls}");
    let ended = outcome(&["pair", "--pin", "--gateway", &at, "--state", &state]).await;
    assert!(ended.code == Some(2) && ended.said.contains("another address"), "{}", ended.said);
    let pair = ["pair", "--pin", "--no-certificate", "--gateway", &url, "--state", &state];
    let mut program = Program::start_asked(&pair);
    let pin = gateway.pin().await;
    program.types(&pin).await;
    assert_eq!(program.end().await.code, Some(0));
    assert!(!Path::new(&home.path("state/certificate.json")).exists());
    let mut node = run(&home, &["--gateway", &at]);
    // It links over the address that it was paired at.
    node.says(r#""event":"linked""#).await;
}
