//! Imports of databases: senders and sessions.

use super::*;

fn allow(database: &Connection, channel: &str, sender: &str, at: i64, revoked: Option<i64>) {
    database
        .execute(
            "INSERT INTO pairing_allow_from VALUES (?1, 'main', ?2, ?3, 'cli', ?4)",
            params![channel, sender, at, revoked],
        )
        .unwrap();
}

#[tokio::test]
async fn senders_and_sessions_come_in_one_spelling_and_only_as_hashes() {
    let bench = Bench::new();
    let database = bench.database();
    database.pragma_update(None, "journal_mode", "wal").unwrap();
    let now = i64::try_from(NOW.as_secs()).unwrap();
    allow(&database, "whatsapp", "+573001234567@c.us", 1000, None);
    allow(&database, "telegram", "@User", 1000, None);
    allow(&database, "mail", "ana@example.org", 1000, Some(2000));
    // One sender allowed, then revoked under another spelling, and one the other way round.
    allow(&database, "whatsapp", "111", 1000, None);
    allow(&database, "whatsapp", "+111", 900, Some(1500));
    allow(&database, "telegram", "@ana", 1000, Some(1500));
    allow(&database, "telegram", "@Ana", 1600, None);
    let pending = "INSERT INTO pairing_pending VALUES ('telegram', 'main', ?1, ?2, ?3, ?4)";
    database.execute(pending, params!["@New", "ABCD2345", now - 60, r#"{"name":"New"}"#]).unwrap();
    database.execute(pending, params!["@old", "ABCD2346", now - 3600, "{}"]).unwrap();
    database
        .execute(
            pending,
            params!["@long", "ABCD2347", now, format!("{{\"a\":\"{}\"}}", "x".repeat(1100))],
        )
        .unwrap();
    database.execute(pending, params!["@lower", "abcd2348", now, "{}"]).unwrap();
    let (open, over) = ("o".repeat(43), "v".repeat(43));
    let session = "INSERT INTO pairing_sessions VALUES (?1, 'companion-v1', ?2, ?3, ?4)";
    database.execute(session, params![open, "Phone", now - 60, now + 86_340]).unwrap();
    database.execute(session, params![over, Value::Null, now - 90_000, now - 3_600]).unwrap();
    // The database is still open, so all of this is in its log.
    let path = bench.path("pairing.db");
    let files = || {
        let mut names: Vec<_> = std::fs::read_dir(bench.folder.path())
            .unwrap()
            .map(|entry| entry.unwrap().path())
            .collect();
        names.retain(|name| name.is_file());
        names.sort();
        names.into_iter().map(|name| (std::fs::read(&name).unwrap(), name)).collect::<Vec<_>>()
    };
    let before = files();
    assert!(
        before.iter().any(|(bytes, name)| name.ends_with("pairing.db-wal") && !bytes.is_empty())
    );
    let dry = bench.run(&path, false).await;
    let file = bench.run(&path, true).await;
    assert_eq!(files(), before, "the file is not touched");
    assert_eq!(file.problem, None);
    let counts: Vec<_> =
        file.parts.iter().map(|p| (p.from, p.imported, p.there, p.skipped, p.refused)).collect();
    let expected = [
        ("pairing_allow_from", 5, 0, 2, 0),
        ("pairing_pending", 2, 0, 1, 1),
        ("pairing_sessions", 1, 0, 1, 0),
    ];
    assert_eq!(counts, expected, "{file:?}");
    assert_eq!(
        counts,
        dry.parts
            .iter()
            .map(|p| (p.from, p.imported, p.there, p.skipped, p.refused))
            .collect::<Vec<_>>()
    );
    let text = ImportReport { files: vec![file], applied: true }.text(&bench.data());
    for said in [
        "the sender is spelled \"+573001234567\"",
        "the same sender as another row",
        "meta_json",
        "code is none",
        "it has ended",
    ] {
        assert!(text.contains(said), "{said}: {text}");
    }
    assert!(!text.contains(&open) && !text.contains(&over), "no token is shown");

    let is_in = async |channel, sender| {
        bench.facts(channel, sender).await.allowed.is_some_and(|allowed| allowed.is_active(NOW))
    };
    assert!(is_in("whatsapp", "+573001234567").await && is_in("telegram", "@user").await);
    assert!(!is_in("mail", "ana@example.org").await);
    assert!(!is_in("whatsapp", "111").await, "what was taken back last stays so");
    assert!(is_in("telegram", "@ana").await, "what was let in last stays so");
    let waits = bench.facts("telegram", "@new").await.pending.unwrap();
    assert_eq!((waits.code.as_str(), waits.created_at.as_secs()), ("ABCD2345", NOW.as_secs() - 60));
    let hash = SessionHash::of(&Token::parse(&open).unwrap());
    let session = bench.store().session_by_hash(&hash).await.unwrap().unwrap();
    assert_eq!(
        (session.profile.as_str(), session.device_label.unwrap().as_str()),
        ("companion-v1", "Phone")
    );
    assert!(
        !std::fs::read(bench.path("data/handfast.db"))
            .unwrap()
            .windows(43)
            .any(|bytes| bytes == open.as_bytes())
    );

    let again = bench.run(&path, true).await;
    let counts: Vec<_> =
        again.parts.iter().map(|p| (p.imported, p.there, p.skipped, p.refused)).collect();
    assert_eq!(counts, [(0, 5, 2, 0), (0, 2, 1, 1), (0, 1, 1, 0)]);
    drop(database);
}

#[tokio::test]
async fn rows_that_mean_ill_are_refused_one_by_one() {
    let bench = Bench::new();
    let database = bench.database();
    let text = |text: &str| Value::Text(text.to_owned());
    let sender = [
        Value::Null,
        Value::Blob(b"573001".to_vec()),
        text(""),
        text("a\u{1b}[2Jb"),
        text("a\0b"),
        text("a\u{202e}b"),
        Value::Text("x".repeat(1 << 20)),
        text(&"x".repeat(129)),
    ];
    for value in &sender {
        database
            .execute(
                "INSERT INTO pairing_allow_from VALUES ('mail', 'main', ?1, 5, 'cli', NULL)",
                [value],
            )
            .unwrap();
        database
            .execute(
                "INSERT INTO pairing_allow_from VALUES (?1, 'main', 'a', 5, 'cli', NULL)",
                [value],
            )
            .unwrap();
        database
            .execute(
                "INSERT INTO pairing_allow_from VALUES ('mail', ?1, 'b', 5, 'cli', NULL)",
                [value],
            )
            .unwrap();
    }
    for (channel, raw) in [("whatsapp", "1203@g.us"), ("telegram", "User"), ("telegram", "-100")] {
        allow(&database, channel, raw, 5, None);
    }
    let times = [
        Value::Null,
        text("soon"),
        Value::Integer(-1),
        Value::Integer(i64::MAX),
        Value::Real(1.5),
        Value::Blob(vec![1]),
    ];
    for (time, n) in times.iter().zip(0..) {
        let sql = "INSERT INTO pairing_allow_from VALUES ('mail', 'main', ?1, ?2, 'cli', ?3)";
        database.execute(sql, params![format!("at{n}"), time, Value::Null]).unwrap();
        if *time != Value::Null {
            database.execute(sql, params![format!("revoked{n}"), 5, time]).unwrap();
            // The same sender, without the unreadable values.
            database.execute(sql, params![format!(" revoked{n}"), 5, Value::Null]).unwrap();
        }
    }
    // SQLite converts between numbers and texts, so these two values are valid.
    database
        .execute(
            "INSERT INTO pairing_allow_from VALUES ('mail', 'main', 12345, '5', 'cli', NULL)",
            [],
        )
        .unwrap();
    database
        .execute(
            "INSERT INTO pairing_allow_from VALUES ('mail', 'main', 'via', 5, ?1, NULL)",
            [vec![0_u8; 9]],
        )
        .unwrap();
    let invalid = "INSERT INTO pairing_allow_from VALUES ('mail', 'main', CAST(x'ff41' AS TEXT), 5, 'cli', NULL)";
    database.execute(invalid, []).unwrap();
    let rows: i64 = database
        .query_row("SELECT count(*) FROM pairing_allow_from", [], |row| row.get(0))
        .unwrap();
    let rows = u64::try_from(rows).unwrap();
    database.execute_batch("DROP TABLE pairing_pending; DROP TABLE pairing_sessions").unwrap();
    let (counts, text) = bench.counts(&bench.path("pairing.db"), true).await;
    assert_eq!(counts, [2, 0, 0, rows - 2], "{text}");
    assert!(!text.contains(['\u{1b}', '\0', '\u{202e}']) && text.len() < 20_000, "{text}");
    for n in 1..6 {
        assert_eq!(bench.facts("mail", &format!("revoked{n}")).await.allowed, None);
    }
    assert!(bench.facts("mail", "12345").await.allowed.is_some());
}

#[tokio::test]
async fn sessions_that_mean_ill_are_refused_and_no_token_is_shown() {
    let bench = Bench::new();
    let database = bench.database();
    let now = i64::try_from(NOW.as_secs()).unwrap();
    let good = "g".repeat(43);
    let rows = [
        params_of(&"s".repeat(42), "p", now, now + 60),
        params_of(&"s".repeat(44), "p", now, now + 60),
        params_of(&format!("{}=", "s".repeat(42)), "p", now, now + 60),
        params_of(&"a".repeat(43), "", now, now + 60),
        params_of(&"b".repeat(43), "p\u{1b}", now, now + 60),
        params_of(&"c".repeat(43), &"p".repeat(1 << 20), now, now + 60),
        params_of(&"d".repeat(43), "p", now, i64::MAX),
        params_of(&"e".repeat(43), "p", now, now + 366 * 86_400),
        params_of(&"f".repeat(43), "p", now + 90_000, now + 100_000),
        params_of(&"h".repeat(43), "p", -5, now + 60),
        [
            Value::Null,
            Value::Text("p".to_owned()),
            Value::Null,
            Value::Integer(now),
            Value::Integer(now + 60),
        ],
        params_of(&good, "p", now, now + 60),
    ];
    for row in &rows {
        database
            .execute(
                "INSERT INTO pairing_sessions VALUES (?1, ?2, ?3, ?4, ?5)",
                rusqlite::params_from_iter(row),
            )
            .unwrap();
    }
    database.execute_batch("DROP TABLE pairing_pending; DROP TABLE pairing_allow_from").unwrap();
    let (counts, text) = bench.counts(&bench.path("pairing.db"), true).await;
    assert_eq!(counts, [1, 0, 0, 11], "{text}");
    assert!(["s", "a", "d", "g"].iter().all(|c| !text.contains(&c.repeat(20))), "{text}");
    assert_eq!(bench.store().live_sessions(NOW).await.unwrap(), 1);
}

fn params_of(token: &str, profile: &str, issued: i64, expires: i64) -> [Value; 5] {
    let text = |text: &str| Value::Text(text.to_owned());
    [text(token), text(profile), Value::Null, Value::Integer(issued), Value::Integer(expires)]
}

#[tokio::test]
async fn the_caps_of_those_who_wait_hold_and_a_code_is_one_senders_alone() {
    let bench = Bench::new();
    let database = bench.database();
    database.execute_batch("DROP TABLE pairing_allow_from; DROP TABLE pairing_sessions").unwrap();
    let now = i64::try_from(NOW.as_secs()).unwrap();
    let pending = "INSERT INTO pairing_pending VALUES ('mail', ?1, ?2, ?3, ?4, '{}')";
    for (account, sender, code, age) in [
        ("a", "1", "ABCD2345", 9),
        ("a", "2", "ABCD2346", 8),
        ("a", "3", "ABCD2347", 7),
        ("a", "4", "ABCD2348", 6),
        ("b", "5", "ABCD2345", 5),
    ] {
        database.execute(pending, params![account, sender, code, now - age]).unwrap();
    }
    database.execute(pending, params!["b", "6", "ABCD2349", now + 4000]).unwrap();
    let (counts, text) = bench.counts(&bench.path("pairing.db"), true).await;
    assert_eq!(counts, [3, 0, 0, 3], "{text}");
    assert!(
        text.contains("as many wait as may")
            && text.contains("its code is another's")
            && text.contains("in the future"),
        "{text}"
    );
}

#[tokio::test]
async fn thousands_of_rows_come_quickly_and_all() {
    let bench = Bench::new();
    let mut database = bench.database();
    database.execute_batch("DROP TABLE pairing_pending; DROP TABLE pairing_sessions").unwrap();
    let transaction = database.transaction().unwrap();
    for n in 0..3000 {
        allow(&transaction, "whatsapp", &format!("57{n}"), n, None);
    }
    transaction.commit().unwrap();
    assert_eq!(bench.counts(&bench.path("pairing.db"), true).await.0, [3000, 0, 0, 0]);
    assert_eq!(bench.counts(&bench.path("pairing.db"), false).await.0, [0, 3000, 0, 0]);
}

#[tokio::test]
async fn a_file_that_is_something_else_is_said_to_be() {
    let bench = Bench::new();
    let problem = async |content: &[u8]| {
        let path = bench.path("file");
        std::fs::write(&path, content).unwrap();
        bench.run(&path, false).await.problem.unwrap()
    };
    assert!(problem(b"").await.contains("neither"));
    assert!(problem(b"{}").await.contains("neither"));
    assert!(problem(b"[{]").await.contains("cannot be read"));
    assert!(problem(b"[\"\xff\"]").await.contains("no UTF-8 from byte 2"));
    assert!(
        problem(format!("[7{}]", ",7".repeat(1_000_000)).as_bytes())
            .await
            .contains("more than 1000000 records")
    );
    assert!(problem("[".repeat(100_000).as_bytes()).await.contains("cannot be read"));
    assert!(problem(b"SQLite format 3\0 and then nothing of it").await.contains("cannot be read"));
    assert!(bench.run(bench.folder.path(), false).await.problem.unwrap().contains("no file"));
    assert!(bench.run(&bench.path("nowhere"), false).await.problem.is_some());

    let other = |sql: &str| {
        let path = bench.path("other.db");
        let _ = std::fs::remove_file(&path);
        Connection::open(&path).unwrap().execute_batch(sql).unwrap();
        path
    };
    let path = other("CREATE TABLE t (n)");
    assert!(bench.run(&path, false).await.problem.unwrap().contains("has none of the tables"));
    let path = other("CREATE TABLE pairing_sessions (token, profile)");
    assert!(bench.run(&path, false).await.problem.unwrap().contains("has no column device_label"));
    let endless = "CREATE VIEW pairing_sessions AS WITH RECURSIVE r(n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM r)
                   SELECT n AS token, n AS profile, n AS device_label, n AS issued_at, n AS expires_at FROM r";
    let path = other(endless);
    assert!(bench.run(&path, false).await.problem.unwrap().contains("is no table but a view"));
    assert!(!bench.data().exists(), "trying writes nothing");
}
