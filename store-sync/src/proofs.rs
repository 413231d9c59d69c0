//! Signed receipts and EPCIS events on the command line.

use std::io::Write as _;
use std::path::Path;
use std::process::ExitCode;

use anyhow::{Context as _, bail};
use store_sync::clock::wall_us;
use store_sync::epcis as tell;
use store_sync::gs1::Place;
use store_sync::ledger::LedgerReader;
use store_sync::serve::DataDir;
use store_sync::signed::{MAX_FILE_BYTES, PublicKey, SigningKey, receipt_document, sign, verify};

use crate::cli::{EpcisArgs, ReceiptCommand};
use crate::say;
use crate::tools::{data_dir, ledger_of};

pub fn receipt(command: &ReceiptCommand) -> anyhow::Result<ExitCode> {
    match command {
        ReceiptCommand::Keys { key, public } => {
            let made = SigningKey::generate(key)?;
            std::fs::write(public, made.public().to_pem())
                .with_context(|| format!("cannot write {}", public.display()))?;
            say(&format!(
                "key {} in {}, its public half in {}",
                made.public().id(),
                key.display(),
                public.display()
            ));
        }
        ReceiptCommand::Sign { visit, place, key } => {
            let folder = data_dir(place)?;
            let key = SigningKey::read(key.as_deref().unwrap_or(&DataDir::receipt_key_in(&folder)))?;
            let ledger = LedgerReader::open(&DataDir::ledger_in(&folder))?;
            let Some(receipt) = receipt_document(&ledger, visit)? else {
                bail!("visit {visit} has no receipt in {}", folder.display());
            };
            let signed = sign(&receipt, &key).map_err(anyhow::Error::msg)?;
            say(&serde_json::to_string_pretty(&signed)?);
        }
        ReceiptCommand::Verify { file, key } => return verified(file, key),
    }
    Ok(ExitCode::SUCCESS)
}

fn verified(file: &Path, key: &Path) -> anyhow::Result<ExitCode> {
    let key = PublicKey::read(key)?;
    let size = std::fs::metadata(file).with_context(|| format!("cannot read {}", file.display()))?.len();
    if size > MAX_FILE_BYTES {
        bail!("{} is longer than {MAX_FILE_BYTES} bytes: it is no receipt", file.display());
    }
    let text = std::fs::read_to_string(file).with_context(|| format!("cannot read {}", file.display()))?;
    let signed: serde_json::Value =
        serde_json::from_str(&text).with_context(|| format!("{} is no JSON", file.display()))?;
    match verify(&signed, &key) {
        Ok(receipt) => {
            let text = |name: &str| receipt[name].as_str().unwrap_or("?").to_owned();
            say(&format!("{}: sound, signed with key {}", file.display(), key.id()));
            say(&format!("  store {}, visit {}, left {}", text("store"), text("visit"), text("left")));
            for line in receipt["lines"].as_array().into_iter().flatten() {
                let review = if line["in_review"] == true { "  (in review when signed)" } else { "" };
                say(&format!(
                    "  {} x {} {} = {}{review}",
                    line["quantity"], line["sku"], line["name"], line["amount_minor"]
                ));
            }
            say(&format!("  paid {} minor units of {}", receipt["paid_minor"], text("currency")));
            Ok(ExitCode::SUCCESS)
        }
        Err(why) => {
            say(&format!("{}: NOT to be believed: {why}", file.display()));
            Ok(ExitCode::FAILURE)
        }
    }
}

pub fn epcis(args: &EpcisArgs) -> anyhow::Result<ExitCode> {
    let path = match &args.ledger {
        Some(path) => path.clone(),
        None => ledger_of(&args.place)?,
    };
    let ledger = LedgerReader::open(&path)?;
    let place = Place::new(&ledger.identity()?.1, args.gln.as_deref())?;
    let (events, _) = tell::events(&ledger, &place, args.after, usize::MAX)?;
    let (count, last) = (events.len(), events.last().map(|e| e.ledger_seq));
    let mut text = serde_json::to_string_pretty(&tell::document(&place, events, wall_us()))?;
    text.push('\n');
    if args.out.as_os_str() == "-" {
        std::io::stdout().lock().write_all(text.as_bytes())?;
        return Ok(ExitCode::SUCCESS);
    }
    std::fs::write(&args.out, text).with_context(|| format!("cannot write {}", args.out.display()))?;
    say(&format!("{}: {count} events", args.out.display()));
    if let Some(last) = last {
        say(&format!("what comes later: --after {last}"));
    }
    Ok(ExitCode::SUCCESS)
}
