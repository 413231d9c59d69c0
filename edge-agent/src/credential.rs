//! `edge-agent credential`: keys and codes for gates, for trying a gate without the chain's app.

use std::path::{Path, PathBuf};
use std::time::{SystemTime, UNIX_EPOCH};

use anyhow::{Context, bail};
use clap::{Args, Subcommand};
use linefree_domain::ids::Credential;
use linefree_hardware::gate::token::{Issuer, MAX_LIFE_S, MAX_PARTY, Token};
use uuid::Uuid;

use crate::paths;

/// What can be made.
#[derive(Debug, Subcommand)]
pub enum CredentialCommand {
    /// Make a pair of keys: the issuer's private one, and the public one for gates' key_file.
    #[command(
        after_help = "Example:\n  edge-agent credential key --out issuer    writes issuer.key and issuer.pub"
    )]
    Key {
        /// Where: .key and .pub are added. Existing files are not touched.
        #[arg(long, value_name = "PATH")]
        out: PathBuf,
    },
    /// Make a code as a shopper's app shows it.
    #[command(
        after_help = "Example:\n  edge-agent credential issue --key issuer.key --store corner --credential c1 | \
                            curl --data-binary @- http://127.0.0.1:8481/v1/present"
    )]
    Issue(IssueArgs),
}

/// Options of a code.
#[derive(Debug, Args)]
pub struct IssueArgs {
    /// The issuer's private key.
    #[arg(long, value_name = "FILE")]
    key: PathBuf,
    /// The store's id.
    #[arg(long, value_name = "ID")]
    store: String,
    /// Whose code it is: the credential that the receipt will carry.
    #[arg(long, value_name = "ID")]
    credential: String,
    /// How many people come in on it.
    #[arg(long, default_value_t = 1, value_parser = clap::value_parser!(u32).range(1..=i64::from(MAX_PARTY)))]
    party: u32,
    /// How long it is valid, seconds.
    #[arg(long, default_value_t = 60, value_parser = clap::value_parser!(i64).range(1..=MAX_LIFE_S))]
    seconds: i64,
}

/// Carries it out; gives what is to be printed.
///
/// # Errors
/// What stopped it.
pub fn run(command: &CredentialCommand) -> anyhow::Result<String> {
    match command {
        CredentialCommand::Key { out } => make_key(out),
        CredentialCommand::Issue(args) => issue(args),
    }
}

fn make_key(out: &Path) -> anyhow::Result<String> {
    let beside = |extension: &str| {
        let mut path = out.as_os_str().to_owned();
        path.push(extension);
        PathBuf::from(path)
    };
    let (private, public) = (beside(".key"), beside(".pub"));
    for path in [&private, &public] {
        if path.exists() {
            bail!("{} is there already; a key that gates use is not overwritten", path.display());
        }
    }
    let text = Issuer::generate()?;
    let issuer = Issuer::from_text(&text)?;
    paths::write_secret(&private, &(text + "\n"))?;
    paths::write_whole(&public, &(issuer.public_text() + "\n"))?;
    Ok(format!(
        "{}: keep it where codes are made, never at a gate\n{}: name it as key_file of every gate\n",
        private.display(),
        public.display()
    ))
}

fn issue(args: &IssueArgs) -> anyhow::Result<String> {
    let issuer =
        Issuer::from_text(&paths::read_text(&args.key)?).with_context(|| args.key.display().to_string())?;
    let now = SystemTime::now().duration_since(UNIX_EPOCH).context("the clock is before 1970")?;
    let issued_s = i64::try_from(now.as_secs()).context("the clock is far in the future")?;
    let token = Token {
        store: args.store.clone(),
        credential: Credential::new(&args.credential).context("--credential")?,
        party: args.party,
        issued_s,
        expires_s: issued_s + args.seconds,
        nonce: Uuid::now_v7().simple().to_string(),
    };
    Ok(issuer.sign(&token) + "\n")
}
