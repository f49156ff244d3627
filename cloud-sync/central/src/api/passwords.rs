//! Passwords of people: argon2id (RFC 9106) with the parameters that OWASP names first, off the runtime's own threads. Each
//! takes 19 MiB while it is worked on, so only a few are at once.

use argon2::{
    Argon2,
    password_hash::{PasswordHasher, PasswordVerifier, phc::PasswordHash},
};
use service::http::problem::Problem;
use std::sync::Arc;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

/// How many are worked on at once.
const AT_ONCE: usize = 2;
/// How many may wait for that, or are worked on.
const ADMITTED_MAX: usize = 32;
/// The shortest password, in characters (NIST SP 800-63B, section 3.1.1.2: at least 15 where it is all there is; what is
/// made here has 43).
const CHARS_MIN: usize = 15;
/// The longest, in characters.
const CHARS_MAX: usize = 256;
/// A shorter name is in many words.
const NAME_CHARS_SEEN: usize = 3;

/// A password that somebody of this name chose for themselves.
///
/// # Errors
/// It is too short or too long, or has the name in it.
pub(super) fn check_new(path: &str, password: &str, name: &str) -> Result<(), Problem> {
    if !(CHARS_MIN..=CHARS_MAX).contains(&password.chars().count()) {
        let detail = format!("a password has {CHARS_MIN} to {CHARS_MAX} characters; some words in a row are fine");
        return Err(Problem::field(path, detail));
    }
    if name.len() >= NAME_CHARS_SEEN && password.to_lowercase().contains(&name.to_lowercase()) {
        return Err(Problem::field(path, "a password must not have your name in it"));
    }
    Ok(())
}

/// Hashes passwords and compares them.
pub(super) struct Passwords {
    admitted: Arc<Semaphore>,
    working: Arc<Semaphore>,
    /// What a name that is not known is compared with, so that it takes as long as one that is.
    nobody: String,
}

impl Passwords {
    /// # Errors
    /// The operating system gives no randomness.
    pub(super) fn new() -> Result<Self, getrandom::Error> {
        let nobody = service::secret::Secret::generate()?;
        Ok(Self {
            admitted: Arc::new(Semaphore::new(ADMITTED_MAX)),
            working: Arc::new(Semaphore::new(AT_ONCE)),
            nobody: hash(nobody.reveal()).map_err(|_| getrandom::Error::UNEXPECTED)?,
        })
    }

    async fn turn(&self) -> Result<[OwnedSemaphorePermit; 2], Problem> {
        let full = |_| Problem::unavailable("too_many_logins", "many people log in just now; try again in a moment");
        let admitted = Arc::clone(&self.admitted).try_acquire_owned().map_err(full)?;
        let working = Arc::clone(&self.working).acquire_owned().await;
        Ok([admitted, working.map_err(Problem::internal)?])
    }

    /// The hash of a password, in the PHC string format.
    ///
    /// # Errors
    /// Too many wait, or the operating system gives no randomness.
    pub(super) async fn hash(&self, password: String) -> Result<String, Problem> {
        let turn = self.turn().await?;
        let done = tokio::task::spawn_blocking(move || {
            let _turn = turn;
            hash(&password)
        });
        done.await.map_err(Problem::internal)?
    }

    /// Whether it is the password of this hash; where there is none, it is not, and takes as long.
    ///
    /// # Errors
    /// Too many wait, or the hash cannot be read.
    pub(super) async fn matches(&self, password: String, kept: Option<String>) -> Result<bool, Problem> {
        // Longer ones nobody has; to hash them is work for nothing.
        let is_possible = password.chars().count() <= CHARS_MAX && kept.is_some();
        let kept = kept.unwrap_or_else(|| self.nobody.clone());
        let turn = self.turn().await?;
        let done = tokio::task::spawn_blocking(move || {
            let _turn = turn;
            let kept =
                PasswordHash::new(&kept).map_err(|error| Problem::internal(format!("a password's hash: {error}")))?;
            let password: String = password.chars().take(CHARS_MAX).collect();
            Ok::<_, Problem>(Argon2::default().verify_password(password.as_bytes(), &kept).is_ok())
        });
        Ok(done.await.map_err(Problem::internal)?? && is_possible)
    }
}

fn hash(password: &str) -> Result<String, Problem> {
    let mut salt = [0; 16];
    getrandom::fill(&mut salt).map_err(Problem::internal)?;
    let hashed: Result<PasswordHash, _> = Argon2::default().hash_password_with_salt(password.as_bytes(), &salt);
    hashed.map(|hash| hash.to_string()).map_err(Problem::internal)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_password_is_known_by_its_hash_alone_and_nobody_has_one() {
        let passwords = Passwords::new().unwrap();
        let kept = passwords.hash("correct horse battery".to_owned()).await.unwrap();
        assert!(kept.starts_with("$argon2id$v=19$m=19456,t=2,p=1$"), "{kept}");
        assert_ne!(
            passwords.hash("correct horse battery".to_owned()).await.unwrap(),
            kept,
            "salted"
        );
        let matches = async |password: &str, kept: Option<&str>| {
            passwords
                .matches(password.to_owned(), kept.map(str::to_owned))
                .await
                .unwrap()
        };
        assert!(matches("correct horse battery", Some(&kept)).await);
        assert!(!matches("correct horse batterY", Some(&kept)).await);
        assert!(!matches("", None).await);
    }

    #[tokio::test]
    async fn where_many_wait_further_ones_are_sent_away() {
        let passwords = Passwords::new().unwrap();
        let all = u32::try_from(ADMITTED_MAX).unwrap();
        let taken = Arc::clone(&passwords.admitted).acquire_many_owned(all).await.unwrap();
        let refused = passwords.hash("x".to_owned()).await.unwrap_err();
        assert_eq!(refused.details().code(), "too-many-logins");
        drop(taken);
        assert!(passwords.hash("x".to_owned()).await.is_ok());
    }

    #[test]
    fn a_password_of_ones_own_is_long_and_has_not_ones_name_in_it() {
        assert!(check_new("password", "fifteen letters", "ann").is_ok());
        assert!(check_new("password", "fourteen chars", "ann").is_err());
        assert!(check_new("password", "I am Ann, really", "ann").is_err());
        assert!(check_new("password", &"x".repeat(257), "ann").is_err());
    }
}
