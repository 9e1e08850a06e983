//! A PostgreSQL server of the tests' own.

use std::io::{BufRead, BufReader, Write};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, OnceLock, PoisonError};

use crate::PostgresAddress;

/// Serves until its input ends, which it does however this process ends, and removes the folder.
/// It answers each line with one of its own. An interrupt at the terminal reaches it too, and must not
/// end it before it has cleaned up.
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
trap '' HUP INT TERM
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

/// A PostgreSQL server in a temporary folder of its own, reached over a Unix socket in it.
///
/// Needs the server's programs (`apt-get install postgresql`), and no service. It stops when this
/// value is dropped or the process ends, however that ends, and leaves no file behind. Each method
/// panics where the server does not do what it should.
#[derive(Debug)]
pub struct PostgresServer {
    folder: PathBuf,
    orders: Mutex<Option<Orders>>,
    shell: Child,
}

#[derive(Debug)]
struct Orders {
    to: ChildStdin,
    from: BufReader<ChildStdout>,
}

impl PostgresServer {
    /// Starts a server. What it acknowledged survives its process, not the machine, so that nothing
    /// waits for the disk.
    #[must_use]
    pub fn start() -> Self {
        Self::start_with("-c fsync=off")
    }

    /// Starts a server that waits for the disk, as one does by default.
    #[must_use]
    pub fn start_durable() -> Self {
        Self::start_with("")
    }

    /// Starts a server that takes TLS connections at this port of localhost, where it takes no
    /// others.
    #[must_use]
    pub fn start_with_tls(port: u16) -> Self {
        Self::start_with(&format!(
            "-c fsync=off -c listen_addresses=127.0.0.1 -p {port} -c ssl=on -c ssl_cert_file=../server.crt -c ssl_key_file=../server.key"
        ))
    }

    /// Returns a server that all tests of this process share.
    pub fn shared() -> &'static Self {
        static SHARED: OnceLock<PostgresServer> = OnceLock::new();
        SHARED.get_or_init(Self::start)
    }

    fn start_with(settings: &str) -> Self {
        let path =
            format!("{}:{}", binaries().display(), std::env::var("PATH").unwrap_or_default());
        let mut shell = as_somebody();
        let shell = shell.args(["sh", "-c", SCRIPT]).env("PATH", path).env("SETTINGS", settings);
        let shell = shell.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn();
        let mut shell = shell.expect("a shell starts");
        let to = shell.stdin.take().expect("its input is a pipe");
        let mut from = BufReader::new(shell.stdout.take().expect("its output is a pipe"));
        let folder = line(&mut from);
        assert!(!folder.is_empty(), "PostgreSQL does not start; what it said is above");
        Self { folder: folder.into(), orders: Mutex::new(Some(Orders { to, from })), shell }
    }

    /// Stops the server as an administrator would: it ends every connection first.
    pub fn stop(&self) {
        self.order("fast");
    }

    /// Stops the server as a crash would.
    pub fn crash(&self) {
        self.order("immediate");
    }

    /// Starts the server again, with all that it has made durable.
    pub fn start_again(&self) {
        self.order("start");
    }

    fn order(&self, order: &str) {
        let mut orders = self.orders.lock().unwrap_or_else(PoisonError::into_inner);
        let Orders { to, from } = orders.as_mut().expect("the server is not dropped");
        writeln!(to, "{order}").expect("the shell listens");
        assert_eq!(line(from), "done");
    }

    /// Returns the address of an empty database.
    #[must_use]
    pub fn database(&self) -> PostgresAddress {
        self.address(&self.create())
    }

    /// Creates an empty database. Returns its name.
    #[must_use]
    pub fn create(&self) -> String {
        static NEXT: AtomicU64 = AtomicU64::new(0);
        let name = format!("registry_{}", NEXT.fetch_add(1, Ordering::Relaxed));
        self.sql("postgres", &format!("CREATE DATABASE {name}"));
        name
    }

    /// Returns the address of a database.
    #[must_use]
    pub fn address(&self, database: &str) -> PostgresAddress {
        PostgresAddress::parse(&self.url(database)).expect("an address")
    }

    /// Returns the address of a database, as an operator writes it.
    #[must_use]
    pub fn url(&self, database: &str) -> String {
        let folder = self.folder.display().to_string().replace('/', "%2F");
        format!("postgres://handfast@{folder}/{database}")
    }

    /// Returns the folder of the socket, which has all files of the server.
    #[must_use]
    pub fn folder(&self) -> &Path {
        &self.folder
    }

    /// Returns the path of the socket.
    #[must_use]
    pub fn socket(&self) -> PathBuf {
        self.folder.join(".s.PGSQL.5432")
    }

    /// Returns the certificate of a server with TLS, which is its own authority.
    #[must_use]
    pub fn certificate(&self) -> Vec<u8> {
        std::fs::read(self.folder.join("server.crt")).expect("a server with TLS")
    }

    /// Runs statements as an administrator would. Returns what `psql` prints.
    pub fn sql(&self, database: &str, sql: &str) -> String {
        let mut psql = self.psql(database);
        let done = psql.args(["-c", sql]).output().expect("psql starts");
        assert!(done.status.success(), "{sql}: {}", String::from_utf8_lossy(&done.stderr));
        String::from_utf8_lossy(&done.stdout).trim().to_owned()
    }

    /// Returns `psql` for a database.
    #[must_use]
    pub fn psql(&self, database: &str) -> Command {
        let mut psql = Command::new(binaries().join("psql"));
        psql.args(["-X", "-q", "-t", "-A", "-v", "ON_ERROR_STOP=1", "-U", "handfast"]);
        psql.arg("-h").arg(&self.folder).args(["-d", database]);
        psql
    }
}

impl Drop for PostgresServer {
    fn drop(&mut self) {
        // The end of its input tells the shell to stop the server and to remove the folder.
        *self.orders.get_mut().unwrap_or_else(PoisonError::into_inner) = None;
        // It has ended, or ends later by itself; nothing else is to be done about it here.
        let _ = self.shell.wait();
    }
}

fn line(answers: &mut BufReader<ChildStdout>) -> String {
    let mut line = String::new();
    answers.read_line(&mut line).expect("the shell answers");
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
    let id = Command::new("id").arg("-u").output().expect("id starts").stdout;
    if id.trim_ascii() != b"0" {
        return Command::new("env");
    }
    let mut command = Command::new("setpriv");
    command.args(["--reuid=postgres", "--regid=postgres", "--clear-groups"]);
    command
}
