//! `user …` and `token …`: who may use the API.

use super::{Daemon, Shown};
use clap::Subcommand;
use serde_json::json;
use service::table;

const ROLES: [&str; 7] = [
    "viewer",
    "station",
    "service",
    "risk",
    "finance_maker",
    "finance_checker",
    "admin",
];

#[derive(Debug, Subcommand)]
pub(super) enum User {
    /// Let a person in. Their password is printed once; they change it when they log in.
    Add {
        /// Their name.
        name: String,
        /// What they may do; none of the roles includes another.
        #[arg(long = "role", required = true, value_parser = ROLES)]
        roles: Vec<String>,
    },
    /// All people.
    List,
    /// Give a person other roles than they have.
    Roles {
        /// Their name.
        name: String,
        /// What they may do.
        #[arg(long = "role", required = true, value_parser = ROLES)]
        roles: Vec<String>,
    },
    /// Give a person a new password, printed once. Their sessions end.
    Password {
        /// Their name.
        name: String,
    },
    /// Let a person in no more. Their sessions end.
    Disable {
        /// Their name.
        name: String,
    },
    /// Let a person in again.
    Enable {
        /// Their name.
        name: String,
    },
}

#[derive(Debug, Subcommand)]
pub(super) enum Token {
    /// Make a token. It is printed once.
    Add {
        /// A name for logs and for the audit chain.
        name: String,
        /// What it may do; none of the roles includes another.
        #[arg(long = "role", required = true, value_parser = ROLES)]
        roles: Vec<String>,
    },
    /// All tokens' names and roles.
    List,
    /// Take a token back.
    Remove {
        /// Its name.
        name: String,
    },
}

pub(super) fn user(daemon: &Daemon, command: User) -> anyhow::Result<Shown> {
    let disabled = |name: &str, disabled: bool| {
        daemon.put(&format!("/v1/users/{name}/disabled"), &json!({ "disabled": disabled }))
    };
    Ok(match command {
        User::Add { name, roles } => {
            let body = json!({ "name": name, "roles": roles });
            (daemon.post("/v1/users", &body)?, table::fields)
        }
        User::List => (daemon.all("/v1/users")?, |answer| {
            table::columns(answer, &["name", "roles", "disabled", "must_change_password"])
        }),
        User::Roles { name, roles } => {
            let body = json!({ "roles": roles });
            (daemon.put(&format!("/v1/users/{name}/roles"), &body)?, table::fields)
        }
        User::Password { name } => {
            let path = format!("/v1/users/{name}/password");
            (daemon.post(&path, &json!({}))?, table::fields)
        }
        User::Disable { name } => (disabled(&name, true)?, table::fields),
        User::Enable { name } => (disabled(&name, false)?, table::fields),
    })
}

pub(super) fn token(daemon: &Daemon, command: Token) -> anyhow::Result<Shown> {
    Ok(match command {
        Token::Add { name, roles } => {
            let body = json!({ "name": name, "roles": roles });
            (daemon.post("/v1/tokens", &body)?, table::fields)
        }
        Token::List => (daemon.all("/v1/tokens")?, |answer| {
            table::columns(answer, &["name", "roles"])
        }),
        Token::Remove { name } => (daemon.delete(&format!("/v1/tokens/{name}"))?, |_| {
            "it counts no more".to_owned()
        }),
    })
}
