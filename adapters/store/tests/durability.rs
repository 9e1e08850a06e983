//! Durability of the file. Each test that needs another process starts this binary again, for the
//! same test, with `CHILD` set.

use std::io::{BufRead, BufReader, Write};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::time::Duration;

use handfast_core::NodeId;
use handfast_core::limits::Limits;
use handfast_core::registry::codes::{CodeId, NoGuess, Window};
use handfast_core::registry::sessions::{Session, SessionId};
use handfast_core::wire::setup::Nonce;
use handfast_store::conformance::{START, asking, here, pin, session, setup_code};
use handfast_store::{
    Filter, SessionFilter, Sessions, SetupCode, SqliteStore, Store, StoreError, StoredCode, Yield,
};

const CHILD: &str = "HANDFAST_STORE_TEST_CHILD";
const LIMITS: Limits =
    Limits { pending_total: u32::MAX, pending_per_source: u32::MAX, ..Limits::DEFAULT };

/// Returns the path of the store, if this process is a child.
fn child() -> Option<PathBuf> {
    std::env::var_os(CHILD).map(PathBuf::from)
}

/// Returns a command that runs this test again, in a shell that has run `before`.
fn again(test: &str, before: &str, path: &Path) -> Command {
    let mut shell = Command::new("sh");
    shell
        .arg("-c")
        .arg(format!("{before}; exec \"$0\" \"$@\""))
        .arg(std::env::current_exe().unwrap());
    shell.args(["--exact", test, "--nocapture", "--test-threads=1"]).env(CHILD, path);
    shell
}

fn runtime() -> tokio::runtime::Runtime {
    tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap()
}

/// Admits from many tasks, and prints each acknowledged id on a line. Ends once nothing is admitted
/// any more.
async fn admit_and_tell(store: SqliteStore) -> (SqliteStore, Vec<StoreError>) {
    let store = Arc::new(store);
    let mut tasks = tokio::task::JoinSet::new();
    let name = std::process::id();
    for task in 0..32 {
        let store = Arc::clone(&store);
        tasks.spawn(async move {
            for number in 0.. {
                let mut asking =
                    asking(&format!("{name} {number}"), &format!("192.0.2.{task}"), &LIMITS);
                // Unlike those of the suite, these ids must differ from those of earlier processes.
                let mut id = *asking.record.node_id.as_bytes();
                id[8..12].copy_from_slice(&name.to_be_bytes());
                asking.record.node_id = NodeId::from_bytes(id);
                match store.admit(asking, "{}".to_owned(), LIMITS, START).await {
                    Ok(id) => {
                        writeln!(std::io::stdout().lock(), "acknowledged {}", id.unwrap()).unwrap();
                    }
                    Err(problem) => return problem,
                }
            }
            unreachable!()
        });
    }
    let problems = tasks.join_all().await;
    (Arc::into_inner(store).unwrap(), problems)
}

fn acknowledged(
    lines: impl Iterator<Item = std::io::Result<String>>,
) -> impl Iterator<Item = NodeId> {
    // The harness writes text before the first line without ending its own.
    lines
        .map_while(Result::ok)
        .filter_map(|line| line.split_once("acknowledged ").and_then(|(_, id)| NodeId::parse(id)))
}

async fn everything_is_there(store: &SqliteStore, acknowledged: &[NodeId]) {
    for id in acknowledged {
        assert!(store.load(*id).await.unwrap().is_some(), "{id} was acknowledged and is gone");
    }
    let listed = store.list(Filter::All, None, usize::MAX, START).await.unwrap();
    assert!(listed.len() >= acknowledged.len() && listed.iter().all(Result::is_ok));
    assert_eq!(store.counts(START).await.unwrap().pending, listed.len() as u64);
}

#[test]
fn kill_9_in_mid_write_loses_nothing_that_was_acknowledged() {
    if let Some(path) = child() {
        runtime().block_on(admit_and_tell(SqliteStore::open(&path).unwrap()));
        return;
    }
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("handfast.db");
    let mut ids = Vec::new();
    for round in 0..5 {
        let mut process =
            again("kill_9_in_mid_write_loses_nothing_that_was_acknowledged", ":", &path)
                .stdout(Stdio::piped())
                .spawn()
                .unwrap();
        let mut lines = acknowledged(BufReader::new(process.stdout.take().unwrap()).lines());
        // Each round kills at another moment; the first right after the file was made.
        ids.extend(lines.by_ref().take(1 + round * 397));
        process.kill().unwrap();
        process.wait().unwrap();
        ids.extend(lines);
        runtime().block_on(async {
            everything_is_there(&SqliteStore::open(&path).unwrap(), &ids).await;
        });
    }
    assert!(ids.len() > 2000, "{}", ids.len());
}

/// The PIN at which the children guess.
const PIN: CodeId = CodeId::from_bytes([9; 16]);

#[test]
fn no_guess_is_gained_by_killing_the_gateway() {
    if let Some(path) = child() {
        runtime().block_on(async {
            let store = SqliteStore::open(&path).unwrap();
            if store.code(PIN).await.unwrap().is_none() {
                store.set_window(Window::open(START, None)).await.unwrap();
                store.mint(StoredCode { id: PIN, ..pin() }, START).await.unwrap().unwrap();
            }
            loop {
                let guess = store.reserve(Some(PIN), here(), START).await.unwrap();
                writeln!(std::io::stdout().lock(), "guess {guess:?};").unwrap();
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
        });
    }
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("handfast.db");
    let mut granted = 0;
    for _ in 0..8 {
        let mut process = again("no_guess_is_gained_by_killing_the_gateway", ":", &path)
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut lines = BufReader::new(process.stdout.take().unwrap())
            .lines()
            .map_while(Result::ok)
            .filter(|l| l.contains("guess "));
        let first = lines.next().unwrap();
        process.kill().unwrap();
        process.wait().unwrap();
        granted += std::iter::once(first).chain(lines).filter(|line| line.contains("Ok(")).count();
    }
    assert!((1..=5).contains(&granted), "{granted}");
    runtime().block_on(async {
        let store = SqliteStore::open(&path).unwrap();
        assert_eq!(store.reserve(Some(PIN), here(), START).await.unwrap(), Err(NoGuess::Locked));
        assert_eq!(store.window().await.unwrap().guesses, 5);
        assert_eq!(store.code(PIN).await.unwrap().unwrap().counted.guesses, 5);
    });
}

/// Returns the setup code with this number, and the id of the session that it yields: the same in
/// every process.
fn numbered(number: u64) -> (SetupCode, SessionId) {
    let mut bytes = [0x5c; 16];
    bytes[..8].copy_from_slice(&number.to_be_bytes());
    (SetupCode { nonce: Nonce::from_bytes(bytes), ..setup_code(600) }, SessionId::from_bytes(bytes))
}

#[test]
fn a_code_whose_session_was_answered_stays_spent_however_the_gateway_dies() {
    if let Some(path) = child() {
        runtime().block_on(async {
            let store = Arc::new(SqliteStore::open(&path).unwrap());
            let mut tasks = tokio::task::JoinSet::new();
            for task in 0..32 {
                let store = Arc::clone(&store);
                tasks.spawn(async move {
                    for number in (task..).step_by(32) {
                        let (code, id) = numbered(number);
                        let mut hash = *session().hash.as_bytes();
                        hash[..8].copy_from_slice(&number.to_be_bytes());
                        hash[8..16].copy_from_slice(&u64::from(std::process::id()).to_be_bytes());
                        let hash = handfast_core::grant::session::SessionHash::from_bytes(hash);
                        // Codes of earlier processes are spent already.
                        if store
                            .redeem(code, Yield::Session(Session { id, hash, ..session() }), START)
                            .await
                            .unwrap()
                            .is_ok()
                        {
                            writeln!(std::io::stdout().lock(), "answered {number};").unwrap();
                        }
                    }
                });
            }
            tasks.join_all().await;
        });
        return;
    }
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("handfast.db");
    let answered =
        |line: String| line.split_once("answered ")?.1.strip_suffix(';')?.parse::<u64>().ok();
    let mut numbers = Vec::new();
    for round in 0..4 {
        let test = "a_code_whose_session_was_answered_stays_spent_however_the_gateway_dies";
        let mut process = again(test, ":", &path).stdout(Stdio::piped()).spawn().unwrap();
        let mut lines = BufReader::new(process.stdout.take().unwrap())
            .lines()
            .map_while(Result::ok)
            .filter_map(answered);
        numbers.extend(lines.by_ref().take(1 + round * 211));
        process.kill().unwrap();
        process.wait().unwrap();
        numbers.extend(lines);
    }
    let distinct: std::collections::HashSet<_> = numbers.iter().copied().collect();
    assert!(
        distinct.len() > 1000 && distinct.len() == numbers.len(),
        "no code was answered twice: {}",
        numbers.len()
    );
    runtime().block_on(async {
        let store = SqliteStore::open(&path).unwrap();
        for number in 0..*numbers.iter().max().unwrap() {
            // Answered or not, a session exists if and only if its code is spent.
            let (code, id) = numbered(number);
            let is_there = store.session(id).await.unwrap().is_some();
            assert!(is_there || !distinct.contains(&number), "{number} was answered and is gone");
            let spent = store
                .redeem(code, Yield::Session(Session { id, ..session() }), START)
                .await
                .unwrap();
            assert_eq!(spent.is_err(), is_there, "{number}");
        }
        let listed = store.sessions(SessionFilter::Live, None, usize::MAX, START).await.unwrap();
        assert_eq!(store.live_sessions(START).await.unwrap(), listed.len() as u64);
    });
}

#[test]
fn a_full_disk_fails_what_it_fails_and_nothing_else() {
    if let Some(path) = child() {
        runtime().block_on(async {
            let (store, problems) = admit_and_tell(SqliteStore::open(&path).unwrap()).await;
            assert!(
                problems
                    .iter()
                    .all(|p| matches!(p, StoreError::DiskFull | StoreError::Database(_))),
                "{problems:?}"
            );
            // Reads still work.
            assert!(!store.list(Filter::All, None, 9, START).await.unwrap().is_empty());
        });
        return;
    }
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("handfast.db");
    // No file may grow beyond a megabyte; the signal of that limit is ignored, so that writing
    // fails as on a full disk.
    let limit = "trap '' XFSZ; ulimit -f 2048";
    let output =
        again("a_full_disk_fails_what_it_fails_and_nothing_else", limit, &path).output().unwrap();
    assert!(output.status.success(), "{output:?}");
    let ids: Vec<_> = acknowledged(output.stdout.lines()).collect();
    assert!(ids.len() > 100, "{}", ids.len());
    runtime()
        .block_on(async { everything_is_there(&SqliteStore::open(&path).unwrap(), &ids).await });
}

/// Tests a registry of sixty nodes whose log is missing, or cut to half.
#[test]
fn a_registry_whose_log_is_gone_or_cut_after_kill_9_is_refused() {
    if let Some(path) = child() {
        runtime().block_on(async {
            let store = SqliteStore::open(&path).unwrap();
            let begun = std::time::Instant::now();
            // Without a pause, so that the log is not emptied; and for longer than a second, so
            // that the mark follows.
            for number in 0.. {
                store
                    .admit(
                        asking(&format!("lamp {number}"), "192.0.2.1", &LIMITS),
                        "{}".to_owned(),
                        LIMITS,
                        START,
                    )
                    .await
                    .unwrap()
                    .unwrap();
                if number >= 60 && begun.elapsed() > Duration::from_millis(1500) {
                    writeln!(std::io::stdout().lock(), "enough").unwrap();
                }
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
        });
    }
    let spoil: [fn(&Path); 2] = [
        |log| std::fs::remove_file(log).unwrap(),
        |log| {
            let file = std::fs::OpenOptions::new().write(true).open(log).unwrap();
            file.set_len(file.metadata().unwrap().len() / 2).unwrap();
        },
    ];
    for spoil in spoil {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("handfast.db");
        let test = "a_registry_whose_log_is_gone_or_cut_after_kill_9_is_refused";
        let mut process = again(test, ":", &path).stdout(Stdio::piped()).spawn().unwrap();
        let mut lines =
            BufReader::new(process.stdout.take().unwrap()).lines().map_while(Result::ok);
        assert!(lines.any(|line| line.contains("enough")));
        process.kill().unwrap();
        process.wait().unwrap();
        let log = directory.path().join("handfast.db-wal");
        assert!(std::fs::metadata(&log).unwrap().len() > 4096);
        spoil(&log);
        let problem = SqliteStore::open(&path).unwrap_err().to_string();
        assert!(
            problem.contains("was acknowledged") && problem.contains("serve --accept-older-store"),
            "{problem}"
        );
    }
}

#[test]
fn a_backup_that_finds_the_disk_full_leaves_nothing_half_written() {
    if let Some(path) = child() {
        let problem =
            handfast_store::backup(&path, &path.with_file_name("backup")).unwrap_err().to_string();
        assert!(problem.contains("free disk space"), "{problem}");
        return;
    }
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("handfast.db");
    drop(SqliteStore::open(&path).unwrap());
    let output = again(
        "a_backup_that_finds_the_disk_full_leaves_nothing_half_written",
        "trap '' XFSZ; ulimit -f 128",
        &path,
    )
    .output()
    .unwrap();
    assert!(output.status.success(), "{output:?}");
    let names: Vec<_> = std::fs::read_dir(directory.path())
        .unwrap()
        .map(|entry| entry.unwrap().file_name())
        .collect();
    assert!(!names.iter().any(|name| name.to_string_lossy().contains("backup")), "{names:?}");
}

#[test]
fn every_file_is_its_owners_alone_whatever_the_umask() {
    if let Some(path) = child() {
        runtime().block_on(async {
            let store = SqliteStore::open(&path).unwrap();
            store
                .admit(asking("lamp", "192.0.2.1", &LIMITS), "{}".to_owned(), LIMITS, START)
                .await
                .unwrap()
                .unwrap();
            // A mark that is just being written has another name for a moment.
            let of_a_moment =
                |file: &std::fs::DirEntry| file.file_name().to_string_lossy().ends_with(".new");
            let files = std::fs::read_dir(path.parent().unwrap()).unwrap().map(Result::unwrap);
            let files: Vec<_> = files.filter(|file| !of_a_moment(file)).collect();
            assert_eq!(files.len(), 5, "{files:?}");
            for file in files {
                assert_eq!(
                    file.metadata().unwrap().permissions().mode() & 0o7777,
                    0o600,
                    "{file:?}"
                );
            }
        });
        return;
    }
    for umask in ["000", "022", "777"] {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("handfast.db");
        let before = format!("umask {umask}");
        let output = again("every_file_is_its_owners_alone_whatever_the_umask", &before, &path)
            .output()
            .unwrap();
        assert!(
            output.status.success(),
            "umask {umask}: {}",
            String::from_utf8_lossy(&output.stderr)
        );
    }
}

#[test]
fn a_second_process_is_told_that_the_first_has_the_registry() {
    if let Some(path) = child() {
        let problem = SqliteStore::open(&path).unwrap_err().to_string();
        assert!(
            problem.contains("handfast.db: process ") && problem.contains("has this registry open"),
            "{problem}"
        );
        return;
    }
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("handfast.db");
    let first = SqliteStore::open(&path).unwrap();
    let run = || {
        again("a_second_process_is_told_that_the_first_has_the_registry", ":", &path)
            .output()
            .unwrap()
    };
    let output = run();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    drop(first);
    assert!(!run().status.success(), "the lock outlived the store");
}

#[test]
fn dropping_a_store_finishes_what_was_asked_of_it() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("handfast.db");
    runtime().block_on(async {
        let store = SqliteStore::open(&path).unwrap();
        let asking = asking("lamp", "192.0.2.1", &LIMITS);
        let id = asking.record.node_id;
        // The caller gives up at once, after the change is under way.
        let _ = tokio::time::timeout(
            Duration::ZERO,
            store.admit(asking, "{}".to_owned(), LIMITS, START),
        )
        .await;
        drop(store);
        assert!(SqliteStore::open(&path).unwrap().load(id).await.unwrap().is_some());
    });
}
