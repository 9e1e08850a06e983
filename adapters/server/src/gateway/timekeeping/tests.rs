//! What sweeps write while the clock is in doubt: nothing that an earlier run made.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use handfast_core::grant::session::SessionHash;
use handfast_core::grant::token::{self, TokenHash};
use handfast_core::registry::codes::{Counted, Kind};
use handfast_core::registry::delivery::{DeliveryId, NotSettled, Ticket};
use handfast_core::registry::record::{Credential, Mode, Standing};
use handfast_core::registry::sessions::{Maker, Session};
use handfast_core::registry::trusted_time::Reading;
use handfast_core::secret::Secret;
use handfast_core::wire::native::pair::Selector;
use handfast_core::{Instant, NodeId};
use handfast_store::conformance::{self, START, at};
use handfast_store::{
    Delivered, Deliveries, Delivery, HeldStore, MemoryStore, Sessions, Store, StoredCode,
    Timekeeping, Version,
};

use super::look;
use crate::clock::SystemClock;
use crate::entropy;
use crate::flows::setup_code::tests::{Heard, World, hear, say, settings};
use crate::gateway::Gateway;
use crate::gateway::operator_types::OperatorError;
use crate::pairing::rights::sweep;

const HOUR: u64 = 3600;
const DAY: u64 = 24 * HOUR;

/// The clocks of a system, as the test sets them.
#[derive(Clone)]
struct Hands(Arc<Mutex<Reading>>);

impl SystemClock for Hands {
    fn wall(&self) -> Duration {
        Duration::from_secs(self.0.lock().unwrap().wall.as_secs())
    }

    fn elapsed(&self) -> Instant {
        self.0.lock().unwrap().elapsed
    }

    fn is_synchronised(&self) -> bool {
        self.0.lock().unwrap().synchronised
    }
}

impl Hands {
    fn pass(&self, seconds: u64) {
        let mut reading = self.0.lock().unwrap();
        reading.wall = reading.wall.moved(i64::try_from(seconds).unwrap());
        reading.elapsed = Instant::from_millis(reading.elapsed.as_millis() + seconds * 1000);
    }
}

/// A gateway that starts on what an earlier run left, with a wall clock that is 40 days ahead.
struct InDoubt {
    store: Arc<MemoryStore>,
    hands: Hands,
    gateway: Gateway,
}

impl InDoubt {
    async fn begun_on(store: MemoryStore) -> Self {
        let store = Arc::new(store);
        let wall = at(40 * DAY);
        let hands = Hands(Arc::new(Mutex::new(Reading {
            wall,
            elapsed: Instant::from_millis(0),
            synchronised: false,
        })));
        let builder =
            Gateway::builder(HeldStore::new(store.clone())).store_key(Secret::new([7; 32]));
        let gateway = builder.clock(hands.clone()).start().await.unwrap();
        assert_eq!(gateway.clock().state.as_str(), "doubtful");
        Self { store, hands, gateway }
    }

    /// The wall clock is put right: two hours have passed.
    async fn is_put_right(&self) {
        self.hands.0.lock().unwrap().wall = at(2 * HOUR);
        look(&self.gateway.inner).await.unwrap();
        assert_eq!(self.gateway.clock().state.as_str(), "good");
    }

    async fn standing(&self, node_id: NodeId) -> Standing {
        self.store.load(node_id).await.unwrap().unwrap().record.standing
    }

    async fn uses_left(&self, code: &StoredCode) -> u8 {
        self.store.code(code.id).await.unwrap().unwrap().counted.uses_left
    }
}

/// What an earlier run left at [`START`].
async fn earlier_run() -> MemoryStore {
    let store = MemoryStore::new();
    store.begin_run().await.unwrap();
    store.raise_mark(START).await.unwrap();
    store
}

fn code(maker: Maker) -> StoredCode {
    let code = conformance::code(Kind::Code(Selector::parse("K7QF").unwrap()));
    StoredCode { maker, counted: Counted { expires: at(HOUR), ..code.counted }, ..code }
}

fn paired() -> Standing {
    Standing::Paired {
        credential: Credential::Token(TokenHash::from_bytes([9; 32])),
        mode: Mode::Full,
    }
}

#[tokio::test]
async fn what_a_session_made_does_not_end_with_it_while_the_clock_is_in_doubt_and_is_not_let_in_either()
 {
    let store = earlier_run().await;
    let session = Session { issued_at: START, expires_at: at(HOUR), ..conformance::session() };
    store.insert_session(session.clone()).await.unwrap();
    let maker = Maker::Session(session.id);
    let code = code(maker);
    store.mint(code.clone(), START).await.unwrap().unwrap();
    let (its, owners) = (conformance::record(paired()), conformance::record(paired()));
    for node in [&its, &owners] {
        store.insert(node.clone(), "{}".to_owned(), START).await.unwrap();
    }
    store.save_by(its.node_id, Version(1), paired(), maker, START).await.unwrap();

    let world = InDoubt::begun_on(store).await;
    let (gateway, inner) = (&world.gateway, &world.gateway.inner);
    assert!(
        inner.rests_on_doubt(its.node_id).await.unwrap(),
        "by what the clock says, its session is over"
    );
    assert!(!inner.rests_on_doubt(owners.node_id).await.unwrap());
    world.hands.pass(2 * HOUR);
    sweep(gateway).await.unwrap();
    assert_eq!(
        (world.standing(its.node_id).await, world.uses_left(&code).await),
        (paired(), 1),
        "nothing is written as ended"
    );
    assert!(inner.rests_on_doubt(its.node_id).await.unwrap());

    world.is_put_right().await;
    sweep(gateway).await.unwrap();
    let waits = Standing::Unapproved { token: TokenHash::from_bytes([9; 32]) };
    assert_eq!((world.standing(its.node_id).await, world.uses_left(&code).await), (waits, 0));
    assert_eq!(world.standing(owners.node_id).await, paired());
    assert!(!inner.rests_on_doubt(its.node_id).await.unwrap(), "its standing says what it may");
}

#[tokio::test]
async fn a_secret_that_an_earlier_run_sent_is_neither_confirmed_nor_undone_while_the_clock_is_in_doubt()
 {
    let store = earlier_run().await;
    let code = code(Maker::Operator);
    store.mint(code.clone(), START).await.unwrap().unwrap();
    let sent = DeliveryId::from_bytes([3; 16]);
    let of = Delivered::Code(code.id);
    store
        .deliver(Delivery { ticket: Ticket { id: sent, until: at(60) }, of }, START)
        .await
        .unwrap();

    let world = InDoubt::begun_on(store).await;
    let (gateway, inner) = (&world.gateway, &world.gateway.inner);
    let refused = gateway.confirm_delivery(sent).await;
    assert!(
        matches!(refused, Err(OperatorError::Delivery { why: NotSettled::ClockInDoubt, .. })),
        "{refused:?}"
    );
    let ours = gateway.begin_delivery(of).await.unwrap();
    assert_eq!(world.store.undelivered(9).await.unwrap().len(), 2);
    gateway.confirm_delivery(ours.id).await.unwrap();
    let lapses = gateway.begin_delivery(Delivered::Code(conformance::pin().id)).await.unwrap();
    world.hands.pass(2 * HOUR);
    inner.undo_what_lapsed().await;
    let under_way: Vec<_> = world
        .store
        .undelivered(9)
        .await
        .unwrap()
        .into_iter()
        .map(|delivery| delivery.ticket.id)
        .collect();
    assert_eq!(under_way, [sent], "{lapses:?} is of this run, and two hours have really passed");
    assert_eq!(world.uses_left(&code).await, 1);

    world.is_put_right().await;
    inner.undo_what_lapsed().await;
    assert_eq!(world.store.undelivered(9).await.unwrap(), []);
    assert_eq!(world.uses_left(&code).await, 0, "nobody confirmed it in time");
}

#[tokio::test]
async fn a_step_of_the_clock_ends_the_open_link_of_a_session_that_is_over_by_it() {
    let store = earlier_run().await;
    let token = std::iter::repeat_with(|| token::issue(&entropy::draw())).flatten().next().unwrap();
    let hash = SessionHash::of(&token);
    store
        .insert_session(Session {
            hash,
            issued_at: START,
            expires_at: at(HOUR),
            ..conformance::session()
        })
        .await
        .unwrap();
    let reading = Reading { wall: at(60), elapsed: Instant::from_millis(0), synchronised: true };
    let hands = Hands(Arc::new(Mutex::new(reading)));
    let builder = Gateway::builder(HeldStore::new(Arc::new(store)))
        .store_key(Secret::new([7; 32]))
        .setup(settings());
    let world = World::of(builder.clock(hands.clone())).await;
    let mut socket = world.links(token.expose()).await;

    hands.0.lock().unwrap().wall = at(HOUR / 2);
    look(&world.gateway.inner).await.unwrap();
    say(&mut socket, "still here").await;
    hands.0.lock().unwrap().wall = at(2 * HOUR);
    look(&world.gateway.inner).await.unwrap();
    assert_eq!(hear(&mut socket).await, Heard::Close(1008, "Session ended".to_owned()));
}
