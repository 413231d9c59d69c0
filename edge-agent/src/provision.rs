//! `edge-agent provision`: a device's key and its request for a certificate.
//!
//! The key is made here and never leaves. The request goes to whoever runs `store-sync provision sign`; what comes back
//! (`{source}.pem`, `ca.pem`) is put into the same folder. Renewing is the same command again: the key stays.

use std::path::PathBuf;

use anyhow::Context;
use clap::Args;
use linefree_bus::identity::{DeviceName, IdentityDir};

/// Options of a request.
#[derive(Debug, Args)]
#[command(
    after_help = "Example:\n  edge-agent provision --store corner --source cam1 --role camera --dir /etc/linefree/tls\n  \
                        then, on the server: store-sync provision sign --authority DIR --request cam1.csr --out cam1.pem"
)]
pub struct ProvisionArgs {
    /// The store's id.
    #[arg(long, value_name = "ID")]
    store: String,
    /// The device's name on the bus: a camera's id, shelf-1, gate-1, floor-1.
    #[arg(long, value_name = "NAME")]
    source: String,
    /// Its role: camera, shelf, gate, floor or scale.
    #[arg(long, value_name = "ROLE")]
    role: String,
    /// Folder of keys and certificates: tls_dir of store.toml's `bus` table.
    #[arg(long, value_name = "DIR", default_value = "/etc/linefree/tls")]
    dir: PathBuf,
}

/// Makes both; gives what is to be printed.
///
/// # Errors
/// When the name is no device's or the folder cannot be written.
pub fn run(args: &ProvisionArgs) -> anyhow::Result<String> {
    let device = DeviceName::new(&args.store, &args.source, &args.role)?;
    let dir = IdentityDir::new(&args.dir);
    let request = dir.prepare(&device, &[]).with_context(|| format!("provision {device}"))?;
    Ok(format!(
        "{}: the key; it stays here\n{}: the request; have it signed, and put {}.pem and ca.pem beside it\n",
        dir.key(&args.source).display(),
        request.display(),
        args.source
    ))
}
