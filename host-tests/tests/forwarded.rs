//! The headers of proxies, over many lines that a client might write.

use handfast_host_tests::forwarded::any_lines;
use handfast_host_tests::prng::Prng;

const PIECES: [&str; 26] = [
    ",",
    ", ",
    ";",
    "=",
    "\"",
    "\\",
    "\n",
    " ",
    "\t",
    "for=",
    "For=",
    "by=",
    "host=",
    "10.0.0.5",
    "10.0.0.6",
    "6.6.6.6",
    "203.0.113.9",
    "::ffff:6.6.6.6",
    "[2001:db8::1]",
    "2001:db8::1",
    ":80",
    "_hidden",
    "unknown",
    "\u{e9}",
    "proto=https",
    "[",
];

#[test]
fn whatever_a_client_writes_ahead_of_its_proxy_it_counts_for_itself_or_at_worst_for_the_proxy() {
    let mut random = Prng::new(7);
    for _ in 0..40_000 {
        let length = random.below(14);
        let text: String = (0..length).map(|_| random.pick(&PIECES)).collect();
        any_lines(text.as_bytes());
    }
    for bytes in [&b""[..], b"\n", b"\xff, \"\x00", b"for=\"\\", b"a=\"\\\"\\\\\", for=1.1.1.1"] {
        any_lines(bytes);
    }
    any_lines("10.0.0.6,".repeat(400).as_bytes());
}
