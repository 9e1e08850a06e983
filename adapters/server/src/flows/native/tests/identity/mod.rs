//! The flow `identity` over real sockets: certificates, copied nodes, and approvals of what was
//! seen.

mod approving;
mod attacks;
mod certificates;
mod copies;
mod cut_off;
mod in_advance;
mod replacing;

use handfast_core::NodeId;
use handfast_core::crypto::keys::OwnKeys;
use handfast_core::flow::registration::operator::Purpose;
use handfast_core::grant::certificate::KeyHash;
use handfast_core::registry::grants::GrantId;
use handfast_core::wire::native::Features;
use handfast_core::wire::native::link::{FromGateway, FromNode, Hello};
use handfast_core::wire::native::open::Intent;
use handfast_core::wire::native::pair::{AskedScopes, Method, PairFromGateway, PairFromNode};
use handfast_core::wire::native::part::Object;
use handfast_core::wire::native::signer::SignerKey;
use handfast_store::Filter;
use rcgen::{CertificateParams, DistinguishedName, KeyPair, PublicKeyData};

use super::World;
use super::client::Client;
use crate::entropy;
use crate::gateway::Gateway;

/// A key for TLS, and the node's certificate request for it.
struct TlsKey {
    key: KeyPair,
    csr: Vec<u8>,
}

impl TlsKey {
    fn new() -> Self {
        let key = KeyPair::generate().unwrap();
        let mut params = CertificateParams::default();
        params.distinguished_name = DistinguishedName::new();
        let csr = params.serialize_request(&key).unwrap().der().to_vec();
        Self { key, csr }
    }

    fn hash(&self) -> KeyHash {
        KeyHash::of(&self.key.subject_public_key_info())
    }
}

/// The grant that a node was sent, and the certificate ahead of it.
struct Given {
    node_id: NodeId,
    grant: GrantId,
    certificate: Vec<u8>,
    /// The key that a compact certificate is verified by.
    signer: Option<SignerKey>,
}

fn fresh() -> OwnKeys {
    OwnKeys::generate(&entropy::draw())
}

/// Asks for a certificate, and is approved by the operator.
async fn asks(world: &World, own: &OwnKeys, features: Features, csr: Option<&[u8]>) -> Client {
    let mut client = Client::stranger(Intent::Pair, world.tcp().await, own).await;
    let (method, wants) = (Method::Approval, AskedScopes::NONE);
    client.ask_for(own, "sensor", method, wants, features, csr).await;
    client
}

async fn approves(gateway: &Gateway) -> NodeId {
    loop {
        let mut waiting = gateway.devices(Filter::Pending, None, 9).await.unwrap();
        if let Some(Ok(device)) = waiting.pop() {
            let node_id = device.entry.record.node_id;
            gateway.pair(node_id, Purpose::Approve).await.unwrap();
            return node_id;
        }
        tokio::time::sleep(std::time::Duration::from_millis(2)).await;
    }
}

/// Hears everything up to the grant, which is not confirmed.
async fn is_given(client: &mut Client) -> Given {
    let (mut certificate, mut signer) = (Vec::new(), None);
    loop {
        let given = client.hear_to_pair(|message| match message {
            PairFromGateway::Part(part) => {
                match part.object() {
                    Object::Certificates | Object::CompactCertificate => {
                        certificate.extend_from_slice(part.as_bytes());
                    }
                    Object::Chain | Object::Profile => {}
                }
                None
            }
            PairFromGateway::CertificateKey(key) => {
                assert!(certificate.is_empty(), "it comes ahead of the certificate");
                signer = Some(key);
                None
            }
            PairFromGateway::Grant(grant) => Some((grant.node_id, grant.id)),
            PairFromGateway::Refused(refusal) => panic!("{refusal:?}"),
            _ => None,
        });
        if let Some((node_id, grant)) = given.await.unwrap() {
            return Given { node_id, grant, certificate, signer };
        }
    }
}

async fn stores(client: &mut Client, given: &Given) {
    client.say_to_pair(&PairFromNode::Stored(given.grant)).await;
    let active = |message: PairFromGateway<'_>| matches!(message, PairFromGateway::Active(_));
    assert!(client.hear_to_pair(active).await.unwrap());
}

/// The node's own certificate out of a set: the first one.
fn leaf(set: &[u8]) -> &[u8] {
    let (length, rest) = set.split_first_chunk().unwrap();
    &rest[..usize::from(u16::from_be_bytes(*length))]
}

/// Links a node that keeps marks and takes certificates.
async fn links(
    world: &World,
    own: &OwnKeys,
    mark: Option<handfast_core::wire::native::link::CloneMark>,
) -> Client {
    let mut client = Client::link(world.tcp().await, own, &world.key()).await.unwrap();
    let features = Features::APP
        .with(Features::PING)
        .with(Features::CLONE_COUNTER)
        .with(Features::CERTIFICATE);
    // The node holds its newest grant, and the gateway's answer brings what else is due.
    let store = &world.gateway.inner.store;
    let node = store.by_key(own.channel.public()).await.unwrap().unwrap().record.node_id;
    let holds = store.grants(node).await.unwrap().pop().map(|grant| grant.id);
    client.say(&FromNode::Hello(Hello { features, mark, holds })).await;
    client
}

/// Hears until `look` finds what it looks for.
async fn hears<T>(client: &mut Client, mut look: impl FnMut(FromGateway<'_>) -> Option<T>) -> T {
    loop {
        if let Some(found) = client.hear(&mut look).await.unwrap() {
            return found;
        }
    }
}
