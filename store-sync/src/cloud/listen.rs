//! The reference cloud over HTTPS: TLS by files of an authority, and who has connected.
//!
//! | a client | what happens |
//! | --- | --- |
//! | shows no certificate where one is wanted, or an expired or revoked one, or another authority's | the handshake ends with the alert of that name, and the log says who and why |
//! | begins a handshake and stops | it is let go after [`GREETING`] |
//! | opens many connections | at most [`GREETED_AT_ONCE`] handshakes at a time; more wait |
//! | keeps a connection beyond its certificate's end, or its revocation | the connection ends at its next request; the next handshake says why |
//!
//! The files are read again when they change, so that a renewed certificate or a longer list of revoked ones needs no
//! restart. What cannot be read then is told, and what was in force stays.

use std::io;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll};
use std::time::{Duration, Instant, SystemTime};

use axum::extract::connect_info::Connected;
use axum::serve::{IncomingStream, Listener};
use linefree_bus::identity::{
    Clients, DeviceName, IdentityDir, IdentityError, client_verifier, server_config_for,
};
use rustls::pki_types::UnixTime;
use rustls::server::danger::ClientCertVerifier;
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _, ReadBuf};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{Semaphore, mpsc};
use tokio::time::timeout;
use tokio_rustls::TlsAcceptor;
use tokio_rustls::server::TlsStream;

/// How long a handshake may take.
pub const GREETING: Duration = Duration::from_secs(10);

/// Handshakes at once.
pub const GREETED_AT_ONCE: usize = 256;

/// Name of the cloud's own certificate in its folder.
pub const CLOUD_SOURCE: &str = "cloud";

/// How long, and how many bytes, a client that was refused may go on sending: closed at once, it would find its
/// connection reset instead of reading why.
const LINGER: Duration = Duration::from_secs(2);
const LINGER_BYTES: usize = 16 << 20;

/// Who has connected, by a certificate that TLS has verified; `None` without one.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Peer(pub Option<DeviceName>);

/// How often the files are looked at, and the certificate of a connection that goes on.
const LOOKED_AT_EVERY: Duration = Duration::from_millis(500);

type Greeted = (Kept, SocketAddr);

/// The folder's files as they were read last.
struct Files {
    dir: IdentityDir,
    clients: Clients,
    read: Mutex<Read>,
}

struct Read {
    looked: Instant,
    stamps: Vec<Option<(SystemTime, u64)>>,
    told_gone: bool,
    tls: TlsAcceptor,
    verifier: Option<Arc<dyn ClientCertVerifier>>,
}

type InForce = (TlsAcceptor, Option<Arc<dyn ClientCertVerifier>>);

impl Files {
    fn new(dir: IdentityDir, clients: Clients) -> Result<Self, IdentityError> {
        // Before they are read: what changes meanwhile is read again.
        let stamps = stamps(&dir);
        let (tls, verifier) = in_force(&dir, clients)?;
        let read = Mutex::new(Read { looked: Instant::now(), stamps, told_gone: false, tls, verifier });
        Ok(Self { dir, clients, read })
    }

    fn now(&self) -> InForce {
        let mut read = self.read.lock().unwrap_or_else(PoisonError::into_inner);
        if read.looked.elapsed() >= LOOKED_AT_EVERY {
            read.looked = Instant::now();
            let stamps = stamps(&self.dir);
            // Whoever was revoked does not come back because a file is missing.
            let gone =
                stamps.last().is_some_and(Option::is_none) && read.stamps.last().is_some_and(Option::is_some);
            if gone && !read.told_gone {
                tracing::error!("crl.pem is gone: what was in force stays until it is back");
            }
            read.told_gone = gone;
            if !gone && stamps != read.stamps {
                read.stamps = stamps;
                match in_force(&self.dir, self.clients) {
                    Ok((tls, verifier)) => {
                        (read.tls, read.verifier) = (tls, verifier);
                        tracing::info!("certificates have changed and are in force");
                    }
                    Err(e) => tracing::error!("certificates have changed, but the earlier ones stay: {e}"),
                }
            }
        }
        (read.tls.clone(), read.verifier.clone())
    }
}

fn in_force(dir: &IdentityDir, clients: Clients) -> Result<InForce, IdentityError> {
    let tls = TlsAcceptor::from(server_config_for(dir, CLOUD_SOURCE, clients)?);
    let verifier = (clients == Clients::Certified).then(|| client_verifier(dir)).transpose()?;
    Ok((tls, verifier))
}

fn stamps(dir: &IdentityDir) -> Vec<Option<(SystemTime, u64)>> {
    let files: [PathBuf; 4] = [dir.certificate(CLOUD_SOURCE), dir.key(CLOUD_SOURCE), dir.ca(), dir.crl()];
    let stamp = |file: PathBuf| {
        let known = std::fs::metadata(file).ok()?;
        Some((known.modified().ok()?, known.len()))
    };
    files.into_iter().map(stamp).collect()
}

/// A connection whose certificate is looked at again while it goes on. One that is good no more reads as ended.
pub struct Kept {
    stream: TlsStream<TcpStream>,
    files: Arc<Files>,
    looked: Instant,
}

impl Kept {
    fn shown(&self) -> &[rustls::pki_types::CertificateDer<'static>] {
        self.stream.get_ref().1.peer_certificates().unwrap_or_default()
    }

    /// Why it ends, if so.
    fn refused(&self) -> Option<rustls::Error> {
        let verifier = self.files.now().1?;
        let (own, others) = self.shown().split_first()?;
        verifier.verify_client_cert(own, others, UnixTime::now()).err()
    }
}

impl AsyncRead for Kept {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        if self.looked.elapsed() >= LOOKED_AT_EVERY {
            self.looked = Instant::now();
            if let Some(why) = self.refused() {
                tracing::warn!("a connection ends: {why}");
                return Poll::Ready(Ok(()));
            }
        }
        Pin::new(&mut self.stream).poll_read(cx, buf)
    }
}

impl AsyncWrite for Kept {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write(cx, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }
}

/// A socket that speaks TLS.
pub struct TlsListener {
    addr: SocketAddr,
    greeted: mpsc::Receiver<Greeted>,
}

impl TlsListener {
    /// Speaks TLS on a socket, with `cloud.pem` and `cloud.key` of the folder; with [`Clients::Certified`] also with its
    /// `ca.pem` and `crl.pem`.
    ///
    /// # Errors
    /// [`IdentityError`], naming the file and what makes it.
    pub fn new(listener: TcpListener, dir: IdentityDir, clients: Clients) -> Result<Self, IdentityError> {
        let files = Arc::new(Files::new(dir, clients)?);
        let addr = listener.local_addr().map_err(|e| IdentityError::Tls(e.to_string()))?;
        let (ready, greeted) = mpsc::channel(16);
        tokio::spawn(accept(listener, files, ready));
        Ok(Self { addr, greeted })
    }
}

async fn accept(mut listener: TcpListener, files: Arc<Files>, ready: mpsc::Sender<Greeted>) {
    let room = Arc::new(Semaphore::new(GREETED_AT_ONCE));
    loop {
        let Ok(permit) = Arc::clone(&room).acquire_owned().await else { return };
        let (socket, peer) = tokio::select! {
            accepted = Listener::accept(&mut listener) => accepted,
            () = ready.closed() => return,
        };
        let (files, ready) = (Arc::clone(&files), ready.clone());
        tokio::spawn(async move {
            let (tls, _) = files.now();
            match timeout(GREETING, tls.accept(socket).into_fallible()).await {
                Ok(Ok(stream)) => {
                    let kept = Kept { stream, files, looked: Instant::now() };
                    let _ = ready.send((kept, peer)).await;
                }
                Ok(Err((error, socket))) => {
                    tracing::warn!(%peer, "a connection was refused: {error}");
                    linger(socket).await;
                }
                Err(_) => tracing::warn!(%peer, "a connection was let go: no handshake in time"),
            }
            drop(permit);
        });
    }
}

/// Reads on for a moment, so that the client reads the alert.
async fn linger(mut socket: TcpStream) {
    let drain = async {
        socket.shutdown().await?;
        let (mut bytes, mut read) = (vec![0; 16 << 10], 0);
        while read < LINGER_BYTES {
            match socket.read(&mut bytes).await? {
                0 => break,
                n => read += n,
            }
        }
        Ok::<(), io::Error>(())
    };
    let _ = timeout(LINGER, drain).await;
}

impl Listener for TlsListener {
    type Io = Kept;
    type Addr = SocketAddr;

    async fn accept(&mut self) -> Greeted {
        match self.greeted.recv().await {
            Some(greeted) => greeted,
            // The sender lives as long as this does; were it gone, nobody would ever come.
            None => std::future::pending().await,
        }
    }

    fn local_addr(&self) -> io::Result<SocketAddr> {
        Ok(self.addr)
    }
}

impl Connected<IncomingStream<'_, TlsListener>> for Peer {
    fn connect_info(stream: IncomingStream<'_, TlsListener>) -> Self {
        let shown = stream.io().shown().first();
        Self(shown.map(|der| {
            // Verified, but with a subject of another form: somebody who has no business here.
            DeviceName::of_certificate(der).unwrap_or_else(|e| DeviceName {
                store: "?".into(),
                source: e.to_string(),
                role: "?".into(),
            })
        }))
    }
}

impl Connected<IncomingStream<'_, TcpListener>> for Peer {
    fn connect_info(_stream: IncomingStream<'_, TcpListener>) -> Self {
        Self::default()
    }
}
