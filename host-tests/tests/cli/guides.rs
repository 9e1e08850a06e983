//! The guides: their commands are taken as printed, their settings are read, and their
//! configurations of proxies are those that the tests run.

use std::net::SocketAddr;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use super::gateway::{Gateway, private_dir};
use crate::binaries::{program, run, text};
use crate::conformance::proxies::real;

fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../adapters/cli/guides")
}

/// Returns every guide with its name.
fn guides() -> Vec<(String, String)> {
    let mut found: Vec<_> = std::fs::read_dir(folder())
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .map(|path| {
            let name = path.file_name().unwrap().to_str().unwrap().to_owned();
            (name, std::fs::read_to_string(path).unwrap())
        })
        .collect();
    found.sort();
    assert!(found.len() >= 7, "{} guides", found.len());
    found
}

pub(super) fn guide(name: &str) -> String {
    std::fs::read_to_string(folder().join(name)).unwrap()
}

/// Returns the blocks of a language.
pub(super) fn blocks<'a>(text: &'a str, language: &str) -> Vec<&'a str> {
    let fence = format!("```{language}\n");
    text.split(&fence).skip(1).map(|rest| rest.split("```").next().unwrap()).collect()
}

/// Returns the commands of a guide in order; a continued line is one command.
pub(super) fn commands(text: &str) -> Vec<String> {
    let joined = blocks(text, "sh").concat().replace("\\\n", " ");
    joined.lines().filter(|line| !line.trim().is_empty()).map(str::to_owned).collect()
}

/// Returns the folder of the built programs.
fn programs() -> PathBuf {
    Path::new(program("handfast").get_program()).parent().unwrap().to_owned()
}

/// Runs a line as a shell reads it, in a folder, with these folders of programs before the usual.
pub(super) fn typed(line: &str, at: &Path, before: &[&Path], input: &str) -> (i32, String, String) {
    let given = at.join("typed");
    std::fs::write(&given, input).unwrap();
    let mut path: Vec<String> = before.iter().map(|one| one.display().to_string()).collect();
    path.extend([programs().display().to_string(), "/usr/sbin:/usr/bin:/sbin:/bin".to_owned()]);
    let mut shell = Command::new("/bin/bash");
    shell.args(["-c", line]).current_dir(at).env_clear();
    shell.env("HOME", at).env("USER", "ana").env("PATH", path.join(":"));
    text(&shell.stdin(std::fs::File::open(given).unwrap()).output().unwrap())
}

/// Writes programs that stand in for the system's: nothing outside is touched, and our own are
/// asked for their help with the options of the guide, which they check first.
fn stand_ins(at: &Path) -> PathBuf {
    let bin = at.join("bin");
    std::fs::create_dir(&bin).unwrap();
    let ours = programs();
    let asks = |name: &str| format!("exec {}/{name} \"$@\" --help", ours.display());
    for (name, script) in [
        ("handfast", asks("handfast")),
        ("handfast-node", asks("handfast-node")),
        (
            "sudo",
            "[ \"$1\" != -u ] || shift 2; [[ $1 != --preserve-env=* ]] || shift; exec \"$@\""
                .to_owned(),
        ),
        ("docker", "[ \"$1\" != exec ] || { shift 2; exec \"$@\"; }".to_owned()),
        ("sh", "[ \"$1\" = -c ] && exec /bin/bash -n -c \"$2\"".to_owned()),
        (
            "systemctl",
            "case $1 in start|stop|reload|restart) [[ $2 == handfast || $2 == handfast@? ]];; *) false;; esac"
                .to_owned(),
        ),
        ("install", String::new()),
        ("curl", String::new()),
        ("dpkg", String::new()),
        ("pg_dump", String::new()),
        ("usermod", "[ \"$*\" = \"-aG handfast ana\" ]".to_owned()),
    ] {
        let file = bin.join(name);
        std::fs::write(&file, format!("#!/bin/bash\n{script}\n")).unwrap();
        std::fs::set_permissions(file, std::fs::Permissions::from_mode(0o755)).unwrap();
    }
    bin
}

#[test]
fn every_command_of_the_guides_is_one_that_the_programs_take() {
    let place = private_dir();
    let bin = stand_ins(place.path());
    let state = place.path().to_str().unwrap();
    let shown = text(&run("handfast-node", &["identity", "--state", state])).1;
    let mut ran = 0;
    let readme = std::fs::read_to_string(folder().join("../../../README.md")).unwrap();
    let service = readme.split("\n## Run it as a service\n").nth(1).unwrap();
    let service = service.split("\n## ").next().unwrap().to_owned();
    for (name, guide) in guides().into_iter().chain([("README.md".to_owned(), service)]) {
        for command in commands(&guide) {
            if let Some(script) = command.strip_prefix("host-tests/") {
                let script = script.split_whitespace().next().unwrap();
                assert!(Path::new(env!("CARGO_MANIFEST_DIR")).join(script).exists(), "{command}");
                continue;
            }
            let line = command
                .replace("/tmp/", &format!("{state}/"))
                .replace("CHANNEL_KEY", &told(&shown, "channel key"))
                .replace("SIGNING_KEY", &told(&shown, "signing key"))
                .replace("FINGERPRINT", &told(&shown, "fingerprint"));
            let (code, _, err) = typed(&line, place.path(), &[&bin], "");
            assert_eq!(code, 0, "{name}: {command}\n{err}");
            ran += 1;
        }
    }
    assert!(ran > 40, "{ran} commands");
    // The check itself: a wrong option and a wrong verb are found.
    for wrong in ["handfast status --dta x", "sudo -u handfast handfast stauts", "sudo nonesuch"] {
        assert_ne!(typed(wrong, place.path(), &[&bin], "").0, 0, "{wrong}");
    }
}

#[test]
fn every_setting_of_the_guides_is_read_and_every_link_leads_somewhere() {
    let place = private_dir();
    let tls = place.path().join("tls");
    std::fs::create_dir(&tls).unwrap();
    let made = rcgen::generate_simple_self_signed(["gateway.example".to_owned()]).unwrap();
    std::fs::write(tls.join("fullchain.pem"), made.cert.pem()).unwrap();
    let key = tls.join("key.pem");
    std::fs::write(&key, made.signing_key.serialize_pem()).unwrap();
    std::fs::set_permissions(key, std::fs::Permissions::from_mode(0o600)).unwrap();
    let (file, mut read) = (place.path().join("handfast.toml"), 0);
    for (name, guide) in guides() {
        for block in blocks(&guide, "toml") {
            let tls = tls.to_str().unwrap();
            std::fs::write(&file, block.replace("/etc/handfast/tls", tls)).unwrap();
            // One of them has a password.
            std::fs::set_permissions(&file, std::fs::Permissions::from_mode(0o640)).unwrap();
            let check = ["config", "check", "--config", file.to_str().unwrap()];
            let (code, _, err) = text(&run("handfast", &check));
            assert_eq!(code, 0, "{name}: {block}\n{err}");
            read += 1;
        }
        for link in guide.split("](").skip(1).map(|rest| rest.split(')').next().unwrap()) {
            assert!(folder().join(link).exists(), "{name}: {link}");
        }
        let long = guide.lines().find(|line| line.len() > 100 && !line.starts_with('|'));
        assert_eq!(long, None, "{name}");
    }
    assert!(read >= 3, "{read} settings");
}

fn words(text: &str) -> Vec<&str> {
    text.split_whitespace().collect()
}

#[test]
fn the_proxies_of_the_guide_are_configured_as_those_that_the_tests_run() {
    let guide = guide("reverse-proxies.md");
    let [nginx] = blocks(&guide, "nginx")[..] else { panic!("one nginx") };
    let location = nginx.split("location / {").nth(1).unwrap().split('}').next().unwrap();
    let (websockets, appended) = (real::WEBSOCKETS, real::APPENDED);
    let tested = format!("proxy_pass http://127.0.0.1:8765; {websockets} {appended}");
    assert_eq!(words(location), words(&tested));
    let [haproxy] = blocks(&guide, "haproxy")[..] else { panic!("one haproxy") };
    let addresses = ["192.0.2.1:8765", "127.0.0.1:8765", "192.0.2.1:7331", "127.0.0.1:7331"];
    let [web, http, native, tcp] = addresses.map(|one| one.parse::<SocketAddr>().unwrap());
    let tested = real::haproxy_configuration([&web, &http, &native, &tcp]);
    assert_eq!(words(haproxy), words(&tested));
}

#[test]
#[ignore = "needs nginx and haproxy"]
fn the_proxies_themselves_find_nothing_wrong_with_the_configurations_of_the_guide() {
    let place = private_dir();
    let at = |name: &str| place.path().join(name).display().to_string();
    let made = rcgen::generate_simple_self_signed(["gateway.example".to_owned()]).unwrap();
    std::fs::write(at("fullchain.pem"), made.cert.pem()).unwrap();
    std::fs::write(at("key.pem"), made.signing_key.serialize_pem()).unwrap();
    let guide = guide("reverse-proxies.md");
    let server =
        blocks(&guide, "nginx")[0].replace("/etc/nginx/tls", place.path().to_str().unwrap());
    let server = server.replace("443 ssl", "127.0.0.1:18443 ssl");
    let whole =
        format!("pid {};\nevents {{ }}\nhttp {{\naccess_log off;\n{server}\n}}\n", at("pid"));
    std::fs::write(at("nginx.conf"), whole).unwrap();
    let mut nginx = Command::new(real::found("nginx"));
    nginx.args(["-t", "-e", &at("log"), "-c", &at("nginx.conf")]);
    let (code, out, err) = text(&nginx.output().unwrap());
    assert_eq!(code, 0, "{out}{err}");
    std::fs::write(at("haproxy.cfg"), blocks(&guide, "haproxy")[0]).unwrap();
    let mut haproxy = Command::new(real::found("haproxy"));
    let (code, out, err) = text(&haproxy.args(["-c", "-f", &at("haproxy.cfg")]).output().unwrap());
    assert_eq!(code, 0, "{out}{err}");
}

/// Returns the value behind a word at the beginning of a line.
fn told(text: &str, word: &str) -> String {
    let line = text.lines().find_map(|line| line.strip_prefix(word));
    line.unwrap_or_else(|| panic!("no {word}: {text}")).trim().to_owned()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_capability_is_delegated_shown_and_ended_as_the_guide_says() {
    let (gateway, place) = (Gateway::start(), private_dir());
    let home = place.path();
    let fingerprint = gateway.verb(&["gateway", "fingerprint"]).1.trim().to_owned();
    let (mut paste, mut keys) = (String::new(), [String::new(), String::new()]);
    let mut present = None;
    for command in commands(&guide("capabilities.md")) {
        let line = command
            .replace("/tmp/hf", "DATA")
            .replace("/tmp/", &format!("{}/", home.display()))
            .replace("DATA", gateway.data())
            .replace("127.0.0.1:8765", &gateway.address)
            .replace("CHANNEL_KEY", &keys[0])
            .replace("SIGNING_KEY", &keys[1])
            .replace("FINGERPRINT", &fingerprint);
        let (code, out, err) = typed(&line, home, &[], &paste);
        assert_eq!(code, 0, "{command}\n{out}{err}");
        paste.clear();
        if line.contains("codes create") {
            paste = out.lines().find(|line| line.starts_with("handfast:")).unwrap().to_owned();
        } else if line.contains("identity") {
            keys = [told(&out, "channel key"), told(&out, "signing key")];
        } else if line.contains(" present ") {
            assert_eq!(out, "The gateway accepts the token.\n");
            present = Some(line);
        } else if line.contains("nodes list") {
            assert!(out.contains("Lamp") && out.contains("/lights/**"), "{out}");
        }
    }
    let (code, _, err) = typed(&present.unwrap(), home, &[], "");
    assert_eq!(code, 1, "what was made of a revoked node's token counts no more: {err}");
    // Nor is a token made that is wider than the holder's.
    let wider = commands(&guide("capabilities.md"))
        .into_iter()
        .find(|line| line.contains(" delegate "))
        .unwrap()
        .replace("/tmp/", &format!("{}/", home.display()))
        .replace("CHANNEL_KEY", &keys[0])
        .replace("SIGNING_KEY", &keys[1])
        .replace("read:/lights", "admin:/lights");
    assert_ne!(typed(&wider, home, &[], "").0, 0, "{wider}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_gateway_is_backed_up_and_restored_as_the_guide_says() {
    let mut gateway = Gateway::start();
    let place = private_dir();
    let before = gateway.ask("Before").await;
    let data = gateway.data().to_owned();
    let mut stopped = false;
    for command in commands(&guide("backup.md")) {
        let line = command
            .replace("sudo -u handfast ", "")
            .replace("sudo ", "")
            .replace("-o handfast -g handfast ", "")
            .replace("/var/backups/", &format!("{}/", place.path().display()))
            .replace("/var/lib/handfast", &data)
            .replace("/tmp/practice", &format!("{}/practice", place.path().display()));
        if line.starts_with("systemctl stop") {
            let lost = gateway.ask("After").await;
            assert!(gateway.json(&["list", "--pending"]).to_string().contains(&lost));
            gateway.running.kill();
            // On a new machine there is nothing but the backup.
            for file in ["store.key", "setup.key"] {
                std::fs::remove_file(Path::new(&data).join(file)).unwrap();
            }
            std::fs::remove_dir_all(Path::new(&data).join("ca")).unwrap();
            stopped = true;
        } else if line.starts_with("systemctl start") {
            gateway = gateway.crash_and_restart();
            let pending = gateway.json(&["list", "--pending"]).to_string();
            assert!(pending.contains(&before) && !pending.contains("After"), "{pending}");
        } else {
            let (code, out, err) = typed(&line, place.path(), &[], "");
            assert_eq!(code, 0, "{command}\n{out}{err}");
        }
    }
    assert!(stopped);
}

#[test]
fn what_the_moving_guide_says_of_imports_is_what_the_import_says() {
    let place = private_dir();
    let record = |id: &str, extra: &str| {
        format!(
            r#"{{"node_id":"{id}","friendly_name":"Lamp","room":"Hall","hardware_profile":{{}},"policy_mode":"full"{extra}}}"#
        )
    };
    let twice = "0b1a6c0e-6f1e-4e5b-9a53-5d2f4d6f7a01";
    let records = [record(twice, ""), record(twice, "")].join(",");
    std::fs::write(place.path().join("devices.json"), format!("[{records}]")).unwrap();
    let before = std::fs::read_dir(place.path()).unwrap().count();
    let guide = guide("moving.md");
    let line = commands(&guide)[0].replace("/tmp/hf", &format!("{}/hf", place.path().display()));
    let mut shell = Command::new("/bin/bash");
    shell.args(["-c", &line]).current_dir(place.path()).stdin(Stdio::null());
    let path = format!("{}:/usr/bin:/bin", programs().display());
    let (_, out, err) = text(&shell.env("PATH", path).output().unwrap());
    assert!(out.contains("several records have this node_id"), "{out}{err}");
    let after = std::fs::read_dir(place.path()).unwrap().count();
    assert_eq!(before, after, "without --apply nothing is changed");
}
