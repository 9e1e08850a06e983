//! Stories of a node and its gateway in virtual time. Every invariant of the world is checked after
//! every event.

use handfast_core::{NodeId, Refusal};
use handfast_host_tests::script::{Forged, Op, Setup, Typed, Verdict};
use handfast_host_tests::world::World;
use handfast_host_tests::world::model::Life;
use handfast_host_tests::world::node::Flash;

fn asked(setup: Setup) -> (World, NodeId) {
    let mut world = World::new(setup);
    world.run_for(3_000);
    let node_id = world.nodes[0].flash.node_id().expect("the node has asked");
    (world, node_id)
}

fn approved(setup: Setup) -> (World, NodeId) {
    let (mut world, node_id) = asked(setup);
    world.decide(node_id, Verdict::Approve).expect("it waits");
    world.run_for(2_000);
    (world, node_id)
}

fn linked(setup: Setup) -> (World, NodeId) {
    let (mut world, node_id) = approved(setup);
    world.type_token(0, Typed::Newest);
    world.run_for(5_000);
    assert!(world.is_linked(0));
    (world, node_id)
}

fn decide(world: &mut World, node_id: NodeId, verdict: Verdict) {
    world.decide(node_id, verdict).expect("the decision can be taken");
    world.run_for(1_000);
}

fn told(world: &World, news: &str) -> bool {
    world.nodes[0].news.iter().any(|told| told.contains(news))
}

#[test]
fn a_node_asks_is_approved_gets_its_token_and_links() {
    let (world, node_id) = linked(Setup::CALM);
    assert_eq!(world.papers.shown[&node_id].len(), 1);
    assert!(told(&world, "WaitsForApproval") && told(&world, "TokenKept") && told(&world, "Küche"));
}

#[test]
fn before_its_approval_nothing_lets_a_node_in() {
    let (mut world, _) = asked(Setup::CALM);
    world.type_token(0, Typed::Wrong);
    world.run_for(200_000);
    assert!(!world.is_linked(0) && told(&world, "InvalidCredentials"));
}

#[test]
fn an_answer_that_was_lost_does_not_make_a_second_entry() {
    let mut world = World::new(Setup::CALM);
    while world.store.rows.is_empty() {
        world.run_for(1);
    }
    world.apply(&Op::CutConnection { connection: 0, silent: true });
    let first = *world.store.rows.keys().next().unwrap();
    world.run_for(60_000);
    assert_eq!(world.nodes[0].flash, Flash::Asked(first));
    assert_eq!(world.store.rows.len(), 1);
}

#[test]
fn muting_ends_the_link_at_once_and_unmuting_lets_the_node_back() {
    let (mut world, node_id) = linked(Setup::CALM);
    decide(&mut world, node_id, Verdict::Mute);
    assert!(world.gateway.live.is_empty() && told(&world, "Muted"));
    world.run_for(300_000);
    assert!(!world.is_linked(0));
    decide(&mut world, node_id, Verdict::Unmute);
    world.run_for(80_000);
    assert!(world.is_linked(0));
}

#[test]
fn an_unpaired_node_never_links_again_under_its_id_but_may_ask_anew() {
    let (mut world, node_id) = linked(Setup::CALM);
    decide(&mut world, node_id, Verdict::Unpair);
    world.run_for(300_000);
    assert!(!world.is_linked(0));
    assert_eq!(world.decide(node_id, Verdict::Approve), Err(Refusal::Revoked));
    world.settle();
    assert_ne!(world.nodes[0].flash.node_id(), Some(node_id));
}

#[test]
fn a_reissued_token_ends_the_link_and_only_the_new_one_opens_another() {
    let (mut world, node_id) = linked(Setup::CALM);
    decide(&mut world, node_id, Verdict::Reissue);
    world.run_for(200_000);
    assert!(!world.is_linked(0), "the old token is dead");
    world.type_token(0, Typed::Newest);
    world.run_for(5_000);
    assert!(world.is_linked(0));
}

#[test]
fn a_request_that_nobody_decides_about_runs_out_and_can_be_made_again() {
    let (mut world, node_id) = asked(Setup::CALM);
    world.run_for(600_000);
    assert_eq!(world.decide(node_id, Verdict::Approve), Err(Refusal::Expired));
    world.ask_again(0);
    world.run_for(5_000);
    assert_eq!(world.model.nodes[&node_id].life, Life::RanOut);
    assert!(world.nodes[0].flash.node_id().is_some_and(|new| new != node_id));
}

#[test]
fn a_power_cut_of_the_gateway_before_any_one_effect_loses_nothing_that_was_acknowledged() {
    for effects in 0..40 {
        for seed in 0..8 {
            let mut world = World::new(Setup { seed, ..Setup::CALM });
            world.apply(&Op::CutGateway { after: effects });
            for _ in 0..3 {
                world.run_for(3_000);
                world.apply(&Op::Help { node: 0 });
            }
            let before: Vec<_> = world.papers.shown.clone().into_iter().collect();
            world.settle();
            assert!(
                before.iter().all(|(node_id, _)| !world.model.nodes[node_id].hashes.is_empty())
            );
        }
    }
}

#[test]
fn a_power_cut_of_the_node_before_any_one_effect_only_delays_its_link() {
    for effects in 0..16 {
        for seed in 0..8 {
            let mut world = World::new(Setup { seed, ..Setup::CALM });
            world.apply(&Op::CutNode { node: 0, after: effects });
            for _ in 0..3 {
                world.run_for(3_000);
                world.apply(&Op::Help { node: 0 });
            }
            world.settle();
        }
    }
}

#[test]
fn a_token_that_was_saved_but_never_shown_is_replaced_by_another() {
    let (mut world, node_id) = asked(Setup::CALM);
    world.decide(node_id, Verdict::Approve).unwrap();
    while world.model.nodes[&node_id].hashes.is_empty() {
        world.run_for(1);
    }
    world.apply(&Op::CutGateway { after: 0 });
    world.run_for(20_000);
    assert!(!world.papers.shown.contains_key(&node_id), "nobody has seen it");
    assert_eq!(world.decide(node_id, Verdict::Approve), Err(Refusal::AlreadyPaired));
    world.settle();
    assert_eq!(world.papers.shown[&node_id].len(), 1);
}

#[test]
fn a_connection_that_dies_in_silence_is_given_up_after_an_unanswered_ping() {
    let (mut world, _) = linked(Setup::CALM);
    world.apply(&Op::CutConnection { connection: 0, silent: true });
    world.run_for(41_000);
    assert!(world.gateway.seats.is_empty());
    world.run_for(120_000);
    assert!(world.is_linked(0), "and the node has noticed by its heartbeat");
}

#[test]
fn silent_connections_from_a_nodes_own_address_do_not_keep_it_out() {
    let (mut world, _) = approved(Setup { one_source: true, ..Setup::CALM });
    for _ in 0..12 {
        world.apply(&Op::StrangerConnects);
        world.run_for(500);
    }
    world.type_token(0, Typed::Newest);
    world.run_for(5_000);
    assert!(world.is_linked(0));
}

#[test]
fn guesses_from_elsewhere_do_not_keep_a_node_out() {
    let (mut world, _) = approved(Setup::CALM);
    for _ in 0..80 {
        world.apply(&Op::StrangerSends { connection: 0, frame: Forged::Guess(0) });
        world.run_for(100);
    }
    world.type_token(0, Typed::Newest);
    world.run_for(5_000);
    assert!(world.is_linked(0));
}

/// Shows a limit of the dialect: without TLS its token travels in clear.
#[test]
fn who_overhears_a_token_in_clear_takes_the_nodes_place_until_the_token_is_reissued() {
    let (mut world, node_id) = linked(Setup { in_clear: true, ..Setup::CALM });
    let recording =
        world.network.overheard.iter().position(|frame| frame.contains(r#""auth""#)).unwrap();
    world
        .apply(&Op::StrangerReplays { connection: 0, recording: u8::try_from(recording).unwrap() });
    world.run_for(500);
    assert!(
        !world.is_linked(0) && world.gateway.live.contains_key(&node_id),
        "the stranger has displaced it"
    );
    decide(&mut world, node_id, Verdict::Reissue);
    assert!(world.gateway.live.is_empty());
    world
        .apply(&Op::StrangerReplays { connection: 0, recording: u8::try_from(recording).unwrap() });
    world.run_for(5_000);
    assert!(world.gateway.live.is_empty(), "the recording is worthless now");
}

#[test]
fn a_stranger_who_asks_word_by_word_like_a_node_from_its_address_gets_the_same_entry_and_no_token()
{
    let (mut world, node_id) = asked(Setup { one_source: true, ..Setup::CALM });
    world.apply(&Op::StrangerSends { connection: 0, frame: Forged::AskAs(0) });
    world.run_for(2_000);
    assert_eq!(world.store.rows.len(), 1);
    decide(&mut world, node_id, Verdict::Approve);
    world.type_token(0, Typed::Newest);
    world.run_for(5_000);
    assert!(world.is_linked(0));
}
