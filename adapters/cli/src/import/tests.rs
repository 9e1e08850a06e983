//! Imports of files as the other systems write them, and of malicious files.

mod databases;

use std::path::{Path, PathBuf};

use handfast_core::NodeId;
use handfast_core::grant::session::{SessionHash, Token};
use handfast_core::registry::inbound::{Facts, InboundLimits, SenderId};
use handfast_core::registry::record::{Credential, Mode, Standing};
use handfast_store::{Filter, Inbound, Sessions, SqliteStore, Store};
use rusqlite::types::Value;
use rusqlite::{Connection, params};
use serde_json::json;
use tempfile::TempDir;

use super::*;

const NOW: UnixTime = UnixTime::from_secs(1_800_000_000);
const TABLES: &str = "
CREATE TABLE pairing_pending (channel TEXT, account_id TEXT, sender_id TEXT, code TEXT, created_at INTEGER, meta_json TEXT DEFAULT '{}',
    PRIMARY KEY (channel, account_id, sender_id));
CREATE TABLE pairing_allow_from (channel TEXT, account_id TEXT, sender_id TEXT, approved_at INTEGER, approved_via TEXT DEFAULT 'cli',
    revoked_at INTEGER, PRIMARY KEY (channel, account_id, sender_id));
CREATE TABLE pairing_sessions (token TEXT PRIMARY KEY, profile TEXT, device_label TEXT, issued_at INTEGER, expires_at INTEGER);";
const ID: &str = "caa4270d-912f-4099-ac2d-45e9d0253e3e";
const HASH: &str = "bf2eb2b4ebe1ff9da42988c31ddc553050e2870f8a9e935f94218e75693e97a3";

struct Bench {
    folder: TempDir,
}

impl Bench {
    fn new() -> Self {
        Self {
            folder: tempfile::Builder::new()
                .permissions(std::os::unix::fs::PermissionsExt::from_mode(0o700))
                .tempdir()
                .unwrap(),
        }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    fn data(&self) -> PathBuf {
        self.path("data")
    }

    fn database(&self) -> Connection {
        let connection = Connection::open(self.path("pairing.db")).unwrap();
        connection.execute_batch(TABLES).unwrap();
        connection
    }

    fn devices(&self, records: &serde_json::Value) -> PathBuf {
        let path = self.path("devices.json");
        std::fs::write(&path, serde_json::to_string_pretty(records).unwrap()).unwrap();
        path
    }

    async fn run(&self, path: &Path, apply: bool) -> FileReport {
        let target = ImportTarget::open(&self.data(), apply, NOW).unwrap();
        let mut file =
            FileReport { path: path.to_owned(), kind: None, problem: None, parts: Vec::new() };
        match recognised(path) {
            Ok(kind) => import(kind, &target, &mut file).await.unwrap(),
            Err(problem) => file.problem = Some(problem),
        }
        file
    }

    /// Returns the counts of the file's only part: imported, there, skipped, refused.
    async fn counts(&self, path: &Path, apply: bool) -> ([u64; 4], String) {
        let file = self.run(path, apply).await;
        assert_eq!(file.problem, None);
        let [part] = &file.parts[..] else { panic!("{file:?}") };
        let counts = [part.imported, part.there, part.skipped, part.refused];
        (counts, ImportReport { files: vec![file], applied: apply }.text(&self.data()))
    }

    fn store(&self) -> SqliteStore {
        SqliteStore::open(&self.path("data/handfast.db")).unwrap()
    }

    async fn facts(&self, channel: &str, sender: &str) -> Facts {
        let id = SenderId::parse(channel, "main", sender).unwrap();
        self.store().facts(id, &InboundLimits::DEFAULT, NOW).await.unwrap()
    }

    async fn standing(&self, node_id: &str) -> Option<Standing> {
        self.store()
            .load(NodeId::parse(node_id).unwrap())
            .await
            .unwrap()
            .map(|stored| stored.record.standing)
    }
}

fn record(node_id: &str, more: serde_json::Value) -> serde_json::Value {
    let mut record = json!({
        "node_id": node_id, "friendly_name": "Kitchen Pi", "room": "Kitchen", "ip_address": "192.168.1.7",
        "hardware_profile": {"mic": "ReSpeaker 2", "ch": [1, 2]}, "last_seen": 1_799_999_000.75, "status": "online", "policy_mode": "full",
        "paired": true, "token_hash": HASH, "audio_logging": false, "audio_log_dir": "", "audio_log_retention_days": 7,
        "sensor_data": {"occupancy": true, "noise_level": 0.5, "updated_at": 1_799_999_000.5},
    });
    for (field, value) in more.as_object().unwrap() {
        record[field] = value.clone();
    }
    record
}

fn id(number: u32) -> String {
    format!("{number:08x}-912f-4099-ac2d-45e9d0253e3e")
}

#[tokio::test]
async fn nodes_come_as_they_were_and_a_second_time_nothing_changes() {
    let bench = Bench::new();
    let path = bench.devices(&json!([
        record(ID, json!({})),
        record(&id(1), json!({"policy_mode": "safe-chat", "paired": "yes"})),
        record(&id(2), json!({"policy_mode": "muted"})),
        record(&id(3), json!({"paired": false})),
        record(&id(4), json!({"paired": false, "token_hash": ""})),
        record(&id(5), json!({"token_hash": "", "friendly_name": "Crashed Pi"})),
    ]));
    let (counts, text) = bench.counts(&path, false).await;
    assert_eq!(counts, [6, 0, 0, 0], "{text}");
    assert!(
        text.contains("6 would be imported")
            && text.contains("Nothing was written")
            && text.contains("--apply"),
        "{text}"
    );
    assert!(!bench.data().exists());

    let (counts, text) = bench.counts(&path, true).await;
    assert_eq!(counts, [6, 0, 0, 0], "{text}");
    assert!(text.contains("6 imported") && !text.contains("Nothing was written"), "{text}");
    assert!(
        text.contains(&format!("changed  {}: it is muted", id(2)))
            && text.contains("never got a token"),
        "{text}"
    );
    let paired = |mode| match mode {
        Some(Standing::Paired { credential: Credential::Token(_), mode }) => mode,
        other => panic!("{other:?}"),
    };
    assert_eq!(paired(bench.standing(ID).await), Mode::Full);
    assert_eq!(paired(bench.standing(&id(1)).await), Mode::SafeChat);
    assert!(matches!(
        bench.standing(&id(2)).await,
        Some(Standing::Muted { restore: Mode::SafeChat, .. })
    ));
    assert!(matches!(bench.standing(&id(3)).await, Some(Standing::Unapproved { .. })));
    assert!(matches!(bench.standing(&id(4)).await, Some(Standing::Pending { .. })));
    assert!(matches!(bench.standing(&id(5)).await, Some(Standing::Pending { .. })));
    let entry = bench.store().find(ID, 1).await.unwrap().remove(0).unwrap();
    assert_eq!(entry.profile, r#"{"ch":[1,2],"mic":"ReSpeaker 2"}"#);
    assert_eq!(
        (entry.record.name.as_str(), entry.record.address.to_string().as_str()),
        ("Kitchen Pi", "192.168.1.7")
    );
    let told = entry.observed.unwrap();
    assert_eq!(
        (told.last_seen.as_secs(), told.occupancy, told.noise_level),
        (1_799_999_000, Some(true), Some(0.5))
    );

    let before = std::fs::read(bench.path("data/handfast.db")).unwrap();
    let (counts, text) = bench.counts(&path, true).await;
    assert_eq!(counts, [0, 6, 0, 0], "{text}");
    assert!(!text.contains("changed"), "{text}");
    let (counts, _) = bench.counts(&path, false).await;
    assert_eq!(counts, [0, 6, 0, 0]);
    assert_eq!(std::fs::read(bench.path("data/handfast.db")).unwrap(), before);
}

#[tokio::test]
async fn nothing_that_is_in_the_registry_is_overwritten() {
    let bench = Bench::new();
    let path = bench.devices(&json!([record(ID, json!({"paired": false}))]));
    bench.run(&path, true).await;
    let path =
        bench.devices(&json!([record(ID, json!({"paired": true, "token_hash": "00".repeat(32)}))]));
    let (counts, text) = bench.counts(&path, true).await;
    assert_eq!(counts, [0, 1, 0, 0]);
    assert!(text.contains("another token here"), "{text}");
    assert!(
        matches!(bench.standing(ID).await, Some(Standing::Unapproved { .. })),
        "an import pairs nobody that is known"
    );
}

#[tokio::test]
async fn records_that_mean_ill_are_refused_one_by_one_and_none_is_paired() {
    let bench = Bench::new();
    let hostile = [
        // This record is changed below into one with half a character.
        json!({}),
        json!({"policy_mode": "loud"}),
        json!({"policy_mode": null}),
        json!({"policy_mode": 1}),
        json!({"paired": 1}),
        json!({"paired": "TRUE"}),
        json!({"paired": {}}),
        json!({"token_hash": HASH[1..]}),
        json!({"token_hash": format!("{HASH}0")}),
        json!({"token_hash": HASH.replace('f', "+")}),
        json!({"token_hash": 7}),
        json!({"friendly_name": 7}),
        json!({"friendly_name": "\u{1b}[2J"}),
        json!({"room": format!("\u{1b}{}", "x".repeat(1 << 20))}),
    ];
    let mut records: Vec<_> =
        hostile.iter().zip(1..).map(|(more, n)| record(&id(n), more.clone())).collect();
    records.extend([
        json!(7),
        json!({}),
        json!(null),
        record(&ID.to_uppercase(), json!({})),
        record("../x\u{1b}", json!({})),
    ]);
    // Two records that contradict each other about one node.
    records.extend([record(&id(900), json!({})), record(&id(900), json!({"paired": false}))]);
    let refused = records.len() as u64;
    records.push(record(ID, json!({})));
    let text =
        serde_json::to_string(&records).unwrap().replacen(r#""Kitchen Pi""#, r#""\ud800""#, 1);
    let path = bench.path("devices.json");
    std::fs::write(&path, text).unwrap();
    let (counts, text) = bench.counts(&path, true).await;
    assert_eq!(counts, [1, 0, 0, refused], "{text}");
    assert!(text.contains(&format!("{}: it cannot be read", id(1))), "{text}");
    assert!(
        text.contains("several records have this node_id")
            && text.contains("\"loud\" is none of full"),
        "{text}"
    );
    assert!(
        !text.contains('\u{1b}') && text.len() < 20_000 && !text.contains(&HASH[1..]),
        "{text}"
    );
    let nodes = bench.store().list(Filter::All, None, 1000, NOW).await.unwrap();
    assert_eq!(nodes.len(), 1);
}

#[tokio::test]
async fn what_a_node_only_tells_never_keeps_it_out() {
    let bench = Bench::new();
    let path = bench.path("devices.json");
    let odd = record(
        ID,
        json!({"ip_address": "here", "hardware_profile": "x", "last_seen": 9e12, "sensor_data": []}),
    );
    let nan =
        record(&id(1), json!({"hardware_profile": {"a": "b".repeat(5000)}, "ip_address": null}))
            .to_string();
    let nan = nan.replace("\"noise_level\":0.5", "\"noise_level\":NaN");
    std::fs::write(&path, format!(" [{odd},\n{nan}]")).unwrap();
    let (counts, text) = bench.counts(&path, true).await;
    assert_eq!(counts, [2, 0, 0, 0], "{text}");
    for changed in [
        "ip_address is none",
        "last_seen is no time in the past",
        "hardware_profile is no JSON object",
    ] {
        assert!(text.contains(changed), "{text}");
    }
    let entry = bench.store().find(&id(1), 1).await.unwrap().remove(0).unwrap();
    assert_eq!((entry.profile.as_str(), entry.observed.unwrap().noise_level), ("{}", None));
}

#[tokio::test]
async fn a_byte_order_mark_ahead_of_the_records_changes_nothing() {
    let bench = Bench::new();
    let text =
        serde_json::to_string(&json!([record(ID, json!({"friendly_name": "Küche"}))])).unwrap();
    let wide = |bytes: fn(u16) -> [u8; 2]| {
        std::iter::once(0xfeff).chain(text.encode_utf16()).flat_map(bytes).collect::<Vec<u8>>()
    };
    let marked = [&b"\xef\xbb\xbf"[..], text.as_bytes()].concat();
    for bytes in [marked, wide(u16::to_le_bytes), wide(u16::to_be_bytes)] {
        let path = bench.path("devices.json");
        std::fs::write(&path, bytes).unwrap();
        let (counts, text) = bench.counts(&path, false).await;
        assert_eq!(counts, [1, 0, 0, 0], "{text}");
    }
    let (counts, _) = bench.counts(&bench.path("devices.json"), true).await;
    assert_eq!(counts, [1, 0, 0, 0]);
    let entry = bench.store().find(ID, 1).await.unwrap().remove(0).unwrap();
    assert_eq!(entry.record.name.as_str(), "Küche");
}

#[tokio::test]
async fn a_name_beyond_our_bounds_is_shown_up_to_them_and_its_node_comes_along() {
    let bench = Bench::new();
    let long =
        json!([record(ID, json!({"friendly_name": "ü".repeat(70), "room": "Hall\u{202e}x"}))]);
    let (counts, text) = bench.counts(&bench.devices(&long), true).await;
    assert_eq!(counts, [1, 0, 0, 0], "{text}");
    assert!(text.contains("friendly_name") && text.contains("stands in for it"), "{text}");
    let entry = bench.store().find(ID, 1).await.unwrap().remove(0).unwrap();
    assert_eq!(
        (entry.record.name.as_str(), entry.record.room.as_str()),
        (&*"ü".repeat(64), "Hall")
    );

    let database = bench.database();
    let token = "HTrGwLwHno_hwtsvczbQgcFJdi-WS068rgQyr4fD2ZQ";
    let (issued, ends) = (NOW.as_secs() - 10, NOW.as_secs() + 1000);
    let row = format!(
        "INSERT INTO pairing_sessions VALUES ('{token}', 'companion-v1', '{}', {issued}, {ends})",
        "x".repeat(100)
    );
    database.execute_batch(&row).unwrap();
    let file = bench.run(&bench.path("pairing.db"), true).await;
    assert!(file.parts.iter().any(|part| part.imported == 1), "{file:?}");
}

#[tokio::test]
async fn a_flood_of_requests_leaves_room_for_those_to_come() {
    let bench = Bench::new();
    let asks = |n: u32| {
        record(
            &id(n),
            json!({"paired": false, "token_hash": "", "friendly_name": format!("node {n}")}),
        )
    };
    let path = bench.devices(&(1..=100).map(asks).collect());
    let (counts, text) = bench.counts(&path, true).await;
    assert_eq!(counts, [64, 0, 0, 36], "{text}");
}
