//! The declarations of keys, and what follows from each of them.

use std::collections::BTreeSet;

use clap::{Args, Command};

use super::super::keys::KEYS;
use super::super::{Options, ServeSettings};
use super::precedence::OTHER;
use super::{environment, file, told};

/// Maximum number of lines of a declaration.
const MOST_LINES: usize = 12;

#[test]
fn each_key_is_declared_once_in_at_most_12_lines() {
    let source = include_str!("../keys.rs");
    let (mut longest, mut declared, mut lines) = (0, 0, None);
    for line in source.lines().map(str::trim) {
        if line.starts_with("key(") {
            declared += 1;
            lines = Some(0);
        } else if line == "]" {
            lines = None;
        }
        lines = lines.map(|before| before + 1);
        longest = longest.max(lines.unwrap_or(0));
    }
    assert_eq!(declared, KEYS.len(), "every declaration begins a line");
    assert!((1..=MOST_LINES).contains(&longest), "a declaration has {longest} lines");
}

#[test]
fn every_key_is_an_option_a_variable_an_entry_of_the_file_a_line_of_help_and_a_printed_line() {
    let command = Options::augment_args(Command::new("serve"));
    let printed = ServeSettings::default().to_toml();
    let mut names = BTreeSet::new();
    for key in KEYS.iter() {
        assert!(names.insert(key.variable()), "{}: an option of its own", key.name);
        let option = command
            .get_arguments()
            .find(|argument| argument.get_long() == Some(key.option.as_str()))
            .expect(key.name);
        let help = option.get_help().expect(key.name).to_string();
        assert!(help.starts_with(key.doc) && !key.doc.is_empty(), "{}", key.name);
        let live = if key.live { " [live]" } else { "" };
        assert!(help.ends_with(&format!("[env: {}]{live}", key.variable())), "{}", key.name);
        let heading = option.get_help_heading().is_some();
        assert_eq!(heading, !key.section.is_empty(), "{}", key.name);
        assert!(printed.contains(&format!("{} =", key.name)), "{}", key.name);
    }
}

#[test]
fn a_variable_beats_the_file_and_an_option_beats_a_variable() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("gateway.toml");
    std::fs::write(&path, "[pairing]\npin_length = 8\npin_timeout = 60\ncode_uses = 3").unwrap();
    let variables = [
        ("HANDFAST_CONFIG", path.to_str().unwrap()),
        ("HANDFAST_PIN_LENGTH", "9"),
        ("HANDFAST_PAIRING_TIMEOUT", "70"),
    ];
    let pairing = environment(&variables, &["--pin-length", "10"]).unwrap().pairing;
    assert_eq!((pairing.pin_length, pairing.pin_timeout.as_secs()), (10, 70));
    assert_eq!(pairing.bounds.code_uses, 3);
}

#[test]
fn a_variable_of_a_list_has_a_value_in_each_line_and_takes_the_place_of_the_files() {
    let variables = [("HANDFAST_LISTEN_TCP", "127.0.0.1:1\n127.0.0.1:2")];
    let settings = environment(&variables, &[]).unwrap();
    assert_eq!(settings, told(&["--listen-tcp=127.0.0.1:1", "--listen-tcp=127.0.0.1:2"]));
    let none = environment(&[("HANDFAST_DEFAULT_PERMISSIONS", "")], &[]).unwrap();
    assert_eq!(none.pairing.default_permissions.as_str(), "");
}

#[test]
fn a_wrong_variable_is_named_and_so_is_a_misspelt_one() {
    for (name, value, said) in [
        (
            "HANDFAST_PIN_LENGTH",
            "13",
            "HANDFAST_PIN_LENGTH is 13; it must be a whole number from 4 to 12",
        ),
        (
            "HANDFAST_PAIRING_RULE",
            "nmae = \"x\"",
            "HANDFAST_PAIRING_RULE: unknown key `nmae` in the rule; did you mean `name`?",
        ),
        (
            "HANDFAST_TRUSTED_PROXIES",
            "::1",
            "unknown variable HANDFAST_TRUSTED_PROXIES in the environment; did you mean \
             HANDFAST_TRUSTED_PROXY?",
        ),
    ] {
        assert_eq!(environment(&[(name, value)], &[]).unwrap_err(), said);
    }
    let others = [("HANDFAST_EXTENSION", "mail"), ("HANDFAST_PIN", "1"), ("HOME", "/")];
    assert_eq!(environment(&others, &[]).unwrap(), ServeSettings::default());
}

#[test]
fn an_extension_of_an_option_is_written_as_in_the_file() {
    let words = "name = \"a\", prefix = \"a\", command = [\"/bin/a\"], metrics = true";
    let settings = told(&["--with-extension", words]);
    assert_eq!(settings, file(&format!("[[extension]]\n{}", words.replace(", ", "\n"))));
}

#[test]
fn the_keys_that_are_marked_live_are_those_that_a_running_gateway_takes_over() {
    let words = OTHER.iter().zip(KEYS.iter());
    let words: Vec<String> =
        words.map(|((_, word, _), key)| format!("--{}={word}", key.option)).collect();
    let newer = told(&words.iter().map(String::as_str).collect::<Vec<_>>());
    let before = ServeSettings::default();
    let mut settings = before.clone();
    settings.take_over(&newer);
    for key in KEYS.iter().filter(|key| key.name != "port") {
        let expected = if key.live { &newer } else { &before };
        assert_eq!(key.show(&settings), key.show(expected), "{}", key.name);
    }
    let changes = before.changes(&newer);
    assert!(changes.live.contains(&"rule in [pairing]".to_owned()), "{changes:?}");
    assert!(changes.at_start.contains(&"listen".to_owned()), "{changes:?}");
    assert_eq!(settings.changes(&newer).live, Vec::<String>::new());
}

#[test]
fn a_log_without_levels_is_refused() {
    for wrong in ["", "loud", "handfast_server", "info,handfast_server=loud"] {
        assert!(super::options(&["--log", wrong]).is_err(), "{wrong:?}");
    }
}
