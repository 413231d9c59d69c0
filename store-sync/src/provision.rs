//! `store-sync provision`: the store's certificate authority, on the command line.
//!
//! The authority's folder holds its key: keep it off the devices, and off the network where you can. What devices and
//! the broker need of it is `ca.pem` and `crl.pem`.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, bail};
use clap::{Args, Subcommand};
use jiff::Timestamp;
use linefree_bus::acl;
use linefree_bus::identity::{Authority, BROKER, CLOUD, DeviceName, IdentityDir, OPERATOR, UPLINK};

use crate::cloud::listen::CLOUD_SOURCE;

/// What the authority does.
#[derive(Debug, Subcommand)]
pub enum ProvisionCommand {
    /// Make the store's authority: a key, a certificate, and an empty list of revoked ones.
    Init {
        /// Its folder.
        #[arg(long, value_name = "DIR")]
        authority: PathBuf,
        /// The store's id, or the chain's for the authority of its cloud.
        #[arg(long, value_name = "ID")]
        store: String,
    },
    /// Sign a device's request. Look at the name that is printed: the device will be that.
    #[command(
        after_help = "Example:\n  store-sync provision sign --authority ca --request cam1.csr --out cam1.pem --days 90"
    )]
    Sign(SignArgs),
    /// Make the broker's own key and certificate, beside the authority's.
    Broker {
        /// The authority's folder.
        #[arg(long, value_name = "DIR")]
        authority: PathBuf,
        /// Names and addresses that devices reach it by.
        #[arg(long = "host", value_name = "NAME", required = true)]
        hosts: Vec<String>,
        /// The store's id.
        #[arg(long, value_name = "ID")]
        store: String,
        /// How long it holds, days.
        #[arg(long, default_value_t = 365, value_parser = clap::value_parser!(u32).range(1..=3_650))]
        days: u32,
    },
    /// Make the cloud's own key and certificate, `cloud.key` and `cloud.pem`, beside the authority's.
    Cloud {
        /// The folder of the chain's authority, which signs stores towards the cloud.
        #[arg(long, value_name = "DIR")]
        authority: PathBuf,
        /// Names and addresses that stores reach it by.
        #[arg(long = "host", value_name = "NAME", required = true)]
        hosts: Vec<String>,
        /// The chain's id.
        #[arg(long, value_name = "ID")]
        chain: String,
        /// How long it holds, days.
        #[arg(long, default_value_t = 365, value_parser = clap::value_parser!(u32).range(1..=3_650))]
        days: u32,
    },
    /// Make the store's key towards the cloud, and the request that the chain's authority signs.
    #[command(
        after_help = "Called again it renews: the key stays. The result of `provision sign` goes beside them, with the chain's \
                            ca.pem; the folder is tls_dir of store.toml's `cloud` table.

Examples:
  store-sync provision request --store corner --dir /etc/linefree/cloud
  store-sync provision request --store fresh-mart --operator rosa --dir ~/.linefree"
    )]
    Request {
        /// The store's id; the chain's for an operator.
        #[arg(long, value_name = "ID")]
        store: String,
        /// Not for a store: for a person or program of this name that acts for the whole chain.
        #[arg(long, value_name = "NAME")]
        operator: Option<String>,
        /// Folder of keys and certificates.
        #[arg(long, value_name = "DIR")]
        dir: PathBuf,
    },
    /// Revoke every certificate of a device. Give the new crl.pem to the broker and restart it.
    Revoke {
        /// The authority's folder.
        #[arg(long, value_name = "DIR")]
        authority: PathBuf,
        /// The device's name on the bus.
        #[arg(long, value_name = "NAME")]
        source: String,
    },
    /// What was signed, and until when it holds.
    List {
        /// The authority's folder.
        #[arg(long, value_name = "DIR")]
        authority: PathBuf,
    },
    /// Print Mosquitto's acl_file for the devices whose certificates hold.
    Acl {
        /// The authority's folder.
        #[arg(long, value_name = "DIR")]
        authority: PathBuf,
    },
}

/// Options of a signature.
#[derive(Debug, Args)]
pub struct SignArgs {
    /// The authority's folder.
    #[arg(long, value_name = "DIR")]
    authority: PathBuf,
    /// The request that `edge-agent provision` or `provision request` made.
    #[arg(long, value_name = "FILE")]
    request: PathBuf,
    /// Where the certificate goes.
    #[arg(long, value_name = "FILE")]
    out: PathBuf,
    /// How long it holds, days.
    #[arg(long, default_value_t = 90, value_parser = clap::value_parser!(u32).range(1..=825))]
    days: u32,
    /// Sign only for this device; another name in the request is refused.
    #[arg(long, value_name = "NAME")]
    expect: Option<String>,
}

/// Carries it out; gives what is to be printed.
///
/// # Errors
/// What stopped it.
pub fn run(command: &ProvisionCommand) -> anyhow::Result<String> {
    match command {
        ProvisionCommand::Init { authority, store } => {
            Authority::create(authority, store)?;
            Ok(format!(
                "{}: the authority of {store}; its ca.key signs devices: keep it safe, and a copy elsewhere\n",
                authority.display()
            ))
        }
        ProvisionCommand::Sign(args) => sign(args),
        ProvisionCommand::Broker { authority, hosts, store, days } => {
            let path = serving(authority, &DeviceName::new(store, "bus", BROKER)?, hosts, *days)?;
            Ok(format!("{}: the broker's certificate for {}\n", path.display(), hosts.join(", ")))
        }
        ProvisionCommand::Cloud { authority, hosts, chain, days } => {
            let path = serving(authority, &DeviceName::new(chain, CLOUD_SOURCE, CLOUD)?, hosts, *days)?;
            Ok(format!("{}: the cloud's certificate for {}\n", path.display(), hosts.join(", ")))
        }
        ProvisionCommand::Request { store, operator, dir } => {
            let name = match operator {
                Some(operator) => DeviceName::new(store, operator, OPERATOR)?,
                None => DeviceName::new(store, store, UPLINK)?,
            };
            let files = IdentityDir::new(dir);
            let request = files.prepare(&name, &[])?;
            Ok(format!(
                "{}: the key; it stays here\n{}: the request; have it signed, and put {}.pem and ca.pem beside it\n",
                files.key(&name.source).display(),
                request.display(),
                name.source
            ))
        }
        ProvisionCommand::Revoke { authority, source } => {
            let revoked = Authority::open(authority)?.revoke(source)?;
            if revoked == 0 {
                bail!(
                    "{source} has no certificate that could be revoked; `store-sync provision list` shows all"
                );
            }
            let list = IdentityDir::new(authority).crl();
            Ok(format!(
                "{revoked} certificates of {source} are revoked; give {} to the broker\n",
                list.display()
            ))
        }
        ProvisionCommand::List { authority } => list(&Authority::open(authority)?),
        ProvisionCommand::Acl { authority } => Ok(acl::mosquitto(&Authority::open(authority)?.devices())),
    }
}

/// The key and certificate of what others connect to; gives the certificate's path.
fn serving(authority: &Path, name: &DeviceName, hosts: &[String], days: u32) -> anyhow::Result<PathBuf> {
    let dir = IdentityDir::new(authority);
    let request = dir.prepare(name, hosts)?;
    let pem = fs::read_to_string(&request).with_context(|| request.display().to_string())?;
    let (_, signed) = Authority::open(authority)?.sign(&pem, days)?;
    let path = dir.certificate(&name.source);
    fs::write(&path, signed).with_context(|| format!("cannot write {}", path.display()))?;
    Ok(path)
}

fn sign(args: &SignArgs) -> anyhow::Result<String> {
    let request = fs::read_to_string(&args.request)
        .with_context(|| format!("cannot read {}", args.request.display()))?;
    let mut authority = Authority::open(&args.authority)?;
    if let Some(expect) = &args.expect {
        let name = DeviceName::of_request(&request)?;
        if name.source != *expect {
            bail!("the request is of {name}, not of {expect}: nothing was signed");
        }
    }
    let (name, pem) = authority.sign(&request, args.days)?;
    fs::write(&args.out, pem).with_context(|| format!("cannot write {}", args.out.display()))?;
    Ok(format!("{}: {name}, for {} days\n", args.out.display(), args.days))
}

fn list(authority: &Authority) -> anyhow::Result<String> {
    let mut text = String::new();
    for issued in authority.issued() {
        let day = |s: u64| -> anyhow::Result<String> {
            let second = i64::try_from(s).context("a time in issued.jsonl is too large")?;
            Ok(Timestamp::from_second(second)?.strftime("%Y-%m-%d").to_string())
        };
        let state = match issued.revoked_s {
            Some(s) => format!("revoked {}", day(s)?),
            None => format!("until {}", day(issued.until_s)?),
        };
        text += &format!("{:<24} {:<8} {:<20} {}\n", issued.source, issued.role, state, issued.serial);
    }
    Ok(text)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_device_is_signed_listed_and_revoked() {
        let dir = tempfile::tempdir().unwrap();
        let authority = dir.path().join("ca");
        run(&ProvisionCommand::Init { authority: authority.clone(), store: "nano".into() }).unwrap();
        let device = IdentityDir::new(dir.path());
        let request = device.prepare(&DeviceName::new("nano", "cam1", "camera").unwrap(), &[]).unwrap();
        let sign = |expect: &str| {
            run(&ProvisionCommand::Sign(SignArgs {
                authority: authority.clone(),
                request: request.clone(),
                out: device.certificate("cam1"),
                days: 90,
                expect: Some(expect.into()),
            }))
        };
        let refused = sign("cam2").unwrap_err().to_string();
        assert!(refused.contains("cam1 (camera of nano), not of cam2"), "{refused}");
        assert!(sign("cam1").unwrap().contains("cam1 (camera of nano), for 90 days"));
        let pem = fs::read_to_string(device.certificate("cam1")).unwrap();
        assert!(pem.starts_with("-----BEGIN CERTIFICATE-----"));
        let listed = run(&ProvisionCommand::List { authority: authority.clone() }).unwrap();
        assert!(listed.starts_with("cam1 ") && listed.contains("until "), "{listed}");
        let acl = run(&ProvisionCommand::Acl { authority: authority.clone() }).unwrap();
        assert!(acl.contains("user cam1\ntopic write linefree/v1/nano/camera/cam1/people"), "{acl}");
        let revoke = |source: &str| {
            run(&ProvisionCommand::Revoke { authority: authority.clone(), source: source.into() })
        };
        assert!(revoke("cam9").is_err());
        assert!(revoke("cam1").unwrap().starts_with("1 certificates of cam1 are revoked"));
        assert!(!run(&ProvisionCommand::Acl { authority: authority.clone() }).unwrap().contains("cam1"));
        let up = dir.path().join("up");
        run(&ProvisionCommand::Request { store: "nano".into(), operator: None, dir: up.clone() }).unwrap();
        let request = fs::read_to_string(up.join("nano.csr")).unwrap();
        assert_eq!(DeviceName::of_request(&request).unwrap().to_string(), "nano (uplink of nano)");
        assert!(up.join("nano.key").exists());
        run(&ProvisionCommand::Broker {
            authority,
            hosts: vec!["127.0.0.1".into()],
            store: "nano".into(),
            days: 1,
        })
        .unwrap();
    }
}
