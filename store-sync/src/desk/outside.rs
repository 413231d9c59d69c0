//! Accounts of people whom the chain's provider vouches for.
//!
//! The first sign-in makes the account, each one brings its role up to date; shutting it out here counts whatever the
//! provider says. It never takes over an account that was made here, not even one of the same name.

use rusqlite::{OptionalExtension as _, params};

use super::accounts::SESSION_US;
use super::{Desk, DeskError, refused};
use crate::oidc::Known;

/// Tries for a free name.
const NAMES: u32 = 1_000;

impl Desk {
    /// Signs somebody in whom the provider knows; returns the session's token and the account's name.
    ///
    /// # Errors
    /// [`DeskError::Refused`] when the account was shut out here.
    pub fn sign_in_known(&self, known: &Known, now_us: i64) -> Result<(String, String), DeskError> {
        let account = self.account_of(known, now_us)?;
        let token = self.begin_session(&account, SESSION_US, now_us)?;
        Ok((token, account))
    }

    fn account_of(&self, known: &Known, now_us: i64) -> Result<String, DeskError> {
        let mut conn = self.conn();
        let tx = conn.transaction()?;
        let found: Option<(String, bool)> = tx
            .query_row(
                "SELECT a.name, a.disabled FROM outside_accounts o JOIN accounts a ON a.name = o.account
                 WHERE o.issuer = ? AND o.subject = ?",
                params![known.issuer, known.subject],
                |r| Ok((r.get(0)?, r.get(1)?)),
            )
            .optional()?;
        let account = match found {
            Some((_, true)) => return refused("this account was shut out of this store"),
            Some((name, false)) => {
                tx.execute("UPDATE accounts SET role = ? WHERE name = ?", params![known.role.name(), name])?;
                name
            }
            None => {
                let name = free_name(&tx, &known.name)?;
                tx.execute(
                    "INSERT INTO accounts (name, role, must_change, created_us) VALUES (?, ?, 0, ?)",
                    params![name, known.role.name(), now_us],
                )?;
                tx.execute(
                    "INSERT INTO outside_accounts (issuer, subject, account) VALUES (?, ?, ?)",
                    params![known.issuer, known.subject, name],
                )?;
                name
            }
        };
        tx.commit()?;
        Ok(account)
    }

    pub(super) fn is_from_outside(&self, name: &str) -> Result<bool, DeskError> {
        let sql = "SELECT EXISTS (SELECT 1 FROM outside_accounts WHERE account = ?)";
        Ok(self.conn().query_row(sql, [name], |r| r.get(0))?)
    }
}

/// What people call somebody, in the letters that names have here, and with a number where it is taken.
fn free_name(conn: &rusqlite::Connection, wanted: &str) -> Result<String, DeskError> {
    let fine = |c: char| c.is_ascii_alphanumeric() || "._-@".contains(c);
    let mut base: String = wanted.chars().filter(|c| fine(*c)).take(56).collect();
    if base.is_empty() {
        base = "somebody".to_owned();
    }
    for n in 1..=NAMES {
        let name = if n == 1 { base.clone() } else { format!("{base}-{n}") };
        let taken: bool =
            conn.query_row("SELECT EXISTS (SELECT 1 FROM accounts WHERE name = ?)", [&name], |r| r.get(0))?;
        if !taken {
            return Ok(name);
        }
    }
    refused(format!("too many accounts are called {base:?}"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::desk::accounts::{Role, Tries};

    fn known(subject: &str, name: &str, role: Role) -> Known {
        Known { issuer: "https://id.example.com".into(), subject: subject.into(), name: name.into(), role }
    }

    #[test]
    fn the_first_sign_in_makes_an_account_and_each_brings_its_role_up_to_date() {
        let dir = tempfile::tempdir().unwrap();
        let desk = Desk::open(dir.path()).unwrap();
        let (_, first) = desk.sign_in_known(&known("7", "Ana Ruiz", Role::Ops), 1).unwrap();
        let (token, again) = desk.sign_in_known(&known("7", "Ana R.", Role::Staff), 2).unwrap();
        assert_eq!((first.as_str(), again.as_str()), ("AnaRuiz", "AnaRuiz"));
        let person = desk.person(&token, 3).unwrap().unwrap();
        assert_eq!((person.role, person.must_change), (Role::Staff, false));
        assert!(desk.accounts().unwrap()[0].outside);
    }

    #[test]
    fn an_account_of_the_store_is_never_taken_over_and_no_password_opens_one_from_outside() {
        let dir = tempfile::tempdir().unwrap();
        let desk = Desk::open(dir.path()).unwrap();
        desk.first_account(1).unwrap();
        let (_, name) = desk.sign_in_known(&known("7", "admin", Role::Staff), 2).unwrap();
        assert_eq!(name, "admin-2");
        assert!(desk.change_password("admin-2", "a long enough password", 3).is_err());
        assert!(desk.sign_in(&Tries::default(), "admin-2", "a long enough password", 4).is_err());
    }

    #[test]
    fn whoever_was_shut_out_here_stays_out() {
        let dir = tempfile::tempdir().unwrap();
        let desk = Desk::open(dir.path()).unwrap();
        let ana = known("7", "ana", Role::Manager);
        let (token, name) = desk.sign_in_known(&ana, 1).unwrap();
        desk.set_disabled(&name, true).unwrap();
        assert!(desk.person(&token, 2).unwrap().is_none());
        assert!(matches!(desk.sign_in_known(&ana, 3), Err(DeskError::Refused(_))));
    }
}
