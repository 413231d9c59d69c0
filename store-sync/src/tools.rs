//! The ledger's tools on the command line.

use std::io::{BufRead as _, Write as _};
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::{Duration, Instant};

use anyhow::{Context as _, bail};
use linefree_domain::orders::reorder::Supply;
use store_sync::clock::wall_us;
use store_sync::cloud::event::event_of;
use store_sync::desk::Desk;
use store_sync::ledger::backup::{backup as copy, restore as put_back};
use store_sync::ledger::personal::{empty_logs, forget};
use store_sync::ledger::retention::{KeepDays, let_go as forget_evidence};
use store_sync::ledger::{Ledger, LedgerReader, Projector};
use store_sync::outbox::http::HttpCloud;
use store_sync::payments::upi::{Payee, read_settled, reconcile, reference_of};
use store_sync::reorder::suggestions;
use store_sync::serve::DataDir;

use crate::cli::{
    BackupArgs, ChannelCommand, LedgerPlace, LetGoArgs, PaymentsCommand, RefillArgs, ReorderArgs, RestoreArgs,
};
use crate::{read_store, say};

/// How long a tool waits for the running server to do its part.
const SERVER_WITHIN: Duration = Duration::from_secs(30);

pub fn data_dir(place: &LedgerPlace) -> anyhow::Result<PathBuf> {
    match (&place.data, &place.config) {
        (Some(data), _) => Ok(data.clone()),
        (None, Some(config)) => Ok(read_store(config)?.live.server.data_dir),
        (None, None) => bail!("which ledger? Give --data DIR, or --config store.toml"),
    }
}

pub fn ledger_of(place: &LedgerPlace) -> anyhow::Result<PathBuf> {
    Ok(DataDir::ledger_in(&data_dir(place)?))
}

pub fn rebuild(place: &LedgerPlace) -> anyhow::Result<ExitCode> {
    let data = DataDir::take_existing(&data_dir(place)?)?;
    let mut ledger = Ledger::open_existing(&data.ledger())?;
    let began = Instant::now();
    let terminal = std::io::IsTerminal::is_terminal(&std::io::stderr());
    let events = ledger.rebuild(|done, total| {
        if terminal {
            let _ = write!(std::io::stderr().lock(), "\r{done} of {total} events");
        }
    })?;
    if terminal {
        let _ = writeln!(std::io::stderr().lock());
    }
    say(&format!("rebuilt every projection from {events} events in {:.1} s", began.elapsed().as_secs_f64()));
    Ok(ExitCode::SUCCESS)
}

pub fn check(place: &LedgerPlace) -> anyhow::Result<ExitCode> {
    let path = ledger_of(place)?;
    let report = LedgerReader::open(&path)?.check()?;
    for finding in &report.findings {
        say(&finding.to_string());
    }
    let notices = report.findings.len();
    if report.has_errors() {
        say(&format!("{}: {} events, the ledger contradicts itself", path.display(), report.events));
        return Ok(ExitCode::FAILURE);
    }
    say(&format!("{}: {} events, sound, {notices} notices", path.display(), report.events));
    Ok(ExitCode::SUCCESS)
}

pub fn backup(args: &BackupArgs) -> anyhow::Result<ExitCode> {
    let copied = copy(&ledger_of(&args.place)?, &args.to)?;
    say(&format!("{}: store {}, {} events", args.to.display(), copied.store, copied.ledger_seq));
    Ok(ExitCode::SUCCESS)
}

pub fn restore(args: &RestoreArgs) -> anyhow::Result<ExitCode> {
    let folder = data_dir(&args.place)?;
    std::fs::create_dir_all(&folder).with_context(|| format!("cannot make {}", folder.display()))?;
    let ledger = DataDir::ledger_in(&folder);
    let from: &Path = args.from.as_deref().unwrap_or(&ledger);
    let copied = put_back(from, &ledger, wall_us())?;
    say(&format!(
        "{}: store {}, {} events, with a new id",
        ledger.display(),
        copied.store,
        copied.ledger_seq
    ));
    // A running server projects by itself.
    if let Ok(lock) = DataDir::take_existing(&folder) {
        Projector::open(&ledger)?.catch_up()?;
        drop(lock);
        say(
            "What it lacks: start the server, whose sources send what they still have. For the rest, before that,",
        );
        say("run `store-sync refill`.");
    } else {
        say("The running server goes on with it and asks its sources for what it lacks.");
        say("What they no longer have: stop the server and run `store-sync refill`.");
    }
    Ok(ExitCode::SUCCESS)
}

pub fn refill(args: &RefillArgs) -> anyhow::Result<ExitCode> {
    let (url, token_file, tls_dir) = match (&args.cloud, &args.place.config) {
        (Some(url), _) => (url.clone(), args.cloud_token_file.clone(), args.cloud_tls_dir.clone()),
        (None, Some(config)) => match read_store(config)?.live.cloud {
            Some(cloud) => (cloud.url, cloud.token_file, cloud.tls_dir),
            None => bail!("{} names no cloud: give --cloud URL", config.display()),
        },
        (None, None) => bail!("from which cloud? Give --cloud URL, or --config store.toml"),
    };
    let data = DataDir::take_existing(&data_dir(&args.place)?)
        .context("events are taken back while the server is stopped")?;
    let mut ledger = Ledger::open_existing(&data.ledger())?;
    let store = LedgerReader::open(&data.ledger())?.identity()?.1;
    let mut cloud = HttpCloud::new(&url, token_file)?;
    if let Some(dir) = tls_dir {
        cloud = cloud.with_tls(&dir, &store)?;
    }
    let (mut after, mut seen, mut new, mut odd) = (0, 0, 0, 0);
    loop {
        let Some(page) = cloud.events(&store, after)? else {
            bail!("{url} lists no events: it must be the address of the reference cloud's /v1/events");
        };
        let Some(last) = page.last() else { break };
        after = last.position;
        seen += page.len();
        let mut events = Vec::new();
        for placed in &page {
            match event_of(&placed.event) {
                Ok(event) => events.push(event),
                Err(why) => {
                    odd += 1;
                    tracing::warn!(position = placed.position, "cannot be taken back: {why}");
                }
            }
        }
        new += ledger.refill(&events, wall_us())?.stored.len();
    }
    say(&format!(
        "the cloud has {seen} events of {store}: {new} were missing here, {odd} cannot be taken back"
    ));
    Ok(ExitCode::SUCCESS)
}

pub fn delete_my_data(place: &LedgerPlace) -> anyhow::Result<ExitCode> {
    let folder = data_dir(place)?;
    let ledger = DataDir::ledger_in(&folder);
    let mut credential = String::new();
    std::io::stdin().lock().read_line(&mut credential).context("cannot read the credential")?;
    let credential = credential.trim_end_matches(['\r', '\n']);
    if credential.is_empty() {
        bail!("write the credential on the first line of standard input");
    }
    // Held until the end: a server that starts meanwhile would project beside us.
    let lock = DataDir::take_existing(&folder).ok();
    if lock.is_some() {
        Projector::open(&ledger)?.catch_up()?;
    }
    let forgotten = forget(&ledger, credential, wall_us())?;
    if lock.is_some() {
        Projector::open(&ledger)?.catch_up()?;
    }
    let began = Instant::now();
    let reader = LedgerReader::open(&ledger)?;
    while reader.projected_seq()? < forgotten.ledger_seq {
        if began.elapsed() > SERVER_WITHIN {
            bail!(
                "deleted from the ledger, but the running server does not project: see its log, then run this again"
            );
        }
        std::thread::sleep(Duration::from_millis(20));
    }
    drop(reader);
    while !empty_logs(&ledger)? {
        if began.elapsed() > SERVER_WITHIN {
            bail!(
                "deleted, but the write-ahead log may still hold it, because somebody reads all the time: restart the \
                 server to empty it"
            );
        }
        std::thread::sleep(Duration::from_millis(50));
    }
    say(&format!(
        "deleted from {} events of {} visits; their receipts stay. The cloud is told with the next delivery. Backups \
         made before still hold it.",
        forgotten.events,
        forgotten.visits.len()
    ));
    Ok(ExitCode::SUCCESS)
}

pub fn let_go(args: &LetGoArgs) -> anyhow::Result<ExitCode> {
    let keep = KeepDays::new(args.keep.iter().cloned().collect())?;
    let gone = forget_evidence(&ledger_of(&args.place)?, &keep, wall_us(), args.also_undelivered)?;
    say(&format!("let go of the content of {gone} events"));
    Ok(ExitCode::SUCCESS)
}

pub fn channel(command: &ChannelCommand) -> anyhow::Result<ExitCode> {
    let desk = |place: &LedgerPlace| -> anyhow::Result<Desk> {
        let data = data_dir(place)?;
        if !data.is_dir() {
            bail!("there is no data folder {}: start the server once, or name another", data.display());
        }
        Ok(Desk::open(&data)?)
    };
    match command {
        ChannelCommand::Add { name, place } => {
            let secret = desk(place)?.add_channel(name)?;
            say(&format!(
                "{secret}\n\n{name} signs its requests with this secret (Standard Webhooks) and posts orders to"
            ));
            say(&format!("/api/hooks/orders/{name}. It is not shown again."));
        }
        ChannelCommand::Remove { name, place } => {
            desk(place)?.remove_channel(name)?;
            say(&format!("{name} can place no more orders"));
        }
        ChannelCommand::List { place } => {
            let names = desk(place)?.channels()?;
            say(&if names.is_empty() { "no channel may place orders".to_owned() } else { names.join("\n") });
        }
    }
    Ok(ExitCode::SUCCESS)
}

pub fn reorder(args: &ReorderArgs) -> anyhow::Result<ExitCode> {
    if !(0.5..=0.9999).contains(&args.service) {
        bail!("--service is {}: 0.5 to 0.9999 is allowed", args.service);
    }
    let supply = Supply {
        service_level: args.service,
        lead_days: args.lead_days,
        review_days: args.review_days.max(1),
        ..Supply::default()
    };
    let all = suggestions(&LedgerReader::open(&ledger_of(&args.place)?)?, wall_us(), supply)?;
    if args.json {
        say(&serde_json::to_string_pretty(&all)?);
        return Ok(ExitCode::SUCCESS);
    }
    let Some(first) = all.first() else {
        say("nothing was sold or counted yet");
        return Ok(ExitCode::SUCCESS);
    };
    say(&format!(
        "from {} whole days of sales; no stock-out until the next delivery with probability {}\n",
        first.days, args.service
    ));
    say(&format!(
        "{:>6}  {:<20} {:>8} {:>9} {:>8} {:>12}",
        "order", "SKU", "on hand", "reserved", "up to", "sold a day"
    ));
    for r in &all {
        let order = r.quantity.map_or_else(|| "count!".to_owned(), |n| n.to_string());
        let there = r.on_hand.map_or_else(|| "?".to_owned(), |n| n.to_string());
        let limited = if r.limited_by_shelf_life { "  its shelf life decides" } else { "" };
        say(&format!(
            "{order:>6}  {:<20} {there:>8} {:>9} {:>8} {:>6.1} ±{:>4.1}{limited}",
            r.sku, r.reserved, r.up_to, r.daily_mean, r.daily_sd
        ));
    }
    Ok(ExitCode::SUCCESS)
}

pub fn payments(command: &PaymentsCommand) -> anyhow::Result<ExitCode> {
    match command {
        PaymentsCommand::List { place, limit } => list_payments(place, *limit),
        PaymentsCommand::Reconcile { file, day, place } => compare_day(file, day, place),
        PaymentsCommand::UpiLink { payee, amount, reference, note } => {
            let link = Payee::parse(payee)?.link(*amount, reference, note)?;
            let code = qrcode::QrCode::new(link.as_bytes()).context("the link does not fit in a QR code")?;
            say(&code.render::<qrcode::render::unicode::Dense1x2>().build());
            say(&link);
            Ok(ExitCode::SUCCESS)
        }
    }
}

fn list_payments(place: &LedgerPlace, limit: u32) -> anyhow::Result<ExitCode> {
    let reader = LedgerReader::open(&ledger_of(place)?)?;
    // Every trip that was begun says its own currency.
    let Some(any) = linefree_domain::units::Currency::new("XXX") else {
        bail!("XXX is a currency of ISO 4217")
    };
    let rows = reader.trips(any, limit)?;
    if rows.is_empty() {
        say("no payment was begun");
        return Ok(ExitCode::SUCCESS);
    }
    say(&format!("{:<24} {:>9} {:>9} {:>9} {:>9}  state", "visit", "owed", "held", "taken", "returned"));
    for row in rows {
        let (trip, bill) = (&row.trip, &row.bill);
        let state = match (&trip.ask, trip.is_settled(bill)) {
            (Some(ask), _) if ask.pending => format!("waits for the payer ({:?})", ask.kind),
            (Some(ask), _) => format!("asking ({:?}, {} times no answer)", ask.kind, ask.silences),
            (None, true) => "settled".to_owned(),
            (None, false) if bill.is_contested() => {
                format!("contested ({} in dispute)", bill.contested.minor)
            }
            (None, false) => format!("{:?}", trip.state),
        };
        let why = trip.reason.as_ref().map_or_else(String::new, |why| format!(": {why}"));
        say(&format!(
            "{:<24} {:>9} {:>9} {:>9} {:>9}  {state}{why}",
            trip.id.as_str(),
            bill.owed.minor,
            trip.authorised.minor,
            trip.captured.minor,
            trip.refunded.minor
        ));
    }
    Ok(ExitCode::SUCCESS)
}

fn compare_day(file: &Path, day: &str, place: &LedgerPlace) -> anyhow::Result<ExitCode> {
    let date: jiff::civil::Date =
        day.parse().with_context(|| format!("--day {day:?} is no day: give it as 2026-11-23"))?;
    let from_us = date.at(0, 0, 0, 0).to_zoned(jiff::tz::TimeZone::UTC)?.timestamp().as_microsecond();
    let text = std::fs::read_to_string(file).with_context(|| format!("cannot read {}", file.display()))?;
    let told = read_settled(&text).map_err(|why| anyhow::anyhow!("{}: {why}", file.display()))?;
    let captures = LedgerReader::open(&ledger_of(place)?)?.captures(from_us, from_us + 86_400_000_000)?;
    let ours: Vec<(String, i64)> = captures.iter().map(|c| (reference_of(&c.key), c.amount_minor)).collect();
    let visit_of = |reference: &str| {
        captures.iter().find(|c| reference_of(&c.key) == reference).map_or("?", |c| c.visit.as_str())
    };
    let found = reconcile(&ours, &told);
    for (reference, amount) in &found.missing {
        say(&format!(
            "missing   {reference} {amount}: visit {} was paid, the bank does not say so",
            visit_of(reference)
        ));
    }
    for (reference, amount) in &found.extra {
        say(&format!("extra     {reference} {amount}: the bank was paid, the ledger does not know for what"));
    }
    for (reference, ledger, bank) in &found.different {
        say(&format!(
            "different {reference}: visit {} paid {ledger}, the bank says {bank}",
            visit_of(reference)
        ));
    }
    let wrong = found.missing.len() + found.extra.len() + found.different.len();
    say(&format!("{} payments match, {wrong} do not", found.matched));
    Ok(if wrong == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}
