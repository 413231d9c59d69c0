//! The command line.

use std::net::SocketAddr;
use std::path::PathBuf;

use clap::{Args, Parser, Subcommand};

use store_sync::provision::ProvisionCommand;

/// The store's server: ledger, carts and receipts, delivery to the cloud, HTTP API and console.
#[derive(Debug, Parser)]
#[command(
    name = "store-sync",
    version,
    after_help = "Examples:
  store-sync serve --config store.toml                 run the store's server with its own broker
  store-sync receive --data cloud-data                 run a reference cloud beside it
  store-sync check --config store.toml                 is the ledger whole?
  store-sync receipt verify receipt.json --key pub.pem is a receipt what the store signed?
  store-sync completions bash > /etc/bash_completion.d/store-sync

Messages go to standard error; RUST_LOG=debug shows more of them."
)]
pub struct Cli {
    /// What to do.
    #[command(subcommand)]
    pub command: Command,
}

/// What can be done.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Run the store's server until Ctrl-C.
    Serve(Box<ServeArgs>),
    /// Run a reference cloud that takes the stores' events.
    Receive(ReceiveArgs),
    /// Make carts, receipts and every other projection again from the ledger's events.
    #[command(
        after_help = "The server must be stopped. The result is the same byte for byte; `check` proves it.

Example:
  store-sync rebuild --data /var/lib/linefree"
    )]
    Rebuild(LedgerPlace),
    /// Check a ledger: gaps, orphans, sums, projections. Exits with 1 when it contradicts itself.
    #[command(
        after_help = "May run beside the server. Notices are for a person to judge: a gap may be a source that \
                            is still sending.

Example:
  store-sync check --data /var/lib/linefree"
    )]
    Check(LedgerPlace),
    /// Write a copy of a ledger to a new file, beside the running server.
    #[command(
        after_help = "The copy is compact and consistent. It holds credentials: keep it as you keep the ledger.

Example:
  store-sync backup --data /var/lib/linefree --to /backup/ledger-monday.sqlite"
    )]
    Backup(BackupArgs),
    /// Put a copy of a ledger back, beside the running server or without it.
    #[command(
        after_help = "The restored ledger gets a new id, and everything is delivered to the cloud again under it; \
                            the cloud keeps each event once. Sources are asked for what the copy lacks; what they no \
                            longer have is taken back from the cloud by `refill`.

Examples:
  store-sync restore --data /var/lib/linefree --from /backup/ledger-monday.sqlite
  store-sync restore --data /var/lib/linefree --here     the file was put back by other means"
    )]
    Restore(RestoreArgs),
    /// Take events back from the cloud that a restored ledger lacks. The server must be stopped.
    Refill(RefillArgs),
    /// Delete a shopper's personal data; what they bought and paid stays.
    #[command(
        after_help = "The credential is read from standard input, so that it is in no list of processes.

Example:
  store-sync delete-my-data --data /var/lib/linefree < credential.txt"
    )]
    DeleteMyData(LedgerPlace),
    /// Keys and certificates: sign, revoke and list devices.
    Provision {
        /// What the authority does.
        #[command(subcommand)]
        command: ProvisionCommand,
    },
    /// Let go of old evidence: shelf events, explanations, carts, gate passages, faults. Money stays.
    #[command(after_help = "A policy command of the cloud's does the same every hour.

Example:
  store-sync let-go --data /var/lib/linefree --keep shelf_changed=90 --keep cart_changed=30")]
    LetGo(LetGoArgs),
    /// Sign and verify receipts.
    #[command(subcommand)]
    Receipt(ReceiptCommand),
    /// Write what was sold, picked and stocked as GS1 EPCIS 2.0 events.
    #[command(
        after_help = "May run beside the server, which answers the same at GET /api/epcis/events. The same ledger makes \
                            the same events with the same ids; corrections are error declarations.

Examples:
  store-sync epcis --data /var/lib/linefree --out monday.jsonld
  store-sync epcis --config store.toml --gln 9506000134352 --after 120000 --out - | gzip > tuesday.jsonld.gz"
    )]
    Epcis(EpcisArgs),
    /// Channels that may place online orders: add, remove, list.
    #[command(subcommand)]
    Channel(ChannelCommand),
    /// Payments: list how they stand, compare the bank's daily file with the ledger, make UPI links.
    #[command(subcommand)]
    Payments(PaymentsCommand),
    /// Suggest what to order from suppliers, from what was sold and what lies on the shelves.
    #[command(
        after_help = "May run beside the server. Demand is taken from up to 28 whole days; each product is filled up to what \
                            demand until the next delivery does not exceed with the stated probability. Lead times, packs and \
                            shelf lives come from the catalogue that the cloud sent.

Examples:
  store-sync reorder --data /var/lib/linefree
  store-sync reorder --config store.toml --service 0.98 --lead-days 2 --json > order.json"
    )]
    Reorder(ReorderArgs),
    /// Print an OpenAPI description, as docs/ref/openapi.json holds it.
    Openapi {
        /// The cloud's API instead of the store's: docs/ref/cloud-openapi.json.
        #[arg(long)]
        cloud: bool,
    },
    /// Write manual pages and completions of every shell into a folder, for packages.
    #[command(hide = true)]
    Packaging {
        /// The folder.
        folder: PathBuf,
    },
    /// Print a completion script for a shell.
    #[command(after_help = "Example:
  store-sync completions zsh > ~/.zfunc/_store-sync")]
    Completions {
        /// Which shell.
        shell: clap_complete::Shell,
    },
}

/// How to run the server.
#[derive(Debug, Args)]
#[command(after_help = "Command line options win over store.toml.

Examples:
  store-sync serve --config store.toml
  store-sync serve --config store.toml --bus mqtt://broker.store:1883
  store-sync serve --config store.toml --cloud http://127.0.0.1:8490/v1/events
  store-sync serve --config store.toml --cloud nats://127.0.0.1:4222/fresh-mart
  store-sync serve --config store.toml --data /tmp/try --listen 127.0.0.1:0 --broker 127.0.0.1:0")]
pub struct ServeArgs {
    /// The store's description.
    #[arg(long, value_name = "FILE", default_value = "store.toml")]
    pub config: PathBuf,
    /// Folder of the ledger [default: [server] data_dir of store.toml].
    #[arg(long, value_name = "DIR")]
    pub data: Option<PathBuf>,
    /// Address of the API and console [default: [server] listen of store.toml, else 127.0.0.1:8480].
    #[arg(long, value_name = "ADDR:PORT")]
    pub listen: Option<SocketAddr>,
    /// A broker that runs already [default: [bus] url of store.toml, else one is embedded].
    #[arg(long, value_name = "URL", conflicts_with = "broker")]
    pub bus: Option<String>,
    /// Where the embedded broker listens; port 0 takes a free one.
    #[arg(long, value_name = "ADDR:PORT", default_value = "127.0.0.1:1883")]
    pub broker: SocketAddr,
    /// A proxy that does TLS stands before the embedded broker: without it, and without --guard, only this machine is
    /// listened to.
    #[arg(long, conflicts_with_all = ["bus", "guard"])]
    pub broker_behind_tls: bool,
    /// Let devices connect over mutual TLS at this address, with access rules, in front of the embedded broker.
    #[arg(long, value_name = "ADDR:PORT", requires = "tls_dir", conflicts_with = "bus")]
    pub guard: Option<SocketAddr>,
    /// Folder of keys and certificates: for --guard the authority's `ca.pem`, `crl.pem`, and the broker's `bus.pem` and
    /// `bus.key`.
    #[arg(long, value_name = "DIR")]
    pub tls_dir: Option<PathBuf>,
    /// Where the cloud takes batches [default: [cloud] url of store.toml].
    #[arg(long, value_name = "URL")]
    pub cloud: Option<String>,
    /// File whose first line is the cloud's bearer token; belongs to --cloud.
    #[arg(long, value_name = "FILE", requires = "cloud")]
    pub cloud_token_file: Option<PathBuf>,
    /// Folder of the chain's ca.pem and of this store's certificate and key; belongs to --cloud.
    #[arg(long, value_name = "DIR", requires = "cloud")]
    pub cloud_tls_dir: Option<PathBuf>,
    /// The store's Global Location Number (GS1), for EPCIS events.
    #[arg(long, value_name = "GLN")]
    pub gln: Option<String>,
    /// Which share of the devices tries a release first, 0.01 to 1.
    #[arg(long, value_name = "SHARE", default_value_t = 0.2, value_parser = share)]
    pub canary_share: f64,
    /// How long a device tries a release, seconds.
    #[arg(long, value_name = "SECONDS", default_value_t = 60, value_parser = clap::value_parser!(u32).range(1..=86_400))]
    pub trial_s: u32,
    /// How long the first devices must be well with a release before all get it, seconds.
    #[arg(long, value_name = "SECONDS", default_value_t = 600)]
    pub hold_s: u32,
    /// How the store is paid: `sandbox` (no money moves), a gateway's https:// address, or a UPI link
    /// `upi://pay?pa=NAME@HANDLE&pn=SHOP&mc=5411` [default: receipts are made, and nobody is charged].
    #[arg(long, value_name = "HOW")]
    pub payments: Option<String>,
    /// File whose first line is the store's key for the payment gateway.
    #[arg(long, value_name = "FILE", requires = "payments")]
    pub payments_token_file: Option<PathBuf>,
    /// Hold this much at the entry, minor units; 0 pays at the exit.
    #[arg(long, value_name = "MINOR", default_value_t = 0, requires = "payments")]
    pub hold: i64,
    /// Whom to ask whether somebody may enter: the https:// address of a risk service [default: only who has not paid an
    /// earlier visit is refused].
    #[arg(long, value_name = "URL")]
    pub risk: Option<String>,
    /// File whose first line is the store's key for the risk service.
    #[arg(long, value_name = "FILE", requires = "risk")]
    pub risk_token_file: Option<PathBuf>,
    /// Nobody enters while the risk service is silent; without it, everybody does.
    #[arg(long, requires = "risk")]
    pub risk_required: bool,
    /// A proxy that does TLS stands before the server: without it, only this machine is listened to.
    #[arg(long)]
    pub behind_tls: bool,
    /// Nobody signs in, everybody on this machine may do everything: for looking around.
    #[arg(long, conflicts_with = "behind_tls")]
    pub no_login: bool,
    /// Write the addresses as JSON to this file once everything is up, for scripts.
    #[arg(long, value_name = "FILE")]
    pub ready_file: Option<PathBuf>,
}

/// How to run the reference cloud.
#[derive(Debug, Args)]
#[command(after_help = "Examples:
  store-sync receive --data cloud-data
  curl http://127.0.0.1:8490/v1/stores/plaza/receipts
  store-sync receive --data cloud-data --listen 0.0.0.0:8490 --tls-dir chain --token-file token
  store-sync receive --data cloud-data --listen 0.0.0.0:8490 --tls-dir chain --client-certificates
  store-sync receive --database postgres://linefree@localhost/linefree --database-password-file password
  store-sync receive --data cloud-data --trunk nats://127.0.0.1:4222/fresh-mart")]
pub struct ReceiveArgs {
    /// Address to listen on; port 0 takes a free one.
    #[arg(long, value_name = "ADDR:PORT", default_value = "127.0.0.1:8490")]
    pub listen: SocketAddr,
    /// Folder of its SQLite database.
    #[arg(long, value_name = "DIR", required_unless_present = "database")]
    pub data: Option<PathBuf>,
    /// A PostgreSQL database instead, on this machine: postgres://USER@localhost/NAME.
    #[arg(long, value_name = "URL", conflicts_with = "data")]
    pub database: Option<String>,
    /// File whose first line is the database user's password.
    #[arg(long, value_name = "FILE", requires = "database")]
    pub database_password_file: Option<PathBuf>,
    /// File whose first line is the bearer token for everything.
    #[arg(long, value_name = "FILE")]
    pub token_file: Option<PathBuf>,
    /// File with a line `STORE TOKEN` for each store: each may then act for itself only.
    #[arg(long, value_name = "FILE")]
    pub store_tokens: Option<PathBuf>,
    /// Speak HTTPS, with cloud.pem and cloud.key of this folder.
    #[arg(long, value_name = "DIR")]
    pub tls_dir: Option<PathBuf>,
    /// Whoever connects must show a certificate of the authority whose ca.pem (and crl.pem) lies in --tls-dir.
    #[arg(long, requires = "tls_dir")]
    pub client_certificates: bool,
    /// A proxy that does TLS stands before it: without TLS, only this machine is listened to otherwise.
    #[arg(long, conflicts_with = "tls_dir")]
    pub behind_tls: bool,
    /// Also read the chain's stream in NATS JetStream: nats://host:4222,host:4222/chain.
    #[arg(long, value_name = "URL")]
    pub trunk: Option<String>,
    /// File whose first line is the token of the NATS servers.
    #[arg(long, value_name = "FILE", requires = "trunk")]
    pub trunk_token_file: Option<PathBuf>,
}

/// Where a copy goes.
#[derive(Debug, Args)]
pub struct BackupArgs {
    /// Which ledger.
    #[command(flatten)]
    pub place: LedgerPlace,
    /// A file that does not exist yet.
    #[arg(long, value_name = "FILE")]
    pub to: PathBuf,
}

/// Which copy.
#[derive(Debug, Args)]
pub struct RestoreArgs {
    /// Which ledger.
    #[command(flatten)]
    pub place: LedgerPlace,
    /// The copy.
    #[arg(long, value_name = "FILE", required_unless_present = "here")]
    pub from: Option<PathBuf>,
    /// The ledger's own file was put back by other means: give it its new id.
    #[arg(long, conflicts_with = "from")]
    pub here: bool,
}

/// From which cloud.
#[derive(Debug, Args)]
pub struct RefillArgs {
    /// Which ledger.
    #[command(flatten)]
    pub place: LedgerPlace,
    /// Where the cloud takes batches [default: [cloud] url of store.toml].
    #[arg(long, value_name = "URL")]
    pub cloud: Option<String>,
    /// File whose first line is the cloud's bearer token; belongs to --cloud.
    #[arg(long, value_name = "FILE", requires = "cloud")]
    pub cloud_token_file: Option<PathBuf>,
    /// Folder of the chain's ca.pem and of this store's certificate and key; belongs to --cloud.
    #[arg(long, value_name = "DIR", requires = "cloud")]
    pub cloud_tls_dir: Option<PathBuf>,
}

/// What is kept for how long.
#[derive(Debug, Args)]
pub struct LetGoArgs {
    /// Which ledger.
    #[command(flatten)]
    pub place: LedgerPlace,
    /// How many days events of a kind are kept; may be given several times.
    #[arg(long, value_name = "KIND=DAYS", required = true, value_parser = keep)]
    pub keep: Vec<(String, u32)>,
    /// Also what no cloud has: for stores without one.
    #[arg(long)]
    pub also_undelivered: bool,
}

fn share(text: &str) -> Result<f64, String> {
    match text.parse() {
        Ok(share) if (0.01..=1.0).contains(&share) => Ok(share),
        _ => Err(format!("{text:?}: write a share from 0.01 to 1")),
    }
}

fn keep(text: &str) -> Result<(String, u32), String> {
    let (kind, days) = text.split_once('=').ok_or("write KIND=DAYS, for example cart_changed=30")?;
    let days = days.parse().map_err(|e| format!("{days:?} is no number of days: {e}"))?;
    Ok((kind.to_owned(), days))
}

/// Which channels may place orders.
#[derive(Debug, Subcommand)]
pub enum ChannelCommand {
    /// Let a channel place orders; prints its secret, once.
    #[command(
        after_help = "May run beside the server. The channel signs each request as Standard Webhooks says, with the secret that \
                            is printed here and nowhere else, and posts to /api/hooks/orders/NAME.

Example:
  store-sync channel add app --data /var/lib/linefree"
    )]
    Add {
        /// Its name: 1 to 16 of a-z, 0-9 and -.
        name: String,
        /// Which store.
        #[command(flatten)]
        place: LedgerPlace,
    },
    /// Stop a channel; its orders stay.
    Remove {
        /// Its name.
        name: String,
        /// Which store.
        #[command(flatten)]
        place: LedgerPlace,
    },
    /// List the channels.
    List {
        /// Which store.
        #[command(flatten)]
        place: LedgerPlace,
    },
}

/// What to do with payments.
#[derive(Debug, Subcommand)]
pub enum PaymentsCommand {
    /// List how payments stand, last changed first.
    List {
        /// Which ledger.
        #[command(flatten)]
        place: LedgerPlace,
        /// At most this many.
        #[arg(long, value_name = "N", default_value_t = 50)]
        limit: u32,
    },
    /// Compare the bank's daily file with what the ledger has captured. Exits with 1 when anything differs.
    #[command(after_help = "The file is CSV with a header that has the columns tr, amount and status.

Example:
  store-sync payments reconcile 2026-11-23.csv --day 2026-11-23 --data /var/lib/linefree")]
    Reconcile {
        /// The bank's file.
        file: PathBuf,
        /// Which day, UTC.
        #[arg(long, value_name = "YYYY-MM-DD")]
        day: String,
        /// Which ledger.
        #[command(flatten)]
        place: LedgerPlace,
    },
    /// Print a UPI link and its QR code, to try with a phone.
    #[command(after_help = "Example:
  store-sync payments upi-link 'upi://pay?pa=mart@examplebank&pn=Fresh%20Mart&mc=5411' --amount 12345 --reference TEST1")]
    UpiLink {
        /// Who is paid: a link with pa, pn and perhaps mc.
        payee: String,
        /// Paise.
        #[arg(long, value_name = "PAISE")]
        amount: i64,
        /// The transaction's reference: 1 to 35 letters and digits.
        #[arg(long, value_name = "TR")]
        reference: String,
        /// What the payer sees.
        #[arg(long, value_name = "TEXT", default_value = "")]
        note: String,
    },
}

/// How suggestions are made.
#[derive(Debug, Args)]
pub struct ReorderArgs {
    /// Which ledger.
    #[command(flatten)]
    pub place: LedgerPlace,
    /// The probability of no stock-out until the next delivery, 0.5 to 0.9999.
    #[arg(long, value_name = "P", default_value_t = 0.95)]
    pub service: f64,
    /// Days from order to shelf, where the catalogue does not say it.
    #[arg(long, value_name = "DAYS", default_value_t = 1)]
    pub lead_days: u32,
    /// Days between two orders, where the catalogue does not say it.
    #[arg(long, value_name = "DAYS", default_value_t = 1)]
    pub review_days: u32,
    /// Print JSON instead of a table.
    #[arg(long)]
    pub json: bool,
}

/// What to do with receipts.
#[derive(Debug, Subcommand)]
pub enum ReceiptCommand {
    /// Make a key pair. The server makes its own at its first start.
    #[command(
        after_help = "Both are PEM files as OpenSSL reads them; the private one can be read by its owner only.

Example:
  store-sync receipt keys --key receipt-key.pem --public receipt-key.pub.pem"
    )]
    Keys {
        /// A new file for the private key.
        #[arg(long, value_name = "FILE")]
        key: PathBuf,
        /// A file for the public key.
        #[arg(long, value_name = "FILE")]
        public: PathBuf,
    },
    /// Print a visit's receipt, signed.
    #[command(after_help = "Example:
  store-sync receipt sign plaza-17 --data /var/lib/linefree > receipt.json")]
    Sign {
        /// The visit.
        visit: String,
        /// Which ledger.
        #[command(flatten)]
        place: LedgerPlace,
        /// The private key [default: receipt-key.pem in the ledger's folder].
        #[arg(long, value_name = "FILE")]
        key: Option<PathBuf>,
    },
    /// Is a signed receipt what the store signed? Exits with 1 when not.
    #[command(
        after_help = "Needs no ledger and no network. The store's public key is at GET /api/keys (as JWK) and \
                            beside its private key (receipt-key.pub.pem).

Example:
  store-sync receipt verify receipt.json --key receipt-key.pub.pem"
    )]
    Verify {
        /// The signed receipt.
        file: PathBuf,
        /// The store's public key.
        #[arg(long, value_name = "FILE")]
        key: PathBuf,
    },
}

/// What of a ledger is written as EPCIS events.
#[derive(Debug, Args)]
pub struct EpcisArgs {
    /// Which ledger.
    #[command(flatten)]
    pub place: LedgerPlace,
    /// A ledger's file, instead of its folder.
    #[arg(long, value_name = "FILE", conflicts_with_all = ["data", "config"])]
    pub ledger: Option<PathBuf>,
    /// The store's Global Location Number, for Digital Link ids of places.
    #[arg(long, value_name = "GLN")]
    pub gln: Option<String>,
    /// Only what follows from events after this ledger number.
    #[arg(long, value_name = "SEQ", default_value_t = 0)]
    pub after: u64,
    /// Where to; `-` is standard output.
    #[arg(long, value_name = "FILE")]
    pub out: PathBuf,
}

/// Which ledger.
#[derive(Debug, Args)]
pub struct LedgerPlace {
    /// Folder of the ledger.
    #[arg(long, value_name = "DIR")]
    pub data: Option<PathBuf>,
    /// The store's description, whose [server] data_dir names the folder.
    #[arg(long, value_name = "FILE", conflicts_with = "data")]
    pub config: Option<PathBuf>,
}
