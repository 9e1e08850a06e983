//! Refused configurations, and the wording of their errors.

use super::{both, options, read};

/// Returns the error for a file, without the file's name.
fn refused(text: &str) -> String {
    let error = both(text, &[]).expect_err(text);
    error
        .lines()
        .map(|line| line.strip_prefix("gateway.toml: ").expect("each line names the file"))
        .collect::<Vec<_>>()
        .join("\n")
}

/// Returns the error for an option.
fn wrong(words: &[&str]) -> String {
    let error = options(words).unwrap_err();
    assert_eq!(error.exit_code(), 2);
    error.to_string().lines().next().unwrap().to_owned()
}

#[test]
fn an_unknown_key_is_refused_with_its_line_and_the_key_that_was_meant() {
    for (text, said) in [
        (
            "\n[pairing]\n\npin_lenght = 4",
            "unknown key `pin_lenght` in [pairing] at line 4; did you mean `pin_length`?",
        ),
        ("lissten = 1", "unknown key `lissten` at line 1; did you mean `listen`?"),
        ("tls-cert = 1", "unknown key `tls-cert` at line 1; did you mean `tls_cert`?"),
        ("[pairnig]", "unknown key `pairnig` at line 1; did you mean `pairing`?"),
        (
            "pin_length = 6",
            "unknown key `pin_length` at line 1; did you mean `pin_length` in [pairing]?",
        ),
        (
            "[limits]\nlisten = 6",
            "unknown key `listen` in [limits] at line 2; did you mean `listen` at the top of the file, before any table?",
        ),
        (
            "[pairing]\npairing_timeout = 1",
            "unknown key `pairing_timeout` in [pairing] at line 2; did you mean `pin_timeout`?",
        ),
        ("[server]\nprot = 1", "unknown key `prot` in [server] at line 2; did you mean `port`?"),
        (
            "pairing.default_permissions.raed = []",
            "unknown key `raed` in [pairing.default_permissions] at line 1; did you mean `read`?",
        ),
        (
            "[[pairing.rule]]\ndecision = \"ask\"\nadress = \"::1\"",
            "unknown key `adress` in [[pairing.rule]] at line 3; did you mean `address`?",
        ),
        (
            "[pairing]\nzzz = 1",
            "unknown key `zzz` in [pairing] at line 2; the keys there are enabled, pin_length, pin_alphabet, pin_timeout, window, approve, \
             default_permissions, token_expiry, code_longest, code_uses, grant_longest, renew_after_expiry, rule, addresses",
        ),
    ] {
        assert_eq!(refused(text), said);
    }
}

#[test]
fn proxies_that_cannot_be_are_refused_and_so_is_their_protocol_without_any() {
    for (text, said) in [
        (
            "proxy_protocol = true",
            "there is a proxy_protocol and no trusted_proxies, so nobody could connect; name the proxies with --trusted-proxy or trusted_proxies",
        ),
        (
            "listen_tcp = { address = \"[::1]:1\", proxy_protocol = true }",
            "there is a proxy_protocol and no trusted_proxies, so nobody could connect; name the proxies with --trusted-proxy or trusted_proxies",
        ),
    ] {
        assert_eq!(both(text, &[]).unwrap_err(), said);
    }
    for (text, said) in [
        (
            "trusted_proxies = [\"10.0.0.5/8\"]",
            "`trusted_proxies` at line 1 is \"10.0.0.5/8\"; the address has bits behind its first 8; the network that holds it is 10.0.0.0/8",
        ),
        (
            "trusted_proxies = \"nginx\"",
            "`trusted_proxies` at line 1 is \"nginx\"; a network reads 192.168.1.0/24, fd00::/8, or is one address",
        ),
        (
            "proxy_header = \"x-real-ip\"",
            "`proxy_header` at line 1 is \"x-real-ip\"; it must be \"x-forwarded-for\" or \"forwarded\"",
        ),
        (
            "listen_tcp = [{ proxy_protocol = true }]",
            "`listen_tcp` at line 1; `address` is missing: an IP address and a port",
        ),
        (
            "listen_tcp = [{ adress = \"[::1]:1\" }]",
            "unknown key `adress` in a listener in listen_tcp at line 1; did you mean `address`?",
        ),
        (
            "listen_tcp = 5",
            "`listen_tcp` at line 1 is 5; it must be an IP address and a port, as in \"127.0.0.1:8765\"",
        ),
    ] {
        assert_eq!(refused(text), said);
    }
    assert!(
        wrong(&["--listen-tcp", "[::1]:1,proxy"]).contains("it must be an IP address and a port")
    );
}

#[test]
fn a_value_that_cannot_be_is_refused_with_what_can() {
    for (text, said) in [
        (
            "[pairing]\npin_length = 13",
            "`pin_length` in [pairing] at line 2 is 13; it must be a whole number from 4 to 12",
        ),
        (
            "[pairing]\npin_length = \"6\"",
            "`pin_length` in [pairing] at line 2 is \"6\"; it must be a whole number from 4 to 12",
        ),
        (
            "[pairing]\nenabled = \"yes\"",
            "`enabled` in [pairing] at line 2 is \"yes\"; it must be true or false",
        ),
        (
            "[pairing]\napprove = true",
            "`approve` in [pairing] at line 2 is true; it must be \"auto\" or \"manual\"",
        ),
        (
            "[pairing]\npin_timeout = -1",
            "`pin_timeout` in [pairing] at line 2 is -1; it must be a time from 1s to 1d, in whole seconds or with units as in 1h30m",
        ),
        (
            "[pairing]\ntoken_expiry = \"59m\"",
            "`token_expiry` in [pairing] at line 2 is \"59m\"; it must be a time from 1h to 3650d, in whole seconds or with units as in 1h30m",
        ),
        (
            "[pairing]\nwindow = \"never\"",
            "`window` in [pairing] at line 2 is \"never\"; it must be a time from 1s to 1d, in whole seconds or with units as in 1h30m, or none",
        ),
        (
            "listen = \"localhost:1\"",
            "`listen` at line 1 is \"localhost:1\"; it must be an IP address and a port, as in \"127.0.0.1:8765\"",
        ),
        ("data = 5", "`data` at line 1 is 5; it must be a path in quotes"),
        ("pairing = true", "`pairing` at line 1; it must be a table, headed [pairing]"),
        (
            "[limits]\nlinked_total = 0",
            "`linked_total` in [limits] at line 2 is 0; it must be a whole number from 1 to 4294967295",
        ),
        (
            "[pairing]\ndefault_permissions = []",
            "`default_permissions` in [pairing] at line 2 is []; it must be a table",
        ),
    ] {
        assert_eq!(refused(text), said);
    }
}

#[test]
fn a_wrong_pattern_is_named_with_what_is_wrong_with_it() {
    assert_eq!(
        refused("[pairing.default_permissions]\nread = [\n  \"/ok\",\n  \"lights/*\",\n]"),
        "`read` in [pairing.default_permissions] at line 4 is \"lights/*\"; the path does not begin with /"
    );
    assert_eq!(
        refused("[pairing.default_permissions]\nwrite = \"/li*\""),
        "`write` in [pairing.default_permissions] at line 2 is \"/li*\"; a wildcard is a whole segment, * or **"
    );
    let many = format!("[pairing]\ndefault_permissions = {{ read = [{}] }}", "\"/a\", ".repeat(17));
    assert_eq!(refused(&many), "`default_permissions` in [pairing] at line 2; too many scopes");
    assert!(
        wrong(&["--default-permissions", "raed:/x"])
            .ends_with("the action is none of read, write and admin")
    );
}

#[test]
fn a_rule_that_makes_no_sense_is_refused_where_it_stands() {
    for (rule, said) in [
        (
            "name = \"x\"",
            "`rule` in [pairing] at line 1; `decision` is missing: approve, reject or ask",
        ),
        (
            "decision = \"yes\"",
            "`decision` in [[pairing.rule]] at line 2 is \"yes\"; it must be \"approve\" or \"reject\" or \"ask\"",
        ),
        (
            "decision = \"reject\"\nmessage = \"hi\"",
            "`message` in [[pairing.rule]] at line 3; a rule that rejects has no such key, only `reason`",
        ),
        (
            "decision = \"approve\"\nreason = \"hi\"",
            "`reason` in [[pairing.rule]] at line 3; only a rule that rejects has a reason; others have a `message`",
        ),
        (
            "decision = \"ask\"\naddress = \"10.0.0.5/8\"",
            "`address` in [[pairing.rule]] at line 3 is \"10.0.0.5/8\"; the address has bits behind its first 8; the network that holds it is 10.0.0.0/8",
        ),
        (
            "decision = \"reject\"\nreason = \"\\u001b[2J\"",
            "`reason` in [[pairing.rule]] at line 3 is \"\\u001b[2J\"; it must be a text of 1 to 160 bytes without control characters",
        ),
        (
            "decision = \"ask\"\npermissions = { read = [\"/a/\"] }",
            "`read` in permissions of [[pairing.rule]] at line 3 is \"/a/\"; the path ends with /",
        ),
    ] {
        assert_eq!(refused(&format!("[[pairing.rule]]\n{rule}")), said);
    }
    assert_eq!(
        refused("[pairing.rule]\ndecision = \"ask\""),
        "`rule` in [pairing] at line 1; rules stand in tables that are each headed [[pairing.rule]]"
    );
    assert!(
        wrong(&["--pairing-rule", "nmae = \"x\""])
            .ends_with("unknown key `nmae` in the rule; did you mean `name`?")
    );
    assert!(
        wrong(&["--pairing-rule", "name = \"x\""])
            .ends_with("the rule; `decision` is missing: approve, reject or ask")
    );
}

#[test]
fn all_mistakes_are_named_at_once_in_the_order_of_their_lines() {
    let said = refused("listen = 1\n[pairing]\nfoo = 1\npin_length = 99\n[limits]\nhash_queue = 0");
    let lines: Vec<&str> =
        said.lines().filter_map(|line| line.split(" at line ").nth(1)?.get(..1)).collect();
    assert_eq!(lines, ["1", "3", "4", "6"], "{said}");
}

#[test]
fn a_file_of_nothing_but_mistakes_does_not_flood_the_terminal() {
    let text: String = (0..50_000).map(|number| format!("key{number} = 1\n")).collect();
    let said = refused(&text);
    assert!(said.lines().count() == 21 && said.ends_with("\nand 49980 more"), "{said}");
}

#[test]
fn a_key_that_stands_twice_is_refused() {
    assert_eq!(
        refused("listen = \"[::1]:1\"\nlisten = \"[::1]:2\""),
        "it is not TOML at line 2; duplicate key: listen"
    );
    let twice = "[pairing]\nenabled = true\n[server.security.pairing]\nenabled = false";
    assert_eq!(
        refused(twice),
        "`enabled` in [server.security.pairing] at line 4; it stands in the file twice"
    );
}

#[test]
fn a_file_that_cannot_be_read_says_why() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("gateway.toml");
    assert!(
        read(&path, &[])
            .unwrap_err()
            .ends_with("gateway.toml: the configuration file cannot be read: No such file or directory (os error 2)")
    );
    assert!(
        read(folder.path(), &[])
            .unwrap_err()
            .ends_with(": it is a directory, and a configuration file is needed")
    );
    std::fs::write(&path, b"# fine\n\xff").unwrap();
    assert!(read(&path, &[]).unwrap_err().ends_with("gateway.toml: it is not UTF-8 at line 2"));
    std::fs::write(&path, " ".repeat(1_048_577)).unwrap();
    assert!(
        read(&path, &[])
            .unwrap_err()
            .ends_with("it is longer than a megabyte, so it is no configuration file")
    );
    assert!(refused("listen = ").starts_with("it is not TOML at line 1; "));
    assert!(
        refused(&format!("data = {}", "[".repeat(10_000)))
            .starts_with("it is not TOML at line 1; ")
    );
}

#[test]
fn no_text_of_a_file_reaches_the_terminal_raw_or_at_length() {
    let said = refused(&format!("\"{}\\u001b[2J\\u202e\" = 1\ndata = 1{}", "", "0".repeat(9000)));
    assert!(!said.contains('\u{1b}') && !said.contains('\u{202e}') && said.len() < 600, "{said}");
    let said = refused(&format!("\"{}\" = 1", "k".repeat(100_000)));
    assert!(said.len() < 600, "{said}");
    assert!(!refused("data = '\u{202e}' 5").contains('\u{202e}'));
}

#[test]
fn a_wrong_option_is_an_error_of_usage_that_names_it() {
    for (words, said) in [
        (
            &["--pin-length", "13"][..],
            "error: invalid value '13' for '--pin-length <N>': it must be a whole number from 4 to 12",
        ),
        (
            &["--approve", "x"],
            "error: invalid value 'x' for '--approve <auto|manual>': it must be auto or manual",
        ),
        (
            &["--port", "65536"],
            "error: invalid value '65536' for '--port <PORT>': it must be a whole number from 0 to 65535",
        ),
        (
            &["--port", "1", "--port", "2"],
            "error: the argument '--port <PORT>' cannot be used multiple times",
        ),
    ] {
        assert_eq!(wrong(words), said);
    }
}

#[test]
fn a_certificate_without_its_key_is_refused_and_they_may_come_from_different_places() {
    assert!(
        both("tls_cert = \"c\"", &[]).unwrap_err().contains("there is a tls_cert and no tls_key")
    );
    assert!(
        both("", &["--tls-key", "k"]).unwrap_err().contains("there is a tls_key and no tls_cert")
    );
    assert!(both("tls_cert = \"c\"", &["--tls-key", "k"]).is_ok());
}

#[test]
fn what_cannot_stand_in_a_setup_code_is_refused_with_what_can() {
    for (text, said) in [
        (
            "[setup]\npublic_url = \"gateway.example\"",
            "`public_url` in [setup] at line 2; it does not begin with wss://",
        ),
        (
            "[setup]\npublic_url = \"wss://me:secret@gateway.example\"",
            "`public_url` in [setup] at line 2; it holds a user name or a password",
        ),
        ("[setup]\nttl = 29", "`ttl` in [setup] at line 2 is 29; it must be a time from 30s to 1d"),
        ("[setup]\nprofile = \" \"", "`profile` in [setup] at line 2 is \" \"; it must be"),
        (
            "[setup]\norigins = [\"https://console.example/\"]",
            "`origins` in [setup] at line 2 is \"https://console.example/\"; it must be an origin",
        ),
        (
            "[setup]\nplain_hosts = [\"http://x\"]",
            "`plain_hosts` in [setup] at line 2 is \"http://x\"; it must be a host",
        ),
        (
            "[setup.profiles.lamp]\npermission = {}",
            "unknown key `permission` in [setup.profiles.lamp] at line 2; did you mean `permissions`?",
        ),
        ("[setup.profiles.lamp]", "`lamp` in [setup.profiles] at line 1; `permissions` is missing"),
        (
            "[inbound]\npublic_channels = [\" mail\"]",
            "`public_channels` in [inbound] at line 2 is \" mail\"; it must be a name",
        ),
    ] {
        let told = refused(text);
        assert!(told.starts_with(said) && !told.contains("secret"), "{told}");
    }
}

#[test]
fn settings_that_do_not_go_together_are_refused_wherever_they_come_from() {
    let far = "[setup]\npublic_url = \"ws://gateway.example\"";
    let told = both(far, &[]).unwrap_err();
    assert!(told.contains("public_url in [setup]") && told.contains("--plain-host"), "{told}");
    assert!(both(far, &["--plain-host", "gateway.example"]).is_ok());
    let told = both("[setup]\nsession_longest = \"2h\"", &["--session-ttl", "3h"]).unwrap_err();
    assert!(told.contains("session_longest in [setup] is shorter than session_ttl"), "{told}");
    let told = both("[operators]\nlongest = \"2h\"", &["--operator-idle", "3h"]).unwrap_err();
    assert!(told.contains("longest in [operators] is shorter than idle"), "{told}");
}

#[test]
fn an_extension_that_cannot_be_is_refused_with_its_line() {
    let with = |more: &str| format!("[[extension]]\nname = \"a\"\nprefix = \"a\"\n{more}");
    for (text, said) in [
        (with(""), "`extension` at line 1; `command` or `url` is missing"),
        (
            with("command = [\"x\"]\nurl = \"http://a/\""),
            "`extension` at line 1; `command` and `url` are both there",
        ),
        (
            with("url = \"ftp://a/\""),
            "`extension` at line 1; extension \"a\": url \"ftp://a/\" must begin with http:// or https://",
        ),
        (
            with("command = [\"x\"]\npol = 1"),
            "unknown key `pol` in [[extension]] at line 5; did you mean `poll`?",
        ),
        (
            with("command = [\"x\"]\nmetrics = 1"),
            "`metrics` in [[extension]] at line 5 is 1; it must be true or false",
        ),
        (
            with("url = \"http://a/\"\ntimeouts = { call = \"11m\" }"),
            "`call` in [extension.timeouts] at line 5 is \"11m\"; it must be a time from 1ms to 10m",
        ),
        (
            with("url = \"http://a/\"\n") + &with("url = \"http://b/\"\n"),
            "`extension` at line 1; extensions \"a\" and \"a\" both have the name \"a\"",
        ),
        (
            "extension = 1".to_owned(),
            "`extension` at line 1; extensions stand in tables that are each headed [[extension]]",
        ),
    ] {
        let told = refused(&text);
        assert!(told.starts_with(said), "{told}");
    }
}
