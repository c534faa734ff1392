//! The control socket: one JSON request a line, one JSON reply a line.

use std::fs;
use std::io::{BufRead, BufReader, Write};
use std::os::unix::fs::PermissionsExt;
use std::os::unix::net::UnixStream as BlockingStream;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context, Result};
use serde::{Deserialize, Serialize};
use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt};
use tokio::net::{UnixListener, UnixStream};
use tokio::sync::{Semaphore, mpsc, oneshot};
use tokio::time::timeout;

use crate::error::{Exit, failure, no_daemon};
use crate::rule::Rule;
use crate::show::FlowFilter;

/// A request's length at most; a rule is far shorter.
const MAX_REQUEST_BYTES: u64 = 64 * 1024;
/// How long a client may take to send its request.
const REQUEST_TIMEOUT: Duration = Duration::from_secs(5);
/// Clients that are served at the same time; others wait in the socket's backlog.
const MAX_CLIENTS: usize = 32;
/// One permit for each client that is being served, and one for the next.
static CLIENTS: Semaphore = Semaphore::const_new(MAX_CLIENTS);
/// How long a command waits for the daemon: a large reload takes a while.
const REPLY_TIMEOUT: Duration = Duration::from_secs(60);

/// What a client asks the daemon.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(tag = "op", rename_all = "snake_case")]
pub enum Request {
    /// Add a rule, under a name or one made from its listen address.
    Add {
        /// The rule.
        rule: Rule,
        /// The name that the user gave.
        name: Option<String>,
    },
    /// Delete the rule with this name or text.
    Delete {
        /// Name or rule.
        which: String,
    },
    /// Delete every rule.
    Flush,
    /// Read the config file again.
    Reload,
    /// End the flows that match.
    FlushFlows {
        /// Which.
        filter: FlowFilter,
    },
    /// End the daemon, as Ctrl-C does.
    Stop,
}

/// What the daemon answers.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Reply {
    /// It is done; what to tell the user.
    Done(String),
    /// It is refused, and nothing has changed.
    Refused {
        /// Why, and the way out.
        error: String,
        /// The exit code for the client.
        exit: u8,
    },
}

impl Reply {
    /// The answer to a request that failed.
    pub(super) fn refused(error: &anyhow::Error) -> Self {
        Self::Refused {
            error: format!("{error:#}"),
            exit: Exit::of(error) as u8,
        }
    }
}

/// A request that waits for its answer.
pub(super) struct Call {
    pub request: Request,
    answer: oneshot::Sender<Reply>,
}

impl Call {
    pub fn reply(self, reply: Reply) {
        // A client that has gone away wants no answer.
        self.answer.send(reply).ok();
    }
}

/// Where the daemon of `interface` listens.
#[must_use]
pub fn socket_path(state_dir: &Path, interface: &str) -> PathBuf {
    state_dir.join(format!("{interface}.sock"))
}

/// Opens the socket; the caller holds the lock, so a socket that is there is left over.
pub(super) fn listen(state_dir: &Path, interface: &str) -> Result<UnixListener> {
    let path = socket_path(state_dir, interface);
    fs::remove_file(&path).ok();
    let listener = UnixListener::bind(&path)
        .with_context(|| format!("cannot listen on {}", path.display()))?;
    fs::set_permissions(&path, fs::Permissions::from_mode(0o600))
        .with_context(|| format!("cannot close {} to others", path.display()))?;
    Ok(listener)
}

/// Waits, but not for long, until clients that are being served have their answers.
pub(super) async fn finish() {
    let all = u32::try_from(MAX_CLIENTS).unwrap_or(u32::MAX);
    // A client that takes its time goes without.
    let _ = timeout(Duration::from_secs(1), CLIENTS.acquire_many(all)).await;
}

/// Removes the socket.
pub fn remove(state_dir: &Path, interface: &str) {
    fs::remove_file(socket_path(state_dir, interface)).ok();
}

/// Accepts clients and passes on what they ask, until the task is ended.
pub(super) async fn serve(listener: UnixListener, calls: mpsc::Sender<Call>) {
    loop {
        let Ok(permit) = CLIENTS.acquire().await else {
            return;
        };
        let Ok((stream, _)) = listener.accept().await else {
            // Out of file descriptors, most likely: others are about to be closed.
            tokio::time::sleep(Duration::from_millis(100)).await;
            continue;
        };
        let calls = calls.clone();
        tokio::spawn(async move {
            if let Err(error) = serve_client(stream, calls).await {
                tracing::debug!("a client of the control socket: {error:#}");
            }
            drop(permit);
        });
    }
}

async fn serve_client(mut stream: UnixStream, calls: mpsc::Sender<Call>) -> Result<()> {
    let (reader, mut writer) = stream.split();
    let mut line = Vec::new();
    let mut reader = tokio::io::BufReader::new(reader).take(MAX_REQUEST_BYTES);
    let read = reader.read_until(b'\n', &mut line);
    timeout(REQUEST_TIMEOUT, read)
        .await
        .context("sent no request in time")??;
    let reply = match serde_json::from_slice(&line) {
        Ok(request) => {
            let (answer, answered) = oneshot::channel();
            calls
                .send(Call { request, answer })
                .await
                .context("the daemon ends")?;
            answered.await.context("the daemon ends")?
        }
        Err(error) => Reply::refused(&failure(format!("the request is not understood: {error}"))),
    };
    let mut reply = serde_json::to_vec(&reply)?;
    reply.push(b'\n');
    timeout(REQUEST_TIMEOUT, writer.write_all(&reply))
        .await
        .context("took no reply in time")??;
    Ok(())
}

/// Asks the daemon of `interface`; what it tells the user.
///
/// # Errors
/// Where there is no daemon (exit code 4), or it refuses.
pub fn ask(state_dir: &Path, interface: &str, request: &Request) -> Result<String> {
    let path = socket_path(state_dir, interface);
    let stream = BlockingStream::connect(&path).map_err(|error| {
        no_daemon(format!(
            "no daemon answers for {interface} on {} ({error}): start `portfwd run -i {interface} …`",
            path.display()
        ))
    })?;
    stream
        .set_read_timeout(Some(REPLY_TIMEOUT))
        .context("cannot set a time limit")?;
    let mut request = serde_json::to_vec(request).context("cannot write the request")?;
    request.push(b'\n');
    (&stream)
        .write_all(&request)
        .context("cannot send to the daemon")?;
    let mut line = String::new();
    BufReader::new(&stream)
        .read_line(&mut line)
        .context("the daemon did not answer")?;
    match serde_json::from_str(&line).context("the daemon's answer is not understood")? {
        Reply::Done(message) => Ok(message),
        Reply::Refused { error, exit } => Err(Exit::from_u8(exit).error(error)),
    }
}
