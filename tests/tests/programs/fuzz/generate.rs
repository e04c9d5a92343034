//! Frames for the programs: what a peer or a host would send, wrong here and there. How much is
//! wrong is drawn for each frame, so that most come far, and some are hopeless.

use rand::{Rng as _, SeedableRng as _, rngs::SmallRng, seq::IndexedRandom as _};
use vxlan_tests::model::Config;

use super::{inner::Direction, mutate, setups::Setup};
use crate::bench::Program;

/// What the kernel takes as a frame, and what one page of it holds.
const MIN_FRAME: usize = 15;
pub(super) const MAX_FRAME: usize = 3_400;

/// How often a frame that was accepted, or one like it, is sent again.
const AGAIN: u32 = 8;
/// So many are left when the sender's tables change.
const MIDDLE: u32 = 4;

pub(super) struct Generator<'a> {
    pub(super) config: &'a Config,
    pub(super) rng: SmallRng,
    /// How likely each detail is wrong.
    fault_rate: f64,
    again: Again,
    /// Whose tables change next.
    turn: Option<usize>,
}

/// A frame that was accepted.
#[derive(Default)]
struct Again {
    frame: Vec<u8>,
    /// Who sent it.
    peer: usize,
    /// How often it or one like it is still to be sent.
    left: u32,
}

impl<'a> Generator<'a> {
    pub(super) fn new(setup: &'a Setup, seed: u64) -> Self {
        Self {
            config: &setup.config,
            rng: SmallRng::seed_from_u64(seed),
            fault_rate: 0.0,
            again: Again::default(),
            turn: None,
        }
    }

    /// A received frame was accepted: what the program remembers of it is tried by frames that
    /// are the same, and by some that differ in one thing.
    pub(super) fn accepted(&mut self, frame: &[u8], peer: usize) {
        if self.again.left == 0 && self.one_in(4) {
            self.again = Again { frame: frame.to_vec(), peer, left: AGAIN };
        }
    }

    /// The peer whose tables change before the next frame: in the middle of such frames, and back
    /// after them.
    pub(super) fn moves(&mut self) -> Option<usize> {
        self.turn.take()
    }

    fn like_before(&mut self) -> Vec<u8> {
        self.again.left -= 1;
        if matches!(self.again.left, 0 | MIDDLE) {
            self.turn = Some(self.again.peer);
        }
        let mut frame = self.again.frame.clone();
        if self.rng.random_bool(0.5) {
            mutate::alter(&mut self.rng, &mut frame);
            mutate::repair(&mut frame);
        }
        frame
    }

    pub(super) fn frame(&mut self) -> (Program, Vec<u8>) {
        if self.again.left != 0 {
            let frame = self.like_before();
            return (Program::Decap, self.fitted(frame));
        }
        let program = if self.rng.random_bool(0.5) { Program::Decap } else { Program::Encap };
        let frame = match self.rng.random_range(0..100) {
            0..3 => self.noise(),
            3..40 => self.mutant(program),
            _ => self.built(program),
        };
        (program, self.fitted(frame))
    }

    fn fitted(&mut self, mut frame: Vec<u8>) -> Vec<u8> {
        frame.truncate(MAX_FRAME);
        while frame.len() < MIN_FRAME {
            frame.push(self.rng.random());
        }
        frame
    }

    fn noise(&mut self) -> Vec<u8> {
        let length = self.rng.random_range(MIN_FRAME..200);
        let mut frame: Vec<u8> = (0..length).map(|_| self.rng.random()).collect();
        if self.rng.random_bool(0.7) {
            let kind = self.pick(&[[8, 0], [0x86, 0xdd], [8, 6], [0x81, 0]]);
            frame[12..14].copy_from_slice(&kind);
        }
        frame
    }

    fn built(&mut self, program: Program) -> Vec<u8> {
        self.fault_rate = self.pick(&[0.0, 0.0, 0.01, 0.03, 0.03, 0.08, 0.25]);
        match program {
            Program::Encap => {
                let member = self.rng.random_range(0..self.config.networks[0].members.len());
                self.inner(Direction::Out, 0, member)
            }
            Program::Decap | Program::DecapTc | Program::Deliver if self.one_in(16) => {
                self.wrapped_probe()
            }
            Program::Decap | Program::DecapTc | Program::Deliver => {
                let (network, member) = self.member();
                let inner = self.inner(Direction::In, network, member);
                self.wrapped(network, member, inner)
            }
        }
    }

    fn mutant(&mut self, program: Program) -> Vec<u8> {
        self.fault_rate = self.pick(&[0.0, 0.02]);
        let other = self.built(program);
        let (network, member) = self.member();
        if program == Program::Encap {
            let member = self.rng.random_range(0..self.config.networks[0].members.len());
            let mut frame = self.inner(Direction::Out, 0, member);
            mutate::mutate(&mut self.rng, &mut frame, &other);
            return frame;
        }
        let mut inner = self.inner(Direction::In, network, member);
        if self.one_in(16) {
            let mut frame = self.wrapped_probe();
            mutate::mutate(&mut self.rng, &mut frame, &other);
            mutate::repair(&mut frame);
            return frame;
        }
        if self.rng.random_bool(0.6) {
            mutate::mutate(&mut self.rng, &mut inner, &other);
            return self.wrapped(network, member, inner);
        }
        let mut frame = self.wrapped(network, member, inner);
        mutate::mutate(&mut self.rng, &mut frame, &other);
        if self.rng.random_bool(0.7) {
            mutate::repair(&mut frame);
        }
        frame
    }

    fn member(&mut self) -> (usize, usize) {
        // The second network is the same over again, with other names.
        let network = usize::from(self.rng.random_bool(0.1));
        (network, self.rng.random_range(0..self.config.networks[network].members.len()))
    }

    pub(super) fn pick<T: Copy>(&mut self, all: &[T]) -> T {
        *all.choose(&mut self.rng).expect("there is one")
    }

    /// Shall a detail be wrong?
    pub(super) fn odd(&mut self) -> bool {
        self.rng.random_bool(self.fault_rate)
    }

    /// One in so many, however much is wrong elsewhere.
    pub(super) fn one_in(&mut self, n: u32) -> bool {
        self.rng.random_ratio(1, n)
    }

    /// A length that lies: a little, or without bounds.
    pub(super) fn lie(&mut self, truth: usize) -> u16 {
        match self.rng.random_range(0..4) {
            0 => (truth as u16).wrapping_add(1),
            1 => (truth as u16).wrapping_sub(1),
            2 => self.pick(&[0, 1, 7, 8, 15, 16, 19, 20, 27, 28, 39, 40, 255, 256, 0x7fff, 0xffff]),
            _ => self.rng.random_range(0..=(truth as u16).saturating_add(4)),
        }
    }

    pub(super) fn extension(&mut self, all: &[u8]) -> (u8, Vec<u8>) {
        let kind = self.pick(all);
        let units = self.pick(&[0, 0, 0, 1, 3]);
        let mut header = vec![0; 8 + units * 8];
        header[1] = units as u8;
        if kind == 44 {
            header.truncate(8);
            header[1] = 0;
            let random = self.rng.random();
            let offset = self.pick(&[0, 1, 1, 8, 0xfff8, 6, random]);
            header[2..4].copy_from_slice(&u16::to_be_bytes(offset));
        } else if self.one_in(10) {
            header[1] = self.rng.random();
        }
        (kind, header)
    }
}
