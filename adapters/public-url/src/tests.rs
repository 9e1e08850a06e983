use url::Host;

use super::check::check;
use super::*;

fn extra(hosts: &[&str]) -> Vec<ExtraHost> {
    hosts.iter().map(|host| host.parse().unwrap_or_else(|e| panic!("{e}"))).collect()
}

fn parse(text: &str) -> Result<GatewayUrl, UrlRefused> {
    check(text).unwrap_or_else(|what| panic!("{text:?}: {what}"));
    GatewayUrl::parse(text, &[])
}

fn accepted(text: &str) -> GatewayUrl {
    parse(text).unwrap_or_else(|e| panic!("{text:?}: {e}"))
}

#[test]
fn what_is_local_or_encrypted_is_carried_as_it_was_given() {
    for text in [
        "wss://gateway.example",
        "https://gateway.example/",
        "https://gateway.example:443/base?tenant=a&b=c",
        "wss://gateway.example.",
        "wss://8.8.8.8:8765",
        "wss://[2001:db8::1]:8765/x",
        "ws://127.0.0.1",
        "ws://127.255.255.254:80",
        "http://localhost:8765",
        "ws://localhost",
        "ws://10.0.0.1:8765",
        "ws://172.16.0.1",
        "ws://172.31.255.255",
        "ws://192.168.1.10:8765/pair",
        "ws://169.254.1.1",
        "ws://pi.local:8765",
        "ws://living-room.pi_4.local",
        "ws://[::1]:8080",
        "ws://[fe80::1]",
        "ws://[febf::1]",
        "ws://[fc00::1]",
        "ws://[fdff::1]:80/",
        "http://pi.local/a@b",
        "ws://pi.local/?x",
        "ws://pi.local/?",
    ] {
        assert_eq!(accepted(text).as_str(), text);
        assert_eq!(accepted(&format!(" {text}\n")).to_string(), text);
        assert_eq!(format!("{:?}", accepted(text)), format!("GatewayUrl({text})"));
    }
}

#[test]
fn an_odd_spelling_is_carried_as_the_one_host_that_it_means() {
    for (text, carried) in [
        ("WS://LocalHost", "ws://localhost"),
        ("ws://0x7f.1", "ws://127.0.0.1"),
        ("ws://2130706433:8765", "ws://127.0.0.1:8765"),
        ("ws://0177.0.0.01/", "ws://127.0.0.1/"),
        ("ws://127.1", "ws://127.0.0.1"),
        ("ws://10.0.0.1.", "ws://10.0.0.1"),
        ("ws://%31%32%37.0.0.1", "ws://127.0.0.1"),
        ("ws://①②⑦.0.0.1", "ws://127.0.0.1"),
        ("ws://pi。local", "ws://pi.local"),
        ("ws://pi.ｌｏｃａｌ", "ws://pi.local"),
        ("ws://p\u{ad}i.local", "ws://pi.local"),
        ("ws://pi%2elocal", "ws://pi.local"),
        ("wss://bücher.example/ü", "wss://xn--bcher-kva.example/%C3%BC"),
        ("ws://bücher.local", "ws://xn--bcher-kva.local"),
        ("ws://[::ffff:127.0.0.1]", "ws://[::ffff:7f00:1]"),
        ("ws://[0:0:0:0:0:0:0:1]:080", "ws://[::1]:80"),
        ("ws://pi.local:", "ws://pi.local"),
        ("ws://pi.local?x", "ws://pi.local/?x"),
        ("wss://a.example/x/../y", "wss://a.example/y"),
    ] {
        assert_eq!(accepted(text).as_str(), carried, "{text}");
    }
}

#[test]
fn plain_connections_to_other_networks_are_refused_however_they_are_spelt() {
    for (text, host) in [
        ("ws://evil.example", "evil.example"),
        ("http://evil.example?x.local", "evil.example"),
        ("ws://evil.example?x.local", "evil.example"),
        ("ws://evil.example/.local", "evil.example"),
        ("ws://evil.example/@127.0.0.1", "evil.example"),
        ("ws://evil.example:8765/pi.local", "evil.example"),
        ("ws://127.0.0.1.evil.example", "127.0.0.1.evil.example"),
        ("ws://local", "local"),
        ("ws://local.", "local."),
        ("ws://evil.local.", "evil.local."),
        ("ws://localhost.", "localhost."),
        ("ws://pi", "pi"),
        ("ws://evillocal", "evillocal"),
        ("ws://pi.local.evil.example", "pi.local.evil.example"),
        ("ws://localhost.evil.example", "localhost.evil.example"),
        ("ws://evil.localhost", "evil.localhost"),
        ("ws://127.0.0.1-evil.example", "127.0.0.1-evil.example"),
        ("ws://10.0.0.1.nip.io", "10.0.0.1.nip.io"),
        // Look-alikes: a dotless i and a Cyrillic a, a Cyrillic o, an upper-case i for l.
        ("ws://evıl.locаl", "xn--evl-kua.xn--locl-73d"),
        ("ws://lоcalhost", "xn--lcalhost-nbh"),
        ("ws://evil.Iocal", "evil.iocal"),
        ("ws://8.8.8.8", "8.8.8.8"),
        ("ws://134744072", "8.8.8.8"),
        ("ws://0x8.0x8.0x8.0x8", "8.8.8.8"),
        ("ws://010.0.0.1", "8.0.0.1"),
        ("ws://172.15.255.255", "172.15.255.255"),
        ("ws://172.32.0.0", "172.32.0.0"),
        ("ws://192.169.0.1", "192.169.0.1"),
        ("ws://169.253.0.1", "169.253.0.1"),
        ("ws://100.64.0.1", "100.64.0.1"),
        ("ws://255.255.255.255", "255.255.255.255"),
        ("ws://224.0.0.251", "224.0.0.251"),
        ("ws://[2001:db8::1]", "[2001:db8::1]"),
        ("ws://[::ffff:8.8.8.8]", "[::ffff:808:808]"),
        ("ws://[::127.0.0.1]", "[::7f00:1]"),
        ("ws://[64:ff9b::10.0.0.1]", "[64:ff9b::a00:1]"),
        ("ws://[2002:a00:1::1]", "[2002:a00:1::1]"),
        ("ws://[fec0::1]", "[fec0::1]"),
        ("ws://[fe00::1]", "[fe00::1]"),
        ("ws://[ff02::fb]", "[ff02::fb]"),
    ] {
        assert_eq!(parse(text), Err(UrlRefused::Plain { host: host.to_owned() }), "{text}");
        let secure = text.replacen("ws://", "wss://", 1).replacen("http://", "https://", 1);
        assert!(accepted(&secure).is_secure(), "{secure}");
    }
}

#[test]
fn what_programs_read_in_more_than_one_way_is_refused_even_under_tls() {
    use UrlRefused::*;
    let zero = |host: &str| Nowhere { host: host.to_owned() };
    let name = |host: &str| HostName { host: host.to_owned() };
    for (rest, refused) in [
        ("127.0.0.1:x@evil.example", Credentials),
        ("127.0.0.1@evil.example", Credentials),
        ("me:secret@127.0.0.1", Credentials),
        ("@127.0.0.1", Credentials),
        (":@127.0.0.1", Credentials),
        ("evil.example%40@x.local", Credentials),
        ("evil.example:8765\\@x.local", Backslash),
        ("evil.example\\@x.local", Backslash),
        ("evil.example\\.local", Backslash),
        ("127.0.0.1\\", Backslash),
        ("evil.example#.local", Fragment),
        ("evil.example#@x.local", Fragment),
        ("127.0.0.1#", Fragment),
        ("127.0.0.1/pair#x", Fragment),
        ("evil.example\t.local", Unprintable),
        ("127.0.\n0.1", Unprintable),
        ("127.0.0.1 .evil.example", Unprintable),
        ("127.0.0.1/a b", Unprintable),
        ("evil.example\u{3000}.local", Unprintable),
        ("127.0.0.1\0.evil.example", Unprintable),
        ("", NoHost),
        ("/127.0.0.1", NoHost),
        ("/evil.example/pi.local", NoHost),
        ("?pi.local", NoHost),
        (":8765", NoHost),
        (".local", name(".local")),
        ("..local", name("..local")),
        ("a..local", name("a..local")),
        ("evil.example,x.local", name("evil.example,x.local")),
        ("evil.example;x.local", name("evil.example;x.local")),
        ("$(reboot).local", name("$(reboot).local")),
        ("a.local..", name("a.local..")),
        ("0.0.0.0", zero("0.0.0.0")),
        ("0", zero("0.0.0.0")),
        ("[::]:8765", zero("[::]")),
        ("[::ffff:0.0.0.0]", zero("[::ffff:0:0]")),
        ("127.0.0.1:0", zero("127.0.0.1:0")),
        ("[fe80::1%25eth0]", Unparseable(ParseError::InvalidIpv6Address)),
        ("[fe80::1%eth0]", Unparseable(ParseError::InvalidIpv6Address)),
        ("[::1", Unparseable(ParseError::InvalidIpv6Address)),
        ("[::1].evil.example", Unparseable(ParseError::InvalidIpv6Address)),
        ("[::1]evil.example", Unparseable(ParseError::InvalidIpv6Address)),
        ("127.0.0.1:80:90", Unparseable(ParseError::InvalidPort)),
        ("127.0.0.1:65536", Unparseable(ParseError::InvalidPort)),
        ("127.0.0.1:x", Unparseable(ParseError::InvalidPort)),
        ("127.0.0.256", Unparseable(ParseError::InvalidIpv4Address)),
        ("evil.127", Unparseable(ParseError::InvalidIpv4Address)),
        ("08.0.0.1", Unparseable(ParseError::InvalidIpv4Address)),
        ("evil.example%23.local", Unparseable(ParseError::IdnaError)),
        ("evil.example%2f.local", Unparseable(ParseError::IdnaError)),
        ("evil.example%00.local", Unparseable(ParseError::IdnaError)),
        ("evil.example%5c.local", Unparseable(ParseError::IdnaError)),
        ("evil.example／.local", Unparseable(ParseError::IdnaError)),
        ("x＠evil.local", Unparseable(ParseError::IdnaError)),
        ("xn--zzzzzz99999.local", Unparseable(ParseError::IdnaError)),
    ] {
        for scheme in ["ws", "http", "wss", "https"] {
            let text = format!("{scheme}://{rest}");
            assert_eq!(parse(&text), Err(refused.clone()), "{text:?}");
        }
    }
}

#[test]
fn what_is_no_address_of_a_gateway_is_refused_and_told_how_to_write_one() {
    for text in [
        "pi.local",
        "pi.local:8765",
        "127.0.0.1:8765",
        "//127.0.0.1",
        "ws:127.0.0.1",
        "ws:/127.0.0.1",
        "wss:gateway.example",
        "://127.0.0.1",
        "w\u{200b}s://127.0.0.1",
        "ftp://127.0.0.1",
        "file://127.0.0.1/x",
        "javascript://127.0.0.1/%0aalert(1)",
        "javascript:alert(1)//ws://127.0.0.1",
        "blob:ws://127.0.0.1",
        "wsx://127.0.0.1",
        "ẇs://127.0.0.1",
        "tcp://127.0.0.1",
    ] {
        assert_eq!(parse(text), Err(UrlRefused::Scheme), "{text}");
    }
    assert_eq!(parse(" \t\u{2003}\n"), Err(UrlRefused::Empty));
    for refused in [
        UrlRefused::Empty,
        UrlRefused::Scheme,
        UrlRefused::NoHost,
        UrlRefused::Unparseable(ParseError::InvalidPort),
    ] {
        let told = refused.to_string();
        assert!(
            told.contains("wss://gateway.example") && told.contains("ws://192.168.1.10:8765"),
            "{told}"
        );
    }
}

#[test]
fn an_error_repeats_no_password_and_names_what_mends_it() {
    for text in [
        "ws://me:hunter2@pi.local",
        "me:hunter2@pi.local",
        "ws://me:hunter2@pi:99999",
        "ws://pi.local/?hunter2#",
        "ws://x:hunter2",
    ] {
        let error = parse(text).unwrap_err();
        assert!(
            !error.to_string().contains("hunter2") && !format!("{error:?}").contains("hunter2"),
            "{error}"
        );
    }
    let plain = parse("ws://evil.example").unwrap_err().to_string();
    for part in ["evil.example", "wss://", "--plain-host", "setup.plain_hosts"] {
        assert!(plain.contains(part), "{plain}");
    }
    assert!(parse("ws://a@b").unwrap_err().to_string().contains("before the @"));
}

#[test]
fn the_length_is_bounded_as_given_and_as_carried() {
    let longest = format!("wss://gateway.example/{}", "x".repeat(SETUP_URL_BYTES - 22));
    assert_eq!(accepted(&longest).as_str().len(), SETUP_URL_BYTES);
    assert_eq!(parse(&format!("{longest}x")), Err(UrlRefused::TooLong));
    // Each of these takes six characters in the carried text.
    assert_eq!(
        parse(&format!("wss://gateway.example/{}", "ü".repeat(100))),
        Err(UrlRefused::TooLong)
    );
    assert_eq!(parse(&"x".repeat(1 << 20)), Err(UrlRefused::TooLong));
    let part = "x".repeat(63);
    accepted(&format!("wss://{part}.{part}.{part}.example"));
    let name = format!("{part}x.local");
    assert_eq!(parse(&format!("ws://{name}")), Err(UrlRefused::HostName { host: name }));
}

#[test]
fn hosts_that_the_operator_names_are_reached_in_the_clear_and_no_others() {
    let extra = extra(&[
        "gateway.example",
        "*.vpn.example",
        "100.64.0.7",
        "2001:db8::7",
        "[2001:db8::8]",
        "0x8.8.8.8",
        "Bücher.example",
    ]);
    for text in [
        "ws://gateway.example",
        "ws://GATEWAY.example:8765",
        "ws://a.vpn.example",
        "ws://a.b.vpn.example",
        "ws://100.64.0.7",
        "ws://[2001:db8::7]",
        "ws://[2001:db8:0::8]:1",
        "ws://8.8.8.8",
        "ws://bücher.example",
        "ws://127.0.0.1",
    ] {
        assert!(GatewayUrl::parse(text, &extra).is_ok_and(|url| !url.is_secure()), "{text}");
    }
    for text in [
        "ws://a.gateway.example",
        "ws://gateway.example.",
        "ws://vpn.example",
        "ws://.vpn.example",
        "ws://evilvpn.example",
        "ws://a.vpn.example.evil.example",
        "ws://a.vpn.example@evil.example",
        "ws://evil.example#a.vpn.example",
        "ws://100.64.0.8",
        "ws://[::ffff:100.64.0.7]",
        "ws://[2001:db8::9]",
        "ws://evil.example?gateway.example",
    ] {
        assert!(GatewayUrl::parse(text, &extra).is_err(), "{text}");
    }
    for text in [
        "",
        "*",
        "*.",
        "*.*.example",
        "a.*.example",
        "*example",
        "*.10.0.0.1",
        "*.[::1]",
        "ws://a.example",
        "a.example:80",
        "[::1]:80",
        "a.example/x",
        "a b",
        "a@b",
        "a..b",
        ".example",
        "example.",
        "fe80::1%eth0",
    ] {
        let told = text.parse::<ExtraHost>().expect_err(text).to_string();
        assert!(told.starts_with(&format!("{text:?}")) && told.contains("*.vpn.example"), "{told}");
    }
    assert!("x".repeat(1 << 20).parse::<ExtraHost>().unwrap_err().text.len() < 300);
}

#[test]
fn a_companion_connects_to_the_pair_path_under_the_same_security() {
    for (given, pair) in [
        ("http://192.168.1.10:8765", "ws://192.168.1.10:8765/pair"),
        ("https://gateway.example", "wss://gateway.example/pair"),
        ("ws://pi.local/", "ws://pi.local/pair"),
        ("ws://pi.local:80", "ws://pi.local/pair"),
        ("http://pi.local:443", "ws://pi.local:443/pair"),
        ("wss://gateway.example/pair", "wss://gateway.example/pair"),
        ("wss://gateway.example/pair/", "wss://gateway.example/pair"),
        ("wss://gateway.example/base", "wss://gateway.example/base/pair"),
        ("wss://gateway.example/base/", "wss://gateway.example/base/pair"),
        ("wss://gateway.example/base/pair", "wss://gateway.example/base/pair"),
        ("wss://gateway.example/repair", "wss://gateway.example/repair/pair"),
        ("wss://gateway.example/pair/x", "wss://gateway.example/pair/x/pair"),
        ("wss://gateway.example//", "wss://gateway.example//pair"),
        ("wss://gateway.example?t=1", "wss://gateway.example/pair?t=1"),
        ("https://gateway.example/base?t=1&u=/pair", "wss://gateway.example/base/pair?t=1&u=/pair"),
    ] {
        assert_eq!(accepted(given).pair_url().as_str(), pair, "{given}");
        // The text, which the original's companion connects to verbatim, has the same meaning.
        assert_eq!(Url::parse(&accepted(given).pair_text()).unwrap().as_str(), pair, "{given}");
    }
    assert_eq!(
        accepted("https://gateway.example:443/x/?t=1").pair_text(),
        "wss://gateway.example:443/x/pair?t=1",
        "a named port stays"
    );
    assert_eq!(accepted("ws://[::1]:8765").pair_text(), "ws://[::1]:8765/pair");
}

#[test]
fn the_parts_of_an_address_are_told() {
    let url = accepted("http://[::1]:8080/x");
    assert_eq!(
        (url.scheme(), url.host().to_string().as_str(), url.port(), url.is_secure()),
        ("http", "[::1]", 8080, false)
    );
    let url = accepted("wss://gateway.example");
    assert_eq!(
        (url.scheme(), url.host(), url.port(), url.is_secure()),
        ("wss", Host::Domain("gateway.example"), 443, true)
    );
    assert_eq!(accepted("ws://pi.local").port(), 80);
    for (text, loopback) in [
        ("ws://localhost", true),
        ("ws://127.9.9.9", true),
        ("ws://[::1]", true),
        ("wss://[::ffff:127.0.0.1]", true),
        ("ws://pi.local", false),
        ("ws://10.0.0.1", false),
        ("wss://localhost.example", false),
    ] {
        assert_eq!(accepted(text).is_loopback(), loopback, "{text}");
    }
}

/// Texts composed of the parts of such tricks: enough of them parse, and a second reader checks the
/// results.
#[test]
fn no_text_of_tricky_parts_gets_a_plain_connection_out_of_this_network() {
    #[rustfmt::skip]
    const PARTS: &[&str] = &[
        "ws://", "http://", "wss://", "https://", "ws:", "//", "/", "\\", "@", ":", "?", "#", ".", "..", "%", "[", "]", "-", "_", ",", " ", "\t", "\n", "\0",
        "evil", "example", "evil.example", "local", ".local", "localhost", "LOCAL", "pi", "127.0.0.1", "127", "0x7f", "0177", "1", "0", "10.0.0.1", "8.8.8.8",
        "192.168.1.1", "172.16.0.1", "169.254.0.1", "100.64.0.1", "::1", "[::1]", "[fe80::1]", "[fd00::1]", "[::ffff:10.0.0.1]", "[::ffff:8.8.8.8]", "[2001:db8::1]",
        "%2e", "%2f", "%40", "%00", "%5c", "%25", "。", "．", "ｌ", "①", "ß", "ı", "\u{ad}", "\u{200d}", "\u{202e}", "xn--", ":80", ":443", ":8765", ":0",
        "pair", "/pair", "/base/", "x=1",
    ];
    let mut seed = 0x9e37_79b9_7f4a_7c15_u64;
    let mut next = move |below: usize| {
        seed ^= seed << 13;
        seed ^= seed >> 7;
        seed ^= seed << 17;
        (seed % below as u64) as usize
    };
    let (mut plain, mut secure, mut refused) = (0, 0, 0);
    for _ in 0..200_000 {
        // Most texts begin like an address, because otherwise too few would be one.
        let mut text = if next(8) > 0 { PARTS[next(4)].to_owned() } else { String::new() };
        for _ in 0..=next(6) {
            text.push_str(PARTS[next(PARTS.len())]);
        }
        check(&text).unwrap_or_else(|what| panic!("{text:?}: {what}"));
        match GatewayUrl::parse(&text, &[]) {
            Ok(url) if url.is_secure() => secure += 1,
            Ok(_) => plain += 1,
            Err(_) => refused += 1,
        }
    }
    assert!(plain > 2_000 && secure > 10_000 && refused > 50_000, "{plain} {secure} {refused}");
}

#[test]
fn every_ipv4_address_is_judged_by_its_network_alone() {
    let mut near = 0;
    for first in 0..=255_u8 {
        for second in 0..=255_u8 {
            let text = format!("ws://{first}.{second}.3.4");
            check(&text).unwrap_or_else(|what| panic!("{text}: {what}"));
            near += u32::from(GatewayUrl::parse(&text, &[]).is_ok());
        }
    }
    // 10/8, 127/8, 172.16/12, 192.168/16, 169.254/16.
    assert_eq!(near, 256 + 256 + 16 + 1 + 1);
}
