//! URLs in setup codes: known tricks by name, and arbitrary text as in the fuzz target.

use handfast_host_tests::prng::Prng;
use handfast_host_tests::urls::any_url;
use handfast_server::public_url::GatewayUrl;

use crate::setup_codes::corpus;

const TRICKS: [&str; 14] = [
    "ws://127.0.0.1:x@evil.example",
    "ws://127.0.0.1@evil.example",
    "ws://evil.example#.local",
    "ws://evil.example\\@x.local",
    "ws://evil.example?x.local",
    "ws://evil.example/.local",
    "ws://localhost.evil.example",
    "ws://192.168.0.1.evil.example",
    "ws://10.0.0.1%2eevil.example",
    "http://172.32.0.1",
    "ws://[::ffff:8.8.8.8]",
    "ws://[2001:db8::1]:8080",
    "javascript://127.0.0.1/%0aalert(1)",
    "ws:///evil.example",
];
const FINE: [&str; 8] = [
    "ws://[::1]:8080",
    "ws://127.0.0.1:8765",
    "ws://192.168.1.10:8765/pair",
    "ws://gateway.local",
    "http://10.1.2.3",
    "ws://[fe80::1]",
    "wss://evil.example",
    "https://gateway.example/a?b=c",
];

#[test]
fn no_trick_sends_a_code_in_clear_out_of_this_network() {
    for trick in TRICKS {
        assert!(GatewayUrl::parse(trick, &[]).is_err(), "{trick}");
    }
    for fine in FINE {
        assert!(GatewayUrl::parse(fine, &[]).is_ok(), "{fine}");
    }
}

#[test]
fn whatever_address_is_let_through_leads_where_a_second_reading_says() {
    let mut prng = Prng::new(1);
    for _ in 0..200_000 {
        let mut bytes = prng
            .pick(&[TRICKS.as_slice(), &FINE][..])
            .to_vec()
            .remove(prng.below(8) as usize)
            .as_bytes()
            .to_vec();
        for _ in 0..1 + prng.below(4) {
            let at = prng.below(bytes.len() as u64 + 1) as usize;
            bytes.insert(at, prng.pick(b"./:@?#\\[]%0x1aZ-_ \t\n\xe3\x80\x82"));
            let _ = prng.one_in(3).then(|| bytes.remove(prng.below(bytes.len() as u64) as usize));
        }
        any_url(&bytes);
    }
}

#[test]
fn every_seed_of_the_address_fuzz_targets_corpus_holds() {
    let seeds: Vec<Vec<u8>> =
        TRICKS.iter().chain(&FINE).map(|text| text.as_bytes().to_vec()).collect();
    corpus("setup_url", &seeds, any_url);
}
