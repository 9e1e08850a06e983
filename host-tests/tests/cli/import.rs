//! Import of other systems' data into a gateway's registry: its nodes, companions and senders work
//! as before.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};

use rusqlite::{Connection, params};
use serde_json::{Value, json};

use super::gateway::{Gateway, private_dir};
use crate::binaries::{run, text};

/// Id of a node in the other gateway's registry; the hash there is that of [`TOKEN`].
const ID: &str = "caa4270d-912f-4099-ac2d-45e9d0253e3e";
const TOKEN: &str = "HTrGwLwHno_hwtsvczbQgcFJdi-WS068rgQyr4fD2ZQ";
const HASH: &str = "bf2eb2b4ebe1ff9da42988c31ddc553050e2870f8a9e935f94218e75693e97a3";
const SESSION: &str = "s3SS10n_token-of-43-characters_ABCDEFGHIJKL";

fn devices(folder: &Path) -> PathBuf {
    let record = |id: &str, paired: bool, mode: &str| {
        json!({
            "node_id": id, "friendly_name": "Kitchen Pi", "room": "Kitchen", "ip_address": "192.168.1.7", "hardware_profile": {"mic": 1},
            "last_seen": 1_750_000_000.5, "status": "offline", "policy_mode": mode, "paired": paired, "token_hash": HASH,
            "audio_logging": false, "audio_log_dir": "", "audio_log_retention_days": 7,
            "sensor_data": {"occupancy": null, "noise_level": null, "updated_at": null},
        })
    };
    let path = folder.join("devices.json");
    let unapproved = "11111111-912f-4099-ac2d-45e9d0253e3e";
    std::fs::write(
        &path,
        json!([record(ID, true, "full"), record(unapproved, false, "full")]).to_string(),
    )
    .unwrap();
    path
}

fn database(folder: &Path) -> PathBuf {
    let path = folder.join("pairing.db");
    let database = Connection::open(&path).unwrap();
    let tables = "
        CREATE TABLE pairing_pending (channel TEXT, account_id TEXT, sender_id TEXT, code TEXT, created_at INTEGER,
            meta_json TEXT DEFAULT '{}', PRIMARY KEY (channel, account_id, sender_id));
        CREATE TABLE pairing_allow_from (channel TEXT, account_id TEXT, sender_id TEXT, approved_at INTEGER,
            approved_via TEXT DEFAULT 'cli', revoked_at INTEGER, PRIMARY KEY (channel, account_id, sender_id));
        CREATE TABLE pairing_sessions (token TEXT PRIMARY KEY, profile TEXT, device_label TEXT, issued_at INTEGER, expires_at INTEGER);";
    database.execute_batch(tables).unwrap();
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap().as_secs();
    let now = i64::try_from(now).unwrap();
    let allow =
        "INSERT INTO pairing_allow_from VALUES ('whatsapp', 'main', ?1, 1700000000, 'cli', ?2)";
    database.execute(allow, params!["573001234567@c.us", Option::<i64>::None]).unwrap();
    database.execute(allow, params!["573009999999", 1_700_000_100]).unwrap();
    let session = "INSERT INTO pairing_sessions VALUES (?1, 'companion-v1', 'Phone', ?2, ?3)";
    database.execute(session, params![SESSION, now - 60, now + 3600]).unwrap();
    path
}

fn import(files: &[&Path], data: &Path, more: &[&str]) -> (i32, String, String) {
    let mut args = vec!["import"];
    args.extend(files.iter().map(|file| file.to_str().unwrap()));
    args.extend(["--data", data.to_str().unwrap()]);
    args.extend(more);
    text(&run("handfast", &args))
}

/// Sends one request, and returns the status and the body of the answer.
pub(super) fn ask(
    mut stream: impl Read + Write,
    line: &str,
    more: &str,
    body: &str,
) -> (u16, Value) {
    let length = body.len();
    let head = format!(
        "{line} HTTP/1.1\r\nhost: handfast\r\nconnection: close\r\ncontent-length: {length}\r\n{more}\r\n"
    );
    stream.write_all((head + body).as_bytes()).unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    let status = answer.split(' ').nth(1).unwrap().parse().unwrap();
    let body = answer.split_once("\r\n\r\n").unwrap().1;
    (status, serde_json::from_str(body).unwrap_or(Value::Null))
}

fn session(gateway: &Gateway, token: &str) -> (u16, Value) {
    let stream = TcpStream::connect(&gateway.address).unwrap();
    ask(stream, "GET /api/v1/session", &format!("authorization: Bearer {token}\r\n"), "")
}

fn admit(gateway: &Gateway, sender: &str) -> Value {
    let stream = UnixStream::connect(gateway.data.path().join("handfast.sock")).unwrap();
    let body = json!({"channel": "whatsapp", "account": "main", "sender": sender}).to_string();
    let (status, answer) =
        ask(stream, "POST /api/v1/inbound/admit", "content-type: application/json\r\n", &body);
    assert_eq!(status, 200, "{answer}");
    answer["decision"].clone()
}

#[tokio::test(flavor = "multi_thread")]
async fn nodes_companions_and_senders_of_other_systems_go_on_as_they_did() {
    let folder = private_dir();
    let (devices, database) = (devices(folder.path()), database(folder.path()));
    let files = [devices.as_path(), database.as_path()];
    let mut gateway = Gateway::start();
    let waiting = gateway.ask("Waiting").await;
    assert_eq!(gateway.auth(ID, TOKEN).await, "auth_fail");
    assert_eq!(session(&gateway, SESSION).0, 401);

    // A trial changes nothing for a running gateway, and the real import is refused.
    let (code, out, err) = import(&files, gateway.data.path(), &[]);
    assert_eq!(code, 0, "{out}{err}");
    assert!(
        out.contains("2 would be imported")
            && out.contains("stop the gateway and run:\n  handfast import "),
        "{out}"
    );
    let (code, _, err) = import(&files, gateway.data.path(), &["--apply"]);
    assert!(code == 1 && err.contains("end `handfast serve`"), "{err}");
    gateway.running.kill();
    let registry = gateway.data.path().join("handfast.db");
    let everything = || {
        ["", "-wal", "-shm", ".lock"]
            .map(|end| std::fs::read(format!("{}{end}", registry.display())).ok())
    };
    let before = everything();
    let (code, out, err) = import(&files, gateway.data.path(), &[]);
    assert_eq!(code, 0, "{out}{err}");
    assert!(before[0].is_some() && everything() == before, "trying changes no byte");

    let (code, out, err) = import(&files, gateway.data.path(), &["--apply"]);
    assert!(
        code == 0 && out.contains("2 imported") && !out.contains(SESSION) && !out.contains(HASH),
        "{out}{err}"
    );
    let (code, out, _) = import(&files, gateway.data.path(), &["--apply", "--json"]);
    let again: Value = serde_json::from_str(&out).unwrap();
    let parts = |file: usize| again["files"][file]["parts"].as_array().unwrap().clone();
    let there: u64 =
        parts(0).iter().chain(&parts(1)).map(|part| part["already_there"].as_u64().unwrap()).sum();
    assert_eq!((code, there, &again["applied"]), (0, 5, &json!(true)), "{out}");

    let gateway = gateway.crash_and_restart();
    assert_eq!(gateway.auth(ID, TOKEN).await, "auth_ok");
    assert_eq!(gateway.auth(ID, &TOKEN.replace('H', "A")).await, "auth_fail");
    assert_eq!(gateway.json(&["status", "11111111"])["standing"], "unapproved");
    assert_eq!(
        gateway.json(&["status", &waiting])["standing"],
        "pending",
        "what was there is there"
    );
    let (status, answer) = session(&gateway, SESSION);
    assert_eq!((status, answer["device_label"].as_str()), (200, Some("Phone")), "{answer}");
    assert_eq!(session(&gateway, &SESSION.replace('A', "B")).0, 401);
    assert_eq!(admit(&gateway, "+573001234567"), "admit");
    assert_eq!(admit(&gateway, "573009999999"), "challenge", "what was taken back stays so");
}

#[test]
fn what_cannot_be_imported_is_named_and_ends_with_1() {
    let folder = private_dir();
    let data = folder.path().join("data");
    let path = folder.path().join("devices.json");
    std::fs::write(
        &path,
        json!([{"node_id": ID, "paired": true, "token_hash": HASH, "policy_mode": "lo\u{1b}ud"}, 7]).to_string(),
    )
    .unwrap();
    for more in [&[][..], &["--apply"]] {
        let (code, out, err) = import(&[&path], &data, more);
        assert!(code == 1 && err.contains("2 rows were refused"), "{err}");
        assert!(
            out.contains(ID) && out.contains("lo\\u{1b}ud") && !out.contains('\u{1b}'),
            "{out}"
        );
    }
    let (code, out, err) = import(&[&folder.path().join("nothing.db"), &path], &data, &[]);
    assert!(
        code == 1
            && out.contains("nothing.db: not understood")
            && err.contains("1 file was not understood"),
        "{out}{err}"
    );
    assert!(out.contains("devices.json --data") && !out.contains("nothing.db --"), "{out}");
    let (_, out, _) = import(&[&folder.path().join("nothing.db")], &data, &[]);
    assert!(out.contains("there is nothing to import") && !out.contains("--apply"), "{out}");
    assert_eq!(import(&[], &data, &[]).0, 2, "no file");
    assert_eq!(import(&[&path], &data, &["--account-map", "x"]).0, 2);
}
