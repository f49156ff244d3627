//! Small numbers that are given back and used again, so that what rumqttd keeps for ever per name is bounded.

/// Numbers from 0 that are used again once they are given back.
#[derive(Debug)]
pub(super) struct Numbers {
    free: Vec<u32>,
    next: u32,
    max: u32,
}

impl Numbers {
    pub(super) fn new(max: usize) -> Self {
        Self {
            free: Vec::new(),
            next: 0,
            max: u32::try_from(max).unwrap_or(u32::MAX),
        }
    }

    pub(super) fn take(&mut self) -> Option<u32> {
        self.free.pop().or_else(|| {
            let number = self.next;
            (number < self.max).then(|| {
                self.next += 1;
                number
            })
        })
    }

    pub(super) fn give_back(&mut self, number: u32) {
        self.free.push(number);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_used_again_and_bounded() {
        let mut numbers = Numbers::new(2);
        assert_eq!(
            (numbers.take(), numbers.take(), numbers.take()),
            (Some(0), Some(1), None)
        );
        numbers.give_back(0);
        assert_eq!((numbers.take(), numbers.take()), (Some(0), None));
    }
}
