//! Power cuts between any two effects, and in the middle of any write or erase.

use handfast_core::flow::native::node::NativeMemory;

use super::board::{Cells, Hand, Told, Wire, console, kept, live, own, story};
use super::gateway::Gateway;
use crate::flash::Tear;
use crate::node::Fuse;

/// Continues as the owner would after the power is back, given the node's memory.
async fn goes_on(hand: &mut Hand, gateway: &Gateway, before: &NativeMemory) {
    match before {
        NativeMemory::Blank => drop(hand.pairs_by_pin(gateway).await),
        // The node has verified the gateway by the PIN, so it asks for its grant by itself; the
        // grant was not made if the cut came too soon.
        NativeMemory::Asked { .. } => loop {
            match hand.told().await {
                Told::Linked(_) => break,
                Told::Waits => gateway.approve(),
                _ => {}
            }
        },
        NativeMemory::Paired(_) => drop(hand.until_linked().await),
    }
}

#[tokio::test(start_paused = true)]
async fn a_power_cut_at_any_effect_of_pairing_by_pin_continues_where_it_was() {
    let mut cuts = 0;
    for effects in 0.. {
        let (gateway, cells) = (Gateway::new(), Cells::erased());
        let fuse = Fuse::of(Some(effects));
        let (owner, mut hand) = console(&fuse);
        let cut = tokio::select! {
            biased;
            () = live(&gateway, Wire::Clean(4096), &cells, fuse.clone(), owner) => panic!("the pump returned"),
            () = fuse.blown() => true,
            _ = hand.pairs_by_pin(&gateway) => false,
        };
        if !cut {
            break;
        }
        cuts += 1;
        let before = kept(&cells).await;
        story(&gateway, &cells, async |mut hand| goes_on(&mut hand, &gateway, &before).await).await;
        assert_eq!(gateway.registry().records.len(), 1, "one node, whatever was cut: {effects}");
    }
    assert!(cuts > 20, "{cuts}");
}

#[tokio::test(start_paused = true)]
async fn a_power_cut_in_any_write_or_erase_ends_in_the_same_link() {
    for tear in [Tear::Before, Tear::After, Tear::Front(7), Tear::Back(11), Tear::Chance(3)] {
        let mut cuts = 0;
        for operations in 0.. {
            let (gateway, cells) = (Gateway::new(), Cells::erased());
            cells.cut_after(operations, tear);
            let fuse = Fuse::of(None);
            let (owner, mut hand) = console(&fuse);
            let dead = async {
                while !cells.is_dead() {
                    tokio::time::sleep(core::time::Duration::from_millis(10)).await;
                }
            };
            tokio::select! {
                biased;
                () = dead => {}
                () = live(&gateway, Wire::Clean(4096), &cells, fuse, owner) => panic!("the pump returned"),
                _ = hand.pairs_by_pin(&gateway) => {}
            }
            if !cells.restore() {
                break;
            }
            cuts += 1;
            let before = kept(&cells).await;
            story(&gateway, &cells, async |mut hand| goes_on(&mut hand, &gateway, &before).await)
                .await;
            let channel = *own(&cells).await.channel.public();
            assert_eq!(gateway.registry().records.len(), 1, "{operations} {tear:?}");
            assert!(
                gateway
                    .registry()
                    .records
                    .values()
                    .all(|record| record.keys.unwrap().channel == channel)
            );
        }
        // Two pages of keys, the request and the pairing: an erase and a write each.
        assert!(cuts >= 8, "{cuts}");
    }
}
