//! Every environment variable the daemon reads. No other place asks for one.
//! `HOLDFAST_EDGE__MQTT__LISTEN=0.0.0.0:1883` overrides `listen` under `[mqtt]`; lists are separated by commas.
//!
//! `NOTIFY_SOCKET`, `WATCHDOG_USEC` and `WATCHDOG_PID` come from systemd and are read by `sd-notify`.

use super::{
    Faults, Origin,
    check::Draft,
    given::Given,
    keys::{self, KEYS},
};

/// What the name of every override begins with. The rest is the key in capitals, with `__` between its parts.
pub const PREFIX: &str = "HOLDFAST_EDGE__";

/// The process's own variables that begin with [`PREFIX`]. A value that is not UTF-8 is passed on with `U+FFFD` in
/// place of what cannot be read, for the check of its key to refuse.
pub fn of_process() -> Vec<(String, String)> {
    std::env::vars_os()
        .map(|(name, value)| {
            (
                name.to_string_lossy().into_owned(),
                value.to_string_lossy().into_owned(),
            )
        })
        .filter(|(name, _)| name.starts_with(PREFIX))
        .collect()
}

/// The variable that overrides a key.
pub fn variable(key: &str) -> String {
    format!("{PREFIX}{}", key.to_ascii_uppercase().replace('.', "__"))
}

/// Puts what the environment says into the draft.
pub(super) fn apply(environment: impl IntoIterator<Item = (String, String)>, draft: &mut Draft, faults: &mut Faults) {
    let mut ours: Vec<_> = environment
        .into_iter()
        .filter(|(name, _)| name.starts_with(PREFIX))
        .collect();
    ours.sort_unstable();
    let names: Vec<String> = KEYS.iter().map(|key| variable(key.path)).collect();
    for (name, value) in ours {
        let known = KEYS.iter().zip(&names).find(|(_, known)| **known == name);
        let origin = Origin::Variable(name.clone());
        if let Some((key, _)) = known {
            keys::set(key, &Given::Loose(value), origin, draft, faults);
            continue;
        }
        let nearest = keys::nearest(&name[PREFIX.len()..], names.iter().map(|name| &name[PREFIX.len()..]));
        let advice = match nearest {
            Some(rest) => format!("did you mean {PREFIX}{rest}?"),
            None => "remove it, or see edge.toml for the keys there are".to_owned(),
        };
        faults.note(origin, "", format!("overrides no key; {advice}"));
    }
}
