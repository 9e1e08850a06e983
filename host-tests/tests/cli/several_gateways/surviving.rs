//! Gateways and databases that die while others go on.

use std::time::Duration;

use super::super::tasks::Lamp;
use super::forwarder::Forwarder;
use super::*;

#[test]
#[ignore = "needs PostgreSQL"]
fn what_is_decided_on_one_gateway_is_so_on_the_other() {
    let registry = Registry::new();
    let [one, other] = ["one", "other"].map(|name| registry.gateway(name));
    let mut waiting = one.node("Desk", &["--approval"]);
    let listed = until("the other one lists it", || match other.answer(&["pending"]) {
        shown if shown.to_string().contains("Desk") => Ok(shown),
        shown => Err(shown.to_string()),
    });
    waiting.types("");
    assert!(listed.to_string().contains("127.0.0.1"), "{listed}");
    assert_eq!(other.verb(&["approve", "Desk", "--yes"]).0, 0);
    let (code, said, state) = waiting.ends_with_its_state();
    assert_eq!(code, 0, "approved on the other gateway, it is paired here: {said}");
    let node = run_at(&one, &state, &[]);
    assert_eq!(other.verb(&["nodes", "mute", "Desk"]).0, 0);
    node.says("muted");
    assert_eq!(one.answer(&["nodes", "list"])["items"][0]["standing"], "muted");
    assert_eq!(one.verb(&["nodes", "unmute", "Desk"]).0, 0);
    assert_eq!(other.verb(&["nodes", "revoke", "Desk", "--yes"]).0, 0);
    node.says("unpaired by the operator");
}

#[test]
#[ignore = "needs PostgreSQL"]
fn a_node_goes_on_at_another_gateway_when_its_own_is_killed() {
    let registry = Registry::new();
    let [mut one, other] = ["one", "other"].map(|name| registry.gateway(name));
    let state = pair(&one);
    let mut node = run_at(&one, &state, &[]);
    one.running.kill();
    node.running.kill();
    let _node = run_at(&other, &state, &[]);
    let listed = other.answer(&["nodes", "list"]);
    assert_eq!(listed["items"][0]["status"], "online", "{listed}");
}

/// The gateway that has the node's link is killed at moments that cover every step of a task, which
/// was given on another gateway. That one goes on with it as soon as the node comes there.
#[test]
#[ignore = "needs PostgreSQL"]
fn a_task_whose_gateway_is_killed_is_taken_up_by_another_and_runs_once() {
    let registry = Registry::new();
    let stays = registry.gateway("stays");
    let state = pair(&stays);
    let lamp = Lamp::that("sleep 0.04; echo '\"on\"'");
    let forwarder = Forwarder::start();
    for round in 0..6_u64 {
        let mut holder = registry.gateway(&format!("holder-{round}"));
        forwarder.to(&[&holder.address, &stays.address]);
        let more = ["--gateway", &forwarder.url, "--handler", &lamp.option];
        let node = RunningNode::start(state.path(), &more);
        node.links("ws", 1);
        until("it offers the lamp", || match stays.verb(&["nodes", "describe", "Desk"]) {
            (_, out, _) if out.contains("lamp") => Ok(()),
            (_, out, err) => Err(out + &err),
        });
        let (input, request) = (round.to_string(), format!("5f0c2b52-5d30-4a8f-9b21-{round:012x}"));
        let invoke = ["nodes", "invoke", "Desk", "lamp", &input, "--request-id", &request];
        let given = stays.answer(&invoke);
        std::thread::sleep(Duration::from_millis(12 * round));
        holder.running.kill();
        node.links("ws", 2);
        let (_, out, err) = stays.verb(&[&invoke[..], &["--wait", "--json"]].concat());
        let mut again: Value = serde_json::from_str(&out).unwrap_or_else(|_| panic!("{err}"));
        if again["state"] == "expired" {
            // It was on its way when the gateway was killed. The node says that it never came, so
            // the operator may send it once more.
            assert!(again["may_retry"] == true && lamp.runs(&input) == 0, "{round}: {again}");
            let retry = ["nodes", "invoke", "Desk", "--retry", again["id"].as_str().unwrap()];
            again = stays.answer(&[&retry[..], &["--wait"]].concat());
        }
        assert_eq!(again["state"], "succeeded", "{round}: {again}");
        assert_eq!((&given["id"], lamp.runs(&input)), (&again["id"], 1), "{round}: {again}");
    }
}

#[test]
#[ignore = "needs PostgreSQL"]
fn a_database_that_crashes_under_load_loses_nothing_that_was_acknowledged() {
    let registry = Registry::new();
    let gateways = ["one", "other"].map(|name| registry.gateway(name));
    let state = pair(&gateways[0]);
    let forwarder = Forwarder::start();
    forwarder.to(&[&gateways[0].address, &gateways[1].address]);
    let node = RunningNode::start(state.path(), &["--gateway", &forwarder.url]);
    node.links("ws", 1);
    let mut acknowledged = Vec::new();
    for round in 0..24 {
        match round {
            8 => registry.server.crash(),
            16 => registry.server.start_again(),
            _ => {}
        }
        let minted = gateways[round % 2].verb(&["codes", "create", "--json", "--read", "/**"]);
        if let (0, out, _) = minted {
            let minted: Value = serde_json::from_str(&out).unwrap();
            acknowledged.push(minted["id"].clone());
        } else {
            assert!((8..24).contains(&round), "{round}: {}", minted.2);
        }
    }
    assert!(acknowledged.len() >= 8, "{acknowledged:?}");
    let listed = until("both work again", || {
        let listed = gateways.each_ref().map(|one| one.verb(&["codes", "list", "--json"]));
        match &listed {
            [(0, first, _), (0, second, _)] => Ok([first.clone(), second.clone()]),
            [(_, _, first), (_, _, second)] => Err(format!("{first}{second}")),
        }
    });
    for id in &acknowledged {
        let id = id.as_str().unwrap();
        assert!(listed.iter().all(|list| list.contains(id)), "{id}: {listed:?}");
    }
    until("the node is linked again, or still", || {
        let node = gateways[1].answer(&["nodes", "list"])["items"][0].clone();
        if node["status"] == "online" { Ok(()) } else { Err(node.to_string()) }
    });
    assert_eq!(gateways[1].verb(&["codes", "create", "--read", "/**"]).0, 0);
}

#[test]
#[ignore = "needs PostgreSQL"]
fn an_operator_of_a_gateway_that_is_cut_off_is_told_so() {
    let registry = Registry::new();
    let gateway = registry.gateway("one");
    assert!(gateway.verb(&["status"]).1.contains("one: in touch, 0 links"));
    registry.server.stop();
    until("doctor finds it", || match gateway.verb(&["doctor", "--json"]).1 {
        found if found.contains("\"cut_off\"") && !found.contains("not_running") => Ok(()),
        found => Err(found),
    });
    let (code, out, err) = gateway.verb(&["status"]);
    assert!(code == 1 && out.is_empty() && err.contains("one: cut off"), "{out}{err}");
    registry.server.start_again();
    until("it goes on by itself", || match gateway.verb(&["status"]) {
        (0, out, _) if out.contains("one: in touch") => Ok(()),
        (_, out, err) => Err(out + &err),
    });
}

#[test]
#[ignore = "needs PostgreSQL"]
fn the_demo_of_several_gateways_is_played_to_its_end() {
    let (code, out, err) = text(&run("handfast", &["demo", "--gateways", "3"]));
    assert_eq!(code, 0, "{out}{err}");
    for said in ["shows the fingerprint", "is killed (kill -9)", "is cut after", "steps held"] {
        assert!(out.contains(said), "{said}: {out}");
    }
}
