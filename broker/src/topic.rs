//! Topic names and filters: what is well-formed, and which names a filter matches (MQTT-4.7).
//! Length and depth are bounded here for both.

/// Bounds on names and filters.
#[derive(Debug, Clone, Copy)]
pub(crate) struct TopicLimits {
    pub(crate) bytes_max: usize,
    pub(crate) levels_max: usize,
}

impl TopicLimits {
    /// Whether a well-formed name or filter is within the bounds.
    pub(crate) fn fits(self, topic: &str) -> bool {
        topic.len() <= self.bytes_max && topic.split('/').count() <= self.levels_max
    }

    /// A well-formed name within the bounds.
    pub(crate) fn is_name(self, topic: &str) -> bool {
        is_name(topic) && self.fits(topic)
    }
}

/// A name to publish to: not empty, no wildcards (MQTT-3.3.2-2, MQTT-4.7.3-1).
pub(crate) fn is_name(topic: &str) -> bool {
    !topic.is_empty() && !topic.contains(['#', '+', '\0'])
}

/// A filter to subscribe to: not empty, wildcards stand alone in a level, `#` only in the last (MQTT-4.7.1-2, -3,
/// MQTT-4.7.3-1).
pub(crate) fn is_filter(filter: &str) -> bool {
    if filter.is_empty() || filter.contains('\0') {
        return false;
    }
    let mut levels = filter.split('/').peekable();
    while let Some(level) = levels.next() {
        let ok = match level {
            "+" => true,
            "#" => levels.peek().is_none(),
            _ => !level.contains(['#', '+']),
        };
        if !ok {
            return false;
        }
    }
    true
}

/// Whether a well-formed filter matches a well-formed name. A wildcard in the first level does not match names that
/// begin with `$` (MQTT-4.7.2-1).
pub(crate) fn matches(filter: &str, name: &str) -> bool {
    if name.starts_with('$') && filter.starts_with(['#', '+']) {
        return false;
    }
    let mut names = name.split('/');
    for level in filter.split('/') {
        match (level, names.next()) {
            // `a/#` matches `a` too (MQTT-4.7.1.2).
            ("#", _) => return true,
            ("+", Some(_)) => {}
            (level, Some(name)) if level == name => {}
            _ => return false,
        }
    }
    names.next().is_none()
}

/// The part of a filter before its first wildcard level, without the slash: every name it matches begins with it.
pub(crate) fn literal_prefix(filter: &str) -> &str {
    let end = filter.find(['#', '+']).unwrap_or(filter.len());
    filter[..end].trim_end_matches('/')
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const LIMITS: TopicLimits = TopicLimits {
        bytes_max: 16,
        levels_max: 4,
    };

    #[test]
    fn names_and_filters_are_told_apart() {
        for name in ["a", "/", "a//b", "$SYS/x", "车/枪"] {
            assert!(LIMITS.is_name(name), "{name}");
            assert!(is_filter(name), "{name}");
        }
        for filter in ["#", "+", "a/#", "a/+/b", "+/+", "/#"] {
            assert!(!LIMITS.is_name(filter), "{filter}");
            assert!(is_filter(filter), "{filter}");
        }
        for bad in ["", "a/#/b", "a#", "a/b+", "##", "a\0"] {
            assert!(!LIMITS.is_name(bad), "{bad}");
            assert!(!is_filter(bad), "{bad}");
        }
        for large in ["12345678901234567", "a/b/c/d/e"] {
            assert!(is_name(large) && is_filter(large) && !LIMITS.is_name(large) && !LIMITS.fits(large));
        }
    }

    #[test]
    fn filters_match_as_the_specification_says() {
        for (filter, name) in [
            ("sport/tennis/player1/#", "sport/tennis/player1"),
            ("sport/tennis/player1/#", "sport/tennis/player1/score/wimbledon"),
            ("sport/#", "sport"),
            ("#", "a/b"),
            ("sport/tennis/+", "sport/tennis/player1"),
            ("sport/+", "sport/"),
            ("+/+", "/finance"),
            ("/+", "/finance"),
            ("$SYS/#", "$SYS/x"),
            ("+//b", "a//b"),
        ] {
            assert!(matches(filter, name), "{filter} {name}");
        }
        for (filter, name) in [
            ("sport/tennis/+", "sport/tennis/player1/ranking"),
            ("sport/+", "sport"),
            ("+", "/finance"),
            ("#", "$SYS/x"),
            ("+/x", "$SYS/x"),
            ("a/b", "a/c"),
            ("a/b", "a/b/c"),
            ("a/b/c", "a/b"),
            ("a", "ab"),
        ] {
            assert!(!matches(filter, name), "{filter} {name}");
        }
    }

    proptest! {
        #[test]
        fn a_match_begins_with_the_literal_prefix(filter in "[ab$/+#]{1,8}", name in "[ab$/]{1,8}") {
            if is_filter(&filter) && is_name(&name) && matches(&filter, &name) {
                prop_assert!(name.starts_with(literal_prefix(&filter)));
            }
        }
    }
}
