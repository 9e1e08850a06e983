//! The PostgreSQL server of several gateways, which waits for the disk as one does by default.

use std::sync::Arc;
use std::time::Duration;

use handfast_store::conformance::PostgresServer;
use handfast_store::{PostgresStore, Store};
use rustix::process::{Pid, Signal, kill_process};

use crate::process::cpu_with_children;

/// A server with one empty database.
pub(super) struct Database {
    server: PostgresServer,
    name: String,
    pub(super) url: String,
    pid: String,
}

impl Database {
    pub(super) fn start() -> Self {
        let server = PostgresServer::start_durable();
        let name = server.create();
        let told = std::fs::read_to_string(server.folder().join("data/postmaster.pid")).unwrap();
        let pid = told.lines().next().expect("a process id").to_owned();
        Self { url: server.url(&name), server, name, pid }
    }

    /// Opens the registry in it, as no gateway.
    pub(super) async fn open(&self) -> Arc<dyn Store> {
        let address = self.server.address(&self.name);
        let opened = tokio::task::spawn_blocking(move || PostgresStore::open(&address).unwrap());
        Arc::new(opened.await.unwrap())
    }

    /// Returns the CPU time of all its processes in seconds.
    pub(super) fn cpu(&self) -> f64 {
        cpu_with_children(&self.pid)
    }

    /// Counts the statements that it is sent in a time.
    pub(super) async fn statements_within(&self, time: Duration) -> f64 {
        self.log_statements("all").await;
        let before = self.logged();
        tokio::time::sleep(time).await;
        let logged = self.logged() - before;
        self.log_statements("none").await;
        logged as f64
    }

    async fn log_statements(&self, which: &str) {
        self.server.sql("postgres", &format!("ALTER SYSTEM SET log_statement = '{which}'"));
        self.server.sql("postgres", "SELECT pg_reload_conf()");
        // Each of its processes reads the setting before its next statement.
        tokio::time::sleep(Duration::from_millis(500)).await;
    }

    fn logged(&self) -> usize {
        let log = std::fs::read_to_string(self.server.folder().join("server.log")).unwrap();
        let is_one =
            |line: &&str| line.contains("LOG:  statement") || line.contains("LOG:  execute");
        log.lines().filter(is_one).count()
    }

    /// Stops what carries the hints of all gateways until the value is dropped, so that each
    /// depends on what it reads unasked.
    pub(super) fn without_hints(&self) -> NoHints {
        let sql = format!(
            "SELECT pid FROM pg_stat_activity WHERE datname = '{}' AND query ~ '^(LISTEN|NOTIFY)'",
            self.name
        );
        let pids = self.server.sql("postgres", &sql);
        let pids: Vec<_> =
            pids.lines().filter_map(|pid| Pid::from_raw(pid.parse().ok()?)).collect();
        assert!(!pids.is_empty(), "gateways listen for hints");
        for pid in &pids {
            kill_process(*pid, Signal::STOP).unwrap();
        }
        NoHints(pids)
    }
}

/// The processes of the database that stand still.
pub(super) struct NoHints(Vec<Pid>);

impl Drop for NoHints {
    fn drop(&mut self) {
        for pid in &self.0 {
            // It may have ended with its gateway.
            let _ = kill_process(*pid, Signal::CONT);
        }
    }
}
