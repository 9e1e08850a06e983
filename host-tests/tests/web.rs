//! The module for browsers: its boundary, and its JavaScript face with the real gateway.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Once;

use handfast_host_tests::prng::Prng;
use handfast_host_tests::web::any_calls;

use crate::binaries::program;
use crate::setup_codes::corpus;

/// Writes a call of a corpus: the steps of time before it, its number, and its fields.
fn call(step: u8, number: u8, fields: &[&[u8]]) -> Vec<u8> {
    let length = fields.iter().map(|field| 2 + field.len()).sum::<usize>() + 1;
    let mut bytes = vec![step];
    bytes.extend(u16::try_from(length).unwrap().to_le_bytes());
    bytes.push(number);
    for field in fields {
        bytes.extend(u16::try_from(field.len()).unwrap().to_le_bytes());
        bytes.extend(*field);
    }
    bytes
}

fn boot() -> Vec<u8> {
    call(0, 0, &[&[7; 64], b"", b"Lamp", b"", b"{}", b"read:/lights/**"])
}

/// Returns seeds from which the fuzzer finds its way: one for each role, and one for each call.
fn seeds() -> Vec<Vec<u8>> {
    let pairing = [
        boot(),
        call(0, 5, &[]),
        call(0, 6, &[&[1], b"", b"AAIS-EM2E-KVTH-PCEZ-VK54-ZXPO"]),
        call(1, 1, &[]),
        call(0, 2, &[&[9; 32]]),
        call(0, 3, &[&[1, 1, 1], &[8; 32]]),
        call(0, 4, &[&[3, 4]]),
        call(255, 1, &[]),
        call(0, 14, &[]),
    ];
    let owner = [
        boot(),
        call(0, 6, &[&[2], b"K7QF-847291", b""]),
        call(0, 7, &[b"847 291", &[5; 32]]),
        call(0, 8, &[b"write", b"/lights/1", b"on"]),
        call(0, 9, &[b"/lights/**"]),
        call(0, 10, &[]),
        call(0, 11, &[]),
        call(0, 13, &[&[1], b"-4.5e1", &[]]),
        call(0, 12, &[]),
        call(0, 5, &[]),
    ];
    let companion = [
        call(0, 18, &[b"e30.AAAA"]),
        call(1, 19, &[br#"{"error":"expired"}"#]),
        call(0, 20, &[]),
        call(0, 21, &[]),
        call(100, 1, &[]),
    ];
    let invite =
        b"handfast:1?a=ws://192.168.1.10:8765&k=AAIS-EM2E-KVTH-PCEZ-VK54-ZXPO&c=K7QF-ABCDEFGHJKLMNPQR";
    let texts = [
        call(0, 15, &[b"/lights/*", b"/lights/1"]),
        call(0, 16, &[invite]),
        call(0, 17, &[b"eyJ1cmwiOiJ3czovL2EifQ"]),
        call(0, 22, &[b"[::1]"]),
    ];
    let phone = [
        call(0, 32, &[b"abcd-efgh jklm", &[7; 64]]),
        call(1, 33, &[&[9; 112], &[8; 32]]),
        call(0, 32, &[b"ABCDEFGHJKLM", &[6; 64]]),
        call(0, 34, &[&[2], &[1], br#"{"room":"Kitchen"}"#]),
        call(0, 35, &[]),
    ];
    vec![pairing.concat(), owner.concat(), companion.concat(), texts.concat(), phone.concat()]
}

/// Replays the corpus, which `UPDATE_CORPUS=1` writes, always the same.
#[test]
fn every_seed_of_the_web_boundarys_corpus_holds() {
    corpus("web_boundary", &seeds(), any_calls);
}

#[test]
fn no_bytes_make_the_boundary_panic() {
    let mut random = Prng::new(77);
    for seed in seeds().iter().cycle().take(2_000) {
        let mut bytes = seed.clone();
        for _ in 0..=random.below(6) {
            let at = random.below(bytes.len() as u64) as usize;
            match random.below(3) {
                0 => bytes[at] = random.draw() as u8,
                1 => bytes.truncate(at.max(1)),
                _ => bytes.insert(at, random.draw() as u8),
            }
        }
        any_calls(&bytes);
    }
}

/// Returns the folder of the package.
fn package() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../adapters/web")
}

/// Runs a command in the package's folder, and shows what it says if it fails.
fn runs(command: &mut Command) {
    let ended = command.current_dir(package()).output();
    let ended = ended.unwrap_or_else(|error| panic!("{command:?} does not start: {error}"));
    let said = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    assert!(
        ended.status.success(),
        "{command:?} failed:\n{}{}",
        said(&ended.stdout),
        said(&ended.stderr)
    );
}

/// Builds the modules, once.
fn built() {
    static BUILT: Once = Once::new();
    BUILT.call_once(|| runs(&mut Command::new("./build.sh")));
}

/// Node and gateway are built without the target of WebAssembly, so the modules of their pages are
/// committed. Another compiler may make other files of the same sources, too; they are renewed
/// likewise.
#[test]
#[ignore = "needs the target wasm32-unknown-unknown"]
fn the_committed_modules_of_the_pages_are_what_the_sources_give() {
    built();
    for (name, kept) in [
        ("setup.wasm", "../node/src/provisioning/page/setup.wasm"),
        ("handfast.wasm", "../server/src/http/phone/files/handfast.wasm"),
    ] {
        let [made, committed] = [&format!("dist/{name}"), kept].map(|name| {
            let path = package().join(name);
            std::fs::read(&path).unwrap_or_else(|why| panic!("{}: {why}", path.display()))
        });
        assert!(
            made == committed,
            "adapters/web/dist/{name} ({} bytes) is not the committed file ({} bytes); renew it: \
             cd adapters/web && ./build.sh && cp dist/{name} {kept}",
            made.len(),
            committed.len()
        );
    }
}

/// Builds the modules and fetches what the tests need, once, then runs a script of the package with
/// the real programs.
fn npm(script: &str) {
    static READY: Once = Once::new();
    let gateway = program("handfast").get_program().to_owned();
    let programs = Path::new(&gateway).parent().expect("a program is in a folder");
    READY.call_once(|| {
        built();
        runs(Command::new("npm").args(["ci", "--no-audit", "--no-fund", "--ignore-scripts"]));
    });
    runs(Command::new("npm").args(["run", script]).env("HANDFAST_BIN", programs));
}

/// Runs programs of Node.js: pairing by every way, links, companions; and checks the module's size,
/// the types and the archive.
#[test]
#[ignore = "needs Node.js"]
fn programs_for_node_js_pair_and_link_with_the_gateway() {
    npm("test");
}

/// Drives the example page in a real browser: pairing, reloads, restarts of both sides, companions.
#[test]
#[ignore = "needs Node.js and Chromium"]
fn pages_in_a_browser_pair_and_link_with_the_gateway() {
    npm("test:browser");
}
