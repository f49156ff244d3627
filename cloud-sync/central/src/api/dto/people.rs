//! People, their sessions, tokens of machines, and who changed what.

use crate::{
    role::Role,
    store::{audit, people},
};
use serde::{Deserialize, Serialize};
use service::{
    http::{body::Checked, problem::Problem},
    wire::{At, journal::JournalHead},
};
use utoipa::ToSchema;

fn check_name(path: &str, name: &str) -> Result<(), Problem> {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'-' | b'.');
    match (1..=32).contains(&name.len()) && name.bytes().all(plain) {
        true => Ok(()),
        false => Err(Problem::field(path, "1 to 32 of A-Z a-z 0-9 _ - .")),
    }
}

fn check_roles(roles: &[Role]) -> Result<(), Problem> {
    match roles.len() <= Role::ALL.len() {
        true => Ok(()),
        false => Err(Problem::field("roles", "name each role once")),
    }
}

/// Somebody who is to use head office.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct AddUser {
    /// Their name, 1 to 32 of A-Z a-z 0-9 _ - . and never changed.
    #[schema(example = "ann", pattern = "^[A-Za-z0-9_.-]{1,32}$")]
    pub name: String,
    /// What they may do; none of the roles includes another.
    #[schema(max_items = 7)]
    pub roles: Vec<Role>,
}

impl Checked for AddUser {
    fn check(&self) -> Result<(), Problem> {
        check_name("name", &self.name)?;
        check_roles(&self.roles)
    }
}

/// What somebody may do from now on.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct PutRoles {
    /// All of their roles.
    #[schema(max_items = 7)]
    pub roles: Vec<Role>,
}

impl Checked for PutRoles {
    fn check(&self) -> Result<(), Problem> {
        check_roles(&self.roles)
    }
}

/// Whether somebody is let in.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct PutDisabled {
    /// They are not.
    pub disabled: bool,
}

impl Checked for PutDisabled {}

/// Somebody who may use head office.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[schema(as = User)]
pub struct UserView {
    /// Their name.
    pub name: String,
    /// What they may do.
    pub roles: Vec<Role>,
    /// Their password was made for them; they must change it before they can do anything else.
    pub must_change_password: bool,
    /// They are not let in.
    pub disabled: bool,
    /// When they were added.
    pub made_at: At,
}

impl From<&people::Person> for UserView {
    fn from(person: &people::Person) -> Self {
        Self {
            name: person.name.clone(),
            roles: person.roles.clone(),
            must_change_password: person.must_change,
            disabled: person.disabled,
            made_at: At(person.made_at),
        }
    }
}

/// A password that was made for somebody: shown once. They must change it when they have logged in.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct UserPassword {
    /// Whose.
    pub name: String,
    /// The password. `null` in a repeated answer: it is not kept; reset it if it was lost.
    #[schema(required)]
    pub password: Option<String>,
}

/// Somebody logs in.
#[derive(Clone, PartialEq, Eq, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct LogIn {
    /// Their name.
    #[schema(example = "ann")]
    pub name: String,
    /// Their password.
    pub password: String,
}

impl Checked for LogIn {
    fn check(&self) -> Result<(), Problem> {
        check_name("name", &self.name)
    }
}

/// Whoever is logged in.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[schema(as = Session)]
pub struct SessionView {
    /// Their name.
    pub name: String,
    /// What they may do; nothing while they must change their password.
    pub roles: Vec<Role>,
    /// Their password was made for them: PUT /v1/sessions/current/password before anything else.
    pub must_change_password: bool,
    /// For the header `X-CSRF-Token` of every request that changes something.
    pub csrf_token: String,
}

/// Another password of one's own.
#[derive(Clone, PartialEq, Eq, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct ChangePassword {
    /// The present one.
    pub password: String,
    /// The one from now on, 15 to 256 characters.
    #[schema(min_length = 15, max_length = 256)]
    pub new_password: String,
}

impl Checked for ChangePassword {}

/// A token of a machine, to be made.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct MakeToken {
    /// A name for people and for the audit chain, 1 to 32 of A-Z a-z 0-9 _ - .
    #[schema(example = "mini-program", pattern = "^[A-Za-z0-9_.-]{1,32}$")]
    pub name: String,
    /// What it may do.
    #[schema(min_items = 1, max_items = 7)]
    pub roles: Vec<Role>,
}

impl Checked for MakeToken {
    fn check(&self) -> Result<(), Problem> {
        check_name("name", &self.name)?;
        if self.roles.is_empty() {
            return Err(Problem::field("roles", "a token without roles is for nothing"));
        }
        check_roles(&self.roles)
    }
}

/// A token as it is listed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[schema(as = Token)]
pub struct TokenView {
    /// Its name.
    pub name: String,
    /// What it may do.
    pub roles: Vec<Role>,
    /// When it was made.
    pub made_at: At,
    /// By whom.
    pub made_by: String,
}

impl From<&people::Token> for TokenView {
    fn from(token: &people::Token) -> Self {
        Self {
            name: token.name.clone(),
            roles: token.roles.clone(),
            made_at: At(token.made_at),
            made_by: token.made_by.clone(),
        }
    }
}

/// A token: shown once, when it is made.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct TokenSecret {
    /// Its name.
    pub name: String,
    /// What it may do.
    pub roles: Vec<Role>,
    /// The token. `null` in a repeated answer: it is not kept; make another if it was lost.
    #[schema(required)]
    pub token: Option<String>,
}

/// Something that somebody changed.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
#[schema(as = AuditEntry)]
pub struct AuditView {
    /// Its place in the chain.
    pub place: JournalHead,
    /// When.
    pub at: At,
    /// Who: a person, `token:` and a machine, or `local:` and a user's number on head office's own machine.
    #[schema(example = "ann")]
    pub by: String,
    /// What, in a stable word.
    #[schema(example = "user_added")]
    pub action: String,
    /// To whom or what.
    pub subject: String,
    /// What else there is to say.
    #[schema(value_type = Object)]
    pub detail: serde_json::Value,
}

impl From<&audit::Sealed> for AuditView {
    fn from((entry, hash): &audit::Sealed) -> Self {
        Self {
            place: JournalHead {
                seq: entry.seq,
                hash: hash.to_string(),
            },
            at: At(entry.at),
            by: entry.by.clone(),
            action: entry.action.clone(),
            subject: entry.subject.clone(),
            detail: entry.detail.clone(),
        }
    }
}
