//! Brute-force attacks on PINs: requests and guesses as fast as a machine can send them.

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use handfast_core::crypto::cpace;
use handfast_core::limits::{GUESSES_PER_CODE, PINS_A_MINUTE, PINS_PER_SOURCE};
use handfast_core::wire::native::open::Intent;
use serde_json::json;
use tokio::task::JoinSet;

use super::operator::{gets, posts};
use super::peer::{Guessed, Peer, keys};
use super::{HOME, STRANGER, address};
use crate::cli::gateway::Gateway;
use crate::conformance::eventually;

/// A PIN that is unlikely to be shown for any node.
const GUESS: &str = "000000";

/// Requests a PIN with a fresh key, and guesses it this many times. Returns the outcome of the last
/// guess.
async fn burns(gateway: SocketAddr, from: IpAddr, times: u8) -> Guessed {
    let own = keys();
    let Some(mut peer) = Peer::meets(gateway, from, Intent::Pair, &own).await else {
        return Guessed::Other;
    };
    let mut last = match peer.is_shown_a_pin(&own, "Junk").await {
        Ok(()) => Guessed::Wrong,
        Err(no) => return no,
    };
    for _ in 0..times {
        if last == Guessed::Wrong {
            last = peer.guesses(&own, GUESS, cpace::CodeOrigin::Pin).await;
        }
    }
    last
}

/// Returns the PIN that the gateway showed last for this name.
fn pin_for(gateway: &Gateway, name: &str) -> String {
    let asked = format!("Pairing request from {name:?}\nPIN: ");
    let shown = gateway.shows(&asked);
    shown.rsplit(&asked).next().unwrap().lines().next().unwrap().to_owned()
}

/// Pairs a neighbour with the shipped program, who types the PIN that is shown.
pub(super) fn neighbour_pairs(gateway: &Gateway) -> (i32, String) {
    let mut node = gateway.node("Neighbour", &["--pin"]);
    node.types(&pin_for(gateway, "Neighbour"));
    node.ends()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stranger_who_takes_pins_and_guesses_as_fast_as_he_can_locks_himself_out_and_nobody_else()
{
    let gateway = Gateway::start_quietly(&["--pairing"]);
    let to = address(&gateway);
    let mut strangers = JoinSet::new();
    // With more at once, the newest PINs would displace those that are about to be guessed.
    for _ in 0..PINS_PER_SOURCE {
        strangers.spawn(async move {
            loop {
                burns(to, STRANGER, GUESSES_PER_CODE).await;
            }
        });
    }
    eventually(async || gets(&gateway, "/api/v1/pairing")["guessers"][0]["locked"] == true).await;
    let (code, said) = neighbour_pairs(&gateway);
    assert_eq!(code, 0, "{said}");
    strangers.shutdown().await;
    let pairing = gets(&gateway, "/api/v1/pairing");
    assert_eq!((&pairing["open"], &pairing["locked"]), (&json!(true), &json!(false)), "{pairing}");
    assert_eq!(
        pairing["guessers"],
        json!([{"source": "127.0.0.66", "wrong_pins": 8, "locked": true}])
    );
    assert_eq!(burns(to, STRANGER, 1).await, Guessed::Locked);
    assert_eq!(burns(to, HOME, 1).await, Guessed::Wrong);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stranger_who_only_takes_pins_buries_nobody_elses_under_his_own() {
    let gateway = Gateway::start_quietly(&["--pairing"]);
    let (to, taken, begun) = (address(&gateway), Arc::new(AtomicUsize::new(0)), Instant::now());
    let mut strangers = JoinSet::new();
    for _ in 0..8 {
        let taken = Arc::clone(&taken);
        strangers.spawn(async move {
            loop {
                let own = keys();
                let Some(mut peer) = Peer::meets(to, STRANGER, Intent::Pair, &own).await else {
                    continue;
                };
                taken.fetch_add(
                    usize::from(peer.is_shown_a_pin(&own, "Junk").await.is_ok()),
                    Ordering::Relaxed,
                );
            }
        });
    }
    tokio::time::sleep(Duration::from_secs(2)).await;
    let (code, said) = neighbour_pairs(&gateway);
    assert_eq!(code, 0, "{said}");
    strangers.shutdown().await;
    let (taken, shown) = (
        taken.load(Ordering::Relaxed),
        gateway.shown().matches("Pairing request from \"Junk\"").count(),
    );
    println!("{taken} PINs taken and {shown} shown in {:?}", begun.elapsed());
    let live = gets(&gateway, "/api/v1/pairing/codes")["items"].as_array().unwrap().len();
    assert!(live <= 4, "{live} PINs of one address live");
    let most = PINS_A_MINUTE as usize + 5;
    assert!(shown <= most, "{shown} PINs of one address were shown");
}

#[tokio::test(flavor = "multi_thread")]
async fn twenty_wrong_guesses_over_all_addresses_close_pairing_until_it_is_opened_anew() {
    let gateway = Gateway::start_quietly(&["--pairing"]);
    let to = address(&gateway);
    let mut strangers = JoinSet::new();
    for number in 0..12_u8 {
        strangers.spawn(async move {
            let mut wrong = 0;
            for _ in 0..4 {
                wrong += usize::from(
                    burns(to, IpAddr::from([127, 9, 0, number + 1]), 1).await == Guessed::Wrong,
                );
            }
            wrong
        });
    }
    let wrong: usize = strangers.join_all().await.into_iter().sum();
    // The guess that closes the window hears that PINs are locked, as do those behind it.
    assert!(wrong < 20, "{wrong} guesses were compared");
    let pairing = gets(&gateway, "/api/v1/pairing");
    assert_eq!(
        (&pairing["open"], &pairing["locked"], &pairing["wrong_pins"]),
        (&json!(false), &json!(true), &json!(20))
    );
    assert_eq!(
        gets(&gateway, "/api/v1/pairing/codes")["items"],
        json!([]),
        "no PIN is listed that nobody may guess"
    );
    let (code, said) = gateway.node("Neighbour", &["--pin"]).ends();
    assert_eq!(code, 1, "{said}");
    posts(&gateway, "/api/v1/pairing", &json!({"open": true}));
    let (code, said) = neighbour_pairs(&gateway);
    assert_eq!(code, 0, "{said}");
}
