//! Tasks: run once, whatever happens to the power and the link.

use core::time::Duration;

use handfast_core::wire::native::link::CloneMark;
use handfast_edge::native::NativeCommand;
use handfast_edge::native::memory::NativeFlash;
use handfast_edge::registration::memory::KeepError;

use super::board::{Cells, Hand, PAGES, Told, Wire, console, live, story};
use super::gateway::{Gateway, Heard, Sent};
use super::workshop::{LONG, SLOW};
use crate::flash::{PAGE, Tear};
use crate::node::Fuse;

/// Waits until the gateway has heard something that fits.
async fn hears(gateway: &Gateway, fits: impl Fn(&Heard) -> bool) -> Heard {
    for _ in 0..600 {
        let found = gateway.registry().heard.iter().find(|heard| fits(heard)).cloned();
        if let Some(found) = found {
            return found;
        }
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    panic!("a minute of silence: {:?}", gateway.registry().heard);
}

async fn outcome(gateway: &Gateway, number: u8) -> String {
    let ended = |heard: &Heard| matches!(heard, Heard::Outcome(of, words) if *of == number && words != "Started");
    let Heard::Outcome(_, words) = hears(gateway, ended).await else { unreachable!() };
    words
}

async fn answer(gateway: &Gateway, number: u8) -> String {
    gateway.send(Sent::Query(number)).await;
    let answered = |heard: &Heard| matches!(heard, Heard::Answered(of, _) if *of == number);
    let Heard::Answered(_, words) = hears(gateway, answered).await else { unreachable!() };
    words
}

/// Pairs a node, and waits until the gateway knows its capabilities.
async fn paired(gateway: &Gateway, hand: &mut Hand) {
    hand.pairs_by_pin(gateway).await;
    hears(gateway, |heard| *heard == Heard::Announced("away".to_owned())).await;
}

#[tokio::test(start_paused = true)]
async fn a_node_announces_what_it_can_do_after_each_link() {
    let (gateway, cells) = (Gateway::new(), Cells::erased());
    let names = || -> Vec<String> {
        let announced = |heard: &Heard| match heard {
            Heard::Announced(name) => Some(name.clone()),
            _ => None,
        };
        gateway.registry().heard.drain(..).filter_map(|heard| announced(&heard)).collect()
    };
    story(&gateway, &cells, async |mut hand| {
        paired(&gateway, &mut hand).await;
        assert_eq!(names(), ["echo", "long", "slow", "away"], "and none without a proper name");
    })
    .await;
    story(&gateway, &cells, async |mut hand| {
        hand.until_linked().await;
        hears(&gateway, |heard| *heard == Heard::Announced("away".to_owned())).await;
        assert_eq!(names(), ["echo", "long", "slow", "away"]);
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn a_task_runs_once_however_often_it_is_sent() {
    let (gateway, cells) = (Gateway::new(), Cells::erased());
    story(&gateway, &cells, async |mut hand| {
        paired(&gateway, &mut hand).await;
        gateway.send(Sent::Dispatch(1, "echo", b"hello")).await;
        assert_eq!(outcome(&gateway, 1).await, "Succeeded hello");
        gateway.send(Sent::Dispatch(1, "echo", b"hello")).await;
        assert_eq!(answer(&gateway, 1).await, "Succeeded hello");
    })
    .await;
    assert_eq!(gateway.registry().ran, [1]);
    story(&gateway, &cells, async |mut hand| {
        hand.until_linked().await;
        gateway.registry().heard.clear();
        gateway.send(Sent::Dispatch(1, "echo", b"hello")).await;
        let answered = Heard::Answered(1, "Succeeded hello".to_owned());
        hears(&gateway, |heard| *heard == answered).await;
    })
    .await;
    assert_eq!(gateway.registry().ran, [1], "not after the power was cut either");
}

#[tokio::test(start_paused = true)]
async fn what_the_node_cannot_do_now_is_rejected_and_not_run() {
    let (gateway, cells) = (Gateway::new(), Cells::erased());
    story(&gateway, &cells, async |mut hand| {
        paired(&gateway, &mut hand).await;
        gateway.send(Sent::Dispatch(1, "fly", b"")).await;
        assert_eq!(outcome(&gateway, 1).await, "Rejected no such capability");
        gateway.send(Sent::Dispatch(2, "away", b"")).await;
        assert_eq!(outcome(&gateway, 2).await, "Rejected not available now");
        assert_eq!(answer(&gateway, 2).await, "NeverCame", "it certainly did not run");
    })
    .await;
    assert!(gateway.registry().ran.is_empty());
}

#[tokio::test(start_paused = true)]
async fn a_task_that_takes_its_time_tells_how_far_it_is_and_can_be_cancelled() {
    let (gateway, cells) = (Gateway::new(), Cells::erased());
    story(&gateway, &cells, async |mut hand| {
        paired(&gateway, &mut hand).await;
        gateway.send(Sent::Dispatch(1, "slow", b"")).await;
        hears(&gateway, |heard| *heard == Heard::Outcome(1, "Started".to_owned())).await;
        assert_eq!(answer(&gateway, 1).await, "Running", "the link goes on meanwhile");
        hears(&gateway, |heard| *heard == Heard::Progress(1, Some(50))).await;
        assert_eq!(outcome(&gateway, 1).await, "Succeeded done");

        gateway.send(Sent::Dispatch(2, "slow", b"")).await;
        hears(&gateway, |heard| *heard == Heard::Outcome(2, "Started".to_owned())).await;
        gateway.send(Sent::Cancel(2)).await;
        assert_eq!(outcome(&gateway, 2).await, "Cancelled");
        // One that has ended is not cancelled.
        gateway.send(Sent::Cancel(1)).await;
        gateway.registry().heard.clear();
        assert_eq!(answer(&gateway, 1).await, "Succeeded done");
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn a_result_that_comes_while_the_link_is_down_is_told_on_the_next_one() {
    let (gateway, cells) = (Gateway::new(), Cells::erased());
    story(&gateway, &cells, async |mut hand| {
        paired(&gateway, &mut hand).await;
        gateway.send(Sent::Dispatch(1, "slow", b"")).await;
        hears(&gateway, |heard| *heard == Heard::Outcome(1, "Started".to_owned())).await;
        gateway.restart();
        tokio::time::sleep(SLOW).await;
        hand.until_linked().await;
        assert_eq!(outcome(&gateway, 1).await, "Succeeded done");
    })
    .await;
    assert_eq!(gateway.registry().ran, [1]);
}

#[tokio::test(start_paused = true)]
async fn a_long_result_is_sent_and_not_kept() {
    let (gateway, cells) = (Gateway::new(), Cells::erased());
    story(&gateway, &cells, async |mut hand| {
        paired(&gateway, &mut hand).await;
        gateway.send(Sent::Dispatch(1, "long", b"")).await;
        assert_eq!(outcome(&gateway, 1).await, format!("Succeeded {}", "x".repeat(LONG)));
        assert_eq!(answer(&gateway, 1).await, "NotKept");
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn a_board_that_is_full_forgets_the_oldest_and_says_so() {
    let (gateway, cells) = (Gateway::new(), Cells::erased());
    story(&gateway, &cells, async |mut hand| {
        paired(&gateway, &mut hand).await;
        for number in 1..=9 {
            gateway.send(Sent::Dispatch(number, "echo", b".")).await;
            outcome(&gateway, number).await;
        }
        assert_eq!(answer(&gateway, 1).await, "Forgotten");
        assert_eq!(answer(&gateway, 2).await, "Succeeded .");
        assert_eq!(answer(&gateway, 10).await, "NeverCame");
        gateway.send(Sent::Dispatch(1, "echo", b".")).await;
        gateway.send(Sent::Dispatch(10, "echo", b".")).await;
        outcome(&gateway, 10).await;
    })
    .await;
    assert_eq!(gateway.registry().ran, [1, 2, 3, 4, 5, 6, 7, 8, 9, 10], "the first one once");
}

/// Checks the node's knowledge of the first task after its power is back.
async fn knows(gateway: &Gateway, cells: &Cells, cut: &str) {
    let heard = gateway.registry().heard.contains(&Heard::Outcome(1, "Succeeded hello".into()));
    let ran = gateway.registry().ran.len();
    gateway.registry().heard.clear();
    story(gateway, cells, async |mut hand| {
        hand.until_linked().await;
        match (answer(gateway, 1).await.as_str(), ran) {
            ("NeverCame", 0) => assert!(!heard, "{cut}"),
            // It was noted, and whether it ran is what the node cannot know.
            ("Interrupted", 0 | 1) => assert!(!heard, "{cut}"),
            ("Succeeded hello", 1) => {}
            (known, ran) => panic!("{known}, and it ran {ran} times: {cut}"),
        }
    })
    .await;
    assert_eq!(gateway.registry().ran.len(), ran, "{cut}");
}

#[tokio::test(start_paused = true)]
async fn a_power_cut_in_any_write_or_erase_of_the_board_runs_no_task_twice() {
    for tear in [Tear::Before, Tear::After, Tear::Front(7), Tear::Back(11), Tear::Chance(3)] {
        let mut cuts = 0;
        for operations in 0.. {
            let (gateway, cells) = (Gateway::new(), Cells::erased());
            story(&gateway, &cells, async |mut hand| paired(&gateway, &mut hand).await).await;
            gateway.registry().heard.clear();
            story(&gateway, &cells, async |mut hand| {
                hand.until_linked().await;
                cells.cut_after(operations, tear);
                gateway.send(Sent::Dispatch(1, "echo", b"hello")).await;
                tokio::time::sleep(Duration::from_secs(1)).await;
            })
            .await;
            if !cells.restore() {
                assert_eq!(outcome(&gateway, 1).await, "Succeeded hello");
                break;
            }
            cuts += 1;
            knows(&gateway, &cells, &format!("{tear:?} {operations}")).await;
        }
        // Begun and ended: an erase and a write each.
        assert_eq!(cuts, 4, "{tear:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_power_cut_at_any_effect_of_a_task_runs_it_once_at_most() {
    let mut cuts = 0;
    for effects in 0.. {
        let (gateway, cells) = (Gateway::new(), Cells::erased());
        story(&gateway, &cells, async |mut hand| paired(&gateway, &mut hand).await).await;
        gateway.registry().heard.clear();
        let fuse = Fuse::of(Some(effects));
        let (owner, mut hand) = console(&fuse);
        let cut = tokio::select! {
            biased;
            () = live(&gateway, Wire::Clean(4096), &cells, fuse.clone(), owner) => panic!("the pump returned"),
            () = fuse.blown() => true,
            () = async {
                hand.until_linked().await;
                gateway.send(Sent::Dispatch(1, "echo", b"hello")).await;
                assert_eq!(outcome(&gateway, 1).await, "Succeeded hello");
            } => false,
        };
        if !cut {
            break;
        }
        cuts += 1;
        knows(&gateway, &cells, &effects.to_string()).await;
    }
    assert!(cuts > 10, "{cuts}");
}

#[tokio::test(start_paused = true)]
async fn a_power_cut_during_a_task_is_told_as_an_interruption() {
    let (gateway, cells) = (Gateway::new(), Cells::erased());
    story(&gateway, &cells, async |mut hand| {
        paired(&gateway, &mut hand).await;
        gateway.send(Sent::Dispatch(1, "slow", b"")).await;
        hears(&gateway, |heard| *heard == Heard::Outcome(1, "Started".to_owned())).await;
    })
    .await;
    story(&gateway, &cells, async |mut hand| {
        hand.until_linked().await;
        assert_eq!(answer(&gateway, 1).await, "Interrupted");
        gateway.send(Sent::Dispatch(1, "slow", b"")).await;
        tokio::time::sleep(2 * SLOW).await;
    })
    .await;
    assert_eq!(gateway.registry().ran, [1], "nor does it run again");
}

#[tokio::test(start_paused = true)]
async fn a_node_whose_record_of_tasks_is_damaged_runs_none_until_its_owner_forgets() {
    let (gateway, cells) = (Gateway::new(), Cells::erased());
    story(&gateway, &cells, async |mut hand| {
        paired(&gateway, &mut hand).await;
        gateway.send(Sent::Dispatch(1, "echo", b"hello")).await;
        outcome(&gateway, 1).await;
    })
    .await;
    cells.spoil(NativeFlash::<Cells>::LENGTH..PAGES * PAGE);
    story(&gateway, &cells, async |mut hand| {
        hand.until(&Told::TasksNotLoaded(KeepError::Corrupted)).await;
        hand.until_linked().await;
        gateway.send(Sent::Dispatch(2, "echo", b"hello")).await;
        let said = "Rejected the record of earlier tasks is damaged";
        assert_eq!(outcome(&gateway, 2).await, said);
        assert_eq!(answer(&gateway, 1).await, "Forgotten");
        hand.say(NativeCommand::Forget);
        hand.until(&Told::Forgotten).await;
        hand.pairs_by_pin(&gateway).await;
        gateway.send(Sent::Dispatch(3, "echo", b"hello")).await;
        assert_eq!(outcome(&gateway, 3).await, "Succeeded hello");
    })
    .await;
    assert_eq!(gateway.registry().ran, [1, 3]);
}

#[tokio::test(start_paused = true)]
async fn a_mark_is_durable_before_it_is_confirmed_and_shown_on_the_next_link() {
    let mark = CloneMark::from_bytes([0x3c; 24]);
    let (gateway, cells) = (Gateway::new(), Cells::erased());
    gateway.registry().offers = Some(mark);
    story(&gateway, &cells, async |mut hand| {
        paired(&gateway, &mut hand).await;
        hears(&gateway, |heard| *heard == Heard::MarkStored(mark)).await;
    })
    .await;
    story(&gateway, &cells, async |_hand| {
        while gateway.registry().shown.len() < 2 {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    })
    .await;
    assert_eq!(gateway.registry().shown, [None, Some(mark)]);
}
