//! Pairing by a setup code, and what a board hears if its request cannot be made.

use handfast_core::flow::native::node::{CertificateWish, NodeIdentity, PairMethod};
use handfast_core::limits::{NATIVE_PROFILE_BYTES, SETUP_TOKEN_CHARS};
use handfast_core::wire::native::pair::{AskedScopes, BootstrapToken};
use handfast_core::wire::registration::{PairRequest, Profile};
use handfast_edge::native::memory::{NativeFlash, keys};
use handfast_edge::native::{
    NativeBuffers, NativeCommand, NativePorts, NativeSettings, NoCapabilities, NoCertificate, run,
};

use super::board::{Cells, Hand, Pipes, Told, Wire, console, fingerprint};
use super::gateway::Gateway;
use crate::net::Chance;
use crate::node::{Fuse, Microphone, Virtual, identity};

/// Lets a board show this setup code, and returns its first reports.
async fn shows<const SCRATCH: usize, const REPORTS: usize>(
    setup: Option<&str>,
    mut buffers: NativeBuffers<SCRATCH>,
) -> [Told; REPORTS] {
    let (gateway, fuse) = (Gateway::new(), Fuse::of(None));
    let (owner, mut hand): (_, Hand) = console(&fuse);
    let mut keep = NativeFlash::new(Cells::erased(), 0).unwrap();
    let own = keys(&mut keep, &mut Chance(1)).await.unwrap();
    let expected = fingerprint(&gateway);
    // The longest description that goes out together with the code.
    let profile = format!("{{\"x\":\"{}\"}}", "x".repeat(NATIVE_PROFILE_BYTES - 8));
    let profile = Profile::parse(&profile).unwrap();
    let ports = NativePorts {
        gateway: Pipes { gateway, wire: Wire::Clean(4096), fuse, unanswered: Vec::new() },
        clock: Virtual(tokio::time::Instant::now()),
        keep,
        rng: Chance(2),
        owner,
        sensors: Microphone,
        capabilities: NoCapabilities,
        certificate: NoCertificate,
        own: NodeIdentity {
            keys: &own,
            about: PairRequest { profile, ..identity() },
            setup: setup.map(|text| BootstrapToken::new(text).unwrap()),
            wants: AskedScopes::NONE,
            certificate: CertificateWish::None,
            dispatch: false,
        },
    };
    hand.say(NativeCommand::Pair(PairMethod::Setup, Some(expected)));
    tokio::select! {
        biased;
        () = run(ports, &NativeSettings::DEFAULT, &mut buffers) => panic!("the driver returned"),
        told = async {
            let mut told = [const { Told::Waits }; REPORTS];
            for place in &mut told {
                *place = hand.told().await;
            }
            told
        } => told,
    }
}

fn is_news(told: &Told, of: &str) -> bool {
    matches!(told, Told::News(text) if text.starts_with(of))
}

#[tokio::test(start_paused = true)]
async fn the_longest_setup_code_reaches_the_gateway_out_of_the_buffers_made_for_it() {
    let longest = "x".repeat(SETUP_TOKEN_CHARS);
    // The gateway answers, since it has not issued this code.
    let [_, answer] = shows(Some(&longest), NativeBuffers::for_setup_codes()).await;
    assert!(is_news(&answer, "PairingRefused"), "{answer:?}");
}

#[tokio::test(start_paused = true)]
async fn a_board_whose_buffer_is_too_small_for_its_setup_code_is_told_so() {
    let longest = "x".repeat(SETUP_TOKEN_CHARS);
    let [why] = shows(Some(&longest), NativeBuffers::new()).await;
    assert_eq!(why, Told::News("NotAsked(BufferTooSmall)".to_owned()));
}

#[tokio::test(start_paused = true)]
async fn a_board_without_a_setup_code_to_show_is_told_so() {
    let [why] = shows(None, NativeBuffers::for_setup_codes()).await;
    assert_eq!(why, Told::News("NotAsked(NoSetupCode)".to_owned()));
}
