//! The control socket of hostapd and wpa_supplicant: a datagram a command, a datagram an answer,
//! and events in between.

use std::collections::VecDeque;
use std::io::{Error, ErrorKind};
use std::path::{Path, PathBuf};
use std::time::Duration;

use crate::provisioning::program::Program;
use tokio::net::UnixDatagram;
use tokio::time::{sleep, timeout};

/// Limit for an answer.
const ANSWER_WITHIN: Duration = Duration::from_secs(5);
/// Limit for a program to open its socket.
const OPEN_WITHIN: Duration = Duration::from_secs(10);
/// Time between two looks for the socket.
const STEP: Duration = Duration::from_millis(50);
/// Longest datagram; longer answers are cut by their sender.
const LONGEST: usize = 8192;
/// Events that are kept; the oldest give way.
const EVENTS: usize = 128;

/// A connection to a control socket.
pub(super) struct Control {
    socket: UnixDatagram,
    own: PathBuf,
    events: VecDeque<String>,
}

impl Control {
    /// Waits until the program has opened its socket, and asks it for events. `own` is the path of
    /// the socket to which it answers.
    pub(super) async fn open(
        program: &mut Program,
        server: &Path,
        own: PathBuf,
    ) -> Result<Self, Error> {
        let opened = async {
            loop {
                if program.has_ended() {
                    return Err(Error::new(ErrorKind::BrokenPipe, "it has ended"));
                }
                if let Ok(mut control) = Self::connect(server, own.clone()) {
                    match control.ask("ATTACH").await?.as_str() {
                        "OK" => return Ok(control),
                        other => return Err(Error::other(format!("it answers {other}"))),
                    }
                }
                sleep(STEP).await;
            }
        };
        timeout(OPEN_WITHIN, opened).await.map_err(|_| Error::from(ErrorKind::TimedOut))?
    }

    fn connect(server: &Path, own: PathBuf) -> Result<Self, Error> {
        // Left by a process that was killed.
        match std::fs::remove_file(&own) {
            Err(why) if why.kind() != ErrorKind::NotFound => return Err(why),
            Ok(()) | Err(_) => {}
        }
        let socket = UnixDatagram::bind(&own)?;
        let control = Self { socket, own, events: VecDeque::new() };
        control.socket.connect(server)?;
        Ok(control)
    }

    /// Sends a command, and returns its answer without the end of the line.
    pub(super) async fn ask(&mut self, command: &str) -> Result<String, Error> {
        let answer = async {
            self.socket.send(command.as_bytes()).await?;
            loop {
                let text = receive(&self.socket).await?;
                if !text.starts_with('<') {
                    return Ok(text.trim_end().to_owned());
                }
                if self.events.len() == EVENTS {
                    self.events.pop_front();
                }
                self.events.push_back(text);
            }
        };
        timeout(ANSWER_WITHIN, answer).await.map_err(|_| Error::from(ErrorKind::TimedOut))?
    }

    /// Sends a command whose answer is `OK`. No error repeats the command.
    pub(super) async fn order(&mut self, command: &str) -> Result<(), Error> {
        let verb = command.split(' ').next().unwrap_or_default();
        match self.ask(command).await?.as_str() {
            "OK" => Ok(()),
            _ => Err(Error::other(format!("it refuses {verb}"))),
        }
    }

    /// Waits for the next event. Dropping the future loses nothing.
    pub(super) async fn event(&mut self) -> Result<String, Error> {
        if let Some(event) = self.events.pop_front() {
            return Ok(event);
        }
        loop {
            let text = receive(&self.socket).await?;
            // Anything else is an answer that came too late.
            if text.starts_with('<') {
                return Ok(text);
            }
        }
    }
}

async fn receive(socket: &UnixDatagram) -> Result<String, Error> {
    let mut buffer = vec![0; LONGEST];
    let length = socket.recv(&mut buffer).await?;
    buffer.truncate(length);
    Ok(String::from_utf8_lossy(&buffer).into_owned())
}

impl Drop for Control {
    fn drop(&mut self) {
        if let Err(why) = std::fs::remove_file(&self.own) {
            tracing::debug!("{} cannot be removed: {why}", self.own.display());
        }
    }
}
