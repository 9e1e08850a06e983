//! Core's budgets against simple models.

use handfast_core::budget::{
    Bucket, Linked, NoPlace, Proving, ReadRate, Replays, Room, Turn, WAYS, delegates_per_subject,
};
use handfast_core::limits::{Limits, PROVE_WITHIN, PROVING_AT_LEAST, PROVING_PER_KEY};
use handfast_core::secret::Secret;
use handfast_core::{Instant, Span};

/// Checks the budgets of the native wire under any sequence of calls. Nothing is given back that
/// was not taken. A key has its slots and no more. A handshake that is displaced has had its
/// minimum time. An ephemeral key that was read lately is known. Above the rate, only messages of
/// sources without failures are read.
///
/// # Panics
/// If one of these does not hold.
pub fn budgets(data: &[u8]) {
    let mut now = Instant::from_millis(0);
    let (mut bucket, mut held, mut taken) = (Bucket::new(5, now), Vec::new(), 0_u64);
    let (mut key, mut model): (Proving, Vec<(u64, Instant)>) = (Proving::default(), Vec::new());
    let mut replays = Replays::new(vec![0; 4 * WAYS], Secret::new([1; 32]));
    let mut read: Vec<[u8; 32]> = Vec::new();
    let (mut reading, mut turns) = (ReadRate::new(50, now), 0_u64);
    let mut handshake = 0;
    for pair in data.chunks_exact(2) {
        let (code, argument) = (pair[0], pair[1]);
        match code % 8 {
            0 => now = now.after(Span::from_millis(u64::from(argument) * 20)),
            1 => {
                if let Some(attempt) = bucket.attempt(now) {
                    held.push(attempt);
                    taken += 1;
                }
                let most = 5 + now.as_millis() * 5 / 60_000;
                assert!(taken <= most, "{taken} attempts were spent where there were {most}");
            }
            2 => {
                if let Some(attempt) = held.pop() {
                    bucket.give_back(attempt);
                    taken -= 1;
                }
            }
            3 | 4 => {
                handshake += 1;
                model.retain(|(_, since)| now.since(*since) < PROVE_WITHIN);
                match key.enter(handshake, now) {
                    Ok(displaced) => {
                        assert_eq!(
                            displaced.is_some(),
                            model.len() == PROVING_PER_KEY,
                            "whoever is displaced makes the only room"
                        );
                        if let Some(displaced) = displaced {
                            let (oldest, since) = model.remove(0);
                            assert!(oldest == displaced && now.since(since) >= PROVING_AT_LEAST);
                        }
                        model.push((handshake, now));
                    }
                    Err(NoPlace::Full) => {
                        assert!(
                            model.len() == PROVING_PER_KEY
                                && now.since(model[0].1) < PROVING_AT_LEAST
                        );
                    }
                    Err(NoPlace::Repeated) => panic!("a place is not refused for what was read"),
                }
            }
            5 => {
                let leaves = handshake.saturating_sub(u64::from(argument % 8));
                key.leave(leaves);
                model.retain(|(handshake, _)| *handshake != leaves);
            }
            6 => {
                let ephemeral = [argument; 32];
                // A set remembers its last `WAYS` keys. All keys may fall into one set.
                let lately = read.iter().rev().take(WAYS).any(|before| *before == ephemeral);
                let knew = replays.knows(&ephemeral);
                assert!(knew || !lately, "what was read lately is known");
                assert!(!knew || read.contains(&ephemeral), "what was never read is not");
                assert_eq!(replays.remember(&ephemeral), !knew);
                if !knew {
                    read.push(ephemeral);
                }
            }
            _ => {
                let failed = argument % 4 != 0;
                match reading.turn(failed, now) {
                    Turn::Now if failed => turns += 1,
                    Turn::Now => {}
                    Turn::In(span) => assert!(
                        failed && span > Span::from_millis(0),
                        "only who failed waits, and for a time"
                    ),
                }
                assert!(
                    turns <= 5 + now.as_millis() * 50 / 1000,
                    "above the rate, whoever failed waits"
                );
            }
        }
        shares(code, argument);
    }
}

/// Checks that a delegate's slot is never taken for a delegate whose subject would then have as
/// many, however many are linked.
fn shares(total: u8, of_subject: u8) {
    let limits = Limits { linked_total: 32, ..Limits::DEFAULT };
    let linked = Linked { total: u32::from(total % 40), most_of_one: u32::from(total % 7) };
    let of_subject = u32::from(of_subject % 9);
    match linked.for_delegate(of_subject, &limits) {
        Room::Free => assert!(linked.total < 32 && of_subject < delegates_per_subject(&limits)),
        Room::Displace => assert!(
            linked.most_of_one > of_subject + 1 && of_subject < delegates_per_subject(&limits)
        ),
        Room::Full => assert!(linked.total >= 32 || of_subject >= delegates_per_subject(&limits)),
    }
    match linked.for_node(&limits) {
        Room::Free => assert!(linked.total < 32),
        Room::Displace => assert!(linked.total >= 32 && linked.most_of_one > 0),
        Room::Full => assert!(linked.total >= 32 && linked.most_of_one == 0),
    }
}
