//! Detects replayed sequence numbers (RFC 6479): a ring of blocks of bits, so that moving the
//! window clears whole blocks and shifts no bits.

/// Size of the window: a number may be so far below the highest one and still be accepted.
pub(super) const WINDOW_SIZE: u64 = 1024;
const BLOCK: u64 = u64::BITS as u64;
/// One block more than the window fills, since the window seldom starts at the edge of a block.
const BLOCKS: u64 = WINDOW_SIZE / BLOCK + 1;

/// A window of 1024 sequence numbers below the highest one that was accepted.
#[derive(Clone, Debug, Default)]
pub(super) struct ReplayWindow {
    highest: u64,
    blocks: [u64; BLOCKS as usize],
}

impl ReplayWindow {
    /// Returns the highest accepted number; zero: none yet.
    pub(super) fn highest(&self) -> u64 {
        self.highest
    }

    /// Accepts a number if it is new, and returns whether it was. Zero is never accepted.
    pub(super) fn accept(&mut self, number: u64) -> bool {
        if number == 0 || self.highest.saturating_sub(number) >= WINDOW_SIZE {
            return false;
        }
        let block = number / BLOCK;
        if number > self.highest {
            let passed = self.highest / BLOCK;
            for next in (passed + 1..=block).take(BLOCKS as usize) {
                *self.block(next) = 0;
            }
            self.highest = number;
        }
        let bit = 1 << (number % BLOCK);
        let block = self.block(block);
        let new = *block & bit == 0;
        *block |= bit;
        new
    }

    fn block(&mut self, number: u64) -> &mut u64 {
        &mut self.blocks[(number % BLOCKS) as usize]
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::super::tests::Random;
    use super::ReplayWindow;

    /// Does what the window must do, by remembering every number.
    #[derive(Default)]
    struct Model(BTreeSet<u64>);

    impl Model {
        fn accept(&mut self, number: u64) -> bool {
            let highest = self.0.last().copied().unwrap_or(0);
            number != 0 && i128::from(number) > i128::from(highest) - 1024 && self.0.insert(number)
        }
    }

    fn compare(numbers: impl IntoIterator<Item = u64>) {
        let (mut window, mut model) = (ReplayWindow::default(), Model::default());
        for number in numbers {
            assert_eq!(window.accept(number), model.accept(number), "{number}, {window:?}");
            assert_eq!(window.highest(), model.0.last().copied().unwrap_or(0));
        }
    }

    #[test]
    fn zero_is_never_new() {
        let mut window = ReplayWindow::default();
        assert!(!window.accept(0));
        assert!(window.accept(1));
        assert!(!window.accept(0));
        assert_eq!(window.highest(), 1);
    }

    #[test]
    fn the_window_is_1024_numbers_wide() {
        for highest in 1024..=1024 + 2 * 17 * 64 {
            let mut window = ReplayWindow::default();
            assert!(window.accept(highest));
            assert!(!window.accept(highest));
            assert!(!window.accept(highest - 1024), "{highest}");
            assert!(window.accept(highest - 1023), "{highest}");
            assert!(!window.accept(highest - 1023), "{highest}");
        }
    }

    #[test]
    fn a_jump_ahead_forgets_no_number_within_the_window() {
        for ahead in [1, 63, 64, 65, 1023, 1024, 1025, 1087, 1088, 1089, 5000, 1 << 40] {
            let mut window = ReplayWindow::default();
            for number in 1..=2000 {
                assert!(window.accept(number));
            }
            assert!(window.accept(2000 + ahead), "{ahead}");
            let oldest = (2000 + ahead).saturating_sub(1023);
            for number in oldest..2000 + ahead {
                assert_eq!(window.accept(number), number > 2000, "{number} after {ahead}");
            }
        }
    }

    #[test]
    fn the_highest_numbers() {
        compare([u64::MAX - 5000, u64::MAX - 1024, u64::MAX - 1, u64::MAX, u64::MAX]);
        compare((0..3000).map(|back| u64::MAX - back));
        compare((0..3000).rev().map(|back| u64::MAX - back));
        compare([1, u64::MAX, 1, u64::MAX - 1023, u64::MAX - 1024]);
    }

    #[test]
    fn random_numbers_as_if_everything_were_remembered() {
        for seed in 0..200 {
            let mut random = Random::new(seed);
            let mut at = if seed % 4 == 0 { random.number() >> 1 } else { 0 };
            let spread = [3, 70, 1100, 4000][seed as usize % 4];
            compare((0..2000).map(|_| {
                at += random.below(spread / 2) as u64;
                if random.below(300) == 0 {
                    at += random.below(200_000) as u64;
                }
                at.saturating_sub(random.below(spread) as u64)
            }));
        }
    }
}
