//! What the gateway is installed with: its unit, its package, its image and its dashboard.

use std::collections::BTreeSet;
use std::io::{Read, Write};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use serde_json::Value;

use super::extensions::{documented, with_extension};
use super::gateway::{Gateway, private_dir};
use crate::binaries::{program, run, text};

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..")
}

fn packaged(name: &str) -> String {
    std::fs::read_to_string(root().join("adapters/cli/packaging").join(name)).unwrap()
}

/// Returns the values of a unit's key, in order.
fn values<'a>(unit: &'a str, key: &str) -> Vec<&'a str> {
    unit.lines().filter_map(|line| line.strip_prefix(key)?.strip_prefix('=')).collect()
}

#[test]
fn the_unit_takes_every_right_from_the_gateway_that_it_does_not_need() {
    let unit = packaged("handfast.service");
    for (key, value) in [
        ("User", "handfast"),
        ("Group", "handfast"),
        ("StateDirectory", "handfast"),
        ("StateDirectoryMode", "0700"),
        ("RuntimeDirectory", "handfast"),
        ("RuntimeDirectoryMode", "0750"),
        ("UMask", "0077"),
        ("CapabilityBoundingSet", ""),
        ("AmbientCapabilities", ""),
        ("NoNewPrivileges", "yes"),
        ("ProtectSystem", "strict"),
        ("ProtectHome", "yes"),
        ("PrivateTmp", "yes"),
        ("MemoryDenyWriteExecute", "yes"),
        ("RestrictAddressFamilies", "AF_INET AF_INET6 AF_UNIX AF_NETLINK"),
        ("ExecReload", "/bin/kill -HUP $MAINPID"),
        ("LimitNOFILE", "65536"),
        ("Restart", "on-failure"),
        ("RestartPreventExitStatus", "2"),
    ] {
        assert_eq!(values(&unit, key), [value], "{key}");
    }
    let calls = values(&unit, "SystemCallFilter");
    assert_eq!(calls, ["@system-service", "~@privileged", "@chown"]);
}

#[test]
fn what_the_unit_starts_is_an_option_of_serve_and_its_settings_have_no_mistake() {
    let unit = packaged("handfast.service");
    let [start] = values(&unit, "ExecStart")[..] else { panic!("one ExecStart") };
    let words: Vec<&str> = start.split_whitespace().collect();
    assert_eq!(words[..2], ["/usr/bin/handfast", "serve"]);
    let help = text(&run("handfast", &["serve", "--help"])).1;
    let known: BTreeSet<&str> = help.split([' ', '=', '[', '\n']).collect();
    let options: Vec<&str> = words.into_iter().filter(|word| word.starts_with("--")).collect();
    assert_eq!(options, ["--config", "--socket-group"]);
    assert!(options.iter().all(|option| known.contains(option)), "{options:?}");
    let settings = root().join("adapters/cli/packaging/handfast.toml");
    let check = ["config", "check", "--config", settings.to_str().unwrap()];
    let (code, _, err) = text(&run("handfast", &check));
    assert_eq!(code, 0, "{err}");
    // What stands there as a comment is right, too, once it is taken in.
    let place = private_dir();
    let taken_in: String = packaged("handfast.toml")
        .lines()
        .map(|line| line.strip_prefix("# ").filter(|rest| rest.contains(" = ")).unwrap_or(line))
        .filter(|line| !line.starts_with("listen = \"127") && !line.starts_with("tls_"))
        .map(|line| format!("{}\n", line.replace("# [setup]", "[setup]")))
        .collect();
    let taken_in = taken_in.replace("# [setup]", "[setup]");
    let file = place.path().join("all.toml");
    std::fs::write(&file, &taken_in).unwrap();
    let check = ["config", "check", "--config", file.to_str().unwrap()];
    let (code, _, err) = text(&run("handfast", &check));
    assert_eq!(code, 0, "{err}\n{taken_in}");
    assert!(taken_in.contains("\npublic_url"), "{taken_in}");
}

#[test]
fn the_unit_of_one_of_several_gateways_is_the_other_one_with_places_of_its_own() {
    let lines = |name: &str| {
        let unit = packaged(name);
        unit.lines().filter(|line| !line.starts_with('#')).map(str::to_owned).collect::<Vec<_>>()
    };
    let (one, several) = (lines("handfast.service"), lines("handfast@.service"));
    let differ: Vec<&str> =
        several.iter().filter(|line| !one.contains(line)).map(String::as_str).collect();
    let serve = "/usr/bin/handfast serve --config /etc/handfast/%i.toml --socket-group handfast";
    let start = format!("ExecStart={serve} --socket-dir /run/handfast/%i");
    let expected = [
        "Description=Handfast gateway %i",
        "After=network-online.target postgresql.service",
        &start,
        "StateDirectory=handfast/%i",
        "RuntimeDirectory=handfast/%i",
    ];
    assert_eq!(differ, expected);
    assert_eq!(one.len(), several.len());
    let help = text(&run("handfast", &["serve", "--help"])).1;
    assert!(help.contains("--socket-dir"), "{help}");
}

#[test]
#[ignore = "needs systemd-analyze"]
fn systemd_finds_no_fault_with_the_units_and_calls_them_little_exposed() {
    let place = private_dir();
    // The program that is built here stands in for the installed one.
    let program = program("handfast");
    let program = program.get_program().to_str().unwrap();
    for (unit, name) in
        [("handfast.service", "handfast.service"), ("handfast@.service", "handfast@a.service")]
    {
        let file = place.path().join(name);
        std::fs::write(&file, packaged(unit).replace("/usr/bin/handfast", program)).unwrap();
        let analyze = |more: &[&str]| {
            let mut command = Command::new("systemd-analyze");
            text(&command.args(more).arg(&file).output().unwrap())
        };
        let (code, out, err) = analyze(&["verify", "--man=no"]);
        assert_eq!((code, out.as_str(), err.as_str()), (0, "", ""));
        let security = ["security", "--offline=true", "--threshold=20", "--no-pager"];
        let (code, out, err) = analyze(&security);
        assert_eq!(code, 0, "{out}{err}");
    }
}

/// Returns the system calls of a set of systemd, with those of the sets in it.
fn system_calls(set: &str) -> BTreeSet<String> {
    let mut command = Command::new("systemd-analyze");
    let (_, listed, _) = text(&command.args(["syscall-filter", set]).output().unwrap());
    let mut found = BTreeSet::new();
    for word in listed.lines().map(str::trim).filter(|word| !word.is_empty() && *word != set) {
        match word.chars().next() {
            Some('#') => {}
            Some('@') => found.extend(system_calls(word)),
            _ => {
                found.insert(word.to_owned());
            }
        }
    }
    found
}

#[test]
#[ignore = "needs systemd-analyze and strace"]
fn a_gateway_makes_only_the_system_calls_that_the_unit_lets_it_make() {
    let unit = packaged("handfast.service");
    // What every filter allows.
    let mut allowed = system_calls("@default");
    for set in values(&unit, "SystemCallFilter") {
        match set.strip_prefix('~') {
            Some(denied) => allowed = &allowed - &system_calls(denied),
            None => allowed.extend(system_calls(set)),
        }
    }
    let (data, place) = (private_dir(), private_dir());
    let (trace, group) = (place.path().join("trace"), Command::new("id").arg("-gn").output());
    let group = String::from_utf8(group.unwrap().stdout).unwrap();
    let config = place.path().join("handfast.toml");
    std::fs::write(&config, "listen_metrics = [\"127.0.0.1:0\"]\n").unwrap();
    let mut command = Command::new("strace");
    command.args(["-f", "-qq", "-o"]).arg(&trace).arg(program("handfast").get_program());
    command.args(["serve", "--listen", "127.0.0.1:0", "--data"]).arg(data.path());
    command.args(["--socket-group", group.trim(), "--socket-dir"]).arg(place.path().join("op"));
    command.arg("--config").arg(config).stdout(Stdio::piped()).stderr(Stdio::null());
    let mut gateway = Gateway::of(command.spawn().unwrap(), data, PathBuf::new());
    for verb in [&["status"][..], &["codes", "create"], &["companions", "list"]] {
        assert_eq!(gateway.verb(verb).0, 0, "{verb:?}");
    }
    let traced = std::fs::read_to_string(&trace).unwrap();
    let pid = traced.split_whitespace().next().unwrap().to_owned();
    assert!(Command::new("kill").args(["-TERM", &pid]).status().unwrap().success());
    assert!(gateway.running.0.wait().unwrap().success());
    let traced = std::fs::read_to_string(&trace).unwrap();
    let name = |line: &str| {
        let call = line.split_once(' ')?.1.trim_start();
        let name = call.split_once('(')?.0;
        name.bytes()
            .all(|byte| byte.is_ascii_alphanumeric() || byte == b'_')
            .then(|| name.to_owned())
    };
    let made: BTreeSet<String> = traced.lines().filter_map(name).collect();
    assert!(made.contains("lchown") || made.contains("fchownat"), "{made:?}");
    assert!(made.len() > 40, "{made:?}");
    assert_eq!(made.difference(&allowed).collect::<Vec<_>>(), [""; 0]);
    // MemoryDenyWriteExecute: nothing becomes executable that was written.
    let executable = |line: &&str| {
        let maps = line.contains("mprotect(") || line.contains("mmap(");
        let written = line.contains("PROT_WRITE") || line.contains("mprotect(");
        maps && line.contains("PROT_EXEC") && written
    };
    let found: Vec<_> = traced.lines().filter(executable).collect();
    assert!(found.is_empty(), "{found:?}");
}

/// Returns the section of a manifest that describes the Debian package, and the files that it takes
/// from the sources.
fn package_of(folder: &Path) -> (String, Vec<String>) {
    let manifest = std::fs::read_to_string(folder.join("Cargo.toml")).unwrap();
    let deb = manifest.split("[package.metadata.deb]\n").nth(1).unwrap().to_owned();
    let assets = deb.split("assets = [\n").nth(1).unwrap().split("\n]").next().unwrap();
    let sources = assets.lines().map(|line| line.split('"').nth(1).unwrap().to_owned()).collect();
    (deb, sources)
}

#[test]
fn the_packages_hold_what_is_there_and_their_scripts_are_shell() {
    for (folder, program) in [("adapters/cli", "handfast"), ("adapters/node", "handfast-node")] {
        let folder = root().join(folder);
        let (_, sources) = package_of(&folder);
        assert!(sources.contains(&format!("target/release/{program}")), "{sources:?}");
        assert!(sources.iter().any(|source| source.ends_with(&format!("{program}.cdx.json"))));
        for source in sources.into_iter().filter(|source| !source.contains("target/")) {
            let fixed = source.split('*').next().unwrap();
            assert!(folder.join(fixed).exists(), "{source}");
        }
        for script in ["postinst", "postrm"] {
            let path = folder.join("packaging/deb").join(script);
            let shell = Command::new("sh").arg("-n").arg(&path).status().unwrap();
            assert!(shell.success(), "{script}");
            let words = std::fs::read_to_string(path).unwrap();
            assert!(words.contains("\nset -e\n") && words.contains("\n#DEBHELPER#\n"), "{script}");
            assert!(!words.contains("rm -r"), "{script} removes what cannot be made again");
        }
    }
    let (deb, _) = package_of(&root().join("adapters/cli"));
    assert!(deb.contains("[\"packaging/handfast.toml\", \"etc/handfast/\", \"640\"]"));
    assert!(deb.contains("conf-files = [\"/etc/handfast/handfast.toml\"]"));
    let (deb, _) = package_of(&root().join("adapters/node"));
    for unit in ["handfast-node", "handfast-node-provision"] {
        let listed = format!(
            "{{ unit-name = \"{unit}\", unit-scripts = \"packaging\", enable = false, start = false }}"
        );
        assert!(deb.contains(&listed), "{unit}");
    }
    let user = packaged("sysusers.conf");
    assert!(user.contains("\nu handfast - "), "{user}");
    for script in ["packages.sh", "packages-inside.sh"] {
        let path = root().join("host-tests").join(script);
        assert!(Command::new("bash").arg("-n").arg(path).status().unwrap().success(), "{script}");
    }
}

/// Returns the instructions of a Dockerfile, each with its words.
fn instructions(text: &str) -> Vec<(String, String)> {
    let joined = text.replace("\\\n", " ");
    let lines = joined.lines().map(str::trim);
    let lines = lines.filter(|line| !line.is_empty() && !line.starts_with('#'));
    lines
        .map(|line| {
            let (name, rest) = line.split_once(' ').unwrap();
            (name.to_uppercase(), rest.trim().to_owned())
        })
        .collect()
}

/// Returns what is wrong with a Dockerfile.
fn faults(text: &str) -> Vec<String> {
    let all = instructions(text);
    let last = all.iter().rposition(|(name, _)| name == "FROM").unwrap_or(0);
    let mut found = Vec::new();
    let mut stages = BTreeSet::new();
    for (number, (name, rest)) in all.iter().enumerate() {
        let wrong = match name.as_str() {
            "FROM" => {
                let words: Vec<&str> = rest.split_whitespace().collect();
                let tag = words[0].rsplit('/').next().unwrap().split_once(':');
                let pinned = tag.is_some_and(|(_, tag)| !tag.is_empty() && tag != "latest");
                let known = stages.contains(words[0]);
                stages.extend(words.get(2).copied());
                (!pinned && !known).then_some("a base without a tag")
            }
            "RUN" | "CMD" | "ENTRYPOINT" if !rest.starts_with('[') => Some("no exec form"),
            "HEALTHCHECK" => (!rest.contains("CMD [")).then_some("no exec form"),
            "ARG" | "ENV" => {
                let upper = rest.to_uppercase();
                ["SECRET", "TOKEN", "PASSWORD", "KEY"]
                    .iter()
                    .any(|word| upper.contains(word))
                    .then_some("a secret that stays in the image")
            }
            "ADD" => Some("ADD fetches and unpacks; COPY does not"),
            "USER" => {
                let user = rest.split(':').next().unwrap();
                (number > last && ["root", "0"].contains(&user)).then_some("root")
            }
            _ => None,
        };
        found.extend(wrong.map(|wrong| format!("{name} {rest}: {wrong}")));
    }
    for needed in ["USER", "HEALTHCHECK", "STOPSIGNAL", "ENTRYPOINT"] {
        if !all[last..].iter().any(|(name, _)| name == needed) {
            found.push(format!("the image has no {needed}"));
        }
    }
    found
}

#[test]
fn the_image_runs_without_root_from_pinned_bases_and_holds_no_secret() {
    let text = std::fs::read_to_string(root().join(".github/Dockerfile")).unwrap();
    assert_eq!(faults(&text), [""; 0]);
    for (good, bad) in [
        ("rust:1.95-bookworm", "rust"),
        ("cc-debian12:nonroot", "cc-debian12:latest"),
        ("USER 65532:65532", "USER root"),
        ("USER 65532:65532\n", ""),
        ("[\"/usr/bin/handfast\", \"status\"]", "handfast status"),
        ("ENTRYPOINT [\"/usr/bin/handfast\"]", "ENTRYPOINT handfast serve"),
        ("STOPSIGNAL SIGTERM\n", ""),
        ("ENV HANDFAST_DATA=", "ENV API_TOKEN="),
        ("COPY . .", "ADD https://example.org/x ."),
    ] {
        assert!(text.contains(good), "{good}");
        assert!(!faults(&text.replace(good, bad)).is_empty(), "{bad} is found");
    }
    let health = instructions(&text).into_iter().find(|(name, _)| name == "HEALTHCHECK").unwrap();
    assert!(health.1.ends_with("CMD [\"/usr/bin/handfast\", \"status\"]"), "{}", health.1);
    let ignored = std::fs::read_to_string(root().join(".github/Dockerfile.dockerignore")).unwrap();
    assert!(ignored.lines().any(|line| line == "*"), "what is not named stays outside");
}

#[test]
fn what_the_image_asks_for_its_health_tells_a_gateway_from_none() {
    let gateway = Gateway::start();
    let health = |data: &str| program("handfast").arg("status").env("HANDFAST_DATA", data).output();
    assert_eq!(text(&health(gateway.data()).unwrap()).0, 0);
    let none = private_dir();
    assert_eq!(text(&health(none.path().to_str().unwrap()).unwrap()).0, 1);
}

/// Returns the names of metrics in an expression.
fn metrics(expression: &str) -> Vec<String> {
    let is_word = |c: char| c.is_ascii_alphanumeric() || c == '_';
    expression
        .split(|c| !is_word(c))
        .filter(|word| word.starts_with("handfast_") || word.starts_with("pairing_"))
        .map(str::to_owned)
        .collect()
}

/// Collects the values of a key, anywhere below.
fn below<'a>(value: &'a Value, key: &str, found: &mut Vec<&'a str>) {
    match value {
        Value::Object(fields) => {
            found.extend(fields.get(key).and_then(Value::as_str));
            fields.values().for_each(|field| below(field, key, found));
        }
        Value::Array(items) => items.iter().for_each(|item| below(item, key, found)),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {}
    }
}

#[test]
fn every_metric_of_the_dashboard_is_one_that_a_gateway_has() {
    // A metric has no line before its first value, so each thing is made to happen once.
    let gateway = with_extension(&documented());
    super::inbound::asks(&gateway, "@ana");
    let invite = ["companions", "invite", "--public-url", "wss://gateway.example"];
    assert_eq!(gateway.verb(&invite).0, 0);
    assert_eq!(gateway.verb(&["extensions", "call", "echo.stats"]).0, 0);
    let mut stream = UnixStream::connect(gateway.data.path().join("handfast.sock")).unwrap();
    let request =
        "GET /metrics HTTP/1.1\r\nHost: x\r\nAccept: text/plain\r\nConnection: close\r\n\r\n";
    stream.write_all(request.as_bytes()).unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    let mut known = BTreeSet::new();
    for line in answer.lines().filter_map(|line| line.strip_prefix("# TYPE ")) {
        let (name, kind) = line.split_once(' ').unwrap();
        known.insert(name.to_owned());
        if kind == "histogram" {
            known.extend(["_bucket", "_sum", "_count"].map(|end| format!("{name}{end}")));
        }
    }
    let dashboard: Value = serde_json::from_str(&packaged("grafana.json")).unwrap();
    let mut expressions = Vec::new();
    below(&dashboard, "expr", &mut expressions);
    below(&dashboard, "query", &mut expressions);
    let used: BTreeSet<String> = expressions.into_iter().flat_map(metrics).collect();
    assert!(used.len() >= 14, "{used:?}");
    let unknown: Vec<_> = used.difference(&known).collect();
    assert!(unknown.is_empty(), "{unknown:?} of {known:?}");
}
