use super::*;

#[tokio::test]
async fn a_gateway_has_the_same_keys_after_a_restart_and_so_the_same_capabilities() {
    let directory = tempfile::tempdir().unwrap();
    let own = node();
    let request = asks(&own, "lamp", Method::Approval);
    let mut chains = Vec::new();
    for _ in 0..2 {
        let gateway = Gateway::builder(let_go(&directory).await)
            .store_key(key())
            .pairing_handler(approves("read:/a\n"));
        let gateway = gateway.start().await.unwrap();
        chains.push((
            gateway.fingerprint(),
            offered(gateway.settle(&request, None).await).chain.unwrap(),
        ));
    }
    assert_eq!(chains[0], chains[1]);
}

#[tokio::test]
async fn a_wrong_store_key_starts_no_gateway_and_changes_nothing() {
    let directory = tempfile::tempdir().unwrap();
    let right = Gateway::builder(let_go(&directory).await)
        .store_key(key())
        .start()
        .await
        .unwrap()
        .fingerprint();
    let wrong =
        Gateway::builder(let_go(&directory).await).store_key(Secret::new([8; 32])).start().await;
    let error = wrong.err().unwrap();
    assert!(matches!(error, StartError::WrongStoreKey));
    assert!(error.to_string().contains("store.key"), "{error}");
    assert_eq!(
        Gateway::builder(let_go(&directory).await)
            .store_key(key())
            .start()
            .await
            .unwrap()
            .fingerprint(),
        right
    );
}

#[tokio::test]
async fn only_a_store_that_forgets_needs_no_key() {
    assert!(Gateway::builder(MemoryStore::default()).start().await.is_ok());
    assert!(Gateway::builder(SqliteStore::in_memory().unwrap()).start().await.is_ok());
    let directory = tempfile::tempdir().unwrap();
    assert!(matches!(
        Gateway::builder(let_go(&directory).await).start().await.err(),
        Some(StartError::NoStoreKey)
    ));
}

#[tokio::test]
async fn gateways_of_one_registry_have_the_same_keys_whoever_was_first() {
    let store: Arc<dyn Store> = Arc::new(MemoryStore::default());
    let start = || PairingServices::start(&*store, key(), PairingSettings::default(), None);
    let (one, other) = tokio::join!(start(), start());
    let (one, other) = (one.unwrap().keys.now(), other.unwrap().keys.now());
    assert_eq!(one.channel.public(), other.channel.public());
}

#[tokio::test]
async fn settings_that_cannot_be_kept_start_no_gateway() {
    let settings = PairingSettings { pin_length: 3, ..PairingSettings::default() };
    let error =
        Gateway::builder(MemoryStore::default()).pairing(settings).start().await.err().unwrap();
    assert_eq!(error.to_string(), "the settings are wrong: a PIN has 4 to 12 characters, not 3");
}
