//! What is made of the command line's definitions, the configuration's verbs, and the form of the
//! log.

use std::fs;

use serde_json::Value;

use super::gateway::{Gateway, private_dir};
use crate::binaries::{run, text};

#[test]
fn completions_for_each_shell_name_every_verb() {
    for shell in ["bash", "zsh", "fish", "elvish", "powershell"] {
        let (code, out, err) = text(&run("handfast", &["completions", shell]));
        assert_eq!(code, 0, "{shell}: {err}");
        for verb in ["serve", "pending", "approve", "nodes", "doctor"] {
            assert!(out.contains(verb), "{shell}: {verb}");
        }
    }
    assert_eq!(text(&run("handfast", &["completions", "dos"])).0, 2);
}

#[test]
fn a_man_page_is_written_for_each_verb_and_no_directory_is_said_so() {
    let place = private_dir();
    let (code, out, _) = text(&run("handfast", &["man", place.path().to_str().unwrap()]));
    assert!(code == 0 && out.contains("handfast.1"), "{out}");
    for page in ["handfast.1", "handfast-serve.1", "handfast-nodes-list.1", "handfast-doctor.1"] {
        let page = fs::read_to_string(place.path().join(page))
            .unwrap_or_else(|why| panic!("{page}: {why}"));
        assert!(page.contains(".TH") && page.contains("NAME"), "{page}");
    }
    let none = place.path().join("none");
    let (code, _, err) = text(&run("handfast", &["man", none.to_str().unwrap()]));
    assert!(code == 1 && err.contains("name a directory that exists"), "{err}");
}

#[test]
fn a_configuration_is_checked_and_printed_without_serving_it() {
    let place = private_dir();
    let file = place.path().join("handfast.toml");
    let path = file.to_str().unwrap();
    fs::write(&file, "name = \"Hall\"\nlog_format = \"json\"\n").unwrap();
    let (code, out, err) = text(&run("handfast", &["config", "check", "--config", path]));
    assert_eq!((code, out.as_str()), (0, format!("{path}: no mistake\n").as_str()), "{err}");
    let (code, printed, _) = text(&run("handfast", &["config", "print", "--config", path]));
    assert!(code == 0 && printed.contains("name = \"Hall\""), "{printed}");
    // What is printed is a configuration again, and the same one.
    let again = place.path().join("again.toml");
    fs::write(&again, &printed).unwrap();
    let again = again.to_str().unwrap();
    assert_eq!(text(&run("handfast", &["config", "print", "--config", again])).1, printed);
    fs::write(&file, "nam = \"Hall\"\nport = 70000\n").unwrap();
    let (code, _, err) = text(&run("handfast", &["config", "check", "--config", path]));
    assert!(code == 1 && err.contains("nam") && err.contains("port"), "{err}");
    let missing = ["config", "check", "--tls-cert", path];
    assert!(text(&run("handfast", &missing)).2.contains("TLS needs both"));
}

#[test]
fn the_log_is_one_json_object_a_line_where_that_is_set() {
    let gateway = Gateway::start_with(&["--log-format", "json"]);
    assert_eq!(gateway.verb(&["pairing", "open"]).0, 0);
    let log = gateway.log();
    assert!(log.lines().count() > 1, "{log}");
    for line in log.lines() {
        let object: Value =
            serde_json::from_str(line).unwrap_or_else(|why| panic!("{why}: {line}"));
        for field in ["timestamp", "level", "target", "message"] {
            assert!(object[field].is_string(), "{field}: {line}");
        }
    }
}
