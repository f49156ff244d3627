//! One number that stands for all accounts: two who keep the same books compare it instead of every balance.
//! The text that it is made of is written down here and in the API's balance sheet, and is never changed.

use crate::{journal::Hash, units::Fen};
use sha2::{Digest, Sha256};

/// Accounts came in another order than that of their names, or one came twice.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("account {account} comes after {before}: accounts are digested in the order of their names, each once")]
pub struct NotInOrder {
    /// Which one.
    pub account: String,
    /// The one before it.
    pub before: String,
}

/// SHA-256 of all accounts as they are after the journal entry `seq`.
///
/// What is hashed is a text in ASCII: a line with `seq` in decimal, then a line for each account whose balance is not zero,
/// with its name, a space and its balance in fen, credits less debits, in decimal, with `-` before one below zero. Each line
/// ends with a line feed. Lines stand in the order of the names' bytes.
///
/// `accounts` are taken one by one, in that order; those without money may be among them or not.
///
/// # Errors
/// [`NotInOrder`]: a database may sort names by the rules of a language.
pub fn digest<N: AsRef<str>>(seq: u64, accounts: impl IntoIterator<Item = (N, Fen)>) -> Result<Hash, NotInOrder> {
    let mut hasher = Sha256::new();
    hasher.update(format!("{seq}\n"));
    let mut before: Option<N> = None;
    for (name, balance) in accounts {
        if let Some(before) = before.filter(|before| before.as_ref() >= name.as_ref()) {
            return Err(NotInOrder {
                account: name.as_ref().to_owned(),
                before: before.as_ref().to_owned(),
            });
        }
        if balance != Fen::ZERO {
            hasher.update(format!("{} {}\n", name.as_ref(), balance.0));
        }
        before = Some(name);
    }
    Ok(Hash(hasher.finalize().into()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ledger::Account;

    #[test]
    fn the_digest_of_all_accounts_is_as_it_was_published() {
        let accounts = [
            ("allowance:m-1", Fen(1_234)),
            ("allowance:m-2", Fen::ZERO),
            ("bank", Fen(-40_000)),
            ("cash", Fen(38_766)),
        ];
        // printf '57\nallowance:m-1 1234\nbank -40000\ncash 38766\n' | sha256sum
        let published = "7cbeb76bb315817d529fabf282dbbb9cad053972bc410b7aaa338b83795234b8";
        assert_eq!(digest(57, accounts).unwrap().to_string(), published);
        let without = accounts.into_iter().filter(|(_, balance)| *balance != Fen::ZERO);
        assert_eq!(digest(57, without).unwrap().to_string(), published);
        assert_ne!(digest(58, accounts).unwrap().to_string(), published);
        // printf '0\n' | sha256sum
        let none = "9a271f2a916b0b6ee6cecb2426f0b3206ef074578be55d9bc94f6f3fe3ab86aa";
        assert_eq!(digest::<&str>(0, []).unwrap().to_string(), none);
    }

    #[test]
    fn accounts_in_another_order_or_twice_have_no_digest() {
        let wrong = digest(1, [("cash", Fen(1)), ("bank", Fen(-1))]).unwrap_err();
        assert_eq!((wrong.account.as_str(), wrong.before.as_str()), ("bank", "cash"));
        assert!(digest(1, [("cash", Fen(1)), ("cash", Fen::ZERO)]).is_err());
        // By the rules of a language `_` may not count.
        assert!(digest(1, [("cash_over", Fen(1)), ("cash", Fen(-1))]).is_err());
        let names = ["cash_over", "cash", "bank"].map(|name| name.parse::<Account>().unwrap());
        let mut names = names.map(|account| account.to_string());
        names.sort();
        assert_eq!(names, ["bank", "cash", "cash_over"]);
    }
}
