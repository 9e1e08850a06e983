//! Steps, errors and corrections of the system's clock under the shipped gateway. Its wall clock is
//! libfaketime's, and follows a file.

use std::net::TcpStream;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::{Duration, Instant};

use futures_util::{SinkExt, StreamExt};
use serde_json::{Value, json};
use tempfile::TempDir;

use super::gateway::{Gateway, private_dir};
use crate::binaries::{program, text};

/// Limit for every step; only a defect takes this long.
const PATIENCE: Duration = Duration::from_secs(30);
const LIBRARY: &str = "/usr/lib/x86_64-linux-gnu/faketime/libfaketimeMT.so.1";
const HOUR: u64 = 3600;

/// A gateway whose wall clock the test sets.
struct Clocked {
    gateway: Gateway,
    /// Directory of the files with the wall clock and its synchronisation.
    clock: TempDir,
}

/// Returns the path of libfaketime.
pub(super) fn library() -> PathBuf {
    let elsewhere = std::fs::read_dir("/usr/lib")
        .into_iter()
        .flatten()
        .flatten()
        .map(|entry| entry.path().join("faketime/libfaketimeMT.so.1"));
    std::iter::once(PathBuf::from(LIBRARY))
        .chain(elsewhere)
        .find(|path| path.exists())
        .expect("libfaketime: apt-get install faketime")
}

/// Returns what the gateway's status says of its clock.
fn clock_of(status: &str) -> &str {
    status.lines().find_map(|line| line.strip_prefix("clock:")).unwrap_or_default().trim_start()
}

fn set(clock: &Path, to: &str) {
    // Renamed as a whole, so that nobody reads half of a line.
    std::fs::write(clock.join("next"), format!("{to}\n")).unwrap();
    std::fs::rename(clock.join("next"), clock.join("wall")).unwrap();
}

fn serve(data: TempDir, listen: &str, clock: &Path, more: &[&str]) -> Gateway {
    let log = data.path().with_extension("log");
    let file = std::fs::OpenOptions::new().create(true).append(true).open(&log).unwrap();
    let mut command = program("handfast");
    command.args(["serve", "--listen", listen, "--session-ttl", "1h", "--data"]).arg(data.path());
    command.arg("--clock-synchronised-file").arg(clock.join("synchronised")).args(more);
    command.env("LD_PRELOAD", library()).env("FAKETIME_TIMESTAMP_FILE", clock.join("wall"));
    command.env("FAKETIME_NO_CACHE", "1").env("DONT_FAKE_MONOTONIC", "1").env("TZ", "UTC");
    Gateway::of(command.stdout(Stdio::piped()).stderr(file).spawn().unwrap(), data, log)
}

/// Returns the seconds of a time that the gateway told.
fn secs(time: &Value) -> u64 {
    handfast_core::rfc3339::read(time.as_str().unwrap()).unwrap().as_secs()
}

impl Clocked {
    fn start(wall: &str) -> Self {
        let clock = private_dir();
        set(clock.path(), wall);
        Self { gateway: serve(private_dir(), "127.0.0.1:0", clock.path(), &[]), clock }
    }

    /// Kills the gateway as a crash would, and starts it again with this wall clock.
    fn restart(self, wall: &str) -> Self {
        let Self { mut gateway, clock } = self;
        set(clock.path(), wall);
        gateway.running.kill();
        let Gateway { data, address, .. } = gateway;
        Self { gateway: serve(data, &address, clock.path(), &[]), clock }
    }

    /// Sets the wall clock of the running gateway, and waits until it has noticed.
    fn step(&self, wall: &str, state: &str) {
        set(self.clock.path(), wall);
        self.becomes(state);
    }

    fn synchronise(&self) {
        std::fs::write(self.clock.path().join("synchronised"), "").unwrap();
    }

    fn clock(&self) -> Value {
        self.gateway.answer(&["clock"])
    }

    fn becomes(&self, state: &str) {
        let begun = Instant::now();
        // Long enough for one look at the clock that began after the step.
        std::thread::sleep(Duration::from_millis(1100));
        loop {
            let clock = self.clock();
            if clock["state"] == state {
                return;
            }
            assert!(begun.elapsed() < PATIENCE, "not {state}: {clock}");
            std::thread::sleep(Duration::from_millis(50));
        }
    }

    fn setup(&self) -> String {
        super::setup::started(&self.gateway, &[])["bootstrap_token"].as_str().unwrap().to_owned()
    }

    /// Sends a frame on the companions' path, and returns the answer.
    async fn says(&self, frame: Value) -> Value {
        let (mut socket, _) =
            tokio_tungstenite::connect_async(format!("ws://{}/pair", self.gateway.address))
                .await
                .unwrap();
        socket.send(frame.to_string().into()).await.unwrap();
        let answer = socket.next().await.unwrap().unwrap().into_text().unwrap();
        serde_json::from_str(&answer).unwrap()
    }

    async fn redeem(&self, token: &str) -> Value {
        self.says(json!({"bootstrap_token": token})).await
    }

    async fn session(&self) -> String {
        let opened = self.redeem(&self.setup()).await;
        opened["session_token"].as_str().unwrap_or_else(|| panic!("{opened}")).to_owned()
    }

    /// Returns the answer to a request with a bearer token.
    fn bearer(&self, token: &str) -> (u16, Value) {
        let stream = TcpStream::connect(&self.gateway.address).unwrap();
        super::import::ask(
            stream,
            "GET /api/v1/session",
            &format!("authorization: Bearer {token}\r\n"),
            "",
        )
    }

    fn lets_in(&self, token: &str) -> bool {
        self.bearer(token).0 == 200
    }

    fn ends_of_sessions(&self) -> Vec<u64> {
        let list = self.gateway.answer(&["setup", "list", "--all"]);
        list["items"]
            .as_array()
            .unwrap()
            .iter()
            .map(|session| secs(&session["expires_at"]))
            .collect()
    }
}

#[test]
fn a_command_on_a_machine_with_another_clock_counts_by_the_gateways() {
    let gateway = Gateway::start();
    let ahead = |args: &[&str]| {
        let mut command = program("handfast");
        command.env("LD_PRELOAD", library()).env("FAKETIME", "+1500d").env("TZ", "UTC");
        command.env("DONT_FAKE_MONOTONIC", "1").args(args).arg("--data").arg(gateway.data.path());
        text(&command.output().unwrap())
    };
    let (code, out, err) = ahead(&["codes", "create", "--read", "/**"]);
    assert!(code == 0 && !format!("{out}{err}").contains("0:00"), "{out}{err}");
    let (_, out, _) = ahead(&["codes", "list"]);
    assert!(out.contains("in 4:") || out.contains("in 5:00"), "{out}");
    let _node = super::nodes::paired(&gateway);
    let (_, out, _) = ahead(&["nodes", "list"]);
    assert!(out.contains("now") && !out.contains("days ago"), "{out}");
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs libfaketime"]
async fn a_session_that_was_ended_while_the_clock_was_ahead_stays_ended_when_it_is_right_again() {
    let gateway = Clocked::start("+0");
    let (one, two, three) =
        (gateway.session().await, gateway.session().await, gateway.session().await);
    let id =
        gateway.gateway.answer(&["setup", "list"])["items"][0]["id"].as_str().unwrap().to_owned();
    let gateway = gateway.restart("+2h");
    let (code, out, err) = gateway.gateway.verb(&["setup", "revoke", "--yes", &id]);
    assert!(code == 0 && out.contains("ended"), "{out}{err}");
    // One of the others is seen to be over; none is read again.
    assert!(!gateway.lets_in(&one));
    assert_eq!(gateway.gateway.verb(&["setup", "revoke", "--all", "--yes"]).0, 0);
    let gateway = gateway.restart("+0");
    assert_eq!(gateway.clock()["state"], "behind");
    for token in [&one, &two, &three] {
        assert!(!gateway.lets_in(token), "{:?}", gateway.bearer(token));
    }
    // They do not revive when the owner sets the time right either.
    let now = secs(&gateway.clock()["system"]);
    let text = handfast_core::rfc3339::write(handfast_core::UnixTime::from_secs(now));
    assert_eq!(gateway.gateway.verb(&["clock", "accept", "--at", text.as_str()]).0, 0);
    assert_eq!(gateway.clock()["state"], "good");
    for token in [&one, &two, &three] {
        assert!(!gateway.lets_in(token), "{:?}", gateway.bearer(token));
    }
    let fresh = gateway.session().await;
    assert!(gateway.lets_in(&fresh));
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs libfaketime"]
async fn what_has_expired_while_the_clock_was_ahead_stays_over_when_it_is_right_again() {
    let gateway = Clocked::start("+0");
    let session = gateway.session().await;
    let setup = gateway.setup();
    let node = gateway.gateway.ask("Kitchen Pi").await;
    assert_eq!(gateway.gateway.verb(&["pairing", "open", "--for", "1h"]).0, 0);
    assert_eq!(gateway.gateway.verb(&["pairing", "code"]).0, 0);
    assert_eq!(gateway.gateway.answer(&["pairing", "list"])["codes"].as_array().unwrap().len(), 1);
    let over = async |gateway: &Clocked, when: &str| {
        assert!(!gateway.lets_in(&session), "{when}");
        assert_eq!(gateway.redeem(&setup).await["error"], "expired", "{when}");
        let listed = gateway.gateway.answer(&["pairing", "list"]);
        assert_eq!(
            (&listed["pairing"]["open"], listed["codes"].as_array().unwrap().len()),
            (&json!(false), 0),
            "{when}"
        );
        assert_ne!(gateway.gateway.devices(&["pair", &node]).0, 0, "{when}");
    };
    let gateway = gateway.restart("+2d");
    over(&gateway, "two days later").await;
    let gateway = gateway.restart("+0");
    over(&gateway, "at the true time").await;
    assert!(
        clock_of(&gateway.gateway.devices(&["status"]).1).starts_with("behind: "),
        "the operator sees why"
    );
    assert!(gateway.redeem(&gateway.setup()).await["session_token"].is_string(), "new codes work");
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs libfaketime"]
async fn steps_to_and_fro_in_one_run_end_nothing_and_lengthen_nothing() {
    let gateway = Clocked::start("+0");
    let session = gateway.session().await;
    let ends = gateway.ends_of_sessions();
    for (number, (wall, state)) in [
        ("+2d", "good"),
        ("-2d", "behind"),
        ("+800d", "doubtful"),
        ("-800d", "behind"),
        ("+0", "good"),
    ]
    .iter()
    .cycle()
    .take(10)
    .enumerate()
    {
        gateway.step(wall, state);
        assert!(gateway.lets_in(&session), "step {number}: {:?}", gateway.bearer(&session));
        let fresh = gateway.session().await;
        assert!(gateway.lets_in(&fresh), "step {number}");
    }
    let clock = gateway.clock();
    let after = gateway.ends_of_sessions();
    let now = secs(&clock["now"]);
    assert!(after.iter().all(|end| *end <= now + HOUR + 60), "{after:?} at {now}");
    assert!(ends.iter().all(|end| after.contains(end)), "the first ends when it was to end");
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs libfaketime"]
async fn steps_to_and_fro_across_restarts_revive_nothing_and_leave_new_codes_good() {
    let mut gateway = Clocked::start("+0");
    let mut ended = vec![gateway.session().await];
    assert_eq!(gateway.gateway.verb(&["setup", "revoke", "--all", "--yes"]).0, 0);
    for (number, wall) in ["+2d", "-2d", "+800d", "-800d", "+0"].iter().cycle().take(10).enumerate()
    {
        gateway = gateway.restart(wall);
        let fresh = gateway.session().await;
        assert!(gateway.lets_in(&fresh), "start {number} at {wall}");
        for token in &ended {
            assert!(!gateway.lets_in(token), "start {number} at {wall}");
        }
        assert_eq!(gateway.gateway.verb(&["setup", "revoke", "--all", "--yes"]).0, 0);
        ended.push(fresh);
        let now = secs(&gateway.clock()["now"]);
        assert!(
            gateway.ends_of_sessions().iter().all(|end| *end <= now + HOUR + 60),
            "start {number} at {wall}"
        );
    }
    // This needs no new key.
    assert!(gateway.redeem(&gateway.setup()).await["session_token"].is_string());
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs libfaketime"]
async fn a_doubtful_clock_suspends_what_it_would_end_and_ends_it_only_when_it_is_accepted() {
    let gateway = Clocked::start("+0");
    let session = gateway.session().await;
    let setup = gateway.setup();
    let node = gateway.gateway.ask("Kitchen Pi").await;
    let gateway = gateway.restart("+800d");
    assert_eq!(gateway.clock()["state"], "doubtful");
    let (_, status, _) = gateway.gateway.devices(&["status"]);
    assert!(
        clock_of(&status).starts_with("doubtful: ") && status.contains("handfast clock accept"),
        "{status}"
    );
    let answer = gateway.bearer(&session);
    assert!(answer.0 == 503 && answer.1["error"]["code"] == "clock_in_doubt", "{answer:?}");
    assert_eq!(gateway.says(json!({"session_token": session})).await["error"], "clock in doubt");
    assert_eq!(gateway.redeem(&setup).await["error"], "clock in doubt");
    let (code, _, err) = gateway.gateway.devices(&["pair", &node]);
    assert!(code == 1 && err.contains("clock is in doubt"), "{err}");
    // Sessions that are made now are not affected.
    let fresh = gateway.session().await;
    assert!(gateway.lets_in(&fresh));

    // With the right time, nothing is lost.
    let gateway = gateway.restart("+0");
    assert_eq!(gateway.clock()["state"], "good");
    assert!(gateway.lets_in(&session) && gateway.lets_in(&fresh));
    assert!(gateway.redeem(&setup).await["session_token"].is_string());
    assert_eq!(gateway.gateway.devices(&["pair", &node]).0, 0);

    // Once the time is accepted, the session is over; what was made in doubt keeps its life.
    let gateway = gateway.restart("+800d");
    let fresh = gateway.session().await;
    let (code, out, err) = gateway.gateway.verb(&["clock", "accept"]);
    assert!(code == 0 && out.contains("clock: good"), "{out}{err}");
    assert!(gateway.lets_in(&fresh));
    assert_eq!(gateway.bearer(&session).0, 401);
    let now = secs(&gateway.clock()["now"]);
    let ends = gateway.ends_of_sessions();
    assert!(
        ends.iter().any(|end| (now + HOUR - 60..=now + HOUR).contains(end)),
        "{ends:?} at {now}"
    );
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs libfaketime"]
async fn what_was_made_at_1970_lives_its_life_when_the_clock_is_put_right() {
    // The clock stands in 1970. The day that it is corrected to is near that of this version,
    // whenever the test runs.
    let released = handfast_core::registry::trusted_time::RELEASED.as_secs();
    let day = |secs: u64| {
        let text = handfast_core::rfc3339::write(handfast_core::UnixTime::from_secs(secs));
        format!("@{}", text.as_str().trim_end_matches('Z').replace('T', " "))
    };
    let gateway = Clocked::start("@1970-01-02 00:00:00");
    let clock = gateway.clock();
    assert!(clock["state"] == "behind" && secs(&clock["now"]) >= released, "{clock}");
    let begun = Instant::now();
    let (session, setup) = (gateway.session().await, gateway.setup());
    let node = gateway.gateway.ask("Kitchen Pi").await;
    gateway.step(&day(released + 20 * 24 * HOUR), "good");
    let now = secs(&gateway.clock()["now"]);
    // What has elapsed counts, however long a busy machine took for it.
    let spent = begun.elapsed().as_secs() + 2;
    assert!(now >= released + 20 * 24 * HOUR, "it leaves the wrong time at once: {now}");
    assert!(gateway.lets_in(&session));
    let ends = gateway.ends_of_sessions();
    assert!(
        ends.iter().all(|end| (now + HOUR - spent..=now + HOUR).contains(end)),
        "{ends:?} at {now}"
    );
    assert!(gateway.redeem(&setup).await["session_token"].is_string());
    assert_eq!(gateway.gateway.devices(&["pair", &node]).0, 0);
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs libfaketime"]
async fn a_synchronised_step_moves_what_this_run_made_and_ends_what_an_earlier_one_made() {
    let gateway = Clocked::start("+0");
    let earlier = gateway.session().await;
    let gateway = gateway.restart("+0");
    let (made, setup) = (gateway.session().await, gateway.setup());
    gateway.synchronise();
    gateway.step("+2d", "good");
    let begun = Instant::now();
    while secs(&gateway.clock()["now"]) + 60 < secs(&gateway.clock()["system"]) {
        assert!(begun.elapsed() < PATIENCE, "the step is not taken over: {}", gateway.clock());
        std::thread::sleep(Duration::from_millis(50));
    }
    assert!(gateway.lets_in(&made) && !gateway.lets_in(&earlier));
    assert!(gateway.redeem(&setup).await["session_token"].is_string());
    // It was seen to be over, and a clock that goes back does not change that.
    let gateway = gateway.restart("+0");
    assert!(!gateway.lets_in(&earlier));
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs libfaketime"]
async fn after_a_code_was_spent_800_days_ahead_new_ones_work_when_the_owner_sets_the_time_right() {
    let gateway = Clocked::start("+800d");
    assert_eq!(gateway.clock()["state"], "good", "a first start has nothing to doubt its clock by");
    let (session, spent) = (gateway.session().await, gateway.setup());
    assert!(gateway.redeem(&spent).await["session_token"].is_string());
    let gateway = gateway.restart("+0");
    assert_eq!(gateway.clock()["state"], "behind");
    assert!(gateway.redeem(&gateway.setup()).await["session_token"].is_string());
    let now = secs(&gateway.clock()["system"]);
    let text = handfast_core::rfc3339::write(handfast_core::UnixTime::from_secs(now));
    let (code, out, err) = gateway.gateway.verb(&["clock", "accept", "--at", text.as_str()]);
    assert!(
        code == 0 && out.contains("clock: good") && out.contains("made under a false time: "),
        "{out}{err}"
    );
    assert!(!gateway.lets_in(&session), "nobody knows when it should end");
    assert_eq!(gateway.redeem(&spent).await["error"], "invalid signature");
    let fresh = gateway.session().await;
    assert!(gateway.lets_in(&fresh));
    let (code, _, err) = gateway.gateway.verb(&["clock", "accept", "--at", "yesterday"]);
    assert!(code == 2 && err.contains("2026-11-29T14:00:00Z"), "{err}");
}
