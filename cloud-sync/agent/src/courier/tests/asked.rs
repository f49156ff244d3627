//! What head office asks and watches, on a line that is cut before and after each of its messages.

use super::super::{Courier, Effect, Input, asked::LIVE_MS};
use domain::time::Mono;
use protocol::{
    read_through::{AnswerPart, Ask, PART_MAX, Question},
    topic::Kind,
};

const ORDER: &str = "hq-1";

/// A courier on a line that ends behind so many messages of a kind.
struct Line {
    courier: Courier,
    now: Mono,
    /// Messages that pass, of this kind, before the line is cut.
    cut: Option<(Kind, usize)>,
    /// What arrived at head office: answers and frames.
    arrived: Vec<(Kind, Vec<u8>)>,
    /// What the station was asked for, and which orders it is followed for.
    asked: Vec<u64>,
    watched: Vec<String>,
    is_up: bool,
}

impl Line {
    fn cut_at(kind: Kind, passed: usize) -> Self {
        let mut line = Self {
            courier: Courier::new(),
            now: Mono(1),
            cut: Some((kind, passed)),
            arrived: Vec::new(),
            asked: Vec::new(),
            watched: Vec::new(),
            is_up: false,
        };
        line.connects();
        line
    }

    fn connects(&mut self) {
        self.is_up = true;
        self.give(Input::Connected);
    }

    fn give(&mut self, input: Input) {
        for effect in self.courier.handle(self.now, input) {
            match effect {
                Effect::Send(kind @ (Kind::Answer | Kind::Live), bytes) => {
                    let has_passed = self.passes(kind);
                    self.arrived.extend(has_passed.then_some((kind, bytes)));
                }
                Effect::Get { id, .. } => self.asked.push(id),
                Effect::Watch(order) => self.watched.push(order.to_string()),
                Effect::Unwatch(order) => self.watched.retain(|watched| watched != order.as_str()),
                _ => {}
            }
        }
    }

    /// Whether a message passes; where it is the one at which the line is cut, that is over then.
    fn passes(&mut self, kind: Kind) -> bool {
        let Some((_, left)) = self.cut.as_mut().filter(|(of, _)| *of == kind) else {
            return self.is_up;
        };
        if *left == 0 {
            self.cut = None;
            self.is_up = false;
            self.give(Input::Lost);
            return false;
        }
        *left -= 1;
        self.is_up
    }

    /// Head office says something, which arrives if the line is up.
    fn says(&mut self, kind: Kind, bytes: Vec<u8>) {
        if self.passes(kind) {
            self.give(Input::Down(kind, bytes));
        }
    }

    fn asks(&mut self, id: u64) {
        let what = Question::Station;
        self.says(Kind::Ask, serde_json::to_vec(&Ask { id, what }).unwrap());
    }

    /// The station has answered what it was asked, each with so many parts.
    fn station_answers(&mut self, parts: usize) {
        for id in std::mem::take(&mut self.asked) {
            let body = vec![b'x'; PART_MAX * parts - 1];
            self.give(Input::Answered { id, status: 200, body });
        }
    }

    fn frame(&mut self) {
        self.now = self.now.after_ms(LIVE_MS);
        self.give(Input::Live(ORDER.parse().unwrap(), b"{}".to_vec()));
    }

    /// The numbers of the questions of which every part has arrived.
    fn answered(&self) -> Vec<u64> {
        let parts = self.arrived.iter().filter(|(kind, _)| *kind == Kind::Answer);
        let parts: Vec<AnswerPart> = parts.map(|(_, bytes)| AnswerPart::from_bytes(bytes).unwrap()).collect();
        let is_whole = |id: u64, of: u16| parts.iter().filter(|part| part.id == id).count() == usize::from(of);
        let mut whole: Vec<u64> = parts
            .iter()
            .filter(|part| is_whole(part.id, part.parts))
            .map(|part| part.id)
            .collect();
        whole.dedup();
        whole
    }

    fn frames(&self) -> usize {
        self.arrived.iter().filter(|(kind, _)| *kind == Kind::Live).count()
    }
}

/// Where the line is cut, and what of the first question has arrived.
#[test]
fn a_question_whose_line_is_cut_is_not_answered_on_the_next_and_asked_again_it_is() {
    for (kind, passed) in [(Kind::Ask, 0), (Kind::Answer, 0), (Kind::Answer, 1), (Kind::Answer, 2)] {
        let mut line = Line::cut_at(kind, passed);
        line.asks(5);
        line.station_answers(3);
        assert!(!line.is_up, "cut at {kind:?} {passed}");
        assert_eq!(line.answered(), [0; 0], "cut at {kind:?} {passed}");
        let arrived = line.arrived.len();
        assert_eq!(arrived, passed, "nothing goes out behind the cut");
        line.connects();
        // Whoever asked has given up, and asks under another number; the number of before is nobody's.
        line.give(Input::Answered {
            id: 5,
            status: 200,
            body: b"late".to_vec(),
        });
        assert_eq!(line.arrived.len(), arrived);
        line.asks(6);
        line.station_answers(3);
        assert_eq!(line.answered(), [6], "cut at {kind:?} {passed}");
    }
}

/// The station answers when the line is gone, or is there again.
#[test]
fn an_answer_that_comes_when_its_line_is_gone_goes_nowhere_and_takes_nobodys_place() {
    let mut line = Line::cut_at(Kind::Ask, 4);
    for id in 1..=4 {
        line.asks(id);
    }
    assert_eq!(line.asked, [1, 2, 3, 4]);
    let late = std::mem::take(&mut line.asked);
    // The fifth is cut: with the line four that the station has not answered are forgotten.
    line.asks(5);
    line.connects();
    for id in 11..=14 {
        line.asks(id);
    }
    assert_eq!(line.asked, [11, 12, 13, 14], "as many as ever");
    line.asked.extend(late);
    line.station_answers(1);
    assert_eq!(line.answered(), [11, 12, 13, 14]);
}

#[test]
fn an_order_whose_line_is_cut_is_watched_no_more_until_head_office_says_so_again() {
    for (kind, passed) in [(Kind::Watch, 0), (Kind::Watch, 1), (Kind::Live, 0), (Kind::Live, 1)] {
        let mut line = Line::cut_at(kind, passed);
        for _ in 0..2 {
            line.says(Kind::Watch, ORDER.as_bytes().to_vec());
            line.frame();
        }
        assert!(!line.is_up, "cut at {kind:?} {passed}");
        assert_eq!(
            (line.watched.len(), line.frames()),
            (0, passed),
            "cut at {kind:?} {passed}"
        );
        line.connects();
        line.frame();
        assert_eq!(line.frames(), passed, "nobody has said that they still watch");
        line.says(Kind::Watch, ORDER.as_bytes().to_vec());
        assert_eq!(line.watched, [ORDER]);
        line.frame();
        assert_eq!(line.frames(), passed + 1, "cut at {kind:?} {passed}");
    }
}
