//! Precedence of defaults, file and options, and their allowed values.

use std::path::Path;
use std::time::Duration;

use handfast_core::crypto::code::Alphabet;
use handfast_core::grant::scope::ScopesBuf;
use handfast_core::limits::Limits;
use handfast_server::extension::{ExtensionConfig, Timeouts};
use handfast_server::inbound::InboundSettings;
use handfast_server::policy::{
    ApprovalTerms, Approve, Glob, PairingSettings, ProofMethod, Rule, RuleVerdict, When,
};
use handfast_server::public_url::Candidates;

use super::super::key::Form;
use super::super::keys::KEYS;
use super::super::{Serial, ServeSettings, SetupOptions};
use super::{both, environment, file, options, read, told};

/// A value other than the default for each key, in the notation of the option and of the file.
pub(super) const OTHER: &[(&str, &str, &str)] = &[
    ("listen", "0.0.0.0:1", r#""0.0.0.0:1""#),
    ("port", "9", "9"),
    ("name", "Küche 2", r#""Küche 2""#),
    ("data", "/d", r#""/d""#),
    ("store", "postgres://handfast@127.0.0.1/h", r#""postgres://handfast@127.0.0.1/h""#),
    ("store_authorities", "/a", r#""/a""#),
    ("store_key", "/p", r#""/p""#),
    ("gateway_id", "gateway-2", r#""gateway-2""#),
    ("cut_off_grace", "45s", r#""45s""#),
    ("bus", "nats://127.0.0.1:4222", r#""nats://127.0.0.1:4222""#),
    ("bus_authorities", "/b", r#""/b""#),
    ("socket_group", "operators", r#""operators""#),
    ("socket_dir", "/o", r#""/o""#),
    ("log", "warn,handfast_server=debug", r#""warn,handfast_server=debug""#),
    ("log_format", "json", r#""json""#),
    ("clock_synchronised_file", "/y", r#""/y""#),
    ("tls_cert", "/c", r#""/c""#),
    ("tls_key", "/k", r#""/k""#),
    ("tls_own", "false", "false"),
    ("listen_tcp", "[::1]:2", r#"["[::1]:2"]"#),
    ("listen_mtls", "[::1]:3", r#""[::1]:3""#),
    ("listen_metrics", "127.0.0.1:9464", r#""127.0.0.1:9464""#),
    ("no_announce", "true", "true"),
    ("no_links", "true", "true"),
    ("trusted_proxies", "10.0.0.5/32", r#"["10.0.0.5"]"#),
    ("proxy_header", "forwarded", r#""forwarded""#),
    ("proxy_protocol", "true", "true"),
    ("serial", "/dev/ttyS1:9600", r#""/dev/ttyS1:9600""#),
    (
        "extension",
        r#"name = "a", prefix = "a", url = "http://a/""#,
        r#"[{ name = "a", prefix = "a", url = "http://a/" }]"#,
    ),
    ("on_pending", "/bin/tell", r#"["/bin/tell"]"#),
    ("enabled", "true", "true"),
    ("pin_length", "8", "8"),
    ("pin_alphabet", "unambiguous", r#""unambiguous""#),
    ("pin_timeout", "120", "120"),
    ("window", "10m", r#""10m""#),
    ("approve", "manual", r#""manual""#),
    ("default_permissions", "write:/a/*", r#"{ write = ["/a/*"] }"#),
    ("token_expiry", "30d", r#""30d""#),
    ("code_longest", "12h", r#""12h""#),
    ("code_uses", "9", "9"),
    ("grant_longest", "500d", r#""500d""#),
    ("renew_after_expiry", "never", r#""never""#),
    ("rule", r#"decision = "ask""#, r#"[{ decision = "ask" }]"#),
    ("addresses", "wss://gateway.example:443", r#"["wss://gateway.example:443"]"#),
    ("require_mtls", "false", "false"),
    ("names", "nodes.example", r#"["nodes.example"]"#),
    ("node_life", "12h", r#""12h""#),
    ("server_life", "7d", r#""7d""#),
    ("root_life", "400d", r#""400d""#),
    ("uri", "spiffe://example.org/{id}", r#""spiffe://example.org/{id}""#),
    ("public_url", "wss://gateway.example/x", r#""wss://gateway.example/x""#),
    ("tunnel_url", "https://tunnel.example", r#""https://tunnel.example""#),
    ("gateway_url", "ws://vpn.example:8765", r#""ws://vpn.example:8765""#),
    ("plain_hosts", "*.example", r#"["*.example"]"#),
    ("origins", "https://console.example", r#"["https://console.example"]"#),
    ("profile", "console", r#""console""#),
    ("ttl", "60", "60"),
    ("session_ttl", "2h", r#""2h""#),
    ("session_longest", "60d", r#""60d""#),
    ("permissions", "read:/a/*", r#"{ read = ["/a/*"] }"#),
    (
        "profiles",
        "lamp=read:/lights/**",
        r#"{ lamp = { permissions = { read = ["/lights/**"] } } }"#,
    ),
    ("key_file", "/s", r#""/s""#),
    ("idle", "2h", r#""2h""#),
    ("longest", "2d", r#""2d""#),
    ("plain", "true", "true"),
    ("pending_for", "2h", r#""2h""#),
    ("pending_per_account", "0", "0"),
    ("pending_total", "1", "1"),
    ("told_every", "5m", r#""5m""#),
    ("approvals_per_minute", "2", "2"),
    ("remembered", "0", "0"),
    ("public_channels", "mail", r#"["mail"]"#),
    ("first_message", "0.5", "0.5"),
    ("ping_every", "250ms", r#""250ms""#),
    ("pong_within", "1", "1"),
    ("pending_for", "2h", r#""2h""#),
    ("pending_total", "0", "0"),
    ("pending_per_source", "3", "3"),
    ("waiting_total", "4", "4"),
    ("waiting_per_source", "5", "5"),
    ("linked_total", "6", "0x6"),
    ("failures_per_minute", "7", "7"),
    ("hash_queue", "65536", "65_536"),
    ("first_messages_per_second", "8", "8"),
    ("deliver_within", "2m", r#""2m""#),
];

#[test]
fn every_key_says_the_same_in_the_file_as_an_option_and_as_a_variable() {
    assert_eq!(KEYS.len(), OTHER.len(), "each key has a value here");
    let (mut words, mut variables) = (Vec::new(), Vec::new());
    let (mut text, mut section) = (String::new(), "");
    for (key, (name, word, toml)) in KEYS.iter().zip(OTHER) {
        assert_eq!(key.name, *name);
        if key.section != section {
            section = key.section;
            text += &format!("[{section}]\n");
        }
        text += &format!("{name} = {toml}\n");
        words.push(format!("--{}={word}", key.option));
        variables.push((key.variable(), *word));
    }
    let words: Vec<&str> = words.iter().map(String::as_str).collect();
    let settings = told(&words);
    assert_eq!(file(&text), settings);
    let variables: Vec<(&str, &str)> =
        variables.iter().map(|(name, word)| (name.as_str(), *word)).collect();
    assert_eq!(environment(&variables, &[]).unwrap(), settings);
    // A listener has one certificate, and here it is that of the files.
    for key in KEYS.iter().filter(|key| !["port", "tls_own"].contains(&key.name)) {
        assert_ne!(
            key.show(&settings),
            key.show(&ServeSettings::default()),
            "{} took effect",
            key.name
        );
    }
}

#[test]
fn a_listener_behind_a_proxy_is_a_table_in_the_file_and_a_word_more_as_an_option() {
    let text = "trusted_proxies = \"::1\"\nlisten_tcp = [\"[::1]:2\", { address = \"[::1]:3\", proxy_protocol = true }, { address = \"[::1]:4\" }]";
    let words = [
        "--trusted-proxy=::1",
        "--listen-tcp=[::1]:2",
        "--listen-tcp=[::1]:3,proxy_protocol",
        "--listen-tcp=[::1]:4",
    ];
    assert_eq!(file(text), told(&words));
    assert_eq!(
        told(&words).listen_tcp.iter().map(|listener| listener.proxy_protocol).collect::<Vec<_>>(),
        [false, true, false]
    );
}

#[test]
fn connections_without_a_certificate_are_for_listeners_on_loopback() {
    let text = "[mtls]\nrequire_mtls = false";
    let near = both(text, &["--listen-mtls", "127.0.0.1:7443", "--listen-mtls", "[::1]:7443"]);
    assert!(!near.unwrap().mtls.require_mtls);
    let far = both(text, &["--listen-mtls", "0.0.0.0:7443"]).unwrap_err().to_string();
    assert!(far.contains("0.0.0.0:7443; listen on 127.0.0.1 there"), "{far}");
    assert!(both("", &["--listen-mtls", "0.0.0.0:7443"]).unwrap().mtls.require_mtls);
}

#[test]
fn without_file_and_options_the_documented_defaults_hold() {
    let settings = told(&[]);
    assert_eq!(settings, ServeSettings::default());
    assert_eq!(settings.listen.to_string(), "127.0.0.1:8765");
    assert_eq!(settings.limits, Limits::DEFAULT);
    let PairingSettings { enabled, pin_length, pin_timeout, window, token_expiry, .. } =
        settings.pairing;
    assert_eq!((enabled, pin_length, pin_timeout), (false, 6, Duration::from_secs(300)));
    assert_eq!((window, token_expiry), (None, Duration::from_secs(90 * 86_400)));
    assert_eq!(settings.pairing.default_permissions.as_str(), "read:/**\nwrite:/**\n");
    let SetupOptions {
        public_url, profile, ttl, session_ttl, session_longest, permissions, ..
    } = settings.setup;
    assert_eq!(
        (public_url, profile.as_str(), ttl),
        (None, "companion-v1", Duration::from_secs(600))
    );
    assert_eq!(
        (session_ttl, session_longest),
        (Duration::from_secs(86_400), Duration::from_secs(30 * 86_400))
    );
    assert_eq!(permissions.as_str(), "read:/**\nwrite:/**\n");
    assert_eq!(settings.inbound, InboundSettings::default());
}

#[test]
fn the_settings_of_the_gateway_are_those_that_were_said_and_what_it_finds_out_itself() {
    let words = [
        "--tunnel-url",
        "wss://t.example",
        "--plain-host",
        "vpn.example",
        "--companion-origin",
        "https://c.example",
    ];
    let setup = told(&words).setup.settings(
        Path::new("/data"),
        vec!["10.0.0.1:8765".parse().unwrap()],
        true,
    );
    let lan = vec!["10.0.0.1:8765".parse().unwrap()];
    let tunnel = Some("wss://t.example".to_owned());
    assert_eq!(setup.addresses, Candidates { tunnel, lan, tls: true, ..Candidates::default() });
    assert_eq!(
        (setup.plain_hosts, setup.origins),
        (vec!["vpn.example".parse().unwrap()], vec!["https://c.example".to_owned()])
    );
    assert_eq!(setup.key_file.unwrap().to_str(), Some("/data/setup.key"));
    let own =
        told(&["--setup-key-file", "/k"]).setup.settings(Path::new("/data"), Vec::new(), false);
    assert_eq!(own.key_file.unwrap().to_str(), Some("/k"));
}

#[test]
fn profiles_stand_in_tables_of_their_own_or_are_put_together_from_options() {
    let text = "[setup.profiles.lamp]\npermissions = { read = [\"/lights/**\"], write = [\"/lights/*\"] }\n[setup.profiles.\"no one\"]\npermissions = {}";
    let words = ["no one=", "lamp=write:/lights/*", "lamp=read:/lights/**"]
        .map(|word| format!("--profile-permissions={word}"));
    let settings = told(&words.each_ref().map(String::as_str));
    assert_eq!(settings.setup.profiles, file(text).setup.profiles);
    let [(lamp, may), (nobody, nothing)] = &settings.setup.profiles[..] else { panic!("two") };
    assert_eq!((lamp.as_str(), may.as_str()), ("lamp", "read:/lights/**\nwrite:/lights/*\n"));
    assert_eq!((nobody.as_str(), nothing.as_str()), ("no one", ""));
}

#[test]
fn an_option_takes_back_a_url_of_the_file() {
    let text = "[setup]\npublic_url = \"wss://gateway.example\"";
    assert_eq!(both(text, &["--public-url", ""]).unwrap().setup.public_url, None);
}

#[test]
fn extensions_stand_in_tables_with_the_programs_that_lie_beside_the_file() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("gateway.toml");
    let text = r#"
        [[extension]]
        name = "mail"
        prefix = "mail"
        command = ["./mail.py", "--in", "./x"]
        channels = ["mail"]
        admin = ["mail.queue"]
        mounts = ["/mail"]
        metrics = true
        poll = "1.5"
        timeouts = { call = "2s" }
        [[extension]]
        name = "chat"
        prefix = "chat"
        url = "http://127.0.0.1:9000/"
    "#;
    std::fs::write(&path, text).unwrap();
    let program = folder.path().join("./mail.py");
    let mail = ExtensionConfig {
        channels: vec!["mail".to_owned()],
        admin: vec!["mail.queue".to_owned()],
        mounts: vec!["/mail".to_owned()],
        metrics: true,
        poll: Some(Duration::from_millis(1500)),
        timeouts: Timeouts { call: Duration::from_secs(2), ..Timeouts::default() },
        ..ExtensionConfig::stdio("mail", "mail", &[program.to_str().unwrap(), "--in", "./x"])
    };
    let chat = ExtensionConfig::http("chat", "chat", "http://127.0.0.1:9000/");
    assert_eq!(read(&path, &[]).unwrap().extensions, [mail, chat]);
}

#[test]
fn an_option_beats_the_file_and_the_file_beats_the_default() {
    let text = "[pairing]\nenabled = true\npin_length = 8\napprove = \"manual\"\nwindow = \"1h\"";
    let settings =
        both(text, &["--pin-length", "10", "--pairing=false", "--pairing-window", "none"]).unwrap();
    assert_eq!(
        (settings.pairing.enabled, settings.pairing.pin_length, settings.pairing.window),
        (false, 10, None)
    );
    assert_eq!(settings.pairing.approve, Approve::Manual, "from the file");
    assert_eq!(settings.pairing.pin_alphabet, Alphabet::Digits, "the default");
}

#[test]
fn a_list_of_an_option_stands_in_place_of_that_of_the_file() {
    let text = "listen_tcp = [\"127.0.0.1:1\", \"127.0.0.1:2\"]\nserial = \"/dev/ttyS0\"";
    let settings = both(text, &["--listen-tcp", "127.0.0.1:3", "--serial", ""]).unwrap();
    assert_eq!(
        settings.listen_tcp,
        ["127.0.0.1:3".parse::<std::net::SocketAddr>().unwrap().into()]
    );
    assert_eq!(settings.serial, []);
}

#[test]
fn permissions_that_are_named_are_all_the_permissions() {
    let settings = file("[pairing]\ndefault_permissions = { read = [\"/a\"] }");
    assert_eq!(
        settings.pairing.default_permissions.as_str(),
        "read:/a\n",
        "writing is not left over from the default"
    );
    let text = "[pairing.default_permissions]\nadmin = [\"/x/**\"]\nwrite = [\"/**\"]";
    assert_eq!(file(text).pairing.default_permissions.as_str(), "write:/**\nadmin:/x/**\n");
    let settings =
        both(text, &["--default-permissions", "write:/b", "--default-permissions", "read:/a/*"])
            .unwrap();
    assert_eq!(settings.pairing.default_permissions.as_str(), "read:/a/*\nwrite:/b\n");
    assert_eq!(told(&["--default-permissions", ""]).pairing.default_permissions.as_str(), "");
}

#[test]
fn the_flags_need_no_value() {
    assert!(told(&["--pairing", "--pairing-timeout", "300"]).pairing.enabled);
    assert!(options(&["--pairing", "true"]).is_err());
    assert!(told(&["--proxy-protocol", "--trusted-proxy", "::1"]).proxy_protocol);
    assert!(told(&["--plain-login"]).operators.plain);
    assert!(told(&["--tls-own"]).is_tls());
    assert!(told(&["--no-announce"]).no_announce && told(&["--no-links"]).no_links);
    assert_eq!(KEYS.iter().filter(|key| key.form == Form::Flag).count(), 7);
}

#[test]
fn the_tables_server_and_security_may_stand_around_all_of_it() {
    let settings = file(
        "[server]\nport = 7330\n[server.security.pairing]\nenabled = true\npin_length = 6\npin_timeout = 300",
    );
    assert_eq!(settings.listen.to_string(), "127.0.0.1:7330");
    assert!(settings.pairing.enabled);
}

#[test]
fn a_port_is_that_of_the_address_whichever_stands_first() {
    assert_eq!(file("port = 1\nlisten = \"0.0.0.0:2\"").listen.to_string(), "0.0.0.0:1");
    assert_eq!(
        both("listen = \"0.0.0.0:2\"", &["--port", "3"]).unwrap().listen.to_string(),
        "0.0.0.0:3"
    );
    assert_eq!(
        both("port = 3", &["--listen", "0.0.0.0:2"]).unwrap().listen.to_string(),
        "0.0.0.0:2"
    );
}

#[test]
fn a_path_in_the_file_is_beside_the_file_and_one_of_an_option_is_where_it_was_typed() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("gateway.toml");
    std::fs::write(
        &path,
        "tls_cert = \"cert.pem\"\ntls_key = \"/etc/key.pem\"\nserial = \"tty:9600\"",
    )
    .unwrap();
    let settings = read(&path, &["--data", "here"]).unwrap();
    assert_eq!(settings.tls_cert.unwrap(), folder.path().join("cert.pem"));
    assert_eq!(settings.tls_key.unwrap().to_str(), Some("/etc/key.pem"));
    assert_eq!(settings.data.unwrap().to_str(), Some("here"));
    assert_eq!(settings.serial, [Serial { path: folder.path().join("tty"), baud: 9600 }]);
}

#[test]
fn only_digits_behind_the_last_colon_of_a_serial_line_are_its_speed() {
    let path = "/dev/serial/by-path/pci-0000:00:14.0-usb-0:1:1.0-port0";
    assert_eq!(told(&["--serial", path]).serial, [Serial { path: path.into(), baud: 115_200 }]);
    let with_speed = format!("{path}:1000000");
    assert_eq!(
        told(&["--serial", &with_speed]).serial,
        [Serial { path: path.into(), baud: 1_000_000 }]
    );
    for bad in ["/dev/ttyS0:1", ":9600", "/dev/ttyS0:99999999999999999999", "\0"] {
        assert!(options(&["--serial", bad]).is_err(), "{bad:?}");
    }
}

#[test]
fn rules_stand_in_the_order_in_which_they_count() {
    let settings = file(
        r#"
        [[pairing.rule]]
        name = "*unauthorized*"
        decision = "reject"
        reason = "Device name not allowed"
        [[pairing.rule]]
        method = "pin"
        address = "192.168.0.0/16"
        decision = "approve"
        permissions = { read = ["/public/**"], write = [] }
        expires = "30d"
        message = "Welcome! You have read-only access."
        [[pairing.rule]]
        decision = "ask"
        "#,
    );
    let stranger = When { name: Some(Glob::new("*unauthorized*")), ..When::default() };
    let at_home = When {
        method: Some(ProofMethod::Pin),
        address: Some("192.168.0.0/16".parse().unwrap()),
        ..When::default()
    };
    let terms = ApprovalTerms {
        permissions: Some(ScopesBuf::parse("read:/public/**\n").unwrap()),
        expires: Some(Duration::from_secs(30 * 86_400)),
        message: Some("Welcome! You have read-only access.".to_owned()),
    };
    assert_eq!(
        settings.pairing.rules,
        [
            Rule {
                when: stranger,
                verdict: RuleVerdict::Reject { reason: Some("Device name not allowed".to_owned()) }
            },
            Rule { when: at_home, verdict: RuleVerdict::Approve(terms) },
            Rule { when: When::default(), verdict: RuleVerdict::Ask(ApprovalTerms::default()) },
        ]
    );
}

#[test]
fn a_rule_of_an_option_is_written_as_in_the_file_with_or_without_braces() {
    let rule = r#"name = "lamp*", decision = "approve", permissions = { read = ["/lights/**"] }"#;
    let bare = told(&["--pairing-rule", rule]).pairing.rules;
    assert_eq!(bare, told(&["--pairing-rule", &format!("{{{rule}}}")]).pairing.rules);
    assert_eq!(bare, file(&format!("[pairing]\nrule = [{{{rule}}}]")).pairing.rules);
    assert_eq!(
        told(&["--pairing-rule", rule, "--pairing-rule", "decision = \"ask\""]).pairing.rules.len(),
        2
    );
    assert_eq!(told(&[]).pairing.opened_for(), Duration::from_secs(300));
}
