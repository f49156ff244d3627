//! Overrides from the environment: `HOLDFAST_EDGE__MQTT__LISTEN=0.0.0.0:1883` is `listen` under `[mqtt]` where the prefix
//! is `HOLDFAST_EDGE__`; lists are separated by commas.

use super::{Found, Key, Origin, given::Given, nearest};

/// The process's own variables that begin with `prefix`. A value that is not UTF-8 is passed on with `U+FFFD` in
/// place of what cannot be read, for the check of its key to refuse.
pub fn of_process(prefix: &str) -> Vec<(String, String)> {
    std::env::vars_os()
        .map(|(name, value)| {
            (
                name.to_string_lossy().into_owned(),
                value.to_string_lossy().into_owned(),
            )
        })
        .filter(|(name, _)| name.starts_with(prefix))
        .collect()
}

/// The variable that overrides a key.
pub fn variable(prefix: &str, key: &str) -> String {
    format!("{prefix}{}", key.to_ascii_uppercase().replace('.', "__"))
}

/// Puts what the environment says into the draft.
pub(super) fn apply<D>(
    environment: impl IntoIterator<Item = (String, String)>,
    prefix: &str,
    keys: &[Key<D>],
    draft: &mut D,
    found: &mut Found,
) {
    let mut ours: Vec<_> = environment
        .into_iter()
        .filter(|(name, _)| name.starts_with(prefix))
        .collect();
    ours.sort_unstable();
    let names: Vec<String> = keys.iter().map(|key| variable(prefix, key.path)).collect();
    for (name, value) in ours {
        let known = keys.iter().zip(&names).find(|(_, known)| **known == name);
        let origin = Origin::Variable(name.clone());
        if let Some((key, _)) = known {
            found.set(key, &Given::Loose(value), origin, draft);
            continue;
        }
        let meant = nearest(&name[prefix.len()..], names.iter().map(|name| &name[prefix.len()..]));
        let advice = match meant {
            Some(rest) => format!("did you mean {prefix}{rest}?"),
            None => "remove it, or see the configuration file for the keys there are".to_owned(),
        };
        found.note(origin, "", format!("overrides no key; {advice}"));
    }
}
