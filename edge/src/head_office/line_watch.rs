//! What a station is told of the line to head office while it runs: that it is up or down, and up to when vouchers are closed.

use super::HeadOffice;
use domain::{
    site::Input,
    time::{Mono, Wall},
};

/// How often vouchers are closed while the line is as it was, in milliseconds: each time is an entry of the journal.
const VOUCHERS_CLOSED_EVERY_MS: i64 = 3_600_000;

/// Up to when vouchers are closed: once an hour, and at once when the line is back, as what was not taken goes home then. By what
/// head office has signed less its error, carried on by elapsed time, and never by the wall clock, which is not asked (rule 16 of
/// the line).
#[derive(Debug, Default)]
pub struct LineWatch {
    closed: Option<Wall>,
}

impl LineWatch {
    /// What the station is told of at this moment.
    pub fn look(&mut self, head_office: &HeadOffice, now: Mono) -> Vec<Input> {
        let mut inputs = Vec::new();
        let changed = head_office.line_changed(now);
        inputs.extend(changed.map(Input::Line));
        if let Some(heard) = head_office.heard().time {
            let certainly = heard.not_before_at(now);
            let is_due = |closed: Wall| certainly.ms_since(closed) >= VOUCHERS_CLOSED_EVERY_MS;
            if changed == Some(true) || self.closed.is_none_or(is_due) {
                self.closed = Some(certainly);
                inputs.push(Input::CloseVouchers { certainly });
            }
        }
        inputs
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use domain::{ids::SiteId, time::Now};
    use protocol::{frame::Pong, key::SigningKey};

    const HOUR_MS: u64 = 3_600_000;
    /// By head office's clock.
    const NOON: Wall = Wall(1_800_000_000_000);

    fn site() -> SiteId {
        SiteId::new("s1").unwrap()
    }

    /// Head office says what time it is; the answer takes two seconds. The wall clock shows something else.
    fn hears(end: &HeadOffice, key: &SigningKey, mono: u64, says: Wall, shown: Wall) {
        let at = |mono: u64| Now {
            mono: Mono(mono),
            wall: shown,
        };
        let nonce = end.ping(at(mono - 2_000)).unwrap();
        let pong = Pong { nonce, now: says }.to_bytes(&site(), key);
        end.pong(&pong, at(mono)).unwrap();
    }

    fn closes(inputs: &[Input]) -> Option<Wall> {
        inputs.iter().find_map(|input| match input {
            Input::CloseVouchers { certainly } => Some(*certainly),
            _ => None,
        })
    }

    fn changes(inputs: &[Input]) -> Option<bool> {
        inputs.iter().find_map(|input| match input {
            Input::Line(up) => Some(*up),
            _ => None,
        })
    }

    #[test]
    fn vouchers_are_closed_by_what_head_office_signed_with_the_wall_clock_years_off() {
        let key = SigningKey::from_seed([1; 32]);
        const YEARS_MS: i64 = 9 * 365 * 86_400_000;
        for off in [-YEARS_MS, YEARS_MS] {
            let end = HeadOffice::new(site(), key.public().into(), SigningKey::from_seed([2; 32]));
            let (mut line, shown) = (LineWatch::default(), NOON.after_ms(off));
            assert!(
                line.look(&end, Mono(50 * HOUR_MS)).is_empty(),
                "nobody has signed what time it is"
            );

            let began = 60 * HOUR_MS;
            hears(&end, &key, began, NOON, shown);
            let inputs = line.look(&end, Mono(began));
            // It was noon when head office answered, and an answer takes no less than no time.
            assert_eq!((changes(&inputs), closes(&inputs)), (Some(true), Some(NOON)));
            for mono in (began..began + HOUR_MS).step_by(30_000).skip(1) {
                hears(&end, &key, mono, NOON.after_ms((mono - began) as i64), shown);
                assert!(
                    line.look(&end, Mono(mono)).is_empty(),
                    "{} s on",
                    (mono - began) / 1_000
                );
            }
            hears(&end, &key, began + HOUR_MS, NOON.after_ms(HOUR_MS as i64), shown);
            let inputs = line.look(&end, Mono(began + HOUR_MS));
            assert_eq!(
                (changes(&inputs), closes(&inputs)),
                (None, Some(NOON.after_ms(HOUR_MS as i64)))
            );

            // The line is cut for two hours and a half: on by elapsed time, less what that may be off.
            let mut closed = Vec::new();
            let again = began + 7 * HOUR_MS / 2;
            for mono in (began + HOUR_MS..again).step_by(10_000).skip(1) {
                let inputs = line.look(&end, Mono(mono));
                if mono == began + HOUR_MS + 60_000 {
                    assert_eq!(changes(&inputs), Some(false));
                }
                closed.extend(closes(&inputs).map(|until| (mono - began, until)));
            }
            assert_eq!(closed.len(), 2, "{closed:?}");
            for (passed, until) in closed {
                let behind = passed as i64 - until.ms_since(NOON);
                assert!((1..=6_000).contains(&behind), "{behind} ms behind after {passed} ms");
            }
            // It is back in the middle of an hour, and they are closed at once, up to what is certain now.
            let back = NOON.after_ms((again - began) as i64 + 1_234);
            hears(&end, &key, again, back, shown);
            let inputs = line.look(&end, Mono(again));
            assert_eq!((changes(&inputs), closes(&inputs)), (Some(true), Some(back)));
        }
    }
}
