//! People who may use head office, the sessions of their browsers, and tokens of machines. Secrets are kept as hashes.
//! People are never taken away, since the audit chain names them: they are disabled.

use super::{Row, StoreError, Tx, Value, queries::Page};
use crate::role::Role;
use domain::{
    correction::{are_two_people, is_anonymous},
    time::Wall,
};
use service::secret::SecretHash;

/// How long a session lasts that nobody uses, in milliseconds.
pub const IDLE_MS: i64 = 2 * 3_600_000;
/// How long a session lasts at most, in milliseconds.
pub const SESSION_MS: i64 = 12 * 3_600_000;
/// How often it is noted that a session is used, in milliseconds: each is a commit.
const SEEN_EVERY_MS: i64 = 60_000;
/// How long a network is remembered from which somebody logged in, in milliseconds.
pub const FAMILIAR_MS: i64 = 30 * 86_400_000;

/// Somebody who may log in.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Person {
    /// Their name.
    pub name: String,
    /// What they may do.
    pub roles: Vec<Role>,
    /// Their password was made for them: they may do nothing before they have one of their own.
    pub must_change: bool,
    /// They do not come in any more.
    pub disabled: bool,
    /// When they were added.
    pub made_at: Wall,
}

const PERSON: &str = "name, roles, must_change, disabled, made_at";

fn roles(text: &str) -> Result<Vec<Role>, StoreError> {
    serde_json::from_str(text).map_err(|error| StoreError::Broken(format!("roles {text:?}: {error}")))
}

fn roles_text(roles: &[Role]) -> Result<Value, StoreError> {
    let mut roles = roles.to_vec();
    roles.sort();
    roles.dedup();
    let text = serde_json::to_string(&roles).map_err(|error| StoreError::Broken(error.to_string()))?;
    Ok(Value::Text(text))
}

fn person(row: &mut Row) -> Result<Person, StoreError> {
    Ok(Person {
        name: row.text(0)?,
        roles: roles(&row.text(1)?)?,
        must_change: row.int(2)? != 0,
        disabled: row.int(3)? != 0,
        made_at: Wall(row.int(4)?),
    })
}

/// Adds somebody with the hash of a password that is to be changed. Whether the name was free.
///
/// # Errors
/// [`StoreError`].
pub fn add(tx: &mut dyn Tx, name: &str, roles: &[Role], password: &str, now: Wall) -> Result<bool, StoreError> {
    let added = tx.execute(
        "INSERT INTO person (name, roles, password, must_change, disabled, made_at) VALUES ($1, $2, $3, 1, 0, $4) \
         ON CONFLICT (name) DO NOTHING",
        &[name.into(), roles_text(roles)?, password.into(), now.0.into()],
    )?;
    Ok(added == 1)
}

/// Somebody of this name.
///
/// # Errors
/// [`StoreError`].
pub fn find(tx: &mut dyn Tx, name: &str) -> Result<Option<Person>, StoreError> {
    let row = tx.query_optional(&format!("SELECT {PERSON} FROM person WHERE name = $1"), &[name.into()])?;
    row.map(|mut row| person(&mut row)).transpose()
}

/// The hash of somebody's password.
///
/// # Errors
/// [`StoreError`].
pub fn password(tx: &mut dyn Tx, name: &str) -> Result<Option<String>, StoreError> {
    let row = tx.query_optional("SELECT password FROM person WHERE name = $1", &[name.into()])?;
    row.map(|mut row| row.text(0)).transpose()
}

/// People after this name, in the order of their names.
///
/// # Errors
/// [`StoreError`].
pub fn list(tx: &mut dyn Tx, after: &str, limit: usize) -> Result<Page<Person>, StoreError> {
    let rows = tx.query(
        &format!("SELECT {PERSON} FROM person WHERE name > $1 ORDER BY name LIMIT $2"),
        &[after.into(), (limit as u64 + 1).into()],
    )?;
    let people = rows.into_iter().map(|mut row| person(&mut row));
    Ok(Page::of(people.collect::<Result<_, _>>()?, limit))
}

/// Gives somebody these roles and no others. Whether there is such a person.
///
/// # Errors
/// [`StoreError`].
pub fn set_roles(tx: &mut dyn Tx, name: &str, roles: &[Role]) -> Result<bool, StoreError> {
    let changed = tx.execute(
        "UPDATE person SET roles = $1 WHERE name = $2",
        &[roles_text(roles)?, name.into()],
    )?;
    Ok(changed == 1)
}

/// Lets somebody in no more, or again. Whether there is such a person.
///
/// # Errors
/// [`StoreError`].
pub fn set_disabled(tx: &mut dyn Tx, name: &str, disabled: bool) -> Result<bool, StoreError> {
    let changed = tx.execute(
        "UPDATE person SET disabled = $1 WHERE name = $2",
        &[disabled.into(), name.into()],
    )?;
    if disabled {
        end_sessions(tx, name, None)?;
    }
    Ok(changed == 1)
}

/// Gives somebody another password, by its hash: one that `must_change`, or one of their own. Whether there is such a person.
///
/// # Errors
/// [`StoreError`].
pub fn set_password(tx: &mut dyn Tx, name: &str, password: &str, must_change: bool) -> Result<bool, StoreError> {
    let changed = tx.execute(
        "UPDATE person SET password = $1, must_change = $2 WHERE name = $3",
        &[password.into(), must_change.into(), name.into()],
    )?;
    Ok(changed == 1)
}

/// Whether somebody logged in from this network lately.
///
/// # Errors
/// [`StoreError`].
pub fn is_familiar(tx: &mut dyn Tx, name: &str, network: &str, now: Wall) -> Result<bool, StoreError> {
    let row = tx.query_optional(
        "SELECT seen_at FROM familiar_network WHERE person = $1 AND network = $2 AND seen_at > $3",
        &[name.into(), network.into(), now.after_ms(-FAMILIAR_MS).0.into()],
    )?;
    Ok(row.is_some())
}

/// Somebody's own password takes the place of one with this hash. Whether that was their password still.
///
/// # Errors
/// [`StoreError`].
pub fn change_password(tx: &mut dyn Tx, name: &str, before: &str, password: &str) -> Result<bool, StoreError> {
    let changed = tx.execute(
        "UPDATE person SET password = $1, must_change = 0 WHERE name = $2 AND password = $3",
        &[password.into(), name.into(), before.into()],
    )?;
    Ok(changed == 1)
}

/// Begins a session of somebody who came from this network and showed the password of this hash. Whether they may still come
/// in by it.
///
/// # Errors
/// [`StoreError`].
pub fn begin_session(
    tx: &mut dyn Tx,
    session: &SecretHash,
    name: &str,
    password: &str,
    network: &str,
    now: Wall,
) -> Result<bool, StoreError> {
    // Held fast: whoever makes them another password meanwhile ends this session too.
    let counts = tx.execute(
        "UPDATE person SET disabled = 0 WHERE name = $1 AND password = $2 AND disabled = 0",
        &[name.into(), password.into()],
    )?;
    if counts != 1 {
        return Ok(false);
    }
    tx.execute(
        "INSERT INTO session (hash, person, began_at, seen_at) VALUES ($1, $2, $3, $4)",
        &[session.as_str().into(), name.into(), now.0.into(), now.0.into()],
    )?;
    tx.execute(
        "INSERT INTO familiar_network (person, network, seen_at) VALUES ($1, $2, $3) \
         ON CONFLICT (person, network) DO UPDATE SET seen_at = excluded.seen_at",
        &[name.into(), network.into(), now.0.into()],
    )?;
    Ok(true)
}

/// A session that counts.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Session {
    /// Whose.
    pub person: Person,
    /// That it is used is to be noted, by [`note_session`].
    pub is_to_be_noted: bool,
}

/// The session of this secret, if it still counts.
///
/// # Errors
/// [`StoreError`].
pub fn session(tx: &mut dyn Tx, session: &SecretHash, now: Wall) -> Result<Option<Session>, StoreError> {
    let row = tx.query_optional(
        &format!(
            "SELECT {PERSON}, seen_at FROM session JOIN person ON name = person \
             WHERE hash = $1 AND seen_at > $2 AND began_at > $3 AND began_at <= $4 AND disabled = 0"
        ),
        &[
            session.as_str().into(),
            now.after_ms(-IDLE_MS).0.into(),
            now.after_ms(-SESSION_MS).0.into(),
            // Begun by a clock that was off, it would count for years.
            now.after_ms(SESSION_MS).0.into(),
        ],
    )?;
    row.map(|mut row| {
        Ok(Session {
            person: person(&mut row)?,
            is_to_be_noted: row.int(5)? < now.after_ms(-SEEN_EVERY_MS).0,
        })
    })
    .transpose()
}

/// Notes that a session is used.
///
/// # Errors
/// [`StoreError`].
pub fn note_session(tx: &mut dyn Tx, session: &SecretHash, now: Wall) -> Result<(), StoreError> {
    tx.execute(
        "UPDATE session SET seen_at = $1 WHERE hash = $2 AND seen_at < $3",
        &[now.0.into(), session.as_str().into(), now.0.into()],
    )
    .map(drop)
}

/// Ends a session.
///
/// # Errors
/// [`StoreError`].
pub fn end_session(tx: &mut dyn Tx, session: &SecretHash) -> Result<(), StoreError> {
    tx.execute("DELETE FROM session WHERE hash = $1", &[session.as_str().into()])
        .map(drop)
}

/// Ends all sessions of somebody, but for one that is named.
///
/// # Errors
/// [`StoreError`].
pub fn end_sessions(tx: &mut dyn Tx, name: &str, but: Option<&SecretHash>) -> Result<(), StoreError> {
    let but = but.map_or("", SecretHash::as_str);
    tx.execute(
        "DELETE FROM session WHERE person = $1 AND hash <> $2",
        &[name.into(), but.into()],
    )
    .map(drop)
}

/// Forgets sessions and networks that do not count any more.
///
/// # Errors
/// [`StoreError`].
pub fn prune(tx: &mut dyn Tx, now: Wall) -> Result<u64, StoreError> {
    let sessions = tx.execute(
        "DELETE FROM session WHERE seen_at <= $1 OR began_at <= $2 OR began_at > $3",
        &[
            now.after_ms(-IDLE_MS).0.into(),
            now.after_ms(-SESSION_MS).0.into(),
            now.after_ms(SESSION_MS).0.into(),
        ],
    )?;
    let networks = tx.execute(
        "DELETE FROM familiar_network WHERE seen_at <= $1",
        &[now.after_ms(-FAMILIAR_MS).0.into()],
    )?;
    Ok(sessions + networks)
}

/// A token of a machine.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Token {
    /// A name for people and for the audit chain.
    pub name: String,
    /// What it may do.
    pub roles: Vec<Role>,
    /// When it was made.
    pub made_at: Wall,
    /// By whom.
    pub made_by: String,
}

const TOKEN: &str = "name, roles, made_at, made_by";

fn token(mut row: Row) -> Result<Token, StoreError> {
    Ok(Token {
        name: row.text(0)?,
        roles: roles(&row.text(1)?)?,
        made_at: Wall(row.int(2)?),
        made_by: row.text(3)?,
    })
}

/// Adds a token. Whether its name was free.
///
/// # Errors
/// [`StoreError`].
pub fn add_token(tx: &mut dyn Tx, token: &Token, hash: &SecretHash) -> Result<bool, StoreError> {
    let added = tx.execute(
        "INSERT INTO token (name, hash, roles, made_at, made_by) VALUES ($1, $2, $3, $4, $5) \
         ON CONFLICT (name) DO NOTHING",
        &[
            token.name.as_str().into(),
            hash.as_str().into(),
            roles_text(&token.roles)?,
            token.made_at.0.into(),
            token.made_by.as_str().into(),
        ],
    )?;
    Ok(added == 1)
}

/// The token of this secret.
///
/// # Errors
/// [`StoreError`].
pub fn find_token(tx: &mut dyn Tx, hash: &SecretHash) -> Result<Option<Token>, StoreError> {
    let row = tx.query_optional(
        &format!("SELECT {TOKEN} FROM token WHERE hash = $1"),
        &[hash.as_str().into()],
    )?;
    row.map(token).transpose()
}

/// What the name of a machine begins with, wherever it is said who did something. No person's name has a colon.
pub const MACHINE: &str = "token:";
/// The most tokens that were made with another each.
const MADE_BY_TOKENS_MAX: usize = 16;

/// Whether two who did something at these times are two people, as far as head office can tell: whoever acts by a token is whoever made
/// it, so that nobody approves with a token what they have proposed with another.
///
/// A token that was made on head office's own machine without one stands for itself: nobody knows who that was, and whoever is there can
/// make people as well. One that was taken back, or is of a later time than what was done by it, tells nobody apart.
///
/// # Errors
/// [`StoreError`].
pub fn are_two(tx: &mut dyn Tx, one: (&str, Wall), other: (&str, Wall)) -> Result<bool, StoreError> {
    let (one, other) = (behind(tx, one)?, behind(tx, other)?);
    Ok(match (one, other) {
        (Some(one), Some(other)) => are_two_people(&one, &other),
        _ => false,
    })
}

/// Why somebody may not approve what this one has proposed, and what is to be done: somebody who is alone on head office's own machine has to
/// know that no other name will do.
pub fn not_two(proposed_by: &str, by: &str) -> String {
    if is_anonymous(proposed_by) {
        return format!(
            "{proposed_by} has proposed this on head office's own machine, where nobody knows who that was, so nobody can approve it: reject \
             it, make a person for each of two (`holdfast-central user add`), and let one propose it anew and the other approve it"
        );
    }
    let other =
        format!("{proposed_by} has proposed this, and another person has to approve it, under a name of their own");
    match is_anonymous(by) {
        true => format!(
            "{other}; you are {by}, who may be anybody on head office's own machine: log in as a person whom \
             `holdfast-central user add` has made"
        ),
        false => format!("{other} or with a token that another has made; you are {by}"),
    }
}

/// Who acts by a name.
fn behind(tx: &mut dyn Tx, (name, at): (&str, Wall)) -> Result<Option<String>, StoreError> {
    let (mut name, mut at) = (name.to_owned(), at);
    for _ in 0..MADE_BY_TOKENS_MAX {
        let Some(token) = name.strip_prefix(MACHINE) else {
            return Ok(Some(name));
        };
        let made = tx.query_optional(
            "SELECT made_by, made_at FROM token WHERE name = $1 AND made_at <= $2",
            &[token.into(), at.0.into()],
        )?;
        let Some(mut made) = made else { return Ok(None) };
        let by = made.text(0)?;
        if is_anonymous(&by) {
            return Ok(Some(name));
        }
        (name, at) = (by, Wall(made.int(1)?));
    }
    Ok(None)
}

/// Tokens after this name, in the order of their names.
///
/// # Errors
/// [`StoreError`].
pub fn list_tokens(tx: &mut dyn Tx, after: &str, limit: usize) -> Result<Page<Token>, StoreError> {
    let rows = tx.query(
        &format!("SELECT {TOKEN} FROM token WHERE name > $1 ORDER BY name LIMIT $2"),
        &[after.into(), (limit as u64 + 1).into()],
    )?;
    let tokens = rows.into_iter().map(token);
    Ok(Page::of(tokens.collect::<Result<_, _>>()?, limit))
}

/// Takes a token back. Whether there was one.
///
/// # Errors
/// [`StoreError`].
pub fn remove_token(tx: &mut dyn Tx, name: &str) -> Result<bool, StoreError> {
    let removed = tx.execute("DELETE FROM token WHERE name = $1", &[name.into()])?;
    Ok(removed == 1)
}
