//! A PostgreSQL server of the tests' own, in a temporary folder and on a Unix socket. The bench
//! uses it too.
#![allow(dead_code, reason = "the bench uses a part of it")]

use std::io::{BufRead, BufReader, Write};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, OnceLock, PoisonError};

use handfast_store::{PostgresAddress, PostgresStore};

/// Serves until its input ends, which it does however this process ends, and removes the folder.
/// It answers each line with one of its own.
const SCRIPT: &str = r#"
set -u
folder=$(mktemp -d /tmp/handfast-postgres.XXXXXX) || exit 1
cd "$folder" || exit 1
initdb -D data -U handfast -A trust -E UTF8 --locale=C --no-sync >init.log 2>&1 || { cat init.log >&2; exit 1; }
start() {
    pg_ctl -D data -l server.log -w -t 60 -o "-k $folder -c listen_addresses= -c max_connections=400 $SETTINGS" start >/dev/null \
        || { cat server.log >&2; exit 1; }
}
stop() { pg_ctl -D data -w -m "$1" stop >/dev/null 2>&1; }
case $SETTINGS in *ssl=on*)
    openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -days 2 -subj /CN=localhost \
        -addext subjectAltName=DNS:localhost -addext basicConstraints=critical,CA:FALSE \
        -keyout server.key -out server.crt 2>openssl.log || { cat openssl.log >&2; exit 1; }
    chmod 600 server.key ;;
esac
chmod 755 "$folder"
trap 'stop immediate; rm -rf "$folder"' EXIT
start
echo "$folder"
while read -r order; do
    case $order in
        start) start ;;
        *) stop "$order" ;;
    esac
    echo done
done
"#;

/// A server that stops with this value, or with the process.
pub(crate) struct Server {
    folder: PathBuf,
    orders: Mutex<(ChildStdin, BufReader<ChildStdout>)>,
    _shell: Child,
}

impl Server {
    /// Starts a server. What it acknowledged survives its process, not the machine, so that nothing
    /// waits for the disk.
    pub(crate) fn start() -> Self {
        Self::start_with("-c fsync=off")
    }

    /// Starts a server that waits for the disk, as one does by default.
    pub(crate) fn start_durable() -> Self {
        Self::start_with("")
    }

    /// Starts a server that takes TLS connections at this port of localhost, where it takes no others.
    pub(crate) fn start_with_tls(port: u16) -> Self {
        Self::start_with(&format!(
            "-c fsync=off -c listen_addresses=127.0.0.1 -p {port} -c ssl=on -c ssl_cert_file=../server.crt -c ssl_key_file=../server.key"
        ))
    }

    /// Returns the certificate of a server with TLS, which is its own authority.
    pub(crate) fn certificate(&self) -> Vec<u8> {
        std::fs::read(self.folder.join("server.crt")).unwrap()
    }

    fn start_with(settings: &str) -> Self {
        let path =
            format!("{}:{}", binaries().display(), std::env::var("PATH").unwrap_or_default());
        let mut shell = as_somebody();
        let shell = shell.args(["sh", "-c", SCRIPT]).env("PATH", path).env("SETTINGS", settings);
        let mut shell = shell.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
        let mut answers = BufReader::new(shell.stdout.take().unwrap());
        let folder = line(&mut answers);
        assert!(!folder.is_empty(), "PostgreSQL does not start; what it said is above");
        let orders = Mutex::new((shell.stdin.take().unwrap(), answers));
        Self { folder: folder.into(), orders, _shell: shell }
    }

    /// Starts the server again, or stops it: `immediate` as a crash would.
    pub(crate) fn order(&self, order: &str) {
        let mut orders = self.orders.lock().unwrap_or_else(PoisonError::into_inner);
        writeln!(orders.0, "{order}").unwrap();
        assert_eq!(line(&mut orders.1), "done");
    }

    /// Returns the address of an empty database.
    pub(crate) fn database(&self) -> PostgresAddress {
        self.address(&self.create())
    }

    /// Creates an empty database. Returns its name.
    pub(crate) fn create(&self) -> String {
        static NEXT: AtomicU64 = AtomicU64::new(0);
        let name = format!("registry_{}", NEXT.fetch_add(1, Ordering::Relaxed));
        self.sql("postgres", &format!("CREATE DATABASE {name}"));
        name
    }

    /// Returns the path of the socket.
    pub(crate) fn socket(&self) -> PathBuf {
        self.folder.join(".s.PGSQL.5432")
    }

    pub(crate) fn address(&self, database: &str) -> PostgresAddress {
        let folder = self.folder.display();
        PostgresAddress::parse(&format!("host={folder} user=handfast dbname={database}")).unwrap()
    }

    /// Runs statements as an administrator would. Returns what `psql` prints.
    pub(crate) fn sql(&self, database: &str, sql: &str) -> String {
        let mut psql = self.psql(database);
        let done = psql.args(["-c", sql]).output().unwrap();
        assert!(done.status.success(), "{sql}: {}", String::from_utf8_lossy(&done.stderr));
        String::from_utf8(done.stdout).unwrap().trim().to_owned()
    }

    /// Returns `psql` for a database.
    pub(crate) fn psql(&self, database: &str) -> Command {
        let mut psql = Command::new(binaries().join("psql"));
        psql.args(["-X", "-q", "-t", "-A", "-v", "ON_ERROR_STOP=1", "-U", "handfast"]);
        psql.args(["-h", &self.folder.display().to_string(), "-d", database]);
        psql
    }
}

/// Returns a server that the tests of this process share.
pub(crate) fn shared() -> &'static Server {
    static SHARED: OnceLock<Server> = OnceLock::new();
    SHARED.get_or_init(Server::start)
}

/// Returns an empty registry on the shared server.
pub(crate) fn fresh() -> (PostgresStore, ()) {
    (PostgresStore::open(&shared().database()).unwrap(), ())
}

fn line(answers: &mut BufReader<ChildStdout>) -> String {
    let mut line = String::new();
    answers.read_line(&mut line).unwrap();
    line.trim_end().to_owned()
}

/// Returns the folder with the server's programs. Debian keeps them out of the search path.
fn binaries() -> &'static Path {
    static FOLDER: OnceLock<PathBuf> = OnceLock::new();
    FOLDER.get_or_init(|| {
        let versions = std::fs::read_dir("/usr/lib/postgresql").into_iter().flatten().flatten();
        let mut versions: Vec<_> = versions.map(|version| version.path().join("bin")).collect();
        versions.sort();
        let path = std::env::var_os("PATH").unwrap_or_default();
        let mut folders = versions.into_iter().rev().chain(std::env::split_paths(&path));
        let has = |folder: &Path, program| folder.join(program).is_file();
        let found = folders.find(|folder| has(folder, "pg_ctl") && has(folder, "psql"));
        found.expect("PostgreSQL is missing: apt-get install postgresql")
    })
}

/// Returns a command that runs another as somebody who may own a server, which root may not.
fn as_somebody() -> Command {
    let id = Command::new("id").arg("-u").output().unwrap().stdout;
    if id.trim_ascii() != b"0" {
        return Command::new("env");
    }
    let mut command = Command::new("setpriv");
    command.args(["--reuid=postgres", "--regid=postgres", "--clear-groups"]);
    command
}
