//! The settings as a file.

use super::super::Settings;
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
        "--ping-every=0.25",
        "--hash-queue=1",
    ]);
    assert_eq!(full.pairing.rules.len(), 3);
    assert_eq!(file(&full.to_toml()), full);
    let default = Settings::default();
    assert_eq!(file(&default.to_toml()), default);
    let none = told(&["--default-permissions", ""]);
    assert_eq!(file(&none.to_toml()), none);
}

#[test]
fn every_key_is_printed_with_its_help_and_its_option() {
    let text = Settings::default().to_toml();
    for key in KEYS {
        assert!(text.contains(&format!("(--{})\n", key.option)), "{}", key.option);
        assert!(text.contains(&format!("\n{} =", key.name)) || text.contains(&format!("\n# {} =", key.name)), "{}", key.name);
    }
}

#[test]
fn a_rule_can_be_added_to_a_printed_file() {
    let text = Settings::default().to_toml() + "\n[[pairing.rule]]\ndecision = \"ask\"\n";
    assert_eq!(file(&text).pairing.rules.len(), 1);
}

#[test]
fn a_relative_path_is_printed_in_full() {
    let here = std::env::current_dir().unwrap().join("d");
    assert!(told(&["--data", "d"]).to_toml().contains(&format!("\ndata = \"{}\"", here.display())));
}
