//! The task that owns the radio: one request at a time; a new one ends a join that is under way.

use std::sync::Arc;
use std::time::Duration;

use handfast_core::flow::provisioning::contract::NoAccessPoint;
use handfast_core::flow::provisioning::radio::RadioReport;
use handfast_core::wire::provisioning::Country;
use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc, oneshot};
use tokio::time::timeout;

use super::radio::{Radio, WifiCredentials, WifiNetwork};

/// Limit for a scan. A radio takes some seconds for one.
const SCAN_WITHIN: Duration = Duration::from_secs(20);
/// Scans that wait for the radio at once, whether or not their phone is still there.
const SCANS: usize = 8;

/// The scans that phones ask for, of which few wait at once.
pub(super) struct Scanner {
    radio: mpsc::UnboundedSender<RadioRequest>,
    places: Arc<Semaphore>,
}

impl Scanner {
    pub(super) fn new(radio: mpsc::UnboundedSender<RadioRequest>) -> Self {
        Self { radio, places: Arc::new(Semaphore::new(SCANS)) }
    }

    /// Lists the networks in reach; none if the radio does not answer in time.
    pub(super) async fn scan(&self) -> Vec<WifiNetwork> {
        let scanned = async {
            // The radio gives the permit back, since a phone that has gone leaves its request there.
            let permit = self.places.clone().acquire_owned().await.ok()?;
            let (place, answer) = oneshot::channel();
            self.radio.send(RadioRequest::Scan(place, permit)).ok()?;
            answer.await.ok()
        };
        timeout(SCAN_WITHIN, scanned).await.ok().flatten().unwrap_or_default()
    }
}

/// A request to the radio.
pub(super) enum RadioRequest {
    /// Lists the networks in reach; the permit bounds how many of these wait.
    Scan(oneshot::Sender<Vec<WifiNetwork>>, OwnedSemaphorePermit),
    StartAccessPoint(WifiCredentials),
    SetCountry(Country),
    StopAccessPoint,
    /// Joins a network. The number tells its reports from those of an earlier join.
    Join {
        network: WifiCredentials,
        known: bool,
        number: u64,
    },
    Leave,
    Keep,
    Forget,
    Check {
        number: u64,
    },
}

/// An answer of the radio.
pub(super) enum RadioEvent {
    AccessPoint(Result<(), NoAccessPoint>),
    Report(u64, RadioReport),
    Checked(u64, bool),
}

/// Carries out requests until their sender is gone.
pub(super) async fn run(
    mut radio: Box<dyn Radio>,
    mut requests: mpsc::UnboundedReceiver<RadioRequest>,
    events: mpsc::UnboundedSender<RadioEvent>,
) {
    let mut scanned = Vec::new();
    // The number of the last join, whose network is reported if it is lost.
    let mut joined = None;
    let mut next = requests.recv().await;
    while let Some(request) = next {
        next = match request {
            RadioRequest::Scan(answer, _permit) => {
                // Nobody hears the answer once the phone has gone.
                if !answer.is_closed() {
                    scanned = radio.scan().await;
                    let _ = answer.send(scanned.clone());
                }
                None
            }
            RadioRequest::StartAccessPoint(network) => {
                joined = None;
                let started = radio.start_access_point(&network).await;
                let _ = events.send(RadioEvent::AccessPoint(started));
                None
            }
            RadioRequest::SetCountry(country) => {
                radio.set_country(country).await;
                None
            }
            RadioRequest::StopAccessPoint => {
                radio.stop_access_point().await;
                None
            }
            RadioRequest::Join { network, known, number } => {
                let (reports, mut reported) = mpsc::unbounded_channel();
                let join = async { radio.join(&network, known, &reports).await };
                tokio::pin!(join);
                joined = Some(number);
                let tell = |report| {
                    let _ = events.send(RadioEvent::Report(number, report));
                };
                loop {
                    tokio::select! {
                        Some(report) = reported.recv() => tell(report),
                        () = &mut join => {
                            while let Ok(report) = reported.try_recv() {
                                tell(report);
                            }
                            break None;
                        }
                        request = requests.recv() => match request {
                            // The list from before the join answers, because the radio is busy.
                            Some(RadioRequest::Scan(answer, _permit)) => {
                                let _ = answer.send(scanned.clone());
                            }
                            other => break other,
                        },
                    }
                }
            }
            RadioRequest::Leave => {
                joined = None;
                radio.leave().await;
                None
            }
            RadioRequest::Keep => {
                radio.keep().await;
                None
            }
            RadioRequest::Forget => {
                radio.forget().await;
                None
            }
            RadioRequest::Check { number } => {
                let captive = radio.is_captive().await;
                let _ = events.send(RadioEvent::Checked(number, captive));
                None
            }
        };
        while next.is_none() {
            next = tokio::select! {
                request = requests.recv() => match request {
                    None => return,
                    request => request,
                },
                report = radio.lost(), if joined.is_some() => {
                    if let Some(number) = joined.take() {
                        let _ = events.send(RadioEvent::Report(number, report));
                    }
                    None
                }
            };
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn scans_whose_phones_have_gone_do_not_pile_up_at_a_slow_radio() {
        let (radio, mut requests) = mpsc::unbounded_channel();
        let scanner = Scanner::new(radio);
        for _ in 0..100 {
            let gone = timeout(Duration::from_millis(1), scanner.scan()).await;
            assert!(gone.is_err(), "the radio does not answer");
        }
        let mut waiting = 0;
        while let Ok(RadioRequest::Scan(answer, _permit)) = requests.try_recv() {
            assert!(answer.is_closed());
            waiting += 1;
        }
        assert_eq!(waiting, SCANS);
    }
}
