//! Standard output and standard error that are full, closed, or not read: every verb reports it and
//! none panics.

use std::fs::File;
use std::process::{Command, Output, Stdio};
use std::sync::atomic::{AtomicUsize, Ordering};

use super::gateway::{Gateway, private_dir};
use crate::binaries::{program, run, text};

/// The destination of standard output.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Out {
    /// A full disk.
    Full,
    /// Closed before the program started.
    Closed,
    /// A pipe that nobody reads any more.
    Unread,
}

pub(super) const OUTS: [Out; 3] = [Out::Full, Out::Closed, Out::Unread];

pub(super) fn full() -> File {
    File::options().write(true).open("/dev/full").unwrap()
}

/// Returns a command whose standard output has this destination.
pub(super) fn to(out: Out, name: &str, args: &[&str]) -> Command {
    let mut command = program(name);
    match out {
        Out::Full => command.stdout(full()),
        Out::Closed => {
            let path = command.get_program().to_owned();
            let mut shell = Command::new("sh");
            shell.args(["-c", r#"exec "$0" "$@" >&-"#]).arg(path);
            shell
                .env_remove("STATE_DIRECTORY")
                .env_remove("XDG_DATA_HOME")
                .env_remove("RUST_LOG")
                .stdin(Stdio::null());
            command = shell;
            &mut command
        }
        Out::Unread => {
            let (reader, writer) = std::io::pipe().unwrap();
            drop(reader);
            command.stdout(writer)
        }
    };
    command.args(args).stderr(Stdio::piped());
    command
}

pub(super) fn ran(mut command: Command) -> (i32, String) {
    let Output { status, stderr, .. } = command.spawn().unwrap().wait_with_output().unwrap();
    (status.code().unwrap_or(-1), String::from_utf8_lossy(&stderr).into_owned())
}

/// Returns all verbs of a program without further verbs below them, from its help.
pub(super) fn verbs(name: &str) -> Vec<Vec<String>> {
    let (mut open, mut found) = (vec![Vec::<String>::new()], Vec::new());
    while let Some(path) = open.pop() {
        let mut args: Vec<&str> = path.iter().map(String::as_str).collect();
        args.push("--help");
        let (code, help, err) = text(&run(name, &args));
        assert_eq!(code, 0, "{args:?}: {err}");
        let below = help
            .split("\nCommands:\n")
            .nth(1)
            .unwrap_or_default()
            .lines()
            .take_while(|line| !line.is_empty());
        let below: Vec<&str> = below
            .filter(|line| line.starts_with("  ") && !line.starts_with("   "))
            .filter_map(|line| line.split_whitespace().next())
            .filter(|verb| *verb != "help")
            .collect();
        if below.is_empty() {
            found.push(path);
        } else {
            open.extend(
                below.into_iter().map(|verb| [path.clone(), vec![verb.to_owned()]].concat()),
            );
        }
    }
    found.sort();
    assert!(found.len() > 5, "{found:?}");
    found
}

#[test]
fn help_that_cannot_be_written_is_said_and_a_reader_that_has_enough_is_not() {
    for name in ["handfast", "handfast-node"] {
        for path in verbs(name).into_iter().chain([Vec::new(), vec!["--version".to_owned()]]) {
            let mut args: Vec<&str> = path.iter().map(String::as_str).collect();
            if args != ["--version"] {
                args.push("--help");
            }
            for out in OUTS {
                let (code, err) = ran(to(out, name, &args));
                match out {
                    Out::Unread => assert_eq!((code, err.as_str()), (0, ""), "{name} {args:?}"),
                    Out::Full | Out::Closed => {
                        assert!(
                            code == 1 && err.contains("standard output cannot be written"),
                            "{name} {args:?} {out:?}: {code} {err}"
                        );
                    }
                }
            }
        }
    }
}

/// A verb with arguments that make it print. A word in braces stands for a fresh item of its kind.
type Row = (&'static str, &'static [&'static str]);

/// Verbs that print with these arguments.
const PRINT: &[Row] = &[
    ("serve", &["--print-config"]),
    ("status", &[]),
    ("pending", &[]),
    ("reject", &["{waiting}"]),
    ("audit prove", &["0"]),
    ("nodes list", &[]),
    ("nodes describe", &["{waiting}"]),
    ("nodes rename", &["{paired}", "Another name"]),
    ("nodes permissions", &["{keyed}", "--read", "/only/**"]),
    ("nodes policy", &["{paired}", "--mode", "safe-chat"]),
    ("nodes mute", &["{paired}"]),
    ("nodes unmute", &["{muted}"]),
    ("nodes evict", &["{keyed}"]),
    ("nodes forget", &["{rejected}", "--yes"]),
    ("nodes rotate-mark-key", &[]),
    ("nodes results", &["{paired}"]),
    ("nodes revoke", &["{keyed}", "--yes"]),
    ("nodes revoke-all", &["--yes"]),
    ("certs list", &["--all"]),
    ("certs crl", &[]),
    ("certs rotate", &[]),
    ("certs revoke", &["--all-before-now", "--yes"]),
    ("codes list", &[]),
    ("codes withdraw", &["{code}"]),
    ("policies list", &[]),
    ("policies end", &["{policy}"]),
    ("pairing open", &[]),
    ("pairing close", &[]),
    ("companions list", &[]),
    ("companions refresh", &["{companion}"]),
    ("companions revoke", &["--all", "--yes"]),
    ("companions rotate-key", &[]),
    ("operators list", &[]),
    ("operators revoke", &["{operator}", "--yes"]),
    ("tokens list", &[]),
    ("tokens revoke", &["{token}", "--yes"]),
    ("senders list", &[]),
    ("senders approve", &["{asking code}"]),
    ("senders reject", &["{asking}"]),
    ("senders block", &["telegram:@ana"]),
    ("senders unblock", &["{blocked}"]),
    ("senders revoke", &["{let in}"]),
    ("senders forget", &["{was in}"]),
    ("senders seed", &["telegram", "bot", "@eve"]),
    ("extensions list", &[]),
    ("companion status", &["{session}"]),
    ("companion refresh", &["{session}"]),
    ("companion end", &["{session}"]),
    ("companion send", &["hello", "{session}"]),
    ("companion listen", &["--json", "{session}"]),
    ("gateway fingerprint", &[]),
    ("gateway rotate-key", &["{rotating}"]),
    ("watch", &["--json"]),
    ("import", &["{records}"]),
    ("backup", &["{backup}"]),
    ("store make-key", &["{key}"]),
];

/// Verbs that show a secret, for which a closed pipe is a failure: `delivery` has their tests.
const SECRETS: &[Row] = &[
    ("approve", &["{waiting}"]),
    ("codes create", &["--text"]),
    ("login", &["--no-wait", "--no-qr"]),
    ("tokens create", &["--role", "viewer"]),
    ("companions invite", &["--no-qr", "--public-url", "wss://gateway.example"]),
];

/// Verbs that need no gateway, bring their own, or need a linked node or an extension:
/// `output_alone`, `nodes` and `extensions` have their tests.
const ELSEWHERE: &[&str] = &[
    "restore",
    "completions",
    "man",
    "demo",
    "token hash",
    "nodes send",
    "nodes ping",
    "nodes invoke",
    "nodes cancel",
    "nodes release",
    "nodes move",
    "extensions call",
    "store copy",
];

/// Returns a name that is new in this process.
fn fresh(word: &str) -> String {
    static NEXT: AtomicUsize = AtomicUsize::new(0);
    format!("{word} {}", NEXT.fetch_add(1, Ordering::Relaxed))
}

/// Returns the ids of the live sessions.
fn sessions(gateway: &Gateway) -> Vec<String> {
    let listed = gateway.answer(&["setup", "list"]);
    listed["items"]
        .as_array()
        .unwrap()
        .iter()
        .map(|session| session["id"].as_str().unwrap().to_owned())
        .collect()
}

async fn filled(gateway: &Gateway, args: &[&str]) -> Vec<String> {
    let mut out = Vec::new();
    let sender = format!("@{}", fresh("ana").replace(' ', ""));
    for arg in args {
        match *arg {
            // A new name for each, because a rejected request has to wait before it asks again.
            "{waiting}" => {
                let number = gateway.json(&["list", "--all"])["items"].as_array().unwrap().len();
                out.push(gateway.ask(&format!("Waiting {number}")).await);
            }
            "{rejected}" => {
                let id = gateway.ask(&fresh("Rejected")).await;
                assert_eq!(gateway.devices(&["reject", &id]).0, 0);
                out.push(id);
            }
            "{paired}" | "{muted}" => {
                let id = gateway.ask("Paired").await;
                assert_eq!(gateway.devices(&["pair", &id]).0, 0);
                if *arg == "{muted}" {
                    assert_eq!(gateway.devices(&["mute", &id]).0, 0);
                }
                out.push(id);
            }
            "{code}" => out.push(
                gateway.answer(&["pairing", "code"])["selector"].as_str().unwrap().to_owned(),
            ),
            "{keyed}" => {
                let minted = gateway.answer(&["pairing", "code", "--read", "/**"]);
                let name = fresh("Desk");
                let mut node = gateway.node(&name, &["--code"]);
                node.types(minted["code"].as_str().unwrap());
                let (code, said) = node.ends();
                assert_eq!(code, 0, "{said}");
                out.push(name);
            }
            "{companion}" => {
                let before = sessions(gateway);
                Box::pin(filled(gateway, &["{session}"])).await;
                out.push(sessions(gateway).into_iter().find(|id| !before.contains(id)).unwrap());
            }
            "{policy}" => {
                let net = ["--from", "192.0.2.0/24", "--until", "1m", "--max", "1"];
                let made = gateway.answer(&[&["approve"][..], &net].concat());
                out.push(made["id"].as_str().unwrap().to_owned());
            }
            "{operator}" => out.push(super::login::logged_in(gateway)),
            "{token}" => {
                let made = gateway.answer(&["tokens", "create", "--role", "viewer"]);
                out.push(made["id"].as_str().unwrap().to_owned());
            }
            "{asking code}" => out.push(super::inbound::asks(gateway, &sender)),
            "{asking}" => {
                super::inbound::asks(gateway, &sender);
                out.push(format!("telegram:{sender}"));
            }
            "{blocked}" => {
                assert_eq!(gateway.verb(&["inbound", "block", &format!("telegram:{sender}")]).0, 0);
                out.push(format!("telegram:{sender}"));
            }
            "{let in}" => {
                assert_eq!(gateway.verb(&["inbound", "seed", "telegram", "bot", &sender]).0, 0);
                out.push(format!("telegram:{sender}"));
            }
            "{was in}" => {
                let named = format!("telegram:{sender}");
                assert_eq!(gateway.verb(&["senders", "seed", "telegram", "bot", &sender]).0, 0);
                assert_eq!(gateway.verb(&["senders", "revoke", &named]).0, 0);
                out.push(named);
            }
            "{session}" => {
                let started = gateway.answer(&[
                    "setup",
                    "start",
                    "--public-url",
                    &format!("ws://{}", gateway.address),
                ]);
                let file = gateway.data.path().join("session.json").to_str().unwrap().to_owned();
                let code = started["payload"].as_str().unwrap();
                let (code, _, err) = text(&run(
                    "handfast",
                    &["companion", "--force", "--session", &file, "--code", code],
                ));
                assert_eq!(code, 0, "{err}");
                out.extend(["--session".to_owned(), file]);
            }
            "{rotating}" => {
                assert_eq!(gateway.verb(&["gateway", "rotate-key"]).0, 0);
                out.extend(["--finish".to_owned(), "--yes".to_owned()]);
            }
            "{records}" => {
                let file = gateway.data.path().join("devices.json");
                std::fs::write(&file, "[]").unwrap();
                out.push(file.to_str().unwrap().to_owned());
            }
            "{key}" => {
                out.push(gateway.data.path().join(fresh("key")).to_str().unwrap().to_owned());
            }
            "{backup}" => {
                out.push(gateway.data.path().join("backup.db").to_str().unwrap().to_owned());
            }
            plain => out.push(plain.to_owned()),
        }
    }
    out
}

#[tokio::test(flavor = "multi_thread")]
async fn every_verb_says_that_it_could_not_print_and_a_reader_that_has_enough_ends_it_quietly() {
    let gateway = Gateway::start();
    let mut unknown = Vec::new();
    for path in verbs("handfast") {
        let verb = path.join(" ");
        let row = |rows: &'static [Row]| {
            rows.iter().find(|(known, _)| *known == verb).map(|(_, args)| *args)
        };
        let (args, is_secret) = match (row(PRINT), row(SECRETS)) {
            (Some(args), _) => (args, false),
            (None, Some(args)) => (args, true),
            (None, None) if ELSEWHERE.contains(&verb.as_str()) => continue,
            // A new verb that needs no arguments is tested as well.
            (None, None) => (&[][..], false),
        };
        for out in OUTS {
            let more = filled(&gateway, args).await;
            let mut all: Vec<&str> =
                path.iter().map(String::as_str).chain(more.iter().map(String::as_str)).collect();
            // Neither is about a gateway's data.
            if !["companion", "store"].contains(&path[0].as_str()) {
                all.extend(["--data", gateway.data()]);
            }
            let (code, err) = ran(to(out, "handfast", &all));
            let told = err.contains("standard output cannot be written");
            match out {
                _ if code == 2 && row(PRINT).is_none() => unknown.push(verb.clone()),
                Out::Unread if !is_secret => {
                    assert!(code == 0 && !told, "{all:?} {out:?}: {code} {err}");
                }
                Out::Full | Out::Closed | Out::Unread => {
                    assert!(code == 1 && told, "{all:?} {out:?}: {code} {err}");
                }
            }
        }
    }
    assert!(unknown.is_empty(), "give these verbs a row above: {unknown:?}");
}

#[test]
fn the_nodes_verbs_say_that_they_could_not_print_and_lose_nothing_by_it() {
    let gateway = Gateway::start();
    let url = format!("ws://{}", gateway.address);
    for out in OUTS {
        let state = private_dir();
        let place = state.path().to_str().unwrap();
        let ended = |args: &[&str]| {
            let all = [args, &["--state", place]].concat();
            let (code, err) = ran(to(out, "handfast-node", &all));
            match out {
                Out::Unread => assert!(code == 0 && err.is_empty(), "{all:?}: {code} {err}"),
                Out::Full | Out::Closed => {
                    assert!(
                        code == 1 && err.contains("standard output cannot be written"),
                        "{all:?} {out:?}: {code} {err}"
                    );
                }
            }
        };
        ended(&["identity"]);
        ended(&["pair", "--gateway", &url, "--name", "Lamp", "--room", "Hall"]);
        let (code, shown, err) =
            text(&run("handfast-node", &["status", "--json", "--state", place]));
        let shown: serde_json::Value = serde_json::from_str(&shown).unwrap();
        assert!(
            code == 0 && shown["node_id"].is_string(),
            "it knows what it asked as: {shown} {err}"
        );
        ended(&["status"]);
        ended(&["reset", "--yes"]);
    }
}

#[test]
fn a_node_that_pairs_by_a_code_is_paired_although_nobody_reads_what_it_says() {
    let gateway = Gateway::start();
    for out in OUTS {
        let code = gateway.answer(&["pairing", "code"])["code"].as_str().unwrap().to_owned();
        let state = private_dir();
        let place = state.path().to_str().unwrap();
        let url = format!("ws://{}", gateway.address);
        let mut command = to(
            out,
            "handfast-node",
            &["pair", "--code", "--gateway", &url, "--state", place, "--name", "Lamp"],
        );
        let mut child = command.stdin(Stdio::piped()).spawn().unwrap();
        std::io::Write::write_all(&mut child.stdin.take().unwrap(), format!("{code}\n").as_bytes())
            .unwrap();
        let ended = child.wait_with_output().unwrap();
        let (code, _, err) = text(&ended);
        assert_eq!(code, i32::from(out != Out::Unread), "{out:?}: {err}");
        let (code, shown, err) =
            text(&run("handfast-node", &["status", "--json", "--state", place]));
        let shown: serde_json::Value = serde_json::from_str(&shown).unwrap();
        assert!(
            code == 0 && shown["standing"] == "paired" && shown["token"] == "kept",
            "{out:?}: {shown} {err}"
        );
    }
}

#[test]
fn standard_error_that_is_full_or_closed_changes_no_exit_code() {
    let nowhere = private_dir();
    let data = nowhere.path().to_str().unwrap();
    for (name, args, expected) in [
        ("handfast", vec!["devices", "list", "--data", data], 1),
        ("handfast", vec!["devices", "dance"], 2),
        ("handfast-node", vec!["status", "--state", data], 1),
        ("handfast-node", vec!["reset", "--state", data], 2),
    ] {
        let with_full = program(name).args(&args).stdout(full()).stderr(full()).status().unwrap();
        assert_eq!(with_full.code(), Some(expected), "{name} {args:?}");
        let path = program(name).get_program().to_owned();
        let closed = Command::new("sh")
            .args(["-c", r#"exec "$0" "$@" >&- 2>&-"#])
            .arg(path)
            .args(&args)
            .status()
            .unwrap();
        assert_eq!(closed.code(), Some(expected), "{name} {args:?}");
    }
}

#[test]
fn output_that_is_thrown_away_on_purpose_is_no_failure() {
    let state = private_dir();
    let null = File::options().read(true).write(true).open("/dev/null").unwrap();
    let status = program("handfast-node")
        .args(["identity", "--state"])
        .arg(state.path())
        .stdout(null)
        .status()
        .unwrap();
    assert_eq!(status.code(), Some(0));
}
