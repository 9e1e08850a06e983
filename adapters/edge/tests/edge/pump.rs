//! Tests of the whole node against a whole gateway, in virtual time.

use core::future::Future;
use core::time::Duration;

use crate::flash::Tear;
use crate::gateway::Gateway;
use crate::node::{Cells, Fuse, Hand, Told, console, live};
use handfast_core::flow::registration::node::RegistrationMemory;
use handfast_core::wire::token::Token;
use handfast_core::{NodeId, Refusal, Span};
use handfast_edge::ports::Command;
use handfast_edge::registration::memory::{KeepError, RegistrationFlash, RegistrationStorage};
use handfast_edge::transport::Broken;

/// Runs a node until its story is over.
async fn story<F: Future>(
    gateway: &Gateway,
    cells: &Cells,
    tell: impl FnOnce(Hand) -> F,
) -> F::Output {
    let fuse = Fuse::of(None);
    let (owner, hand) = console(&fuse);
    tokio::select! {
        biased;
        () = live(Some(gateway.clone()), cells, fuse, owner) => panic!("the pump returned"),
        told = tell(hand) => told,
    }
}

async fn pair(gateway: &Gateway, hand: &mut Hand) -> NodeId {
    let id = hand.until(|told| if let Told::Waits(id) = told { Some(*id) } else { None }).await;
    hand.say(Command::TokenEntered(gateway.approve(id)));
    assert_eq!(hand.told().await, Told::TokenKept);
    assert_eq!(hand.told().await, Told::Linked(id, "kitchen".into()));
    id
}

async fn kept(cells: &Cells) -> RegistrationMemory {
    RegistrationFlash::new(cells.clone(), 0).unwrap().load().await.unwrap()
}

#[tokio::test(start_paused = true)]
async fn a_node_asks_is_approved_links_and_tells_how_it_is() {
    let (gateway, cells) = (Gateway::new(), Cells::erased());
    story(&gateway, &cells, async |mut hand| {
        let id = pair(&gateway, &mut hand).await;
        assert_eq!(
            kept(&cells).await,
            RegistrationMemory::Paired { node_id: id, token: gateway.approve(id) }
        );
        tokio::time::sleep(Duration::from_secs(10 * 60 + 1)).await;
        let heartbeats = gateway.observed();
        // The gateway must have recorded the arrival, too.
        assert_eq!(
            heartbeats.iter().filter(|noise| *noise == "0.25").count(),
            11,
            "{heartbeats:?}"
        );
        assert_eq!((gateway.nodes(), gateway.live()), (1, 1));
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn a_muted_node_backs_off_and_comes_back_when_it_is_unmuted() {
    let (gateway, cells) = (Gateway::new(), Cells::erased());
    story(&gateway, &cells, async |mut hand| {
        let id = pair(&gateway, &mut hand).await;
        gateway.mute(id);
        for _ in 0..3 {
            assert_eq!(hand.told().await, Told::Refused(Refusal::Muted));
            assert_eq!(hand.told().await, Told::NoConnection(Broken::ByPeer(Some(1008))));
            let Told::RetryIn(wait) = hand.told().await else { panic!() };
            assert!((Span::from_secs(48)..=Span::from_secs(72)).contains(&wait), "{wait:?}");
        }
        gateway.unmute(id);
        assert_eq!(hand.told().await, Told::Linked(id, "kitchen".into()));
        assert_eq!(gateway.nodes(), 1);
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn a_wrong_token_is_refused_and_the_right_one_mends_it() {
    let (gateway, cells) = (Gateway::new(), Cells::erased());
    story(&gateway, &cells, async |mut hand| {
        let Told::Waits(id) = hand.told().await else { panic!() };
        let right = gateway.approve(id);
        hand.say(Command::TokenEntered(Token::parse(&"x".repeat(43)).unwrap()));
        assert_eq!(hand.told().await, Told::TokenKept);
        assert_eq!(hand.told().await, Told::Refused(Refusal::InvalidCredentials));
        hand.until(|told| matches!(told, Told::RetryIn(_)).then_some(())).await;
        hand.say(Command::TokenEntered(right));
        assert_eq!(hand.told().await, Told::TokenKept);
        assert_eq!(hand.told().await, Told::Linked(id, "kitchen".into()));
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn a_power_cut_at_any_effect_continues_where_it_was() {
    let mut cuts = 0;
    for effects in 0.. {
        let (gateway, cells) = (Gateway::new(), Cells::erased());
        let fuse = Fuse::of(Some(effects));
        let (owner, mut hand) = console(&fuse);
        let cut = tokio::select! {
            biased;
            () = live(Some(gateway.clone()), &cells, fuse.clone(), owner) => panic!("the pump returned"),
            () = fuse.blown() => true,
            _ = pair(&gateway, &mut hand) => false,
        };
        if !cut {
            break;
        }
        cuts += 1;
        let before = kept(&cells).await;
        story(&gateway, &cells, async |mut hand| {
            match &before {
                RegistrationMemory::Blank => {}
                // The owner knows that the node had asked; the token is still to be entered.
                RegistrationMemory::Asked { node_id } => {
                    hand.say(Command::TokenEntered(gateway.approve(*node_id)));
                }
                RegistrationMemory::Paired { .. } => {}
            }
            loop {
                match hand.told().await {
                    Told::Waits(id) => hand.say(Command::TokenEntered(gateway.approve(id))),
                    Told::Linked(id, _) => {
                        break assert!(
                            before.node_id().is_none_or(|known| known == id),
                            "{effects}"
                        );
                    }
                    _ => {}
                }
            }
            assert_eq!(gateway.nodes(), 1, "asked twice, entered once: {effects}");
        })
        .await;
    }
    assert!(cuts > 20, "{cuts}");
}

#[tokio::test(start_paused = true)]
async fn flash_that_fails_is_reported_and_tried_again_and_nothing_counts_until_then() {
    let (gateway, cells) = (Gateway::new(), Cells::erased());
    story(&gateway, &cells, async |mut hand| {
        let Told::Waits(id) = hand.told().await else { panic!() };
        cells.cut_after(0, Tear::Before);
        hand.say(Command::TokenEntered(gateway.approve(id)));
        for _ in 0..5 {
            assert_eq!(hand.told().await, Told::NotKept(KeepError::Flash));
        }
        assert_eq!(gateway.live(), 0);
        cells.restore();
        assert_eq!(hand.told().await, Told::TokenKept);
        assert_eq!(hand.told().await, Told::Linked(id, "kitchen".into()));
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn unreadable_flash_is_not_overwritten_until_the_owner_forgets() {
    let (gateway, cells) = (Gateway::new(), Cells::filled(0x5a));
    story(&gateway, &cells, async |mut hand| {
        for _ in 0..5 {
            assert_eq!(hand.told().await, Told::NotLoaded(KeepError::Corrupted));
        }
        assert!(cells.bytes().iter().all(|&byte| byte == 0x5a));
        assert_eq!(gateway.nodes(), 0);
        hand.say(Command::Forget);
        assert_eq!(hand.told().await, Told::Forgotten);
        pair(&gateway, &mut hand).await;
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn a_gateway_that_falls_silent_is_noticed_and_found_again() {
    let (gateway, cells) = (Gateway::new(), Cells::erased());
    story(&gateway, &cells, async |mut hand| {
        let id = pair(&gateway, &mut hand).await;
        tokio::time::sleep(Duration::from_secs(5)).await;
        gateway.freeze();
        assert_eq!(hand.told().await, Told::NoConnection(Broken::Overdue));
        assert!(matches!(hand.told().await, Told::RetryIn(_)));
        assert_eq!(hand.told().await, Told::Linked(id, "kitchen".into()));
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn a_gateway_that_never_answers_does_not_hold_the_owner_up() {
    let cells = Cells::erased();
    let fuse = Fuse::of(None);
    let (owner, mut hand) = console(&fuse);
    let owners = async {
        hand.say(Command::TokenEntered(Token::parse(&"x".repeat(43)).unwrap()));
        assert_eq!(hand.told().await, Told::NothingAsked);
        assert_eq!(hand.told().await, Told::NoConnection(Broken::Overdue));
        let mut longest = Span::from_secs(0);
        for _ in 0..12 {
            longest = hand
                .until(|told| if let Told::RetryIn(wait) = told { Some(*wait) } else { None })
                .await
                .max(longest);
        }
        assert!(longest > Span::from_secs(48) && longest <= Span::from_secs(72), "{longest:?}");
        hand.say(Command::Stop);
        core::future::pending::<()>().await;
    };
    tokio::select! {
        () = live(None, &cells, fuse, owner) => {}
        () = owners => {}
    }
}

#[tokio::test(start_paused = true)]
async fn to_stop_says_goodbye_and_the_next_life_links_at_once() {
    let (gateway, cells) = (Gateway::new(), Cells::erased());
    let fuse = Fuse::of(None);
    let (owner, mut hand) = console(&fuse);
    let stop = async {
        let id = pair(&gateway, &mut hand).await;
        tokio::time::sleep(Duration::from_secs(30)).await;
        let before = gateway.goodbyes();
        hand.say(Command::Stop);
        (id, before)
    };
    let ((), (id, before)) = tokio::join!(live(Some(gateway.clone()), &cells, fuse, owner), stop);
    assert_eq!(gateway.goodbyes(), before + 1);
    story(&gateway, &cells, async |mut hand| {
        assert_eq!(hand.told().await, Told::Linked(id, "kitchen".into()));
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn a_node_that_forgets_asks_under_a_new_id_and_keeps_nothing_of_the_old() {
    let (gateway, cells) = (Gateway::new(), Cells::erased());
    story(&gateway, &cells, async |mut hand| {
        let id = pair(&gateway, &mut hand).await;
        let token = gateway.approve(id);
        hand.say(Command::Forget);
        assert_eq!(hand.told().await, Told::Forgotten);
        assert!(
            !cells.bytes().windows(16).any(|window| window == &token.expose().as_bytes()[..16])
        );
        let Told::Waits(new) = hand.told().await else { panic!() };
        assert_ne!(new, id);
    })
    .await;
}
