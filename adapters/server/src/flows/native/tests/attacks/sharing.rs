//! Gateways that share one registry, over real sockets and a PostgreSQL of the tests' own: what
//! must be survived.

#[cfg(feature = "nats")]
mod bus;
mod cut_off;
mod decisions;
mod links;

use std::path::PathBuf;
use std::time::Duration;

use handfast_core::secret::Secret;
use handfast_store::PostgresStore;
use handfast_store::conformance::PostgresServer;
use tokio::net::{UnixListener, UnixStream};
use tokio::task::JoinHandle;

use super::*;
use crate::gateway::sharing::SharingSettings;

/// The longest time in which a decision is in force everywhere, even if every hint is lost, with a
/// margin for a machine that is busy.
const EVERYWHERE: Duration = Duration::from_millis(1100 + 2000);

/// A registry that gateways share.
struct Registry {
    own: Option<PostgresServer>,
    database: String,
}

impl Registry {
    /// Creates a registry in the server of all tests.
    fn new() -> Self {
        Self { own: None, database: PostgresServer::shared().create() }
    }

    /// Creates a registry in a server of its own, which may be stopped.
    fn alone() -> Self {
        let own = PostgresServer::start();
        let database = own.create();
        Self { own: Some(own), database }
    }

    fn server(&self) -> &PostgresServer {
        match &self.own {
            Some(own) => own,
            None => PostgresServer::shared(),
        }
    }

    async fn gateway(&self, name: &str) -> Served {
        self.gateway_of(name, |builder| builder).await
    }

    async fn gateway_of(
        &self,
        name: &str,
        configure: impl FnOnce(GatewayBuilder) -> GatewayBuilder,
    ) -> Served {
        self.gateway_at(&self.server().url(&self.database), name, configure).await
    }

    async fn gateway_at(
        &self,
        url: &str,
        name: &str,
        configure: impl FnOnce(GatewayBuilder) -> GatewayBuilder,
    ) -> Served {
        let address = handfast_store::PostgresAddress::parse(url).unwrap();
        let address = address.with_gateway(name).unwrap();
        let store = tokio::task::spawn_blocking(move || PostgresStore::open(&address));
        let builder = Gateway::builder(store.await.unwrap().unwrap())
            .store_key(Secret::new([7; 32]))
            .pairing(lets_in("read:/**\nwrite:/**\n"));
        Served::of(configure(builder)).await
    }
}

/// A way to a registry that can be cut, for one gateway alone.
struct Way {
    folder: tempfile::TempDir,
    to: PathBuf,
    carries: JoinHandle<()>,
}

impl Way {
    fn to(registry: &Registry) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let to = registry.server().socket();
        let carries = Self::carry(&folder, to.clone());
        Self { folder, to, carries }
    }

    /// The address over this way.
    fn url(&self, registry: &Registry) -> String {
        let folder = self.folder.path().display().to_string().replace('/', "%2F");
        format!("postgres://handfast@{folder}/{}", registry.database)
    }

    fn cut(&self) {
        self.carries.abort();
    }

    fn mend(&mut self) {
        std::fs::remove_file(self.folder.path().join(".s.PGSQL.5432")).unwrap();
        self.carries = Self::carry(&self.folder, self.to.clone());
    }

    fn carry(folder: &tempfile::TempDir, to: PathBuf) -> JoinHandle<()> {
        let listener = UnixListener::bind(folder.path().join(".s.PGSQL.5432")).unwrap();
        tokio::spawn(async move {
            let mut all = tokio::task::JoinSet::new();
            while let Ok((mut near, _)) = listener.accept().await {
                let Ok(mut far) = UnixStream::connect(&to).await else { continue };
                // They end with this task, as all connections over a cable do.
                all.spawn(async move { tokio::io::copy_bidirectional(&mut near, &mut far).await });
            }
        })
    }
}

/// Settings with a short grace, so that tests need not wait.
fn grace(millis: u64) -> impl FnOnce(GatewayBuilder) -> GatewayBuilder {
    let sharing = SharingSettings {
        cut_off_grace: Duration::from_millis(millis),
        ..SharingSettings::default()
    };
    |builder| builder.sharing(sharing)
}

/// Hears until a message is this one, and returns the time since `begun`.
async fn hears(
    client: &mut Client,
    begun: std::time::Instant,
    is: impl Fn(FromGateway<'_>) -> bool,
) -> Duration {
    let heard = async {
        while !client.hear(&is).await.expect("the link stands") {}
        begun.elapsed()
    };
    tokio::time::timeout(Duration::from_secs(20), heard).await.expect("it is heard")
}

/// Reads until the link ends. Returns the close code.
async fn ends(client: &mut Client) -> u16 {
    let ended = async {
        loop {
            if let Err(code) = client.hear(|_| ()).await {
                return code;
            }
        }
    };
    tokio::time::timeout(Duration::from_secs(20), ended).await.expect("it ends")
}

fn contact(served: &Served) -> crate::Contact {
    served.gateway.sharing().expect("it is shared").contact
}
