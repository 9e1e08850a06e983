//! The board's certificate.

use handfast_core::Span;
use handfast_core::flow::identity::certificate::CertificateState;
use handfast_store::StoredCertificate;

use super::Bench;
use crate::conformance::eventually;

/// Returns the certificates of the one board, the oldest first.
async fn certificates(bench: &Bench) -> Vec<StoredCertificate> {
    let all = handfast_store::CertificateFilter::All;
    let mut all = bench.gateway.certificates(all).await.unwrap();
    all.sort_by_key(|stored| stored.certificate.number);
    all
}

/// Waits until the board has said that it has stored so many certificates.
async fn stored(bench: &Bench, many: usize) {
    eventually(async || {
        let all = certificates(bench).await;
        all.len() == many
            && all.iter().all(|one| one.certificate.state == CertificateState::Delivered)
    })
    .await;
}

#[tokio::test]
#[ignore = "needs QEMU"]
async fn a_board_gets_a_certificate_when_it_is_paired_and_renews_it_whether_on_or_off() {
    let mut bench = Bench::new().await;
    let (mut machine, node_id) = bench.paired().await;
    stored(&bench, 1).await;
    machine.line("status").await.unwrap();
    let first = machine.expect("certificate until ").await.unwrap();
    machine.kill().await;

    // It is durable, and the board has verified it.
    let mut machine = bench.power_on().await;
    machine.expect("the certificate counts until ").await.unwrap();
    machine.expect(&format!("linked as {node_id}")).await.unwrap();
    assert_eq!(certificates(&bench).await[0].certificate.node_id, node_id);

    // Two thirds of its life pass, and the gateway tells the time with its next heartbeat.
    bench.passes(Span::from_secs(17 * 3600));
    machine.expect("the certificate counts until ").await.unwrap();
    machine.expect("the certificate is renewed").await.unwrap();
    stored(&bench, 2).await;
    machine.line("status").await.unwrap();
    assert_ne!(machine.expect("certificate until ").await.unwrap(), first);
    machine.kill().await;

    // It was off for a year, and comes back by its key.
    bench.passes(Span::from_secs(364 * 86_400));
    let mut machine = bench.power_on().await;
    machine.expect(&format!("linked as {node_id}")).await.unwrap();
    machine.expect("the certificate is renewed").await.unwrap();
    stored(&bench, 3).await;
}
