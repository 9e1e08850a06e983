//! Printing of the settings as a file.

use super::super::ServeSettings;
use super::super::keys::KEYS;
use super::{file, told};

#[test]
fn what_is_printed_reads_back_to_the_same_settings() {
    let full = told(&[
        "--listen=[::1]:1",
        "--data=/a \"b\"\\c",
        "--tls-cert=/c\nd",
        "--tls-key=/k",
        "--listen-tcp=127.0.0.1:2",
        "--listen-tcp=[::]:3",
        "--listen-tcp=127.0.0.1:4,proxy_protocol",
        "--listen-metrics=127.0.0.1:9464",
        "--trusted-proxy=10.0.0.5/32",
        "--trusted-proxy=fd00::/8",
        "--proxy-header=forwarded",
        "--proxy-protocol",
        "--serial=/dev/ttyS0",
        "--serial=/dev/tty:1:9600",
        "--pairing",
        "--pin-length=12",
        "--pin-alphabet=unambiguous",
        "--pairing-timeout=90",
        "--pairing-window=1h30m",
        "--approve=manual",
        "--default-permissions=admin:/x/**",
        "--default-permissions=read:/ü/*",
        "--token-expiry=1d1h",
        r#"--pairing-rule=name = "a \"b\"*", method = "code", address = "fd00::/8", decision = "approve", expires = "2h", message = "ok""#,
        r#"--pairing-rule=method = "approval", decision = "ask", permissions = { read = [] }"#,
        r#"--pairing-rule=decision = "reject", reason = "Küche \\ no""#,
        "--pairing-address=tcp://gateway.example:7331",
        "--pairing-address=ws://[fd00::1]:8765",
        "--public-url=ws://a.vpn.example/ü?x",
        "--tunnel-url=wss://tunnel.example:443",
        "--gateway-url=http://[fd00::1]:80/pair",
        "--plain-host=*.vpn.example",
        "--plain-host=fd00::7",
        "--companion-origin=http://console.example:8080",
        "--setup-profile=Ana's \"console\"",
        "--setup-ttl=30s",
        "--session-ttl=1h",
        "--session-longest=2h",
        "--companion-permissions=",
        "--profile-permissions=a \"b\".c=read:/ü/*",
        "--profile-permissions=none=",
        "--profile-permissions=none=may_approve",
        "--code-longest=1h30m",
        "--code-uses=7",
        "--grant-longest=500d",
        "--setup-key-file=/a \"b\"",
        "--operator-idle=90",
        "--operator-longest=1d1h",
        "--plain-login",
        "--inbound-pending-for=90",
        "--inbound-pending-per-account=7",
        "--inbound-pending-total=8",
        "--inbound-told-every=1",
        "--inbound-approvals-per-minute=0",
        "--inbound-remembered=5",
        "--public-channel=a b",
        "--ping-every=0.25",
        "--hash-queue=1",
        "--deliver-within=2m",
    ]);
    assert_eq!(full.pairing.rules.len(), 3);
    assert_eq!(file(&full.to_toml()), full);
    let default = ServeSettings::default();
    assert_eq!(file(&default.to_toml()), default);
    let none = told(&["--default-permissions", ""]);
    assert_eq!(file(&none.to_toml()), none);
}

#[test]
fn every_key_is_printed_with_its_help_its_option_and_its_variable() {
    let text = ServeSettings::default().to_toml();
    for key in KEYS.iter() {
        let live = if key.live { ", live" } else { "" };
        let faces = format!("(--{}, {}{live})", key.option, key.variable());
        assert!(text.contains(&format!("# {} {faces}\n", key.doc)), "{}", key.name);
        assert!(
            text.contains(&format!("\n{} =", key.name))
                || text.contains(&format!("\n# {} =", key.name)),
            "{}",
            key.name
        );
    }
}

#[test]
fn a_rule_can_be_added_to_a_printed_file() {
    let text = ServeSettings::default().to_toml() + "\n[[pairing.rule]]\ndecision = \"ask\"\n";
    assert_eq!(file(&text).pairing.rules.len(), 1);
}

#[test]
fn a_profile_and_an_extension_can_be_added_to_a_printed_file() {
    let text = ServeSettings::default().to_toml()
        + "\n[setup.profiles.lamp]\npermissions = {}\n[[extension]]\nname = \"a\"\nprefix = \"a\"\nurl = \"http://a/\"\n";
    let settings = file(&text);
    assert_eq!((settings.setup.profiles.len(), settings.extensions.len()), (1, 1));
}

#[test]
fn extensions_are_printed_as_they_read_back() {
    let text = r#"
        [[extension]]
        name = "mail"
        prefix = "mail"
        command = ["/bin/mail \"x\"", "-v", ""]
        channels = ["mail", "list"]
        admin = ["mail"]
        mounts = ["/mail/in"]
        metrics = true
        poll = "100ms"
        timeouts = { call = "1ms", scrape = "10m", poll = "1s1ms" }
        [[extension]]
        name = "chat"
        prefix = "chat"
        url = "https://chat.example/x?y"
    "#;
    let settings = file(text);
    assert_eq!(settings.extensions.len(), 2);
    assert_eq!(file(&settings.to_toml()), settings);
}

#[test]
fn a_relative_path_is_printed_in_full() {
    let here = std::env::current_dir().unwrap().join("d");
    assert!(told(&["--data", "d"]).to_toml().contains(&format!("\ndata = \"{}\"", here.display())));
}
