//! The reference cloud over HTTPS: TLS by files of an authority, and who has connected.
//!
//! | a client | what happens |
//! | --- | --- |
//! | shows no certificate where one is wanted, or an expired or revoked one, or another authority's | the handshake ends with the alert of that name, and the log says who and why |
//! | begins a handshake and stops | it is let go after [`GREETING`] |
//! | opens many connections | at most [`GREETED_AT_ONCE`] handshakes at a time; more wait |

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use axum::extract::connect_info::Connected;
use axum::serve::{IncomingStream, Listener};
use linefree_bus::identity::{Clients, DeviceName, IdentityDir, IdentityError, server_config_for};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
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

type Greeted = (TlsStream<TcpStream>, SocketAddr);

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
    pub fn new(listener: TcpListener, dir: &IdentityDir, clients: Clients) -> Result<Self, IdentityError> {
        let tls = TlsAcceptor::from(server_config_for(dir, CLOUD_SOURCE, clients)?);
        let addr = listener.local_addr().map_err(|e| IdentityError::Tls(e.to_string()))?;
        let (ready, greeted) = mpsc::channel(16);
        tokio::spawn(accept(listener, tls, ready));
        Ok(Self { addr, greeted })
    }
}

async fn accept(mut listener: TcpListener, tls: TlsAcceptor, ready: mpsc::Sender<Greeted>) {
    let room = Arc::new(Semaphore::new(GREETED_AT_ONCE));
    loop {
        let Ok(permit) = Arc::clone(&room).acquire_owned().await else { return };
        let (socket, peer) = tokio::select! {
            accepted = Listener::accept(&mut listener) => accepted,
            () = ready.closed() => return,
        };
        let (tls, ready) = (tls.clone(), ready.clone());
        tokio::spawn(async move {
            match timeout(GREETING, tls.accept(socket).into_fallible()).await {
                Ok(Ok(stream)) => {
                    let _ = ready.send((stream, peer)).await;
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
    type Io = TlsStream<TcpStream>;
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
        let shown = stream.io().get_ref().1.peer_certificates().and_then(<[_]>::first);
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
