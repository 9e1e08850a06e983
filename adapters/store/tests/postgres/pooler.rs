//! A pooler in between.

use std::io::{Read, Write};
use std::os::unix::net::{UnixListener, UnixStream};
use std::sync::{Arc, Mutex};

use handfast_store::{PostgresAddress, PostgresStore, StoreError};

use crate::shared;

/// The only session with the server, which all clients share, and what the server said first.
struct Pool {
    server: UnixStream,
    greeting: Vec<u8>,
}

/// Starts a pooler that gives each transaction the next free session, of which it has one.
fn pooler(database: &str) -> (PostgresAddress, tempfile::TempDir) {
    let folder = tempfile::tempdir().unwrap();
    let listener = UnixListener::bind(folder.path().join(".s.PGSQL.5432")).unwrap();
    let pool = Arc::new(Mutex::new(None));
    std::thread::spawn(move || {
        for client in listener.incoming() {
            let (client, pool) = (client.unwrap(), Arc::clone(&pool));
            std::thread::spawn(move || serve(client, &pool));
        }
    });
    let text = format!("host={} user=handfast dbname={database}", folder.path().display());
    (PostgresAddress::parse(&text).unwrap(), folder)
}

fn serve(mut client: UnixStream, pool: &Mutex<Option<Pool>>) -> Option<()> {
    // The message with which a client begins has no type.
    let mut length = [0; 4];
    client.read_exact(&mut length).ok()?;
    let mut rest = vec![0; u32::from_be_bytes(length) as usize - 4];
    client.read_exact(&mut rest).ok()?;
    let begun = [&length[..], &rest].concat();
    {
        let mut pool = pool.lock().unwrap();
        let pool = pool.get_or_insert_with(|| {
            let mut server = UnixStream::connect(shared().socket()).unwrap();
            server.write_all(&begun).unwrap();
            let mut greeting = Vec::new();
            while answer(&mut server, &mut greeting).unwrap() != (b'Z', b'I') {}
            Pool { server, greeting }
        });
        client.write_all(&pool.greeting).ok()?;
    }
    loop {
        let mut asked = vec![0; 64 << 10];
        let mut length = client.read(&mut asked).ok().filter(|length| *length > 0)?;
        let mut pool = pool.lock().unwrap();
        let server = &mut pool.as_mut()?.server;
        // The session is the client's until its transaction is over.
        loop {
            if asked[0] == b'X' {
                return None;
            }
            server.write_all(&asked[..length]).ok()?;
            let mut told = Vec::new();
            let state = loop {
                if let (b'Z', state) = answer(server, &mut told)? {
                    break state;
                }
            };
            client.write_all(&told).ok()?;
            if state == b'I' {
                break;
            }
            length = client.read(&mut asked).ok().filter(|length| *length > 0)?;
        }
    }
}

/// Reads a message. Returns its type, and its first byte.
fn answer(server: &mut UnixStream, into: &mut Vec<u8>) -> Option<(u8, u8)> {
    let mut head = [0; 5];
    server.read_exact(&mut head).ok()?;
    let mut body = vec![0; u32::from_be_bytes(head[1..].try_into().unwrap()) as usize - 4];
    server.read_exact(&mut body).ok()?;
    into.extend_from_slice(&head);
    into.extend_from_slice(&body);
    Some((head[0], body.first().copied().unwrap_or(0)))
}

#[test]
fn a_pooler_that_gives_transactions_and_no_sessions_is_refused_with_words() {
    let name = shared().create();
    let (address, _folder) = pooler(&name);
    let refused = PostgresStore::open(&address).unwrap_err();
    assert!(matches!(refused, StoreError::Refused(_)), "{refused:?}");
    let text = refused.to_string();
    assert!(text.contains("pool by session (pgbouncer: pool_mode = session)"), "{text}");
    let schemas = "SELECT count(*) FROM pg_namespace WHERE nspname = 'handfast'";
    assert_eq!(shared().sql(&name, schemas), "0");
}
