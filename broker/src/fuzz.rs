//! What must be so whatever bytes come: MQTT packets, and a session under any sequence of them. `cargo xtask fuzz` looks for
//! bytes by which it is not; what was found, and a case of every kind, lies in `fuzz/corpus/` and is played again by the
//! tests here.

pub use crate::codec::fuzz::packets;
pub use crate::session::fuzz::session;

#[cfg(test)]
mod tests {
    use std::{fs, path::Path};

    /// Plays every case of a target again.
    fn play(target: &str, property: fn(&[u8])) {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR"))
            .join("../fuzz/corpus")
            .join(target);
        let cases = fs::read_dir(&folder).unwrap_or_else(|error| panic!("{}: {error}", folder.display()));
        let mut played = 0;
        for case in cases {
            let path = case.unwrap().path();
            println!("{}", path.display());
            property(&fs::read(&path).unwrap());
            played += 1;
        }
        assert!(played > 0, "{} is empty", folder.display());
    }

    #[test]
    fn packets_that_were_found_keep_the_rules() {
        play("mqtt", super::packets);
    }

    #[test]
    fn sessions_that_were_found_keep_the_rules() {
        play("session", super::session);
    }
}
