//! The compact certificate: asked for when pairing, verified, kept, and renewed in time.

use core::time::Duration;

use handfast_core::crypto::keys::OwnKeys;
use handfast_core::flow::identity::held::{HeldCertificate, NotHeld};
use handfast_core::flow::native::node::PairMethod;
use handfast_core::grant::certificate::{CompactDefect, verify_compact};
use handfast_core::{Entropy, Span, UnixTime};
use handfast_edge::native::memory::{CertificateFlash, CertificateRecord, CertificateStorage};
use handfast_edge::native::{CertificateNews, NativeCommand};

use super::board::{Cells, Hand, Told, Wire, console, live, own, story};
use super::gateway::{Gateway, NOW};
use crate::flash::Tear;
use crate::node::Fuse;

const LIFE: Span = Span::from_secs(9000);

fn gateway() -> Gateway {
    let gateway = Gateway::new();
    gateway.registry().issuing.life = Some(LIFE);
    gateway
}

/// Returns the bytes of the stored certificate; none if there is no certificate.
async fn kept(cells: &Cells) -> Vec<u8> {
    let mut record = CertificateRecord::new();
    let mut flash = CertificateFlash::new(cells.clone(), 0).unwrap();
    let stored = flash.load_certificate(&mut record).await.unwrap();
    stored.map(|stored| stored.bytes.to_vec()).unwrap_or_default()
}

/// Waits for the next certificate that the node holds.
async fn held(hand: &mut Hand) -> HeldCertificate {
    loop {
        if let Told::Certificate(CertificateNews::Held(held)) = hand.told().await {
            return held;
        }
    }
}

async fn seconds(seconds: u64) {
    tokio::time::sleep(Duration::from_secs(seconds)).await;
}

#[tokio::test(start_paused = true)]
async fn a_node_gets_its_certificate_when_it_is_paired_and_others_can_verify_it() {
    let (gateway, cells) = (gateway(), Cells::erased());
    story(&gateway, &cells, async |mut hand| {
        let id = hand.pairs_by_pin(&gateway).await;
        let bytes = kept(&cells).await;
        let verified = verify_compact(&bytes, &gateway.signer(), gateway.unix()).unwrap();
        assert_eq!(verified.fields().node_id, id);
        assert_eq!(verified.fields().signing, own(&cells).await.signing.public());
        seconds(60).await;
    })
    .await;
    assert_eq!(gateway.registry().issuing.issued, 1);
    assert_eq!(gateway.registry().issuing.stored, [1], "told once it is durable");
}

#[tokio::test(start_paused = true)]
async fn a_certificate_is_renewed_after_two_thirds_of_its_life() {
    let (gateway, cells) = (gateway(), Cells::erased());
    story(&gateway, &cells, async |mut hand| {
        hand.pairs_by_pin(&gateway).await;
        seconds(5900).await;
        assert_eq!(gateway.registry().issuing.issued, 1);
        seconds(200).await;
        assert_eq!(gateway.registry().issuing.issued, 2);
        assert_eq!(gateway.registry().issuing.stored, [1, 2]);
        let bytes = kept(&cells).await;
        let verified = verify_compact(&bytes, &gateway.signer(), gateway.unix()).unwrap();
        assert!(verified.fields().not_before >= NOW.after(Span::from_secs(6000)));
        // It goes on so.
        seconds(6200).await;
        assert_eq!(gateway.registry().issuing.stored, [1, 2, 3]);
        hand.say(NativeCommand::Forget);
        hand.until(&Told::Forgotten).await;
        assert!(kept(&cells).await.is_empty(), "it ends with the pairing");
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn a_node_that_was_off_renews_by_its_key_even_after_the_end_of_its_certificate() {
    for off in [10, 6500, 500_000] {
        let (gateway, cells) = (gateway(), Cells::erased());
        story(&gateway, &cells, async |mut hand| hand.pairs_by_pin(&gateway).await).await;
        let first = kept(&cells).await;
        let first = verify_compact(&first, &gateway.signer(), gateway.unix()).unwrap();
        seconds(off).await;
        story(&gateway, &cells, async |mut hand| {
            // Without a clock the node cannot know how long it was off.
            assert_eq!(held(&mut hand).await.serial, first.fields().serial);
            hand.until_linked().await;
            seconds(60).await;
        })
        .await;
        let renewed = off > 6000;
        assert_eq!(gateway.registry().issuing.issued, if renewed { 2 } else { 1 }, "{off}");
        let bytes = kept(&cells).await;
        assert!(verify_compact(&bytes, &gateway.signer(), gateway.unix()).is_ok(), "{off}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_node_asks_anew_when_the_gateways_key_has_changed_and_keeps_the_old_one_until_then() {
    let (gateway, cells) = (gateway(), Cells::erased());
    story(&gateway, &cells, async |mut hand| {
        hand.pairs_by_pin(&gateway).await;
        let before = (gateway.signer(), kept(&cells).await);
        seconds(30).await;
        gateway.rotate(&OwnKeys::generate(&Entropy::from_recorded([0x66; 64])));
        gateway.registry().issuing.life = None;
        gateway.restart();
        hand.until_linked().await;
        seconds(30).await;
        assert_eq!(kept(&cells).await, before.1, "there is no other one");
        gateway.registry().issuing.life = Some(LIFE);
        gateway.restart();
        hand.until_linked().await;
        seconds(700).await;
        let bytes = kept(&cells).await;
        assert!(verify_compact(&bytes, &gateway.signer(), gateway.unix()).is_ok());
        assert!(verify_compact(&bytes, &before.0, gateway.unix()).is_err());
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn a_certificate_of_another_node_is_neither_kept_nor_confirmed() {
    let (gateway, cells) = (gateway(), Cells::erased());
    story(&gateway, &cells, async |mut hand| {
        hand.pairs_by_pin(&gateway).await;
        let before = kept(&cells).await;
        gateway.registry().issuing.mistakes = true;
        seconds(6100).await;
        hand.until(&Told::Certificate(CertificateNews::Refused(NotHeld::OtherNode))).await;
        assert_eq!(kept(&cells).await, before, "the old one stays");
        assert_eq!(gateway.registry().issuing.stored, [1]);
        // It is asked for again before the old one ends.
        gateway.registry().issuing.mistakes = false;
        seconds(1600).await;
        assert_ne!(kept(&cells).await, before);
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn a_wrong_certificate_does_not_prevent_the_pairing_and_is_asked_for_again() {
    let (gateway, cells) = (gateway(), Cells::erased());
    gateway.registry().issuing.mistakes = true;
    story(&gateway, &cells, async |mut hand| {
        hand.pair(PairMethod::Pin);
        hand.until(&Told::TypeThePin(5)).await;
        hand.types(&gateway.pin());
        hand.until(&Told::Certificate(CertificateNews::Refused(NotHeld::OtherNode))).await;
        hand.until_linked().await;
        assert!(kept(&cells).await.is_empty());
        assert!(gateway.registry().issuing.stored.is_empty(), "it is not confirmed, either");
        // The pairing stands, so the node asks over its link.
        gateway.registry().issuing.mistakes = false;
        seconds(700).await;
        assert!(!kept(&cells).await.is_empty());
        assert_eq!(gateway.registry().issuing.stored.len(), 1);
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn a_gateway_that_issues_none_is_not_asked() {
    let (gateway, cells) = (Gateway::new(), Cells::erased());
    story(&gateway, &cells, async |mut hand| {
        hand.pairs_by_pin(&gateway).await;
        seconds(7200).await;
        while let Some(told) = hand.has_told() {
            assert!(!matches!(told, Told::Certificate(_)), "{told:?}");
        }
    })
    .await;
    assert!(kept(&cells).await.is_empty());
}

#[tokio::test(start_paused = true)]
async fn a_stored_certificate_with_a_changed_bit_is_refused_and_asked_for_anew() {
    let (gateway, cells) = (gateway(), Cells::erased());
    let id = story(&gateway, &cells, async |mut hand| hand.pairs_by_pin(&gateway).await).await;
    let mut bytes = kept(&cells).await;
    bytes[100] ^= 1;
    let mut flash = CertificateFlash::new(cells.clone(), 0).unwrap();
    let stored = handfast_edge::native::memory::StoredCertificate {
        node_id: id,
        signer: handfast_core::wire::native::signer::SignerKey::of(&gateway.signer()),
        known: UnixTime::from_secs(0),
        bytes: &bytes,
    };
    flash.keep_certificate(Some(&stored), &mut CertificateRecord::new()).await.unwrap();
    story(&gateway, &cells, async |mut hand| {
        let refused = NotHeld::Defect(CompactDefect::Signature);
        hand.until(&Told::Certificate(CertificateNews::Refused(refused))).await;
        held(&mut hand).await;
    })
    .await;
    let bytes = kept(&cells).await;
    assert!(verify_compact(&bytes, &gateway.signer(), gateway.unix()).is_ok());
}

/// Runs a node whose flash dies after some operations while it renews, and then a healthy one.
/// Returns `false` if the flash did not die.
async fn renewal_cut_after(operations: u32, tear: Tear) -> bool {
    let (gateway, cells) = (gateway(), Cells::erased());
    story(&gateway, &cells, async |mut hand| hand.pairs_by_pin(&gateway).await).await;
    let before = kept(&cells).await;
    seconds(6100).await;
    cells.cut_after(operations, tear);
    let fuse = Fuse::of(None);
    let (owner, mut hand) = console(&fuse);
    tokio::select! {
        biased;
        () = async {
            while !cells.is_dead() {
                tokio::time::sleep(Duration::from_millis(10)).await;
            }
        } => {}
        () = live(&gateway, Wire::Clean(4096), &cells, fuse, owner) => panic!("the pump returned"),
        () = async {
            hand.until_linked().await;
            seconds(120).await;
        } => {}
    }
    let cut = cells.restore();
    let between = kept(&cells).await;
    let ends = |bytes: &[u8]| {
        let verified = verify_compact(bytes, &gateway.signer(), gateway.unix());
        verified.expect("the old one or the new one").fields().not_after
    };
    assert!(between == before || ends(&between) > ends(&before), "{operations} {tear:?}");
    story(&gateway, &cells, async |mut hand| {
        hand.until_linked().await;
        seconds(120).await;
    })
    .await;
    assert!(ends(&kept(&cells).await) > ends(&before), "{operations} {tear:?}");
    cut
}

#[tokio::test(start_paused = true)]
async fn a_power_cut_in_any_write_of_a_renewal_leaves_the_old_certificate_or_the_new_one() {
    for tear in Tear::all() {
        let mut cuts = 0;
        while renewal_cut_after(cuts, tear).await {
            cuts += 1;
        }
        // The page of the certificate, and that of the memory: an erase and a write each.
        assert!(cuts >= 4, "{cuts}");
    }
}
