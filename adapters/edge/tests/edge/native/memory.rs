//! Stored data survives a power cut at every write and every erase, and damage to one part never
//! affects the other.

use handfast_core::NodeId;
use handfast_core::crypto::x25519::PublicKey;
use handfast_core::flow::native::node::{NativeMemory, PairMethod, Paired};
use handfast_core::registry::grants::GrantId;
use handfast_core::secret::Secret;
use handfast_edge::blocking::block_on;
use handfast_edge::native::NativeCommand;
use handfast_edge::native::memory::{NativeFlash, NativeStorage, keys};
use handfast_edge::registration::memory::{self as missy, KeepError};

use super::board::{Cells, Told, story};
use super::gateway::Gateway;
use crate::flash::{PAGE, Tear};
use crate::net::Chance;

fn flash(cells: &Cells) -> NativeFlash<Cells> {
    NativeFlash::new(cells.clone(), 0).unwrap()
}

fn key(n: u8) -> PublicKey {
    PublicKey::parse(&[n; 32]).unwrap()
}

/// Returns the n-th memory of a series in which every kind follows every other.
fn memory(n: u8) -> NativeMemory {
    match n % 5 {
        0 => NativeMemory::Blank,
        1 | 3 => NativeMemory::Asked { gateway: key(n) },
        _ => {
            let (node_id, grant) = (NodeId::from_bytes([n; 16]), GrantId::from_bytes([n + 1; 16]));
            NativeMemory::Paired(Paired { gateway: key(n), node_id, grant, mark: None })
        }
    }
}

#[test]
fn a_cut_anywhere_leaves_the_old_memory_or_the_new_one_and_never_the_keys() {
    let secret = Secret::new([0x5a; 64]);
    for n in 0..10 {
        for operations in 0..4 {
            for tear in Tear::all() {
                let cells = Cells::erased();
                block_on(flash(&cells).keep_keys(&secret)).unwrap();
                for before in 0..=n {
                    block_on(flash(&cells).keep(&memory(before))).unwrap();
                }
                cells.cut_after(operations, tear);
                let kept = block_on(flash(&cells).keep(&memory(n + 1)));
                let cut = cells.restore();
                assert!(cut == kept.is_err());
                let loaded = block_on(flash(&cells).load()).unwrap();
                assert!(
                    loaded == memory(n + 1) || (cut && loaded == memory(n)),
                    "{n} {operations} {tear:?}"
                );
                assert!(block_on(flash(&cells).keys()).unwrap().unwrap() == secret);
            }
        }
    }
}

#[test]
fn keys_are_made_once_whatever_is_cut() {
    for operations in 0..8 {
        for tear in Tear::all() {
            let cells = Cells::erased();
            cells.cut_after(operations, tear);
            let first = block_on(keys(&mut flash(&cells), &mut Chance(7)));
            assert_eq!(cells.restore(), first.is_err());
            let second = block_on(keys(&mut flash(&cells), &mut Chance(8))).unwrap();
            if let Ok(first) = first {
                assert_eq!(first.channel.public(), second.channel.public());
            }
            let third = block_on(keys(&mut flash(&cells), &mut Chance(9))).unwrap();
            assert_eq!(third.channel.public(), second.channel.public(), "{operations} {tear:?}");
        }
    }
}

#[test]
fn keys_survive_the_loss_of_either_of_their_pages() {
    for page in [2, 3] {
        let cells = Cells::erased();
        let made = block_on(keys(&mut flash(&cells), &mut Chance(7))).unwrap();
        cells.spoil(page * PAGE..(page + 1) * PAGE);
        let read = block_on(keys(&mut flash(&cells), &mut Chance(8))).unwrap();
        assert_eq!(read.channel.public(), made.channel.public());
    }
}

#[test]
fn keys_that_are_lost_take_what_was_paired_with_them_along() {
    let cells = Cells::erased();
    let made = block_on(keys(&mut flash(&cells), &mut Chance(7))).unwrap();
    block_on(flash(&cells).keep(&memory(2))).unwrap();
    cells.spoil(2 * PAGE..4 * PAGE);
    let new = block_on(keys(&mut flash(&cells), &mut Chance(8))).unwrap();
    assert_ne!(new.channel.public(), made.channel.public());
    assert_eq!(block_on(flash(&cells).load()), Ok(NativeMemory::Blank));
}

#[tokio::test(start_paused = true)]
async fn a_damaged_memory_is_not_overwritten_until_the_owner_forgets_and_the_keys_stay() {
    let (gateway, cells) = (Gateway::new(), Cells::erased());
    let id = story(&gateway, &cells, async |mut hand| hand.pairs_by_pin(&gateway).await).await;
    cells.spoil(0..2 * PAGE);
    story(&gateway, &cells, async |mut hand| {
        let damaged = cells.bytes();
        for _ in 0..3 {
            assert_eq!(hand.told().await, Told::NotLoaded(KeepError::Corrupted));
        }
        hand.pair(PairMethod::Pin);
        assert_eq!(hand.told().await, Told::NotLoaded(KeepError::Corrupted), "not taken for blank");
        assert_eq!(cells.bytes(), damaged);
        hand.say(NativeCommand::Forget);
        assert_eq!(hand.told().await, Told::Forgotten);
        assert_eq!(hand.pairs_by_pin(&gateway).await, id, "the gateway knows it by its keys");
    })
    .await;
    story(&gateway, &cells, async |mut hand| assert_eq!(hand.told().await, Told::Linked(id))).await;
}

#[test]
fn neither_wire_takes_the_memory_of_the_other_for_its_own() {
    let cells = Cells::erased();
    block_on(flash(&cells).keep(&memory(2))).unwrap();
    let mut other = missy::RegistrationFlash::new(cells, 0).unwrap();
    assert_eq!(block_on(missy::RegistrationStorage::load(&mut other)), Err(KeepError::Unreadable));
}
