//! Signed receipts, and the ledger as EPCIS events against the official schema.

// A helper that fails is a failed test.
#![allow(clippy::unwrap_used, clippy::print_stdout)]

mod feed;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::Command;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use feed::*;
use linefree_bus::payload::*;
use serde_json::{Value, json};
use store_sync::epcis;
use store_sync::gs1::Place;
use store_sync::ledger::{Ledger, LedgerReader, Projector};
use store_sync::signed::{NotVerified, PublicKey, SigningKey, canonical, receipt_document, sign, verify};

const COLA: &str = "632565000012";
const CHIPS: &str = "632565000029";

fn ledger(dir: &Path, events: &[Event]) -> LedgerReader {
    let path = dir.join("ledger.sqlite");
    let mut ledger = Ledger::open(&path, "nano", 1).unwrap();
    ledger.append(events, 2).unwrap();
    drop(ledger);
    Projector::open(&path).unwrap().catch_up().unwrap();
    LedgerReader::open(&path).unwrap()
}

fn refund(seq: u64, refund: &str, sku: &str, quantity: u32) -> Event {
    let amount_minor = 199 * i64::from(quantity);
    let body = EventBody::RefundIssued(RefundIssued {
        refund: refund.into(),
        visit: "v1".into(),
        currency: "USD".into(),
        lines: vec![RefundLine { sku: sku.into(), quantity, amount_minor }],
        amount_minor,
        reason: "was not taken".into(),
    });
    event("office", epoch(2), seq, 200, body)
}

fn answered(seq: u64, quantity: u32) -> Event {
    let body = EventBody::ReviewAnswered(ReviewAnswered {
        visit: "v1".into(),
        sku: CHIPS.into(),
        quantity,
        currency: "USD".into(),
        charge_minor: 199 * i64::from(quantity),
        steps: Vec::new(),
    });
    event("office", epoch(2), seq, 100, body)
}

/// Three of one product, two of another in review; one of those is paid, one of the others is paid back.
fn purchase() -> Vec<Event> {
    let lines = vec![line(COLA, 3, 0.97, false), line(CHIPS, 2, 0.6, true)];
    vec![
        event("floor-1", epoch(1), 1, 40, closed("v1", 1, 40, lines)),
        answered(1, 1),
        refund(2, "r1", COLA, 1),
    ]
}

fn binary(args: &[&str]) -> (bool, String) {
    let done = Command::new(env!("CARGO_BIN_EXE_store-sync")).args(args).output().unwrap();
    let told = format!("{}{}", String::from_utf8_lossy(&done.stdout), String::from_utf8_lossy(&done.stderr));
    (done.status.success(), told)
}

#[test]
fn a_signed_receipt_is_believed_as_it_is_and_not_when_a_byte_differs() {
    let dir = tempfile::tempdir().unwrap();
    let ledger = ledger(dir.path(), &purchase());
    let receipt = receipt_document(&ledger, "v1").unwrap().unwrap();
    assert_eq!(receipt["charged_minor"], 597);
    assert_eq!(receipt["paid_minor"], 597 + 199 - 199);
    assert_eq!(receipt["lines"][0]["product"], "https://id.gs1.org/01/00632565000012");
    assert_eq!(receipt["event"], format!("floor-1/{}/1", epoch(1)));
    assert!(!receipt.to_string().contains("cred-"), "a receipt holds no credential: {receipt}");
    assert!(receipt_document(&ledger, "v9").unwrap().is_none());

    let key = SigningKey::generate(&dir.path().join("key.pem")).unwrap();
    let public = key.public();
    let signed = sign(&receipt, &key).unwrap();
    assert_eq!(verify(&signed, &public).unwrap(), &receipt);
    // Written and indented another way, it is the same receipt.
    let again: Value = serde_json::from_str(&serde_json::to_string_pretty(&signed).unwrap()).unwrap();
    assert!(verify(&again, &public).is_ok());

    // Every leaf that is changed is noticed.
    let mut leaves = Vec::new();
    paths(&receipt, "", &mut leaves);
    assert!(leaves.len() > 20, "{leaves:?}");
    for path in leaves {
        let mut changed = signed.clone();
        let leaf = changed["receipt"].pointer_mut(&path).unwrap();
        *leaf = match leaf.take() {
            Value::Number(n) => json!(n.as_i64().unwrap() + 1),
            Value::Bool(b) => json!(!b),
            Value::String(text) => json!(text + "x"),
            other => panic!("{other}"),
        };
        assert_eq!(verify(&changed, &public), Err(NotVerified::Signature), "{path}");
    }
    let mut more = signed.clone();
    more["receipt"]["tip_minor"] = json!(0);
    assert_eq!(verify(&more, &public), Err(NotVerified::Signature));

    // A header that another algorithm or an extension could hide in.
    for header in [
        json!({"alg": "none", "kid": public.id()}),
        json!({"alg": "EdDSA", "kid": public.id(), "b64": false}),
    ] {
        let mut other = signed.clone();
        let jws = signed["signature"]["jws"].as_str().unwrap().rsplit_once('.').unwrap().1;
        let header = URL_SAFE_NO_PAD.encode(header.to_string());
        other["signature"]["jws"] = json!(format!("{header}..{jws}"));
        assert!(matches!(verify(&other, &public), Err(NotVerified::Malformed(_))));
    }
    for broken in
        [json!([]), json!({}), json!({"receipt": {}}), json!({"receipt": {}, "signature": {"jws": "a.b.c"}})]
    {
        assert!(matches!(verify(&broken, &public), Err(NotVerified::Malformed(_))), "{broken}");
    }
    // Another store's key.
    let other = SigningKey::generate(&dir.path().join("other.pem")).unwrap();
    assert!(matches!(verify(&signed, &other.public()), Err(NotVerified::OtherKey { .. })));
    // A store that signs nonsense.
    let mut wrong = receipt.clone();
    wrong["paid_minor"] = json!(1);
    let told = verify(&sign(&wrong, &key).unwrap(), &public).map(|_| ());
    assert!(matches!(&told, Err(NotVerified::Sums(why)) if why.contains("paid_minor")), "{told:?}");
}

fn paths(value: &Value, at: &str, out: &mut Vec<String>) {
    match value {
        Value::Object(fields) => fields.iter().for_each(|(k, v)| paths(v, &format!("{at}/{k}"), out)),
        Value::Array(values) => {
            values.iter().enumerate().for_each(|(i, v)| paths(v, &format!("{at}/{i}"), out));
        }
        _ => out.push(at.to_owned()),
    }
}

#[test]
fn the_commands_make_keys_sign_and_verify_and_openssl_agrees() {
    let dir = tempfile::tempdir().unwrap();
    drop(ledger(dir.path(), &purchase()));
    let file = |name: &str| dir.path().join(name).display().to_string();
    let (key, public) = (file("receipt-key.pem"), file("pub.pem"));
    let (done, told) = binary(&["receipt", "keys", "--key", &key, "--public", &public]);
    assert!(done && !told.contains("PRIVATE"), "{told}");
    assert!(
        !binary(&["receipt", "keys", "--key", &key, "--public", &public]).0,
        "a key is never overwritten"
    );

    let (done, signed) = binary(&["receipt", "sign", "v1", "--data", &dir.path().display().to_string()]);
    assert!(done, "{signed}");
    let receipt = file("receipt.json");
    std::fs::write(&receipt, &signed).unwrap();
    let (done, told) = binary(&["receipt", "verify", &receipt, "--key", &public]);
    assert!(done && told.contains("sound") && told.contains("paid 597 minor units of USD"), "{told}");
    std::fs::write(&receipt, signed.replace("\"quantity\": 3", "\"quantity\": 2")).unwrap();
    let (done, told) = binary(&["receipt", "verify", &receipt, "--key", &public]);
    assert!(!done && told.contains("NOT to be believed"), "{told}");

    // A key that others can read is refused, by name and with the remedy; nothing of it is told.
    use std::os::unix::fs::PermissionsExt as _;
    std::fs::set_permissions(&key, std::fs::Permissions::from_mode(0o644)).unwrap();
    let told = SigningKey::read(Path::new(&key)).unwrap_err().to_string();
    assert!(told.contains("chmod 600"), "{told}");
    std::fs::set_permissions(&key, std::fs::Permissions::from_mode(0o600)).unwrap();
    let secret = std::fs::read_to_string(&key).unwrap();
    let read = SigningKey::read(Path::new(&key)).unwrap();
    assert!(!format!("{read:?}").contains(secret.lines().nth(1).unwrap()));
    assert_eq!(PublicKey::read(Path::new(&public)).unwrap(), read.public());

    // Somebody else's program: the signature over header.payload with the same key files.
    if Command::new("openssl").arg("version").output().is_err() {
        println!("skipped: openssl is not installed");
        return;
    }
    let signed: Value = serde_json::from_str(&signed).unwrap();
    let (header, signature) = signed["signature"]["jws"].as_str().unwrap().split_once("..").unwrap();
    let payload = URL_SAFE_NO_PAD.encode(canonical(&signed["receipt"]).unwrap());
    std::fs::write(file("input"), format!("{header}.{payload}")).unwrap();
    std::fs::write(file("sig"), URL_SAFE_NO_PAD.decode(signature).unwrap()).unwrap();
    let done = Command::new("openssl")
        .args([
            "pkeyutl",
            "-verify",
            "-pubin",
            "-rawin",
            "-inkey",
            &public,
            "-sigfile",
            &file("sig"),
            "-in",
            &file("input"),
        ])
        .output()
        .unwrap();
    assert!(done.status.success(), "{done:?}");
    let made = Command::new("openssl").args(["pkey", "-in", &key, "-pubout"]).output().unwrap();
    assert_eq!(String::from_utf8_lossy(&made.stdout), std::fs::read_to_string(&public).unwrap());
}

fn task(seq: u64, state: TaskState, quantity: u32) -> Event {
    let body = EventBody::TaskChanged(TaskChanged {
        task: "t1".into(),
        task_kind: TaskKind::Pick,
        order: Some("o1".into()),
        sku: COLA.into(),
        quantity,
        plate: "1/5/10".into(),
        assignee: Some("robot-1".into()),
        state,
        reason: None,
    });
    event("fleet", epoch(3), seq, 50 + seq as i64, body)
}

fn count(seq: u64, quantity: u32) -> Event {
    let body = EventBody::StockCounted(StockCounted { plate: "1/5/10".into(), sku: COLA.into(), quantity });
    event("office", epoch(4), seq, 10 * seq as i64, body)
}

/// Step of business, quantity, why it was declared wrong and by how many events it was corrected.
type Told = (String, u64, Option<(String, usize)>);

fn told(events: &[epcis::EpcisEvent]) -> Vec<Told> {
    let one = |e: &Value| {
        let wrong = e.get("errorDeclaration").map(|d| {
            let by = d["correctiveEventIDs"].as_array().map_or(0, Vec::len);
            (d["reason"].as_str().unwrap().to_owned(), by)
        });
        (e["bizStep"].as_str().unwrap().to_owned(), e["quantityList"][0]["quantity"].as_u64().unwrap(), wrong)
    };
    events.iter().map(|e| one(&e.event)).collect()
}

#[test]
fn what_the_ledger_says_is_told_in_epcis_terms_and_corrected_by_declarations() {
    let dir = tempfile::tempdir().unwrap();
    let mut events = vec![count(1, 8), count(2, 5), count(3, 12), task(1, TaskState::Underway, 2)];
    events.extend([task(2, TaskState::Done, 2), task(3, TaskState::Failed, 2)]);
    events.extend(purchase());
    // Everything is paid back; then the floor revises the receipt, and says the same again.
    events.push(refund(3, "r2", COLA, 2));
    let revised = vec![line(COLA, 4, 0.97, false), line(CHIPS, 2, 0.6, true)];
    events.push(event("floor-1", epoch(1), 2, 41, closed("v1", 1, 40, revised.clone())));
    events.push(event("floor-1", epoch(1), 3, 42, closed("v1", 1, 40, revised)));
    let ledger = ledger(dir.path(), &events);
    let place = Place::new("nano", Some("9506000134352")).unwrap();
    let (made, next) = epcis::events(&ledger, &place, 0, usize::MAX).unwrap();
    assert_eq!(next, None);
    let right = |step: &str, quantity| (step.to_owned(), quantity, None);
    let wrong = |step: &str, quantity, why: &str, by| (step.to_owned(), quantity, Some((why.to_owned(), by)));
    assert_eq!(
        told(&made),
        [
            right("stocking", 8),
            right("cycle_counting", 8),
            right("cycle_counting", 5),
            right("stocking", 7),
            right("cycle_counting", 12),
            right("picking", 2),
            wrong("picking", 2, "did_not_occur", 0),
            right("retail_selling", 3),
            right("retail_selling", 1),
            wrong("retail_selling", 3, "incorrect_data", 1),
            right("retail_selling", 2),
            wrong("retail_selling", 2, "did_not_occur", 0),
            right("retail_selling", 1),
        ]
    );
    // A declaration repeats the event that was told before, with its id, and names the one that follows.
    let (sale, error, corrected) = (&made[7].event, &made[9].event, &made[10].event);
    let mut bare = error.clone();
    bare.as_object_mut().unwrap().remove("errorDeclaration");
    assert_eq!(&bare, sale);
    assert_eq!(error["errorDeclaration"]["correctiveEventIDs"], json!([corrected["eventID"]]));
    assert_eq!(sale["quantityList"][0]["epcClass"], "https://id.gs1.org/01/00632565000012");
    assert_eq!(made[5].event["readPoint"]["id"], "https://id.gs1.org/414/9506000134352/254/1%2F5%2F10");
    assert_eq!(made[5].event["bizTransactionList"][0]["type"], "po");
    // What is sold in the end, with the declared ones taken away, is what is paid for.
    let mut sold: BTreeMap<String, i64> = BTreeMap::new();
    for e in made.iter().filter(|e| e.event["bizStep"] == "retail_selling") {
        let sign = if e.event.get("errorDeclaration").is_some() { -1 } else { 1 };
        *sold.entry(e.event["quantityList"][0]["epcClass"].to_string()).or_default() +=
            sign * e.event["quantityList"][0]["quantity"].as_i64().unwrap();
    }
    assert_eq!(sold.values().sum::<i64>(), 2, "{sold:?}");

    // The same ledger makes the same events, in whatever pages it is asked.
    for limit in [1, 2, 5] {
        let (mut paged, mut after) = (Vec::new(), 0);
        loop {
            let (page, next) = epcis::events(&ledger, &place, after, limit).unwrap();
            paged.extend(page);
            let Some(next) = next else { break };
            assert!(next > after);
            after = next;
        }
        assert_eq!(paged, made);
    }
    let names: std::collections::BTreeSet<String> = made
        .iter()
        .filter(|e| e.event.get("errorDeclaration").is_none())
        .map(|e| e.event["eventID"].to_string())
        .collect();
    assert_eq!(names.len(), 10, "every event that is no declaration has an id of its own");
    assert!(
        !serde_json::to_string(&made.iter().map(|e| &e.event).collect::<Vec<_>>()).unwrap().contains("cred-")
    );
}

fn official() -> Option<jsonschema::Validator> {
    let shared = std::env::var_os("LINEFREE_SHARED")
        .map_or_else(|| Path::new(env!("CARGO_MANIFEST_DIR")).join("../../shared"), PathBuf::from);
    let path = shared.join("standards/epcis/EPCIS-JSON-Schema.json");
    let Ok(text) = std::fs::read_to_string(&path) else {
        println!("skipped: {} is not there (LINEFREE_SHARED)", path.display());
        return None;
    };
    Some(
        jsonschema::options()
            .should_validate_formats(true)
            .build(&serde_json::from_str(&text).unwrap())
            .unwrap(),
    )
}

#[test]
fn the_documents_are_epcis_by_its_official_schema() {
    let Some(official) = official() else { return };
    let dir = tempfile::tempdir().unwrap();
    let mut events = vec![count(1, 8), task(2, TaskState::Done, 2), task(3, TaskState::Failed, 2)];
    events.extend(purchase());
    // Products and plates with names that no URI can hold as they are.
    events.push(event(
        "floor-1",
        epoch(1),
        9,
        70,
        closed("v 2/ü", 60, 70, vec![line("bröd & smör", 1, 0.99, false)]),
    ));
    let reader = ledger(dir.path(), &events);
    for place in [Place::new("nano", Some("9506000134352")).unwrap(), Place::new("nano", None).unwrap()] {
        let (made, _) = epcis::events(&reader, &place, 0, usize::MAX).unwrap();
        assert_eq!(made.len(), 9);
        for document in
            [epcis::document(&place, made.clone(), START_US), epcis::query_document(made.clone(), START_US)]
        {
            let mistakes: Vec<String> =
                official.iter_errors(&document).map(|e| format!("{}: {e}", e.instance_path())).collect();
            assert!(mistakes.is_empty(), "{mistakes:#?}\n{document:#}");
        }
        // The schema does refuse.
        for (path, value) in [
            ("/epcisBody/eventList/0/bizStep", json!("guessing")),
            ("/epcisBody/eventList/0/eventTime", json!("yesterday")),
            ("/epcisBody/eventList/0/action", json!("TAKE")),
        ] {
            let mut broken = epcis::document(&place, made.clone(), START_US);
            *broken.pointer_mut(path).unwrap() = value;
            assert!(!official.is_valid(&broken), "{path}");
        }
    }
    drop(reader);
    // The command writes the same.
    let out = dir.path().join("out.jsonld");
    let (ledger_file, out_file) = (dir.path().join("ledger.sqlite"), out.display().to_string());
    let (done, said) = binary(&["epcis", "--ledger", &ledger_file.display().to_string(), "--out", &out_file]);
    assert!(done && said.contains("9 events"), "{said}");
    let document: Value = serde_json::from_str(&std::fs::read_to_string(&out).unwrap()).unwrap();
    assert!(official.is_valid(&document));
    let (done, said) =
        binary(&["epcis", "--ledger", &ledger_file.display().to_string(), "--gln", "1", "--out", "-"]);
    assert!(!done && said.contains("GLN"), "{said}");
}
