//! The programs of the benchmarks: a generator of frames, and a sink that counts.

use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use vxlan_tests::Ns;

use crate::bpf::{Hook, Insn, Kind, Link, Map, Program, STACK, Width};

const LOOKUP: i32 = 1;
const REDIRECT: i32 = 23;
const CLOCK: i32 = 5;
/// Parts of a nanosecond in which intervals are counted.
const FRACTION: u32 = 256;
/// How often it looks at the clock for one frame, at most.
const ROUNDS: i32 = 128;
/// How far it may lie behind its rate, in parts of a nanosecond: 100 microseconds.
const BEHIND: i32 = 100_000 * FRACTION as i32;
/// Of each frame, as many bytes are written anew: more than any program on the path writes to.
const HEAD: usize = 112;

/// Sends frames into a veth by XDP, as a card would deliver them: one after the other out of a
/// list, round and round. All have one length and the same end.
#[derive(Debug)]
pub(crate) struct Generator {
    ns: Ns,
    program: Program,
    frame: Vec<u8>,
    /// Index of the next frame, and how many were sent; where it looks at the clock, when the next
    /// one is due, in parts of a nanosecond, and when the first and the last one were sent.
    state: Map,
    _heads: Map,
}

impl Generator {
    /// Out of this interface, so into its peer.
    pub(crate) fn new<F: AsRef<[u8]>>(ns: &Ns, interface: &str, frames: &[F]) -> Result<Self> {
        Self::with(ns, interface, frames, None)
    }

    /// Sends so many a second, or as many as it can where that is 0, and looks at the clock.
    pub(crate) fn paced<F: AsRef<[u8]>>(
        ns: &Ns,
        interface: &str,
        frames: &[F],
        rate: f64,
    ) -> Result<Self> {
        let interval = if rate > 0.0 { 1e9 / rate * f64::from(FRACTION) } else { 0.0 };
        Self::with(ns, interface, frames, Some(interval as i32))
    }

    fn with<F: AsRef<[u8]>>(
        ns: &Ns,
        interface: &str,
        frames: &[F],
        interval: Option<i32>,
    ) -> Result<Self> {
        let frame = frames.first().context("no frame to send")?.as_ref().to_vec();
        // Written in steps of eight.
        let head = frame.len().min(HEAD) / 8 * 8;
        let heads = Map::array(head, frames.len())?;
        for (index, other) in frames.iter().enumerate() {
            let other = other.as_ref();
            ensure!(other.len() == frame.len(), "frames of two lengths");
            ensure!(other[head..] == frame[head..], "frames that differ behind byte {head}");
            heads.write(index, &other[..head])?;
        }
        let state = Map::array(40, 1)?;
        let ifindex = ns.ifindex(interface)?;
        let code = generator(&heads, &state, (head, frames.len()), ifindex, interval);
        let program = Program::load(Kind::Xdp, "generator", &code)?;
        Ok(Self { ns: ns.clone(), program, frame, state, _heads: heads })
    }

    /// Sends so many frames, on the CPU of the calling thread, which must be in the namespace.
    pub(crate) fn send(&self, count: u32) -> Result<()> {
        self.program.run_live(&self.frame, count)
    }

    /// How many it has ever sent.
    pub(crate) fn sent(&self) -> Result<u64> {
        Ok(counter(&self.state.read()?[0], 1))
    }

    pub(crate) fn ns(&self) -> &Ns {
        &self.ns
    }

    /// Begins with the first frame again.
    pub(crate) fn rewind(&self) -> Result<()> {
        let mut state = self.state.read()?.remove(0);
        state[..8].fill(0);
        state[16..].fill(0);
        self.state.write(0, &state)
    }

    /// From the first to the last frame since it has begun again.
    pub(crate) fn duration(&self) -> Result<Duration> {
        let state = self.state.read()?.remove(0);
        Ok(Duration::from_nanos(counter(&state, 4) - counter(&state, 3)))
    }
}

fn generator(
    heads: &Map,
    state: &Map,
    (head, count): (usize, usize),
    ifindex: u32,
    interval: Option<i32>,
) -> Vec<Insn> {
    let mut code = vec![
        Insn::load(Width::Word, 7, 1, 0),
        Insn::load(Width::Word, 3, 1, 4),
        Insn::copy(2, 7),
        Insn::add(2, head as i32),
        Insn::skip_unless_greater(2, 3, 2),
        Insn::set(0, 0),
        Insn::exit(),
    ];
    code.extend(Insn::element(8, state));
    code.extend(interval.map(paced).unwrap_or_default());
    code.extend([
        Insn::load(Width::Double, 9, 8, 0),
        Insn::store(Width::Word, STACK, -4, 9),
        Insn::add(9, 1),
        Insn::skip_if_less(9, count as i32, 1),
        Insn::set(9, 0),
        Insn::store(Width::Double, 8, 0, 9),
        Insn::load(Width::Double, 9, 8, 8),
        Insn::add(9, 1),
        Insn::store(Width::Double, 8, 8, 9),
    ]);
    code.extend(Insn::map(1, heads));
    code.extend([
        Insn::copy(2, STACK),
        Insn::add(2, -4),
        Insn::call(LOOKUP),
        Insn::skip_unless_equal(0, 0, 2),
        Insn::set(0, 0),
        Insn::exit(),
    ]);
    for offset in (0..head as i16).step_by(8) {
        code.push(Insn::load(Width::Double, 1, 0, offset));
        code.push(Insn::store(Width::Double, 7, offset, 1));
    }
    code.extend([
        Insn::set(1, ifindex.cast_signed()),
        Insn::set(2, 0),
        Insn::call(REDIRECT),
        Insn::exit(),
    ]);
    code
}

/// Waits until the frame is due, with the state in 8; 7 stays.
fn paced(interval: i32) -> Vec<Insn> {
    let shift = FRACTION.trailing_zeros() as i32;
    vec![
        Insn::set(6, 0),
        // Now, in parts of a nanosecond: 0.
        Insn::call(CLOCK),
        Insn::copy(9, 0),
        Insn::shift_left(0, shift),
        Insn::load(Width::Double, 1, 8, 16),
        Insn::skip_unless_less(0, 1, 3),
        // As often as this program may go round; frames are due sooner.
        Insn::add(6, 1),
        Insn::skip_if_equal(6, ROUNDS, 1),
        Insn::jump(-8),
        // The next one is due an interval later; but nothing is made up for.
        Insn::add(1, interval),
        Insn::copy(2, 1),
        Insn::add(2, BEHIND),
        Insn::skip_unless_less(2, 0, 1),
        Insn::copy(1, 0),
        Insn::store(Width::Double, 8, 16, 1),
        Insn::load(Width::Double, 1, 8, 24),
        Insn::skip_unless_equal(1, 0, 1),
        Insn::store(Width::Double, 8, 24, 9),
        Insn::store(Width::Double, 8, 32, 9),
    ]
}

/// Counts and drops what an interface receives, by CPU; in TC the IPv4 packets. Attached as long as
/// it is held.
#[derive(Debug)]
pub(crate) struct Sink {
    counts: Map,
    _link: Link,
}

impl Sink {
    pub(crate) fn attach(ns: &Ns, interface: &str) -> Result<Self> {
        Self::at(ns, interface, Kind::Tc, Hook::TcIngress)
    }

    /// Counts and drops all frames, as soon as they come: in native XDP.
    pub(crate) fn attach_xdp(ns: &Ns, interface: &str) -> Result<Self> {
        Self::at(ns, interface, Kind::Xdp, Hook::NativeXdp)
    }

    fn at(ns: &Ns, interface: &str, kind: Kind, hook: Hook) -> Result<Self> {
        let counts = Map::per_cpu_array(8)?;
        let code = match kind {
            // TC_ACT_SHOT, behind TC_ACT_OK for what is not IPv4.
            Kind::Tc => [&only_ipv4()[..], &counted(&counts, 2)].concat(),
            // XDP_DROP.
            Kind::Xdp => counted(&counts, 1),
        };
        let program = Program::load(kind, "sink", &code)?;
        let ifindex = ns.ifindex(interface)?;
        let link = ns.exec(|| program.attach(hook, ifindex))??;
        Ok(Self { counts, _link: link })
    }

    /// How many packets it has counted, on each CPU.
    pub(crate) fn packets(&self) -> Result<Vec<u64>> {
        Ok(self.counts.read()?.iter().map(|value| counter(value, 0)).collect())
    }
}

fn only_ipv4() -> [Insn; 4] {
    let ipv4 = i32::from(0x0800_u16.to_be());
    [
        Insn::load(Width::Word, 2, 1, 16),
        Insn::skip_if_equal(2, ipv4, 2),
        Insn::set(0, 0),
        Insn::exit(),
    ]
}

/// Adds one and returns the verdict.
fn counted(counts: &Map, verdict: i32) -> Vec<Insn> {
    let mut code = vec![Insn::store_value(STACK, -4, 0)];
    code.extend(Insn::map(1, counts));
    code.extend([
        Insn::copy(2, STACK),
        Insn::add(2, -4),
        Insn::call(LOOKUP),
        Insn::skip_if_equal(0, 0, 3),
        Insn::load(Width::Double, 1, 0, 0),
        Insn::add(1, 1),
        Insn::store(Width::Double, 0, 0, 1),
        Insn::set(0, verdict),
        Insn::exit(),
    ]);
    code
}

/// The eight bytes at that place, in the host's order.
fn counter(value: &[u8], index: usize) -> u64 {
    let bytes = value[index * 8..].first_chunk().copied().unwrap_or_default();
    u64::from_ne_bytes(bytes)
}
