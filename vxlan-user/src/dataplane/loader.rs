//! Loading: programs in the kernel, maps filled and pinned, not necessarily attached.

use std::{
    collections::{BTreeMap, HashMap},
    os::fd::OwnedFd,
    path::PathBuf,
    sync::Arc,
    thread,
};

use aya::{
    Ebpf, EbpfLoader, VerifierLogLevel,
    programs::{Program, ProgramFd, SchedClassifier, Xdp},
};
use aya_log::EbpfLogger;

use super::{
    attachment::program_id,
    error::{DataPlaneError, program_error},
    layout::MapLayout,
    memo::{self, MemoSize},
    names, sender_filter, settings, tables,
};
use crate::plan::Plan;

static OBJECT: &[u8] = aya::include_bytes_aligned!(concat!(env!("OUT_DIR"), "/vxlan-ebpf"));

/// Reads the messages of the programs.
pub type ProgramLogger<L> = EbpfLogger<L>;

/// What must be known before the programs are loaded.
#[derive(Clone, Copy, Debug, Default)]
pub struct LoadOptions {
    /// Whether the programs report every dropped packet. When off, the verifier removes the code.
    pub trace_packets: bool,
    /// Counter slots that the plan uses.
    pub slots: u32,
    /// MAC addresses, declared and learned, that the configuration allows.
    pub mac_addresses: u32,
    /// Neighbours that the configuration's members can have.
    pub neighbours: u32,
    /// Members of all networks.
    pub members: u32,
    /// Members whose peer's endpoint is learned.
    pub learned_endpoints: u32,
    /// Entries for remembered decisions, of each CPU, for tests of collisions: a power of two.
    pub memo_entries: Option<u32>,
    /// Unusual capacities by the names of maps, for tests of full maps.
    pub capacities: &'static [(&'static str, u32)],
}

/// Programs and maps of one data plane. Dropping it detaches what is not pinned.
#[derive(Debug)]
pub struct DataPlane {
    pub(super) bpf: Ebpf,
    /// The links, by the paths of their pins: should those be removed, the programs stay attached
    /// as long as this process lives, and the pins can be made again.
    pub(super) links: BTreeMap<PathBuf, Arc<OwnedFd>>,
    /// The kernel's numbers of the programs, by name.
    pub(super) numbers: HashMap<&'static str, u32>,
}

impl DataPlane {
    /// Loads the programs; the verifier has passed them when this returns.
    pub fn load(options: LoadOptions) -> Result<Self, DataPlaneError> {
        let level = if options.trace_packets { aya_log::Level::Trace as u8 } else { 0 };
        let mut loader = EbpfLoader::new();
        // A refusal tells its reason at this level, too. With each instruction in the log the
        // verifier would take minutes for each try, after whatever error, also one of memory.
        loader.verifier_log_level(VerifierLogLevel::STATS);
        loader.override_global(aya_log::LEVEL, &level, true);
        // A quarter is spare, so that an alert does not take the map for nearly full.
        let slots = options.slots.saturating_add(options.slots / 4);
        loader.map_max_entries("COUNTERS", slots.max(1_024));
        // No member's addresses and neighbours can take the room of another member's.
        loader.map_max_entries("FDB", options.mac_addresses.max(16_384));
        loader.map_max_entries("NEIGHBOURS", options.neighbours.max(1_024));
        // An endpoint that moves is in two places for a moment.
        loader.map_max_entries("MAPPINGS", options.learned_endpoints.saturating_mul(2).max(16_384));
        let by_members = MemoSize::for_members(options.members);
        let size = options.memo_entries.map_or(by_members, MemoSize::of_entries);
        loader.map_max_entries("RX_MEMO", size.total());
        loader.map_max_entries("TX_MEMO", size.total());
        loader.override_global("MEMO_ENTRIES", &size.per_cpu, true);
        for (name, entries) in options.capacities {
            loader.map_max_entries(name, *entries);
        }
        let bpf = loader.load(OBJECT)?;
        let mut plane = Self { bpf, links: BTreeMap::new(), numbers: HashMap::new() };
        plane.load_programs()?;
        for name in names::PROGRAMS {
            if let Some(program) = plane.bpf.program(name) {
                plane.numbers.insert(name, program_id(program.info(), name)?);
            }
        }
        Ok(plane)
    }

    /// Loads all programs at once, one thread each: the verifier takes most of the time of a start,
    /// and verifies a program on one CPU.
    fn load_programs(&mut self) -> Result<(), DataPlaneError> {
        let named = |name: &str| names::PROGRAMS.into_iter().find(|known| *known == name);
        let ours = self.bpf.programs_mut().filter_map(|(name, of)| Some((named(name)?, of)));
        thread::scope(|scope| {
            let each: Vec<_> =
                ours.map(|(name, of)| scope.spawn(move || load_program(name, of))).collect();
            let loaded = each.into_iter().map(|thread| {
                thread.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic))
            });
            loaded.collect()
        })
    }

    /// Checks that the maps have room for a plan. Must be called before anything is changed on the
    /// host.
    ///
    /// # Errors
    /// [`DataPlaneError::Full`]: the first map that is too small.
    pub fn check_capacity(&self, plan: &Plan) -> Result<(), DataPlaneError> {
        tables::check_capacity(&self.bpf, plan)
    }

    /// Fills the maps that the daemon owns. Nothing is attached yet, so order does not matter.
    pub fn fill(&mut self, plan: &Plan) -> Result<(), DataPlaneError> {
        memo::changing(&mut self.bpf, |bpf| {
            sender_filter::fill(bpf, plan)?;
            tables::fill(bpf, plan)
        })
    }

    /// Changes the addresses of the underlay interface that the programs use, at any time.
    pub fn set_addresses(
        &mut self,
        of: &vxlan_common::table::GlobalSettings,
    ) -> Result<(), DataPlaneError> {
        memo::changing(&mut self.bpf, |bpf| settings::set_addresses(bpf, of))
    }

    /// Changes the interface that cuts up packets, at any time.
    pub fn set_segmenter(&mut self, ifindex: u32) -> Result<(), DataPlaneError> {
        settings::set_segmenter(&mut self.bpf, ifindex)
    }

    /// Changes the entry of one peer, and so the path to it, at any time.
    pub fn set_peer(
        &mut self,
        index: u32,
        peer: &vxlan_common::table::PeerEntry,
    ) -> Result<(), DataPlaneError> {
        tables::set_peer(&mut self.bpf, index, peer)
    }

    /// Writes and removes entries of the maps that tell who sends, at any time, in this order.
    ///
    /// # Errors
    /// A change is refused; then none was made.
    pub fn change(&mut self, changes: &[crate::plan::Change]) -> Result<(), DataPlaneError> {
        memo::changing(&mut self.bpf, |bpf| {
            sender_filter::add(bpf, changes)?;
            tables::change(bpf, changes)
        })
    }

    /// Describes the maps, for the record.
    ///
    /// # Errors
    /// The kernel does not report what a map is. Without a description the next generation would
    /// not read that map: what is counted there would be lost.
    pub fn layouts(&self) -> Result<Vec<MapLayout>, DataPlaneError> {
        let mut layouts = Vec::new();
        for (name, map) in self.bpf.maps().filter(|(name, _)| tables::is_ours(name)) {
            let info = tables::describe(name, map)?;
            layouts.extend(info.map(|info| MapLayout::new(name, &info)));
        }
        layouts.sort_by(|a, b| a.name.cmp(&b.name));
        Ok(layouts)
    }

    /// Returns the reader of the programs' messages, which go to `log`; `None` unless the programs
    /// were loaded with `trace_packets`.
    pub fn logger<L: log::Log>(
        &mut self,
        options: LoadOptions,
        log: L,
    ) -> Option<ProgramLogger<L>> {
        if !options.trace_packets {
            return None;
        }
        EbpfLogger::init_with_logger(&mut self.bpf, log).ok()
    }

    /// Returns how many entries a map can hold; 0: no such map.
    pub fn map_capacity(&self, name: &str) -> u64 {
        self.bpf.map(name).map_or(0, |map| tables::capacity(map).into())
    }

    /// Returns the XDP program.
    pub fn xdp(&mut self) -> Result<&mut Xdp, DataPlaneError> {
        xdp_of(&mut self.bpf)
    }

    /// Returns a TC program by name.
    pub fn classifier(
        &mut self,
        name: &'static str,
    ) -> Result<&mut SchedClassifier, DataPlaneError> {
        let missing = DataPlaneError::Missing { what: "program", name };
        let program = self.bpf.program_mut(name).ok_or(missing)?;
        program.try_into().map_err(program_error(name))
    }

    /// Returns another descriptor of a program.
    pub(super) fn fd_of(&self, name: &'static str) -> Result<ProgramFd, DataPlaneError> {
        let missing = DataPlaneError::Missing { what: "program", name };
        let program = self.bpf.program(name).ok_or(missing)?;
        let fd = program.fd().map_err(program_error(name))?;
        fd.try_clone().map_err(|error| program_error(name)(error.into()))
    }

    /// Returns the maps as aya knows them, for tests that look into single entries.
    pub fn maps(&mut self) -> &mut Ebpf {
        &mut self.bpf
    }
}

pub(super) fn xdp_of(bpf: &mut Ebpf) -> Result<&mut Xdp, DataPlaneError> {
    let name = names::DECAP;
    let missing = DataPlaneError::Missing { what: "program", name };
    let program = bpf.program_mut(name).ok_or(missing)?;
    program.try_into().map_err(program_error(name))
}

fn load_program(name: &'static str, program: &mut Program) -> Result<(), DataPlaneError> {
    let loaded = match <&mut Xdp>::try_from(&mut *program) {
        Ok(xdp) => xdp.load(),
        Err(_) => <&mut SchedClassifier>::try_from(program).and_then(SchedClassifier::load),
    };
    loaded.map_err(program_error(name))
}
