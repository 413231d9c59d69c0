//! Accounts, passwords and sessions.
//!
//! Passwords: argon2id with 19 MiB, two passes, one lane (OWASP's password storage cheat sheet). A wrong name costs as
//! much time as a wrong password. After five wrong passwords for a name, sign-in for it waits, twice as long each time.

use std::collections::BTreeMap;
use std::sync::{Mutex, PoisonError};

use rusqlite::{OptionalExtension as _, params};
use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};
use subtle::ConstantTimeEq as _;
use utoipa::ToSchema;

use super::{Desk, DeskError, hex, random, refused};

/// What somebody may do. Each of staff, manager and ops may do what the one before it may.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum Role {
    /// Sees their own basket and receipts.
    Shopper,
    /// Sees the floor and carts, answers reviews, counts stock.
    Staff,
    /// Refunds, settles contests.
    Manager,
    /// Accounts, devices, configuration.
    Ops,
    /// Reads everything, changes nothing.
    Auditor,
}

impl Role {
    /// As the tables write it.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Shopper => "shopper",
            Self::Staff => "staff",
            Self::Manager => "manager",
            Self::Ops => "ops",
            Self::Auditor => "auditor",
        }
    }

    /// A role of people who work here, by its name.
    #[must_use]
    pub fn of_staff(name: &str) -> Option<Self> {
        [Self::Staff, Self::Manager, Self::Ops, Self::Auditor].into_iter().find(|role| role.name() == name)
    }

    /// How much it may change; an auditor changes nothing.
    #[must_use]
    pub fn rank(self) -> u8 {
        match self {
            Self::Shopper | Self::Auditor => 0,
            Self::Staff => 1,
            Self::Manager => 2,
            Self::Ops => 3,
        }
    }

    fn parse(name: &str) -> Self {
        match name {
            "staff" => Self::Staff,
            "manager" => Self::Manager,
            "ops" => Self::Ops,
            "auditor" => Self::Auditor,
            // The table allows no other word; should one be there, it is worth the least.
            _ => Self::Shopper,
        }
    }

    /// May it do what `least` may?
    #[must_use]
    pub fn at_least(self, least: Self) -> bool {
        self == least || (least.rank() > 0 && self.rank() >= least.rank())
    }
}

/// Whoever is signed in.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Person {
    /// The account.
    pub name: String,
    /// What it may do.
    pub role: Role,
    /// What a shopper enters with.
    pub credential: Option<String>,
    /// The password is one-time and must be changed first.
    pub must_change: bool,
    /// Must come with every request that changes something.
    pub csrf: String,
}

/// An account, without its secrets.
#[derive(Debug, Clone, Serialize, ToSchema)]
pub struct Account {
    /// Its name.
    pub name: String,
    /// What it may do.
    pub role: Role,
    /// Its password is one-time and was not changed yet.
    pub must_change: bool,
    /// It may not sign in.
    pub disabled: bool,
    /// When it was made.
    pub created_us: i64,
    /// It signs in at the chain's provider, which also says its role.
    pub outside: bool,
}

/// Shortest password. NIST SP 800-63B asks for eight at least; length is worth more than odd characters.
pub const PASSWORD_MIN: usize = 12;
/// Longest password, so that hashing it stays cheap.
pub const PASSWORD_MAX: usize = 200;
/// Wrong passwords for one name before it waits.
const FREE_TRIES: u32 = 5;
/// Names whose wrong passwords are remembered.
const MAX_NAMES: usize = 10_000;
/// How long a session lasts: a long shift.
pub(super) const SESSION_US: i64 = 12 * 3_600_000_000;
/// How long a shopper's phone stays known.
const PHONE_US: i64 = 365 * 24 * 3_600_000_000;
/// Where the first start leaves the one-time password, for whoever can read the data folder.
pub const FIRST_PASSWORD_FILE: &str = "first-password";

/// Wrong passwords, in memory.
#[derive(Debug, Default)]
pub struct Tries(Mutex<BTreeMap<String, (u32, i64)>>);

impl Tries {
    /// Seconds that this name must still wait.
    pub(crate) fn wait_s(&self, name: &str, now_us: i64) -> Option<i64> {
        let tries = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let (wrong, last_us) = tries.get(name)?;
        let over = wrong.checked_sub(FREE_TRIES)?;
        let pause_s = 5_i64 << over.min(8);
        let left = pause_s - now_us.saturating_sub(*last_us) / 1_000_000;
        (left > 0).then_some(left)
    }

    /// Another wrong try.
    pub(crate) fn wrong(&self, name: &str, now_us: i64) {
        let mut tries = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if tries.len() >= MAX_NAMES && !tries.contains_key(name) {
            // Somebody guesses names; the oldest guesses give way.
            let oldest = tries.iter().min_by_key(|(_, (_, at))| *at).map(|(name, _)| name.clone());
            if let Some(oldest) = oldest {
                tries.remove(&oldest);
            }
        }
        let entry = tries.entry(name.to_owned()).or_insert((0, now_us));
        *entry = (entry.0.saturating_add(1), now_us);
    }

    /// It was right: earlier tries are forgotten.
    pub(crate) fn right(&self, name: &str) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).remove(name);
    }
}

fn hash(password: &str, salt: &[u8]) -> Result<[u8; 32], DeskError> {
    let told = |e: argon2::Error| DeskError::System(format!("argon2: {e}"));
    let params = argon2::Params::new(19 * 1024, 2, 1, Some(32)).map_err(told)?;
    let argon = argon2::Argon2::new(argon2::Algorithm::Argon2id, argon2::Version::V0x13, params);
    let mut out = [0; 32];
    argon.hash_password_into(password.as_bytes(), salt, &mut out).map_err(told)?;
    Ok(out)
}

/// A password that can be read out: 80 bits in groups.
fn one_time_password() -> Result<String, DeskError> {
    // No letters that look like digits.
    const LETTERS: &[u8; 32] = b"abcdefghjkmnpqrstuvwxyz123456789";
    let bytes: [u8; 16] = random()?;
    let text: Vec<char> = bytes.iter().map(|b| LETTERS[usize::from(b % 32)] as char).collect();
    Ok(text.chunks(4).map(|c| c.iter().collect::<String>()).collect::<Vec<_>>().join("-"))
}

fn check_password(password: &str) -> Result<(), DeskError> {
    let n = password.chars().count();
    if (PASSWORD_MIN..=PASSWORD_MAX).contains(&n) {
        Ok(())
    } else {
        refused(format!("a password has {PASSWORD_MIN} to {PASSWORD_MAX} characters, this one has {n}"))
    }
}

/// Name and one-time password of the first account.
#[derive(Debug, Clone)]
pub struct First {
    /// Its name.
    pub name: &'static str,
    /// Its one-time password.
    pub password: String,
}

impl Desk {
    /// At the first start there is nobody: makes `admin` with a one-time password, and leaves that in a file for those
    /// who can read the data folder. `None` once somebody can sign in.
    ///
    /// # Errors
    /// [`DeskError`].
    pub fn first_account(&self, now_us: i64) -> Result<Option<First>, DeskError> {
        let file = self.folder().join(FIRST_PASSWORD_FILE);
        let there: Option<bool> = self
            .conn()
            .query_row("SELECT must_change FROM accounts WHERE name = 'admin'", [], |r| r.get(0))
            .optional()?;
        match there {
            Some(true) => {
                let password = std::fs::read_to_string(&file).ok();
                Ok(password.map(|p| First { name: "admin", password: p.trim().to_owned() }))
            }
            Some(false) => Ok(None),
            None => {
                let password = self.add_account("admin", Role::Ops, None, now_us)?;
                super::write_secret(&file, &format!("{password}\n"))?;
                Ok(Some(First { name: "admin", password }))
            }
        }
    }

    /// Makes an account; returns its one-time password.
    ///
    /// # Errors
    /// [`DeskError::Refused`] when the name or credential is taken or too long.
    pub fn add_account(
        &self,
        name: &str,
        role: Role,
        credential: Option<&str>,
        now_us: i64,
    ) -> Result<String, DeskError> {
        let fine = |c: char| c.is_ascii_alphanumeric() || "._-@".contains(c);
        if name.is_empty() || name.len() > 64 || !name.chars().all(fine) {
            return refused("a name has 1 to 64 letters, digits, dots, dashes or @");
        }
        if credential.is_some() != (role == Role::Shopper) {
            return refused("a shopper has a credential, nobody else has");
        }
        let password = one_time_password()?;
        let salt: [u8; 16] = random()?;
        let hash = hash(&password, &salt)?;
        let added = self.conn().execute(
            "INSERT INTO accounts (name, role, salt, hash, must_change, credential, created_us)
             VALUES (?, ?, ?, ?, 1, ?, ?) ON CONFLICT DO NOTHING",
            params![name, role.name(), salt, hash, credential, now_us],
        )?;
        if added == 0 {
            return refused(format!("the name {name:?} or its credential is taken"));
        }
        Ok(password)
    }

    /// A shopper's phone, known by nothing but a pseudonym: returns its session's token.
    ///
    /// # Errors
    /// [`DeskError`].
    pub fn join(&self, now_us: i64) -> Result<String, DeskError> {
        let credential = format!("app-{}", hex(&random::<8>()?));
        self.conn().execute(
            "INSERT INTO accounts (name, role, must_change, credential, created_us) VALUES (?, 'shopper', 0, ?, ?)",
            params![credential, credential, now_us],
        )?;
        self.begin_session(&credential, PHONE_US, now_us)
    }

    pub(super) fn begin_session(
        &self,
        account: &str,
        lasts_us: i64,
        now_us: i64,
    ) -> Result<String, DeskError> {
        let token = hex(&random::<32>()?);
        let csrf = hex(&random::<16>()?);
        let conn = self.conn();
        conn.execute("DELETE FROM sessions WHERE until_us < ?", [now_us])?;
        conn.execute(
            "INSERT INTO sessions (token_hash, account, csrf, until_us) VALUES (?, ?, ?, ?)",
            params![
                Sha256::digest(token.as_bytes()).as_slice(),
                account,
                csrf,
                now_us.saturating_add(lasts_us)
            ],
        )?;
        Ok(token)
    }

    /// Signs in; returns the session's token.
    ///
    /// # Errors
    /// [`DeskError::Refused`] without saying whether the name or the password is wrong.
    pub fn sign_in(
        &self,
        tries: &Tries,
        name: &str,
        password: &str,
        now_us: i64,
    ) -> Result<String, DeskError> {
        if let Some(wait_s) = tries.wait_s(name, now_us) {
            return refused(format!("too many wrong passwords for this name: wait {wait_s} s"));
        }
        if password.chars().count() > PASSWORD_MAX {
            return refused("wrong name or password");
        }
        let found: Option<(Vec<u8>, Vec<u8>, String)> = self
            .conn()
            .query_row(
                "SELECT salt, hash, role FROM accounts WHERE name = ? AND NOT disabled AND hash IS NOT NULL",
                [name],
                |r| Ok((r.get(0)?, r.get(1)?, r.get(2)?)),
            )
            .optional()?;
        // Hash something even when nobody is found.
        let (salt, wanted, role) = found.unwrap_or((vec![0; 16], Vec::new(), String::new()));
        let is = hash(password, &salt)?;
        if !bool::from(is.as_slice().ct_eq(&wanted)) {
            tries.wrong(name, now_us);
            return refused("wrong name or password");
        }
        tries.right(name);
        let lasts = if role == "shopper" { PHONE_US } else { SESSION_US };
        self.begin_session(name, lasts, now_us)
    }

    /// Whose session it is; `None` for nobody's.
    ///
    /// # Errors
    /// [`DeskError`].
    pub fn person(&self, token: &str, now_us: i64) -> Result<Option<Person>, DeskError> {
        let found = self
            .conn()
            .prepare_cached(
                "SELECT a.name, a.role, a.credential, a.must_change, s.csrf FROM sessions s
                 JOIN accounts a ON a.name = s.account
                 WHERE s.token_hash = ? AND s.until_us > ? AND NOT a.disabled",
            )?
            .query_row(params![Sha256::digest(token.as_bytes()).as_slice(), now_us], |r| {
                Ok(Person {
                    name: r.get(0)?,
                    role: Role::parse(&r.get::<_, String>(1)?),
                    credential: r.get(2)?,
                    must_change: r.get(3)?,
                    csrf: r.get(4)?,
                })
            })
            .optional()?;
        Ok(found)
    }

    /// Ends a session.
    ///
    /// # Errors
    /// [`DeskError`].
    pub fn sign_out(&self, token: &str) -> Result<(), DeskError> {
        self.conn().execute(
            "DELETE FROM sessions WHERE token_hash = ?",
            [Sha256::digest(token.as_bytes()).as_slice()],
        )?;
        Ok(())
    }

    /// Changes a password, ends every other session of the account and returns a new session's token.
    ///
    /// # Errors
    /// [`DeskError::Refused`]: too short, or the same again.
    pub fn change_password(&self, name: &str, password: &str, now_us: i64) -> Result<String, DeskError> {
        check_password(password)?;
        if self.is_from_outside(name)? {
            return refused("this account's password is the provider's: change it there");
        }
        let known: Option<(Vec<u8>, Vec<u8>)> = self.conn().query_row(
            "SELECT coalesce(salt, x'00000000000000000000000000000000'), coalesce(hash, x'') FROM accounts WHERE name = ?",
            [name],
            |r| Ok((r.get(0)?, r.get(1)?)),
        ).optional()?;
        // Where nobody signs in, whoever asks has none.
        let Some((salt, old)) = known else { return refused("there is no such account") };
        if bool::from(hash(password, &salt)?.as_slice().ct_eq(&old)) {
            return refused("the new password is the old one");
        }
        let salt: [u8; 16] = random()?;
        let hash = hash(password, &salt)?;
        {
            let conn = self.conn();
            conn.execute(
                "UPDATE accounts SET salt = ?, hash = ?, must_change = 0 WHERE name = ?",
                params![salt, hash, name],
            )?;
            conn.execute("DELETE FROM sessions WHERE account = ?", [name])?;
        }
        if name == "admin" {
            let _ = std::fs::remove_file(self.folder().join(FIRST_PASSWORD_FILE));
        }
        self.begin_session(name, SESSION_US, now_us)
    }

    /// Lets an account sign in, or not; its sessions end.
    ///
    /// # Errors
    /// [`DeskError::Refused`] when there is no such account.
    pub fn set_disabled(&self, name: &str, disabled: bool) -> Result<(), DeskError> {
        let conn = self.conn();
        if conn.execute("UPDATE accounts SET disabled = ? WHERE name = ?", params![disabled, name])? == 0 {
            return refused(format!("there is no account {name:?}"));
        }
        conn.execute("DELETE FROM sessions WHERE account = ?", [name])?;
        Ok(())
    }

    /// Deletes a shopper's account with its sessions.
    ///
    /// # Errors
    /// [`DeskError`].
    pub fn forget_credential(&self, credential: &str) -> Result<(), DeskError> {
        self.conn().execute("DELETE FROM accounts WHERE credential = ?", [credential])?;
        Ok(())
    }

    /// Accounts of people who work here.
    ///
    /// # Errors
    /// [`DeskError`].
    pub fn accounts(&self) -> Result<Vec<Account>, DeskError> {
        let conn = self.conn();
        let mut statement = conn.prepare_cached(
            "SELECT name, role, must_change, disabled, created_us,
                    EXISTS (SELECT 1 FROM outside_accounts o WHERE o.account = name)
             FROM accounts WHERE role <> 'shopper' ORDER BY name",
        )?;
        let rows = statement.query_map([], |r| {
            Ok(Account {
                name: r.get(0)?,
                role: Role::parse(&r.get::<_, String>(1)?),
                must_change: r.get(2)?,
                disabled: r.get(3)?,
                created_us: r.get(4)?,
                outside: r.get(5)?,
            })
        })?;
        Ok(rows.collect::<Result<_, _>>()?)
    }
}
