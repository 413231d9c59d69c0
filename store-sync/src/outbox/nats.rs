//! Batches over NATS JetStream, for chains that outgrow one machine: `nats://host:4222,host:4222/chain`.
//!
//! One stream a chain (`LINEFREE_{CHAIN}`), one subject a store (`linefree.{chain}.{store}.events`), one message a batch:
//! CloudEvents as over HTTP, packed by zstd (`Content-Encoding` says so). Commands are asked for on `linefree.{chain}.{store}.commands`.
//!
//! **Nothing lost.** A batch counts as delivered when the stream has it on its disks (as many as it has replicas). The
//! next one is sent after that, so the **order** of a store's events is that of its ledger (with the two lanes of
//! [`super::lanes`] after days offline). **Nothing doubled**: `Nats-Msg-Id` names ledger and numbers, so that the stream
//! drops a batch that comes again within its window (two minutes unless its operator says otherwise); and each batch
//! says which message of its subject it follows (`Nats-Expected-Last-Subject-Sequence`), so that after the window, and
//! when an attempt that was given up arrives late, the stream refuses it and the store looks at what is there. Whoever
//! reads the stream still compares event ids: a ledger that was put back is delivered again under its new id.
//! **A stream that was lost** holds no message of the store's: everything is sent again.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::atomic::Ordering;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use async_nats::connection::State;
use async_nats::jetstream::ContextBuilder;
use async_nats::jetstream::context::{Context, PublishErrorKind};
use async_nats::jetstream::message::PublishMessage;
use async_nats::jetstream::stream::{Config, LastRawMessageErrorKind, StorageType, Stream};
use async_nats::{Client, ConnectOptions, HeaderMap};
use serde::Deserialize;
use uuid::Uuid;

use super::http::{is_loopback, read_token};
use super::{Deliver, DeliveryError};
use crate::cloud::command::Command;
use crate::cloud::packing::Packing;
use crate::cloud::{BATCH_MEDIA_TYPE, CommandPage};
use crate::downlink::AskCommands;

/// How long an answer is waited for.
const ANSWER_WITHIN: Duration = Duration::from_secs(5);

/// How long a stream's acknowledgement is waited for on a connection that stands. Long, because when a whole chain comes
/// back at once acknowledgements stand in a queue, and whoever gives up and sends again only makes that longer.
const ACK_WITHIN: Duration = Duration::from_secs(20);

/// How often it is looked whether the connection still stands: an answer to one that broke never comes.
const STANDS_EVERY: Duration = Duration::from_millis(250);

/// How batches are packed. Whoever reads the stream must know it before stores send it: readers are upgraded first.
const PACKING: Packing = Packing::Zstd;

/// Where the trunk is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TrunkUrl {
    servers: Vec<String>,
    chain: String,
    replicas: usize,
    /// JetStream domain of the servers that keep the stream, when it is not that of those named.
    domain: Option<String>,
}

/// Why an address names no trunk.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
pub enum TrunkUrlError {
    /// Its form.
    #[error(
        "the trunk's address {0:?} is not of the form nats://host:4222,host:4222/chain[?domain=NAME&replicas=1..5]"
    )]
    Form(String),
    /// It would carry the token in the clear.
    #[error(
        "the trunk's address {0:?} is nats: and not on this machine, so the token would travel in the clear: use tls://, \
         a leaf node on this machine, or leave token_file out"
    )]
    TokenInTheClear(String),
}

impl TrunkUrl {
    /// Does an address name a trunk, and not a cloud that speaks HTTP?
    #[must_use]
    pub fn is_one(url: &str) -> bool {
        url.starts_with("nats://") || url.starts_with("tls://")
    }

    /// Reads `nats://host:port,host:port/chain`, or `tls://`; `?replicas=N` says how often a stream that has to be made
    /// keeps each batch (3 with three servers or more, else 1). `?domain=NAME` is needed behind a leaf node: a server
    /// without JetStream, or with its own, passes on only those questions to JetStream that name the domain of the hub.
    ///
    /// # Errors
    /// [`TrunkUrlError`].
    pub fn parse(url: &str) -> Result<Self, TrunkUrlError> {
        let wrong = || TrunkUrlError::Form(url.to_owned());
        let (scheme, rest) = url.split_once("://").filter(|_| Self::is_one(url)).ok_or_else(wrong)?;
        let (path, query) = rest.split_once('?').unwrap_or((rest, ""));
        let (hosts, chain) = path.split_once('/').ok_or_else(wrong)?;
        let sound = |b: u8| b.is_ascii_alphanumeric() || b == b'-' || b == b'_';
        let host = |h: &str| !h.is_empty() && h.bytes().all(|b| sound(b) || b".:[]".contains(&b));
        if chain.is_empty() || chain.len() > 64 || !chain.bytes().all(sound) || !hosts.split(',').all(host) {
            return Err(wrong());
        }
        let servers: Vec<String> = hosts.split(',').map(|h| format!("{scheme}://{h}")).collect();
        let mut replicas = if servers.len() >= 3 { 3 } else { 1 };
        let mut domain = None;
        for (key, value) in query
            .split('&')
            .filter_map(|part| part.split_once('=').or((!part.is_empty()).then_some((part, ""))))
        {
            match key {
                "replicas" => {
                    replicas = value.parse().ok().filter(|n| (1..=5).contains(n)).ok_or_else(wrong)?;
                }
                "domain" if !value.is_empty() && value.len() <= 64 && value.bytes().all(sound) => {
                    domain = Some(value.to_owned());
                }
                _ => return Err(wrong()),
            }
        }
        Ok(Self { servers, chain: chain.to_owned(), replicas, domain })
    }

    fn carries_secrets(&self) -> bool {
        self.servers.iter().all(|s| s.strip_prefix("nats://").is_none_or(is_loopback))
    }

    /// The chain's stream.
    #[must_use]
    pub fn stream(&self) -> String {
        format!("LINEFREE_{}", self.chain.to_ascii_uppercase())
    }

    /// A subject of a store; `*` for every store.
    #[must_use]
    pub fn subject(&self, store: &str, what: &str) -> String {
        format!("linefree.{}.{}.{what}", self.chain, token(store))
    }

    /// Connects, whenever the servers can be reached.
    ///
    /// # Errors
    /// [`DeliveryError`].
    pub async fn connect(&self, name: &str, token: Option<&str>) -> Result<Client, DeliveryError> {
        let mut options = ConnectOptions::new()
            .name(name)
            .connection_timeout(Duration::from_secs(5))
            .request_timeout(Some(ANSWER_WITHIN));
        // A user with a password, or a token for all.
        options = match token.map(|token| token.split_once(':').ok_or(token)) {
            Some(Ok((user, password))) => options.user_and_password(user.to_owned(), password.to_owned()),
            Some(Err(token)) => options.token(token.to_owned()),
            None => options,
        };
        options.connect(&self.servers[..]).await.map_err(|e| unreachable(&e))
    }

    /// JetStream with our patience, in the domain that the address names.
    #[must_use]
    pub fn jetstream(&self, client: Client) -> Context {
        self.within(client, ANSWER_WITHIN)
    }

    fn within(&self, client: Client, answer_within: Duration) -> Context {
        let patient = ContextBuilder::new().timeout(answer_within).ack_timeout(ACK_WITHIN);
        match &self.domain {
            Some(domain) => patient.domain(domain).build(client),
            None => patient.build(client),
        }
    }

    /// The chain's stream, made when there is none.
    ///
    /// # Errors
    /// [`DeliveryError`].
    pub async fn open_stream(&self, context: &Context) -> Result<Stream, DeliveryError> {
        let config = Config {
            name: self.stream(),
            subjects: vec![self.subject("*", "events")],
            storage: StorageType::File,
            num_replicas: self.replicas,
            duplicate_window: Duration::from_secs(120),
            description: Some("what the chain's stores have delivered".into()),
            ..Config::default()
        };
        context.get_or_create_stream(config).await.map_err(|e| unreachable(&e))
    }
}

/// A store's id as one token of a subject: what has a meaning in subjects is written as `%XX`.
fn token(store: &str) -> String {
    if store == "*" {
        return store.to_owned();
    }
    let mut out = String::new();
    for byte in store.bytes() {
        if byte.is_ascii_alphanumeric() || byte == b'-' || byte == b'_' {
            out.push(char::from(byte));
        } else {
            out.push_str(&format!("%{byte:02X}"));
        }
    }
    out
}

fn unreachable(e: &dyn std::fmt::Display) -> DeliveryError {
    DeliveryError::Unreachable(e.to_string())
}

/// Which part of a ledger a batch is.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Span {
    ledger: Uuid,
    store: String,
    first: u64,
    last: u64,
}

impl Span {
    fn of(batch: &[u8]) -> Result<Self, String> {
        #[derive(Deserialize)]
        struct Numbered {
            source: String,
            ledger: Uuid,
            sequence: String,
        }
        let events: Vec<Numbered> = serde_json::from_slice(batch).map_err(|e| e.to_string())?;
        let seq = |e: &Numbered| e.sequence.parse::<u64>().map_err(|e| e.to_string());
        let (Some(begin), Some(end)) = (events.first(), events.last()) else {
            return Err("it is empty".into());
        };
        let (first, last) = (seq(begin)?, seq(end)?);
        if last.checked_sub(first) != Some(events.len() as u64 - 1) {
            return Err(format!("{} events are numbered {first} to {last}", events.len()));
        }
        let store = begin.source.strip_prefix("/stores/").unwrap_or_default().to_owned();
        Ok(Self { ledger: begin.ledger, store, first, last })
    }

    fn id(&self) -> String {
        format!("{}/{}/{}-{}", self.store, self.ledger, self.first, self.last)
    }

    fn of_id(id: &str) -> Option<Self> {
        let mut parts = id.rsplitn(3, '/');
        let (first, last) = parts.next()?.split_once('-')?;
        let (first, last) = (first.parse().ok()?, last.parse().ok()?);
        let ledger = parts.next()?.parse().ok()?;
        Some(Self { ledger, store: parts.next()?.to_owned(), first, last })
    }
}

/// How much of a ledger the stream has: what it had, and batches that were acknowledged since.
#[derive(Debug, Clone, Default)]
pub struct Coverage {
    ledger: Uuid,
    reached: u64,
    ahead: BTreeMap<u64, u64>,
}

impl Coverage {
    /// Everything up to a number, nothing beyond.
    #[must_use]
    pub fn of(ledger: Uuid, acknowledged: u64) -> Self {
        Self { ledger, reached: acknowledged, ..Self::default() }
    }

    fn add(&mut self, span: &Span) {
        if span.ledger != self.ledger {
            return;
        }
        let until = self.ahead.entry(span.first).or_default();
        *until = span.last.max(*until);
        while let Some(entry) = self.ahead.first_entry()
            && *entry.key() <= self.reached + 1
        {
            self.reached = entry.remove().max(self.reached);
        }
    }
}

/// One store's way into the stream.
pub struct StoreLane {
    client: Client,
    context: Context,
    stream: Stream,
    subject: String,
    /// Stream position of the subject's last message; 0 for none.
    follows: u64,
    has: Coverage,
}

impl StoreLane {
    /// Opens a store's way; `has` is what the stream was said to have of the ledger.
    ///
    /// # Errors
    /// [`DeliveryError`].
    pub async fn open(
        url: &TrunkUrl,
        client: Client,
        store: &str,
        has: Coverage,
    ) -> Result<Self, DeliveryError> {
        while_it_stands(&client.clone(), async {
            // Whoever opens the way anew stands in the same queue as acknowledgements.
            let context = url.within(client.clone(), ACK_WITHIN);
            let stream = url.open_stream(&context).await?;
            let subject = url.subject(store, "events");
            let mut lane = Self { client, context, stream, subject, follows: 0, has };
            if lane.look().await?.is_none() {
                // The stream never had anything of this store, or was lost with it.
                lane.has = Coverage::of(lane.has.ledger, 0);
            }
            Ok(lane)
        })
        .await
    }

    /// What the stream has of the ledger, for opening the way anew after a failure.
    #[must_use]
    pub fn has(&self) -> Coverage {
        self.has.clone()
    }

    /// Looks at the subject's last message: notes its position, and says which batch it is.
    async fn look(&mut self) -> Result<Option<Span>, DeliveryError> {
        match self.stream.get_last_raw_message_by_subject(&self.subject).await {
            Ok(last) => {
                self.follows = last.sequence;
                let id = last.headers.get("Nats-Msg-Id").map(|id| id.as_str().to_owned());
                let nonsense =
                    || DeliveryError::Nonsense(format!("{} holds a message without an id", self.subject));
                Span::of_id(&id.unwrap_or_default()).map(Some).ok_or_else(nonsense)
            }
            Err(e) if matches!(e.kind(), LastRawMessageErrorKind::NoMessageFound) => {
                self.follows = 0;
                Ok(None)
            }
            Err(e) => Err(unreachable(&e)),
        }
    }

    /// Sends a batch, and says up to where the stream has everything.
    ///
    /// # Errors
    /// [`DeliveryError`]; the batch may or may not have arrived.
    pub async fn deliver(&mut self, batch: &[u8]) -> Result<u64, DeliveryError> {
        let client = self.client.clone();
        while_it_stands(&client, self.send(batch)).await
    }

    async fn send(&mut self, batch: &[u8]) -> Result<u64, DeliveryError> {
        let span =
            Span::of(batch).map_err(|why| DeliveryError::Nonsense(format!("this batch of ours: {why}")))?;
        let packed = PACKING.pack(batch).map_err(|e| unreachable(&e))?;
        let mut headers = HeaderMap::new();
        headers.insert("Content-Type", BATCH_MEDIA_TYPE);
        headers.insert("Content-Encoding", PACKING.name());
        let message = PublishMessage::build()
            .payload(packed.into())
            .headers(headers)
            .message_id(span.id())
            .expected_last_subject_sequence(self.follows);
        let sent = async { self.context.send_publish(self.subject.clone(), message).await?.await };
        match sent.await {
            Ok(ack) => {
                // Of a duplicate, it is the first one's position.
                self.follows = ack.sequence.max(self.follows);
                self.has.add(&span);
                Ok(self.has.reached)
            }
            Err(e) => match e.kind() {
                PublishErrorKind::WrongLastSequence => {
                    // An earlier attempt arrived after all, or another process sends for this store.
                    if let Some(there) = self.look().await? {
                        self.has.add(&there);
                        if there == span {
                            return Ok(self.has.reached);
                        }
                    }
                    Err(DeliveryError::Unreachable("the stream had more of this store than was known".into()))
                }
                PublishErrorKind::MaxPayloadExceeded => Err(DeliveryError::Refused {
                    status: 413,
                    told: "the batch is too large for the trunk".into(),
                }),
                _ => Err(unreachable(&e)),
            },
        }
    }
}

/// Waits for something on a connection, and not longer than that connection stands. What is given up may still arrive.
async fn while_it_stands<T>(
    client: &Client,
    work: impl Future<Output = Result<T, DeliveryError>>,
) -> Result<T, DeliveryError> {
    let connects = || client.statistics().connects.load(Ordering::Relaxed);
    let before = connects();
    let broke = async {
        loop {
            tokio::time::sleep(STANDS_EVERY).await;
            if connects() != before || client.connection_state() == State::Disconnected {
                return;
            }
        }
    };
    tokio::select! {
        done = work => done,
        () = broke => Err(DeliveryError::Unreachable("the connection broke".into())),
    }
}

/// The trunk, for a thread that may wait.
pub struct NatsTrunk {
    url: TrunkUrl,
    token_file: Option<PathBuf>,
    store: String,
    has: Mutex<Coverage>,
    open: Mutex<Option<Open>>,
}

/// What is open while the servers can be reached.
struct Open {
    // Before the runtime, so that it is dropped while that runs.
    lane: Option<StoreLane>,
    client: Client,
    runtime: tokio::runtime::Runtime,
}

impl NatsTrunk {
    /// Checks the address; nothing is sent yet.
    ///
    /// # Errors
    /// [`TrunkUrlError`].
    pub fn new(url: &str, store: &str, token_file: Option<PathBuf>) -> Result<Self, TrunkUrlError> {
        let parsed = TrunkUrl::parse(url)?;
        if token_file.is_some() && !parsed.carries_secrets() {
            return Err(TrunkUrlError::TokenInTheClear(url.to_owned()));
        }
        let store = store.to_owned();
        Ok(Self { url: parsed, token_file, store, has: Mutex::default(), open: Mutex::new(None) })
    }

    fn opened<'a>(&self, open: &'a mut Option<Open>) -> Result<&'a mut Open, DeliveryError> {
        if open.is_none() {
            // A thread of its own, which answers the servers' pings between batches.
            let runtime = tokio::runtime::Builder::new_multi_thread()
                .worker_threads(1)
                .thread_name("trunk")
                .enable_all()
                .build()
                .map_err(|e| unreachable(&e))?;
            let token = self.token_file.as_deref().map(read_token).transpose()?;
            let client = runtime.block_on(self.url.connect(&self.store, token.as_deref()))?;
            *open = Some(Open { lane: None, client, runtime });
        }
        open.as_mut().ok_or_else(|| DeliveryError::Unreachable("it was closed".into()))
    }
}

impl Deliver for NatsTrunk {
    fn begin(&self, ledger: Uuid, acknowledged: u64) {
        *self.has.lock().unwrap_or_else(PoisonError::into_inner) = Coverage::of(ledger, acknowledged);
        if let Some(open) = &mut *self.open.lock().unwrap_or_else(PoisonError::into_inner) {
            open.lane = None;
        }
    }

    fn deliver(&self, batch: &[u8]) -> Result<u64, DeliveryError> {
        let mut guard = self.open.lock().unwrap_or_else(PoisonError::into_inner);
        let open = self.opened(&mut guard)?;
        let mut has = self.has.lock().unwrap_or_else(PoisonError::into_inner);
        let mut lane = match open.lane.take() {
            Some(lane) => lane,
            None => {
                let lane = StoreLane::open(&self.url, open.client.clone(), &self.store, has.clone());
                open.runtime.block_on(lane)?
            }
        };
        let delivered = open.runtime.block_on(lane.deliver(batch));
        has.clone_from(&lane.has);
        // After a failure the way is opened anew, which looks at what the stream has.
        if delivered.is_ok() {
            open.lane = Some(lane);
        }
        delivered
    }
}

impl AskCommands for NatsTrunk {
    fn commands(&self, store: &str, after: u64) -> Result<Option<Vec<Command>>, DeliveryError> {
        let mut guard = self.open.lock().unwrap_or_else(PoisonError::into_inner);
        let open = self.opened(&mut guard)?;
        let subject = self.url.subject(store, "commands");
        let question = serde_json::json!({ "after": after }).to_string();
        let asked = open.client.request(subject, question.into());
        match open.runtime.block_on(asked) {
            Ok(answer) => serde_json::from_slice::<CommandPage>(&answer.payload)
                .map(|page| Some(page.commands))
                .map_err(|e| DeliveryError::Nonsense(e.to_string())),
            // Nobody reads the trunk at the moment, or whoever does has no commands.
            Err(e) if e.kind() == async_nats::RequestErrorKind::NoResponders => Ok(None),
            Err(e) => Err(unreachable(&e)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_names_servers_chain_and_replicas() {
        let url = TrunkUrl::parse("nats://a:4222,b:4222,c:4222/fresh-mart").unwrap();
        assert_eq!((url.servers.len(), url.replicas, url.stream()), (3, 3, "LINEFREE_FRESH-MART".into()));
        assert_eq!(url.subject("corner.1", "events"), "linefree.fresh-mart.corner%2E1.events");
        assert_eq!(TrunkUrl::parse("tls://a/x?replicas=5").unwrap().replicas, 5);
        let leaf = TrunkUrl::parse("nats://127.0.0.1/x?domain=hub&replicas=3").unwrap();
        assert_eq!((leaf.domain.as_deref(), leaf.replicas), (Some("hub"), 3));
        for bad in [
            "nats://a/x?domain=",
            "nats://a/x?domain=a.b",
            "nats://a/x?realm=hub",
            "nats://a",
            "nats://a/",
            "nats:///x",
            "http://a/x",
            "nats://a/x.y",
            "nats://a/x?replicas=9",
            "nats://u@a/x",
        ] {
            assert!(TrunkUrl::parse(bad).is_err(), "{bad}");
        }
        let token = || Some(PathBuf::from("token"));
        assert!(NatsTrunk::new("nats://cloud.example:4222/x", "s", token()).is_err());
        assert!(NatsTrunk::new("tls://cloud.example:4222/x", "s", token()).is_ok());
        assert!(NatsTrunk::new("nats://127.0.0.1:4222/x", "s", token()).is_ok());
    }

    #[test]
    fn coverage_is_contiguous_whatever_comes_first() {
        let span = |first, last| Span { ledger: Uuid::nil(), store: "s".into(), first, last };
        let mut has = Coverage { reached: 10, ..Coverage::default() };
        has.add(&span(101, 120));
        assert_eq!(has.reached, 10);
        has.add(&span(11, 100));
        assert_eq!(has.reached, 120);
        has.add(&span(50, 60));
        assert_eq!((has.reached, has.ahead.len()), (120, 0));
        assert_eq!(Span::of_id(&span(5, 9).id()), Some(span(5, 9)));
    }
}
