//! Releases from the server's side: the plan with a clock that the test advances, and a real server whose devices the
//! test plays over its embedded broker.

// A helper that fails is a failed test.
#![allow(clippy::unwrap_used)]

mod corner;

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use linefree_bus::client::{BusClient, BusConfig, Inbox, Incoming, Outgoing};
use linefree_bus::payload::{InForce, RefusedRelease, Status};
use linefree_bus::release::{Release, ReleaseKey};
use linefree_bus::topic::{Subscription, TopicKind};
use proptest::prelude::*;
use serde_json::json;
use store_sync::cloud::command::Command;
use store_sync::config::Config;
use store_sync::ledger::LedgerReader;
use store_sync::ledger::commands::{Commander, StoreFacts};
use store_sync::rollout::RolloutSettings;
use store_sync::rollout::content::Content;
use store_sync::rollout::plan::{Doing, Gates, Plan, Stage};
use store_sync::serve::{DataDir, Server, Settings};

const S: i64 = 1_000_000;

fn gates() -> Gates {
    Gates { canary_share: 0.3, hold_us: 60 * S, take_us: 300 * S, silent_us: 30 * S }
}

fn report(source: &str, number: u64, trial: bool, refused: Option<(u64, &str)>) -> InForce {
    InForce {
        source: source.into(),
        role: source.trim_end_matches(|c: char| c.is_ascii_digit() || c == '-').into(),
        number,
        trial,
        refused: refused.map(|(number, reason)| RefusedRelease { number, reason: reason.into() }),
    }
}

/// Devices that take part, all with their own store.toml.
fn plan(sources: &[&str]) -> Plan {
    let mut plan = Plan::default();
    for source in sources {
        says(&mut plan, 0, &report(source, 0, false, None));
    }
    plan
}

fn says(plan: &mut Plan, now_us: i64, report: &InForce) -> Vec<Doing> {
    plan.on_report(report, true, now_us)
}

const SIX: [&str; 6] = ["cam1", "cam2", "cam3", "cam4", "shelf-1", "gate-1"];

fn actions(todo: &[Doing]) -> Vec<&'static str> {
    let action = |d: &Doing| match d {
        Doing::Note { action, .. } => *action,
        Doing::Renumber { .. } => "renumber",
    };
    todo.iter().map(action).collect()
}

/// Everybody has release 1.
fn settled() -> Plan {
    let mut plan = plan(&SIX);
    assert_eq!(plan.offer("one", 0), Some(1));
    plan.tick(&gates(), 0);
    for source in SIX {
        says(&mut plan, S, &report(source, 1, false, None));
    }
    plan.tick(&gates(), S);
    assert_eq!(actions(&plan.tick(&gates(), 62 * S)), ["rollout.all", "rollout.done"]);
    assert_eq!(plan.good.as_ref().unwrap().number, 1);
    plan
}

#[test]
fn canaries_first_one_of_each_role_then_all() {
    let mut plan = plan(&SIX);
    assert_eq!(plan.wanted("cam1"), None, "without a release, a device runs by its own store.toml");
    assert_eq!(plan.offer("one", 0), Some(1));
    assert_eq!(actions(&plan.tick(&gates(), 0)), ["rollout.begin"]);
    assert_eq!(plan.running.as_ref().unwrap().canaries, ["cam1", "gate-1"]);
    assert_eq!((plan.wanted("cam1"), plan.wanted("cam2")), (Some(1), None));
    assert_eq!(plan.offer("one", S), None, "it is under way");

    // On trial is not yet in force, one of two is not all, and well for a while is not well for long enough.
    says(&mut plan, S, &report("cam1", 1, true, None));
    says(&mut plan, S, &report("gate-1", 1, false, None));
    assert!(plan.tick(&gates(), 2 * S).is_empty());
    says(&mut plan, 3 * S, &report("cam1", 1, false, None));
    assert!(plan.tick(&gates(), 3 * S).is_empty());
    assert!(plan.tick(&gates(), 62 * S).is_empty());
    assert_eq!(actions(&plan.tick(&gates(), 63 * S)), ["rollout.all"]);
    assert_eq!(plan.wanted("cam4"), Some(1));
    // One device is away: it is not waited for, and is told when it comes.
    plan.on_status("cam4", false, 64 * S);
    for source in ["cam2", "cam3", "shelf-1"] {
        says(&mut plan, 65 * S, &report(source, 1, false, None));
    }
    assert_eq!(actions(&plan.tick(&gates(), 66 * S)), ["rollout.done"]);
    assert_eq!((plan.wanted("cam4"), plan.offer("one", 67 * S)), (Some(1), None));
}

#[test]
fn people_take_back_what_is_under_way_or_what_everybody_runs_by() {
    let mut plan = settled();
    assert!(plan.take_back("sam: too slow", 70 * S).is_err(), "there is nothing before the first");
    // Under way: the good one comes back under a new number.
    assert_eq!(plan.offer("two", 70 * S), Some(2));
    plan.tick(&gates(), 70 * S);
    assert_eq!(actions(&plan.take_back("sam: too slow", 71 * S).unwrap()), ["rollout.back", "renumber"]);
    assert!(plan.take_back("sam: again", 72 * S).is_err(), "it is on its way back");
    assert_eq!((plan.wanted("cam1"), plan.wanted("cam4")), (Some(3), Some(3)));
    assert_eq!(plan.offer("two", 73 * S), None, "what was taken back is not begun again");
    for source in SIX {
        says(&mut plan, 74 * S, &report(source, 3, false, None));
    }
    assert_eq!(actions(&plan.tick(&gates(), 74 * S)), ["rollout.done"]);
    // In force everywhere: what was good before it.
    assert_eq!(plan.offer("three", 80 * S), Some(4));
    plan.tick(&gates(), 80 * S);
    for source in SIX {
        says(&mut plan, 81 * S, &report(source, 4, false, None));
    }
    plan.tick(&gates(), 81 * S);
    assert_eq!(actions(&plan.tick(&gates(), 142 * S)), ["rollout.all", "rollout.done"]);
    assert_eq!(plan.needed(), [4, 3], "the one before is kept");
    let todo = plan.take_back("sam: it is wrong", 150 * S).unwrap();
    assert!(
        matches!(&todo[1], Doing::Renumber { from: 3, to: 5, why } if why.contains("it is wrong")),
        "{todo:?}"
    );
    assert_eq!((plan.wanted("gate-1"), plan.offer("three", 151 * S)), (Some(5), None));
}

#[test]
fn what_a_canary_refuses_goes_back_and_is_not_begun_again() {
    let mut plan = settled();
    assert_eq!(plan.offer("two", 100 * S), Some(2));
    plan.tick(&gates(), 100 * S);
    let told = says(&mut plan, 101 * S, &report("cam1", 1, false, Some((2, "blind"))));
    assert_eq!(actions(&told), ["rollout.refused"]);
    // Said again, it is no news.
    assert!(says(&mut plan, 102 * S, &report("cam1", 1, false, Some((2, "blind")))).is_empty());
    let back = plan.tick(&gates(), 103 * S);
    assert_eq!(actions(&back), ["rollout.back", "renumber"]);
    assert!(
        matches!(&back[1], Doing::Renumber { from: 1, to: 3, why } if why.contains("cam1 refuses it: blind"))
    );
    assert_eq!(plan.running.as_ref().unwrap().stage, Stage::Back);
    assert_eq!((plan.wanted("gate-1"), plan.wanted("cam4")), (Some(3), Some(3)));
    for source in SIX {
        says(&mut plan, 104 * S, &report(source, 3, false, None));
    }
    assert_eq!(actions(&plan.tick(&gates(), 105 * S)), ["rollout.done"]);
    assert_eq!(plan.offer("two", 106 * S), None, "it went back");
    assert_eq!(plan.offer("three", 106 * S), Some(4));
}

#[test]
fn a_canary_that_falls_silent_or_does_not_take_it_sends_it_back() {
    for (silent, why) in [(true, "is silent for 30 s"), (false, "has not taken it within 300 s")] {
        let mut plan = settled();
        plan.offer("two", 100 * S);
        plan.tick(&gates(), 100 * S);
        says(&mut plan, 110 * S, &report("gate-1", 2, false, None));
        if silent {
            says(&mut plan, 110 * S, &report("cam1", 2, false, None));
            plan.on_status("cam1", false, 120 * S);
            assert!(plan.tick(&gates(), 149 * S).is_empty(), "a restart is no failure");
        }
        let now_us = if silent { 150 * S } else { 400 * S };
        let back = plan.tick(&gates(), now_us);
        assert_eq!(actions(&back), ["rollout.back", "renumber"]);
        assert!(plan.last_back.as_ref().unwrap().contains(why), "{:?}", plan.last_back);
    }
}

#[test]
fn when_many_refuse_it_after_the_canaries_it_goes_back_and_one_of_many_is_a_fault_of_its_own() {
    let many: Vec<String> = (1..=20).map(|n| format!("cam{n}")).collect();
    let names: Vec<&str> = many.iter().map(String::as_str).collect();
    for (refusing, expected) in [(2, "rollout.done"), (3, "rollout.back")] {
        let mut plan = plan(&names);
        plan.offer("one", 0);
        plan.tick(&gates(), 0);
        let canaries = plan.running.as_ref().unwrap().canaries.clone();
        for canary in &canaries {
            says(&mut plan, S, &report(canary, 1, false, None));
        }
        plan.tick(&gates(), S);
        plan.tick(&gates(), 61 * S);
        let others: Vec<&str> = names.iter().copied().filter(|n| !canaries.iter().any(|c| c == n)).collect();
        for (i, source) in others.iter().enumerate() {
            let told = if i < refusing {
                report(source, 0, false, Some((1, "no model")))
            } else {
                report(source, 1, false, None)
            };
            says(&mut plan, 62 * S, &told);
        }
        assert_eq!(actions(&plan.tick(&gates(), 63 * S))[0], expected, "{refusing} refuse");
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 300, ..ProptestConfig::default() })]
    /// Whatever devices say and whenever: numbers only grow, nobody but a canary gets what has not passed, and what went
    /// back is wanted of nobody.
    #[test]
    fn nobody_gets_what_has_not_passed(
        steps in prop::collection::vec((0_usize..6, 0_u8..8, 1_i64..90), 1..120)
    ) {
        let mut plan = plan(&SIX);
        let (mut now_us, mut content, mut numbers) = (0, 0, BTreeMap::new());
        let mut last = 0;
        for (device, what, wait_s) in steps {
            now_us += wait_s * S;
            let source = SIX[device];
            let wanted = plan.wanted(source).unwrap_or(0);
            match what {
                0 => {
                    content += 1;
                    if let Some(number) = plan.offer(&content.to_string(), now_us) {
                        numbers.insert(number, content.to_string());
                    }
                }
                1 => plan.on_status(source, false, now_us),
                2 => { says(&mut plan, now_us, &report(source, wanted.saturating_sub(1), false, Some((wanted, "no")))); }
                3 => { says(&mut plan, now_us, &report(source, wanted, wanted > 0, None)); }
                _ => { says(&mut plan, now_us, &report(source, wanted, false, None)); }
            }
            for doing in plan.tick(&gates(), now_us) {
                if let Doing::Renumber { from, to, .. } = doing {
                    prop_assert!(to > from);
                    let content = numbers[&from].clone();
                    numbers.insert(to, content);
                }
            }
            prop_assert!(plan.last >= last);
            last = plan.last;
            for source in SIX {
                let Some(wanted) = plan.wanted(source) else { continue };
                prop_assert!(plan.needed().contains(&wanted) && numbers.contains_key(&wanted));
                prop_assert!(plan.running.is_none() || Some(&numbers[&wanted]) != plan.spoiled.as_ref()
                    || plan.good.as_ref().is_some_and(|g| g.number == wanted));
                if let Some(running) = plan.running.as_ref().filter(|r| r.stage == Stage::Canary)
                    && wanted == running.release.number
                {
                    prop_assert!(running.canaries.iter().any(|c| c == source));
                }
            }
        }
    }
}

const PATIENCE: Duration = Duration::from_secs(30);

/// A device that does what it is told, or refuses what the test says.
struct Device {
    client: BusClient,
    wanted: tokio::sync::watch::Receiver<Option<linefree_bus::payload::Wanted>>,
    key: ReleaseKey,
    source: &'static str,
    _inbox: Inbox,
}

impl Device {
    async fn new(server: &Server, data: &Path, source: &'static str) -> Self {
        let status = Status::online(source, "camera", "test");
        let (client, inbox) =
            BusClient::connect(BusConfig::new(server.bus().clone(), "corner", status)).unwrap();
        client.wait_connected(PATIENCE).await.unwrap();
        let wanted = client.hear_wanted().unwrap();
        let key = ReleaseKey::read(&data.join("release-key.pub.pem")).unwrap();
        let device = Self { client, wanted, key, source, _inbox: inbox };
        device.says(0, None);
        device
    }

    fn says(&self, number: u64, refused: Option<(u64, &str)>) {
        let mut said = report(self.source, number, false, refused);
        said.role = "camera".into();
        self.client.publish(Outgoing::InForce(said)).unwrap();
    }

    /// The next release that fits.
    async fn told(&mut self, number: u64) -> Release {
        let found = self
            .wanted
            .wait_for(|w| w.as_ref().is_some_and(|w| self.key.open(w, "corner").unwrap().number == number));
        let found = tokio::time::timeout(PATIENCE, found).await;
        let wanted =
            found.unwrap_or_else(|_| panic!("{} was not told of {number}", self.source)).unwrap().clone();
        self.key.open(&wanted.unwrap(), "corner").unwrap()
    }

    fn knows(&self) -> Option<u64> {
        self.wanted.borrow().as_ref().map(|w| self.key.open(w, "corner").unwrap().number)
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_planogram_of_the_clouds_reaches_the_devices_and_comes_back_when_it_is_bad() {
    let dir = tempfile::tempdir().unwrap();
    let data = dir.path();
    let quick = Gates { canary_share: 0.5, hold_us: 0, ..gates() };
    let rollout =
        RolloutSettings { gates: quick, trial_s: 1, config: Arc::new(Config::fixed("format = 1\n")) };
    let settings = || Settings { rollout: Some(rollout.clone()), ..corner::settings(data) };
    let facts = StoreFacts::of(&settings().layout);
    let (sku, plate) = (facts.skus.first().unwrap().clone(), facts.plates.first().unwrap().clone());
    let server = Server::start(settings()).await.unwrap();
    let mut one = Device::new(&server, data, "cam1").await;
    let mut two = Device::new(&server, data, "cam2").await;
    // The server's own store.toml, to one first.
    let release = one.told(1).await;
    assert_eq!(
        (release.store_toml.as_str(), release.trial_s, release.why.as_str()),
        ("format = 1\n", 1, "store.toml")
    );
    assert_eq!(two.knows(), None);
    one.says(1, None);
    two.told(1).await;
    two.says(1, None);

    // A command comes into force: it is rolled out by itself.
    let mut commander = Commander::open(&DataDir::ledger_in(data), facts).unwrap();
    let command = |seq: u64, version: u64, review_below: f64| {
        let body = json!({"kind": "policy", "review_below": review_below});
        Command { command: format!("c{seq}"), seq, version, issued_us: 1, answered: None, body }
    };
    let planogram = Command {
        body: json!({"kind": "planogram", "facings": [{"sku": sku, "plates": [plate]}]}),
        ..command(1, 3, 0.0)
    };
    assert_eq!(commander.take(&[planogram], 5).unwrap().accepted, 1);
    let release = one.told(2).await;
    assert_eq!(release.why, "store.toml with planogram 3");
    assert_eq!(release.changes.facings.as_ref().unwrap()[0].plates, [plate]);
    assert_eq!(two.knows(), Some(1), "the other waits");
    one.says(2, None);
    two.told(2).await;
    two.says(2, None);

    // A bad one goes back to what was good, under a new number, without anybody's doing; also when the server is
    // restarted right then.
    assert_eq!(commander.take(&[command(2, 1, 0.5)], 6).unwrap().accepted, 1);
    assert_eq!(one.told(3).await.changes.review_below, Some(0.5));
    drop((one, two));
    server.stop().await.unwrap();
    let server = Server::start(settings()).await.unwrap();
    let mut one = Device::new(&server, data, "cam1").await;
    let mut two = Device::new(&server, data, "cam2").await;
    two.says(2, None);
    one.says(2, Some((3, "everything is in review")));
    let back = one.told(4).await;
    assert_eq!((back.changes.review_below, back.changes.facings.is_some()), (None, true));
    assert!(back.why.contains("cam1 refuses it: everything is in review"), "{}", back.why);
    two.told(4).await;
    one.says(4, None);
    two.says(4, None);

    // Both are told: the audit log, and staff and cloud by a fault.
    let console = server.console();
    let audit = || async move {
        let asked = tokio::task::spawn_blocking(move || {
            corner::ask(&format!("http://{console}/api/audit"), None, None).1.to_string()
        });
        asked.await.unwrap()
    };
    let began = std::time::Instant::now();
    loop {
        let told = audit().await;
        if ["rollout.begin", "rollout.all", "rollout.done", "rollout.refused", "rollout.back"]
            .iter()
            .all(|action| told.contains(action))
            && told.matches("rollout.done").count() >= 3
        {
            break;
        }
        assert!(began.elapsed() < PATIENCE, "{told}");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    drop((one, two));
    server.stop().await.unwrap();
    let reader = LedgerReader::open(&DataDir::ledger_in(data)).unwrap();
    let faults = format!("{:?}", reader.faults(100).unwrap());
    assert!(faults.contains("rollout-3") && faults.contains("rolled_back"), "{faults}");
}

/// A product that store.toml lacks comes to devices with its price; another price of it is no other release.
#[test]
fn a_new_product_of_the_catalogue_is_released_with_its_price() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("ledger.sqlite");
    drop(store_sync::ledger::Ledger::open(&path, "corner", 1).unwrap());
    let facts = StoreFacts::of(&corner::settings(dir.path()).layout);
    let old = facts.skus.first().unwrap().clone();
    let mut commander = Commander::open(&path, facts).unwrap();
    let mut seq = 0;
    let mut command = |commander: &mut Commander, version: u64, body: serde_json::Value| {
        drop(store_sync::ledger::Ledger::open(&path, "corner", 1).unwrap());
        seq += 1;
        let command =
            Command { command: format!("c{seq}"), seq, version, issued_us: 1, answered: None, body };
        assert_eq!(commander.take(&[command], 5).unwrap().accepted, 1);
        Content::in_force("format = 1\n", commander).unwrap()
    };
    let products = json!({"kind": "catalogue", "products": [
        {"sku": old, "name": "Old", "weight_g": 500.0}, {"sku": "new-1", "name": "New", "weight_g": 80.0}]});
    let unpriced = command(&mut commander, 1, products);
    assert!(unpriced.changes.products.iter().all(|p| p.unit_price_minor.is_none()));
    let price = |minor: i64| {
        json!({"kind": "prices", "currency": "EUR", "prices": [
            {"sku": old, "unit_price_minor": 7}, {"sku": "new-1", "unit_price_minor": minor}]})
    };
    let priced = command(&mut commander, 1, price(345));
    let told: Vec<_> = priced.changes.products.iter().map(|p| p.unit_price_minor).collect();
    assert_eq!(told, [None, Some(345)]);
    assert_ne!(priced.digest(), unpriced.digest());
    let dearer = command(&mut commander, 2, price(399));
    assert_eq!(dearer.changes.products[1].unit_price_minor, Some(399));
    assert_eq!(dearer.digest(), priced.digest());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_server_without_devices_that_take_part_writes_nothing() {
    let dir = tempfile::tempdir().unwrap();
    let rollout =
        RolloutSettings { gates: gates(), trial_s: 60, config: Arc::new(Config::fixed("format = 1\n")) };
    let settings = Settings { rollout: Some(rollout), ..corner::settings(dir.path()) };
    let server = Server::start(settings).await.unwrap();
    let status = Status::online("watcher", "watcher", "test");
    let config = BusConfig::new(server.bus().clone(), "corner", status)
        .subscribe(Subscription::all(TopicKind::Wanted))
        .subscribe(Subscription::all(TopicKind::Status));
    let (client, mut inbox) = BusClient::connect(config).unwrap();
    client.wait_connected(PATIENCE).await.unwrap();
    // The ledger's own status comes every five seconds: by then the roll-out has looked twice.
    let mut told = 0;
    while told < 2 {
        match tokio::time::timeout(PATIENCE, inbox.recv()).await.unwrap().unwrap() {
            Incoming::Wanted(wanted) => panic!("{wanted:?}"),
            Incoming::Status(status) if status.source == "ledger" => told += 1,
            _ => {}
        }
    }
    assert!(!dir.path().join("rollout/plan.json").exists());
    server.stop().await.unwrap();
}
