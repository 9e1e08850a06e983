//! Certificates of nodes, and the authority that issues them.

use std::collections::HashMap;
use std::collections::hash_map::Entry;

use axum::Json;
use handfast_core::grant::certificate::{KeyHash, Serial};
use handfast_core::{NodeId, UnixTime};
use handfast_store::{CertificateFilter, RevokedCertificates, StoredCertificate};
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};

use super::caller::Acting;
use super::extract::{Body, Query};
use super::failure::AdminFailure;
use super::paging;
use super::time::Time;
use crate::ca::{Authority, Overlap};
use crate::gateway::Gateway;
use crate::hex::hex;
use crate::operator::revocation_lists::NotListed;

/// The answer to `GET /api/v1/certs`.
#[derive(Debug, Serialize, Deserialize, ToSchema)]
pub struct CertificateList {
    /// The authority that issued them.
    pub authority: AuthorityView,
    /// Certificates in order of their serial numbers.
    #[serde(rename = "items")]
    pub certificates: Vec<CertificateView>,
    /// Cursor of the next page, as `after` of the next request; `null` on the last page.
    #[schema(required)]
    pub next: Option<String>,
}

/// The gateway's certificate authority.
#[derive(Debug, Serialize, Deserialize, ToSchema)]
pub struct AuthorityView {
    /// SHA-256 fingerprint of its newest root.
    pub fingerprint: String,
    /// Number of trusted roots; more than one while nodes still use an older one.
    pub roots: usize,
}

/// A certificate of a node.
#[derive(Debug, Serialize, Deserialize, ToSchema)]
pub struct CertificateView {
    /// Serial number: 40 hex digits.
    pub serial: String,
    /// SHA-256 of the encoded certificate: a name for it, by which nothing is decided.
    pub fingerprint: String,
    /// Id of the node.
    pub node_id: String,
    /// The node's name; absent if its record is gone.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub friendly_name: Option<String>,
    /// SHA-256 of its public key: 64 hex digits.
    pub key: String,
    /// `issued` until the node has stored it, then `delivered`; or `superseded` or `revoked`.
    pub state: String,
    /// Start of validity.
    pub not_before: Time,
    /// End of validity.
    pub not_after: Time,
    /// Time at which it was superseded or revoked.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub ended_at: Option<Time>,
    /// `true` if no trusted root of the authority has signed it, so that nobody accepts it; absent
    /// otherwise.
    #[serde(skip_serializing_if = "std::ops::Not::not", default)]
    pub is_foreign: bool,
}

/// The answer to a revocation of certificates.
#[derive(Debug, Serialize, Deserialize, ToSchema)]
pub struct RevokedCertificatesView {
    /// Serial numbers of those that were not revoked before.
    pub revoked: Vec<String>,
}

/// The answer to `GET /api/v1/certs/crl`.
#[derive(Debug, Serialize, Deserialize, ToSchema)]
pub struct RevocationListsView {
    /// The lists of all trusted roots as PEM, the newest root's first.
    pub pem: String,
    /// Number of certificates in each list.
    pub revoked: usize,
    /// Time until which a reader may rely on them.
    pub next_update: Time,
}

#[derive(Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
#[serde(deny_unknown_fields)]
pub(super) struct ListQuery {
    /// Lists ended certificates, too.
    #[serde(default)]
    all: bool,
    /// Maximum number of items, from 1 to 500; 500 if left out.
    limit: Option<usize>,
    /// Cursor of the page: the `next` of the page before.
    after: Option<String>,
}

/// The terms of a new root.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct RotateAuthorityBody {
    /// Ends the trust in older roots at once, and with it all certificates that they signed.
    #[serde(default)]
    at_once: bool,
}

/// The certificates that are revoked: one of `certificate`, `key` and `node`.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct RevokeBody {
    /// A serial number, or the fingerprint of a certificate as a name for it.
    certificate: Option<String>,
    /// SHA-256 of a public key: 64 hex digits.
    key: Option<String>,
    /// A node's whole name, or six or more characters of its id.
    node: Option<String>,
}

/// Lists nodes' certificates in order of their serial numbers.
#[utoipa::path(
    get,
    path = "/api/v1/certs",
    tag = "Certificates",
    params(ListQuery),
    responses((status = 200, body = CertificateList)),
)]
pub(super) async fn list(
    Acting(gateway): Acting,
    Query(query): Query<ListQuery>,
) -> Result<Json<CertificateList>, AdminFailure> {
    let ListQuery { all, limit, after } = query;
    let filter = if all { CertificateFilter::All } else { CertificateFilter::Live };
    Ok(Json(page(&gateway, filter, after.as_deref(), paging::limit(limit)?).await?))
}

/// Returns a page of the certificates that a filter keeps: at most `limit`, after this serial
/// number.
pub(in crate::http) async fn page(
    gateway: &Gateway,
    filter: CertificateFilter,
    after: Option<&str>,
    limit: usize,
) -> Result<CertificateList, AdminFailure> {
    let after = paging::after(after, Serial::parse)?;
    let (found, next) = gateway.certificates_page(filter, after, limit).await?;
    let certificates = named(gateway, &found).await;
    let next = next.map(|next| next.to_string());
    Ok(CertificateList { authority: authority(gateway), certificates, next })
}

/// Returns the views of certificates, with the names of their nodes.
async fn named(gateway: &Gateway, found: &[StoredCertificate]) -> Vec<CertificateView> {
    let mut names: HashMap<NodeId, Option<String>> = HashMap::new();
    for stored in found {
        if let Entry::Vacant(unknown) = names.entry(stored.certificate.node_id) {
            let known = gateway.device_by_prefix(&unknown.key().to_string()).await.ok();
            unknown.insert(known.map(|known| known.entry.record.name.to_string()));
        }
    }
    let view = |stored: &StoredCertificate| {
        view(gateway.authority(), stored, names.get(&stored.certificate.node_id).cloned().flatten())
    };
    found.iter().map(view).collect()
}

/// Makes a new root of the certificate authority. The body may be empty.
#[utoipa::path(
    post,
    path = "/api/v1/ca/rotate",
    tag = "Certificates",
    request_body = RotateAuthorityBody,
    responses((status = 200, body = AuthorityView)),
)]
pub(super) async fn rotate(
    Acting(gateway): Acting,
    Body(body): Body<RotateAuthorityBody>,
) -> Result<Json<AuthorityView>, AdminFailure> {
    let RotateAuthorityBody { at_once } = body;
    let overlap = if at_once { Overlap::None } else { Overlap::UntilLeavesEnd };
    gateway.rotate_authority(overlap).await.map_err(AdminFailure::Authority)?;
    Ok(Json(authority(&gateway)))
}

/// Revokes certificates for good: one, those of a key, or those of a node.
#[utoipa::path(
    post,
    path = "/api/v1/certs/revoke",
    tag = "Certificates",
    request_body = RevokeBody,
    responses((status = 200, body = RevokedCertificatesView)),
)]
pub(super) async fn revoke(
    Acting(gateway): Acting,
    Body(body): Body<RevokeBody>,
) -> Result<Json<RevokedCertificatesView>, AdminFailure> {
    let which = match body {
        RevokeBody { certificate: Some(which), key: None, node: None } => {
            RevokedCertificates::Serial(gateway.certificate_named(&which).await?.certificate.serial)
        }
        RevokeBody { certificate: None, key: Some(key), node: None } => {
            RevokedCertificates::Key(key_hash(&key)?)
        }
        RevokeBody { certificate: None, key: None, node: Some(node) } => {
            RevokedCertificates::Node(gateway.device_for_good(&node).await?.entry.record.node_id)
        }
        RevokeBody { .. } => {
            return Err(AdminFailure::Usage(
                "name the certificates by one of certificate, key or node".to_owned(),
            ));
        }
    };
    revoked(&gateway, which).await
}

/// Revokes all certificates that were issued until now.
#[utoipa::path(
    post,
    path = "/api/v1/certs/revoke-all",
    tag = "Certificates",
    responses((status = 200, body = RevokedCertificatesView)),
)]
pub(super) async fn revoke_all(
    Acting(gateway): Acting,
) -> Result<Json<RevokedCertificatesView>, AdminFailure> {
    // One second more, so that a certificate of this second is among them.
    let before = UnixTime::from_secs(gateway.now().as_secs().saturating_add(1));
    revoked(&gateway, RevokedCertificates::Before(before)).await
}

/// Returns the lists of revoked certificates that all trusted roots have signed.
#[utoipa::path(
    get,
    path = "/api/v1/certs/crl",
    tag = "Certificates",
    responses((status = 200, body = RevocationListsView)),
)]
pub(super) async fn revocation_lists(
    Acting(gateway): Acting,
) -> Result<Json<RevocationListsView>, AdminFailure> {
    let lists = gateway.revocation_lists().await.map_err(|error| match error {
        NotListed::Store(error) => error.into(),
        NotListed::Authority(error) => AdminFailure::Authority(error),
    })?;
    Ok(Json(RevocationListsView {
        pem: lists.pem(),
        revoked: lists.revoked,
        next_update: lists.next_update.into(),
    }))
}

async fn revoked(
    gateway: &Gateway,
    which: RevokedCertificates,
) -> Result<Json<RevokedCertificatesView>, AdminFailure> {
    let serials = gateway.revoke_certificates(which).await?;
    let revoked = serials.iter().map(ToString::to_string).collect();
    Ok(Json(RevokedCertificatesView { revoked }))
}

fn authority(gateway: &Gateway) -> AuthorityView {
    let authority = gateway.authority();
    AuthorityView { fingerprint: authority.fingerprint(), roots: authority.certificates().len() }
}

fn key_hash(text: &str) -> Result<KeyHash, AdminFailure> {
    let wrong = || AdminFailure::Usage("a key is named by 64 hexadecimal digits".to_owned());
    let mut bytes = [0; 32];
    if text.len() != 2 * bytes.len() || !text.bytes().all(|digit| digit.is_ascii_hexdigit()) {
        return Err(wrong());
    }
    for (place, pair) in bytes.iter_mut().zip(text.as_bytes().chunks_exact(2)) {
        let digits = std::str::from_utf8(pair).map_err(|_| wrong())?;
        *place = u8::from_str_radix(digits, 16).map_err(|_| wrong())?;
    }
    Ok(KeyHash::from_bytes(bytes))
}

fn view(
    authority: &Authority,
    stored: &StoredCertificate,
    friendly_name: Option<String>,
) -> CertificateView {
    let certificate = &stored.certificate;
    CertificateView {
        serial: certificate.serial.to_string(),
        fingerprint: hex(&stored.fingerprint),
        node_id: certificate.node_id.to_string(),
        friendly_name,
        key: certificate.key.to_string(),
        state: certificate.state.as_str().to_owned(),
        not_before: certificate.not_before.into(),
        not_after: certificate.not_after.into(),
        ended_at: stored.ended.map(Time::from),
        is_foreign: authority.is_foreign(&stored.encoded),
    }
}
